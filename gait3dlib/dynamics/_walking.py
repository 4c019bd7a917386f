"""The usual reaction of the ground on a walking person's foot, over the time that the foot stands."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib._resources import asset
from gait3dlib.dynamics._contact import ANKLES, BALLS
from gait3dlib.dynamics._filter import REFERENCE_HEIGHT_M, low_pass, shortest
from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.errors import InputError

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
PHASES = 51
LOADED = 0.1  # body weights from which a centre of pressure is taken for known
RIDGE = 0.01
# Of what Newton's law asks beyond the usual vertical force, the part that motion tells reliably.
TRUST, TRUST_HZ, MEAN_HZ = 0.7, 6.0, 0.5
# Walking: speeds over sqrt(g h), stances over sqrt(h / g)
SLOWEST, FASTEST = 0.08, 0.55
SHORTEST_STANCE, LONGEST_STANCE = 0.9, 4.0
_SIGN = np.array([1.0, -1.0])  # left and right: what is outward for one is inward for the other


@dataclass(frozen=True, eq=False)
class Stance:
    """One time that a foot stands.

    Attributes:
        foot: 0 left, 1 right.
        first, last: frames of its contact, both inside; of a stance that the recording cuts they lie
        outside of
            it, where they are expected.
        forward: ``[2]`` horizontal unit vector in which the pelvis faces.
        toeward: ``[2]`` horizontal unit vector from ankle to ball of the flat foot.
        length: from ankle to ball, metres.
    """

    foot: int
    first: int
    last: int
    forward: F64
    toeward: F64
    length: float

    def rows(self, frames: int) -> Ints:
        """Its frames in the recording."""
        return np.arange(max(self.first, 0), min(self.last + 1, frames))

    def phase(self, rows: Ints) -> F64:
        """0 at landing, 1 at leaving."""
        return np.asarray((rows - self.first + 0.5) / (self.last - self.first + 1))

    @property
    def axes(self) -> F64:
        """``[3, 3]``, rows: forward, outward, up."""
        x, y = self.forward
        return np.array([[x, y, 0.0], [-y * _SIGN[self.foot], x * _SIGN[self.foot], 0.0], [0.0, 0.0, 1.0]])

    @property
    def sole(self) -> F64:
        """``[2, 2]``, rows: from ankle to ball, outward."""
        x, y = self.toeward
        return np.array([[x, y], [-y * _SIGN[self.foot], x * _SIGN[self.foot]]])


def find_stances(on: Bools, joints: F64) -> list[Stance]:
    """The stances of a walk; empty where feet do not take turns.

    A stance that the recording cuts gets the mean length of the whole ones.
    """
    frames = len(on)
    runs: list[tuple[int, int, int]] = []
    for foot in (0, 1):
        for found in ndimage.find_objects(ndimage.label(on[:, foot])[0]):
            runs.append((foot, found[0].start, found[0].stop - 1))
    whole = [last - first + 1 for _, first, last in runs if first > 0 and last < frames - 1]
    if not whole:
        return []
    usual = round(float(np.mean(whole)))
    out = []
    for foot, first, last in runs:
        if first == 0 and last == frames - 1:
            continue
        begin = min(last - usual + 1, 0) if first == 0 else first
        end = max(first + usual - 1, frames - 1) if last == frames - 1 else last
        out.append(_stance(foot, begin, end, slice(first, last + 1), joints))
    return out


def _stance(foot: int, first: int, last: int, seen: slice, joints: F64) -> Stance:
    left = (joints[seen, 1] - joints[seen, 2])[:, :2].mean(axis=0)
    left = left / np.linalg.norm(left)
    toes = joints[seen, BALLS[foot]] - joints[seen, ANKLES[foot]]
    flat = toes[:, :2].mean(axis=0)
    length = float(np.median(np.linalg.norm(joints[:, BALLS[foot]] - joints[:, ANKLES[foot]], axis=-1)))
    forward = np.array([left[1], -left[0]])
    return Stance(foot, first, last, forward, flat / np.linalg.norm(flat), length)


@dataclass(frozen=True, eq=False)
class WalkingReaction:
    """The usual reaction over the phase of stance: a mean, and how it changes with the speed of walking.

    Attributes:
        force: ``[PHASES, 3]`` forward, outward, up, over the body's weight, at the usual speed.
        force_slope: ``[PHASES, 3]`` its change with speed.
        point: ``[PHASES, 2]`` from the ball of the foot toward the toes and outward, over the length from
        ankle to
            ball.
        point_slope: ``[PHASES, 2]`` its change with speed.
        speed: the usual speed over ``sqrt(g h)``.
        source: whose steps these were.
    """

    force: F64
    force_slope: F64
    point: F64
    point_slope: F64
    speed: float
    source: str

    def forces(self, stance: Stance, rows: Ints, speed: float) -> F64:
        """World forces ``[n, 3]`` in body weights; none pulls the foot down."""
        local = _sampled(self.force + (speed - self.speed) * self.force_slope, stance.phase(rows))
        local[:, 2] = local[:, 2].clip(min=1e-6)
        return local @ stance.axes

    def points(self, stance: Stance, rows: Ints, ball: F64, floor_m: float, speed: float) -> F64:
        """World centres of pressure ``[n, 3]`` under the ball of the foot's track ``[T, 3]``."""
        path = self.point + (speed - self.speed) * self.point_slope
        flat = ball[rows, :2] + _sampled(path, stance.phase(rows)) @ stance.sole * stance.length
        return np.concatenate([flat, np.full((len(rows), 1), floor_m)], -1)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        lists = {k: v.round(5).tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        Path(path).write_text(json.dumps(lists) + "\n")

    @staticmethod
    def load(path: str | Path) -> WalkingReaction:
        """Read what :meth:`save` wrote."""
        held: dict[str, Any] = json.loads(Path(path).read_text())
        force, force_slope, point, point_slope = (
            np.array(held[name]) for name in ("force", "force_slope", "point", "point_slope")
        )
        speed, source = float(held["speed"]), str(held["source"])
        return WalkingReaction(force, force_slope, point, point_slope, speed, source)


@lru_cache(maxsize=1)
def shipped_reaction() -> WalkingReaction:
    """The usual reaction that ships with the package."""
    return WalkingReaction.load(asset("walking_reaction.json"))


@dataclass(frozen=True, eq=False)
class MeasuredStep:
    """One step on a plate: its stance, the plate's force in body weights and point ``[T, 3]``, and the
    walk."""

    stance: Stance
    force: F64
    point: F64
    ball: F64
    speed: float


def fit_reaction(steps: Iterable[MeasuredStep], source: str) -> WalkingReaction:
    """Mean and change with speed over measured steps (least squares with a small ridge on the change).

    Raises:
        InputError: no step.
    """
    forces, points, speeds = [], [], []
    at = (np.arange(PHASES) + 0.5) / PHASES
    for step in steps:
        stance = step.stance
        rows = stance.rows(len(step.force))
        phase = stance.phase(rows)
        local = np.nan_to_num(step.force[rows]) @ stance.axes.T
        loaded = local[:, 2] > LOADED
        sole = (step.point - step.ball)[rows, :2] @ stance.sole.T / stance.length
        forces.append(np.stack([np.interp(at, phase, column) for column in local.T], -1))
        points.append(np.stack([np.interp(at, phase[loaded], column[loaded]) for column in sole.T], -1))
        speeds.append(step.speed)
    if not forces:
        raise InputError("no whole step on a force plate to learn from")
    apart = np.array(speeds) - np.mean(speeds)

    def slope(values: F64) -> F64:
        centred = values - values.mean(axis=0)
        return np.asarray(np.tensordot(apart, centred, 1) / ((apart**2).sum() + RIDGE))

    force, point = np.array(forces), np.array(points)
    return WalkingReaction(
        force.mean(axis=0), slope(force), point.mean(axis=0), slope(point), float(np.mean(speeds)), source
    )


def _sampled(curve: F64, phase: F64) -> F64:
    at = (np.arange(len(curve)) + 0.5) / len(curve)
    return np.stack([np.interp(phase, at, column) for column in curve.T], -1)


def adapt_reaction(
    usual: WalkingReaction,
    stances: list[Stance],
    total: F64,
    motion: WalkMotion,
) -> tuple[F64, F64]:
    """The usual reaction, brought towards what this walk's motion says.

    Fore-aft and sideways forces and centres of pressure are the usual ones: twice differentiated motion knows
    them worse. The vertical force is the usual one plus a share of the slow part of what Newton's law asks
    beyond it; what is slower than :data:`MEAN_HZ` follows Newton's law in full, so that over strides the
    ground bears the weight.

    Args:
        usual: the curves.
        stances: of both feet.
        total: ``[T, 3]`` Newton's force in body weights.
        motion: of the walk.

    Returns:
        Forces ``[T, 2, 3]`` in body weights and points ``[T, 2, 3]`` (zero where no foot stands).
    """
    frames = len(total)
    force, point = np.zeros((frames, 2, 3)), np.zeros((frames, 2, 3))
    for stance in stances:
        rows = stance.rows(frames)
        ball = motion.joints[:, BALLS[stance.foot]]
        force[rows, stance.foot] = usual.forces(stance, rows, motion.speed)
        point[rows, stance.foot] = usual.points(stance, rows, ball, motion.floor_m, motion.speed)
    upward = force[..., 2]
    share = upward / upward.sum(axis=1, keepdims=True).clip(min=1e-9)
    stretch = math.sqrt(REFERENCE_HEIGHT_M / motion.height_m)

    def slow(signal: F64, hertz: float) -> F64:
        if frames < shortest(hertz, motion.fps):
            return np.full(frames, signal.mean())
        return low_pass(torch.from_numpy(signal), motion.fps, hertz)[0].numpy()

    asked = total[:, 2] - slow(upward.sum(axis=1), TRUST_HZ * stretch)
    upward = upward + TRUST * share * asked[:, None]
    left = slow(total[:, 2] - upward.sum(axis=1), MEAN_HZ * stretch)
    force[..., 2] = (upward + share * left[:, None]).clip(min=0)
    return force, point


@dataclass(frozen=True, eq=False)
class WalkMotion:
    """What of a walk the reaction hangs on: filtered joints ``[T, 24, 3]``, floor, size, rate and speed."""

    joints: F64
    floor_m: float
    height_m: float
    fps: float
    speed: float


def walks(stances: list[Stance], motion: WalkMotion) -> bool:
    """Whether this is walking, and not standing, running or what else the curves know nothing of."""
    if len({stance.foot for stance in stances}) < 2 or not SLOWEST < motion.speed < FASTEST:
        return False
    unit = math.sqrt(motion.height_m / STANDARD_GRAVITY)
    lasted = [(stance.last - stance.first + 1) / motion.fps / unit for stance in stances]
    return SHORTEST_STANCE < float(np.median(lasted)) < LONGEST_STANCE

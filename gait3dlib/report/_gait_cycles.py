"""Steps and strides of a walk, and the figures and curves that clinicians and coaches read off them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait3dlib.body import JOINT_NAMES
from gait3dlib.dynamics import Dynamics, inverse_dynamics
from gait3dlib.dynamics._filter import low_pass, scaled_cutoff

F64 = NDArray[np.float64]
G = 9.80665
PHASES = 51  # points of a curve: every 2 % of the gait cycle
SIDES = ("left", "right")
SHORTEST_S, LONGEST_S = 0.5, 2.5
BELT = 0.06  # over sqrt(g h): a floor that moves faster is a treadmill

# figure -> its unit in dimensionless terms: value / (height ** a * g ** b) is what people of all sizes share
FIGURES: dict[str, tuple[float, float]] = {
    "speed": (0.5, 0.5),
    "cadence": (-0.5, 0.5),
    "stride_length": (1.0, 0.0),
    "stride_time": (0.5, -0.5),
    "step_length": (1.0, 0.0),
    "step_time": (0.5, -0.5),
    "step_width": (1.0, 0.0),
    "stance": (0.0, 0.0),
    "swing": (0.0, 0.0),
    "double_support": (0.0, 0.0),
}
JOINTS = ("hip", "knee", "ankle")
EXTENSION = {"hip": 1.0, "knee": -1.0, "ankle": 1.0}  # sign of extension about the axis that points left
# curve -> its unit, likewise; angles in degrees, reactions in % of body weight
CURVES: dict[str, tuple[float, float]] = (
    {f"{joint}_angle": (0.0, 0.0) for joint in JOINTS}
    | {f"{joint}_moment": (1.0, 1.0) for joint in JOINTS}
    | {f"{joint}_power": (0.5, 1.5) for joint in JOINTS}
    | {f"ground_{axis}": (0.0, 0.0) for axis in ("up", "forward", "inward")}
)


def unit(powers: tuple[float, float], height_m: float) -> float:
    """What a dimensionless figure is multiplied with for a person of that height."""
    return math.pow(height_m, powers[0]) * math.pow(G, powers[1])


@dataclass(frozen=True)
class Stride:
    """From one heel strike of a foot (0 left, 1 right) to its next; frames, both strikes inside."""

    foot: int
    first: int
    leaves: int
    last: int


@dataclass(frozen=True, eq=False)
class Strides:
    """All strides of a walk with what was read off each.

    Attributes:
        found: the strides.
        figures: figure -> ``[n]``, in s, m, m/s, steps a minute or %; NaN where a neighbouring step is cut.
        curves: curve -> ``[n, 51]`` from heel strike to heel strike: degrees, N m/kg, W/kg, % of body weight.
        exact: ``[n]`` share of the stride in which the loads follow from Newton's law or a plate alone.
        height_m: that was used.
    """

    found: tuple[Stride, ...]
    figures: dict[str, F64]
    curves: dict[str, F64]
    exact: F64
    height_m: float

    def of(self, foot: int) -> NDArray[np.bool_]:
        """Which strides are that foot's."""
        return np.array([stride.foot == foot for stride in self.found], bool)

    def __len__(self) -> int:
        return len(self.found)


def read_strides(
    joints: F64,
    fps: float,
    height_m: float | None = None,
    *,
    cutoff_hz: float | None = None,
    ground_reaction: ArrayLike | None = None,
) -> Strides:
    """Every whole stride of joints ``[T, 24, 3]``.

    Heel strike and toe-off are where inverse dynamics finds contact begin and end. Without plates, forces are
    the usual ones of walking people, brought towards Newton's law.

    Raises:
        InputError: from :func:`~gait3dlib.dynamics.inverse_dynamics`.
    """
    found = inverse_dynamics(
        joints, fps, height=height_m, ground_reaction=ground_reaction, reaction="walking", cutoff_hz=cutoff_hz
    )
    cutoff = scaled_cutoff(found.height_m) if cutoff_hz is None else cutoff_hz
    walk = _Walk.of(joints, fps, cutoff, found)
    strides = _strides(found.contact, fps)
    figures = {name: np.full(len(strides), np.nan) for name in FIGURES}
    curves = {name: np.full((len(strides), PHASES), np.nan) for name in CURVES}
    for row, stride in enumerate(strides):
        for name, value in _figures(walk, stride).items():
            figures[name][row] = value
        for name, curve in _curves(walk, stride).items():
            curves[name][row] = curve
    exact = np.array([found.leg_exact[s.first : s.last + 1, s.foot].mean() for s in strides])
    return Strides(tuple(strides), figures, curves, exact, found.height_m)


@dataclass(frozen=True, eq=False)
class _Walk:
    """Filtered legs ``[T, 24, 3]``, the floor's velocity ``[2]``, and the dynamics."""

    joints: F64
    belt: F64
    dynamics: Dynamics

    @staticmethod
    def of(joints: F64, fps: float, cutoff_hz: float, dynamics: Dynamics) -> _Walk:
        import torch

        filled = joints.copy()
        frames = np.arange(len(joints))
        for column in filled.reshape(len(joints), -1).T:  # what inverse dynamics accepts has short gaps only
            gone = np.isnan(column)
            if gone.any():
                column[gone] = (
                    np.interp(frames[gone], frames[~gone], column[~gone]) if not gone.all() else 0.0
                )
        value, velocity, _ = (x.numpy() for x in low_pass(torch.from_numpy(filled), fps, cutoff_hz))
        standing = [velocity[dynamics.contact[:, f], 10 + f, :2] for f in (0, 1)]
        belt = np.median(np.concatenate(standing), axis=0) if dynamics.contact.any() else np.zeros(2)
        slow = np.linalg.norm(belt) < BELT * math.sqrt(G * dynamics.height_m)
        return _Walk(value, np.zeros(2) if slow else belt, dynamics)

    @property
    def fps(self) -> float:
        return self.dynamics.fps

    def on_floor(self, joint: str, frame: int) -> F64:
        """A joint's place ``[2]`` on the floor, which may be a belt."""
        return np.asarray(self.joints[frame, JOINT_NAMES.index(joint), :2] - self.belt * frame / self.fps)


def _strides(on: NDArray[np.bool_], fps: float) -> list[Stride]:
    out = []
    for foot in (0, 1):
        change = np.diff(on[:, foot].astype(np.int8))
        strikes, leaves = np.flatnonzero(change == 1) + 1, np.flatnonzero(change == -1) + 1
        for first, last in pairwise(strikes):
            between = leaves[(leaves > first) & (leaves < last)]
            if len(between) == 1 and SHORTEST_S < (last - first) / fps < LONGEST_S:
                out.append(Stride(foot, int(first), int(between[0]), int(last)))
    return sorted(out, key=lambda stride: stride.first)


def _figures(walk: _Walk, stride: Stride) -> dict[str, float]:
    """Figures of one stride; those that need a step of the other foot are left out where it has none."""
    a, b, fps = stride.first, stride.last, walk.fps
    side, other = SIDES[stride.foot], SIDES[1 - stride.foot]
    time = (b - a) / fps
    way = walk.on_floor(f"{side}_ankle", b) - walk.on_floor(f"{side}_ankle", a)
    length = float(np.linalg.norm(way))
    stance = 100 * (stride.leaves - a) / (b - a)
    found = {
        "stride_time": time,
        "cadence": 120 / time,
        "stride_length": length,
        "speed": length / time,
        "stance": stance,
        "swing": 100 - stance,
    }
    ahead = way / max(length, 1e-9)
    on = walk.dynamics.contact[:, 1 - stride.foot]
    change = np.diff(on[a : b + 1].astype(np.int8))
    leaves, strikes = np.flatnonzero(change == -1) + 1 + a, np.flatnonzero(change == 1) + 1 + a
    if len(leaves) == 1 and len(strikes) == 1 and a < leaves[0] < strikes[0]:
        both = (leaves[0] - a) + max(stride.leaves - strikes[0], 0)
        found["double_support"] = 100 * both / (b - a)
        # this foot's step: from the other's heel strike to its own
        found["step_time"] = (b - strikes[0]) / fps
        step = walk.on_floor(f"{side}_ankle", b) - walk.on_floor(f"{other}_ankle", int(strikes[0]))
        found["step_length"] = float(step @ ahead)
        own = walk.on_floor(f"{side}_ankle", (a + stride.leaves) // 2)
        flat = min(strikes[0] + (stride.leaves - a) // 2, len(on) - 1)
        if on[flat]:
            apart = walk.on_floor(f"{other}_ankle", flat) - own
            found["step_width"] = float(abs(ahead[0] * apart[1] - ahead[1] * apart[0]))
    return found


def _curves(walk: _Walk, stride: Stride) -> dict[str, F64]:
    """Sagittal angles, moments and powers of one leg over a stride, and the reaction under its foot."""
    rows = slice(stride.first, stride.last + 1)
    joints, found, foot = walk.joints[rows], walk.dynamics, stride.foot
    across = (joints[:, 1, :2] - joints[:, 2, :2]).mean(axis=0)
    left = np.append(across / np.linalg.norm(across), 0.0)
    ahead, up = np.array([left[1], -left[0], 0.0]), np.array([0.0, 0.0, 1.0])
    hip, knee, ankle, ball = (joints[:, joint + foot] for joint in (1, 4, 7, 10))

    def swung(below: F64, above: F64) -> F64:
        """Degrees by which a segment is swung forward about what is above it; 0 hangs down."""
        bone = below - above
        return np.asarray(np.degrees(np.arctan2(bone @ ahead, -(bone @ up))))

    thigh, shank, sole = swung(knee, hip), swung(ankle, knee), swung(ball, ankle)
    bent = sole - shank
    curves = {"hip_angle": thigh, "knee_angle": thigh - shank, "ankle_angle": bent - bent.mean()}
    height = found.height_m
    for name, joint in zip(JOINTS, (1, 4, 7), strict=True):
        moment = found.moment[rows, joint + foot] @ left * EXTENSION[name]
        curves[f"{name}_moment"] = moment * unit(CURVES[f"{name}_moment"], height)
        curves[f"{name}_power"] = found.power[rows, joint + foot] * unit(CURVES[f"{name}_power"], height)
    force = 100 * found.ground_force[rows, foot]
    inward = -left if foot == 0 else left
    for axis, name in ((up, "up"), (ahead, "forward"), (inward, "inward")):
        curves[f"ground_{name}"] = force @ axis
    at, whole = np.linspace(0, len(joints) - 1, PHASES), np.arange(len(joints))
    return {name: np.interp(at, whole, curve) for name, curve in curves.items()}

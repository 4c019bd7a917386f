"""When each foot stands during a walk, to fractions of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.dynamics._contact import ANKLES, BALLS, LANDING_SPEED, LEAVING_SPEED
from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.dynamics._walk import WalkMotion

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
_SIGN = np.array([1.0, -1.0])  # left and right: what is outward for one is inward for the other
WINDOW = 0.25  # edges are looked for so far around the contact's, in units of sqrt(h / g)
# Walking: speeds over sqrt(g h), stances over sqrt(h / g)
SLOWEST, FASTEST = 0.08, 0.55
SHORTEST_STANCE, LONGEST_STANCE = 0.9, 4.0


@dataclass(frozen=True, eq=False)
class Stance:
    """One time that a foot stands.

    Attributes:
        foot: 0 left, 1 right.
        start, end: when it lands and leaves, in frames; of a stance that the recording cuts they lie outside
            of it, where they are expected.
        forward: ``[2]`` horizontal unit vector in which the pelvis faces.
        toeward: ``[2]`` horizontal unit vector from ankle to ball of the flat foot.
        length: from ankle to ball, metres.
    """

    foot: int
    start: float
    end: float
    forward: F64
    toeward: F64
    length: float

    def rows(self, frames: int) -> Ints:
        """Its frames in the recording."""
        return np.arange(max(math.ceil(self.start), 0), min(math.floor(self.end) + 1, frames))

    def phase(self, rows: Ints) -> F64:
        """0 at landing, 1 at leaving."""
        return np.asarray((rows - self.start) / (self.end - self.start))

    @property
    def axes(self) -> F64:
        """``[3, 3]``, rows: forward, outward, up."""
        x, y = self.forward
        return np.array([[x, y, 0.0], [-y * _SIGN[self.foot], x * _SIGN[self.foot], 0.0], [0.0, 0.0, 1.0]])

    @property
    def leftward(self) -> F64:
        """``[3]``, about which legs flex and extend."""
        return np.array([-self.forward[1], self.forward[0], 0.0])

    @property
    def sole(self) -> F64:
        """``[2, 2]``, rows: from ankle to ball, outward."""
        x, y = self.toeward
        return np.array([[x, y], [-y * _SIGN[self.foot], x * _SIGN[self.foot]]])


def find_stances(on: Bools, walk: WalkMotion) -> list[Stance]:
    """The stances of a walk; empty where feet do not take turns.

    A stance that the recording cuts gets the mean length of the whole ones.

    Args:
        on: ``[T, 2]`` contact of the left and right foot.
        walk: its motion.
    """
    runs: list[tuple[int, slice]] = []
    for foot in (0, 1):
        runs += [(foot, found[0]) for found in ndimage.find_objects(ndimage.label(on[:, foot])[0])]
    # the stance that fills the recording is no step
    steps = [(foot, seen) for foot, seen in runs if seen.start > 0 or seen.stop < len(on)]
    edges = np.array([_edges(foot, seen, walk) for foot, seen in steps]).reshape(-1, 2)
    lasted = edges[:, 1] - edges[:, 0]
    if not np.isfinite(lasted).any():
        return []
    usual = float(np.nanmean(lasted))
    out = []
    for (foot, seen), (start, end) in zip(steps, edges, strict=True):
        begin = min(end - usual, -0.5) if np.isnan(start) else start
        stop = max(start + usual, len(on) - 0.5) if np.isnan(end) else end
        out.append(_stance(foot, begin, stop, seen, walk.joints))
    return out


def walks(stances: list[Stance], walk: WalkMotion) -> bool:
    """Whether this is walking, and not standing, running or what else the curves know nothing of."""
    if len({stance.foot for stance in stances}) < 2 or not SLOWEST < walk.speed < FASTEST:
        return False
    unit = math.sqrt(walk.height_m / STANDARD_GRAVITY)
    lasted = [(stance.end - stance.start) / walk.fps / unit for stance in stances]
    return SHORTEST_STANCE < float(np.median(lasted)) < LONGEST_STANCE


def _edges(foot: int, seen: slice, walk: WalkMotion) -> tuple[float, float]:
    """Landing and leaving in frames, NaN where the recording cuts them.

    Landing is the mean of two rules, whose errors differ: the ankle has come to rest, and the foot was
    farthest ahead of the pelvis (Zeni et al., Gait & Posture 27, 2008). The second is early, so that the
    load's rise lies inside. Leaving is when the ball of the foot moves forward.
    """
    unit = math.sqrt(walk.height_m / STANDARD_GRAVITY) * walk.fps
    fast = math.sqrt(STANDARD_GRAVITY * walk.height_m)
    forward = _forward(seen, walk.joints)
    window = max(math.ceil(WINDOW * unit), 2)
    start = end = math.nan
    if seen.start > 0:
        speed = np.linalg.norm(walk.velocity[:, ANKLES[foot]], axis=-1) / fast
        rest = _crossing(-speed, -LANDING_SPEED, seen.start, window)
        moving = (walk.velocity[:, ANKLES[foot]] - walk.velocity[:, 0])[:, :2] @ forward
        turning = _crossing(-moving, 0.0, seen.start, 2 * window)
        both = [edge for edge in (rest, turning) if math.isfinite(edge)]
        start = float(np.mean(both)) if both else seen.start - 0.5
    if seen.stop < len(walk.joints):
        ahead = walk.velocity[:, BALLS[foot], :2] @ forward / fast
        end = _crossing(ahead, LEAVING_SPEED, seen.stop - 1, window)
        end = end if math.isfinite(end) else seen.stop - 0.5
    return start, end


def _crossing(signal: F64, level: float, near: int, window: int) -> float:
    """The time nearest to a frame at which a signal rises through a level, in frames; NaN = never."""
    first = max(near - window, 0)
    part = signal[first : near + window + 1] - level
    before = np.flatnonzero((part[:-1] < 0) & (part[1:] >= 0))
    if len(before) == 0:
        return math.nan
    times = first + before + part[before] / (part[before] - part[before + 1])
    return float(times[np.abs(times - near).argmin()])


def _forward(seen: slice, joints: F64) -> F64:
    left = (joints[seen, 1] - joints[seen, 2])[:, :2].mean(axis=0)
    left = left / np.linalg.norm(left)
    return np.array([left[1], -left[0]])


def _stance(foot: int, start: float, end: float, seen: slice, joints: F64) -> Stance:
    toes = joints[seen, BALLS[foot]] - joints[seen, ANKLES[foot]]
    flat = toes[:, :2].mean(axis=0)
    length = float(np.median(np.linalg.norm(joints[:, BALLS[foot]] - joints[:, ANKLES[foot]], axis=-1)))
    return Stance(foot, start, end, _forward(seen, joints), flat / np.linalg.norm(flat), length)

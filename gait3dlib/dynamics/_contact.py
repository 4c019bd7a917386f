"""When a foot is on the floor, from how fast its ankle and ball move and how high they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.body import JOINT_NAMES
from gait3dlib.dynamics._tree import STANDARD_GRAVITY

F64 = NDArray[np.float64]
ANKLES = (JOINT_NAMES.index("left_ankle"), JOINT_NAMES.index("right_ankle"))
BALLS = (JOINT_NAMES.index("left_foot"), JOINT_NAMES.index("right_foot"))

# Speeds in units of sqrt(g h), heights in units of stature, times in units of sqrt(h / g): a child and an
# adult who walk alike touch down alike. The ankle of a landing foot slows down as its heel strikes; the
# ball of a leaving foot is the last to speed up.
LANDING_SPEED = 0.14
LEAVING_SPEED = 0.30
ANKLE_RISE, BALL_RISE = 0.08, 0.05
HEEL_UP = 0.8  # of the height that the ankle has over the ball of a flat foot
SHORTEST = 0.2
BELT_SPEED = 0.06  # a floor that moves faster is a treadmill
# the passing of the weight begins and ends so much of a double support before and after it
EARLY, LATE = 0.15, 0.10
SOLE = 0.014  # the ball of the foot lies so far above the floor


@dataclass(frozen=True, eq=False)
class Contact:
    """Where and when the feet stand.

    Attributes:
        on: bool ``[T, 2]``, left and right.
        floor_m: height of the floor.
        belt_m_s: ``[2]`` horizontal velocity of the floor: zero, unless the person walks on a treadmill.
    """

    on: NDArray[np.bool_]
    floor_m: float
    belt_m_s: F64


def find_contact(joints: F64, velocity: F64, fps: float, height_m: float) -> Contact:
    """Contact of both feet from filtered joints and velocities ``[T, 24, 3]``."""
    unit = math.sqrt(STANDARD_GRAVITY * height_m)
    ankles, balls = joints[:, list(ANKLES)], joints[:, list(BALLS)]
    ankle_rest, ball_rest = (np.percentile(points[..., 2], 5) for points in (ankles, balls))
    belt = _belt(joints, velocity, unit)
    moving = velocity - np.append(belt, 0.0)
    ankle_speed, ball_speed = (
        np.linalg.norm(moving[:, list(rows)], axis=-1) / unit for rows in (ANKLES, BALLS)
    )
    heel = (ankle_speed < LANDING_SPEED) & (ankles[..., 2] < ankle_rest + ANKLE_RISE * height_m)
    raised = ankles[..., 2] - balls[..., 2] > HEEL_UP * (ankle_rest - ball_rest)
    ball = (ball_speed < LEAVING_SPEED) & raised & (balls[..., 2] < ball_rest + BALL_RISE * height_m)
    shortest = max(round(SHORTEST * math.sqrt(height_m / STANDARD_GRAVITY) * fps), 1)
    on = heel | ball
    for foot in (0, 1):
        on[:, foot] = _without_short(on[:, foot], shortest)
    return Contact(on, float(ball_rest) - SOLE * height_m, belt)


def _belt(joints: F64, velocity: F64, unit: float) -> F64:
    """The horizontal velocity at which the lowest part of the feet usually moves, zero if it is slow."""
    rows = [*ANKLES, *BALLS]
    rest = np.percentile(joints[:, rows, 2], 5, axis=0)
    lowest = (joints[:, rows, 2] - rest).argmin(axis=1)
    usual = np.median(velocity[np.arange(len(joints)), np.array(rows)[lowest], :2], axis=0)
    return usual if np.linalg.norm(usual) > BELT_SPEED * unit else np.zeros(2)


def _without_short(on: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Gaps and contacts of fewer frames are taken for noise, except where the recording cuts them."""
    for state in (False, True):
        runs, count = ndimage.label(on == state)
        for run in range(1, count + 1):
            rows = np.flatnonzero(runs == run)
            if len(rows) < shortest and rows[0] > 0 and rows[-1] < len(on) - 1:
                on[rows] = not state
    return on


def support_weights(on: NDArray[np.bool_]) -> tuple[F64, NDArray[np.bool_]]:
    """How much of the body's weight each foot bears, as far as time alone tells.

    In single support all of it. In double support the weight passes from the trailing to the leading foot
    along a straight line in time. The line begins before the landing and ends after the leaving, as
    filtered motion smears the passing of the weight.

    Returns:
        Shares ``[T, 2]`` that add to 1 where a foot stands (NaN in double support that has no passing,
        such as standing), 0 in flight; and bool ``[T]``, where the share is a rule and not known.
    """
    share = on.astype(np.float64)
    both = np.asarray(on.all(axis=1))
    share[both] = np.nan
    open_ = both.copy()
    runs, count = ndimage.label(both)
    for run in range(1, count + 1):
        rows = np.flatnonzero(runs == run)
        before, after = rows[0] - 1, rows[-1] + 1
        if before < 0 or after >= len(on) or not (on[before].any() and on[after].any()):
            continue
        trailing, leading = int(on[before].argmax()), int(on[after].argmax())
        if trailing == leading:
            continue
        length = len(rows)
        early, late = math.ceil(EARLY * length), math.ceil(LATE * length)
        window = np.arange(max(rows[0] - early, 0), min(rows[-1] + late + 1, len(on)))
        window = window[on[window, trailing] | (window >= rows[0])]
        window = window[on[window, leading] | (window <= rows[-1])]
        passed = (window - (rows[0] - EARLY * length) + 0.5) / (length * (1 + EARLY + LATE))
        share[window, leading] = passed.clip(0, 1)
        share[window, trailing] = 1 - share[window, leading]
        open_[window] = True
    return share, open_

"""Points of one walk in the walker's own frame: where they go is forward, up is metric, and distance is gone.

A LiDAR measures metres, so height is kept as it is: how tall a person is and how long their legs are is
evidence. Where somebody walks, and which way, is none: every frame is centred on the smoothed track and
turned so that x points along the walk. GaitCloud (WACV 2025) turns by the estimated heading as well.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

F64 = NDArray[np.float64]

LEAST = 4  # points of a frame, as few as 16 beams leave at 25 m
TOP_M = 2.2  # above: no walker, but what hangs over them
TALLEST_M = 5.0  # more than that is another unit
ASIDE_M = 1.5  # from the track: further away is somebody else
SMOOTH_S = 0.5  # half a stride: the track goes on evenly, the sway within a stride stays evidence
TURNED_M = 0.3  # who moves less than that in the whole walk has no heading
BEHIND_M = 0.1  # a sensor sees the surface; the middle of the body lies behind it
SENSOR_M = 1.7  # height of a sensor above the ground where nobody says; only augmentation asks


def point_frames(
    points: NDArray[Any], offsets: NDArray[np.int64], t_s: NDArray[Any], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The frames of a walk as sets of ``count`` points in the walker's frame.

    Row 0 of a frame is where the sensor stands. The points follow in a fixed order (by height first), each
    once, so neither the order of the points nor one that comes twice changes anything. Of too many, evenly
    spaced ones in that order are kept; too few are repeated from the start.

    Args:
        points: ``[sum N, 3 or more]`` x, y from the sensor's foot and height above the ground, in metres.
        offsets: ``[T + 1]``; frame i is ``points[offsets[i]:offsets[i + 1]]``.
        t_s: ``[T]`` seconds.
        count: points of a set.

    Returns:
        float32 ``[T', 1 + count, 3]``: x along the walk, y to its left, z above the ground, metres from the
        track; and int64 ``[T']``, the frames that hold enough points.

    Raises:
        InputError: a walker of more than 5 m.
    """
    clouds = [_unique(points[a:b, :3].astype(np.float64)) for a, b in itertools.pairwise(offsets)]
    _check_unit(clouds)
    clouds = [cloud[(cloud[:, 2] > -0.2) & (cloud[:, 2] < TOP_M)] for cloud in clouds]
    kept = np.flatnonzero([len(cloud) >= LEAST for cloud in clouds])
    if not len(kept):
        return np.zeros((0, 1 + count, 3), np.float32), kept
    centres = np.stack([_middle(clouds[i]) for i in kept])
    track, heading = _track(centres, np.asarray(t_s, np.float64)[kept])
    frames, whole = [], []
    for row, (index, place, angle) in enumerate(zip(kept, track, heading, strict=True)):
        away = clouds[index] - (*place, 0.0)
        away = away[np.hypot(away[:, 0], away[:, 1]) < ASIDE_M]
        if len(away) >= LEAST:
            # the sensor's foot is the origin of the points
            sensor = np.array([[-place[0], -place[1], SENSOR_M]])
            body = _chosen(_turned(away, angle), count)
            frames.append(np.concatenate([_turned(sensor, angle), body]))
            whole.append(row)
    if not frames:
        return np.zeros((0, 1 + count, 3), np.float32), kept[:0]
    return np.stack(frames).astype(np.float32), kept[whole]


def _check_unit(clouds: list[F64]) -> None:
    tall = [np.ptp(cloud[:, 2]) for cloud in clouds if len(cloud)]
    height = float(np.median(tall)) if tall else 0.0
    if height > TALLEST_M:
        raise InputError(
            f"the walker would be {height:.0f} m tall; points must be in metres (millimetres / 1000)"
        )


def _middle(cloud: F64) -> F64:
    """The middle of the trunk, ``[2]``: legs and arms swing, the trunk goes on."""
    low, high = np.quantile(cloud[:, 2], (0.02, 0.98))
    share = (cloud[:, 2] - low) / max(high - low, 1e-6)
    trunk = cloud[(share > 0.5) & (share < 0.9)]
    xy: F64 = np.median((trunk if len(trunk) >= LEAST else cloud)[:, :2], axis=0)
    distance = np.hypot(*xy)
    return xy * (1 + BEHIND_M / distance) if distance > 0.5 else xy


def _track(centres: F64, t_s: F64) -> tuple[F64, F64]:
    """The smoothed track ``[T, 2]`` and the heading at every frame ``[T]`` in radians.

    Local linear regression with a Gaussian kernel (Cleveland, JASA 1979, without the robust weights): it
    does not lag at the ends, where a mean would.
    """
    since = t_s[None, :] - t_s[:, None]
    weight = np.exp(-0.5 * (since / SMOOTH_S) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    mean_t, mean_xy = (weight * since).sum(axis=1), weight @ centres
    spread = (weight * (since - mean_t[:, None]) ** 2).sum(axis=1)
    along = (weight * (since - mean_t[:, None])) @ centres
    velocity = along / np.where(spread > 1e-9, spread, np.inf)[:, None]
    track = mean_xy - velocity * mean_t[:, None]
    if np.linalg.norm(track[-1] - track[0]) < TURNED_M and np.ptp(track, axis=0).max() < TURNED_M:
        # nobody knows where they are heading: towards the sensor
        return track, np.arctan2(-track[:, 1], -track[:, 0])
    slow = np.linalg.norm(velocity, axis=1) < 0.2
    velocity[slow] = track[-1] - track[0]
    return track, np.arctan2(velocity[:, 1], velocity[:, 0])


def _turned(points: F64, angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    x, y = points[:, 0] * c + points[:, 1] * s, points[:, 1] * c - points[:, 0] * s
    return np.stack([x, y, points[:, 2]], axis=1)


def _chosen(points: F64, count: int) -> F64:
    """``count`` of the points: each once and sorted by height first; evenly spaced or repeated."""
    unique = _unique(points)
    if len(unique) > count:
        return unique[(2 * np.arange(count) + 1) * len(unique) // (2 * count)]
    return unique[np.arange(count) % len(unique)]


def _unique(points: F64) -> F64:
    """Every point once, by height, then y, then x."""
    return np.unique(points[:, ::-1], axis=0)[:, ::-1]

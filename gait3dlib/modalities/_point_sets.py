"""Clouds of one walk as sets of equally many points, centred and scaled, as LidarGait++ reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

POINTS = 1024


def point_sets(
    points: NDArray[Any], offsets: NDArray[np.int64], count: int = POINTS, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw ``count`` points of every frame with replacement, then :func:`normalise_points`.

    The draw is a function of the seed and the frame's place, so the same walk always gives the same sets.

    Args:
        points: ``[sum N, 3 or more]``, x, y, z (up) in metres first.
        offsets: ``[T + 1]``; frame i is ``points[offsets[i]:offsets[i + 1]]``.
        count: points of a set.
        seed: of the draw.

    Returns:
        float32 ``[T', count, 4]``, and int64 ``[T']``: the frames that hold a point.

    Raises:
        InputError: wrong shape, NaN, or no positive count.
    """
    if count < 1:
        raise InputError(f"count must be at least 1 point, not {count}")
    _check(points)
    kept = np.flatnonzero(np.diff(offsets) > 0)
    drawn = [
        int(offsets[t]) + np.random.default_rng([seed, t]).integers(0, offsets[t + 1] - offsets[t], count)
        for t in kept.tolist()
    ]
    index = np.stack(drawn) if drawn else np.zeros((0, count), np.int64)
    return normalise_points(points[index]).astype(np.float32), kept


def normalise_points(points: NDArray[Any]) -> NDArray[Any]:
    """Centre clouds on their mean, divide by the largest distance from there, and add the height in metres.

    LidarGait++ (Shen et al., CVPR 2025): the fourth value keeps what scaling loses, how tall the walker is.

    Args:
        points: ``[..., p, 3 or more]``, x, y, z (up) in metres first; what follows is left out.

    Returns:
        ``[..., p, 4]`` in the precision of the points: x, y, z, and the height above the lowest point. A
        cloud without extent stays at 0.

    Raises:
        InputError: wrong shape, or NaN.
    """
    _check(points)
    xyz = points[..., :3]
    centred = xyz - xyz.mean(axis=-2, keepdims=True)
    reach = np.sqrt((centred**2).sum(axis=-1, keepdims=True)).max(axis=-2, keepdims=True)
    height = xyz[..., 2:] - xyz[..., 2:].min(axis=-2, keepdims=True)
    return np.concatenate([centred / np.where(reach > 0, reach, 1), height], axis=-1)


def _check(points: NDArray[Any]) -> None:
    if points.ndim < 2 or points.shape[-1] < 3 or points.dtype.kind != "f":
        raise InputError(
            f"points must be floating point [..., 3 or more], x, y, z first, "
            f"not {points.dtype} {list(points.shape)}"
        )
    if not np.isfinite(points[..., :3]).all():
        raise InputError("points hold NaN or infinity; leave such points out")

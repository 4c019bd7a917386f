"""Convex outlines in the plane, by support function: h(angle) = max over points of <point, direction>."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def angles(count: int) -> F64:
    """Evenly spread angles ``[count]`` in radians, from 0."""
    return np.asarray(np.arange(count) * (2 * np.pi / count), np.float64)


def directions(count: int) -> F64:
    """Unit vectors ``[2, count]`` at :func:`angles`."""
    return np.stack([np.cos(angles(count)), np.sin(angles(count))])


def radial(support: F64) -> F64:
    """How far the outline is from the origin in each direction ``[..., count]``, given its support function
    ``[..., count]`` at the same angles; the origin lies inside.

    The outline is where all half planes meet: r cos(angle to the direction) <= h(direction).
    """
    count = support.shape[-1]
    radius = np.full_like(support, np.inf)
    for k in range(-(count // 4) + 1, count // 4):
        np.minimum(radius, np.roll(support, k, axis=-1) / np.cos(k * 2 * np.pi / count), out=radius)
    return radius

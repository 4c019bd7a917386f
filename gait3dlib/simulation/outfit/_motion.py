"""How loose things follow: filters over the frames of a motion, at any frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
GRAVITY = np.array([0.0, 0.0, -9.81])


def lagged(values: F64, t_s: F64, seconds: float) -> F64:
    """Values ``[T, ...]`` behind a first-order lag of that time constant; it starts at rest."""
    out = values.copy()
    keep = np.exp(-np.diff(t_s) / seconds)
    for i, share in enumerate(keep):
        out[i + 1] = share * out[i] + (1 - share) * values[i + 1]
    return out


def held(values: F64, t_s: F64, release_m_s: float) -> F64:
    """Values ``[T, ...]`` that rise at once and fall no faster than ``release_m_s``."""
    out = values.copy()
    for i, step in enumerate(np.diff(t_s)):
        out[i + 1] = np.maximum(values[i + 1], out[i] - release_m_s * step)
    return out


def apparent_gravity(points: F64, t_s: F64) -> F64:
    """g - a ``[T, 3]`` in units of g that hangs on a moving point ``[T, 3]``; at most 2 g."""
    if len(t_s) < 3:
        return np.tile(GRAVITY / 9.81, (len(points), 1))
    velocity = np.gradient(points, t_s, axis=0)
    pull = (GRAVITY - np.gradient(velocity, t_s, axis=0)) / 9.81
    strength = np.linalg.norm(pull, axis=1, keepdims=True)
    return np.asarray(pull * np.minimum(1.0, 2.0 / np.maximum(strength, 1e-9)))


def heading(turned: F64) -> F64:
    """Which way a joint faces over the ground: rotations ``[T, 3, 3]`` about z alone."""
    yaw = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    c, s, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    rows = np.stack([c, -s, zero, s, c, zero, zero, zero, one], axis=1)
    return rows.reshape(-1, 3, 3)


def nearest_rotation(matrices: F64) -> F64:
    """Rotations ``[T, 3, 3]`` nearest to matrices (the mean of two rotations, or their sum)."""
    left, _, right = np.linalg.svd(matrices)
    return np.asarray(left @ right)

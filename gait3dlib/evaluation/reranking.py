"""Re-ranking by k-reciprocal neighbours (Zhong, Zheng, Cao and Li, CVPR 2017).

Two walks are alike if they are among each other's nearest, and if their nearest are the same. Probes and
gallery are looked at together, so the score of a pair depends on who else is there: an option for a closed
search of many probes, never for one person at a door.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools
from gait3dlib.evaluation.scores import similarity

MOST = 20_000  # walks: distances of all to all then take 3.2 GB


def rerank(
    probe: NDArray[Any], gallery: NDArray[Any], *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> F64:
    """Similarities after re-ranking: minus ``(1 - weight) d_J + weight d``.

    R(p, k) are the k-reciprocal neighbours of p, enlarged by those R(q, k/2) of its members q of which it
    holds two thirds or more. V_p is exp(-d) over the enlarged set, scaled to sum 1 and averaged over the k2
    nearest of p; d_J is the Jaccard distance of V_p and V_g; d is the square of the Euclidean distance (mean
    over parts), divided by its largest value in each row.

    Args:
        probe: ``[n, parts, dim]`` or ``[n, dim]``.
        gallery: ``[m, parts, dim]`` or ``[m, dim]``.
        k1: neighbours that must be reciprocal; the paper's 20, OpenGait's HID contest 6.
        k2: neighbours whose sets are averaged; 1 = only one's own.
        weight: of the distance itself, 0 to 1; the paper's lambda.

    Returns:
        float64 ``[n, m]``, larger = more alike.

    Raises:
        InputError: k1, k2 or weight make no sense, or there are more than 20,000 walks.
    """
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        given = f"{k1}, {k2}, {weight}"
        raise InputError(f"re-ranking needs k1 and k2 of at least 1 and a weight of 0 to 1, not {given}")
    both = np.concatenate([np.asarray(probe), np.asarray(gallery)])
    count, probes = len(both), len(probe)
    if count > MOST:
        raise InputError(
            f"re-ranking compares all with all; {count} walks are more than {MOST}, leave it out"
        )
    distance = np.square(similarity(both, both, "euclidean").astype(np.float64))
    np.fill_diagonal(distance, 0.0)
    distance /= np.maximum(distance.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    # stable, and a walk is its own first neighbour even beside an equal one
    nearest = np.argsort(distance - np.eye(count), axis=1, kind="stable")
    sets = _reciprocal_sets(nearest, min(k1, count - 1))
    value = np.where(sets, np.exp(-distance), 0.0)
    value /= value.sum(axis=1, keepdims=True)
    if k2 > 1:
        value = np.stack([value[near[:k2]].mean(axis=0) for near in nearest])
    jaccard = np.empty((probes, count - probes))
    for row in range(probes):
        least = np.minimum(value[row], value[probes:]).sum(axis=1)
        jaccard[row] = 1.0 - least / (2.0 - least)
    final: F64 = -((1.0 - weight) * jaccard + weight * distance[:probes, probes:])
    return final


def _reciprocal_sets(nearest: NDArray[np.int64], k: int) -> Bools:
    """R*(p, k) of everybody as rows of a matrix; p belongs to its own set."""
    inside, half = _reciprocal(nearest, k), _reciprocal(nearest, max(1, round(k / 2)))
    size = half.sum(axis=1)
    enlarged = inside.copy()
    for row, members in enumerate(inside):
        candidates = np.flatnonzero(members)
        shared = (half[candidates] & members).sum(axis=1)
        for candidate in candidates[3 * shared >= 2 * size[candidates]]:
            enlarged[row] |= half[candidate]
    return enlarged


def _reciprocal(nearest: NDArray[np.int64], k: int) -> Bools:
    """Whether q is among the k nearest of p and p among those of q, each itself aside."""
    near = np.zeros(nearest.shape, dtype=bool)
    np.put_along_axis(near, nearest[:, : k + 1], True, axis=1)
    both: Bools = near & near.T
    return both

"""How alike different people come out: the tail of impostor scores, from which default thresholds follow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import WeightsError

# shares of impostor pairs that score above; the tail matters, so they are spaced by powers of ten
TAIL = (0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)


def impostor_tail(embedding: NDArray[np.float32], people: Sequence[str]) -> list[list[float]]:
    """``[share, score]`` rows: that share of pairs of different people scores above that similarity.

    Rows beyond what the number of pairs can resolve (fewer than five pairs above) are left out, and walks
    whose embedding is NaN.
    """
    flat = embedding.reshape(len(embedding), -1)
    seen = np.isfinite(flat).all(axis=1)
    flat, people = flat[seen], np.array(people)[seen].tolist()
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    different = np.array(people)[:, None] != np.array(people)[None, :]
    scores = np.sort((flat @ flat.T)[np.triu(different)])[::-1]
    return [[share, float(scores[int(share * len(scores))])] for share in TAIL if share * len(scores) >= 5]


def threshold_for(tail: Sequence[Sequence[float]], gallery_size: int, fpir: float) -> float:
    """The score that an impostor's best of ``gallery_size`` comparisons passes with probability ``fpir``.

    With independent comparisons FPIR = 1 - (1 - share)^n (Grother and Phillips, 2004). Between rows the score
    is linear in the logarithm of the share; beyond the last row it is extended by the last slope (1 where
    there is one row only, so nobody is named).

    Raises:
        WeightsError: the tail, which comes from a file, is not one.
    """
    table = _checked(tail)
    share = -np.expm1(np.log1p(-fpir) / max(gallery_size, 1))
    x, y = -np.log10(table[:, 0]), table[:, 1]
    wanted = -np.log10(share)
    if wanted > x[-1]:
        slope = (y[-1] - y[-2]) / (x[-1] - x[-2]) if len(x) > 1 else np.inf
        return float(min(y[-1] + slope * (wanted - x[-1]), 1.0))
    return float(np.interp(wanted, x, y))


def _checked(tail: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The tail as ``[rows, 2]``: shares fall from below 1 to above 0, and the scores do not fall."""
    try:
        table = np.array(tail, dtype=np.float64).reshape(-1, 2)
        share, score = np.concatenate([[[1.0, -np.inf]], table, [[0.0, np.inf]]]).T
        good = len(table) > 0 and bool(np.isfinite(table).all())
        good = good and bool((share[1:] < share[:-1]).all() and (score[1:] >= score[:-1]).all())
    except (TypeError, ValueError):
        good = False
    if not good:
        raise WeightsError("the weights hold no usable impostor scores; train the fusion again")
    return table


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, in a fixed order."""
    return [s for size in range(1, len(names) + 1) for s in combinations(sorted(names), size)]

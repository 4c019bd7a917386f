"""Verification: is this the person they say they are?

A pair is accepted if its score is at least the threshold t. Over all compared pairs (ISO/IEC 19795-1):
FMR(t) = share of impostor pairs accepted, FNMR(t) = share of genuine pairs rejected. The gait literature
calls FMR "FAR" and 1 - FNMR "TAR"; nobody fails to be acquired here, so the rates agree, and these are the
names used below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools, Comparisons, finite_vector
from gait3dlib.evaluation.intervals import NAN, Measure, PeopleBootstrap

_GRID = 1024  # thresholds at which bootstrap replicates look


@dataclass(frozen=True)
class Roc:
    """The receiver operating characteristic, from "accept nobody" to "accept everybody".

    threshold ``[t]`` falls from +inf through every distinct score; far and tar ``[t]`` rise from 0 to 1.
    """

    threshold: F64
    far: F64
    tar: F64


def roc(genuine: ArrayLike, impostor: ArrayLike) -> Roc:
    """All operating points of a set of scores, exactly; equal scores are one point.

    Raises:
        InputError: no genuine or no impostor score, or one that is not finite.
    """
    same, other = _both(genuine, impostor)
    threshold = np.unique(np.concatenate([same, other]))[::-1]
    return Roc(
        threshold=np.concatenate([[np.inf], threshold]),
        far=np.concatenate([[0.0], _at_least(other, threshold) / len(other)]),
        tar=np.concatenate([[0.0], _at_least(same, threshold) / len(same)]),
    )


def eer(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """Equal error rate: where FAR = 1 - TAR, on the straight line between neighbouring ROC points."""
    curve = roc(genuine, impostor)
    return float(_equal_error(curve.far, curve.tar))


def tar_at_far(genuine: ArrayLike, impostor: ArrayLike, fars: Sequence[float]) -> dict[float, Measure]:
    """The best TAR whose FAR is at most f, for each f; not interpolated, so never optimistic.

    NaN with a note where fewer than 1 / f impostor pairs were compared: such a rate was not measured.

    Raises:
        InputError: a rate is not above 0 and at most 1, or scores are missing.
    """
    same, other = _both(genuine, impostor)
    curve = roc(same, other)
    return {f: _unresolved(f, len(other)) or Measure(float(_tar_at(curve.far, curve.tar, f))) for f in fars}


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC: P(positive > negative) + P(equal) / 2 (Mann and Whitney 1947; Bamber 1975).

    Raises:
        InputError: no positive or no negative score, or one that is not finite.
    """
    high, low = _both(positive, negative)
    ranks = rankdata(np.concatenate([high, low]))
    rank_sum = float(ranks[: len(high)].sum())
    return (rank_sum - len(high) * (len(high) + 1) / 2) / (len(high) * len(low))


@dataclass(frozen=True)
class VerificationReport:
    """EER and TAR at each FAR, with intervals, and on how many pairs they rest."""

    genuine_pairs: int
    impostor_pairs: int
    eer: Measure
    tar_at_far: dict[float, Measure]


def verify_comparisons(
    pairs: Comparisons, people: PeopleBootstrap, fars: Sequence[float]
) -> VerificationReport:
    """Verification figures of all allowed pairs of a score matrix; strangers are impostors too.

    Replicates look at no more than 2048 thresholds: with more scores than that, a limit of an interval moves
    by about 0.1 percent points; the figures themselves are exact.
    """
    mates = pairs.mates
    others = pairs.allowed & ~mates
    same, other = pairs.scores[mates].astype(np.float64), pairs.scores[others].astype(np.float64)
    counts = (len(same), len(other))
    if 0 in counts:
        reason = Measure(NAN, note=f"{counts[0]} genuine and {counts[1]} impostor pairs")
        return VerificationReport(*counts, eer=reason, tar_at_far={_rate(f): reason for f in fars})
    curve = roc(same, other)
    grid = _grid(same, other)
    accepted, rejected = _accepted(pairs, mates, people, grid), _accepted(pairs, others, people, grid)
    equal = people.rate(float(_equal_error(curve.far, curve.tar)), _equal_error(rejected, accepted))
    tars = {
        f: _unresolved(f, len(other))
        or people.rate(float(_tar_at(curve.far, curve.tar, f)), _tar_at(rejected, accepted, f))
        for f in fars
    }
    return VerificationReport(*counts, eer=equal, tar_at_far=tars)


def _both(first: ArrayLike, second: ArrayLike) -> tuple[F64, F64]:
    one, two = finite_vector(first, "scores"), finite_vector(second, "scores")
    if len(one) == 0 or len(two) == 0:
        raise InputError("both kinds of scores are needed, at least one of each")
    return one, two


def _at_least(scores: F64, threshold: F64) -> F64:
    """How many scores are >= each threshold."""
    below = np.searchsorted(np.sort(scores), threshold, side="left")
    return (len(scores) - below).astype(np.float64)


def _equal_error(far: F64, tar: F64) -> F64:
    """EER of curves ``[..., t]`` that start at (0, 0) and end at (1, 1)."""
    gap = far - (1.0 - tar)
    after = np.argmax(gap >= 0, axis=-1)[..., None]
    g0, g1 = (np.take_along_axis(gap, after - i, -1)[..., 0] for i in (1, 0))
    f0, f1 = (np.take_along_axis(far, after - i, -1)[..., 0] for i in (1, 0))
    crossing: F64 = f0 + (f1 - f0) * (-g0 / (g1 - g0))
    return crossing


def _tar_at(far: F64, tar: F64, rate: float) -> F64:
    # the slack keeps 0.1 a rate that 1 of 10 impostors reaches, whatever the rounding
    best: F64 = np.where(far <= rate * (1 + 1e-9), tar, 0.0).max(axis=-1)
    return np.where(np.isnan(far[..., -1]) | np.isnan(tar[..., -1]), NAN, best)


def _rate(far: float) -> float:
    if not 0 < far <= 1:
        raise InputError(f"a false accept rate lies above 0 and at most at 1, not {far}")
    return far


def _unresolved(far: float, impostors: int) -> Measure | None:
    needed = math.ceil(1 / _rate(far) - 1e-9)
    if impostors >= needed:
        return None
    return Measure(NAN, note=f"FAR {far:g} needs {needed} impostor pairs, there are {impostors}")


def _grid(same: F64, other: F64) -> F64:
    """Falling thresholds: all scores if they are few, else order statistics, denser towards high scores."""
    distinct = np.unique(np.concatenate([same, other]))[::-1]
    if len(distinct) <= 2 * _GRID:
        return distinct
    up, down = np.sort(same), np.sort(other)[::-1]
    even = np.unique(np.linspace(0, len(up) - 1, _GRID).astype(np.int64))
    tail = np.unique(np.geomspace(1, len(down), _GRID).astype(np.int64)) - 1
    return np.unique(np.concatenate([up[even], down[tail], [min(up[0], down[-1])]]))[::-1]


def _accepted(pairs: Comparisons, kind: Bools, people: PeopleBootstrap, grid: F64) -> F64:
    """Share of pairs of one kind that each threshold accepts, in each replicate: ``[replicates, t + 1]``."""
    rows, columns = np.nonzero(kind)
    scores = pairs.scores[rows, columns].astype(np.float64)
    bin_ = np.searchsorted(-grid, -scores, side="left")  # the first threshold that accepts it
    width = len(grid)
    flat = np.bincount(people.person[rows] * width + bin_, minlength=people.people * width)
    histogram = flat.reshape(people.people, width)
    counts = people.draws @ np.cumsum(histogram, axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        share = counts / counts[:, -1:]  # NaN where nobody drawn has such a pair
    return np.concatenate([np.zeros((len(share), 1)), share], axis=1)

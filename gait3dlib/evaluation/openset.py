"""Open-set identification: most who pass have never been enrolled, and must come out as "unknown".

ISO/IEC 19795-1, as NIST uses it (IR 8271, FRVT part 2). A mated search looks for somebody who is enrolled, a
non-mated search for a stranger. With threshold T and N people enrolled:
FPIR(N, T) = share of non-mated searches in which any score is >= T;
FNIR(N, 1, T) = share of mated searches in which the mate is not at rank 1 with a score >= T.
Both depend on N: a threshold holds for the size of gallery it was set with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools, Comparisons, Ints, Names, comparisons, finite_vector
from gait3dlib.evaluation.intervals import NAN, Measure, PeopleBootstrap


@dataclass(frozen=True)
class OpenSetSearches:
    """The best scores of two kinds of searches.

    mated: float64 ``[a]``, the mate's score where the mate is at rank 1 (ties count against it), else -inf.
    nonmated: float64 ``[b]``, a stranger's best score. mated_probe, nonmated_probe: their row in the scores.
    Left out are probes whose own entries are all excluded, and strangers for whom no entry is left.
    """

    mated: F64
    nonmated: F64
    mated_probe: Ints
    nonmated_probe: Ints


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it does: FPIR asked for, FPIR and FNIR measured; NaN with a note if unresolved."""

    fpir: float
    threshold: float
    measured_fpir: float
    fnir: Measure


def open_set_searches(
    scores: ArrayLike, probe_labels: Names, gallery_labels: Names, exclude: Bools | None = None
) -> OpenSetSearches:
    """Split searches into mated and non-mated ones; arguments as in :func:`~gait3dlib.evaluation.rank`."""
    return searches_of(comparisons(scores, probe_labels, gallery_labels, exclude))


def threshold_at_fpir(nonmated: ArrayLike, fpir: float) -> float:
    """The lowest threshold at which strangers yet to come pass with probability at most ``fpir``.

    Of n non-mated top scores, a new exchangeable one exceeds the (k + 1)-th largest with probability at
    most (k + 1) / (n + 1), so T lies just above that score for the largest k with (k + 1) / (n + 1) <= fpir
    (the order statistic of split conformal prediction). At most k of the n searches themselves reach T.
    Several walks of one stranger are not exchangeable: take many strangers rather than many walks.

    Args:
        nonmated: each stranger search's best score.
        fpir: share of stranger searches that may raise a false name, above 0 and below 1.

    Raises:
        InputError: ``fpir`` is out of range, or fewer than 1 / fpir - 1 searches cannot resolve it.
    """
    tops = finite_vector(nonmated, "non-mated scores")
    allowed = _false_positives(len(tops), fpir)
    if allowed < 0:
        raise InputError(f"{_too_few(len(tops), fpir)}; add strangers or ask for a higher rate")
    return float(np.nextafter(np.sort(tops)[::-1][allowed], np.inf))


def fnir_at_fpir(
    mated: ArrayLike, nonmated: ArrayLike, fpirs: Sequence[float]
) -> dict[float, OperatingPoint]:
    """FNIR (rank 1) at each FPIR, at the threshold of :func:`threshold_at_fpir`.

    Args:
        mated: the mate's score where it is at rank 1, else -inf (:class:`OpenSetSearches`).
        nonmated: each stranger search's best score.
        fpirs: false positive identification rates; one that cannot be resolved gets NaN and a note.
    """
    found, tops = np.asarray(mated, dtype=np.float64), finite_vector(nonmated, "non-mated scores")
    if found.ndim != 1 or np.isnan(found).any() or np.isposinf(found).any():
        raise InputError("mated scores must be a list of numbers, -inf where the mate was not at rank 1")
    points = {}
    for fpir in fpirs:
        note = _unresolved(len(found), len(tops), fpir)
        if note:
            points[fpir] = OperatingPoint(fpir, NAN, NAN, Measure(NAN, note=note))
            continue
        threshold = threshold_at_fpir(tops, fpir)
        missed = Measure(float((found < threshold).mean()))
        points[fpir] = OperatingPoint(fpir, threshold, float((tops >= threshold).mean()), missed)
    return points


def searches_of(pairs: Comparisons) -> OpenSetSearches:
    """:func:`open_set_searches` on checked input."""
    mates = pairs.mates
    best_mate = _best(pairs, mates)
    best_other = _best(pairs, pairs.allowed & ~mates)
    mated = np.flatnonzero(mates.any(axis=1))
    nonmated = np.flatnonzero(pairs.stranger & pairs.allowed.any(axis=1))
    at_rank_1 = best_mate[mated] > best_other[mated]
    return OpenSetSearches(
        mated=np.where(at_rank_1, best_mate[mated], -np.inf),
        nonmated=best_other[nonmated],
        mated_probe=mated,
        nonmated_probe=nonmated,
    )


def fnir_with_intervals(
    searches: OpenSetSearches, people: Ints, fpirs: Sequence[float], replicates: int, seed: int
) -> dict[float, OperatingPoint]:
    """:func:`fnir_at_fpir` with intervals; enrolled people and strangers are drawn apart.

    Args:
        searches: mated and non-mated searches.
        people: int64 ``[probes]``, whose walk each probe is.
        fpirs: false positive identification rates.
        replicates: of the bootstrap; each sets its own threshold anew.
        seed: of the bootstrap.
    """
    points = fnir_at_fpir(searches.mated, searches.nonmated, fpirs)
    resolved = [f for f, point in points.items() if not math.isnan(point.threshold)]
    if not resolved:
        return points
    known = PeopleBootstrap.of(people[searches.mated_probe], replicates, seed)
    strangers = PeopleBootstrap.of(people[searches.nonmated_probe], replicates, seed + 1)
    for fpir in resolved:
        thresholds = _thresholds(searches.nonmated, strangers, fpir)
        missed = _missed(searches.mated, known, thresholds)
        point = points[fpir]
        fnir = known.rate(point.fnir.value, missed)
        points[fpir] = OperatingPoint(fpir, point.threshold, point.measured_fpir, fnir)
    return points


def _thresholds(tops: F64, strangers: PeopleBootstrap, fpir: float) -> F64:
    """Threshold of each replicate: the score below which the searches drawn exceed the allowed number."""
    order = np.argsort(-tops, kind="stable")
    drawn = np.cumsum(strangers.draws[:, strangers.person[order]], axis=1)
    # a replicate can hold too few walks to resolve the rate; then no false positive is allowed in it
    allowed = np.array([max(0, _false_positives(int(total), fpir)) for total in drawn[:, -1]])
    index = np.argmax(drawn > allowed[:, None], axis=1)
    thresholds: F64 = np.nextafter(tops[order][index], np.inf)
    return thresholds


def _missed(mated: F64, known: PeopleBootstrap, thresholds: F64) -> F64:
    missed = (mated[None, :] < thresholds[:, None]).astype(np.float64)
    weight = known.draws[:, known.person]
    share: F64 = (missed * weight).sum(axis=1) / weight.sum(axis=1)
    return share


def _best(pairs: Comparisons, kind: Bools) -> F64:
    best: F64 = np.where(kind, pairs.scores.astype(np.float64), -np.inf).max(axis=1)
    return best


def _false_positives(searches: int, fpir: float) -> int:
    """How many of the searches may reach the threshold; -1 if there are too few to say."""
    if not 0 < fpir < 1:
        raise InputError(f"a false positive identification rate lies between 0 and 1, not at {fpir}")
    return math.floor(fpir * (searches + 1) + 1e-9) - 1


def _unresolved(mated: int, nonmated: int, fpir: float) -> str:
    if _false_positives(nonmated, fpir) < 0:
        return _too_few(nonmated, fpir)
    return "no mated search" if mated == 0 else ""


def _too_few(searches: int, fpir: float) -> str:
    needed = math.ceil(1 / fpir - 1e-9) - 1
    return f"FPIR {fpir:g} needs {needed} non-mated searches, there are {searches}"

"""Comparing two ways to answer on the same walks: paired intervals and sign-flip tests over people.

Walks of one person resemble each other, so people are what is drawn and what is exchanged. Under the null
hypothesis a person's answers by either way could have been swapped; a statistic that is a sum over people
then only changes the signs of its terms (Fisher 1935; Good, Permutation, Parametric and Bootstrap Tests,
2005). Intervals of a difference come from the same draws of people on both sides (Efron 1979).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait3dlib.evaluation import PeopleBootstrap

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

PERMUTATIONS = 4999
_ROUNDING = 1e-12  # statistics that differ by less are equal


def sign_flips(people: int, permutations: int = PERMUTATIONS, seed: int = 0) -> F64:
    """Signs ``[draws, people]``: all of them where there are at most ``permutations``, else drawn ones."""
    if people < 63 and 2**people <= permutations:
        bits = (np.arange(2**people)[:, None] >> np.arange(people)) & 1
        return (1 - 2 * bits).astype(np.float64)
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], size=(permutations, people))


def sign_flip_test(terms: F64, signs: F64) -> F64:
    """Two-sided p-values of sums over people, ``terms [people, comparisons]`` -> ``[comparisons]``.

    As ``scipy.stats.permutation_test(..., permutation_type="samples")``: twice the smaller tail, exact where
    all sign flips were made, else with the observed one counted among the draws (Phipson and Smyth, 2010).
    """
    observed = terms.sum(axis=0)
    null = signs @ terms
    slack = _ROUNDING * np.abs(terms).sum(axis=0)
    exact = 2 ** min(signs.shape[1], 62) == len(signs)
    more = (null >= observed - slack).sum(axis=0).astype(np.float64)
    less = (null <= observed + slack).sum(axis=0).astype(np.float64)
    count, total = (np.minimum(more, less), len(signs))
    p = count / total if exact else (count + 1) / (total + 1)
    return np.asarray(np.minimum(2 * p, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for that many tests (Holm, Scand. J. Statist. 1979); NaN stays NaN and is no test."""
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return [float(value) for value in adjusted]


class MeanCells:
    """Means over walks, by several ways to answer, with replicates that share their draws.

    Args:
        values: ``[walks, ways]``; NaN where a way has no answer.
        boot: over the people of the walks.
    """

    def __init__(self, values: F64, boot: PeopleBootstrap) -> None:
        self.boot = boot
        self.values, self.known = np.nan_to_num(values), ~np.isnan(values)

    def mean(self) -> F64:
        """``[ways]``; NaN where a way never answered."""
        return _ratio(self.values.sum(axis=0), self.known.sum(axis=0).astype(np.float64))

    def replicates(self) -> F64:
        """``[replicates, ways]``."""
        known = self.known.astype(np.float64)
        return _ratio(self.boot.sums(self.values), self.boot.sums(known))

    def against(self, way: int) -> tuple[F64, F64, F64]:
        """Every way minus one of them, on the walks that both answer.

        Returns:
            Difference ``[ways]``, replicates ``[replicates, ways]``, terms ``[people, ways]`` of its test.
        """
        both = (self.known & self.known[:, way, None]).astype(np.float64)
        apart = (self.values - self.values[:, way, None]) * both
        counts = both.sum(axis=0)
        terms = np.zeros((self.boot.people, apart.shape[1]))
        np.add.at(terms, self.boot.person, apart)
        return (
            _ratio(apart.sum(axis=0), counts),
            _ratio(self.boot.sums(apart), self.boot.sums(both)),
            _ratio(terms, counts),
        )


class AreaCells:
    """Areas under the ROC, by several ways to score the same walks, with replicates that share their draws.

    The area is a sum over pairs of a positive and a negative walk. When the scores of people are swapped
    between two ways A and B, the difference of their areas is linear in the signs: with ``K_ab`` the wins of
    positives scored by a over negatives scored by b, it is the sum over pairs of
    ``(K_AA - K_BB)(s_i + s_j) / 2 + (K_AB - K_BA)(s_i - s_j) / 2``.

    Args:
        scores: ``[walks, ways]``; NaN where a way has no answer.
        positive: ``[walks]``.
        boot: over the people of the walks.
    """

    def __init__(self, scores: F64, positive: Bools, boot: PeopleBootstrap) -> None:
        self.scores, self.positive, self.boot = scores, positive, boot

    def areas(self, ways: Sequence[int], known: Bools) -> tuple[F64, F64]:
        """Areas ``[ways]`` and replicates ``[replicates, ways]`` on the known walks."""
        held = [self._area(self.scores[:, way], known) for way in ways]
        return np.array([area for area, _ in held]), np.stack([draws for _, draws in held], axis=1)

    def _area(self, scores: F64, known: Bools) -> tuple[float, F64]:
        up, down = np.flatnonzero(known & self.positive), np.flatnonzero(known & ~self.positive)
        draws, people = self.boot.draws, self.boot.people
        if not len(up) or not len(down):
            return float("nan"), np.full(len(draws), np.nan)
        wins = _wins(scores[up], scores[down])
        pairs = _by_person(_by_person(wins, self.boot.person[up], people).T, self.boot.person[down], people).T
        drawn = (draws @ pairs * draws).sum(axis=1)
        of_up = draws @ np.bincount(self.boot.person[up], minlength=people)
        of_down = draws @ np.bincount(self.boot.person[down], minlength=people)
        return float(wins.mean()), _ratio(drawn, of_up * of_down)

    def against(self, way: int, other: int) -> tuple[float, F64, F64]:
        """One way minus another, on the walks that both score: difference, replicates, terms ``[people]``."""
        a, b = self.scores[:, way], self.scores[:, other]
        known = ~np.isnan(a) & ~np.isnan(b)
        (first, second), replicates = self.areas([way, other], known)
        up, down = np.flatnonzero(known & self.positive), np.flatnonzero(known & ~self.positive)
        terms = np.zeros(self.boot.people)
        if len(up) and len(down):
            straight = _wins(a[up], a[down]) - _wins(b[up], b[down])
            crossed = _wins(a[up], b[down]) - _wins(b[up], a[down])
            share = 2 * len(up) * len(down)
            np.add.at(terms, self.boot.person[up], (straight + crossed).sum(axis=1) / share)
            np.add.at(terms, self.boot.person[down], (straight - crossed).sum(axis=0) / share)
        return float(first - second), replicates[:, 0] - replicates[:, 1], terms


def _wins(up: F64, down: F64) -> F64:
    """1 where a positive scores above a negative, a half where they tie."""
    return np.asarray((np.sign(up[:, None] - down[None, :]) + 1) / 2)


def _by_person(rows: F64, person: Ints, people: int) -> F64:
    total = np.zeros((people, rows.shape[1]))
    np.add.at(total, person, rows)
    return total


def _ratio(a: F64, b: F64) -> F64:
    return np.asarray(np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b > 0))

"""Closed-set identification: everybody who is searched for has been enrolled.

Terms of ISO/IEC 19795-1; rank-k as in its closed-set identification rate, over gallery entries as in
OpenGait's tables. Ties are counted against the system: of entries with equal scores, those of other people
come first. A model that gives every pair the same score therefore has rank-1 zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools, Comparisons, Ints, Names, comparisons

Unmatched = Literal["skip", "miss"]
_CHUNK_VALUES = 2_000_000


@dataclass(frozen=True)
class Ranking:
    """What became of each probe. All arrays are ``[probes]``.

    first: rank of the best mate, counted from 1; 0 where no mate is left to be found.
    average_precision: mean over mates of (mates up to there) / (rank there); 0 without a mate
        (Zheng et al., Scalable person re-identification, ICCV 2015).
    inverse_negative_penalty: mates / (rank of the last mate); 0 without a mate
        (Ye et al., Deep learning for person re-identification, TPAMI 2021).
    mates: allowed gallery entries of the probe's person.
    eligible: allowed gallery entries.
    stranger: the probe's person is not in the gallery at all.
    """

    first: Ints
    average_precision: F64
    inverse_negative_penalty: F64
    mates: Ints
    eligible: Ints
    stranger: Bools

    def counted(self, unmatched: Unmatched = "skip") -> Bools:
        """The probes that enter the means.

        ``skip``: those with a mate (Gait3D's rule). ``miss``: all; a probe without a mate is an error
        (OU-MVLP's rule). The two differ by several percent on OU-MVLP, so a table must say which.
        """
        if unmatched not in ("skip", "miss"):
            raise InputError(f"unmatched must be 'skip' or 'miss', not {unmatched!r}")
        return self.mates > 0 if unmatched == "skip" else np.ones(len(self.mates), dtype=bool)

    def hits(self, k: int) -> Bools:
        """Whether a mate is among the first ``k`` entries."""
        if k < 1:
            raise InputError(f"a rank counts from 1, not {k}")
        return (self.first > 0) & (self.first <= k)

    def rank_k(self, k: int, unmatched: Unmatched = "skip") -> float:
        """Share of probes with a mate among the first ``k`` entries: the CMC at k; NaN without probes."""
        return _mean(self.hits(k).astype(np.float64)[self.counted(unmatched)])

    def mean_ap(self, unmatched: Unmatched = "skip") -> float:
        """MAP: mean average precision; NaN without probes."""
        return _mean(self.average_precision[self.counted(unmatched)])

    def mean_inp(self, unmatched: Unmatched = "skip") -> float:
        """MINP: mean inverse negative penalty; NaN without probes."""
        return _mean(self.inverse_negative_penalty[self.counted(unmatched)])

    def chance(self, k: int = 1, unmatched: Unmatched = "skip") -> float:
        """Rank-k of a random order.

        Mean over probes of 1 - C(eligible - mates, k) / C(eligible, k); for k = 1 that is
        mates / eligible.
        """
        return _mean(_random_hit(self.mates, self.eligible, k)[self.counted(unmatched)])


def rank(
    scores: ArrayLike, probe_labels: Names, gallery_labels: Names, exclude: Bools | None = None
) -> Ranking:
    """Rank the gallery for every probe.

    Args:
        scores: ``[probes, gallery]`` similarities, larger = more alike; pass minus a distance.
        probe_labels: who each probe is.
        gallery_labels: who each gallery entry is.
        exclude: bool ``[probes, gallery]``, True = left out of that probe's gallery. A walk that stands
            on both sides must be excluded from its own search.

    Raises:
        InputError: shapes disagree, or a score is not finite.
    """
    return rank_comparisons(comparisons(scores, probe_labels, gallery_labels, exclude))


def rank_comparisons(pairs: Comparisons) -> Ranking:
    """:func:`rank` on checked input."""
    probes, entries = pairs.scores.shape
    first = np.zeros(probes, dtype=np.int64)
    ap, inp = np.zeros(probes), np.zeros(probes)
    mates = pairs.mates
    position = np.arange(1, entries + 1)
    rows = max(1, _CHUNK_VALUES // entries)
    for start in range(0, probes, rows):
        part = slice(start, start + rows)
        worst_last = np.where(pairs.allowed[part], -pairs.scores[part].astype(np.float64), np.inf)
        order = np.lexsort((mates[part], worst_last), axis=-1)
        found = np.take_along_axis(mates[part], order, axis=-1)
        count = found.sum(axis=-1)
        some = count > 0
        first[part] = np.where(some, found.argmax(axis=-1) + 1, 0)
        precision = (np.cumsum(found, axis=-1) / position * found).sum(axis=-1)
        ap[part] = precision / np.maximum(count, 1)
        inp[part] = count / np.maximum((position * found).max(axis=-1), 1)
    return Ranking(
        first=first,
        average_precision=ap,
        inverse_negative_penalty=inp,
        mates=mates.sum(axis=1).astype(np.int64),
        eligible=pairs.allowed.sum(axis=1).astype(np.int64),
        stranger=pairs.stranger,
    )


def _random_hit(mates: Ints, eligible: Ints, k: int) -> F64:
    """Hypergeometric: the chance that k of ``eligible`` entries, drawn blindly, hold a mate."""
    miss = np.ones(len(mates))
    for drawn in range(k):
        miss *= np.maximum(eligible - mates - drawn, 0) / np.maximum(eligible - drawn, 1)
    return np.where(mates > 0, 1.0 - miss, 0.0)


def _mean(values: F64) -> float:
    return float(values.mean()) if len(values) else float("nan")

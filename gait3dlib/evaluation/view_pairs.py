"""Rank-k between pairs of views, as CASIA-B, OU-MVLP and SUSTech1K are scored.

Every pair of a probe view and a gallery view is a search of its own. The figures of the pairs are averaged
over gallery views, then over probe views; pairs of the same view are left out, and pairs for which there is
no walk. Block by block, so that OU-MVLP's 70,000 test walks fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Ints, comparisons
from gait3dlib.evaluation.identification import Unmatched, rank
from gait3dlib.evaluation.intervals import NAN, Measure, PeopleBootstrap
from gait3dlib.evaluation.verification import verify_comparisons

MOST_PAIRS = 30_000_000  # of walks, for the equal error rate: 120 MB of scores

Scores = Callable[[Ints, Ints], NDArray[Any]]


@dataclass(frozen=True)
class ViewPairReport:
    """Figures of one group of probes, averaged over pairs of views.

    rank, mean_ap, mean_inp: with 95 % intervals over people. eer: of all compared pairs of walks together.
    probe_views, gallery_views: the names of ``rank1 [probe views, gallery views]``, NaN where a pair was left
    out or empty. empty_pairs: pairs that have no probe or no gallery walk and so do not count. rounded:
    rank-k of each pair was rounded to 0.01 % before the mean, as OpenGait does.
    """

    people: int
    probes: int
    gallery_size: int
    unmatched: Unmatched
    chance: float
    rank: Mapping[int, Measure]
    mean_ap: Measure
    mean_inp: Measure
    eer: Measure
    probe_views: tuple[str, ...]
    gallery_views: tuple[str, ...]
    rank1: F64
    empty_pairs: int
    rounded: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, NaN as None: ready for strict JSON."""
        counts = {name: getattr(self, name) for name in ("people", "probes", "gallery_size", "unmatched")}
        return counts | {
            "chance": self.chance,
            "rank": {str(k): measure.to_dict() for k, measure in self.rank.items()},
            "mean_ap": self.mean_ap.to_dict(),
            "mean_inp": self.mean_inp.to_dict(),
            "eer": self.eer.to_dict(),
            "probe_views": list(self.probe_views),
            "gallery_views": list(self.gallery_views),
            "rank1_by_views": [[None if np.isnan(x) else float(x) for x in row] for row in self.rank1],
            "empty_pairs": self.empty_pairs,
            "rounded": self.rounded,
        }

    def row(self) -> dict[str, str]:
        """One table row; rates in percent with their 95 % interval."""
        return {
            "people": str(self.people),
            "probes": str(self.probes),
            "gallery": str(self.gallery_size),
            "chance": f"{100 * self.chance:.1f}",
            **{f"rank-{k}": measure.percent() for k, measure in self.rank.items()},
            "mAP": self.mean_ap.percent(),
            "mINP": self.mean_inp.percent(),
            "EER": self.eer.percent(),
        }


def evaluate_view_pairs(
    scores: Scores,
    probe_people: Sequence[str],
    gallery_people: Sequence[str],
    probe_views: Sequence[str],
    gallery_views: Sequence[str],
    *,
    same_view: bool = False,
    ranks: Sequence[int] = (1,),
    unmatched: Unmatched = "miss",
    rounding: bool = False,
    replicates: int = 1000,
    seed: int = 0,
) -> ViewPairReport:
    """Score every pair of views apart.

    Args:
        scores: ``(probe rows, gallery rows) -> [probes, gallery]`` similarities, larger = more alike.
        probe_people: who each probe is.
        gallery_people: who each gallery walk is.
        probe_views: each probe's view.
        gallery_views: each gallery walk's view.
        same_view: whether pairs of the same view count.
        ranks: the k of rank-k.
        unmatched: probes whose person is not in the gallery at that view are a "miss", or are left out.
        rounding: round rank-k of every pair to two decimals of a percent, as OpenGait does, before the means.
        replicates: of the bootstrap over people.
        seed: of the bootstrap.

    Raises:
        InputError: no pair of views has both probes and a gallery.
    """
    rows, columns = tuple(sorted(set(probe_views))), tuple(sorted(set(gallery_views)))
    pairs = [(i, j) for i, a in enumerate(rows) for j, b in enumerate(columns) if same_view or a != b]
    of_probe, of_gallery = np.array(probe_views), np.array(gallery_views)
    people = PeopleBootstrap.of(list(probe_people), replicates, seed)
    table = _Table(people, len(rows), len(columns), tuple(ranks))
    for i, j in pairs:
        a, b = np.flatnonzero(of_probe == rows[i]), np.flatnonzero(of_gallery == columns[j])
        found = rank(scores(a, b), np.array(probe_people)[a], np.array(gallery_people)[b])
        counted = found.counted(unmatched)
        values = [*map(found.hits, ranks), found.average_precision, found.inverse_negative_penalty]
        table.add(i, j, a[counted], [v[counted] for v in values], found.chance(1, unmatched))
    if not table.counts.any():
        raise InputError("no probe can be compared: each view is alone, or nobody is in the gallery")
    figures = table.measures(rounding)
    return ViewPairReport(
        people=people.people,
        probes=len(probe_people),
        gallery_size=len(gallery_people),
        unmatched=unmatched,
        chance=float(_mean_of_means(table.chance)),
        rank=dict(zip(ranks, figures, strict=False)),
        mean_ap=figures[-2],
        mean_inp=figures[-1],
        eer=_equal_error(
            scores, list(probe_people), list(gallery_people), of_probe, of_gallery, people, same_view
        ),
        probe_views=rows,
        gallery_views=columns,
        rank1=table.rates(rounding)[0],
        empty_pairs=sum(not table.counts[:, i, j].any() for i, j in pairs),
        rounded=rounding,
    )


class _Table:
    """Sums by person of what was found in each pair of views, for the mean and for its replicates.

    counts ``[people, probe views, gallery views]``; sums ``[figures, people, probe views, gallery views]``.
    """

    def __init__(self, people: PeopleBootstrap, rows: int, columns: int, ranks: tuple[int, ...]) -> None:
        self.people, self.ranks = people, ranks
        self.counts = np.zeros((people.people, rows, columns))
        self.sums = np.zeros((len(ranks) + 2, people.people, rows, columns))
        self.chance = np.full((rows, columns), np.nan)

    def add(self, i: int, j: int, probes: Ints, found: Sequence[NDArray[Any]], chance: float) -> None:
        person = self.people.person[probes]
        np.add.at(self.counts[:, i, j], person, 1)
        for total, values in zip(self.sums, found, strict=True):
            np.add.at(total[:, i, j], person, values)
        self.chance[i, j] = chance

    def rates(self, rounding: bool) -> F64:
        """``[figures, probe views, gallery views]``; the ranks rounded if that is asked for."""
        with np.errstate(invalid="ignore"):
            rates: F64 = self.sums.sum(axis=1) / self.counts.sum(axis=0)
        if rounding:
            rates[: len(self.ranks)] = np.round(100 * rates[: len(self.ranks)], 2) / 100
        return rates

    def measures(self, rounding: bool) -> list[Measure]:
        """The figures with their intervals."""
        shape = self.counts.shape[1:]
        flat = self.counts.reshape(len(self.counts), -1)
        counts = (self.people.draws @ flat).reshape(-1, *shape)
        made = []
        for rates, total in zip(self.rates(rounding), self.sums, strict=True):
            drawn = (self.people.draws @ total.reshape(len(total), -1)).reshape(-1, *shape)
            with np.errstate(invalid="ignore"):
                replicates = _mean_of_means(drawn / counts)
            made.append(self.people.rate(float(_mean_of_means(rates)), replicates))
        return made


def _mean_of_means(table: F64) -> F64:
    """Mean over gallery views, then over probe views, of what is there: ``[..., p, g] -> [...]``."""
    return _mean(_mean(table))


def _mean(values: F64) -> F64:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    mean: F64 = np.where(count > 0, np.where(there, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)
    return mean


def _equal_error(
    scores: Scores,
    probe_people: list[str],
    gallery_people: list[str],
    probe_views: NDArray[Any],
    gallery_views: NDArray[Any],
    people: PeopleBootstrap,
    same_view: bool,
) -> Measure:
    """EER over all pairs of walks that are compared."""
    count = len(probe_people) * len(gallery_people)
    if count > MOST_PAIRS:
        return Measure(NAN, note=f"{count} pairs of walks are more than {MOST_PAIRS}")
    table = scores(np.arange(len(probe_people)), np.arange(len(gallery_people)))
    exclude = (probe_views[:, None] == gallery_views[None, :]) & (not same_view)
    return verify_comparisons(comparisons(table, probe_people, gallery_people, exclude), people, ()).eer

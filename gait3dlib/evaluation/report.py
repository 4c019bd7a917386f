"""One report of identification and verification, and tables of such reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.evaluation._arrays import F64, Bools, Comparisons, Names, comparisons
from gait3dlib.evaluation.identification import Ranking, Unmatched, rank_comparisons
from gait3dlib.evaluation.intervals import NAN, Measure, PeopleBootstrap, wilson
from gait3dlib.evaluation.openset import OperatingPoint, fnir_with_intervals, searches_of
from gait3dlib.evaluation.verification import verify_comparisons

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class IdentificationReport:
    """Everything a table of identification needs, with the numbers it rests on.

    people, probes: of the searches whose mate is in the gallery. probes_without_match: the person is
    enrolled, but every entry of theirs is excluded. strangers, stranger_probes: not enrolled at all. These
    three kinds of probes are all there are. unmatched: whether probes of the last two kinds are skipped by,
    or are misses in, chance, ranks, mAP and mINP. gallery_people, gallery_size: who is enrolled, and with how
    many entries. chance: rank-1 of a random order, mean of mates / eligible entries. rank1_wilson: Wilson
    interval of rank-1 with people as trials. open_set: FNIR at each FPIR; strangers are the non-mated
    searches.
    """

    people: int
    probes: int
    probes_without_match: int
    strangers: int
    stranger_probes: int
    unmatched: Unmatched
    gallery_people: int
    gallery_size: int
    chance: float
    rank: Mapping[int, Measure]
    rank1_wilson: tuple[float, float]
    mean_ap: Measure
    mean_inp: Measure
    genuine_pairs: int
    impostor_pairs: int
    eer: Measure
    tar_at_far: Mapping[float, Measure]
    open_set: Mapping[float, OperatingPoint]

    @property
    def fnir_at_fpir(self) -> dict[float, Measure]:
        """FNIR by the FPIR asked for."""
        return {fpir: point.fnir for fpir, point in self.open_set.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values with string keys, NaN as None: ready for strict JSON."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def row(self) -> dict[str, str]:
        """One table row; rates in percent with their 95 % interval."""
        left_out = self.probes_without_match + self.stranger_probes
        return {
            "people": str(self.people),
            "probes": str(self.probes),
            f"without match ({self.unmatched})": str(left_out),
            "gallery": str(self.gallery_size),
            "chance": "-" if math.isnan(self.chance) else f"{100 * self.chance:.1f}",
            **{f"rank-{k}": measure.percent() for k, measure in self.rank.items()},
            "mAP": self.mean_ap.percent(),
            "mINP": self.mean_inp.percent(),
            "EER": self.eer.percent(),
            **{f"TAR@FAR {100 * far:g} %": m.percent() for far, m in self.tar_at_far.items()},
            **{f"FNIR@FPIR {100 * f:g} %": m.percent() for f, m in self.fnir_at_fpir.items()},
        }


def evaluate_identification(
    scores: ArrayLike,
    probe_labels: Names,
    gallery_labels: Names,
    *,
    exclude: Bools | None = None,
    ranks: Sequence[int] = (1, 5, 10),
    fars: Sequence[float] = (0.01, 0.001),
    fpirs: Sequence[float] = (0.1, 0.01),
    unmatched: Unmatched = "skip",
    replicates: int = 1000,
    seed: int = 0,
) -> IdentificationReport:
    """Identification and verification figures of one score matrix, with 95 % intervals over people.

    Probes of people who are not in the gallery are the non-mated searches of the open-set figures, and
    impostors in verification. A walk that is on both sides must be excluded from its own search.

    Args:
        scores: ``[probes, gallery]`` similarities, larger = more alike (:func:`similarity`).
        probe_labels: who each probe is.
        gallery_labels: who each gallery entry is.
        exclude: bool ``[probes, gallery]``, True = not compared (:func:`exclude_views`).
        ranks: the k of rank-k.
        fars: false accept rates for TAR.
        fpirs: false positive identification rates for FNIR.
        unmatched: "skip" probes without a match, or count each as a "miss".
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: shapes disagree, a score is not finite, or a rate is out of range.
    """
    pairs = comparisons(scores, probe_labels, gallery_labels, exclude)
    ranking = rank_comparisons(pairs)
    everyone = PeopleBootstrap.of(pairs.probe, replicates, seed)
    verification = verify_comparisons(pairs, everyone, fars)
    matched, stranger = ranking.mates > 0, ranking.stranger
    counted = ranking.counted(unmatched)
    people = PeopleBootstrap.of(pairs.probe[counted], replicates, seed) if counted.any() else None
    by_rank = {k: _mean(ranking.hits(k).astype(np.float64)[counted], people) for k in ranks}
    return IdentificationReport(
        people=len(np.unique(pairs.probe[matched])),
        probes=int(matched.sum()),
        probes_without_match=int((~matched & ~stranger).sum()),
        strangers=len(np.unique(pairs.probe[stranger])),
        stranger_probes=int(stranger.sum()),
        unmatched=unmatched,
        gallery_people=len(np.unique(pairs.gallery)),
        gallery_size=len(pairs.gallery),
        chance=ranking.chance(1, unmatched),
        rank=by_rank,
        rank1_wilson=_wilson(ranking, counted, pairs),
        mean_ap=_mean(ranking.average_precision[counted], people),
        mean_inp=_mean(ranking.inverse_negative_penalty[counted], people),
        genuine_pairs=verification.genuine_pairs,
        impostor_pairs=verification.impostor_pairs,
        eer=verification.eer,
        tar_at_far=verification.tar_at_far,
        open_set=fnir_with_intervals(searches_of(pairs), pairs.probe, fpirs, replicates, seed),
    )


class Tabular(Protocol):
    """A report that can be a table row: all reports of this package."""

    def row(self) -> dict[str, str]:
        """Column heading -> text."""
        ...


def format_table(rows: Mapping[str, Tabular]) -> str:
    """Reports as a Markdown table, one a row, by name; a column that a report lacks is a dash."""
    headings, cells = _cells(rows)
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def rich_table(rows: Mapping[str, Tabular], title: str | None = None) -> Table:
    """The same for a terminal, to be printed by a ``rich`` console: figures run down, reports across."""
    from rich.table import Table

    headings, cells = _cells(rows)
    table = Table("", title=title)
    for line in cells:
        table.add_column(line[0], justify="right")
    for index, heading in enumerate(headings[1:], start=1):
        table.add_row(heading, *(line[index] for line in cells))
    return table


def _cells(rows: Mapping[str, Tabular]) -> tuple[list[str], list[list[str]]]:
    texts = {name: report.row() for name, report in rows.items()}
    columns = list(dict.fromkeys(heading for row in texts.values() for heading in row))
    return ["", *columns], [[name, *(row.get(c, "-") for c in columns)] for name, row in texts.items()]


def _mean(values: F64, people: PeopleBootstrap | None) -> Measure:
    if people is None:
        return Measure(NAN, note="no probe has a match in the gallery")
    return people.rate(float(values.mean()), people.means(values))


def _wilson(ranking: Ranking, counted: Bools, pairs: Comparisons) -> tuple[float, float]:
    if not counted.any():
        return NAN, NAN
    people = len(np.unique(pairs.probe[counted]))
    return wilson(float(ranking.hits(1)[counted].mean()) * people, people)


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and NaN as what JSON knows."""
    if isinstance(value, Measure):
        return value.to_dict()
    if isinstance(value, (IdentificationReport, OperatingPoint)):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {f"{key:g}": _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value

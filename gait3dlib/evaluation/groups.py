"""Score embeddings of labelled walks by the protocol of a public data set."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib.config import Count, Share
from gait3dlib.data.partitions import Partition
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation._arrays import F32, F64, Ints
from gait3dlib.evaluation.report import (
    IdentificationReport,
    evaluate_identification,
    format_table,
    rich_table,
)
from gait3dlib.evaluation.reranking import rerank
from gait3dlib.evaluation.rules import Groups, Labelled, some
from gait3dlib.evaluation.scores import similarity
from gait3dlib.evaluation.view_pairs import ViewPairReport, evaluate_view_pairs

if TYPE_CHECKING:
    from rich.table import Table

Metric = Literal["cosine", "euclidean"]
GroupReport = ViewPairReport | IdentificationReport


class Scoring:
    """How embeddings are compared and figures are made; what a protocol leaves open.

    Args:
        metric: "cosine", or "euclidean" as OpenGait measures; it belongs to the model.
        rounding: round rank-k of every pair of views to two decimals of a percent before the means, as
            OpenGait does. Off by default: it moves a figure by up to 0.005 percent points.
        rerank_k1: re-rank by k-reciprocal neighbours with so many; 0 = do not.
        rerank_k2: neighbours whose sets are averaged.
        rerank_weight: of the distance itself.
        replicates: of the bootstrap over people.
        seed: of the bootstrap, and of who is a stranger.
    """

    def __init__(
        self,
        *,
        metric: Metric = "cosine",
        rounding: bool = False,
        rerank_k1: int = 0,
        rerank_k2: Count = 6,
        rerank_weight: Share = 0.3,
        replicates: Count = 1000,
        seed: int = 0,
    ) -> None:
        self.metric, self.rounding, self.replicates, self.seed = metric, rounding, replicates, seed
        self.rerank_k1, self.rerank_k2, self.rerank_weight = rerank_k1, rerank_k2, rerank_weight


@dataclass(frozen=True)
class GroupsReport:
    """What a protocol says of one set of embeddings: a report a group of probes, and their plain mean.

    mean_rank1: mean of the groups' rank-1, as the field's tables have it; it has no interval.
    """

    title: str
    protocol: Mapping[str, Any]
    scoring: Mapping[str, Any]
    groups: Mapping[str, GroupReport]

    @property
    def mean_rank1(self) -> float:
        """The plain mean of the groups' rank-1."""
        return float(np.mean([report.rank[min(report.rank)].value for report in self.groups.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for strict JSON."""
        mean = None if np.isnan(self.mean_rank1) else self.mean_rank1
        return {
            "title": self.title,
            "protocol": dict(self.protocol),
            "scoring": dict(self.scoring),
            "groups": {name: report.to_dict() for name, report in self.groups.items()},
            "mean_rank1": mean,
        }

    def table(self) -> Table:
        """The same for a terminal."""
        return rich_table(self.groups, self.title)

    def markdown(self) -> str:
        """The same as a Markdown table."""
        return format_table(self.groups)


def evaluate_groups(
    rules: Groups,
    embedding: NDArray[Any],
    walks: Sequence[Labelled],
    *,
    gallery_embedding: NDArray[Any] | None = None,
    partition: Partition | None = None,
    scoring: Scoring | None = None,
) -> GroupsReport:
    """Score embeddings by a protocol.

    Args:
        rules: the protocol (:func:`~gait3dlib.evaluation.rules.read_rules`).
        embedding: ``[walks, parts, dim]`` or ``[walks, dim]``; NaN = nothing was seen of the walk. Its
            searches are misses, and it is nobody's likeness.
        walks: who, which type and which view; :class:`~gait3dlib.evaluation.rules.WalkLabel` will do.
        gallery_embedding: of the same walks by what the gallery is seen by, where that is not what probes are
            seen by (cross-modal); rows in the same order.
        partition: with the lists of probes or gallery that some protocols need.
        scoring: metric, rounding, re-ranking, bootstrap.

    Raises:
        ConfigError: the protocol needs a list that the partition lacks, or cannot be re-ranked.
        InputError: shapes disagree, or no walk is in a group.
    """
    scoring = scoring or Scoring()
    theirs = embedding if gallery_embedding is None else gallery_embedding
    if len(embedding) != len(walks) or len(theirs) != len(walks):
        raise InputError(f"{len(embedding)} and {len(theirs)} embeddings do not fit {len(walks)} walks")
    if rules.compare == "view_pairs" and scoring.rerank_k1:
        raise ConfigError("rerank: pairs of views are searches of their own; re-rank what compares all")
    searches = _Searches(rules, np.asarray(embedding), np.asarray(theirs), walks, partition, scoring)
    reports = {name: searches.report(name) for name in rules.groups}
    return GroupsReport(rules.title, rules.asked, vars(scoring), reports)


def write_submission(
    path: Path,
    rules: Groups,
    embedding: NDArray[Any],
    walks: Sequence[Labelled],
    *,
    partition: Partition | None = None,
    metric: Metric = "cosine",
) -> int:
    """Write the nearest people of each probe for a server that keeps the truth; returns how many probes.

    A CSV with ``videoId, rank1, ..., rank20``: the name of the probe's view, which is GREW's name of the
    video, and the people of the nearest gallery walks, nearest first; one person may come several times.

    Raises:
        ConfigError: the protocol has no submission.
        InputError: no such walk, or fewer gallery walks than labels.
    """
    wanted = rules.submission
    if wanted is None:
        raise ConfigError(f"{rules.title} has no server to submit to")
    of_probe, of_gallery = wanted.probe.of(walks, partition), wanted.gallery.of(walks, partition)
    probe = some(walks, of_probe, "a probe of the submission", rules)
    gallery = some(walks, of_gallery, "in the gallery of the submission", rules)
    if len(gallery) < wanted.labels:
        raise InputError(f"{len(gallery)} gallery walks are too few to name {wanted.labels} for each probe")
    scores = _scores(np.asarray(embedding)[of_probe], np.asarray(embedding)[of_gallery], metric)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : wanted.labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["videoId", *(f"rank{k}" for k in range(1, wanted.labels + 1))])
        lines.writerows(
            [w.view, *(gallery[j].subject for j in row)] for w, row in zip(probe, order, strict=True)
        )
    return len(probe)


class _Searches:
    """The embeddings of a protocol's walks, group by group."""

    def __init__(
        self,
        rules: Groups,
        embedding: NDArray[Any],
        theirs: NDArray[Any],
        walks: Sequence[Labelled],
        partition: Partition | None,
        scoring: Scoring,
    ) -> None:
        self.rules, self.embedding, self.theirs = rules, embedding, theirs
        self.walks, self.partition, self.scoring = walks, partition, scoring

    def report(self, name: str) -> GroupReport:
        group = self.rules.groups[name]
        rows = group.probe.of(self.walks, self.partition), group.gallery.of(self.walks, self.partition)
        rows = rows[0], rows[1][~np.isin([self.walks[i].subject for i in rows[1]], self._strangers(rows[1]))]
        probe = some(self.walks, rows[0], f"a probe of {name}", self.rules)
        gallery = some(self.walks, rows[1], f"in the gallery of {name}", self.rules)
        if self.rules.compare == "view_pairs":
            return self._by_views(rows, probe, gallery)
        return evaluate_identification(
            self._all(*rows),
            [w.subject for w in probe],
            [w.subject for w in gallery],
            exclude=self.rules.excluded(probe, gallery) | (rows[0][:, None] == rows[1][None, :]),
            ranks=self.rules.ranks,
            unmatched=self.rules.unmatched,
            replicates=self.scoring.replicates,
            seed=self.scoring.seed,
        )

    def _by_views(
        self, rows: tuple[Ints, Ints], probe: Sequence[Labelled], gallery: Sequence[Labelled]
    ) -> ViewPairReport:
        same_view = self.rules.leave_out == "nothing"
        if same_view and np.isin(*rows).any():
            raise InputError(f"{self.rules.title}: a walk is a probe and in its gallery; leave out same_view")

        def scores(a: Ints, b: Ints) -> F32:
            return _scores(self.embedding[rows[0][a]], self.theirs[rows[1][b]], self.scoring.metric)

        return evaluate_view_pairs(
            scores,
            [w.subject for w in probe],
            [w.subject for w in gallery],
            self.rules.views(probe),
            self.rules.views(gallery),
            same_view=same_view,
            ranks=self.rules.ranks,
            unmatched=self.rules.unmatched,
            rounding=self.scoring.rounding,
            replicates=self.scoring.replicates,
            seed=self.scoring.seed,
        )

    def _all(self, probe: Ints, gallery: Ints) -> F32 | F64:
        a, b, how = self.embedding[probe], self.theirs[gallery], self.scoring
        if not how.rerank_k1:
            return _scores(a, b, how.metric)
        if how.metric == "cosine":  # the distance of unit vectors is that of their angles
            a, b = _unit(a), _unit(b)
        return rerank(a, b, k1=how.rerank_k1, k2=how.rerank_k2, weight=how.rerank_weight)

    def _strangers(self, gallery: Ints) -> list[str]:
        """The people who are taken out of the gallery: the same for every model, by the seed."""
        people = sorted({self.walks[i].subject for i in gallery})
        count = int(self.rules.strangers * len(people))
        rng = np.random.default_rng(self.scoring.seed)
        return [str(name) for name in rng.choice(people, count, replace=False)] if count else []


def _scores(probe: NDArray[Any], gallery: NDArray[Any], metric: Metric) -> F32:
    """Similarities; of whom nothing was seen is nobody's likeness, and nobody is theirs."""
    unseen = [np.isnan(side).any(axis=tuple(range(1, side.ndim))) for side in (probe, gallery)]
    scores = similarity(np.nan_to_num(probe), np.nan_to_num(gallery), metric)
    if unseen[0].any() or unseen[1].any():
        floor = np.float32(scores.min(initial=0.0)) - np.float32(1.0)
        scores[unseen[0]] = floor
        scores[:, unseen[1]] = floor
    return scores


def _unit(values: NDArray[Any]) -> NDArray[Any]:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    unit: NDArray[Any] = values / np.maximum(length, np.finfo(np.float32).tiny)
    return unit

"""A pipeline on a public data set, by the data set's own protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.data.partitions import Partition
from gait3dlib.data.recordings import WalkSet
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.errors import ConfigError, NoEvidence, did_you_mean
from gait3dlib.evaluation import Groups, GroupsReport, Scoring, evaluate_groups, write_submission
from gait3dlib.pipeline import Pipeline
from gait3dlib.types import Tokens

if TYPE_CHECKING:
    from rich.table import Table

Say = Callable[[str], None]


@dataclass(frozen=True)
class DataSetReport:
    """What a protocol found, one report a set of modalities.

    people, walks: those that the protocol uses. unseen: modalities of the pipeline that no walk has.
    """

    data: str
    people: int
    walks: int
    unseen: tuple[str, ...]
    reports: Mapping[str, GroupsReport]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for strict JSON."""
        return {
            "data": self.data,
            "people": self.people,
            "walks": self.walks,
            "unseen": list(self.unseen),
            "reports": {name: report.to_dict() for name, report in self.reports.items()},
        }

    def tables(self) -> list[Table]:
        """The same as rich tables for a terminal."""
        tables = []
        for name, report in self.reports.items():
            table = report.table()
            table.title = f"{report.title}: {name}"
            tables.append(table)
        return tables

    def markdown(self) -> str:
        """The same as Markdown tables."""
        parts = [f"## {r.title}: {name}\n\n{r.markdown()}" for name, r in self.reports.items()]
        return "\n".join(parts)


def evaluate_data_set(
    pipeline: Pipeline,
    data: WalkSet,
    rules: Groups,
    *,
    scoring: Scoring | None = None,
    submission: Path | None = None,
    progress: Say = lambda text: None,
) -> DataSetReport:
    """Score a pipeline on a data set: with all its modalities, and with each alone.

    A walk in which a set of modalities finds no evidence counts as a miss. A modality that no walk has is
    left out and named in the report.

    Args:
        pipeline: trained or not; only its network is used, not its gallery.
        data: the test people (:func:`gait3dlib.data.sets.open_data` with ``split="test"``).
        rules: the protocol (:func:`gait3dlib.protocols.read`).
        scoring: rounding, re-ranking, bootstrap; metric cosine, as the pipeline compares.
        submission: where to write the file for a server that keeps the truth (GREW), with all modalities.
        progress: told what is being done.

    Raises:
        ConfigError: the protocol needs modalities that the pipeline lacks, or a partition file.
        InputError: no walk is in a group.
        NoEvidence: no walk has any modality of the pipeline.
    """
    partition: Partition | None = getattr(data, "partition", None)
    some = data.select(_used(data, rules, partition))
    tokens, unseen = _tokens(pipeline, some, progress)
    reports = {}
    for name, (probe, gallery) in _rows(rules, tokens).items():
        progress(f"scoring {name}")
        both = [_embed(pipeline, {n: tokens[n] for n in names}) for names in dict.fromkeys([probe, gallery])]
        reports[name] = evaluate_groups(
            rules, both[0], some.walks, gallery_embedding=both[-1], partition=partition, scoring=scoring
        )
    if submission is not None:
        progress("writing the submission")
        write_submission(submission, rules, _embed(pipeline, tokens), some.walks, partition=partition)
    return DataSetReport(str(data.root), len(some.subjects), len(some), unseen, reports)


def _used(data: WalkSet, rules: Groups, partition: Partition | None) -> list[int]:
    """The walks that stand in any group."""
    chosen = [rule for group in rules.groups.values() for rule in (group.probe, group.gallery)]
    if rules.submission is not None:
        chosen += [rules.submission.probe, rules.submission.gallery]
    rows = [rule.of(data.walks, partition) for rule in chosen]
    return [int(i) for i in np.unique(np.concatenate(rows))]


def _tokens(pipeline: Pipeline, data: WalkSet, progress: Say) -> tuple[dict[str, Tokens], tuple[str, ...]]:
    """Tokens of every walk by modality, and the modalities that no walk has."""
    tokens, unseen = {}, []
    for name in pipeline.modalities:
        progress(f"preparing {name}")
        modality = pipeline.model.modalities[name]
        samples = data.prepare(name, dict(vars(modality)))
        if not any(sample is not None for sample in samples):
            unseen.append(name)
            continue
        progress(f"encoding {name}")
        encoder = pipeline.model.encoders[name]
        tokens[name] = encode_walks(encoder, modality, samples, device=pipeline.device)
    if not tokens:
        names = " or ".join(pipeline.modalities)
        raise NoEvidence(f"{data.root}: no walk of the protocol has what {names} reads; use other weights")
    return tokens, tuple(unseen)


def _rows(rules: Groups, tokens: Mapping[str, Tokens]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """What is scored: a name, what probes are seen by and what the gallery is seen by."""
    every = tuple(tokens)
    probe, gallery = (_asked(names, every) for names in (rules.probe_modalities, rules.gallery_modalities))
    if rules.probe_modalities or rules.gallery_modalities:
        return {f"{' + '.join(probe)} against {' + '.join(gallery)}": (probe, gallery)}
    alone = [(name,) for name in every] if len(every) > 1 else []
    return {" + ".join(names): (names, names) for names in [*alone, every]}


def _asked(names: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    for name in names or ():
        if name not in there:
            raise ConfigError(
                f"the protocol needs {name!r} in the weights and the data{did_you_mean(name, there)}"
            )
    return tuple(names or there)


def _embed(pipeline: Pipeline, tokens: Mapping[str, Tokens]) -> NDArray[np.float32]:
    with torch.inference_mode():
        embedding: NDArray[np.float32] = fuse_walks(pipeline.model, tokens).embedding.numpy()
    return embedding

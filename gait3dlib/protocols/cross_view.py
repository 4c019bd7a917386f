"""A pipeline on a folder of recordings: every subset of its modalities, beside a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib import _resources, config
from gait3dlib.data.recordings import Walk, WalkFolder, WalkSet
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.errors import InputError
from gait3dlib.evaluation import (
    BinaryReport,
    IdentificationReport,
    RegressionReport,
    energy_image_scores,
    evaluate_binary,
    evaluate_identification,
    evaluate_regression,
    exclude_views,
    format_table,
    rich_table,
    similarity,
    view_difference,
)
from gait3dlib.evaluation.impostors import subsets
from gait3dlib.fusion.model import Regression
from gait3dlib.modalities import Sample
from gait3dlib.pipeline import Pipeline
from gait3dlib.types import Outputs

if TYPE_CHECKING:
    from rich.table import Table

BASELINE = "gait energy image"


class CrossView:
    """Gallery walks of a person's first session; probes are their other walks, from far enough away.

    Args:
        kind: "cross_view".
        gallery_view_deg: one gallery walk a person, the one nearest to this view; None = all of the session.
        min_degrees: a probe is compared only with gallery walks at least so far away in view.
        other_session: probes come from other sessions than the person's gallery walk.
        stranger_share: share of people who are left out of the gallery for the open-set figures.
    """

    def __init__(
        self,
        *,
        kind: Literal["cross_view"] = "cross_view",
        gallery_view_deg: float | None = 90.0,
        min_degrees: config.NotNegative = 30.0,
        other_session: bool = True,
        stranger_share: config.Share = 0.5,
    ) -> None:
        self.gallery_view_deg, self.min_degrees = gallery_view_deg, min_degrees
        self.other_session, self.stranger_share = other_session, stranger_share

    def split(self, walks: Sequence[Walk]) -> tuple[list[int], list[int]]:
        """Indices of gallery and probe walks.

        Raises:
            InputError: a walk has no view, or no probe is left.
        """
        if any(walk.view_deg is None for walk in walks):
            raise InputError("a cross-view protocol needs the view of every walk; record it as view_deg")
        gallery, probe = [], []
        for person in sorted({walk.subject for walk in walks}):
            own = [i for i, walk in enumerate(walks) if walk.subject == person]
            first = min(walks[i].session for i in own)
            enrolled = [i for i in own if walks[i].session == first]
            if (view := self.gallery_view_deg) is not None:
                enrolled = [min(enrolled, key=lambda i: float(view_difference(_view(walks[i]), view)))]
            gallery += enrolled
            probe += [
                i for i in own if i not in enrolled and not (self.other_session and walks[i].session == first)
            ]
        if not probe:
            raise InputError("no walk is left as a probe; record at least two sessions of each person")
        return gallery, probe


@dataclass(frozen=True)
class ProtocolReport:
    """What a protocol found, one row a subset of modalities and one for the baseline."""

    data: str
    people: int
    walks: int
    protocol: Mapping[str, Any]
    identification: Mapping[str, IdentificationReport]
    open_set: Mapping[str, IdentificationReport]
    attributes: Mapping[str, Mapping[str, RegressionReport | BinaryReport]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for strict JSON."""
        return {
            "data": self.data,
            "people": self.people,
            "walks": self.walks,
            "protocol": dict(self.protocol),
            "identification": {k: v.to_dict() for k, v in self.identification.items()},
            "open_set": {k: v.to_dict() for k, v in self.open_set.items()},
            "attributes": {
                k: {name: report.to_dict() for name, report in v.items()} for k, v in self.attributes.items()
            },
        }

    def tables(self) -> list[Table]:
        """The same as rich tables for a terminal."""
        tables = [rich_table(self.identification, f"identification, {self.people} people enrolled")]
        tables.append(rich_table(self.open_set, "open set, strangers among the probes"))
        return tables + [rich_table(rows, name) for name, rows in self.attributes.items()]

    def markdown(self) -> str:
        """The same as Markdown tables."""
        parts = [f"## Identification\n\n{format_table(self.identification)}"]
        parts.append(f"## Open set\n\n{format_table(self.open_set)}")
        parts += [f"## {name}\n\n{format_table(rows)}" for name, rows in self.attributes.items()]
        return "\n".join(parts)


def evaluate(
    pipeline: Pipeline,
    root: Path | str | WalkSet,
    *,
    protocol: Path | str | CrossView | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> ProtocolReport:
    """Score a pipeline on all recordings of a folder, with every subset of its modalities.

    A walk in which a subset finds no evidence counts as a miss: it is like nobody (similarity -1).

    Args:
        pipeline: trained or not; only its network is used, not its gallery.
        root: folder of recordings, laid out as ``gait3d simulate`` does or ``gait3d record`` writes; or a
            data set that is open.
        protocol: rules, or their YAML file; the shipped ``cross_view`` by default.
        seed: of the bootstrap and of who is a stranger.
        progress: told what is being done.

    Raises:
        InputError: no recordings, one session only, or views are missing.
        NoEvidence: no walk at all has one of the modalities.
    """
    rules = protocol if isinstance(protocol, CrossView) else _rules(protocol)
    folder = root if isinstance(root, WalkSet) else WalkFolder(Path(root))
    walks = folder.walks
    gallery, probe = rules.split(walks)
    exclude = exclude_views(
        [_view(walks[i]) for i in probe], [_view(walks[i]) for i in gallery], rules.min_degrees
    )
    run = _Run(walks, gallery, probe, exclude, _strangers(folder.subjects, rules.stranger_share, seed), seed)
    samples = _samples(pipeline, folder, progress)
    progress("encoding")
    tokens = {
        name: encode_walks(pipeline.model.encoders[name], modality, samples[name], device=pipeline.device)
        for name, modality in pipeline.model.modalities.items()
    }
    for names in subsets(pipeline.modalities):
        progress(f"scoring {' + '.join(names)}")
        outputs = fuse_walks(pipeline.model, {name: tokens[name] for name in names})
        run.identify(" + ".join(names), _scores(outputs.embedding.numpy(), probe, gallery))
        run.describe(" + ".join(names), pipeline, outputs)
    silhouettes = samples.get("silhouette")
    if silhouettes is not None and all(s is not None for s in silhouettes):
        images = [s.frames[:, 0] for s in silhouettes if s is not None]
        run.identify(BASELINE, energy_image_scores([images[i] for i in probe], [images[i] for i in gallery]))
    return ProtocolReport(
        data=str(folder.root),
        people=len(folder.subjects),
        walks=len(walks),
        protocol=vars(rules),
        identification=run.closed,
        open_set=run.opened,
        attributes=run.attributes,
    )


class _Run:
    """The protocol's split, and the reports that pile up row by row."""

    def __init__(
        self,
        walks: Sequence[Walk],
        gallery: list[int],
        probe: list[int],
        exclude: NDArray[np.bool_],
        strangers: set[str],
        seed: int,
    ) -> None:
        self.walks, self.probe, self.exclude, self.seed = walks, probe, exclude, seed
        self.probe_people = [walks[i].subject for i in probe]
        self.gallery_people = [walks[i].subject for i in gallery]
        self.enrolled = np.array([person not in strangers for person in self.gallery_people])
        self.closed: dict[str, IdentificationReport] = {}
        self.opened: dict[str, IdentificationReport] = {}
        self.attributes: dict[str, dict[str, RegressionReport | BinaryReport]] = {}

    def identify(self, name: str, scores: NDArray[Any]) -> None:
        """Closed-set and open-set figures of one score matrix."""
        self.closed[name] = evaluate_identification(
            scores, self.probe_people, self.gallery_people, exclude=self.exclude, seed=self.seed
        )
        kept = np.flatnonzero(self.enrolled)
        if 0 < len(kept) < len(self.gallery_people):
            self.opened[name] = evaluate_identification(
                scores[:, kept],
                self.probe_people,
                [self.gallery_people[i] for i in kept],
                exclude=self.exclude[:, kept],
                seed=self.seed,
            )

    def describe(self, name: str, pipeline: Pipeline, outputs: Outputs) -> None:
        """Age, BMI and gender of the probes, beside "predict the mean of the training people"."""
        people = self.probe_people
        truths = [self.walks[i].labels for i in self.probe]
        unseen = outputs.embedding.isnan().any(dim=2).any(dim=1).numpy()[self.probe]
        for task, values, output in (
            ("age", [t.age_years for t in truths], outputs.age_years),
            ("bmi", [t.bmi_kg_m2 for t in truths], outputs.bmi_kg_m2),
        ):
            truth = np.where(unseen, np.nan, np.array([np.nan if v is None else v for v in values]))
            head = dict(pipeline.model.heads.items()).get(task)
            if output is None or not isinstance(head, Regression) or np.isnan(truth).all():
                continue
            mean, sd = output.numpy()[self.probe].T
            self.attributes.setdefault(task, {})[name] = evaluate_regression(
                truth, mean, people, training_mean=float(head.label_mean), sd=sd, seed=self.seed
            )
        female = np.array([np.nan if t.gender is None else float(t.gender == "female") for t in truths])
        female[unseen] = np.nan
        if outputs.gender_logits is not None and not np.isnan(female).all():
            score = outputs.gender_logits.numpy()[self.probe]
            report = evaluate_binary(female, score, people, seed=self.seed)
            self.attributes.setdefault("gender", {})[name] = report


def _rules(protocol: Path | str | None) -> CrossView:
    path = Path(protocol or _resources.shipped("configs") / "protocols" / "cross_view.yaml")
    return config.build(CrossView, config.read(path), path.stem)


def _samples(
    pipeline: Pipeline, folder: WalkSet, progress: Callable[[str], None]
) -> dict[str, list[Sample | None]]:
    samples = {}
    for name in pipeline.modalities:
        progress(f"preparing {name}")
        settings = vars(pipeline.model.modalities[name])
        samples[name] = folder.prepare(name, dict(settings))
    return samples


def _scores(embedding: NDArray[np.float32], probe: list[int], gallery: list[int]) -> NDArray[np.float32]:
    unseen: NDArray[np.bool_] = np.asarray(np.isnan(embedding).any(axis=(1, 2)))
    known = np.nan_to_num(embedding)
    scores = similarity(known[probe], known[gallery])
    scores[unseen[probe]] = scores[:, unseen[gallery]] = -1.0
    return scores


def _strangers(subjects: Sequence[str], share: float, seed: int) -> set[str]:
    rng = np.random.default_rng(seed)
    return set(rng.choice(sorted(subjects), int(share * len(subjects)), replace=False).tolist())


def _view(walk: Walk) -> float:
    return float("nan") if walk.view_deg is None else walk.view_deg

"""Encode once, fuse every subset, measure, and see what happens where one modality goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gait3dlib import _resources, config
from gait3dlib.ablation._corrupt import checked_sweeps
from gait3dlib.ablation._judge import Judge, Trial, Way
from gait3dlib.ablation._paired import PERMUTATIONS
from gait3dlib.ablation._report import AblationReport, Embeddings
from gait3dlib.ablation._sweeps import Sweeps
from gait3dlib.ablation._walks import Known, Walks, levels_of, streams_used, walks_of
from gait3dlib.data.recordings import Walk, WalkSet
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.errors import InputError
from gait3dlib.evaluation import exclude_views
from gait3dlib.evaluation.impostors import subsets
from gait3dlib.fusion.model import Regression
from gait3dlib.modalities import Sample
from gait3dlib.protocols import CrossView
from gait3dlib.types import GaitSequence, Outputs, Tokens

if TYPE_CHECKING:
    from gait3dlib.pipeline import Pipeline

CHUNK = 64  # walks that are fused at a time: their tokens and attention stay in the processor's cache
Say = Callable[[str], None]


def ablate(
    pipeline: Pipeline,
    walks: Sequence[GaitSequence] | WalkSet | Path | str,
    *,
    protocol: Path | str | None = None,
    covariates: Sequence[str] | None = None,
    sweeps: Sequence[str] | Mapping[str, Sequence[float]] = (),
    replicates: int = 1000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    progress: Say = lambda text: None,
) -> AblationReport:
    """What every modality contributes: all subsets, by task and covariate, from tokens encoded once.

    Every subset is compared with all modalities on the same walks: an interval by resampling people, and a
    sign-flip test over people, adjusted for the number of subsets (Holm). A walk in which a subset finds no
    evidence is a miss for identity, and left out of age, BMI and gender.

    Args:
        pipeline: only its network is used, not its gallery.
        walks: sequences with subjects, a folder of recordings, or a data set.
        protocol: YAML file of a :class:`~gait3dlib.protocols.CrossView`; the shipped ``cross_view`` by
            default, or where a walk has no view, everybody's first session against the others.
        covariates: names to tabulate by; by default all that vary over no more than 32 values.
        sweeps: what is done to one modality of the probes at a time: names of
            :data:`~gait3dlib.ablation.LEVELS`, or names with levels of your own. All but "missing" and
            "wrong_person" encode the probes anew.
        replicates: of the bootstrap.
        permutations: of the sign-flip tests; exact where people are so few that all can be made.
        seed: of everything drawn.
        progress: told what is being done.

    Raises:
        InputError: no walks, one without a subject, or nobody is left as a probe.
        ConfigError: an unknown kind of sweep.
        NoEvidence: no walk at all has one of the modalities.
    """
    asked, clock = checked_sweeps(sweeps), _Clock(progress)
    held = walks_of(walks)
    trial = _trial(held.known, protocol)
    cells = levels_of(held.known, trial.probe, covariates)
    samples, tokens = _encoded(pipeline, held, clock)
    means = _training_means(pipeline)
    judge = Judge(trial, means, replicates, permutations, seed)
    every = subsets(pipeline.modalities)
    kept: dict[str, Outputs] = {}
    for number, names in enumerate(
        every[::-1], start=1
    ):  # all of them first: the others are compared with it
        with clock.stage("fusing", f"fusing subset {number} of {len(every)}"):
            outputs = fuse_walks(pipeline.model, {name: tokens[name] for name in names}, chunk=CHUNK)
        with clock.stage("scoring"):
            judge.hear(Way(names), _take(outputs, trial.gallery), _take(outputs, trial.probe))
        if len(names) in (1, len(pipeline.modalities)):
            kept[" + ".join(names)] = outputs
    with clock.stage("scoring", "comparing"):
        figures = judge.figures()
        for name, values in cells.items():
            for value, rows in values.items():
                figures += judge.figures(name, value, rows)
    whole = kept[" + ".join(pipeline.modalities)]
    swept = Judge(trial, means, replicates, permutations, seed)
    if asked:
        with clock.stage("sweeping"):
            swept.hear(Way(pipeline.modalities), _take(whole, trial.gallery), _take(whole, trial.probe))
            shape = tuple(whole.embedding.shape[1:])
            sweep = Sweeps(pipeline, held, trial, samples, tokens, shape, seed)
            for way, probe in sweep.run(asked, progress):
                gallery = kept[" + ".join(way.modalities)]
                swept.hear(way, _take(gallery, trial.gallery), probe)
    return AblationReport(
        data=held.name,
        weights=pipeline.fingerprint,
        modalities=pipeline.modalities,
        people=len({k.subject for k in held.known}),
        walks=len(held.known),
        gallery=len(trial.gallery),
        probes=len(trial.probe),
        seed=seed,
        figures=tuple(figures),
        sweeps=tuple(swept.figures()[0:] if asked else ()),
        attention=_attention(pipeline, whole, samples, trial, cells),
        streams=streams_used(samples),
        embeddings=Embeddings.of(held.known, {name: o.embedding.numpy() for name, o in kept.items()}),
        seconds=clock.seconds,
    )


class _Clock:
    """Seconds by stage, and what is told of it."""

    def __init__(self, say: Say) -> None:
        self.say, self.seconds = say, dict[str, float]()

    @contextmanager
    def stage(self, name: str, text: str = "") -> Iterator[None]:
        if text:
            self.say(text)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _encoded(
    pipeline: Pipeline, held: Walks, clock: _Clock
) -> tuple[dict[str, list[Sample | None]], dict[str, Tokens]]:
    samples, tokens = {}, {}
    for name, modality in sorted(pipeline.model.modalities.items()):
        with clock.stage("preparing", f"preparing {name}"):
            samples[name] = held.samples(name, modality)
        with clock.stage("encoding", f"encoding {name}"):
            encoder = pipeline.model.encoders[name]
            tokens[name] = encode_walks(encoder, modality, samples[name], device=pipeline.device)
    return samples, tokens


def _trial(known: Sequence[Known], protocol: Path | str | None) -> Trial:
    if protocol is None and any(walk.view_deg is None for walk in known):
        gallery, probe = _first_sessions(known)
        return Trial(known, gallery, probe, np.zeros((len(probe), len(gallery)), dtype=bool))
    path = Path(protocol) if protocol else _resources.shipped("configs") / "protocols" / "cross_view.yaml"
    rules = config.build(CrossView, config.read(path), path.stem)
    walks = [Walk(Path(), i, k.subject, k.session, k.view_deg, k.labels) for i, k in enumerate(known)]
    gallery, probe = rules.split(walks)
    views = np.array([walk.view_deg for walk in walks], dtype=np.float64)
    return Trial(known, gallery, probe, exclude_views(views[probe], views[gallery], rules.min_degrees))


def _first_sessions(known: Sequence[Known]) -> tuple[list[int], list[int]]:
    """Everybody's first session against their others; where there is one only, its first walk."""
    gallery: list[int] = []
    for person in sorted({walk.subject for walk in known}):
        own = [i for i, walk in enumerate(known) if walk.subject == person]
        first = min(known[i].session for i in own)
        enrolled = [i for i in own if known[i].session == first]
        gallery += enrolled if len(enrolled) < len(own) else own[:1]
    probe = sorted(set(range(len(known))) - set(gallery))
    if not probe:
        raise InputError("no walk is left as a probe; give at least two walks of each person")
    return gallery, probe


def _training_means(pipeline: Pipeline) -> dict[str, float]:
    heads = dict(pipeline.model.heads.items())
    return {
        task: float(head.label_mean)
        for task, head in heads.items()
        if task in ("age", "bmi") and isinstance(head, Regression)
    }


def _take(outputs: Outputs, rows: Sequence[int]) -> Outputs:
    index = torch.as_tensor(list(rows))
    held = {name: value if value is None else value[index] for name, value in vars(outputs).items()}
    return Outputs(**held)  # type: ignore[arg-type] # an embedding is always there


def _attention(
    pipeline: Pipeline,
    outputs: Outputs,
    samples: Mapping[str, Sequence[Sample | None]],
    trial: Trial,
    cells: Mapping[str, Mapping[str, Sequence[int]]],
) -> dict[str, dict[str, float]]:
    """The mean share of identity attention on each modality, of the walks that have it; by covariate."""
    if outputs.weights is None:
        return {}
    shares, names = outputs.weights.double().numpy(), sorted(pipeline.model.modalities)
    has = np.stack([[s is not None for s in samples[name]] for name in names], axis=1)
    shares = np.where(has, shares, np.nan)
    parts = {"all walks": list(trial.probe)}
    for covariate, values in cells.items():
        parts |= {f"{covariate} = {v}": [trial.probe[i] for i in rows] for v, rows in values.items()}
    return {
        part: {
            name: float(np.nanmean(shares[rows, j]))
            for j, name in enumerate(names)
            if not np.isnan(shares[rows, j]).all()
        }
        for part, rows in parts.items()
    }

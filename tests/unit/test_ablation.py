"""Ablation: figures equal the protocol's and those worked out by hand; one encoding serves all subsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gait3dlib
from gait3dlib import Pipeline, protocols
from gait3dlib.ablation import AblationReport, Figure, ablate
from gait3dlib.ablation._walks import streams_used
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation import exclude_views, rank, similarity
from gait3dlib.modalities import Sample
from gait3dlib.recording import open_recording
from gait3dlib.types import GaitSequence

ALL = ("silhouette", "skeleton_map")


@pytest.fixture(scope="module")
def pipeline(weights_folder: Path) -> Iterator[Pipeline]:
    with Pipeline.from_pretrained(weights_folder, device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def report(pipeline: Pipeline, world: Path) -> AblationReport:
    return ablate(pipeline, world, seed=3)


@pytest.fixture(scope="module")
def sequences(world: Path) -> list[GaitSequence]:
    """The same walks in memory, with their labels."""
    found = []
    for path in sorted(world.glob("*.h5")):
        with open_recording(path) as recording:
            for index, seq in enumerate(recording):
                meta = dataclasses.replace(seq.meta, labels=recording.labels(index))
                found.append(dataclasses.replace(seq, meta=meta))
    return found


def test_the_figures_are_the_protocols(pipeline: Pipeline, world: Path, report: AblationReport) -> None:
    wanted = protocols.evaluate(pipeline, world, seed=3)
    for names in (ALL, ("silhouette",), ("skeleton_map",)):
        row = " + ".join(names)
        closed = wanted.identification[row]
        for measure, value in (("rank-1", closed.rank[1]), ("mAP", closed.mean_ap), ("EER", closed.eer)):
            found = report.rows(measure)[names]
            assert dataclasses.astuple(found.value)[:3] == pytest.approx(dataclasses.astuple(value)[:3])
        assert report.rows("rank-1")[names].chance == pytest.approx(closed.chance)
        for measure, task in (("age MAE", "age"), ("BMI MAE", "bmi")):
            errors = wanted.attributes[task][row]
            found = report.rows(measure)[names]
            assert found.value.value == pytest.approx(errors.mae.value)  # type: ignore[union-attr]
            assert found.value.low == pytest.approx(errors.mae.low)  # type: ignore[union-attr]
            assert found.chance == pytest.approx(errors.baseline_mae.value)  # type: ignore[union-attr]
        area = wanted.attributes["gender"][row].auc  # type: ignore[union-attr]
        assert report.rows("gender AUC")[names].value.high == pytest.approx(area.high)


def test_every_walk_is_encoded_once(pipeline: Pipeline, world: Path) -> None:
    seen = dict.fromkeys(ALL, 0)

    def count(name: str) -> object:
        def hook(module: torch.nn.Module, given: tuple[torch.Tensor, ...], out: object) -> None:
            seen[name] += len(given[0])

        return pipeline.model.encoders[name].register_forward_hook(hook)

    hooks: list[Any] = [count(name) for name in ALL]
    ablate(pipeline, world, replicates=5, sweeps={"missing": [0.5], "wrong_person": [1.0]})
    for hook in hooks:
        hook.remove()
    assert seen == dict.fromkeys(ALL, 24)


def test_sequences_in_memory_give_the_same(
    pipeline: Pipeline, sequences: list[GaitSequence], report: AblationReport
) -> None:
    again = gait3dlib.ablate(pipeline, sequences, seed=3)
    assert plain(again)["figures"] == plain(report)["figures"]
    assert again.attention == report.attention


def test_a_covariate_is_counted_on_its_own_probes(world: Path, report: AblationReport) -> None:
    """Brute force: the probes of one view alone, against the same gallery."""
    walks = WalkFolder(world).walks
    gallery, probe = protocols.CrossView().split(walks)
    view = np.array([w.view_deg for w in walks])
    assert report.covariates["view_deg"] == ["060", "100"]
    for level in report.covariates["view_deg"]:
        rows = [i for i in probe if f"{walks[i].view_deg:03.0f}" == level]
        vectors = report.embeddings.vectors["silhouette"]
        found = rank(
            similarity(vectors[rows], vectors[gallery]),
            [walks[i].subject for i in rows],
            [walks[i].subject for i in gallery],
            exclude_views(view[rows], view[gallery], 30.0),
        )
        figure = report.rows("mAP", "view_deg", level).get(("silhouette",))
        if not (found.mates > 0).any():
            assert figure is None
            continue
        assert figure is not None
        assert figure.value.value == pytest.approx(found.mean_ap())
        assert figure.walks == int((found.mates > 0).sum())
        assert report.rows("rank-1", "view_deg", level)[("silhouette",)].chance == pytest.approx(
            found.chance()
        )


def test_leaving_one_out_is_the_subset_without_it(report: AblationReport) -> None:
    without = report.leave_one_out("mAP")
    assert without["silhouette"] is report.rows("mAP")[("skeleton_map",)]
    whole = report.rows("mAP")[ALL]
    apart = without["silhouette"].value.value - whole.value.value
    assert without["silhouette"].difference.value == pytest.approx(apart)
    assert (whole.difference.value, np.isnan(whole.p)) == (0.0, True)
    best = report.best("mAP")
    assert best is not None
    assert best.value.value == max(f.value.value for f in report.rows("mAP").values())
    with pytest.raises(ConfigError, match="did you mean 'rank-1'"):
        report.rows("rank1")


def test_a_probe_without_a_modality_is_answered_as_the_subset_without_it(
    pipeline: Pipeline, world: Path, report: AblationReport
) -> None:
    """Law 1, through the sweep: all of it missing equals never having been recorded."""
    swept = ablate(pipeline, world, seed=3, sweeps={"missing": [1.0], "frames": [1.0]}).sweeps
    for kind in ("missing", "frames"):
        found = _only(swept, kind, "silhouette", "age MAE", ALL)
        wanted = report.rows("age MAE")[("skeleton_map",)]
        assert found.value.value == pytest.approx(wanted.value.value, rel=1e-6)
    alone = _only(swept, "frames", "silhouette", "rank-1", ("silhouette",))
    assert alone.value.value == 0.0, "who is not seen is not found"
    clean = next(f for f in swept if not f.corruption and f.measure == "rank-1")
    assert clean.value == report.rows("rank-1")[ALL].value


def test_what_goes_wrong_shows_and_a_seed_fixes_it(pipeline: Pipeline, world: Path) -> None:
    sweeps = {"noise": [0.3], "occlusion": [0.5], "wrong_person": [1.0]}
    one, two = (ablate(pipeline, world, seed=4, replicates=10, sweeps=sweeps) for _ in range(2))
    assert plain(one) == plain(two)
    for kind in sweeps:
        for name in ALL:
            clean = next(f for f in one.sweeps if not f.corruption and f.measure == "age MAE")
            assert _only(one.sweeps, kind, name, "age MAE", ALL).value != clean.value


def test_attention_is_shared_among_what_is_there(report: AblationReport) -> None:
    assert report.attention["all walks"].keys() == set(ALL)
    for shares in report.attention.values():
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_modality_is_credited_with_the_streams_it_was_made_from() -> None:
    def made(*used: str) -> Sample:
        return Sample(np.zeros((1, 1), np.uint8), np.zeros(1, np.float32), used)

    found = streams_used({"silhouette": [made("depth"), made("silhouette"), made("depth"), None]})
    assert found == {"silhouette": {"depth": 2, "silhouette": 1, "absent": 1}}


def test_a_walk_without_evidence_is_a_miss(
    pipeline: Pipeline, sequences: list[GaitSequence], report: AblationReport
) -> None:
    """Two of twelve probes lose their silhouettes: the subset cannot find them, the other one still does."""
    walks = [s if s.subject != sequences[0].subject else s.without("silhouette") for s in sequences]
    found = ablate(pipeline, walks, seed=3)
    assert found.streams["silhouette"] == {"silhouette": 20, "absent": 4}
    assert found.rows("rank-1")[("silhouette",)].walks == report.rows("rank-1")[("silhouette",)].walks
    before, after = (r.rows("age MAE")[("silhouette",)].walks for r in (report, found))
    assert after == before - 2, "an age that nobody could tell is left out"
    assert found.rows("rank-1")[("skeleton_map",)].value == report.rows("rank-1")[("skeleton_map",)].value
    assert np.isnan(found.embeddings.vectors["silhouette"][:4]).all()


def test_without_views_the_first_session_is_enrolled(
    pipeline: Pipeline, sequences: list[GaitSequence]
) -> None:
    blind = [dataclasses.replace(s, meta=dataclasses.replace(s.meta, view_deg=None)) for s in sequences]
    found = ablate(pipeline, blind, replicates=5)
    assert (found.gallery, found.probes) == (12, 12)
    one = [s for s in blind if s.meta.session == "00"]
    found = ablate(pipeline, one, replicates=5)
    assert (found.gallery, found.probes) == (6, 6)


def test_what_is_refused(pipeline: Pipeline, world: Path, sequences: list[GaitSequence]) -> None:
    nobody = dataclasses.replace(sequences[0], subject=None)
    for walks, message in (
        ([], "needs walks"),
        ([*sequences, nobody], "walk 24 has no subject"),
        ([dataclasses.replace(sequences[0], meta=gait3dlib.Meta())], "nobody|no walk is left as a probe"),
    ):
        with pytest.raises(InputError, match=message):
            ablate(pipeline, walks)
    with pytest.raises(ConfigError, match="did you mean 'noise'"):
        ablate(pipeline, world, sweeps=["nois"])
    with pytest.raises(ConfigError, match="levels lie above 0"):
        ablate(pipeline, world, sweeps={"noise": [1.5]})
    with pytest.raises(InputError, match=r"no walk has the covariate 'weather'; the walks have: .*view_deg"):
        ablate(pipeline, world, covariates=["weather"])


def plain(report: AblationReport) -> dict[str, Any]:
    """All but the seconds, with None for NaN, which equals nothing."""
    return {name: value for name, value in report.to_dict().items() if name != "seconds"}


def _only(figures: tuple[Figure, ...], kind: str, hit: str, measure: str, names: tuple[str, ...]) -> Figure:
    key = (kind, hit, measure, names)
    (found,) = [f for f in figures if (f.corruption, f.corrupted, f.measure, f.modalities) == key]
    return found

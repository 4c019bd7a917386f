"""Every fake data set trains a step and is evaluated by its own protocol."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_data_sets
import pytest
import tiny
from typer.testing import CliRunner

from gait3dlib import Pipeline, protocols, training
from gait3dlib.cli import app
from gait3dlib.data.sets import open_data
from gait3dlib.errors import ConfigError, NoEvidence
from gait3dlib.evaluation import Groups, Scoring, ViewPairReport
from gait3dlib.fusion import weights
from gait3dlib.protocols import DataSetReport, evaluate_data_set

POINTS = {"lidar": {"encoder": "points", "points": 16, "width": 8, "strips": 4}}
STEP = {**tiny.SCHEDULE, "steps": 1, "validate_every": 1}
QUICK = Scoring(replicates=10)

# data set: its protocols, the modality that is trained, and the groups of the first protocol
SETS: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "casia_b": (["casia_b", "casia_b_one_gallery"], {"silhouette": {}}, ["NM", "BG", "CL"]),
    "ou_mvlp": (["ou_mvlp"], {"silhouette": {}}, ["all"]),
    "grew": (["grew"], {"silhouette": {}}, ["proxy"]),
    "gait3d": (["gait3d"], {"silhouette": {}}, ["all"]),
    "sustech1k": (["sustech1k"], POINTS, ["normal", "bag", "clothing", "carrying", "umbrella"]),
    "ccpg": (["ccpg_gait", "ccpg_reid"], {"silhouette": {}}, ["CL", "UP", "DN", "BG"]),
    "ccgr_mini": (["ccgr_mini"], {"skeleton_map": {}}, ["all"]),
    "freegait": (["freegait"], POINTS, ["all"]),
}


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fakes")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Small weights of three modalities that were never trained."""
    settings = {**tiny.MODALITIES, **POINTS}
    settings = {name: weights.resolved(name, asked) for name, asked in settings.items()}
    fusion = {**tiny.FUSION, "modalities": sorted(settings)}
    folder = tmp_path_factory.mktemp("weights") / "w"
    weights.save(folder, weights.untrained(settings, fusion), settings=settings, fusion=fusion, info={})
    with Pipeline.from_pretrained(folder, device="cpu") as made:
        yield made


def fake(root: Path, name: str) -> Path:
    return root / name if (root / name).exists() else fake_data_sets.write(name, root / name)


def rules_of(name: str) -> Groups:
    rules = protocols.read(name)
    assert isinstance(rules, Groups)
    return rules


def test_every_fake_is_here() -> None:
    assert set(SETS) == set(fake_data_sets.FAKES)


@pytest.mark.parametrize("name", SETS)
def test_a_step_and_a_report(name: str, fakes: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    root = fake(fakes, name)
    names, modality, groups = SETS[name]
    asked = {key: {**tiny.MODALITIES.get(key, {}), **given} for key, given in modality.items()}
    open_data(name, root=root).prepare(*next(iter(_resolved(asked).items())), jobs=1)
    made = training.train_encoder(
        modality=asked,
        data={name: {"root": str(root)}},
        out=tmp_path / "run",
        dim=16,
        validation_people=1,
        schedule=STEP,
        report=lambda text: None,
    )
    assert made.exists()
    data = open_data(name, root=root, split="test")
    for protocol in names:
        report = evaluate_data_set(pipeline, data, rules_of(protocol), scoring=QUICK)
        both = " + ".join(n for n in pipeline.modalities if n not in report.unseen)
        assert both in report.reports
        assert (report.people, report.unseen) == (_people(name), _unseen(name, pipeline))
        found = report.reports[both].groups
        assert list(found)[: len(groups)] == groups
        assert all(0 <= group.rank[1].value <= 1 for group in found.values())
        json.dumps(report.to_dict(), allow_nan=False)


def _resolved(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: weights.resolved(name, settings) for name, settings in asked.items()}


def _people(name: str) -> int:
    return {"casia_b": 3, "ou_mvlp": 4, "grew": 5, "gait3d": 4, "sustech1k": 2}.get(name, 3)


def _unseen(name: str, pipeline: Pipeline) -> tuple[str, ...]:
    keypoints, points = name in ("sustech1k", "ccgr_mini"), name in ("sustech1k", "freegait")
    there = {"silhouette": True, "skeleton_map": keypoints, "lidar": points}
    return tuple(n for n in pipeline.modalities if not there[n])


def test_a_submission_and_the_verb(fakes: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    root = fake(fakes, "grew")
    pipeline.save(tmp_path / "w")
    words = ["evaluate", "--data-set", "grew", "--root", root, "--weights", tmp_path / "w"]
    words += ["--submission", tmp_path / "grew.csv", "--out", tmp_path / "out", "--json"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["unseen"] == ["lidar", "skeleton_map"]
    assert list(told["reports"]) == ["silhouette"]
    assert "## GREW" in (tmp_path / "out" / "report.md").read_text()
    lines = list(csv.reader((tmp_path / "grew.csv").open()))
    assert [line[0] for line in lines] == ["videoId", "probe0", "probe1", "probe2", "probe3"]
    assert {len(line) for line in lines} == {21}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data-set", "casia_b"], "--data-set NAME with --root DIR"),
        (["--data-set", "casia_b", "--root", "x", "--data", "y"], "--data-set NAME with --root DIR"),
        (["--data", "y", "--partition", "p.json"], "--partition belongs to --data-set"),
        (["--data", "y", "--protocol", "casia"], "did you mean 'casia_b'"),
        (["--data", "y", "--rerank", "6"], "belong to protocols of public data sets"),
    ],
)
def test_words_that_do_not_fit(words: list[str], said: str, pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.save(tmp_path / "w")
    result = CliRunner().invoke(app, ["evaluate", "--weights", str(tmp_path / "w"), *words])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_other_modalities_on_a_data_set(fakes: Path, pipeline: Pipeline) -> None:
    root = fake(fakes, "sustech1k")
    data = open_data("sustech1k", root=root, split="test")
    report = evaluate_data_set(pipeline, data, rules_of("cross_modal"), scoring=QUICK)
    assert list(report.reports) == ["lidar against silhouette"]
    found = report.reports["lidar against silhouette"].groups["all"]
    assert not isinstance(found, ViewPairReport)
    assert (found.gallery_size, found.probes) == (4, 32)
    assert "lidar against silhouette" in str(report.tables()[0].title)
    blind = open_data("ou_mvlp", root=fake(fakes, "ou_mvlp"), split="test")
    with pytest.raises(ConfigError, match=r"needs 'lidar' in the weights and the data"):
        evaluate_data_set(pipeline, blind, rules_of("cross_modal"), scoring=QUICK)


def test_a_walk_with_a_hole_is_a_miss(fakes: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    root = fake_data_sets.write("ccgr_mini", tmp_path / "ccgr_mini")
    whole = _evaluated(pipeline, root)
    for path in root.glob("5/*/*/002-*.pkl"):
        path.unlink()
    for path in root.glob("5/*/*/003-*.pkl"):
        path.unlink()
    holed = _evaluated(pipeline, root)
    for name in ("silhouette", "skeleton_map"):
        before, after = (r.reports[name].groups["all"] for r in (whole, holed))
        assert after.to_dict()["probes"] == before.to_dict()["probes"]
    after = holed.reports["silhouette"].groups["all"]
    assert after.rank[1].value <= 2 / 3, "of one person nothing was seen"
    assert holed.reports["skeleton_map"].groups == whole.reports["skeleton_map"].groups
    lidar = Pipeline.from_pretrained(pipeline.save(tmp_path / "w"), ["lidar"], device="cpu")
    data = open_data("ccgr_mini", root=root, split="test")
    with pytest.raises(NoEvidence, match="no walk of the protocol has what lidar reads"):
        evaluate_data_set(lidar, data, rules_of("ccgr_mini"))


def _evaluated(pipeline: Pipeline, root: Path) -> DataSetReport:
    data = open_data("ccgr_mini", root=root, split="test")
    return evaluate_data_set(pipeline, data, rules_of("ccgr_mini"), scoring=QUICK)

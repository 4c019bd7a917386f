"""Tables of the simulated benchmark: who is compared with whom, the baselines, the oracle, and the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny
import yaml

from gait3dlib import config
from gait3dlib.body import Body, BodyShape
from gait3dlib.errors import InputError
from gait3dlib.evaluation import keypoint_fourier, keypoint_scores
from gait3dlib.recording import open_recording
from gait3dlib.simulation import frozen
from gait3dlib.simulation.benchmark import GALLERY_SESSION, simulate_split

HERE = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    sys.path.insert(0, str(HERE))
    try:
        names = ("oracle", "trial", "shuffled", "simulated", "write_docs", "_tables")
        return {name: __import__(name) for name in names}
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said = config.read(frozen.file_of("world_v1"))
    said |= {"seconds": 0.8, "fps": 15, "size": 32, "gallery_views": [0, 90, 180], "fingerprint": ""}
    said["splits"] = {
        "train": {"first": 0, "people": 30, "walks": 1},
        "test": {"first": 50, "people": 4, "gallery": True, "probes": ["normal", "coat", "night"]},
        "impostors": {"first": 60, "people": 3, "probes": ["normal", "clothes"]},
    }
    path = tmp_path_factory.mktemp("rules") / "small.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


@pytest.fixture(scope="module")
def world(rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    for split in ("test", "impostors"):
        simulate_split(rules, split, out, jobs=1)
    return out


@pytest.fixture(scope="module")
def trial(scripts: dict[str, ModuleType], world: Path, rules: Path) -> Any:
    return scripts["trial"].read(world, frozen.load(rules), 3)


def test_who_is_compared_with_whom(trial: Any) -> None:
    assert set(trial.people[trial.gallery]) == {f"p2026-{i:05d}" for i in (50, 51, 52)}
    assert "p2026-00053" not in trial.people, "a fourth is known elsewhere, and so no stranger"
    assert len(trial.gallery) == 9
    assert set(trial.sessions[trial.gallery]) == {GALLERY_SESSION}
    assert sorted(trial.cells[trial.probe]) == sorted(["normal", "coat", "night"] * 3)
    assert set(trial.people[trial.impostor]) == {f"p2026-{i:05d}" for i in (60, 61, 62)}
    assert trial.rows() == ["clothes", "all", "normal", "coat", "night"]
    assert set(trial.cells[trial.impostors_of("clothes")]) <= {"coat", "skirt", "loose_trousers"}
    assert set(trial.cells[trial.impostors_of("night")]) == {"normal"}


def test_rank_one_of_scores_that_know_and_of_scores_that_do_not(trial: Any) -> None:
    own = trial.people[:, None] == trial.people[trial.gallery][None]
    right = trial.identification(own.astype(np.float32), "all", "one view", 0, 50)
    assert right["rank1"]["value"] == 1.0
    assert (right["people"], right["probes"], right["impostor_searches"]) == (3, 9, 3)
    assert right["chance"] == pytest.approx(1 / 3)
    assert right["fnir"]["value"] is None, "three strangers cannot tell 1 % FPIR"
    wrong = trial.identification(-own.astype(np.float32), "all", "several views", 0, 50)
    assert wrong["rank1"]["value"] == 0.0
    # ties are no hits
    assert trial.identification(np.zeros(own.shape), "all", "one view", 0, 50)["rank1"]["value"] == 0.0


def test_views_nearer_than_thirty_degrees_are_never_compared(trial: Any) -> None:
    own = trial.people[:, None] == trial.people[trial.gallery][None]
    turn = trial.views[:, None] - trial.views[trial.gallery][None]
    near = np.abs((turn + 180) % 360 - 180) < 30 + 2 * trial.rules.jitter_deg
    # the answer given away, but only to pairs that may not be compared
    scores = np.where(near, own, 0.5 - own)
    assert trial.identification(scores, "all", "several views", 0, 50)["rank1"]["value"] == 0.0


def test_every_table_comes_out(scripts: dict[str, ModuleType], trial: Any, tmp_path: Path) -> None:
    weights = str(tiny.save_weights(tmp_path / "weights"))
    found = scripts["simulated"].tables(trial, [weights], 0, with_oracle=False, jobs=1)
    names = {row["name"] for row in found["identification"]}
    assert {"gait energy image", "limb directions, Fourier", "silhouette + skeleton_map"} <= names
    assert len(found["identification"]) == len(names) * 2 * len(trial.rows())
    assert {row["task"] for row in found["attributes"]} <= {"age", "bmi", "gender"}
    report = {"world": "small", "sha256": "0", "fingerprint": "", "weights": ["none"], "seed": 0}
    report |= {"people": 3, "impostors": 3, **found}
    (tmp_path / "simulated.json").write_text(json.dumps(report, allow_nan=False))
    text = scripts["write_docs"].page(tmp_path)
    assert "| gait energy image | 3 |" in text
    assert "not measured (FPIR 0.01 needs 99 non-mated searches, there are 3)" in text
    assert text.count("\nnot measured\n") == len(scripts["write_docs"].SECTIONS) - 1


def test_shuffled_walks_keep_names_and_labels_and_lose_their_people(
    scripts: dict[str, ModuleType], world: Path, tmp_path: Path
) -> None:
    out = scripts["shuffled"].copy(world, tmp_path / "shuffled", seed=1)
    same, walks = 0, 0
    for path in sorted(world.glob("*.h5")):
        with open_recording(path) as before, open_recording(out / path.name) as after:
            for index, (a, b) in enumerate(zip(before, after, strict=True)):
                assert (a.subject, a.meta.session) == (b.subject, b.meta.session)
                assert before.labels(index) == after.labels(index)
                same += np.array_equal(a.streams["silhouette"].data, b.streams["silhouette"].data)
                walks += 1
    assert same < walks / 2


def test_the_oracle_knows_no_metres(scripts: dict[str, ModuleType]) -> None:
    body = Body.load("low").shape(BodyShape(35, "female", height_m=1.65, mass_kg=62))
    heavier = Body.load("low").shape(BodyShape(35, "female", height_m=1.65, mass_kg=75))
    build = scripts["oracle"].build
    grown = type(body)(**{**vars(body), "vertices": body.vertices * 1.2, "joints": body.joints * 1.2,
                          "height_m": body.height_m * 1.2})  # fmt: skip
    assert build(grown) == pytest.approx(build(body), rel=1e-5)
    widths = slice(0, 56)
    assert (build(heavier)[widths] > build(body)[widths] - 1e-3).all()
    assert build(heavier)[widths].mean() > 1.05 * build(body)[widths].mean()
    assert 0.1 < build(body)[widths].min() * 3 < build(body)[widths].max() < 0.4


def test_the_oracle_weighs_what_varies_between_days_less(scripts: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(0)
    people = np.repeat([f"{i:02d}" for i in range(40)], 6)
    steady = np.repeat(rng.standard_normal((40, 3)), 6, axis=0) + 0.02 * rng.standard_normal((240, 3))
    moody = 50 * rng.standard_normal((240, 3))
    gallery = np.arange(0, 240, 6)
    scores = scripts["oracle"].scores(np.concatenate([steady, moody], axis=1), people, gallery)
    best = people[gallery][scores.argmax(axis=1)]
    assert (best == people)[np.setdiff1d(np.arange(240), gallery)].mean() > 0.9
    with pytest.raises(InputError, match="too few walks"):
        scripts["oracle"].scores(moody[:7], people[:7], gallery[:2])


def test_the_regression_finds_a_curve_and_gives_up_on_noise(scripts: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (400, 2))
    targets = np.stack([np.sin(2 * x[:, 0]) + x[:, 1], rng.standard_normal(400)], axis=1)
    fit = scripts["oracle"].KernelRidge(x[:300], targets[:300], np.arange(300))
    error = np.abs(fit.predict(x[300:]) - targets[300:]).mean(axis=0)
    assert error[0] < 0.05
    assert error[1] < 1.1 * np.abs(targets[300:, 1]).mean()


def walking(hertz: float, swing: float, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Key points of a stick figure whose left thigh swings, ``[30, 17, 3]``."""
    t_s = np.arange(30) / 15
    rng = np.random.default_rng(4)
    points = np.tile(rng.uniform(0, 100, (17, 2)), (30, 1, 1))
    angle = swing * np.sin(2 * np.pi * hertz * t_s + 1.0)
    points[:, 13] = points[:, 11] + 40 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points[:, 15] = points[:, 13] + [0.0, 40.0]
    return np.concatenate([scale * points + shift, np.ones((30, 17, 1))], axis=2)


def test_limbs_as_fourier_series() -> None:
    t_s = np.arange(30) / 15
    one = keypoint_fourier(walking(0.94, 0.4), t_s)
    assert one is not None
    assert one[-1] == pytest.approx(0.94, abs=0.021)
    # x of the thigh: sin(0.4 sin) = 2 J1(0.4) sin + ... (Jacobi and Anger); J1(0.4) = 0.19603
    assert one[24 + 8] == pytest.approx(2 * 0.19603, abs=0.01)
    assert keypoint_fourier(walking(0.94, 0.4, shift=300.0, scale=2.0), t_s) == pytest.approx(one, abs=1e-5)
    lost = walking(0.94, 0.4)
    lost[:25, 7, 2] = 0.0
    assert keypoint_fourier(lost, t_s) is None
    with pytest.raises(InputError, match="must be"):
        keypoint_fourier(lost[:, :13], t_s)


def test_the_nearest_limbs_are_ones_own_and_nobody_is_nobody() -> None:
    t_s = np.arange(30) / 15
    gallery = [keypoint_fourier(walking(0.8 + 0.1 * k, 0.2 + 0.1 * k), t_s) for k in range(4)]
    probe = [keypoint_fourier(walking(0.81 + 0.1 * k, 0.21 + 0.1 * k), t_s) for k in range(4)]
    scores = keypoint_scores([*probe, None], [*gallery, None])
    assert scores[:4].argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert (scores[4] < scores[:4, :4].min()).all()
    assert (scores[:, 4] < scores[:4, :4].min()).all()


def test_the_page_is_what_the_results_say(scripts: dict[str, ModuleType]) -> None:
    page = HERE.parent / "docs" / "benchmarks.md"
    assert page.read_text() == scripts["write_docs"].page(HERE / "results"), "run: make benchmarks-doc"

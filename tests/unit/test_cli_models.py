"""Data, training, evaluation, cards and the doctor on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import gait3d, good, said_json, with_weights

from gait3dlib.cli.card import _lines

pytestmark = pytest.mark.usefixtures("at_home")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated people, two sessions, two views."""
    out = tmp_path_factory.mktemp("world") / "walks"
    words = ["--walkers", 4, "--sessions", 2, "--views", "45,90", "--seconds", 0.7, "--fps", 10, "--jobs", 1]
    made = said_json("simulate", "--out", out, *words)
    assert made == {"out": str(out), "walkers": 4, "walks": 16, "seed": 0}
    assert "4 walkers, 16 walks" in good("simulate", "--out", out, *words).stdout  # there already
    return out


def test_simulate_keeps_data_made_otherwise(world: Path) -> None:
    result = gait3d("simulate", "--out", world, "--walkers", 1, "--seed", 9)
    assert result.exit_code == 1
    assert "choose another folder" in result.stderr
    assert len(list(world.glob("*.h5"))) == 4


def test_evaluate(world: Path, things: Path, tmp_path: Path) -> None:
    words = with_weights(things, "evaluate", "--data", world, "--out", tmp_path / "results")
    found = said_json(*words)
    assert set(found["identification"]) >= {"silhouette", "silhouette + skeleton_map"}  # type: ignore[call-overload]
    assert json.loads((tmp_path / "results" / "report.json").read_text()) == found
    assert "| " in (tmp_path / "results" / "report.md").read_text()
    shown = good(*words)
    assert "rank-1" in shown.stdout
    assert "report.md" in shown.stderr
    assert gait3d(*with_weights(things, "evaluate", "--data", tmp_path / "none")).exit_code == 1


def test_train(world: Path, tmp_path: Path) -> None:
    settings = [
        f"data={world}", "validation_people=2", "modality.silhouette.width=8", "schedule.steps=2",
        "schedule.people=2", "schedule.walks=2", "schedule.frames=2", "schedule.precision=32-true",
    ]  # fmt: skip
    words = ["train", "silhouette", "--out", tmp_path / "run"]
    for setting in settings:
        words += ["--set", setting]
    made = said_json(*words)
    assert Path(str(made["weights"])).exists()
    assert "weights: " in good(*words, "--resume").stdout


def test_cards() -> None:
    assert "simulated_walkers" in good("card").stdout.split()
    assert "simulated_walkers" in said_json("card")["cards"]  # type: ignore[operator]
    held = said_json("card", "simulated_walkers")
    assert (held["kind"], held["name"]) == ("data", "simulated_walkers")
    assert "must not be used for" in good("card", "simulated_walkers").stdout
    assert _lines({"a": {"b": 1, "c": [2, 3]}, "d": "e"}) == "a: b: 1, c: 2, 3\nd: e"


def test_doctor(capfd: pytest.CaptureFixture[str]) -> None:
    findings = said_json("doctor")["findings"]
    assert {"python", "numpy", "torch"} <= {row["name"] for row in findings}  # type: ignore[attr-defined]
    assert "numpy" in good("doctor").stdout
    assert not capfd.readouterr().err  # what native libraries say when they are tried is kept quiet

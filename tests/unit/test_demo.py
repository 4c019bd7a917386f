"""The demo, small, with weights that were never trained and only claim to be: its way, not its figures."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gait3dlib import demo
from gait3dlib.cli import app
from gait3dlib.demo import _filming
from gait3dlib.errors import InputError, UntrainedError
from gait3dlib.gallery import Gallery
from gait3dlib.pipeline import Pipeline
from gait3dlib.recording import load, open_recording


@pytest.fixture(scope="module")
def result(guessing_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> demo.DemoResult:
    told: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("demo") / "new"
    found = demo.run(
        out, people=2, strangers=1, weights=guessing_weights, jobs=1, progress=lambda *step: told.append(step)
    )
    assert told == [(i, 5) for i in range(1, 6)]
    return found


def test_everybody_comes_back_seen_from_another_side(result: demo.DemoResult) -> None:
    assert result.enrolled == ("wren", "heron")
    assert sorted(visit.truth for visit in result.visits) == ["heron", "stranger-1", "wren"]
    for visit in result.visits:
        away = np.abs((visit.view_deg - np.array(_filming.ENROL_VIEWS_DEG) + 180) % 360 - 180)
        assert away.min() >= 30
        assert visit.speed != 1.0
    assert result.chance == 0.5
    assert sum(result.counts.values()) == 3


def test_the_answers_are_the_models_own(result: demo.DemoResult, guessing_weights: Path) -> None:
    with Pipeline(demo.MODALITIES, weights=guessing_weights, gallery=result.gallery) as pipeline:
        for visit in result.visits:
            assert next(pipeline.recognize(visit.recording)) == visit.recognition


def test_recordings_do_not_say_who_came_back(result: demo.DemoResult) -> None:
    for visit in result.visits:
        with open_recording(visit.recording) as recording:
            seq, truth = recording.sequence(0), recording.truth(0)
        assert (seq.subject, seq.meta.labels) == (None, None)
        assert truth is not None
        assert truth.labels == visit.labels
        # the same person on another day is not the same recording
    enrolled = load(result.report.parent / "enrolled" / "wren.h5", walk=0)
    assert enrolled.subject == "wren"
    assert enrolled.meta.session != seq.meta.session


def test_all_cameras_of_an_enrolment_see_one_walk(result: demo.DemoResult) -> None:
    with open_recording(result.report.parent / "enrolled" / "wren.h5") as recording:
        views = [recording.sequence(view).meta.view_deg for view in range(len(recording.walks))]
        assert views == list(_filming.ENROL_VIEWS_DEG)
        truths = [recording.truth(view) for view in range(len(recording.walks))]
    joints = [truth.arrays["joints"] for truth in truths if truth is not None]
    assert len(joints) == len(_filming.ENROL_VIEWS_DEG)
    for seen in joints[1:]:
        np.testing.assert_array_equal(seen, joints[0])


def test_the_page_shows_every_walk_and_asks_for_nothing(result: demo.DemoResult) -> None:
    page = result.report.read_text(encoding="utf-8")
    for visit in result.visits:
        assert visit.truth in page
        assert f"seen at {visit.view_deg:.0f}°" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


def test_table_and_summary_tell_the_outcome(result: demo.DemoResult) -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result.table())
    text = console.export_text()
    rows = [line.split() for line in text.splitlines()[2:]]  # a row a visit: nothing wraps
    for row, visit in zip(rows, result.visits, strict=True):
        name = visit.truth if visit.truth in result.enrolled else "stranger"
        assert row[:3] == [f"{visit.view_deg:.0f}°", name, visit.recognition.identity]
        assert (row[-1] == "right") == visit.outcome.good
    ends = Counter(visit.outcome.value for visit in result.visits)
    assert f"{ends['Right name']} of 2 named rightly (by chance 1)" in result.summary()
    assert f"{ends['Rightly unknown']} of 1 rightly unknown" in result.summary()


def test_again_in_the_same_folder_by_two_processes(result: demo.DemoResult, guessing_weights: Path) -> None:
    out = result.report.parent
    stale = out / "corridor" / "walk-99.h5"
    stale.touch()
    words = ["demo", "--out", out, "--people", 2, "--strangers", 1, "--weights", guessing_weights]
    ran = CliRunner().invoke(app, [str(word) for word in words])
    assert ran.exit_code == 0, ran.output
    assert "2 enrolled" in ran.stdout
    assert str(out / "report.html") in ran.stdout
    again = json.loads((out / "demo.json").read_text())
    before = json.loads(json.dumps(result.to_dict()))
    assert again["visits"] == before["visits"]  # to the last bit, whoever did the work
    assert not stale.exists()
    with Gallery.open(out / "gallery.db", *Gallery.model_of(out / "gallery.db")) as gallery:
        assert len(gallery) == 2 * len(_filming.ENROL_VIEWS_DEG)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path, guessing_weights: Path) -> None:
    (tmp_path / "gallery.db").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        demo.run(tmp_path, people=1, strangers=0, weights=guessing_weights)
    assert [p.name for p in tmp_path.iterdir()] == ["gallery.db"]
    with pytest.raises(InputError, match="is a file"):
        demo.run(tmp_path / "gallery.db", people=1, strangers=0, weights=guessing_weights)
    with pytest.raises(InputError, match="1 to 24 people"):
        demo.run(tmp_path / "d", people=25, strangers=0, weights=guessing_weights)


def test_untrained_weights_name_nobody(tmp_path: Path) -> None:
    with pytest.raises(UntrainedError):
        demo.run(tmp_path / "d", people=1, strangers=0, weights=None, jobs=1)

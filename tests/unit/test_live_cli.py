"""The live loop on the command line: recognise, enrol and record in front of a sensor, and how each ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import h5py
import pytest
from commands import CORRIDOR, gait3d
from typer.testing import Result

import gait3dlib
from gait3dlib.cli._screen import Screen
from gait3dlib.gallery import Gallery
from gait3dlib.live import LiveStats

pytest.importorskip("embreex")


@pytest.fixture(autouse=True)
def _wide(at_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of one person who walks by, raw streams and walk."""
    out = tmp_path_factory.mktemp("recorded") / "walk.h5"
    assert gait3d("record", "--sensor", CORRIDOR, "--out", out).exit_code == 0
    return out


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_object_a_walk_and_one_at_the_end(recorded: Path, guessing_weights: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "g.db"
    weights = ("--weights", guessing_weights, "--gallery", gallery)
    assert gait3d("enroll", "ada", recorded, *weights).exit_code == 0
    walk, end = lines(gait3d("recognize", "--sensor", recorded, *weights, "--json"))
    assert (walk["event"], walk["walk"], walk["enrolled"]) == ("walk", 0, 1)
    assert walk["identity"] == "ada", "the same frames again"
    assert walk["score"] == pytest.approx(1.0, abs=1e-3)
    assert walk["calibrated"] is False
    assert walk["reason"] == ""
    assert float(str(walk["latency_s"])) >= 0
    assert (end["event"], end["walks"], end["dropped_frames"], end["dropped_walks"]) == ("end", 1, 0, 0)
    assert end["captured"] == end["perceived"]
    assert float(str(end["latency_p50_s"])) <= float(str(end["latency_p99_s"]))


def test_rows_and_what_was_lost(recorded: Path, guessing_weights: Path, tmp_path: Path) -> None:
    weights = ("--weights", guessing_weights, "--gallery", tmp_path / "g.db")
    assert gait3d("enroll", "ada", recorded, *weights).exit_code == 0
    done = gait3d("recognize", "--sensor", f"replay:{recorded}", *weights)
    assert done.exit_code == 0, done.output
    assert "ada" in done.stdout
    assert "not from your site" in done.stderr
    assert "lost: 0 frames, 0 walks, 0 in the sensor" in done.stderr
    assert "p50" in done.stderr


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person walks by two times."""
    from gait3dlib.recording import RecordingWriter
    from gait3dlib.sensors.simulated import Simulated
    from gait3dlib.types import EndOfStream

    out = tmp_path_factory.mktemp("twice") / "twice.h5"
    with Simulated(seed=3, walkers=[0, 0], fps=12, gap_s=0.8) as sensor:
        specs = {name: spec for name, spec in sensor.specs.items() if name != "depth"}
        with RecordingWriter(out, specs, clock="own") as writer:
            while True:
                try:
                    frame = sensor.read(1.0)
                except EndOfStream:
                    break
                for name in specs:
                    writer.append(name, frame.data[name], frame.host_t_ns)
    return out


def test_enrolling_takes_two_walks_and_leaves_nothing_after_one(
    recorded: Path, guessing_weights: Path, tmp_path: Path
) -> None:
    gallery = tmp_path / "g.db"
    weights = ("--weights", guessing_weights, "--gallery", gallery)
    once = gait3d("enroll", "--subject", "P01", "--sensor", recorded, *weights)
    assert once.exit_code == 1
    assert "after one walk of P01, and two are needed" in once.stderr
    assert not gallery.exists()


def test_two_walks_of_one_person_enrol(twice: Path, guessing_weights: Path, tmp_path: Path) -> None:
    weights = ("--weights", guessing_weights, "--gallery", tmp_path / "g.db")
    done = gait3d("enroll", "--subject", "P01", "--sensor", twice, *weights, "--json")
    (made,) = lines(done)
    assert (made["subject"], made["confirmed"], made["walks"]) == ("P01", True, 2)
    assert float(str(made["score"])) >= float(str(made["threshold"]))
    assert "now walk past once more" in done.stderr
    with Gallery.open(tmp_path / "g.db", *Gallery.model_of(tmp_path / "g.db")) as held:
        assert held.count("P01") == 2


def test_a_second_walk_that_does_not_match_enrols_nobody(
    twice: Path, guessing_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gait3dlib.pipeline.Pipeline._default_threshold", lambda self, names, size: 1.1)
    weights = ("--weights", guessing_weights, "--gallery", tmp_path / "g.db")
    done = gait3d("enroll", "P01", "--sensor", twice, *weights)
    assert done.exit_code == 1
    assert "the second walk does not match the first (similarity 0." in done.stderr
    assert not (tmp_path / "g.db").exists()


def test_either_a_source_or_a_sensor(recorded: Path) -> None:
    for words in (["recognize"], ["recognize", str(recorded), "--sensor", "simulated"]):
        wrong = gait3d(*words)
        assert wrong.exit_code == 2
        assert "either a SOURCE" in wrong.stderr
    assert gait3d("enroll", "--sensor", "simulated").exit_code == 2
    both = gait3d("enroll", "ada", "--subject", "bob", "--sensor", "simulated")
    assert both.exit_code == 2
    assert "name one person" in both.stderr


def test_wrong_sensors_are_one_sentence(guessing_weights: Path, tmp_path: Path) -> None:
    odd = gait3d("recognize", "--sensor", "realsens:1", "--weights", guessing_weights)
    assert odd.exit_code == 2
    assert "did you mean 'realsense'" in odd.stderr
    gone = gait3d("recognize", "--sensor", tmp_path / "no.h5", "--weights", guessing_weights)
    assert gone.exit_code == 1
    assert "there is no file" in gone.stderr
    none = gait3d("recognize", "--sensor", CORRIDOR, "--gallery", tmp_path / "no.db")
    assert "there is no gallery" in none.stderr


@pytest.mark.parametrize("verb", ["recognize", "record", "enroll"])
def test_no_camera_and_a_recording_of_another_schema(
    verb: str, recorded: Path, guessing_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyrealsense2", exc_type=ImportError)
    monkeypatch.setattr("gait3dlib.sensors.realsense.TRIES", 1)
    newer = tmp_path / "newer.h5"
    shutil.copy(recorded, newer)
    with h5py.File(newer, "r+") as file:
        file.attrs["schema"] = 9
    more = {
        "recognize": ["--weights", guessing_weights],
        "record": ["--out", tmp_path / "x.h5"],
        "enroll": ["--subject", "P01", "--weights", guessing_weights, "--gallery", tmp_path / "g.db"],
    }[verb]
    for sensor, said in (("realsense:12345", "no RealSense camera"), (newer, "has schema 9")):
        done = gait3d(verb, "--sensor", sensor, *more)
        assert done.exit_code == 1, done.output
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newer.h5"], "nothing is left behind"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_recognition_with_what_was_seen(
    number: signal.Signals, guessing_weights: Path, tmp_path: Path
) -> None:
    sensor = "simulated:seed=3,walkers=1,fps=12,gap_s=60,realtime=true"
    words = ["recognize", "--sensor", sensor, "--weights", str(guessing_weights), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gait3dlib.cli", *words], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and not _waits_for_signals(process.pid):
        time.sleep(0.2)
    time.sleep(1.0)
    process.send_signal(number)
    text, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    (end,) = [json.loads(line) for line in text.splitlines()]
    assert end["event"] == "end"


def _waits_for_signals(pid: int) -> bool:
    """Whether the process catches SIGTERM by now, which it does just before the sensor is opened."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def test_a_recording_goes_through_the_same_loop(recorded: Path) -> None:
    with gait3dlib.open_recording(recorded) as recording:
        assert len(recording) == 1
        frames = len(recording.streams.t_ns("silhouette"))
        walk = recording.sequence(0)
    assert frames > len(walk.streams["silhouette"]) > 20


# ---- the screen ------------------------------------------------------------------------------------------


class Still:
    """A loop that says what it is told."""

    def __init__(self, **numbers: object) -> None:
        self.stats = LiveStats(**numbers)  # type: ignore[arg-type]


def drawn(screen: Screen) -> str:
    from rich.console import Console

    out = StringIO()
    Console(file=out, width=140, markup=False).print(screen)
    return out.getvalue()


def test_the_screen_says_how_it_goes() -> None:
    live = Still(fps=29.97, people=2, dropped_frames=3, lost=1, latency_s=(0.41, 0.5, 0.66))
    text = drawn(Screen("realsense", live, "uncalibrated"))  # type: ignore[arg-type]
    for part in ("realsense", "30.0 frames a second", "2 in view", "uncalibrated"):
        assert part in text
    assert "lost: 3 frames, 0 walks, 1 in the sensor" in text
    assert "p50 0.41 s, p95 0.50 s, p99 0.66 s" in text


def test_before_the_first_walk_there_is_no_latency_and_errors_are_said() -> None:
    live = Still(reconnects=2, errors=3, last_error="unplugged\x1b[2J; plug it in")
    text = drawn(Screen("realsense", live))  # type: ignore[arg-type]
    assert "nobody has walked yet" in text
    assert "2 reconnects, 3 errors" in text
    assert "\x1b" not in text


def test_calibrated_galleries_are_not_called_uncalibrated(guessing_weights: Path, tmp_path: Path) -> None:
    from gait3dlib.cli.live import _remark
    from gait3dlib.gallery.base import Calibration
    from gait3dlib.pipeline import Pipeline

    with Pipeline(["silhouette"], weights=guessing_weights, gallery=tmp_path / "g.db") as pipeline:
        assert _remark(pipeline) == "nobody is enrolled"
        template = pipeline.embed(gait3dlib.load(_walk(tmp_path))).reshape(-1)
        pipeline.gallery.enroll("ada", template / (template @ template) ** 0.5, ["silhouette"])
        assert _remark(pipeline) == "uncalibrated"
        pipeline.gallery.set_calibration(Calibration(0.5, 0.01, 1, ("silhouette",), searches=100))
        assert _remark(pipeline) == ""
        assert isinstance(pipeline.gallery, Gallery)


def _walk(tmp_path: Path) -> Path:
    from gait3dlib.simulation import observe, sample_walker

    seq, _ = observe(sample_walker(5, 0), seed=1, view_deg=90, seconds=1.0, fps=10)
    return gait3dlib.save(tmp_path / "w.h5", seq)

"""Recording live while the disk is slow or full: it is said, and what was written stays readable."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sensing import everything
from typer.testing import CliRunner

pytest.importorskip("embreex")

from gait3dlib.cli import app
from gait3dlib.cli.capture import _Tape
from gait3dlib.recording import RecordingWriter, open_recording, recover
from gait3dlib.sensors import open_sensor
from gait3dlib.types import Frame, StreamSpec

CORRIDOR = "simulated:seed=3,walkers=1,fps=12,gap_s=0.2"
LIVE = f"{CORRIDOR},realtime=true"
LONGER = CORRIDOR.replace("gap_s=0.2", "gap_s=2")  # two seconds of nobody, which are a few kilobytes


def test_a_full_disk_ends_with_a_sentence_and_leaves_what_was_written(tmp_path: Path) -> None:
    out = tmp_path / "walk.h5"
    words = ["record", "--sensor", f"{LONGER},realtime=true", "--out", str(out)]
    command = [sys.executable, "-m", "gait3dlib.cli", *words]

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_disk, check=False)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert f"what was recorded is safe: gait3d recover {out}.part" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not out.exists()
    with open_recording(recover(Path(f"{out}.part"))) as recording:
        depth = recording.streams["depth"]
        assert len(depth) > 5
    with open_sensor(LONGER) as sensor:
        for i in range(len(depth)):
            np.testing.assert_array_equal(depth.frame(i), sensor.read(1.0).data["depth"])


def test_a_slow_disk_loses_frames_of_a_live_sensor_counts_and_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = RecordingWriter.append

    def slow(self: RecordingWriter, *args: object) -> None:
        time.sleep(0.1)
        append(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordingWriter, "append", slow)
    monkeypatch.setattr("gait3dlib.sensors.simulated.Simulated.queue_size", 4, raising=False)
    out = tmp_path / "walk.h5"
    words = ["record", "--sensor", LIVE, "--out", str(out), "--no-walks", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["lost"] > 0
    assert f"{made['lost']} frames were lost because writing is slower than the sensor" in done.stderr
    with open_recording(out) as recording:
        t_ns = recording.streams.t_ns("depth")
        assert len(t_ns) == made["frames"]
        assert (np.diff(t_ns) > 0).all()
    film = len(everything(open_sensor(CORRIDOR)))
    assert made["frames"] + made["lost"] == film, "every frame of the film is there or counted"


def test_the_time_asked_for_is_the_hosts(tmp_path: Path) -> None:
    """A camera whose own clock is set forward by an hour, and back, is recorded for a second all the same."""
    spec = StreamSpec("depth", (2, 2), ("uint16",), ("mm",))
    frames = SimpleNamespace(sensor=SimpleNamespace(specs={"depth": spec}, calibration={}), live=True)
    tape = _Tape("x", tmp_path / "a.h5", 1.0, color=False, walks=False, consent="")
    tape.open(frames)  # type: ignore[arg-type]
    with tape:
        taken = 0
        for i in range(100):
            device_ns = i * 10**8 + (3600 * 10**9 if 3 <= i < 6 else 0)
            frame = Frame({"depth": np.zeros((2, 2), np.uint16)}, 10**18 + i * 10**8, device_ns)
            if not tape.append(frame):
                break
            taken += 1
    assert taken == 10
    with open_recording(tmp_path / "a.h5") as recording:
        assert (np.diff(recording.streams.t_ns("depth")) == 10**8).all()
        assert recording.streams.device_t_ns("depth")[4] == 3600 * 10**9 + 4 * 10**8


def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = CliRunner().invoke(app, ["record", "--sensor", CORRIDOR, "--out", str(file / "x.h5")])
    assert done.exit_code == 1
    assert str(file) in done.stderr

"""Sensors and recordings on the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import CORRIDOR, film, gait3d, good, said_json, with_weights

import gait3dlib
from gait3dlib.cli import _listing

pytestmark = pytest.mark.usefixtures("at_home")


def test_sensors_lists_what_can_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = said_json("sensors")
    assert {"video", "replay", "simulated"} <= {row["name"] for row in found["sensors"]}  # type: ignore[attr-defined]
    monkeypatch.setitem(_listing.NEEDS, "video", "nowhere")
    table = " ".join(good("sensors").stdout.split())
    assert "no pip install" not in table
    assert "nowhere is needed here" in table
    camera = tmp_path / "video3"
    camera.touch()
    assert _listing.webcam(camera) == {"name": "webcam", "call": "video:3", "works": True, "remedy": ""}


def test_record_then_recognize(things: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "walk.h5"
    made = said_json("record", "--sensor", CORRIDOR, "--out", out)
    assert (made["walks"], made["streams"], made["lost"]) == (1, ["depth", "keypoints", "silhouette"], 0)
    with gait3dlib.open_recording(out) as recording:
        assert len(recording.streams.t_ns("depth")) == made["frames"]
        assert recording.clock == "own"
        assert len(recording) == 1
    assert said_json(*with_weights(things, "recognize", out))["walk"] == 0
    again = gait3d("record", "--sensor", CORRIDOR, "--out", out)
    assert again.exit_code == 1
    assert "not overwritten" in again.stderr


def test_record_stops_after_the_seconds_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "short.h5"
    line = good("record", "--sensor", CORRIDOR, "--out", out, "--seconds", 0.5, "--no-walks").stdout
    assert "6 frames, 12.0 a second, 0 walks" in line


def test_colour_is_stored_only_when_asked_for(tmp_path: Path) -> None:
    video = film(tmp_path / "empty room.mp4", 4)
    nothing = gait3d("record", "--sensor", f"video:{video}", "--out", tmp_path / "a.h5", "--no-walks")
    assert nothing.exit_code == 2
    assert "--color" in nothing.stderr
    assert not (tmp_path / "a.h5").exists()
    made = said_json("record", "--sensor", f"video:{video}", "--out", tmp_path / "a.h5", "--color")
    assert (made["streams"], made["frames"]) == (["color"], 4)


def start_recording(out: Path) -> subprocess.Popen[str]:
    """A recording that goes on until it is stopped, with at least some frames on the disk."""
    sensor = "simulated:walkers=9,fps=12,gap_s=30,realtime=true"
    words = [sys.executable, "-m", "gait3dlib.cli", "record", "--sensor", sensor, "--out", str(out), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    part = out.with_name(out.name + ".part")
    while time.monotonic() < deadline and process.poll() is None:
        if part.exists() and time.time() - part.stat().st_ctime < 5 and part.stat().st_size > 20_000:
            break
        time.sleep(0.1)
    time.sleep(1.5)  # two flushes
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_recording_properly(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "walk.h5"
    process = start_recording(out)
    process.send_signal(number)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    made = json.loads(text)
    with gait3dlib.open_recording(out) as recording:
        assert len(recording.streams.t_ns("silhouette")) == made["frames"] > 0
    assert not out.with_name("walk.h5.part").exists()


def test_recover_after_kill(tmp_path: Path) -> None:
    out = tmp_path / "walk.h5"
    process = start_recording(out)
    process.kill()
    process.communicate()
    made = said_json("recover", tmp_path / "walk.h5.part")
    assert made["path"] == str(out)
    assert made["frames"]["depth"] >= 6  # type: ignore[index]
    assert "nothing to recover" in gait3d("recover", out).stderr
    assert gait3d("recover", tmp_path / "none.h5.part").exit_code == 1

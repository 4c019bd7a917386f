"""The view in three dimensions: what is in the file that it writes, read back by the viewer's own tool."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gait3dlib import _optional
from gait3dlib.body import Body, BodyShape
from gait3dlib.cli import app
from gait3dlib.errors import InputError, MissingDependency
from gait3dlib.perception.observing import Seen
from gait3dlib.recording import RecordingWriter, save
from gait3dlib.simulation.camera import look_at
from gait3dlib.types import Candidate, Frame, GaitSequence, Recognition, Stream, StreamSpec
from gait3dlib.view import View

CAMERA = look_at(np.array([0.0, -4, 1.3]), np.array([0.0, 0, 1]), width=32, height=24, field_of_view_deg=70)
NS = 10**9


def entities(path: Path) -> dict[str, int]:
    """Paths in a file, with how many chunks each has."""
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"(?<![\w.])/(?:world|people|answers)[\w/]*", text)
    return {name: found.count(name) for name in found}


def walk() -> GaitSequence:
    """Points, joints and a body of somebody, half a second."""
    t_ns = np.arange(5) * NS // 10
    rng = np.random.default_rng(1)
    body = Body.load("low").shape(BodyShape(35, "female", height_m=1.65, mass_kg=62))
    numbers = np.concatenate([np.zeros(75), np.asarray(body.numbers)]).astype(np.float32)
    _, joints = body.pose(np.zeros((5, 24, 3)), np.zeros((5, 3)))
    joints = joints.astype(np.float32)
    joints[:, 20] = np.nan
    cloud = rng.random((50, 4)).astype(np.float32)
    return GaitSequence(
        {
            "points": Stream(cloud, t_ns, "m", offsets=np.arange(0, 51, 10), calibration=CAMERA),
            "joints": Stream(joints, t_ns, "m"),
            "smpl": Stream(np.tile(numbers, (5, 1)), t_ns, "m, rad", layout="free_body"),
        },
        subject="ada",
    )


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingDependency, match=r"gait3dlib\[view\]"):
        View("x", tmp_path / "x.rrd")
    done = CliRunner().invoke(app, ["view", str(tmp_path / "x.h5"), "--out", str(tmp_path / "x.rrd")])
    assert done.exit_code == 1
    assert "gait3dlib[view]" in done.stderr
    assert _optional.EXTRAS["rerun"][0] == "view"


def test_a_recording_becomes_a_file_with_all_there_is(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    source, out = tmp_path / "walk.h5", tmp_path / "walk.rrd"
    save(source, walk())
    done = CliRunner().invoke(app, ["view", str(source), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert '"walks": 1' in done.stdout
    found = entities(out)
    assert {f"/people/0/{part}" for part in ("points", "skeleton", "body", "track", "name")} <= found.keys()


def test_raw_depth_of_a_recording_is_shown_with_its_camera(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    source, out = tmp_path / "raw.h5", tmp_path / "raw.rrd"
    spec = StreamSpec("depth", (24, 32), ("uint16",), ("mm",))
    with RecordingWriter(source, {"depth": spec}, calibration={"depth": CAMERA}, clock="own") as writer:
        for i in range(30):
            writer.append("depth", np.full((24, 32), 1000 + i, np.uint16), i * NS // 30)
        writer.add_walk(walk())
    with View("raw", out) as view:
        assert view.recorded(source) == 1
    assert {"/world/camera", "/world/camera/depth"} <= entities(out).keys()


def test_live_moments_and_answers_are_shown(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    out = tmp_path / "live.rrd"
    cloud = np.random.default_rng(2).random((20, 4)).astype(np.float32)
    joints = np.zeros((24, 3), np.float32)
    seen = {4: Seen(np.array([1.0, 2.0]), 1.7, cloud, joints), 7: Seen(np.full(2, np.nan))}
    with View("live", out) as view:
        for i in range(3):
            data = {"depth": np.full((24, 32), 2000, np.uint16), "points_2": cloud}
            view.frame(Frame(data, 2 * 10**18 + i * NS // 10), CAMERA)
            view.people(seen if i < 2 else {}, {4: "ada"})
        named = Recognition("ada", 0.9, 0.5, False, (Candidate("ada", 0.9),), track=4)
        view.said(named)
        view.said(Recognition("unknown", float("nan"), 0.5, False, (), track=7, reason="too far: come near"))
    found = entities(out)
    assert {"/world/camera/depth", "/world/points_2", "/answers"} <= found.keys()
    assert {f"/people/4/{part}" for part in ("points", "skeleton", "track", "name")} <= found.keys()
    assert "/people/7/track" not in found, "who is only in an image has no place"
    assert "/people/4" in found, "who has gone is cleared"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    with pytest.raises(InputError, match="cannot be opened"):
        View("x", tmp_path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    gone = CliRunner().invoke(app, ["view", "no.db3", "--out", str(tmp_path / "never.rrd")])
    assert gone.exit_code == 1
    assert "there is no file no.db3" in gone.stderr

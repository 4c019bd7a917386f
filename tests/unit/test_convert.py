"""OpenGait's data folders into recordings: every array of the facts, holes, and files that would run code."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to make the folders that are converted
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gait3dlib
from gait3dlib.cli import app
from gait3dlib.data.opengait_folder import convert
from gait3dlib.errors import InputError, RecordingError
from gait3dlib.types import GaitSequence

RNG = np.random.default_rng(11)
SILHOUETTES = np.where(RNG.random((6, 64, 64)) < 0.4, 255, 0).astype(np.uint8)
GREY = RNG.integers(0, 256, (5, 64, 44)).astype(np.uint8)
POSE = (RNG.random((6, 17, 3)) * 200).astype(np.float64)
CLOUDS = [RNG.normal(size=(n, 3)) for n in (40, 0, 25)]
SMPL = RNG.normal(size=(6, 85))


class Runs:
    """Makes a folder when it is unpickled by somebody who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def put(root: Path, place: str, value: Any, protocol: int = 4) -> Path:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people, of whom one was seen twice."""
    root = tmp_path / "theirs"
    put(root, "001/nm-01/090/000-sils.pkl", SILHOUETTES)
    put(root, "001/nm-01/090/001-pose.pkl", POSE)
    put(root, "001/nm-01/090/002-pcd.pkl", CLOUDS)
    put(root, "001/nm-01/090/003-smpl.pkl", SMPL)
    put(root, "001/cl-02/045-far/000-sils.pkl", GREY, protocol=2)
    put(root, "002/camid0_videoid2/seq0/seq0.pkl", list(SILHOUETTES // 255))
    return root


def walks(path: Path) -> list[GaitSequence]:
    with gait3dlib.open_recording(path) as recording:
        return [recording.sequence(i) for i in range(len(recording.walks))]


# ---- what is kept -----------------------------------------------------------------------------------


def test_one_recording_a_subject_one_walk_a_view(root: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    done = convert(root, tmp_path / "out", progress=lambda *step: steps.append(step))
    assert (done.subjects, done.walks, done.already, done.holes) == (2, 3, 0, [])
    assert done.streams == {"silhouette": 3, "keypoints": 1, "points": 1, "smpl": 1}
    assert steps == [(1, 2), (2, 2)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["001.h5", "002.h5"]
    coat, normal = walks(tmp_path / "out" / "001.h5")
    assert (normal.subject, normal.meta.session, normal.meta.view_deg) == ("001", "nm-01", 90.0)
    assert (coat.meta.session, coat.meta.view_deg, dict(coat.meta.covariates)) == (
        "cl-02",
        45.0,
        {"view": "045-far"},
    )
    assert normal.meta.source == "theirs/001/nm-01/090"
    (other,) = walks(tmp_path / "out" / "002.h5")
    assert (other.meta.session, other.meta.view_deg) == ("camid0_videoid2", None)


def test_streams_hold_what_the_arrays_held(root: Path, tmp_path: Path) -> None:
    convert(root, tmp_path / "out", fps=20.0, lidar_fps=8.0)
    coat, normal = walks(tmp_path / "out" / "001.h5")
    (other,) = walks(tmp_path / "out" / "002.h5")
    np.testing.assert_array_equal(normal.streams["silhouette"].data, SILHOUETTES)
    np.testing.assert_array_equal(other.streams["silhouette"].data, SILHOUETTES)  # was 0 and 1
    np.testing.assert_array_equal(coat.streams["silhouette"].data, GREY)
    np.testing.assert_array_equal(normal.streams["keypoints"].data, POSE.astype(np.float32))
    np.testing.assert_array_equal(normal.streams["smpl"].data, SMPL.astype(np.float32))
    assert normal.streams["keypoints"].layout == "coco17"
    points = normal.streams["points"]
    assert points.offsets is not None
    assert points.offsets.tolist() == [0, 40, 40, 65]
    np.testing.assert_array_equal(points.data[:, :3], np.concatenate(CLOUDS).astype(np.float32))
    assert not points.data[:, 3].any()
    assert np.diff(points.t_ns).tolist() == [125_000_000] * 2
    assert set(np.diff(normal.streams["silhouette"].t_ns).tolist()) == {50_000_000}


def converted(value: Any, tmp_path: Path, **options: Any) -> GaitSequence:
    shutil.rmtree(tmp_path / "one", ignore_errors=True)
    put(tmp_path / "one" / "in", "a/b/c/x.pkl", value)
    convert(tmp_path / "one" / "in", tmp_path / "one" / "out", **options)
    return walks(tmp_path / "one" / "out" / "a.h5")[0]


def test_other_forms_of_the_same(tmp_path: Path) -> None:
    openpose = np.zeros((2, 18, 3))
    openpose[..., 0] = np.arange(18)
    order = converted(openpose, tmp_path).streams["keypoints"].data[0, :, 0]
    assert order.tolist() == [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
    unseen = POSE.copy()
    unseen[2, 5, 0] = np.nan
    assert not converted(unseen, tmp_path).streams["keypoints"].data[2, 5].any()
    seventeen = converted(list(POSE), tmp_path).streams
    np.testing.assert_array_equal(seventeen["keypoints"].data, POSE.astype(np.float32))
    clouds = [np.array([[1.0, 2, 3, 9], [np.nan, 0, 0, 0]], np.float32)] * 2
    assert converted(clouds, tmp_path).streams["points"].data.tolist() == [[1, 2, 3, 9]] * 2
    block = converted(RNG.normal(size=(3, 300, 3)), tmp_path).streams["points"]
    assert block.offsets is not None
    assert block.offsets.tolist() == [0, 300, 600, 900]
    assert converted(SILHOUETTES > 0, tmp_path).streams["silhouette"].data.max() == 255


def test_pictures_are_not_kept_and_said_so(root: Path, tmp_path: Path) -> None:
    put(root, "001/nm-01/090/004-map.pkl", np.zeros((4, 2, 64, 64), np.uint8))
    put(root, "001/nm-01/090/005-depth.pkl", np.zeros((4, 3, 64, 64), np.uint8))
    put(root, "001/nm-01/090/006-rgb.pkl", [np.zeros((5, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)])
    put(root, "001/nm-01/090/007-ratios.pkl", np.ones(4))
    put(root, "001/nm-01/090/008-sync-sils.pkl", SILHOUETTES[:2])
    put(root, "001/nm-01/090/009-parsing.pkl", np.full((4, 64, 64), 11, np.uint8))
    put(root, "001/nm-01/090/010-raw.pkl", [np.zeros((5, 4), np.uint8), np.zeros((6, 4), np.uint8)])
    done = convert(root, tmp_path / "out")
    assert done.holes == []
    assert sorted(done.left_out.values()) == [1, 1, 1, 1, 1, 2]
    assert done.left_out["another file of silhouette"] == 1
    assert done.left_out["coloured pictures (depth pictures are drawn from points)"] == 2
    only = convert(root, tmp_path / "sync", files="*sync*")
    assert (only.walks, only.streams) == (1, {"silhouette": 1})
    assert len(only.holes) == 2, "two views have no such file"
    put(tmp_path / "maps", "a/b/c/x.pkl", np.zeros((4, 2, 64, 64), np.uint8))
    put(tmp_path / "maps", "b/b/c/x.pkl", SILHOUETTES)
    (nothing,) = convert(tmp_path / "maps", tmp_path / "kept").holes
    assert (nothing.path.name, "nothing that a recording keeps" in nothing.reason) == ("a", True)


# ---- holes ------------------------------------------------------------------------------------------


def test_holes_are_reported_and_the_rest_is_written(root: Path, tmp_path: Path) -> None:
    whole = (root / "001/nm-01/090/000-sils.pkl").read_bytes()
    (root / "001/nm-01/090/000-sils.pkl").write_bytes(whole[:-200])
    ran = tmp_path / "ran"
    put(root, "001/nm-01/090/001-pose.pkl", [POSE, Runs(ran)])
    put(root, "003/nm-01/090/evil.pkl", Runs(ran))
    put(root, "003/nm-01/180/x.pkl", np.zeros((2, 3, 4, 5, 6)))
    (root / "003/bg-01/000").mkdir(parents=True)
    (root / "004").mkdir()
    put(root, "005/nm-01/000/x.pkl", np.zeros((0, 64, 64), np.uint8))
    put(root, "005/nm-01/018/x.pkl", [])
    put(root, "005/nm-01/036/x.pkl", {"a": 1})
    put(root, "005/nm-01/054/x.pkl", np.zeros((4, 64, 64), np.uint8))
    put(root, "005/nm-01/072/x.pkl", [np.zeros((0, 3))] * 3)
    put(root, "005/nm-01/108/x.pkl", np.full((3, 85), np.inf))
    put(root, "005/nm-01/126/x.pkl", [SILHOUETTES[0], "x"])
    done = convert(root, tmp_path / "out")
    assert not ran.exists(), "nothing in a file is run"
    assert (done.subjects, done.walks) == (2, 3)
    _, normal = walks(tmp_path / "out" / "001.h5")
    assert sorted(normal.streams) == ["points", "smpl"]
    told = {str(hole.path.relative_to(root)): hole.reason for hole in done.holes}
    assert "truncated" in told["001/nm-01/090/000-sils.pkl"]
    assert "mkdir" in told["001/nm-01/090/001-pose.pkl"]
    assert "mkdir" in told["003/nm-01/090/evil.pkl"]
    assert "[2, 3, 4, 5, 6]" in told["003/nm-01/180/x.pkl"]
    assert "no .pkl" in told["003/bg-01/000"]
    assert "no folder inside" in told["004"]
    assert "no frame" in told["005/nm-01/000/x.pkl"]
    assert "empty list" in told["005/nm-01/018/x.pkl"]
    assert "a dict" in told["005/nm-01/036/x.pkl"]
    assert "black" in told["005/nm-01/054/x.pkl"]
    assert "without a single point" in told["005/nm-01/072/x.pkl"]
    assert "NaN or infinity" in told["005/nm-01/108/x.pkl"]
    assert "a str" in told["005/nm-01/126/x.pkl"]
    assert all(len(reason.splitlines()) == 1 for reason in told.values())


def test_it_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(root, out)
    before = (out / "001.h5").read_bytes()
    (out / "002.h5").unlink()
    done = convert(root, out)
    assert (done.already, done.subjects, done.walks) == (1, 1, 1)
    assert (out / "001.h5").read_bytes() == before


def test_what_is_no_such_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        convert(tmp_path / "none", tmp_path / "out")
    for bad in ({"fps": 0.0}, {"lidar_fps": -1.0}, {"fps": float("nan")}):
        with pytest.raises(InputError, match="must be positive"):
            convert(root, tmp_path / "out", **bad)
    flat = tmp_path / "flat"
    put(flat, "a/b/x.pkl", SILHOUETTES)
    with pytest.raises(InputError, match=r"SUBJECT/TYPE/VIEW.*first problem: .*flat/a/b"):
        convert(flat, tmp_path / "out")


def test_a_disk_that_refuses_is_no_hole(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise RecordingError("out/001.h5 cannot be written: No space left on device")

    monkeypatch.setattr("gait3dlib.data.opengait_folder.save", full)
    with pytest.raises(RecordingError, match="No space"):
        convert(root, tmp_path / "out")


# ---- the command line -------------------------------------------------------------------------------


def gait3d(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_verb(root: Path, tmp_path: Path) -> None:
    put(root, "003/nm-01/090/evil.pkl", Runs(tmp_path / "ran"))
    result = gait3d("convert", root, tmp_path / "out", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["subjects"], told["walks"], told["already"]) == (2, 3, 0)
    assert [hole["path"] for hole in told["holes"]] == [str(root / "003/nm-01/090/evil.pkl")]
    again = gait3d("convert", root, tmp_path / "out")
    assert again.exit_code == 0
    assert "2 subjects were there already" in again.stdout
    assert "evil.pkl" in again.stderr
    nothing = gait3d("convert", tmp_path / "none", tmp_path / "x")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "there is no folder" in nothing.stderr
    assert not (tmp_path / "ran").exists()

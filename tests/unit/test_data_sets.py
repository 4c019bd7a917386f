"""Public data sets in OpenGait's layout: what is found in each, and that it equals what converting gives."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import fake_data_sets
import numpy as np
import pytest

from gait3dlib.data.layouts import LAYOUTS
from gait3dlib.data.opengait_folder import convert
from gait3dlib.data.opengait_set import OpenGaitSet
from gait3dlib.data.recordings import WalkFolder, WalkSet
from gait3dlib.data.sets import names, open_data, plain
from gait3dlib.errors import ConfigError, InputError, UnknownComponent
from gait3dlib.recording import save
from gait3dlib.types import GaitSequence

SILHOUETTE = {"width": 8, "strips": 4}

# data set: walks, walks with each stream, people to train on and to test on, views and their degrees
FOUND = {
    "casia_b": (140, {"silhouette": 140}, (4, 3), {"000": 0.0, "090": 90.0}),
    "ou_mvlp": (48, {"silhouette": 48}, (4, 4), {"000": 0.0, "015": 15.0, "270": 270.0}),
    "grew": (40, {"silhouette": 40}, (4, 5), {"probe0": None, "test010": None}),
    "gait3d": (32, {"silhouette": 32, "smpl": 32, "parsing": 32}, (4, 4), {"seq0": None, "seq1": None}),
    "sustech1k": (
        90,
        {"silhouette": 90, "keypoints": 90, "points": 90},
        (3, 2),
        {"000": 0.0, "045-far": 45.0},
    ),
    "ccpg": (126, {"silhouette": 126}, (3, 3), {"01_0": None, "02_0": None}),
    "ccgr_mini": (
        36,
        {"silhouette": 36, "parsing": 36, "keypoints": 36},
        (3, 3),
        {"45_1.avi": 45.0, "67_5_2.avi": 67.5, "over.avi": None},
    ),
    "freegait": (24, {"silhouette": 24, "points": 24, "smpl": 24}, (3, 3), {"seq_00": None}),
}


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fake of every data set."""
    root = tmp_path_factory.mktemp("fakes")
    for name in fake_data_sets.FAKES:
        fake_data_sets.write(name, root / name)
    return root


def opened(name: str, root: Path, **settings: object) -> OpenGaitSet:
    found = open_data(name, root=root, **settings)
    assert isinstance(found, OpenGaitSet)
    return found


@pytest.mark.parametrize("name", FOUND)
def test_everything_in_a_data_set_is_found(fakes: Path, name: str) -> None:
    walks, streams, (train, test), views = FOUND[name]
    found = opened(name, fakes / name)
    assert len(found) == found.findings.walks == walks
    assert found.findings.streams == Counter(streams)
    assert found.findings.holes == []
    degrees = {walk.view: walk.view_deg for walk in found.walks}
    assert {view: degrees[view] for view in views} == views
    assert len({(w.subject, w.session, w.view) for w in found.walks}) == walks, "each walk once"
    split = {part: opened(name, fakes / name, split=part).subjects for part in ("train", "test")}
    assert (len(split["train"]), len(split["test"])) == (train, test)
    assert not set(split["train"]) & set(split["test"])
    assert found.subjects == sorted(split["train"] + split["test"])


def test_every_fake_and_every_layout_is_tested() -> None:
    assert set(FOUND) == set(fake_data_sets.FAKES)
    assert set(LAYOUTS) - set(FOUND) == {"ccgr", "opengait", "sustech1k_sync"}
    assert set(names()) == {*LAYOUTS, "recordings"}


@pytest.mark.parametrize(("name", "part"), [("ou_mvlp", None), ("gait3d", "Gait3D-sils-64-64-pkl")])
def test_read_in_place_equals_converted_and_recorded(
    fakes: Path, tmp_path: Path, name: str, part: str | None
) -> None:
    convert(fakes / name / (part or ""), tmp_path / "out")
    recorded = WalkFolder(tmp_path / "out")
    direct: WalkSet = open_data(name, root=fakes / name, cache=tmp_path / "cache")

    def label(walks: WalkSet) -> list[tuple[object, ...]]:
        return [(w.subject, w.session, w.view, w.view_deg, w.index) for w in walks.walks]

    assert label(direct) == label(recorded)
    ours, theirs = (walks.prepare("silhouette", SILHOUETTE, jobs=1) for walks in (direct, recorded))
    for a, b in zip(ours, theirs, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.t_s, b.t_s)
        assert a.used == b.used == ("silhouette",)


def test_what_is_normalised_already_is_not_changed(fakes: Path, tmp_path: Path) -> None:
    found = open_data("casia_b", root=fakes / "casia_b", cache=tmp_path)
    (sample,) = found.select([17]).prepare("silhouette", SILHOUETTE, jobs=1)
    walk = found.walks[17]
    stored = fake_data_sets.Body(int(walk.subject) - 1, int(walk.session == "nm-03"), 0)
    assert sample is not None
    body = stored.silhouette()[:, :, 10:54]
    assert sample.frames.shape == (8, 1, 64, 44)
    assert sample.frames[0, 0].any(axis=1).all(), "as high as it was"
    assert abs(int(sample.frames.sum()) - int(body.sum())) < 0.2 * body.sum()


def test_every_sensor_keeps_its_own_clock(fakes: Path, tmp_path: Path) -> None:
    full = open_data("sustech1k", root=fakes / "sustech1k", cache=tmp_path)
    paired = open_data("sustech1k_sync", root=fakes / "sustech1k", cache=tmp_path)
    for found, frames, fps in ((full, 24, 30.0), (paired, 8, 10.0)):
        some = found.select([5])
        (camera,) = some.prepare("silhouette", SILHOUETTE, jobs=1)
        (lidar,) = some.prepare("lidar", {"points": 32}, jobs=1)
        assert camera is not None
        assert lidar is not None
        assert len(camera) == frames
        np.testing.assert_allclose(np.diff(camera.t_s), 1 / fps, atol=1e-6)
        np.testing.assert_allclose(np.diff(lidar.t_s), 0.1, atol=1e-6)
    assert len(full) == len(paired)


def test_points_stand_on_the_ground(fakes: Path, tmp_path: Path) -> None:
    """The files keep heights from the sensor, 1.2 m up; the walker is 1.5 to 1.9 m tall."""
    found = open_data("freegait", root=fakes / "freegait", cache=tmp_path)
    for sequence in found.source(found.walks[0].path).sequences(frozenset({"points"})):
        assert sequence is not None
        heights = sequence.streams["points"].data[:, 2]
        assert heights.min() == pytest.approx(0.0, abs=1e-6)
        assert 1.3 < heights.max() < 2.0
        assert set(sequence.streams) == {"points"}, "only what was asked for is read"


def test_silhouettes_may_be_made_of_the_parsing(fakes: Path, tmp_path: Path) -> None:
    root = tmp_path / "gait3d"
    shutil.copytree(fakes / "gait3d", root)
    stored = open_data("gait3d", root=root, cache=tmp_path / "a").prepare("silhouette", SILHOUETTE, jobs=1)
    made = open_data("gait3d", root=root, cache=tmp_path / "a", silhouettes="parsing")
    for path in (root / "Gait3D-pars-64-64-pkl").rglob("*.pkl"):  # half of the body, so that it shows
        half = fake_data_sets.Body(3, 0, 0).parsing()
        half[:, 32:] = 0
        fake_data_sets.put(path, half)
    made = open_data("gait3d", root=root, cache=tmp_path / "a", silhouettes="parsing")
    halves = made.prepare("silhouette", SILHOUETTE, jobs=1)
    assert all(
        a is not None and b is not None and (a.frames != b.frames).any()
        for a, b in zip(stored, halves, strict=True)
    )
    shutil.rmtree(root / "Gait3D-sils-64-64-pkl")
    alone = open_data("gait3d", root=root, cache=tmp_path / "b")
    assert isinstance(alone, OpenGaitSet)
    assert alone.findings.streams["silhouette"] == 32, "without stored ones they are made of the parsing"
    assert all(sample is not None for sample in alone.prepare("silhouette", SILHOUETTE, jobs=1))


# ---- one door -------------------------------------------------------------------------------------


def test_one_door_to_all_data(fakes: Path, tmp_path: Path, walk: GaitSequence) -> None:
    root = fakes / "casia_b"
    by_name, by_config = open_data("casia_b", root=root), open_data({"casia_b": {"root": str(root)}})
    assert by_name.walks == by_config.walks
    save(tmp_path / "a.h5", walk)
    recordings = open_data(tmp_path)
    assert isinstance(recordings, WalkFolder)
    assert recordings.walks[0].view == "090", "a view without a name is called by its degrees"
    assert open_data(tmp_path, split="train").walks == recordings.walks
    assert open_data({"recordings": {"root": tmp_path}}).walks == recordings.walks
    assert plain({"casia_b": {"root": root}}) == {"casia_b": {"root": str(root)}}
    assert plain(root) == str(root)


def test_doors_that_are_none(fakes: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownComponent, match="did you mean 'casia_b'"):
        open_data("casia", root=tmp_path)
    with pytest.raises(ConfigError, match="say where it lies"):
        open_data("casia_b")
    with pytest.raises(ConfigError, match=r"casia_b.splitt: unknown key; did you mean 'split'"):
        open_data("casia_b", root=fakes / "casia_b", splitt="train")
    with pytest.raises(ConfigError, match=r"casia_b.split: "):
        open_data("casia_b", root=fakes / "casia_b", split="half")
    with pytest.raises(ConfigError, match=r"casia_b.root: missing"):
        open_data({"casia_b": {}})
    with pytest.raises(ConfigError, match="name one data set"):
        open_data({"casia_b": {"root": "a"}, "grew": {"root": "b"}})
    with pytest.raises(ConfigError, match="frames a second must be positive"):
        open_data("casia_b", root=fakes / "casia_b", fps=-1.0)
    with pytest.raises(InputError, match=r"there is no folder .*the folder that holds CASIA-B"):
        open_data("casia_b", root=tmp_path / "none")
    with pytest.raises(InputError, match="cannot be learnt: no simulator"):
        open_data("casia_b", root=fakes / "casia_b").truths("style")


def test_a_selection_is_a_data_set(fakes: Path, tmp_path: Path) -> None:
    found = open_data("ou_mvlp", root=fakes / "ou_mvlp", cache=tmp_path)
    some = found.select([3, 40])
    assert [w.subject for w in some.walks] == [found.walks[3].subject, found.walks[40].subject]
    assert len(some.prepare("silhouette", SILHOUETTE, jobs=1)) == 2
    assert len(list(tmp_path.rglob("*.npz"))) == 2, "only those subjects were read"
    assert len(found) == 48

"""What all tests share: the real recordings, opt-in hardware, one thread a process."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

# before anything imports torch: tests run one process a core, and more threads only fight
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np
import pytest

from gait3dlib._optional import preload_libusb
from gait3dlib._resources import weights_folder
from gait3dlib.recording import Truth
from gait3dlib.types import GaitSequence, Labels, Meta, Stream

preload_libusb()  # pyrealsense2 is imported by tests as such, and a bare machine has no libusb of its own

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hardware", action="store_true", help="also run the tests that need a device")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--hardware"):
        skip = pytest.mark.skip(reason="needs a device on this machine; opt in with --hardware")
        for item in items:
            if item.get_closest_marker("hardware"):
                item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In CI nothing is skipped for want of data or weights: their absence is a failure."""
    if item.get_closest_marker("data"):
        _need(_data_folder() is not None, "real recordings: set GAIT3D_DATA to their folder")
    if item.get_closest_marker("weights"):
        _need(any(weights_folder().glob("*.safetensors")), "trained weights in gait3dlib/_weights")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings."""
    folder = _data_folder()
    _need(folder is not None, "real recordings: set GAIT3D_DATA to their folder")
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def guessing_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small weights that were never trained but claim to be: every name they give is a guess."""
    from gait3dlib.fusion import weights

    names = ["silhouette", "skeleton_map"]
    settings = {name: weights.resolved(name, {"width": 8}) for name in names}
    fusion = {"modalities": names, "dim": 64, "parts": 4, "part_dim": 32, "depth": 1}
    tail = [[0.5, 0.5], [0.1, 0.6], [0.01, 0.7]]
    info = {"trained": True, "impostors": dict.fromkeys([*names, "+".join(names)], tail)}
    folder = tmp_path_factory.mktemp("guessing") / "weights"
    weights.save(folder, weights.untrained(settings, fusion), settings=settings, fusion=fusion, info=info)
    return folder


@pytest.fixture(scope="session")
def strolls() -> list[GaitSequence]:
    """Eight short simulated walks with all streams: four people, each seen from two sides."""
    from gait3dlib.simulation import observe_views, sample_walker
    from gait3dlib.simulation.world import STREAMS

    asked = {"fps": 10.0, "seconds": 0.8, "size": 64, "streams": STREAMS}
    people = [sample_walker(seed=1, index=index) for index in range(4)]
    seen = [pair for who in people for pair in observe_views(who, (90.0, 45.0), seed=1, **asked)]
    return [_with_points(_with_joints(seq, truth)) for seq, truth in seen]


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of six simulated people: two sessions, two views 40 degrees apart, eight frames a walk."""
    from gait3dlib.recording import open_recording, save
    from gait3dlib.simulation import simulate
    from gait3dlib.simulation.world import STREAMS

    folder = tmp_path_factory.mktemp("world")
    views, asked = (60.0, 100.0), {"seconds": 0.8, "fps": 10.0, "size": 64, "streams": STREAMS}
    asked["motion"] = "style"  # cameras alone, which is quick
    for path in simulate(folder, walkers=6, seed=5, sessions=2, views=views, jobs=1, **asked):
        with open_recording(path) as recording:
            truths = [recording.truth(number) for number in range(len(recording.walks))]
            both = zip(recording, truths, strict=True)
            walks = [_with_points(_with_joints(seq, truth)) for seq, truth in both if truth]
        save(path, *walks, truths=truths)
    return folder


@pytest.fixture
def walk() -> GaitSequence:
    """A small walk with what a recording must keep: boxes, a layout, offsets, labels."""
    rng = np.random.default_rng(7)
    t_ns = np.arange(12, dtype=np.int64) * 33_333_333 + 5_000_000_000
    silhouette = np.where(rng.random((12, 32, 22)) < 0.5, 255, 0).astype(np.uint8)
    keypoints = rng.random((12, 17, 3), dtype=np.float32) * 100
    boxes = rng.random((12, 4), dtype=np.float32) * 100
    points = rng.random((70, 4), dtype=np.float32)
    offsets = np.array([0, 0, 30, 70])
    return GaitSequence(
        {
            "silhouette": Stream(silhouette, t_ns, boxes=boxes),
            "keypoints": Stream(keypoints, t_ns, "px", layout="coco17", boxes=boxes),
            "points": Stream(points, t_ns[::4] + 1_000_000, "m", offsets=offsets),
        },
        subject="p01",
        meta=Meta(
            source="test",
            session="monday",
            view_deg=90.0,
            covariates={"bag": "left hand"},
            labels=Labels(age_years=41.5, gender="female", height_m=1.68, mass_kg=61.0),
        ),
    )


def _with_joints(seq: GaitSequence, truth: Truth) -> GaitSequence:
    """A camera alone gives no joints in space: the true ones, ten frames a second, give or take 5 mm."""
    joints = np.asarray(truth.arrays["joints"], np.float32)
    rng = np.random.default_rng(int(seq.meta.view_deg or 0))
    joints = joints + rng.normal(0, 0.005, joints.shape).astype(np.float32)
    t_ns = seq.start_ns + np.arange(len(joints), dtype=np.int64) * 100_000_000
    return dataclasses.replace(seq, streams={**seq.streams, "joints": Stream(joints, t_ns, "m")})


def _with_points(seq: GaitSequence) -> GaitSequence:
    """A camera alone gives no points of a LiDAR: some on the limbs, 6 m away, from the side of the view."""
    from gait3dlib.body import PARENTS

    joints = seq.streams["joints"]
    view = int(seq.meta.view_deg or 0)
    rng = np.random.default_rng(view + 1)
    along = rng.uniform(0, 1, (len(joints), 23, 8, 1))
    near, far = (
        joints.data[:, None, 1:].swapaxes(1, 2),
        joints.data[:, None, list(PARENTS[1:])].swapaxes(1, 2),
    )
    points = (near + along * (far - near) + rng.normal(0, 0.03, (*along.shape[:3], 3))).reshape(-1, 3)
    points[:, :2] -= points[:, :2].mean(axis=0)
    turn = np.radians(view)
    points[:, :2] = points[:, :2] @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + (6, 0)
    data = np.column_stack([points, rng.uniform(0, 1, len(points))]).astype(np.float32)
    offsets = np.arange(len(joints) + 1) * 23 * 8
    stream = Stream(data, joints.t_ns, "m", offsets=offsets)
    return dataclasses.replace(seq, streams={**seq.streams, "points": stream})


def _data_folder() -> Path | None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GAIT3D_DATA") or beside)
    return folder if folder.is_dir() else None


def _need(there: bool, what: str) -> None:
    if there:
        return
    if IN_CI:
        pytest.fail(f"CI must have {what}", pytrace=False)
    pytest.skip(f"needs {what}")

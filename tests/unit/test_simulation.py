"""What is seen of simulated walkers, data sets of them, and the simulated sensor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.recording import Truth, open_recording
from gait3dlib.sensors import open_sensor
from gait3dlib.sensors.simulated import Simulated
from gait3dlib.simulation import (
    View,
    Walker,
    noise,
    observe,
    observe_views,
    sample_walker,
    simulate,
)
from gait3dlib.types import EndOfStream, Frame, GaitSequence, Sensor, Stream


@pytest.fixture(scope="module")
def people() -> list[Walker]:
    return [sample_walker(5, index) for index in range(30)]


@pytest.fixture(scope="module")
def views(people: list[Walker]) -> dict[float, GaitSequence]:
    angles = (0.0, 90.0, 180.0, 270.0)
    seen = observe_views(people[1], angles, seed=1, fps=15, streams=("silhouette", "keypoints", "depth"))
    return {angle: walk for angle, (walk, _) in zip(angles, seen, strict=True)}


# What is seen -------------------------------------------------------------------------------------------


def middle(walk: GaitSequence, *points: int) -> NDArray[np.float64]:
    """Mean place [T, 2] of some key points, over those that were found in a frame."""
    data = walk.streams["keypoints"].data[:, points].astype(float)
    found = (data[..., 2:] > 0).sum(axis=1)
    return np.where(found > 0, data[..., :2].sum(axis=1) / np.maximum(found, 1), np.nan)


def test_views_mean_what_they_say(views: dict[float, GaitSequence]) -> None:
    across = {angle: np.diff(middle(walk, 11, 12)[[0, -1], 0])[0] for angle, walk in views.items()}
    assert across[90.0] < -150  # from the left side people walk to the left of the image
    assert across[270.0] > 150
    assert max(abs(across[0.0]), abs(across[180.0])) < 60
    sizes = {}
    for angle, walk in views.items():
        boxes = walk.streams["silhouette"].boxes
        assert boxes is not None
        sizes[angle] = boxes[-1, 3] / boxes[0, 3]
    assert sizes[0.0] > 1.3
    assert sizes[180.0] < 0.77
    assert 0.9 < sizes[90.0] < 1.1
    shoulders = {a: np.nanmean(middle(w, 5)[:, 0] - middle(w, 6)[:, 0]) for a, w in views.items()}
    assert shoulders[0.0] > 20  # facing us, the left shoulder is on the right of the image
    assert shoulders[180.0] < -20
    scores = views[90.0].streams["keypoints"].data[..., 2]
    assert scores[:, 9].mean() > scores[:, 10].mean() + 0.02  # the far wrist is hidden at times


def test_streams_are_registered_with_each_other(views: dict[float, GaitSequence]) -> None:
    for walk in views.values():
        silhouette, depth = walk.streams["silhouette"], walk.streams["depth"]
        keypoints = walk.streams["keypoints"]
        assert silhouette.data.shape == (30, 96, 96)
        assert set(np.unique(silhouette.data)) == {0, 255}
        assert silhouette.boxes is not None
        np.testing.assert_array_equal(silhouette.boxes, depth.boxes)
        assert ((depth.data > 0) <= (silhouette.data > 0)).all()
        assert 3.5 < depth.data[depth.data > 0].min() < depth.data.max() < 9.5
        tall = (silhouette.data > 0).any(axis=2).sum(axis=1)
        np.testing.assert_allclose(np.median(tall) / 96, 1 / 1.15, rtol=0.08)
        near = ndimage.binary_dilation(silhouette.data > 0, np.ones((1, 7, 7)))
        place = (
            (keypoints.data[..., :2] - silhouette.boxes[:, None, :2] + 0.5)
            * 96
            / silhouette.boxes[:, None, 2:]
        )
        sure = keypoints.data[..., 2] > 0.7
        frame = np.nonzero(sure)[0]
        column, row = place[sure].astype(int).clip(0, 95).T
        assert near[frame, row, column].mean() > 0.97


def test_no_truth_is_in_a_sequence(people: list[Walker]) -> None:
    walk, truth = observe(people[0], seed=3, view_deg=60, fps=10)
    assert walk.meta.labels is None
    assert set(walk.streams) == {"silhouette", "keypoints"}
    assert walk.subject == people[0].subject
    assert walk.meta.view_deg == 60
    assert truth.labels == people[0].labels
    assert truth.arrays["joints"].shape == (20, 24, 3)
    np.testing.assert_array_equal(truth.arrays["style"], people[0].walk(seed=3, fps=10).style.vector())
    # the camera knows nothing of who walks
    other, _ = observe(people[2], seed=3, view_deg=60, fps=10)
    one, two = walk.streams["silhouette"].calibration, other.streams["silhouette"].calibration
    assert one is not None and two is not None
    np.testing.assert_array_equal(one.extrinsics, two.extrinsics)
    assert (one.fx, one.width) == (two.fx, two.width)


def test_keypoints_are_off_by_as_much_as_stated() -> None:
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.uniform(300, 500, (200, 17, 2)), np.full((200, 17, 1), 5.0)], axis=2)
    open_air, behind = np.full((200, 17), 4.97, np.float32), np.full((200, 17), 4.5, np.float32)
    pixels = np.full(200, 300.0)

    def errors(surface: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        seen = [noise.noisy_keypoints(rng, true, surface, pixels=pixels, height_m=1.7) for _ in range(20)]
        data = np.stack(seen)
        kept = data[..., 2] > 0
        assert (data[~kept] == 0).all()
        off = np.where(kept[..., None], data[..., :2] - true[None, ..., :2], np.nan)
        return np.sqrt(np.nanmedian(off**2, axis=(0, 1, 3)) / 0.455), data[..., 2]  # median of chi^2_1

    clear, clear_score = errors(open_air)
    hidden, hidden_score = errors(behind)
    unit = noise.COCO_SIGMA * 300
    # FRAME_ERROR and WALK_ERROR are independent, so their squares add up
    np.testing.assert_allclose(clear / unit, np.hypot(noise.FRAME_ERROR, noise.WALK_ERROR), rtol=0.35)
    assert (hidden > 1.5 * clear).all()
    assert hidden_score[hidden_score > 0].mean() < clear_score[clear_score > 0].mean() - 0.2
    assert (hidden_score == 0).mean() == pytest.approx(noise.MISSED_OCCLUDED, rel=0.2)
    assert clear_score.max() <= 0.99


def test_silhouettes_tremble_but_stay_themselves() -> None:
    rows, columns = np.mgrid[:96, :96]
    disc = np.repeat((((rows - 48) / 40) ** 2 + ((columns - 48) / 16) ** 2 < 1)[None], 60, axis=0)
    seen = noise.noisy_silhouettes(np.random.default_rng(2), disc) > 0
    overlap = (seen & disc).sum((1, 2)) / (seen | disc).sum((1, 2))
    assert (overlap < 1).all()
    assert np.median(overlap) > 0.93
    assert seen.mean() == pytest.approx(disc.mean(), rel=0.03)
    assert not noise.noisy_silhouettes(np.random.default_rng(2), disc & False).any()


def test_a_seed_fixes_a_walk_and_a_stream_left_out_changes_no_other(people: list[Walker]) -> None:
    def seen(seed: int = 1, **options: object) -> dict[str, Stream]:
        walk, _ = observe(people[4], seed=seed, view_deg=30, fps=8, seconds=1, **options)  # type: ignore[arg-type]
        return dict(walk.streams)

    full = seen(streams=("silhouette", "keypoints", "depth"))
    for alone in ("silhouette", "keypoints", "depth"):
        np.testing.assert_array_equal(seen(streams=(alone,))[alone].data, full[alone].data)
    assert (seen(seed=2)["silhouette"].data != full["silhouette"].data).any()
    many = observe_views(people[4], [View(30), 90], seed=1, fps=8, seconds=1)
    np.testing.assert_array_equal(many[0][0].streams["keypoints"].data, full["keypoints"].data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": ("silhouete",)}, "did you mean 'silhouette'"),
        ({"streams": ()}, "at least one stream"),
        ({"size": 4}, "8 to 1024"),
        ({"distance_m": 1.6, "view_deg": 90.0}, "leaves the image"),
        ({"distance_m": 0.5}, "into the camera"),
        ({"speed": 0.1}, "speed must be"),
    ],
)
def test_what_cannot_be_seen_is_refused(
    people: list[Walker], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        observe(people[0], seed=1, **{"view_deg": 0.0, "fps": 8.0, "seconds": 1.0, **options})  # type: ignore[arg-type]


# Data sets ----------------------------------------------------------------------------------------------


def test_a_data_set_is_the_same_whatever_the_number_of_processes(tmp_path: Path) -> None:
    asked = {"walkers": 2, "seed": 8, "first": 4, "sessions": 2, "views": (0, 90), "seconds": 1.0, "fps": 8.0}
    asked["motion"] = "style"
    calls: list[tuple[int, int]] = []
    one = simulate(tmp_path / "one", jobs=1, progress=lambda done, of: calls.append((done, of)), **asked)  # type: ignore[arg-type]
    two = simulate(tmp_path / "two", jobs=2, **asked)  # type: ignore[arg-type]
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert [path.name for path in one] == ["s8-00004.h5", "s8-00005.h5"]
    for a, b in zip(one, two, strict=True):
        with open_recording(a) as left, open_recording(b) as right:
            assert len(left.walks) == 4
            assert {w.meta.session for w in left.walks} == {"00", "01"}
            assert {w.meta.view_deg for w in left.walks} == {0.0, 90.0}
            for x, y in zip(left, right, strict=True):
                assert x.meta.labels is None
                for name in ("silhouette", "keypoints"):
                    np.testing.assert_array_equal(x.streams[name].data, y.streams[name].data)
            truth = left.truth(0)
            assert isinstance(truth, Truth)
            assert truth.labels == sample_walker(8, int(a.stem[-5:])).labels
    # a second call keeps what is there and makes what is not
    one[0].unlink()
    before = one[1].stat().st_mtime_ns
    simulate(tmp_path / "one", jobs=1, **asked)  # type: ignore[arg-type]
    assert one[0].exists()
    assert one[1].stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another seconds"):
        simulate(tmp_path / "one", jobs=1, **{**asked, "seconds": 2.0})  # type: ignore[arg-type]
    assert json.loads((tmp_path / "one/manifest.json").read_text())["seed"] == 8


def test_bad_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        simulate(tmp_path, walkers=0, seed=1)
    for wrong in ({"views": ()}, {"streams": ("silhouete",)}, {"fps": 0.0}, {"size": 2}):
        with pytest.raises(InputError):
            simulate(tmp_path / "new", walkers=1, seed=1, **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()  # a refused set leaves no manifest behind
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="choose another folder"):
        simulate(tmp_path, walkers=1, seed=1)


# The sensor ---------------------------------------------------------------------------------------------


def frames(sensor: Sensor) -> Iterator[Frame]:
    while True:
        try:
            yield sensor.read(1.0)
        except EndOfStream:
            return


def test_walkers_pass_the_simulated_sensor_one_after_another() -> None:
    sensor = open_sensor("simulated:seed=3,walkers=2,fps=6,gap_s=0.5")
    assert isinstance(sensor, Sensor)
    stamps, there = [], []
    with sensor:
        for frame in frames(sensor):
            stamps.append(frame.host_t_ns)
            there.append(bool(frame.data["silhouette"].any()))
            for name, spec in sensor.specs.items():
                data = frame.data[name]
                assert data.shape == spec.shape
                assert data.dtype.name in spec.dtypes
                assert data.flags.writeable
            assert set(frame.data) == set(sensor.specs) == set(sensor.calibration)
            assert ((frame.data["depth"] > 0) <= (frame.data["silhouette"] > 0)).all()
            points = frame.data["keypoints"]
            assert (points[points[:, 2] == 0] == 0).all()
            assert (points[:, 0] <= 639).all()
    assert (np.diff(stamps) > 0).all()
    changes = np.flatnonzero(np.diff([False, *there, False]))
    assert len(changes) == 4  # nobody, one, nobody, another, nobody
    assert there[:3] == there[-3:] == [False] * 3
    with pytest.raises(SensorError, match="not open"):
        sensor.read(1.0)
    assert [p.subject for p in Simulated(seed=3, walkers=2).people] == ["p3-00000", "p3-00001"]


@pytest.mark.parametrize("view_deg", [0.0, 180.0])
def test_along_the_corridor_nobody_runs_into_the_camera(view_deg: float) -> None:
    with Simulated(seed=2, walkers=[7], view_deg=view_deg, fps=3, gap_s=0) as sensor:
        sizes = [np.count_nonzero(f.data["silhouette"].any(axis=1)) for f in frames(sensor)]
    assert min(sizes) > 60
    assert (sizes[-1] > 2 * sizes[0]) == (view_deg == 0.0)


def test_a_sensor_in_real_time_keeps_the_pace() -> None:
    with Simulated(seed=1, walkers=1, fps=20, gap_s=0.4, realtime=True) as sensor:
        assert sensor.live
        start = time.monotonic()
        for _ in range(6):
            sensor.read(1.0)
        assert 0.2 < time.monotonic() - start < 5.0  # 0.3 on an idle machine


def test_bad_sensors_are_refused() -> None:
    for wrong in ({"walkers": 0}, {"walkers": [-1]}, {"fps": 0.0}, {"gap_s": -1.0}):
        with pytest.raises(InputError):
            Simulated(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean"):
        open_sensor("simulated:walker=3")

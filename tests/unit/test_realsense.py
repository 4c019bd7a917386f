"""The RealSense adapter against the SDK itself: its software device, recorder, playback and filters."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", exc_type=ImportError)

from software_realsense import CAMERA, GOLDEN, HEIGHT, WIDTH, equal, patterns, played, plugged, read

from gait3dlib.errors import ConfigError
from gait3dlib.sensors import Pump, _mount, open_sensor
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareCamera
from gait3dlib.types import NS_PER_S, Calibration

# ---- frames, live and from files ---------------------------------------------------------------------


def test_live_frames_are_those_the_camera_took() -> None:
    shots = patterns(60)  # more than the SDK's pool of 16, all held until the end
    camera, sensor = plugged(shots)
    with camera, sensor:
        assert sensor.specs["depth"].shape == (HEIGHT, WIDTH)
        assert sensor.specs["depth"].units == ("mm",)
        assert sensor.specs["color"].shape == (HEIGHT, WIDTH, 3)
        frames = read(sensor, 60)
    equal(frames, shots)
    assert sensor.counts.to_dict() == {"frames": 60, "lost": 0, "single": 0, "empty": 0, "clock_sets": 0}
    assert np.diff([f.host_t_ns for f in frames]).min() > 0
    assert abs(frames[-1].host_t_ns - time.time_ns()) < 20 * NS_PER_S


def test_a_file_of_the_sdk_plays_every_frame(tmp_path: Path) -> None:
    shots, path = patterns(40), tmp_path / "walk.db3"
    assert SoftwareCamera(shots, CAMERA).record(path) == 40
    for _ in range(2):  # opened again it plays again
        sensor = Realsense(str(path))
        frames = played(sensor)
        equal(frames, shots)
        assert not sensor.live
        assert frames[0].host_t_ns == 0
        assert frames[-1].host_t_ns == pytest.approx(39 * NS_PER_S / 30, abs=2000)


def test_a_slow_reader_of_a_file_loses_nothing(tmp_path: Path) -> None:
    shots, path = patterns(30), tmp_path / "walk.db3"
    SoftwareCamera(shots, CAMERA).record(path)
    with Realsense(str(path)) as sensor:
        frames = []
        for _ in range(30):
            time.sleep(0.01)
            frames.append(sensor.read(5.0))
    equal(frames, shots)


def test_a_bag_of_an_older_sdk_plays_every_frame() -> None:
    frames = played(Realsense(str(GOLDEN)))
    equal(frames, patterns())


def test_the_pump_gives_all_of_a_file() -> None:
    with Pump(open_sensor(f"realsense:{GOLDEN}")) as pump:
        frames = list(pump)
    equal(frames, patterns())


def test_calibration_is_the_sdks(tmp_path: Path) -> None:
    turn = np.array([[0, -1.0, 0, 0.1], [0, 0, -1, 1.2], [1, 0, 0, -0.3], [0, 0, 0, 1]])
    _mount.write(tmp_path / "mount.json", turn)
    with Realsense(str(GOLDEN), mount=str(tmp_path / "mount.json")) as sensor:
        depth, color = sensor.calibration["depth"], sensor.calibration["color"]
    assert (depth.fx, depth.fy, depth.cx, depth.cy) == (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
    assert (depth.width, depth.height, depth.depth_scale_m) == (WIDTH, HEIGHT, 0.001)
    np.testing.assert_allclose(depth.extrinsics, turn)
    assert color.extrinsics is not None
    beside = color.extrinsics @ np.linalg.inv(turn)
    np.testing.assert_allclose(beside[:3, 3], [0.015, 0, 0], atol=1e-6)
    assert color.depth_scale_m is None


def test_a_camera_of_another_unit_gives_metres() -> None:
    shots = patterns(6)
    camera, sensor = plugged(shots, units_m=0.0001, color=False)
    with camera, sensor:
        assert sensor.specs["depth"].units == ("m",)
        frames = read(sensor, 6)
    for frame, shot in zip(frames, shots, strict=True):
        assert frame.data["depth"].dtype == np.float32
        np.testing.assert_allclose(frame.data["depth"], shot.depth * 1e-4, rtol=1e-6)


def test_pictures_only_when_wanted() -> None:
    camera, sensor = plugged(patterns(5), picture="none")
    with camera, sensor:
        assert set(sensor.specs) == {"depth"}
        assert all(set(f.data) == {"depth"} for f in read(sensor, 4))
    assert set(played(Realsense(str(GOLDEN), picture="none"))[0].data) == {"depth"}


# ---- the SDK's own processing ------------------------------------------------------------------------


def test_filters_are_the_sdks_and_decimation_halves() -> None:
    frames = played(Realsense(str(GOLDEN), filters={"decimation": {"filter_magnitude": 2}}))
    assert len(frames) == 12
    assert frames[3].data["depth"].shape == (HEIGHT // 2, WIDTH // 2)
    with Realsense(str(GOLDEN), filters="decimation") as sensor:
        assert sensor.calibration["depth"].fx == pytest.approx(CAMERA.fx / 2)
        assert sensor.specs["depth"].shape == (HEIGHT // 2, WIDTH // 2)
    near = {"threshold": {"min_distance": 0.9, "max_distance": 1.2}}
    for frame, shot in zip(played(Realsense(str(GOLDEN), filters=near)), patterns(), strict=True):
        kept = (shot.depth >= 900) & (shot.depth <= 1200)
        np.testing.assert_array_equal(frame.data["depth"], np.where(kept, shot.depth, 0))


def test_alignment_is_registration(tmp_path: Path) -> None:
    """Two walls; seen from 15 mm to the left, a point moves right by focal x 15 mm / z: 5 and 3 pixels."""
    camera = Calibration(320, 240, 300.0, 300.0, 159.5, 119.5)
    depth = np.full((240, 320), 1500, np.uint16)
    depth[120:] = 900
    color = np.broadcast_to(np.arange(320)[None, :, None] % 256, (240, 320, 3)).astype(np.uint8)
    shots = [Shot(depth, s.t_ns, color) for s in patterns(4)]
    SoftwareCamera(shots, camera).record(tmp_path / "walls.db3")
    aligned = played(Realsense(str(tmp_path / "walls.db3"), align="depth"))
    assert len(aligned) == 4
    for frame in aligned:
        np.testing.assert_array_equal(frame.data["depth"], depth)
        for row, shift in ((60, 3), (180, 5)):
            columns = np.arange(20, 240)
            moved_by = frame.data["color"][row, columns, 0].astype(int) - columns
            assert np.abs(moved_by - shift).max() <= 1, "ties of rounding"
            assert np.median(moved_by) == shift
    moved = played(Realsense(str(tmp_path / "walls.db3"), align="color"))[0].data
    np.testing.assert_array_equal(moved["color"], color)
    assert not moved["depth"][180, :4].any(), "what lies left of the depth camera's view"
    assert set(np.unique(moved["depth"][180, 8:312])) <= {0, 900}
    assert (moved["depth"][180, 8:312] == 900).mean() > 0.95


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filters": "spatail"}, "did you mean 'spatial'"),
        ({"align": "color", "picture": "none"}, "align needs a picture"),
        ({"width": 0}, "width"),
    ],
)
def test_wrong_words(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Realsense(str(GOLDEN), **options)  # type: ignore[arg-type]


def test_a_filters_option_out_of_range() -> None:
    with (
        pytest.raises(ConfigError, match="must be"),
        Realsense(str(GOLDEN), filters={"spatial": {"filter_magnitude": 99}}),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="has no option"),
        Realsense(str(GOLDEN), filters={"spatial": {"strength": 1}}),
    ):
        pass

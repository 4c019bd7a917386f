"""The RealSense adapter against the SDK itself: its software device, recorder, playback and filters."""

from __future__ import annotations

import itertools
import logging
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", exc_type=ImportError)

from software_realsense import CAMERA, HEIGHT, WIDTH, Eager, patterns, played, plugged

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, RecordingError, SensorError
from gait3dlib.sensors import Pump, _mount, _realsense_devices, open_sensor
from gait3dlib.sensors._device_clock import DeviceClock, MomentClock
from gait3dlib.sensors._realsense_devices import cameras, explained, unreadable_nodes
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera
from gait3dlib.types import NS_PER_S, Calibration, Frame

GOLDEN = Path(__file__).parent.parent / "golden" / "realsense" / "sdk_2_57.bag"


def equal(frames: list[Frame], shots: list[Shot]) -> None:
    """Every frame is there, in order, and equal to the bit."""
    assert [f.device_t_ns for f in frames] == pytest.approx([s.t_ns for s in shots], abs=1000)
    for frame, shot in zip(frames, shots, strict=True):
        np.testing.assert_array_equal(frame.data["depth"], shot.depth)
        if shot.color is not None:
            np.testing.assert_array_equal(frame.data["color"], shot.color)


def read(sensor: Realsense, count: int) -> list[Frame]:
    return [sensor.read(5.0) for _ in range(count)]


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


# ---- losses --------------------------------------------------------------------------------------------


def test_frames_that_the_camera_numbered_but_nobody_got_are_counted() -> None:
    shots = patterns(20)
    held = [Shot(s.depth, s.t_ns, s.color, n) for n, s in enumerate(shots) if n not in (7, 8, 13)]
    camera, sensor = plugged(held)
    with camera, sensor:
        equal(read(sensor, 17), [shots[s.number or 0] for s in held])
    assert sensor.counts.lost == 3


def test_a_moment_without_its_picture_is_handed_on_and_counted() -> None:
    shots = patterns(12)
    shots[5] = Shot(shots[5].depth, shots[5].t_ns, None)
    camera, sensor = plugged(shots)
    with camera, sensor:
        frames = read(sensor, 11)
    assert "color" not in frames[5].data
    np.testing.assert_array_equal(frames[5].data["depth"], shots[5].depth)
    assert sensor.counts.single >= 1


def test_unplugged_and_plugged_in_again() -> None:
    shots = patterns(40)
    camera, sensor = plugged(shots[:15])
    bus = sensor._bus
    frames = []
    with camera, Pump(sensor, timeout_s=1.0, backoff_s=0.1, reconnect=12) as pump:
        frames += list(itertools.islice(pump, 15))
        bus.unplug(camera.serial)
        while not pump.stats.errors:
            time.sleep(0.02)
        again = SoftwareCamera(shots[15:], CAMERA, pace=Eager(sensor))
        bus.plug_in(again)
        with again:
            frames += list(itertools.islice(pump, 10))
        stats = pump.stats
    equal(frames, shots[:25])
    assert stats.reconnects >= 1
    assert "fell silent" in stats.last_error or "no RealSense camera" in stats.last_error
    assert np.diff([f.host_t_ns for f in frames]).min() > 0


def test_two_cameras_at_once() -> None:
    from gait3dlib.sensors import Rig

    one, two = patterns(10), [Shot(s.depth + np.uint16(1000), s.t_ns, s.color) for s in patterns(10)]
    paces = Eager(), Eager()
    cameras_ = [
        SoftwareCamera(shots, CAMERA, serial=name, pace=pace)
        for shots, name, pace in zip((one, two), ("A1", "B2"), paces, strict=True)
    ]
    bus = SoftwareBus(cameras_)
    assert [c.serial for c in cameras(bus)] == ["A1", "B2"]
    sensors = [Realsense(name, width=WIDTH, height=HEIGHT, warm_up_s=0, bus=bus) for name in ("A1", "B2")]
    for pace, sensor in zip(paces, sensors, strict=True):
        pace.sensor = sensor
    with cameras_[0], cameras_[1], Rig(sensors, timeout_s=1.0, reconnect=0) as rig:
        frames = list(itertools.islice(rig, 20))
    seen = {name: [f.data[name] for f in frames if name in f.data] for name in ("depth", "depth_2")}
    for name, shots in (("depth", one), ("depth_2", two)):
        assert len(seen[name]) == 10
        for got, shot in zip(seen[name], shots, strict=True):
            np.testing.assert_array_equal(got, shot.depth)


def test_warm_up_frames_are_dropped() -> None:
    shots = patterns(20)
    camera, sensor = plugged(shots, warm_up_s=0.2, pace=lambda number: time.sleep(0.02))
    with camera, sensor:
        equal(read(sensor, 14), shots[6:])


# ---- clocks --------------------------------------------------------------------------------------------


def test_a_drifting_clock_is_put_onto_the_hosts() -> None:
    """50 ppm of drift, delays of 2 ms and more: after a minute stamps are right to a millisecond."""
    rng, clock = np.random.default_rng(3), DeviceClock()
    taken = np.arange(30 * 90) * NS_PER_S // 30
    device = 5_000_000_000 + np.round(taken * (1 - 50e-6)).astype(np.int64)
    arrival = taken + 2_000_000 + (rng.exponential(4e6, len(taken))).astype(np.int64)
    host = [clock.host_ns(int(d), 10**18 + int(a)) - 10**18 for d, a in zip(device, arrival, strict=True)]
    late = np.array(host) - taken - 2_000_000
    assert np.abs(late[30 * 60 :]).max() < 1_000_000
    assert clock.drift_ppm == pytest.approx(50, abs=8)
    assert clock.resets == 0


def test_a_clock_that_is_set_is_followed_and_time_never_runs_back() -> None:
    clock, host = DeviceClock(), []
    for n in range(200):
        device = n * 33_000_000 - (4 * NS_PER_S if n >= 100 else 0)
        host.append(clock.host_ns(10 * NS_PER_S + device, 10**18 + n * 33_000_000 + 5_000_000))
    assert clock.resets == 1
    assert (np.diff(host) > 0).all()
    assert abs(host[-1] - (10**18 + 199 * 33_000_000 + 5_000_000)) < 1000


def test_a_stalled_host_does_not_move_the_stamps() -> None:
    """For 0.8 s nothing is read, then all comes at once: when it was taken is unchanged."""
    clock, host = DeviceClock(), []
    for n in range(120):
        taken = n * 33_333_333
        host.append(
            clock.host_ns(taken, 10**18 + max(taken, 60 * 33_333_333 + 800_000_000 if n >= 60 else 0))
        )
    np.testing.assert_allclose(np.diff(host), 33_333_333, atol=2)


def test_time_in_a_file_goes_on_where_the_camera_was_restarted() -> None:
    clock = MomentClock(file=True)
    stamps = [100 * NS_PER_S, 101 * NS_PER_S - 1, 5, NS_PER_S]
    times = [clock.at(t, host_time=False) for t in stamps]
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert times[-1] < 4 * NS_PER_S


def test_stamps_of_the_hosts_clock_are_kept() -> None:
    now = time.time_ns()
    shots = [Shot(s.depth, now + n * 1_000_000, s.color) for n, s in enumerate(patterns(8))]
    camera, sensor = plugged(shots, clock="global_time")
    with camera, sensor:
        frames = read(sensor, 7)
    assert [f.host_t_ns for f in frames] == pytest.approx([s.t_ns for s in shots[:7]], abs=1000)


# ---- what goes wrong -----------------------------------------------------------------------------------


def one_sentence(error: pytest.ExceptionInfo[BaseException]) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert ";" in text, "says what to do"


def test_no_camera() -> None:
    sensor = Realsense(bus=SoftwareBus())
    with pytest.raises(SensorError, match="no RealSense camera is plugged in") as error:
        sensor.open()
    one_sentence(error)


def test_wrong_serial_number() -> None:
    camera, _ = plugged(patterns(1), serial="A1")
    with pytest.raises(SensorError, match=r"no RealSense camera with serial number 777.*plugged in: A1"):
        Realsense("777", bus=SoftwareBus([camera])).open()


def test_busy() -> None:
    camera, sensor = plugged(patterns(20))
    other = Realsense(width=WIDTH, height=HEIGHT, bus=sensor._bus)
    with camera, sensor, pytest.raises(SensorError, match="in use by another program") as error:
        other.open()
    one_sentence(error)


def test_a_profile_that_is_not_offered() -> None:
    camera, _ = plugged(patterns(1))
    bus = SoftwareBus([camera])
    with pytest.raises(SensorError, match=rf"offers no depth of 1280x720 at 90.*but {WIDTH}x{HEIGHT} at 30"):
        Realsense(width=1280, height=720, fps=90, bus=bus).open()
    with pytest.raises(SensorError, match="offers no infrared"):
        Realsense(width=WIDTH, height=HEIGHT, picture="infrared", bus=bus).open()


def test_no_permission_names_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb, nodes = tmp_path / "sys" / "2-1", tmp_path / "dev"
    usb.mkdir(parents=True)
    about = {
        "idVendor": "8086",
        "product": "Intel(R) RealSense(TM) Depth Camera 435",
        "busnum": "2",
        "devnum": "7",
    }
    for name, text in about.items():
        (usb / name).write_text(text + "\n")
    assert unreadable_nodes(usb.parent, nodes) == [nodes / "002" / "007"]
    (nodes / "002").mkdir(parents=True)
    (nodes / "002" / "007").touch()
    assert unreadable_nodes(usb.parent, nodes) == []
    (usb / "product").write_text("Wireless\n")
    assert unreadable_nodes(usb.parent, tmp_path / "none") == []
    error = explained(
        RuntimeError("failed to open usb interface: 0, error: RS2_USB_STATUS_ACCESS"), "camera 1"
    )
    assert "/etc/udev/rules.d" in str(error)
    assert "udevadm" in str(error)
    monkeypatch.setattr(_realsense_devices, "unreadable_nodes", lambda: [Path("/dev/bus/usb/002/007")])
    with pytest.raises(SensorError, match=r"002/007 may not be opened.*udev") as raised:
        Realsense(bus=SoftwareBus()).open()
    one_sentence(raised)


def test_silence_is_said() -> None:
    camera, sensor = plugged(patterns(6))
    with camera, sensor:
        read(sensor, 6)
        with pytest.raises(SensorError, match="fell silent"):
            sensor.read(0.2)


def test_usb_2_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    camera, sensor = plugged(patterns(6), usb="2.1")
    with caplog.at_level(logging.WARNING), camera, sensor:
        pass
    assert "USB 2.1" in caplog.text
    assert sensor.camera is not None
    assert sensor.camera.slow


def test_depth_that_is_all_nought_is_warned_of_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    dark = [Shot(np.zeros_like(s.depth), s.t_ns, s.color) for s in patterns(36)]
    camera, sensor = plugged(dark)
    with caplog.at_level(logging.WARNING), camera, sensor:
        read(sensor, 35)
    assert sensor.counts.empty >= 35
    assert caplog.text.count("measures no depth at all") == 1


def test_a_frame_without_pixels() -> None:
    from gait3dlib.sensors._realsense_streams import owned

    rs = require("pyrealsense2")

    class Empty:
        """The SDK makes no such frame; drivers have."""

        def as_video_frame(self) -> Empty:
            return self

        def get_height(self) -> int:
            return 0

        def get_width(self) -> int:
            return 640

        def get_data(self) -> np.ndarray:  # type: ignore[type-arg]
            return np.zeros((0, 640), np.uint16)

    with pytest.raises(SensorError, match="empty frame"):
        owned(rs, Empty())


@pytest.mark.parametrize("share", [0.0, 0.4, 0.95])
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    SoftwareCamera(patterns(), CAMERA).record(tmp_path / "walk.db3")
    for path in (GOLDEN, tmp_path / "walk.db3"):
        raw = path.read_bytes()
        cut = tmp_path / f"cut{path.suffix}"
        cut.write_bytes(raw[: int(share * len(raw))])
        with pytest.raises(RecordingError, match=r"damaged|truncated") as error:
            played(Realsense(str(cut)))
        one_sentence(error)


def test_a_file_that_is_not_there_and_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no file"):
        Realsense(str(tmp_path / "no.bag")).open()
    (tmp_path / "text.bag").write_text("#ROSBAG V2.0\n" + "x" * 1000)
    with pytest.raises(RecordingError, match="damaged, or no recording of a RealSense"):
        Realsense(str(tmp_path / "text.bag")).open()


def test_text_forms() -> None:
    sensor = open_sensor("realsense:123456,width=848,fps=60,filters=spatial+temporal")
    assert isinstance(sensor, Realsense)
    assert sensor.live
    assert sensor._wanted.width == 848
    assert open_sensor("realsense:picture=none")._serial is None  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="did you mean"):
        open_sensor("realsense:123,widht=3")

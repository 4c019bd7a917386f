"""The RealSense adapter when a camera or file is missing, busy, forbidden, damaged or strange."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", exc_type=ImportError)

from software_realsense import CAMERA, GOLDEN, HEIGHT, WIDTH, patterns, played, plugged, read

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, RecordingError, SensorError
from gait3dlib.sensors import _realsense_devices, open_sensor
from gait3dlib.sensors._realsense_devices import explained, unreadable_nodes
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera


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

"""A RealSense camera made of software: the SDK's own device and sensors, fed with simulated pictures.

The SDK's profiles, sensors, syncer and recorder are the real ones, and what reads them cannot tell;
only the pixels come from a :class:`~gait3dlib.simulation.scene.Scene`. Needs the extra ``realsense``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError, SensorError
from gait3dlib.simulation.depth_camera import DepthCamera
from gait3dlib.simulation.look import picture
from gait3dlib.simulation.scene import GROUND, Scene
from gait3dlib.types import NS_PER_S, Calibration

KEPT = 64  # pixel buffers; the SDK reads them after the call that hands them over
POLL_S = 0.01
RECORD_S = 0.01
Pace = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Shot:
    """What the camera takes at one instant.

    Args:
        depth: uint16 ``[h, w]``, in the camera's units; 0 = none.
        t_ns: by the camera's own clock.
        color: uint8 ``[h, w, 3]`` RGB, where it has a colour camera.
        number: the camera's own count; a gap is a lost frame. By default the place in the row.
    """

    depth: NDArray[np.uint16]
    t_ns: int
    color: NDArray[np.uint8] | None = None
    number: int | None = None


class SoftwareCamera:
    """A camera that is not there.

    Args:
        shots: what it takes, in order.
        camera: its intrinsics; both imagers have the same, 15 mm apart.
        serial: its serial number.
        fps: frames a second.
        color: whether it has a colour camera.
        units_m: metres of a unit of depth.
        usb: what it says of its connection.
        pace: called with the number of a frame before it is taken, to wait; by default in real time.
        clock: which clock its stamps are of, by the SDK's name.

    Raises:
        MissingDependency: the ``realsense`` extra is not installed.
    """

    def __init__(
        self,
        shots: Iterable[Shot],
        camera: Calibration,
        *,
        serial: str = "000000000001",
        fps: int = 30,
        color: bool = True,
        units_m: float = 0.001,
        usb: str = "3.2",
        pace: Pace | None = None,
        clock: str = "hardware_clock",
    ) -> None:
        self._rs = rs = require("pyrealsense2")
        self.serial, self._fps, self._units_m = serial, fps, units_m
        self._shots, self._pace, self._domain = iter(shots), pace, getattr(rs.timestamp_domain, clock)
        self.device = rs.software_device()
        for key, text in (
            ("name", "Simulated D435"),
            ("serial_number", serial),
            ("usb_type_descriptor", usb),
        ):
            self.device.register_info(getattr(rs.camera_info, key), text)
        self._depth = self.device.add_sensor("Stereo Module")
        self._depth_profile = self._depth.add_video_stream(_stream(rs, "depth", "z16", 2, 1, camera, fps))
        self._depth.add_read_only_option(rs.option.depth_units, units_m)
        self._color = None
        if color:
            self._color = self.device.add_sensor("RGB Camera")
            self._color_profile = self._color.add_video_stream(
                _stream(rs, "color", "rgb8", 3, 2, camera, fps)
            )
            self._depth_profile.register_extrinsics_to(self._color_profile, _beside(rs))
        self.device.create_matcher(rs.matchers.default)
        self._kept: list[Any] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.taken = 0
        """Shots taken so far."""

    # ---- playing ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Take shots in a thread, whenever somebody has switched its sensors on."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="gait3d-software-camera", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more shots."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def __enter__(self) -> SoftwareCamera:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        started_s: float | None = None
        for shot in self._shots:
            while not self._depth.get_active_streams():
                started_s = None
                if self._end.wait(POLL_S):
                    return
            if self._pace is not None:
                self._pace(self.taken)
            else:
                started_s = started_s or time.monotonic() - self.taken / self._fps
                self._end.wait(max(0.0, started_s + self.taken / self._fps - time.monotonic()))
            if self._end.is_set():
                return
            self.take(shot)

    def take(self, shot: Shot) -> None:
        """Hand one shot to the SDK."""
        number = self.taken if shot.number is None else shot.number
        self.taken += 1
        self._hand(self._depth, self._depth_profile, shot.depth, shot.t_ns, number)
        if self._color is not None and shot.color is not None:
            self._hand(self._color, self._color_profile, shot.color, shot.t_ns, number)

    def _hand(self, sensor: Any, profile: Any, pixels: NDArray[Any], t_ns: int, number: int) -> None:
        frame = self._rs.software_video_frame()
        held = np.ascontiguousarray(pixels)
        frame.pixels, frame.bpp = held, held.strides[1]
        frame.stride, frame.timestamp = held.strides[0], t_ns / 1e6
        frame.domain, frame.frame_number = self._domain, number
        frame.profile = profile.as_video_stream_profile()
        if sensor is self._depth:
            frame.depth_units = self._units_m
        self._kept = [*self._kept[-KEPT:], held]
        sensor.on_video_frame(frame)

    def record(self, path: Path) -> int:
        """Write all shots to a file by the SDK's recorder; returns how many."""
        recorder = self._rs.recorder(str(path), self.device)
        syncer, sensors = self._rs.syncer(KEPT), recorder.query_sensors()
        for sensor in sensors:
            sensor.open(sensor.get_stream_profiles())
            sensor.start(syncer)
        for shot in self._shots:
            time.sleep(RECORD_S)  # the recorder writes in its own thread, and what comes too soon is lost
            self.take(shot)
            while syncer.poll_for_frames().size():
                pass
        for sensor in sensors:
            sensor.stop()
            sensor.close()
        del recorder, sensors, sensor, syncer  # the file is written out when nobody holds them
        return self.taken


class SoftwareBus:
    """Where software cameras are plugged in, and pulled out; what the SDK's context is for real ones."""

    def __init__(self, cameras: Sequence[SoftwareCamera] = ()) -> None:
        self._cameras = {camera.serial: camera for camera in cameras}

    def query_devices(self) -> list[Any]:
        """The SDK's devices that are plugged in."""
        return [camera.device for camera in self._cameras.values()]

    def plug_in(self, camera: SoftwareCamera) -> None:
        """A camera more."""
        self._cameras[camera.serial] = camera

    def unplug(self, serial: str) -> None:
        """A camera less; it falls silent.

        Raises:
            SensorError: there is no such camera.
        """
        if serial not in self._cameras:
            raise SensorError(f"no camera {serial} is plugged in")
        self._cameras.pop(serial).stop()


def corridor_shots(
    scene: Scene, camera: Calibration, *, seconds: float, fps: float = 30.0, seed: int = 0, color: bool = True
) -> Iterator[Shot]:
    """What a D435 sees of a scene: noisy depth in millimetres, and a shaded picture for colour.

    Args:
        scene: walkers, things, ground.
        camera: with extrinsics.
        seconds: how long.
        fps: frames a second.
        seed: of the noise.
        color: also make the pictures.

    Raises:
        InputError: no frame in that time.
    """
    if seconds * fps < 1:
        raise InputError(f"{seconds:g} s hold no frame at {fps:g} a second; ask for a longer time")
    rng, sensor = np.random.default_rng([seed, 7]), DepthCamera(focal_px=camera.fx)
    for number in range(round(seconds * fps)):
        true, owner = picture(scene, camera, number / fps)
        depth = sensor.measure(rng, true[None], 1.0)[0]
        shade = _shaded(true, owner, rng) if color else None
        yield Shot(depth, round(number / fps * NS_PER_S), shade)


def _shaded(depth: NDArray[Any], owner: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Surfaces lit from the camera: brightness from how steep they are, a hue for each walker."""
    clean = np.where(np.isfinite(depth), depth, 12.0)
    dy, dx = np.gradient(clean)
    light = 1.0 / np.sqrt(1.0 + (dx**2 + dy**2) * (400.0 / clean) ** 2)
    hues = np.array([[150, 110, 90], [90, 110, 160], [100, 150, 100], [160, 150, 90]], np.float64)
    base = np.where((owner >= 0)[..., None], hues[owner % len(hues)], 170.0)
    base = np.where((owner == GROUND)[..., None], 110.0, base)
    noisy = base * (0.25 + 0.75 * light[..., None]) + rng.normal(0.0, 3.0, base.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def _stream(rs: Any, kind: str, form: str, size: int, uid: int, camera: Calibration, fps: int) -> Any:
    inner = rs.intrinsics()
    inner.width, inner.height = camera.width, camera.height
    inner.fx, inner.fy, inner.ppx, inner.ppy = camera.fx, camera.fy, camera.cx, camera.cy
    inner.model, inner.coeffs = rs.distortion.none, [0.0] * 5
    out = rs.video_stream()
    out.type, out.fmt = getattr(rs.stream, kind), getattr(rs.format, form)
    out.index, out.uid, out.fps, out.bpp = 0, uid, fps, size
    out.width, out.height, out.intrinsics = camera.width, camera.height, inner
    return out


def _beside(rs: Any) -> Any:
    """From the depth to the colour camera: 15 mm to its left, as on a D435."""
    out = rs.extrinsics()
    out.rotation, out.translation = [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0], [0.015, 0.0, 0.0]
    return out

"""Patterns that a software RealSense sees, and how to read all of it; run it to write a file of them.

``python tests/unit/software_realsense.py OUT.bag`` with pyrealsense2 2.57 made tests/golden/realsense: later
releases of the SDK write only .db3.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera
from gait3dlib.types import Calibration, EndOfStream, Frame

GOLDEN = Path(__file__).parent.parent / "golden" / "realsense" / "sdk_2_57.bag"
WIDTH, HEIGHT = 48, 32
CAMERA = Calibration(WIDTH, HEIGHT, 40.0, 41.0, 23.5, 15.5)
START_NS = 1_000_000_000


def patterns(count: int = 12, fps: float = 30.0) -> list[Shot]:
    """Shots whose every pixel changes from one to the next."""
    row, col = np.mgrid[:HEIGHT, :WIDTH]
    out = []
    for n in range(count):
        depth = (700 + 40 * n + 13 * col + 7 * row).astype(np.uint16)
        depth[n % HEIGHT] = 0
        color = np.stack([(col * 5 + n) % 256, (row * 7) % 256, (col + row + 3 * n) % 256], -1)
        out.append(Shot(depth, START_NS + round(n * 1e9 / fps), color.astype(np.uint8)))
    return out


def played(sensor: Realsense, timeout_s: float = 10.0) -> list[Frame]:
    """All frames of a file."""
    frames = []
    with sensor:
        try:
            while True:
                frames.append(sensor.read(timeout_s))
        except EndOfStream:
            return frames


def equal(frames: list[Frame], shots: list[Shot]) -> None:
    """Every frame is there, in order, and equal to the bit."""
    assert [f.device_t_ns for f in frames] == pytest.approx([s.t_ns for s in shots], abs=1000)
    for frame, shot in zip(frames, shots, strict=True):
        np.testing.assert_array_equal(frame.data["depth"], shot.depth)
        if shot.color is not None:
            np.testing.assert_array_equal(frame.data["color"], shot.color)


def read(sensor: Realsense, count: int) -> list[Frame]:
    return [sensor.read(5.0) for _ in range(count)]


class Eager:
    """A pace that waits for the reader while it is open, so that a busy machine loses nothing."""

    def __init__(self, sensor: Realsense | None = None, ahead: int = 3) -> None:
        self.sensor, self._ahead, self._before = sensor, ahead, 0

    def __call__(self, number: int) -> None:
        if number == 0 and self.sensor is not None:
            self._before = self.sensor.counts.frames  # of a camera that was there earlier
        until = time.monotonic() + 30.0
        while self._behind(number) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.002)

    def _behind(self, number: int) -> bool:
        if self.sensor is None or self.sensor._feed is None:
            return False
        return self.sensor.counts.frames - self._before + self._ahead < number


def plugged(
    shots: list[Shot], *, pace: Callable[[int], None] | None = None, **more: object
) -> tuple[SoftwareCamera, Realsense]:
    """A software camera and the adapter that reads it."""
    eager = pace or Eager()
    names = ("serial", "color", "units_m", "usb", "clock", "fps")
    camera = SoftwareCamera(shots, CAMERA, pace=eager, **{k: v for k, v in more.items() if k in names})  # type: ignore[arg-type]
    options = {"width": WIDTH, "height": HEIGHT, "warm_up_s": 0.0, "bus": SoftwareBus([camera])}
    options |= {k: v for k, v in more.items() if k not in names}
    sensor = Realsense(**options)  # type: ignore[arg-type]
    if isinstance(eager, Eager):
        eager.sensor = sensor
    return camera, sensor


if __name__ == "__main__":
    print(SoftwareCamera(patterns(), CAMERA).record(Path(sys.argv[1])), "shots")

"""Another depth camera in one small file: here, one whose driver writes 16-bit PNG images to a folder.

A camera of your own is a class like this one. Offered as an entry point of your package, it has a name for
every verb (``gait3d record --sensor folder_depth_camera:captures``)::

    [project.entry-points."gait3dlib.sensors"]
    folder_depth_camera = "your_package:FolderDepthCamera"

Run it on a folder: python examples/folder_depth_camera.py FOLDER
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from gait3dlib.errors import SensorError
from gait3dlib.perception import walks
from gait3dlib.sensors import Pump
from gait3dlib.types import Calibration, EndOfStream, Frame, StreamSpec


class FolderDepthCamera:
    """Depth images in millimetres, ``0001.png``, ``0002.png`` ...; a live camera would wait for the next one.

    Args:
        folder: of the images.
        fps: frames a second.
        focal_px: from the camera's data sheet, or its calibration.
    """

    live = False  # True: the pump drops what comes too fast, and opens the camera again when it fails

    def __init__(self, folder: str, fps: float = 30.0, focal_px: float = 385.0) -> None:
        self.folder, self.fps, self.focal_px = Path(folder), fps, focal_px
        self._images: list[Path] = []
        self._next = 0
        self._size = (0, 0)

    @classmethod
    def from_text(cls, text: str) -> FolderDepthCamera:
        """What follows the colon on the command line."""
        return cls(text)

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What a frame holds."""
        return {"depth": StreamSpec("depth", self._size, ("uint16",), ("mm",))}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """The pinhole; without it depth is no geometry."""
        height, width = self._size
        middle = ((width - 1) / 2, (height - 1) / 2)
        return {"depth": Calibration(width, height, self.focal_px, self.focal_px, *middle, None, 0.001)}

    def open(self) -> None:
        """Find the images; a driver would be started here."""
        self._images, self._next = sorted(self.folder.glob("*.png")), 0
        if not self._images:
            raise SensorError(f"the folder {self.folder} holds no .png; point your camera's driver to it")
        self._size = self._load(0).shape

    def close(self) -> None:
        """Let go of the camera."""
        self._images = []

    def read(self, timeout_s: float) -> Frame:
        """The next frame: arrays of its own, the host's time, and the camera's where it has a clock."""
        if not self._images:
            raise SensorError("the camera is not open; use it in a with statement")
        if self._next == len(self._images):
            raise EndOfStream
        depth = self._load(self._next)
        device_ns = round(self._next * 1e9 / self.fps)
        self._next += 1
        return Frame({"depth": depth}, time.time_ns(), device_ns)

    def _load(self, number: int) -> np.ndarray:
        image = cv2.imread(str(self._images[number]), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint16 or image.ndim != 2:
            raise SensorError(f"{self._images[number]} is no depth image; save 16-bit grey PNG")
        return image

    def __enter__(self) -> FolderDepthCamera:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def main(folder: str, fps: float = 30.0, focal_px: float = 385.0) -> int:
    """Print the walks in a folder; returns how many."""
    camera, count = FolderDepthCamera(folder, fps, focal_px), 0
    with Pump(camera) as frames:
        for walk in walks(frames, calibration=camera.calibration):
            tall, streams = walk.meta.covariates["height_m"], ", ".join(walk.streams)
            print(f"{tall} m tall, {walk.duration_s:.1f} s, {streams}")
            count += 1
    return count


if __name__ == "__main__":
    main(sys.argv[1])

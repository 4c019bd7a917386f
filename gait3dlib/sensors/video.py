"""Ordinary video: a file, a folder of images, or a webcam."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, SensorError, VideoError
from gait3dlib.types import NS_PER_S, STREAM_SPECS, Calibration, EndOfStream, Frame, StreamSpec

log = logging.getLogger(__name__)

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
FOLDER_FPS = 30.0
MAX_FAILURES = 64  # undecodable frames in a row, after which the rest of a file is given up

Image = NDArray[np.uint8]


class Video:
    """A sensor that gives RGB frames, uint8 ``[h, w, 3]``, as stream "color".

    Frames are upright: rotation noted in the file is applied. Frames that cannot be decoded are left out
    and counted in :attr:`skipped`. ``host_t_ns`` is the time within the file for files (0 at the first
    frame of a folder), and the time since 1970 for webcams.

    Args:
        source: path of a video, path of a folder of images (sorted as people count: 2 before 10), or a
            webcam: its number, the number as text, or ``/dev/videoN``.
        fps: frames a second. A video has its own time stamps, which this replaces; a folder has none and
            is taken as 30 a second; a webcam is asked for it.

    Raises:
        ConfigError: ``fps`` is not above 0.
    """

    def __init__(self, source: str | int | Path, fps: float | None = None) -> None:
        if fps is not None and not 0 < fps < 1e6:
            raise ConfigError(f"fps must be above 0, not {fps}")
        self.source = source
        self.fps = fps
        self._number = _webcam(source)
        self.live = self._number is not None
        self._reader: _Reader | None = None
        self._waiting: _Shot | None = None
        self._shape: tuple[int, int] | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what follows ``video:``, a path or the number of a webcam."""
        if not text:
            raise ConfigError("say which video: video:walk.mp4, video:folder, or video:0 for a webcam")
        return cls(text)

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """Stream "color"; height and width are numbers once the video is open."""
        spec = STREAM_SPECS["color"]
        shape = spec.shape if self._shape is None else (*self._shape, 3)
        return {"color": StreamSpec("color", shape, spec.dtypes, spec.units)}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Empty: a video does not say what its camera is."""
        return MappingProxyType({})

    @property
    def skipped(self) -> int:
        """Frames so far that could not be decoded."""
        return self._reader.skipped if self._reader else 0

    def open(self) -> None:
        """Open the source and decode its first frame.

        Raises:
            VideoError: a file that is missing, unreadable, or holds no frame.
            SensorError: a webcam that is missing or busy.
            MissingDependency: OpenCV is not installed.
        """
        self.close()
        cv2, path = _cv2(), Path(str(self.source))
        if self._number is not None:
            self._reader = _Webcam(cv2, self._number, self.fps)
        elif path.is_dir():
            self._reader = _Folder(cv2, path, self.fps or FOLDER_FPS)
        else:
            self._reader = _File(cv2, path, self.fps)
        try:
            self._waiting = self._reader.next()
        except EndOfStream:
            self.close()
            raise VideoError(f"{self.source} holds no frame that can be decoded") from None
        self._shape = self._waiting.image.shape[:2]

    def close(self) -> None:
        """Let go of the file or device."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._waiting = None

    def read(self, timeout_s: float) -> Frame:
        """The next frame; a webcam's driver decides itself how long it waits.

        Raises:
            EndOfStream: the file or folder is at its end.
            SensorError: the webcam gave nothing, or the video is not open.
        """
        if self._reader is None:
            raise SensorError(f"the video {self.source} is not open; use it in a with statement")
        shot, self._waiting = self._waiting or self._reader.next(), None
        if shot.image.shape[:2] != self._shape:
            height, width = shot.image.shape[:2]
            raise VideoError(
                f"{self.source} changes its size to {width} x {height}; all frames must have one size"
            )
        return Frame({"color": shot.image}, shot.host_t_ns, shot.device_t_ns)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


# ---- three kinds of source ------------------------------------------------------------------------


class _Shot:
    def __init__(self, image: Image, host_t_ns: int, device_t_ns: int | None = None) -> None:
        self.image, self.host_t_ns, self.device_t_ns = image, host_t_ns, device_t_ns


class _Reader(Protocol):
    skipped: int

    def next(self) -> _Shot: ...
    def close(self) -> None: ...


class _File:
    """A video file, on the container's time stamps for as long as they increase."""

    def __init__(self, cv2: ModuleType, path: Path, fps: float | None) -> None:
        if not path.is_file():
            raise VideoError(f"there is no video {path}")
        self._cv2, self._path, self.skipped = cv2, path, 0
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise VideoError(f"{path} is damaged, or not a video that OpenCV reads; convert it to mp4")
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        self._declared = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        own = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._step_ns = round(NS_PER_S / (fps or (own if 0 < own < 1e6 else FOLDER_FPS)))
        self._own_clock = fps is None
        self._last_ns: int | None = None
        self._decoded = 0

    def next(self) -> _Shot:
        for _ in range(MAX_FAILURES):
            good, image = self._capture.read()
            if good:
                self._decoded += 1
                return _Shot(_rgb(self._cv2, image), self._stamp())
            # a file with damage inside goes on after it; one that has given all it declared is at its end
            if self._decoded >= self._declared:
                break
        self.skipped = max(0, self._declared - self._decoded)
        if self.skipped:
            log.warning("%d frames of %s could not be decoded", self.skipped, self._path)
        raise EndOfStream

    def _stamp(self) -> int:
        t_ns = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1_000_000)
        if self._last_ns is None:
            self._last_ns = max(0, t_ns) if self._own_clock else 0
        elif self._own_clock and t_ns > self._last_ns:
            self._last_ns = t_ns
        else:
            self._own_clock = False
            self._last_ns += self._step_ns
        return self._last_ns

    def close(self) -> None:
        self._capture.release()


class _Folder:
    """A folder of images, one frame each."""

    def __init__(self, cv2: ModuleType, path: Path, fps: float) -> None:
        self._cv2, self.skipped, self._fps, self._index = cv2, 0, fps, 0
        images = [p for p in path.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
        if not images:
            raise VideoError(f"the folder {path} holds no image; put png or jpg files into it")
        self._images = sorted(images, key=_natural)

    def next(self) -> _Shot:
        while self._index < len(self._images):
            path, t_ns = self._images[self._index], round(self._index / self._fps * NS_PER_S)
            self._index += 1
            image = self._cv2.imread(str(path), self._cv2.IMREAD_COLOR)
            if image is not None:
                return _Shot(_rgb(self._cv2, image), t_ns)
            self.skipped += 1
            log.warning("%s is not an image and is left out", path)
        raise EndOfStream

    def close(self) -> None:
        self._index = len(self._images)


class _Webcam:
    """A camera of this machine; its driver's clock is the device's time stamp."""

    def __init__(self, cv2: ModuleType, number: int, fps: float | None) -> None:
        self._cv2, self._number, self.skipped, self._last_ns = cv2, number, 0, 0
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise SensorError(
                f"webcam {number} cannot be opened; check the cable, that no other program uses it, "
                f"and that you may read /dev/video{number} (group video)"
            )
        if fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, fps)

    def next(self) -> _Shot:
        good, image = self._capture.read()
        if not good:
            raise SensorError(f"webcam {self._number} gave no frame; check its cable")
        self._last_ns = max(self._last_ns + 1, time.time_ns())  # the host's clock may be set back
        device_ms = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC))
        return _Shot(_rgb(self._cv2, image), self._last_ns, round(device_ms * 1e6) if device_ms > 0 else None)

    def close(self) -> None:
        self._capture.release()


def _webcam(source: str | int | Path) -> int | None:
    if isinstance(source, int):
        return source
    found = re.fullmatch(r"(?:/dev/video)?(\d{1,3})", str(source))
    # a folder of images may be called 0
    return int(found[1]) if found and not Path(source).is_dir() else None


def _natural(path: Path) -> list[Any]:
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _rgb(cv2: ModuleType, image: Image) -> Image:
    copy: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return copy


def _cv2() -> ModuleType:
    # read when OpenCV is loaded: what goes wrong is said by our errors, not by lines on stderr
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    return require("cv2")

"""Sets of frames from the RealSense SDK: of a camera's sensors through its syncer, or of a file."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Protocol

from gait3dlib._optional import require
from gait3dlib.errors import RecordingError
from gait3dlib.sensors._realsense_devices import explained
from gait3dlib.sensors._realsense_streams import Picture, Wanted, choose, picture_name
from gait3dlib.types import EndOfStream

QUEUE = 8  # sets that wait in the SDK; it has 16 buffers a stream
SLICE_S = 0.25
FILES = (".db3", ".bag")


class Feed(Protocol):
    """Sets of frames as the SDK makes them. ``scale_m`` is metres of a unit of depth."""

    profiles: dict[str, Any]
    scale_m: float

    def next(self, timeout_s: float) -> Any | None:
        """The next set; None where none came in time."""
        ...

    def close(self) -> None: ...


class LiveFeed:
    """The sensors of a camera, put in time with each other by the SDK's syncer.

    Raises:
        SensorError: the camera lacks a profile, is busy, or may not be opened.
    """

    def __init__(self, device: Any, wanted: Wanted, who: str) -> None:
        rs = require("pyrealsense2")
        self.profiles: dict[str, Any] = {}
        self._running: list[Any] = []
        self._who = who
        try:
            chosen = choose(device, wanted, who)
            depth = next(s for s, held in chosen if any(picture_name(rs, p) == "depth" for p in held))
            self.scale_m = float(depth.as_depth_sensor().get_depth_scale())
            self._syncer = rs.syncer(QUEUE)
            for sensor, profiles in chosen:
                sensor.open(profiles)
                self._running.append(sensor)
                sensor.start(self._syncer)
                for profile in profiles:
                    self.profiles[str(picture_name(rs, profile))] = profile
        except RuntimeError as error:
            self.close()
            raise explained(error, who) from None
        except BaseException:
            self.close()
            raise

    def next(self, timeout_s: float) -> Any | None:
        """See :class:`Feed`."""
        try:
            good, frames = self._syncer.try_wait_for_frames(max(1, round(1000 * timeout_s)))
        except RuntimeError as error:
            raise explained(error, self._who) from None
        return frames if good and frames.size() else None

    def close(self) -> None:
        """Stop the sensors."""
        for sensor in self._running:
            with contextlib.suppress(RuntimeError):  # it may be gone
                sensor.stop()
            with contextlib.suppress(RuntimeError):
                sensor.close()
        self._running = []


class FileFeed:
    """A file that the SDK recorded, played through its pipeline.

    Raises:
        RecordingError: the file is missing, damaged, or holds no depth.
    """

    def __init__(self, path: Path, picture: Picture, realtime: bool) -> None:
        rs = require("pyrealsense2")
        if not path.is_file():
            raise RecordingError(f"there is no file {path}")
        _check_whole(path)
        self._path, self._pipeline, self._running = path, rs.pipeline(), False
        config = rs.config()
        try:
            config.enable_device_from_file(str(path), repeat_playback=False)
            # resolved first: what plays in real time before it is told not to loses frames
            device = config.resolve(rs.pipeline_wrapper(self._pipeline)).get_device()
            self._playback = device.as_playback()
            self._playback.set_real_time(realtime)
            streams = {
                picture_name(rs, p): p for s in device.query_sensors() for p in s.get_stream_profiles()
            }
            self.profiles = {name: p for name, p in streams.items() if name is not None}
            _choose_picture(self.profiles, picture)
            if "depth" not in self.profiles:
                raise RecordingError(f"{path} holds no depth; record it with the depth stream switched on")
            self.scale_m = float(device.first_depth_sensor().get_depth_scale())
            # held until all sensors run: else the first frames of those that start last are passed over
            self._playback.pause()
            self._pipeline.start(config)
            self._running = True
            self._playback.resume()
        except RuntimeError as error:
            self.close()
            raise self._damaged(error) from None

    def next(self, timeout_s: float) -> Any | None:
        """See :class:`Feed`.

        Raises:
            EndOfStream: the file is at its end.
        """
        rs, until = require("pyrealsense2"), time.monotonic() + timeout_s
        while True:
            # looked at before waiting: what was read before the end is still in the pipeline
            stopped = self._playback.current_status() == rs.playback_status.stopped
            left = min(SLICE_S, max(until - time.monotonic(), 0.001))
            try:
                good, frames = self._pipeline.try_wait_for_frames(round(1000 * left) or 1)
            except RuntimeError as error:
                raise self._damaged(error) from None
            if good and frames.size():
                return frames
            if stopped:
                raise EndOfStream
            if time.monotonic() >= until:
                return None

    def close(self) -> None:
        """Let go of the file."""
        if self._running:
            with contextlib.suppress(RuntimeError):
                self._pipeline.stop()
        self._running = False

    def _damaged(self, error: Exception) -> RecordingError:
        said = (str(error).strip().splitlines() or [""])[0].rpartition("Reason: ")[2][:120].rstrip(". ")
        return RecordingError(
            f"{self._path} is damaged, or no recording of a RealSense camera ({said}); copy it again"
        )


def _check_whole(path: Path) -> None:
    """A .db3 is an SQLite file, which says in its head how long it is; the SDK plays a cut one to the cut."""
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) == 100 and head.startswith(b"SQLite format 3\0"):
        page = int.from_bytes(head[16:18], "big")
        size = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
        if path.stat().st_size < size:
            raise RecordingError(f"{path} is truncated: {path.stat().st_size} of {size} bytes; copy it again")


def _choose_picture(profiles: dict[str, Any], picture: Picture) -> None:
    """Keep the picture that is wanted, of those that a file has."""
    keep = {"auto": "color" if "color" in profiles else "none"}.get(picture, picture)
    for name in ("color", "infrared"):
        if name != keep:
            profiles.pop(name, None)


def is_realsense_file(path: Path) -> bool:
    """Whether a .bag or .db3 holds what a RealSense camera saw, by the names of its topics."""
    if path.suffix.lower() not in FILES or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"/device_0/" in file.read(2**20)

"""A recording played back as if it were a sensor; also the sensor for tests of your own programs."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.recording import Recording, load, open_recording
from gait3dlib.sensors import _text
from gait3dlib.types import NS_PER_S, STREAM_SPECS, Calibration, EndOfStream, Frame, Stream, StreamSpec

BLOCK_BYTES = 16 * 2**20


class Replay:
    """Plays the raw streams of a recording in the order of their time stamps.

    Where a recording holds walks but no raw streams, the streams of one walk are played (without their
    boxes). Frames of several streams with one time stamp come as one :class:`~gait3dlib.types.Frame`.

    Args:
        path: the recording.
        realtime: keep the recorded pace, and be a live sensor: a slow consumer loses frames. A pause in
            the recording that is longer than the reader's ``timeout_s`` is cut short to it.
        walk: which walk to play; a recording with raw streams plays those unless a walk is chosen.
    """

    def __init__(self, path: str | os.PathLike[str], realtime: bool = False, walk: int | None = None) -> None:
        self.path = Path(path)
        self.realtime = self.live = realtime
        self._walk = walk
        self._tracks: dict[str, _Track] = {}
        self._frames: Iterator[Frame] | None = None
        self._closing = ExitStack()
        self._behind_s: float | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what follows ``replay:``: the path of a recording, then pairs such as ``realtime=true``."""
        path, _, rest = (text, "", "") if Path(text).is_file() else text.partition(",")
        if not path:
            raise ConfigError("say which recording: replay:walk.h5")
        made: Self = _text.build(cls, rest, "replay", path=path)
        return made

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like; empty until the recording is open."""
        return {name: track.spec for name, track in self._tracks.items()}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """The recorded sensors' calibrations; empty until the recording is open."""
        found = {name: track.calibration for name, track in self._tracks.items()}
        return {name: calibration for name, calibration in found.items() if calibration is not None}

    def open(self) -> None:
        """Open the recording; playing starts at its beginning.

        Raises:
            RecordingError: the file cannot be read.
            InputError: it holds neither raw streams nor a walk, or several walks and none was chosen.
        """
        self.close()
        with ExitStack() as stack:
            recording = stack.enter_context(open_recording(self.path))
            if self._walk is None and len(recording.streams):
                tracks = {name: _raw(recording, name) for name in recording.streams}
            else:
                streams = load(self.path, self._walk).streams
                tracks = {name: _Track(name, s.t_ns, None, s.slice) for name, s in streams.items()}
            self._tracks = {name: track for name, track in tracks.items() if track is not None}
            if not self._tracks:
                raise InputError(f"{self.path} holds no frame to play")
            self._closing = stack.pop_all()
        self._frames = self._merge()
        self._behind_s = None

    def close(self) -> None:
        """Close the recording."""
        self._frames, self._tracks = None, {}
        self._closing.close()

    def read(self, timeout_s: float) -> Frame:
        """The next frame.

        Raises:
            EndOfStream: the recording is at its end.
            SensorError: it is not open.
        """
        if self._frames is None:
            raise SensorError(f"the recording {self.path} is not open; use it in a with statement")
        frame = next(self._frames, None)
        if frame is None:
            raise EndOfStream
        if self.realtime:
            self._keep_pace(frame.host_t_ns / NS_PER_S, timeout_s)
        return frame

    def _keep_pace(self, t_s: float, timeout_s: float) -> None:
        now = time.monotonic()
        if self._behind_s is None:
            self._behind_s = now - t_s
        wait_s = t_s + self._behind_s - now
        if wait_s > timeout_s:
            self._behind_s -= wait_s - timeout_s
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))

    def _merge(self) -> Iterator[Frame]:
        due = [(int(track.t_ns[0]), name, 0) for name, track in self._tracks.items()]
        heapq.heapify(due)
        while due:
            t_ns, data, device = due[0][0], {}, None
            while due and due[0][0] == t_ns:
                _, name, index = heapq.heappop(due)
                track = self._tracks[name]
                data[name] = track.frame(index)
                device = track.device(index) if device is None else device
                if index + 1 < len(track.t_ns):
                    heapq.heappush(due, (int(track.t_ns[index + 1]), name, index + 1))
            yield Frame(data, t_ns, device)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Track:
    """One stream being played, read block by block."""

    def __init__(
        self,
        name: str,
        t_ns: NDArray[np.int64],
        device_t_ns: NDArray[np.int64] | None,
        read: Callable[[int, int], Stream],
    ) -> None:
        self.t_ns, self._device, self._read = t_ns, device_t_ns, read
        self._start, self._block = 0, read(0, 1)
        first, known = self._block, STREAM_SPECS.get(name)
        shape, ragged = first.data.shape[1:], first.offsets is not None
        layouts = () if first.layout is None else (first.layout,)
        nan = known is None or known.nan
        self.spec = StreamSpec(name, shape, (first.data.dtype.name,), (first.units,), layouts, ragged, nan)
        self.calibration = first.calibration
        self._size = 32 if ragged else max(1, BLOCK_BYTES // max(1, first.data[0].nbytes))

    def frame(self, index: int) -> NDArray[Any]:
        if not self._start <= index < self._start + len(self._block):
            self._start, self._block = index, self._read(index, min(index + self._size, len(self.t_ns)))
        return np.array(self._block.frame(index - self._start))

    def device(self, index: int) -> int | None:
        t_ns = -1 if self._device is None else int(self._device[index])
        return None if t_ns < 0 else t_ns


def _raw(recording: Recording, name: str) -> _Track | None:
    streams = recording.streams
    t_ns = streams.t_ns(name)
    if not len(t_ns):
        return None  # the sensor gave nothing before the recording ended

    def read(start: int, stop: int) -> Stream:
        return streams.read(name, start, stop)

    return _Track(name, t_ns, streams.device_t_ns(name), read)

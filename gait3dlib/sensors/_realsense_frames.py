"""The SDK's sets of frames, sorted: each frame once, depth and picture of one moment together, what is lost
counted.

The SDK gives a set as soon as one of its streams has something new, so the same frame comes in several sets,
and a set may hold two moments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.sensors._realsense_streams import Chain, owned, picture_name
from gait3dlib.types import NS_PER_S

MILLIMETRE = 1e-3


@dataclass(frozen=True)
class FrameCounts:
    """What became of a camera's frames.

    Args:
        frames: moments handed on, each with depth, a picture, or both.
        lost: depth frames that the camera numbered, but that never arrived.
        single: moments of which only depth or only the picture arrived.
        empty: depth frames without a single measurement.
        clock_sets: how often the camera's clock, or the host's, was set.
    """

    frames: int = 0
    lost: int = 0
    single: int = 0
    empty: int = 0
    clock_sets: int = 0

    def plus(self, **more: int) -> FrameCounts:
        """The same with these counts raised."""
        return dataclasses.replace(self, **{name: getattr(self, name) + n for name, n in more.items()})

    def to_dict(self) -> dict[str, int]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """Such as "900 moments, 2 lost"."""
        more = [f"{n} {k.replace('_', ' ')}" for k, n in self.to_dict().items() if n and k != "frames"]
        return ", ".join([f"{self.frames} moments", *more])


@dataclass(frozen=True, eq=False)
class Part:
    """One frame of one stream, copied out of the SDK; ``host_time`` says whose clock its stamp is of."""

    data: NDArray[Any]
    t_ns: int
    host_time: bool
    profile: Any


Moment = dict[str, Part]  # by stream: depth, color


class Sorter:
    """Takes the SDK's sets and gives moments.

    Args:
        profiles: of the streams that are used, by the SDK's kind: depth, color or infrared.
        scale_m: metres of a unit of depth.
        chain: filters and alignment; None = neither.
        aligned: whether the chain aligns.
    """

    def __init__(self, profiles: dict[str, Any], scale_m: float, chain: Chain | None, aligned: bool) -> None:
        self._rs = require("pyrealsense2")
        self._kinds, self._chain, self._aligned = set(profiles), chain, aligned
        self.metric = abs(scale_m - MILLIMETRE) < 1e-7
        self._scale = np.float32(scale_m)
        fps = max(1, profiles["depth"].fps()) if "depth" in profiles else 30
        self._apart_ns = NS_PER_S // (2 * fps)
        self._numbers: dict[str, int] = {}
        self._waiting: Moment = {}
        self.counts = FrameCounts()

    @property
    def streams(self) -> set[str]:
        """What a whole moment holds."""
        return {_stream(kind) for kind in self._kinds}

    def push(self, frames: Any) -> list[Moment]:
        """The moments that a set completes."""
        named = self._named(frames)
        if self._aligned and not self._one_moment(named):
            return []
        fresh = [kind for kind, frame in named.items() if self._is_new(kind, frame)]
        if fresh and self._chain is not None:
            named = self._named(self._chain(frames))
        out: list[Moment] = []
        for kind in fresh:
            out += self._join(_stream(kind), self._part(kind, named[kind]))
        return out

    def flush(self) -> list[Moment]:
        """What still waits for its other half; the stream has ended or fell silent."""
        waiting, self._waiting = self._waiting, {}
        self.counts = self.counts.plus(single=bool(waiting))
        return [waiting] if waiting else []

    def _named(self, frames: Any) -> dict[str, Any]:
        found = [(picture_name(self._rs, frame.get_profile()), frame) for frame in frames]
        return {name: frame for name, frame in found if name is not None and name in self._kinds}

    def _one_moment(self, named: dict[str, Any]) -> bool:
        stamps = [frame.get_timestamp() * 1e6 for frame in named.values()]
        return named.keys() == self._kinds and max(stamps) - min(stamps) <= self._apart_ns

    def _is_new(self, kind: str, frame: Any) -> bool:
        """Whether this frame was not there before; counts what is missing in between."""
        number, last = frame.get_frame_number(), self._numbers.get(kind)
        self._numbers[kind] = number
        if kind == "depth" and last is not None and number > last + 1:
            self.counts = self.counts.plus(lost=number - last - 1)
        return bool(number != last)

    def _part(self, kind: str, frame: Any) -> Part:
        data = owned(self._rs, frame)
        if kind == "depth":
            self.counts = self.counts.plus(empty=not data.any())
            if not self.metric:
                data = data.astype(np.float32) * self._scale
        host = frame.get_frame_timestamp_domain() != self._rs.timestamp_domain.hardware_clock
        return Part(data, round(frame.get_timestamp() * 1e6), host, frame.get_profile())

    def _join(self, stream: str, part: Part) -> list[Moment]:
        out: list[Moment] = []
        held = next(iter(self._waiting.values()), None)
        if held is not None and (stream in self._waiting or abs(part.t_ns - held.t_ns) > self._apart_ns):
            out += self.flush()
        self._waiting[stream] = part
        if self._waiting.keys() == self.streams:
            out.append(self._waiting)
            self._waiting = {}
        return out


def _stream(kind: str) -> str:
    return "color" if kind == "infrared" else kind

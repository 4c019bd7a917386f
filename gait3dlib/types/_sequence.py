"""One person, one walk: streams together, with what is known of their origin."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.types._streams import NS_PER_S, Stream, check_stream

Gender = Literal["female", "male"]


@dataclass(frozen=True)
class Labels:
    """What is known of a person; None = not known (masked in training)."""

    age_years: float | None = None
    gender: Gender | None = None
    height_m: float | None = None
    mass_kg: float | None = None

    @property
    def bmi_kg_m2(self) -> float | None:
        """Body-mass index, mass / height squared."""
        if self.height_m is None or self.mass_kg is None:
            return None
        return self.mass_kg / self.height_m**2


@dataclass(frozen=True)
class Meta:
    """Where a walk comes from. No field is ever fed to a model."""

    source: str = ""
    session: str = ""
    view_deg: float | None = None
    covariates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    labels: Labels | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", MappingProxyType(dict(self.covariates)))

    def __reduce__(self) -> tuple[Any, ...]:
        # a mappingproxy cannot be pickled, and data loaders send sequences between processes
        return (Meta, (self.source, self.session, self.view_deg, dict(self.covariates), self.labels))


@dataclass(frozen=True, eq=False)
class GaitSequence:
    """One person, one walk, as many streams as there were sensors; frozen, equal only to itself.

    Raises:
        InputError: no stream at all, or one that breaks its :class:`StreamSpec` (dtype, shape, units, NaN).
    """

    streams: Mapping[str, Stream]
    subject: str | None = None
    meta: Meta = field(default_factory=Meta)

    def __post_init__(self) -> None:
        if not self.streams:
            raise InputError("a gait sequence needs at least one stream, such as 'silhouette' or 'keypoints'")
        for name, stream in self.streams.items():
            check_stream(name, stream)
        object.__setattr__(self, "streams", MappingProxyType(dict(self.streams)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (GaitSequence, (dict(self.streams), self.subject, self.meta))

    @property
    def start_ns(self) -> int:
        """The earliest time stamp of any stream."""
        return min(int(s.t_ns[0]) for s in self.streams.values())

    @property
    def duration_s(self) -> float:
        """From the earliest to the latest time stamp of any stream, in seconds."""
        return (max(int(s.t_ns[-1]) for s in self.streams.values()) - self.start_ns) / NS_PER_S

    def without(self, *names: str) -> GaitSequence:
        """The same walk as if those streams had never been recorded."""
        for name in names:
            if name not in self.streams:
                raise InputError(f"no stream {name!r} to leave out{did_you_mean(name, self.streams)}")
        return dataclasses.replace(self, streams={k: v for k, v in self.streams.items() if k not in names})

    def window(self, start_s: float, stop_s: float) -> GaitSequence:
        """The frames from ``start_s`` to ``stop_s`` (exclusive), counted from :attr:`start_ns`.

        Streams without a frame in the window are left out.

        Raises:
            InputError: no stream has a frame in the window.
        """
        if math.isnan(start_s) or math.isnan(stop_s):
            raise InputError("a window needs a start and a stop in seconds, not NaN")
        end_s = self.duration_s + 1.0  # past all frames, so that infinity may stand for the end
        first, last = (
            self.start_ns + round(min(max(at_s, -1.0), end_s) * NS_PER_S) for at_s in (start_s, stop_s)
        )
        kept = {}
        for name, stream in self.streams.items():
            low, high = (int(i) for i in np.searchsorted(stream.t_ns, (first, last)))
            if high > low:
                kept[name] = stream.slice(low, high)
        if not kept:
            raise InputError(
                f"no frame lies between {start_s} s and {stop_s} s; the walk lasts {self.duration_s:.2f} s"
            )
        return dataclasses.replace(self, streams=kept)


def align(streams: Mapping[str, Stream], tolerance_s: float) -> dict[str, NDArray[np.int64]]:
    """Pair the clocks of several streams: indices of the frames that belong together.

    The stream of the lowest frame rate leads; each other stream gives the frame nearest in time. Instants at
    which some stream has no frame within ``tolerance_s`` are left out.

    Returns:
        For each stream int64 ``[n]``, the same n for all (n may be 0).
    """
    if not streams:
        raise InputError("align needs at least one stream")
    lead = min(streams, key=lambda name: (streams[name].fps, name))
    t = streams[lead].t_ns
    keep = np.ones(len(t), dtype=bool)
    nearest = {}
    for name, stream in streams.items():
        right = np.searchsorted(stream.t_ns, t).clip(0, len(stream) - 1)
        left = (right - 1).clip(0)
        index = np.where(np.abs(stream.t_ns[left] - t) <= np.abs(stream.t_ns[right] - t), left, right)
        keep &= np.abs(stream.t_ns[index] - t) <= tolerance_s * NS_PER_S
        nearest[name] = index.astype(np.int64)
    return {name: index[keep] for name, index in nearest.items()}

"""The nouns: one walk of one person as sensor streams, and what the library answers about it.

A missing modality is an absent key, never zeros. Every stream keeps its own clock (int64 nanoseconds).
Arrays are read-only views: a :class:`GaitSequence` never changes after it was made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import torch

Gender = Literal["female", "male"]
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class StreamSpec:
    """What a stream of one name looks like.

    ``shape`` describes one frame (one point, where the stream has offsets): an int is exact,
    a string is a free size. ``nan`` says whether NaN may stand for "unknown".
    """

    name: str
    shape: tuple[int | str, ...]
    dtypes: tuple[str, ...]
    units: tuple[str, ...]
    layouts: tuple[str, ...] = ()
    ragged: bool = False
    nan: bool = False


LAYOUT_JOINTS = {"coco17": 17, "blazepose33": 33, "kinect20": 20, "kinect25": 25, "smpl24": 24}

STREAM_SPECS: Mapping[str, StreamSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            StreamSpec("silhouette", ("h", "w"), ("uint8",), ("1",)),
            StreamSpec("keypoints", ("k", 3), ("float32",), ("px",), tuple(LAYOUT_JOINTS)),
            StreamSpec("depth", ("h", "w"), ("uint16", "float32"), ("mm", "m")),
            StreamSpec("points", (4,), ("float32",), ("m",), ragged=True),
            StreamSpec("joints", (24, 3), ("float32",), ("m",), nan=True),
            StreamSpec("smpl", (85,), ("float32",), ("m, rad",)),
            StreamSpec("force", (24, 7), ("float32",), ("1",), nan=True),
            StreamSpec("ground_reaction", (2, 6), ("float32",), ("1, m",), nan=True),
            StreamSpec("color", ("h", "w", 3), ("uint8",), ("1",)),
        )
    }
)


@dataclass(frozen=True)
class Calibration:
    """A pinhole camera: intrinsics in pixels, image size, and where it stands in the world.

    ``extrinsics`` is the 4 x 4 matrix that takes world points (x, y, z up, metres) to camera points
    (x right, y down, z forward, metres); None when the camera's place is not known.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    extrinsics: NDArray[np.float64] | None = None
    depth_scale_m: float | None = None


@dataclass(frozen=True)
class Stream:
    """One sensor stream of one walk.

    Args:
        data: ``[T, ...]``, or ``[sum N, ...]`` when ``offsets`` mark the frames.
        t_ns: int64 ``[T]``, strictly increasing time stamps in nanoseconds on the stream's own clock.
        units: "px", "m", "mm" or "1".
        offsets: int64 ``[T + 1]``; frame i is ``data[offsets[i]:offsets[i + 1]]``.
        layout: names the order of keypoints ("coco17", "blazepose33", ...).
        boxes: float32 ``[T, 4]`` x, y, width, height of the crop in the full image, in pixels; what was
            cut with the same boxes is registered.
        calibration: of the sensor that saw it.

    Raises:
        InputError: lengths disagree, time does not run forward, or offsets are not ascending.
    """

    data: NDArray[Any]
    t_ns: NDArray[np.int64]
    units: str = "1"
    offsets: NDArray[np.int64] | None = None
    layout: str | None = None
    boxes: NDArray[np.float32] | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        _freeze(self, "data", None)
        _freeze(self, "t_ns", np.int64)
        frames = len(self.t_ns) if self.t_ns.ndim == 1 else -1
        if frames < 1:
            raise InputError(f"t_ns must be a list of at least one time stamp, not of shape {self.t_ns.shape}")
        backwards = np.flatnonzero(np.diff(self.t_ns) <= 0)
        if len(backwards):
            raise InputError(
                f"time stamps must increase, but frame {backwards[0] + 1} is not later than the one before it; "
                "sort the frames and drop duplicates"
            )
        if self.offsets is None:
            held = len(self.data) if self.data.ndim else 0
        else:
            _freeze(self, "offsets", np.int64)
            held = len(self.offsets) - 1
            _check_offsets(self.offsets, len(self.data))
        if held != frames:
            raise InputError(f"the stream holds {held} frames but {frames} time stamps")
        if self.boxes is not None:
            _freeze(self, "boxes", np.float32)
            if self.boxes.shape != (frames, 4):
                raise InputError(f"boxes must have shape ({frames}, 4), not {self.boxes.shape}")

    def __len__(self) -> int:
        return len(self.t_ns)

    def frame(self, index: int) -> NDArray[Any]:
        """Frame ``index``: one array, for ragged streams the points of that frame."""
        if self.offsets is None:
            return self.data[index]  # type: ignore[no-any-return]
        start = int(self.offsets[index])
        return self.data[start : int(self.offsets[index + 1])]

    def slice(self, start: int, stop: int) -> Stream:
        """Frames ``start`` to ``stop`` (exclusive) as a stream of its own."""
        boxes = None if self.boxes is None else self.boxes[start:stop]
        if self.offsets is None:
            return dataclasses.replace(
                self, data=self.data[start:stop], t_ns=self.t_ns[start:stop], boxes=boxes
            )
        offsets = self.offsets[start : stop + 1]
        return dataclasses.replace(
            self,
            data=self.data[int(offsets[0]) : int(offsets[-1])],
            t_ns=self.t_ns[start:stop],
            offsets=offsets - offsets[0],
            boxes=boxes,
        )

    @property
    def fps(self) -> float:
        """Frames a second, from the median step; 0 for a single frame."""
        return float(NS_PER_S / np.median(np.diff(self.t_ns))) if len(self) > 1 else 0.0


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


@dataclass(frozen=True)
class GaitSequence:
    """One person, one walk, as many streams as there were sensors; frozen.

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
        # a mappingproxy cannot be pickled, and data loaders send sequences between processes
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
        return dataclasses.replace(
            self, streams={k: v for k, v in self.streams.items() if k not in names}
        )

    def window(self, start_s: float, stop_s: float) -> GaitSequence:
        """The frames from ``start_s`` to ``stop_s`` (exclusive), counted from :attr:`start_ns`.

        Streams without a frame in the window are left out.

        Raises:
            InputError: no stream has a frame in the window.
        """
        first = self.start_ns + round(start_s * NS_PER_S)
        last = self.start_ns + round(stop_s * NS_PER_S)
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


def check_stream(name: str, stream: Stream) -> None:
    """Check a stream against the spec of its name; names without a spec belong to plugins and pass.

    Raises:
        InputError: dtype, shape, units, layout or NaN are not what the name promises.
    """
    spec = STREAM_SPECS.get(name)
    if spec is None:
        return
    data = stream.data
    if data.dtype.name not in spec.dtypes:
        raise InputError(f"stream {name!r} must be {' or '.join(spec.dtypes)}, not {data.dtype.name}")
    if spec.ragged != (stream.offsets is not None):
        raise InputError(f"stream {name!r} {'needs' if spec.ragged else 'takes no'} frame offsets")
    fits = len(spec.shape) == data.ndim - 1 and all(
        isinstance(want, str) or want == have for want, have in zip(spec.shape, data.shape[1:], strict=True)
    )
    if not fits:
        wanted = ", ".join(["sum N" if spec.ragged else "T", *map(str, spec.shape)])
        raise InputError(f"stream {name!r} must have shape [{wanted}], not {list(data.shape)}")
    if stream.units not in spec.units:
        raise InputError(f"stream {name!r} must be in {' or '.join(spec.units)}, not {stream.units!r}")
    if name == "keypoints":
        _check_layout(stream)
    if not spec.nan and data.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(data.reshape(len(data), -1)).all(axis=1))
        if len(bad):
            raise InputError(
                f"stream {name!r} holds NaN or infinity (first at row {bad[0]}); "
                "leave the frame out, or mark what was not seen by 0"
            )


def align(streams: Mapping[str, Stream], tolerance_s: float) -> dict[str, NDArray[np.int64]]:
    """Pair the clocks of several streams: indices of the frames that belong together.

    The slowest stream leads; each other stream gives the frame nearest in time. Instants at which some
    stream has no frame within ``tolerance_s`` are left out.

    Returns:
        For each stream int64 ``[n]``, the same n for all (n may be 0).
    """
    if not streams:
        raise InputError("align needs at least one stream")
    lead = min(streams, key=lambda name: (len(streams[name]), name))
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


# ---- what a sensor gives --------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """One reading of a sensor: owned copies of its arrays, by stream name, and when they were taken.

    ``host_t_ns`` is the host's clock on arrival; ``device_t_ns`` the device's own stamp where it has one.
    """

    data: Mapping[str, NDArray[Any]]
    host_t_ns: int
    device_t_ns: int | None = None


@runtime_checkable
class Sensor(Protocol):
    """Anything that yields frames; a context manager. Threads and queues live in the pump, not here."""

    @property
    def specs(self) -> Mapping[str, StreamSpec]: ...
    @property
    def calibration(self) -> Mapping[str, Calibration]: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def read(self, timeout_s: float) -> Frame:
        """The next frame.

        Raises:
            EndOfStream: a finite source is at its end.
            SensorError: nothing came within ``timeout_s``.
        """
        ...

    def __enter__(self) -> Sensor: ...
    def __exit__(self, *exc: object) -> None: ...


class EndOfStream(Exception):  # noqa: N818 - a signal like StopIteration, not an error
    """A finite source (file, simulated walk) has no more frames."""


# ---- what models pass around ----------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """What an encoder hands to the fusion.

    values ``[b, n, d]``; real ``[b, n]`` bool, True where there is evidence; height ``[n]`` in 0 (feet)
    to 1 (head) or NaN; t_s ``[b, n]`` seconds or NaN.
    """

    values: torch.Tensor
    real: torch.Tensor
    height: torch.Tensor
    t_s: torch.Tensor


@dataclass(frozen=True)
class Outputs:
    """What the model says of a batch.

    embedding ``[b, parts, dim]`` with unit-length parts; age_years and bmi_kg_m2 ``[b, 2]`` mean and
    standard deviation; gender_logits ``[b]``, positive = female; weights ``[b, modalities]`` the share of
    identity attention on each modality; any task that the model lacks is None.
    """

    embedding: torch.Tensor
    age_years: torch.Tensor | None = None
    bmi_kg_m2: torch.Tensor | None = None
    gender_logits: torch.Tensor | None = None
    weights: torch.Tensor | None = None


# ---- what users get -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A number with its spread (one standard deviation)."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Candidate:
    """Somebody of the gallery, with the similarity (cosine, at most 1)."""

    subject: str
    score: float


UNKNOWN = "unknown"


@dataclass(frozen=True)
class Recognition:
    """The answer to "who is it": an enrolled pseudonym or "unknown", and what else the walk tells.

    ``score`` is the best candidate's; the answer is "unknown" when it is below ``threshold``.
    ``calibrated`` is False when the threshold comes from simulated walkers instead of the user's site.
    ``female`` is a probability. ``weights`` is the share of attention each modality got, ``streams`` the
    streams that each modality used. Times are on the walk's own clock.
    """

    identity: str
    score: float
    threshold: float
    calibrated: bool
    candidates: tuple[Candidate, ...]
    age_years: Estimate | None = None
    bmi_kg_m2: Estimate | None = None
    female: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    streams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    track: int | None = None
    start_ns: int = 0
    stop_ns: int = 0

    @property
    def known(self) -> bool:
        """Whether an enrolled person was named."""
        return self.identity != UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Verification:
    """Whether two walks are of the same person: similarity, threshold, decision."""

    same: bool
    score: float
    threshold: float
    calibrated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def frames_of(stream: Stream) -> Iterator[NDArray[Any]]:
    """The frames of a stream, ragged or not, one by one."""
    return (stream.frame(i) for i in range(len(stream)))


def _freeze(owner: Stream, name: str, dtype: type | None) -> None:
    try:
        array = np.asarray(getattr(owner, name), dtype=dtype).view()
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be an array of numbers, not of {array.dtype}")
    array.flags.writeable = False
    object.__setattr__(owner, name, array)


def _check_offsets(offsets: NDArray[np.int64], rows: int) -> None:
    good = offsets.ndim == 1 and len(offsets) >= 2 and offsets[0] == 0 and offsets[-1] == rows
    if not good or (np.diff(offsets) < 0).any():
        raise InputError(f"offsets must ascend from 0 to the number of rows ({rows})")


def _check_layout(stream: Stream) -> None:
    if stream.layout not in LAYOUT_JOINTS:
        raise InputError(
            f"keypoints need a layout{did_you_mean(str(stream.layout), LAYOUT_JOINTS)}"
        )
    wanted = LAYOUT_JOINTS[stream.layout]
    if stream.data.shape[1] != wanted:
        raise InputError(f"layout {stream.layout!r} has {wanted} keypoints, not {stream.data.shape[1]}")

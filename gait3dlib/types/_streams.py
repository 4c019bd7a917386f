"""Sensor streams: arrays with their own clock, checked against the spec of their name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean

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
            # "1": relative, of an estimator, whose scale and shift mean nothing; larger = farther
            StreamSpec("depth", ("h", "w"), ("uint16", "float32"), ("mm", "m", "1")),
            StreamSpec("points", (4,), ("float32",), ("m",), ragged=True),
            StreamSpec("point_time", (), ("float32",), ("s",), ragged=True),
            StreamSpec("joints", (24, 3), ("float32",), ("m",), nan=True),
            StreamSpec("smpl", (85,), ("float32",), ("m, rad",), ("free_body", "smpl")),
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
    (x right, y down, z forward, metres); None when the camera's place is not known. A LiDAR has no pinhole:
    its size and intrinsics stay 0, and its extrinsics lead to its own frame (x, y, z up).
    """

    width: int = 0
    height: int = 0
    fx: float = 0.0
    fy: float = 0.0
    cx: float = 0.0
    cy: float = 0.0
    extrinsics: NDArray[np.float64] | None = None
    depth_scale_m: float | None = None


@dataclass(frozen=True, eq=False)
class Stream:
    """One sensor stream of one walk; equal only to itself, as arrays have no one truth.

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
            raise InputError(f"t_ns must list at least one time stamp, not be of shape {self.t_ns.shape}")
        backwards = np.flatnonzero(self.t_ns[1:] <= self.t_ns[:-1])  # a difference could overflow
        if len(backwards):
            raise InputError(
                f"time stamps must increase, but frame {backwards[0] + 1} is not later than the one before; "
                "sort the frames and drop duplicates"
            )
        if self.offsets is None:
            held = len(self.data) if self.data.ndim else 0
        else:
            _freeze(self, "offsets", np.int64)
            _check_offsets(self.offsets, len(self.data) if self.data.ndim else 0)
            held = len(self.offsets) - 1
        if held != frames:
            raise InputError(f"the stream holds {held} frames but {frames} time stamps")
        if self.boxes is not None:
            _freeze(self, "boxes", np.float32)
            if self.boxes.shape != (frames, 4):
                raise InputError(f"boxes must have shape ({frames}, 4), not {self.boxes.shape}")

    def __reduce__(self) -> tuple[Any, ...]:
        # through the constructor: arrays come out of a pickle writable
        return (Stream, tuple(getattr(self, field.name) for field in dataclasses.fields(self)))

    def __len__(self) -> int:
        return len(self.t_ns)

    def frame(self, index: int) -> NDArray[Any]:
        """Frame ``index``: one array, for ragged streams the points of that frame; -1 is the last."""
        index = range(len(self))[index]
        if self.offsets is None:
            return self.data[index]  # type: ignore[no-any-return]
        start = int(self.offsets[index])
        return self.data[start : int(self.offsets[index + 1])]

    def slice(self, start: int, stop: int) -> Stream:
        """Frames ``start`` to ``stop`` (exclusive) as a stream of its own.

        Raises:
            InputError: there is no such frame.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        if stop <= start:
            raise InputError(f"no frame to keep; the stream has frames 0 to {len(self) - 1}")
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
        bad = np.flatnonzero(~np.isfinite(data).all(axis=tuple(range(1, data.ndim))))
        if len(bad):
            raise InputError(
                f"stream {name!r} holds NaN or infinity (first at row {bad[0]}); "
                "leave the frame out, or mark what was not seen by 0"
            )


def frames_of(stream: Stream) -> Iterator[NDArray[Any]]:
    """The frames of a stream, ragged or not, one by one."""
    return (stream.frame(i) for i in range(len(stream)))


def _freeze(owner: Stream, name: str, dtype: type | None) -> None:
    try:
        given = np.asarray(getattr(owner, name))
        with np.errstate(invalid="ignore"):
            array = np.asarray(given, dtype=dtype).view()
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be an array of numbers, not of {array.dtype}")
    if dtype is np.int64 and not (array == given).all():
        raise InputError(f"{name} must be whole numbers; seconds times 1e9, rounded, are nanoseconds")
    array.flags.writeable = False
    object.__setattr__(owner, name, array)


def _check_offsets(offsets: NDArray[np.int64], rows: int) -> None:
    good = offsets.ndim == 1 and len(offsets) >= 2 and offsets[0] == 0 and offsets[-1] == rows
    if not good or (offsets[1:] < offsets[:-1]).any():
        raise InputError(f"offsets must ascend from 0 to the number of rows ({rows})")


def _check_layout(stream: Stream) -> None:
    if stream.layout not in LAYOUT_JOINTS:
        raise InputError(f"keypoints need a layout{did_you_mean(str(stream.layout), LAYOUT_JOINTS)}")
    wanted = LAYOUT_JOINTS[stream.layout]
    if stream.data.shape[1] != wanted:
        raise InputError(f"layout {stream.layout!r} has {wanted} keypoints, not {stream.data.shape[1]}")

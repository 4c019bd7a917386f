"""Sensor streams as groups of a recording."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import _hdf5
from gait3dlib.types import Calibration, Stream, StreamSpec

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_name(name: str) -> str:
    """Names of streams and arrays become names in the file."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be a name in a recording; use letters, digits and underscores")
    return name


def write_stream(group: h5py.Group, name: str, stream: Stream) -> None:
    """A whole stream as group ``name``."""
    home = group.create_group(check_name(name))
    _hdf5.write(home, "data", stream.data)
    _hdf5.write(home, "t_ns", stream.t_ns)
    if stream.offsets is not None:
        _hdf5.write(home, "offsets", stream.offsets)
    if stream.boxes is not None:
        _hdf5.write(home, "boxes", stream.boxes)
    write_head(home, stream.units, stream.layout, stream.calibration)


def write_head(home: h5py.Group, units: str, layout: str | None, calibration: Calibration | None) -> None:
    """What a stream says of itself, as attributes."""
    for name, text in (("units", units), ("layout", layout)):
        if text is not None:
            if "\0" in text:
                raise InputError(f"the {name} of {home.name} must be text without NUL characters")
            _hdf5.write_text(home, name, text)
    if calibration is not None:
        values = dict(vars(calibration))
        if calibration.extrinsics is not None:
            values["extrinsics"] = np.asarray(calibration.extrinsics, dtype=np.float64).tolist()
        _hdf5.write_text(home, "calibration", json.dumps(values))


def read_head(home: h5py.Group) -> tuple[str, str | None]:
    """The units and the layout of a stream's group."""
    units = _hdf5.attribute(home, "units")
    return "1" if units is None else units, _hdf5.attribute(home, "layout")


def create_stream(
    group: h5py.Group, name: str, spec: StreamSpec, calibration: Calibration | None
) -> h5py.Group:
    """An empty stream that frames can be appended to.

    Raises:
        InputError: the spec leaves the frame's shape, dtype or units open.
    """
    if any(isinstance(size, str) for size in spec.shape) or len(spec.dtypes) != 1 or len(spec.units) != 1:
        raise InputError(
            f"stream {name!r} needs a spec with one dtype, one unit and a shape in numbers, "
            "such as an open sensor gives; this one leaves something open"
        )
    home = group.create_group(check_name(name))
    shape, dtype = (0, *(int(size) for size in spec.shape)), np.dtype(spec.dtypes[0])
    # small: a chunk that is not full at a flush is compressed again at the next, and its old place is lost
    chunks = _hdf5.chunk_shape(shape, dtype.itemsize, 16 * 2**10)
    home.create_dataset("data", shape, dtype, maxshape=(None, *shape[1:]), chunks=chunks, **_hdf5.GZIP)
    for clock in ("t_ns", "device_t_ns", *(("offsets",) if spec.ragged else ())):
        # not compressed: the last chunk is written again at each flush, and must stay where it is
        home.create_dataset(clock, (int(clock == "offsets"),), np.int64, maxshape=(None,), chunks=(1024,))
    write_head(home, spec.units[0], spec.layouts[0] if len(spec.layouts) == 1 else None, calibration)
    return home


def put(item: h5py.Dataset, start: int, rows: ArrayLike) -> None:
    """Write the last rows of a growing data set; writing them twice does no harm."""
    rows = np.asarray(rows, dtype=item.dtype)
    item.resize(start + len(rows), axis=0)
    item[start:] = rows


def read_stream(
    home: h5py.Group, start: int = 0, stop: int | None = None, *, trusted: bool = False
) -> Stream:
    """Frames ``start`` to ``stop`` of a stream's group; ``trusted`` where its chunks were checked before.

    Raises:
        RecordingError: something is missing, refused or damaged.
        InputError: what is there is no stream (time runs backwards, lengths disagree).
    """
    t_ns = _hdf5.read(_hdf5.dataset(home, "t_ns", "i", trusted), start, stop)
    data, offsets, boxes = _hdf5.dataset(home, "data", trusted=trusted), None, None
    if _hdf5.has(home, "offsets"):
        last = None if stop is None else stop + 1
        offsets = _hdf5.read(_hdf5.dataset(home, "offsets", "i", trusted), start, last)
        if not len(offsets) or not 0 <= offsets[0] <= offsets[-1] <= len(data):
            raise RecordingError(f"{home.file.filename}: the offsets of {home.name} leave its data")
        values = _hdf5.read(data, int(offsets[0]), None if stop is None else int(offsets[-1]))
        offsets = offsets - offsets[0]
    else:
        values = _hdf5.read(data, start, None if stop is None else start + len(t_ns))
    if _hdf5.has(home, "boxes"):
        boxes = _hdf5.read(_hdf5.dataset(home, "boxes", "f", trusted), start, stop)
    units, layout = read_head(home)
    return Stream(values, t_ns, units, offsets, layout, boxes, read_calibration(home))


def read_calibration(home: h5py.Group) -> Calibration | None:
    """The calibration of a stream's group, None where it has none."""
    text = _hdf5.attribute(home, "calibration")
    if text is None:
        return None
    try:
        values = json.loads(text)
        if values.get("extrinsics") is not None:
            values["extrinsics"] = np.array(values["extrinsics"], dtype=np.float64).reshape(4, 4)
        calibration = Calibration(**values)
        if not all(isinstance(v, (int, float, np.ndarray, type(None))) for v in values.values()):
            raise ValueError
        if {"width", "height", "fx", "fy", "cx", "cy"} - set(values):  # written whole, also a LiDAR's
            raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError):
        where = f"{home.file.filename}: the calibration of {home.name}"
        raise RecordingError(f"{where} is not a pinhole camera's") from None
    return calibration

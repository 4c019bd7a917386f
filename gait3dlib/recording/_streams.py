"""Sensor streams as groups of a recording."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np

from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import _hdf5
from gait3dlib.types import Calibration, Stream

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
    home.attrs["units"] = units
    if layout is not None:
        home.attrs["layout"] = layout
    if calibration is not None:
        values = vars(calibration) | {}
        if calibration.extrinsics is not None:
            values["extrinsics"] = np.asarray(calibration.extrinsics, dtype=np.float64).tolist()
        home.attrs["calibration"] = json.dumps(values)


def read_stream(home: h5py.Group, start: int = 0, stop: int | None = None) -> Stream:
    """Frames ``start`` to ``stop`` of a stream's group.

    Raises:
        RecordingError: something is missing, refused or damaged.
        InputError: what is there is no stream (time runs backwards, lengths disagree).
    """
    t_ns = _hdf5.read(_hdf5.dataset(home, "t_ns", "i"))[start:stop]
    data, offsets = _hdf5.dataset(home, "data"), None
    if _hdf5.has(home, "offsets"):
        offsets = _hdf5.read(_hdf5.dataset(home, "offsets", "i"))[start : None if stop is None else stop + 1]
        if not len(offsets) or not 0 <= offsets[0] <= offsets[-1] <= len(data):
            raise RecordingError(f"{home.file.filename}: the offsets of {home.name} leave its data")
        first, last = int(offsets[0]), int(offsets[-1]) if stop is not None else None
        values, offsets = _hdf5.read(data, first, last), offsets - offsets[0]
    else:
        values = _hdf5.read(data, start, None if stop is None else start + len(t_ns))
    boxes = _hdf5.read(_hdf5.dataset(home, "boxes", "f"))[start:stop] if _hdf5.has(home, "boxes") else None
    units = _hdf5.attribute(home, "units", "1") or "1"
    return Stream(
        values, t_ns, units, offsets, _hdf5.attribute(home, "layout"), boxes, read_calibration(home)
    )


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
    except (ValueError, TypeError, AttributeError, RecursionError):
        where = f"{home.file.filename}: the calibration of {home.name}"
        raise RecordingError(f"{where} is not a pinhole camera's") from None
    return calibration

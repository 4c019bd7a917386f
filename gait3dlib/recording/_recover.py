"""Saving what a crash left of a recording."""

from __future__ import annotations

import json
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from gait3dlib.errors import Gait3DError, InputError, RecordingError
from gait3dlib.recording import _files, _hdf5, _streams, _walks
from gait3dlib.types import Calibration, GaitSequence, Stream, StreamSpec

log = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 2**20
WRITING, SINGLE_WRITER = 1, 4  # flags of the superblock


def recover(path: str | os.PathLike[str]) -> Path:
    """Make a recording of what a crash left: all frames that are complete and in order.

    ``X.h5.part`` becomes ``X.h5``, and is deleted once that is on the disk; any other unfinished file
    ``X.h5`` becomes ``X.recovered.h5`` and stays. How many frames were saved is logged, and kept in
    :attr:`Recording.recovered <gait3dlib.recording.Recording.recovered>`.

    Returns:
        The path of the recording.

    Raises:
        InputError: the file is finished, is still being written, or its recording exists already.
        RecordingError: nothing in it can be read.
    """
    source = Path(path)
    is_part = source.suffix == ".part"
    target = source.with_suffix("") if is_part else source.with_suffix(".recovered.h5")
    if not source.is_file():
        raise RecordingError(f"there is no file {source} to recover")
    if target.exists():
        raise InputError(f"{target} exists already; move it away to recover {source}")
    with _hdf5.guarded(source, "cannot be recovered: nothing in it is readable"):
        _unlock(source, is_part)
        damaged = h5py.File(source, "r", swmr=True)
    with damaged:
        with _hdf5.guarded(source, "cannot be recovered: nothing in it is readable"):
            remains = _survey(damaged)
            about = [_hdf5.attribute(damaged, name) or "" for name in ("clock", "consent_ref")]
        with _files.replacing(target) as file:
            _files.write_root(file, *about)
            new = file.create_group("streams")
            saved = {remain.spec.name: _copy(remain, new) for remain in remains}
            _hdf5.write_text(file, "recovered", json.dumps(saved))
            _walks.write_all(file.create_group("walks"), _legible_walks(damaged))
    log.info("recovered %s: %s", target, ", ".join(f"{n} frames of {name}" for name, n in saved.items()))
    if is_part:
        source.unlink()
    return target


@dataclass
class _Remains:
    """One stream as the crash left it; ``frames`` have time stamps, in order, and the data declares them."""

    home: h5py.Group
    spec: StreamSpec
    calibration: Calibration | None
    frames: int


def _survey(damaged: h5py.File) -> list[_Remains]:
    if not _hdf5.has(damaged, "streams"):
        raise RecordingError(f"{damaged.filename} ended before anything was recorded; nothing to recover")
    streams = _hdf5.child(damaged, "streams", h5py.Group)
    found = []
    for name in sorted(streams):
        home = _hdf5.child(streams, name, h5py.Group)
        stamps = _hdf5.read(_hdf5.dataset(home, "t_ns", "i"))
        device, data = _hdf5.dataset(home, "device_t_ns", "i"), _hdf5.dataset(home, "data")
        ragged = _hdf5.has(home, "offsets")
        frames = min(len(stamps), len(device), *_whole(home, data, ragged))
        backwards = np.flatnonzero(np.diff(stamps[:frames]) <= 0)
        frames = int(backwards[0]) + 1 if len(backwards) else frames
        units, layout = _streams.read_head(home)
        layouts = () if layout is None else (layout,)
        spec = StreamSpec(name, data.shape[1:], (data.dtype.name,), (units,), layouts, ragged)
        found.append(_Remains(home, spec, _streams.read_calibration(home), frames))
    return found


def _copy(remains: _Remains, new: h5py.Group) -> int:
    """Copy the frames that can be read; how many they were."""
    copy = dict(_streams.create_stream(new, remains.spec.name, remains.spec, remains.calibration))
    done = rows = 0
    while done < remains.frames:
        block = _readable(remains.home, done, remains.frames)
        if block is None:
            break
        _streams.put(copy["data"], rows, block.data)
        _streams.put(copy["t_ns"], done, block.t_ns)
        device = _hdf5.read(remains.home["device_t_ns"], done, done + len(block))
        _streams.put(copy["device_t_ns"], done, device)
        if block.offsets is not None:
            _streams.put(copy["offsets"], done + 1, block.offsets[1:] + rows)
        done, rows = done + len(block), rows + len(block.data)
    for item in copy.values():
        item.flush()
    return done


def _whole(home: h5py.Group, data: h5py.Dataset, ragged: bool) -> list[int]:
    """How many frames the data can hold."""
    if not ragged:
        return [len(data)]
    offsets = _hdf5.read(_hdf5.dataset(home, "offsets", "i"))
    bad = np.flatnonzero((np.diff(offsets, prepend=0) < 0) | (offsets > len(data)))
    return [(int(bad[0]) if len(bad) else len(offsets)) - 1]


def _readable(home: h5py.Group, start: int, stop: int) -> Stream | None:
    """The next frames, fewer where some cannot be read; None where not even one can."""
    data = home["data"]
    per_frame = max(1, data.size // max(1, len(home["t_ns"]))) * data.dtype.itemsize
    frames = max(1, BLOCK_BYTES // per_frame)
    while True:
        try:
            return _streams.read_stream(home, start, min(start + frames, stop), trusted=True)
        except (*_hdf5.H5PY_ERRORS, Gait3DError):
            if frames == 1:
                return None
            frames //= 2


def _legible_walks(damaged: h5py.File) -> list[GaitSequence]:
    """The walks, where the crash came while they were being written; those found are whole."""
    try:
        infos = _walks.read_table(damaged)
    except (*_hdf5.H5PY_ERRORS, Gait3DError):
        return []
    walks = []
    for info in infos:
        try:
            walks.append(_walks.read_walk(damaged, info))
        except (*_hdf5.H5PY_ERRORS, Gait3DError):
            log.warning("walk %d of %s cannot be read and is left out", info.index, damaged.filename)
    return walks


# ---- the flags that a dead writer leaves ----------------------------------------------------------


def _unlock(path: Path, is_part: bool) -> None:
    """Let HDF5 open a file whose writer is dead."""
    try:
        descriptor = _files.lock(path, alone=True)
    except BlockingIOError:
        raise InputError(f"{path} is still being written; stop the recording first") from None
    if descriptor is not None:
        os.close(descriptor)
    with path.open("rb+") as file:
        head = bytearray(file.read(48))
        if head[:8] != _files.SIGNATURE or len(head) < 48:
            raise RecordingError(f"{path} ended before anything was recorded; there is nothing to recover")
        if head[8] != 3 or (not head[11] and not is_part):
            raise InputError(f"{path} is finished; there is nothing to recover")
        if head[11] == WRITING:
            # killed while the walks were written: as a single writer's file HDF5 reads what is there
            head[11] = WRITING | SINGLE_WRITER
            head[44:] = struct.pack("<I", _lookup3(bytes(head[:44])))
            file.seek(0)
            file.write(head)


def _lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 (2006), the checksum of HDF5's superblock; ``data`` must not be empty."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    blocks = [data[i : i + 12].ljust(12, b"\0") for i in range(0, len(data), 12)]
    for block in blocks:
        a, b, c = ((x + y) & 0xFFFFFFFF for x, y in zip((a, b, c), struct.unpack("<3I", block), strict=True))
        if block is blocks[-1]:
            break
        for turn in (4, 6, 8, 16, 19, 4):
            a, c = ((a - c) & 0xFFFFFFFF) ^ _rotate(c, turn), (c + b) & 0xFFFFFFFF
            a, b, c = b, c, a
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, turn)) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b


def _rotate(x: int, turn: int) -> int:
    return ((x << turn) | (x >> (32 - turn))) & 0xFFFFFFFF

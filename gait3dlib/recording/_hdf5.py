"""HDF5 read as hostile input: what :mod:`gait3dlib.recording` stands on.

A file from outside may lie. So nothing but hard links is followed, only plain numbers in the filters that
gait3dlib writes are read, and every declared size is held against the bytes that are really there before
memory is taken for it.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import Gait3DError, RecordingError

# the checksum is not idle: zlib's own missed four of 6,000 flipped bits
GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}

MAX_READ_BYTES = 8 * 2**30
MAX_CHUNK_BYTES = 128 * 2**20
MAX_DEFLATE_RATIO = 1032  # zlib cannot do better
SLACK_BYTES = 2**24  # a recording that was cut off may declare some frames more than it holds
CHUNK_BYTES = 64 * 2**10
FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})
# what h5py raises on damaged files
H5PY_ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, zlib.error)


@contextmanager
def guarded(path: Path, verdict: str = "is damaged; copy it again from its source") -> Iterator[None]:
    """Turn what h5py raises on a damaged file into one sentence."""
    try:
        yield
    except Gait3DError:
        raise
    except H5PY_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise RecordingError(f"{path} cannot be read: {os.strerror(error.errno)}") from None
        raise RecordingError(f"{path} {verdict}") from None


def has(group: h5py.Group, name: str) -> bool:
    """Whether the group has such a link; never opens what the link points to."""
    return bool(group.id.links.exists(name.encode()))


def child(group: h5py.Group, name: str, kind: type) -> Any:
    """A group or data set right below ``group``, reached by a hard link only."""
    where = f"{group.name.rstrip('/')}/{name}"
    if not has(group, name):
        raise RecordingError(f"{group.file.filename} lacks {where}")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise RecordingError(f"{group.file.filename}: {where} links to somewhere else, which is refused")
    item = group[name]
    if not isinstance(item, kind):
        raise RecordingError(f"{group.file.filename}: {where} is a {type(item).__name__.lower()}")
    return item


def attribute(item: Any, name: str) -> str | None:
    """A text attribute; None where there is none."""
    value = plain(item, name, "S")
    return None if value is None else bytes(value).decode()


def write_text(item: Any, name: str, text: str) -> None:
    """A text attribute, at its own length inside the checksummed header.

    Text of variable length would lie in HDF5's global heap, which has no checksum and in which a single
    flipped bit can send HDF5 into an endless loop.
    """
    raw = text.encode()
    item.attrs.create(name, raw, dtype=h5py.string_dtype("utf-8", max(1, len(raw))))


def plain(item: Any, name: str, kinds: str) -> Any:
    """A single value of fixed size."""
    if name not in item.attrs:
        return None
    head = item.attrs.get_id(name)
    if head.dtype.kind not in kinds or head.shape != ():
        what = "text of fixed length" if kinds == "S" else "a number"
        raise RecordingError(f"{item.file.filename}: attribute {name} of {item.name} must be {what}")
    return item.attrs[name]


def dataset(group: h5py.Group, name: str, kinds: str = "biuf", trusted: bool = False) -> h5py.Dataset:
    """A data set that is safe to read: plain numbers, own bytes, and a size that those bytes can hold."""
    item = child(group, name, h5py.Dataset)
    if trusted:
        return item
    where = f"{item.file.filename}: {item.name}"
    plist = item.id.get_create_plist()
    if item.is_virtual or plist.get_external_count():
        raise RecordingError(f"{where} keeps its data in another file, which is refused")
    if item.dtype.kind not in kinds or item.dtype.hasobject:
        raise RecordingError(f"{where} holds {item.dtype}, not plain numbers")
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= FILTERS or len(set(filters)) < len(filters):
        raise RecordingError(f"{where} is compressed in a way that gait3dlib does not read; use gzip")
    declared = math.prod(item.shape) * item.dtype.itemsize
    stored = min(item.id.get_storage_size(), os.path.getsize(item.file.filename))
    if declared > stored * MAX_DEFLATE_RATIO + SLACK_BYTES:
        raise RecordingError(f"{where} declares {declared} bytes, but {stored} stored bytes cannot hold them")
    if item.chunks:
        _check_chunks(item, where)
    return item


def _check_chunks(item: h5py.Dataset, where: str) -> None:
    full = math.prod(item.chunks) * item.dtype.itemsize
    if full > MAX_CHUNK_BYTES:
        raise RecordingError(f"{where} has chunks of {full} bytes; at most {MAX_CHUNK_BYTES} are read")
    suspects: list[tuple[int, ...]] = []

    def visit(info: Any) -> None:
        if info.size > full + full // 100 + 1024:
            raise RecordingError(f"{where} holds a chunk that is larger compressed than plain")
        if info.size * MAX_DEFLATE_RATIO > 2**30:
            suspects.append(info.chunk_offset)

    if item.compression == "gzip":
        item.id.chunk_iter(visit)
    for offset in suspects:
        # HDF5 inflates a chunk to whatever it yields; a chunk that could yield gigabytes is tried here first
        mask, raw = item.id.read_direct_chunk(offset)
        if not mask and len(zlib.decompressobj().decompress(raw, full + 5)) > full + 4:
            raise RecordingError(f"{where} holds a chunk that inflates past its size")


def read_any(item: h5py.Dataset) -> NDArray[Any]:
    """All of a checked data set, which may be a single number."""
    return read(item) if item.shape else np.asarray(item[()])


def read(item: h5py.Dataset, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Rows ``start`` to ``stop`` of a checked data set."""
    if not item.shape:
        raise RecordingError(f"{item.file.filename}: {item.name} is a single number, not an array")
    stop = item.shape[0] if stop is None else min(stop, item.shape[0])
    wanted = (stop - start) * math.prod(item.shape[1:]) * item.dtype.itemsize
    if wanted > MAX_READ_BYTES:
        raise RecordingError(
            f"{item.file.filename}: {item.name} is {wanted / 2**30:.1f} GiB; "
            f"at most {MAX_READ_BYTES / 2**30:g} GiB are read at once"
        )
    return np.asarray(item[start:stop])


def chunk_shape(shape: tuple[int, ...], itemsize: int, wanted: int = CHUNK_BYTES) -> tuple[int, ...]:
    """As many whole frames as ``wanted`` bytes hold; a frame past the largest readable chunk is cut."""
    frame = max(1, math.prod(shape[1:])) * itemsize
    chunk = [max(1, wanted // frame), *(max(1, n) for n in shape[1:])]
    while math.prod(chunk) * itemsize > MAX_CHUNK_BYTES:
        largest = chunk.index(max(chunk))
        chunk[largest] = (chunk[largest] + 1) // 2
    return tuple(chunk)


def write(group: h5py.Group, name: str, data: NDArray[Any]) -> None:
    """An array as a data set, gzip 1 and shuffle."""
    how: dict[str, Any] = {}
    if data.size and data.ndim:
        chunk = zip(chunk_shape(data.shape, data.itemsize), data.shape, strict=True)
        how = {"chunks": tuple(min(pair) for pair in chunk), **GZIP}
    # flushed while it is open: h5py swallows the errors of a data set that is closed when it is let go
    group.create_dataset(name, data=data, **how).flush()

"""HDF5 read as hostile input: what :mod:`gait3dlib.recording` stands on.

A file from outside may lie. So nothing but hard links is followed, only plain numbers in the filters that
gait3dlib writes are read, and every declared size is held against the bytes that are really there before
memory is taken for it.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

import h5py
import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import Gait3DError, RecordingError

SCHEMA = 1
# SWMR needs the format of HDF5 1.10; nothing newer, so that other programs can open the files
LIBVER = ("v110", "v110")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
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


def open_file(path: Path) -> h5py.File:
    """Open a finished recording for reading.

    Raises:
        RecordingError: no such file, not HDF5, unfinished, truncated, or of another schema version.
    """
    if not path.is_file():
        raise RecordingError(f"there is no recording file {path}")
    with guarded(path):
        with path.open("rb") as raw:
            head = raw.read(12)
        if head[:8] != SIGNATURE:
            what = "is not a recording: it does not start like an HDF5 file" if head else "is an empty file"
            raise RecordingError(f"{path} {what}")
        # byte 8 is the version of the superblock, byte 11 its "open for writing" flags
        if len(head) == 12 and head[8] >= 3 and head[11]:
            raise RecordingError(f"{path} was never finished; if nobody is recording: gait3d recover {path}")
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            if "truncated" in str(error):
                raise RecordingError(f"{path} is truncated; copy it again from its source") from None
            raise
        try:
            _check_schema(file, path)
        except BaseException:
            file.close()
            raise
    return file


def _check_schema(file: h5py.File, path: Path) -> None:
    schema = _plain(file, "schema", "iu")
    if schema is None:
        raise RecordingError(f"{path} is HDF5, but not a gait3dlib recording: it has no schema number")
    if schema != SCHEMA:
        advice = "; upgrade gait3dlib" if schema > SCHEMA else ""
        raise RecordingError(f"{path} has schema {schema}, this gait3dlib reads {SCHEMA}{advice}")


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
    value = _plain(item, name, "S")
    return None if value is None else bytes(value).decode()


def write_text(item: Any, name: str, text: str) -> None:
    """A text attribute, at its own length inside the checksummed header.

    Text of variable length would lie in HDF5's global heap, which has no checksum and in which a single
    flipped bit can send HDF5 into an endless loop.
    """
    raw = text.encode()
    item.attrs.create(name, raw, dtype=h5py.string_dtype("utf-8", max(1, len(raw))))


def _plain(item: Any, name: str, kinds: str) -> Any:
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


def write_root(file: h5py.File, clock: str, consent_ref: str) -> None:
    """What a recording says of itself."""
    file.attrs["schema"] = SCHEMA
    write_text(file, "clock", clock)
    write_text(file, "consent_ref", consent_ref)


@contextmanager
def replacing(path: Path) -> Iterator[h5py.File]:
    """A new file that takes the name ``path`` when it is complete and on the disk, and is gone otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing_to(temporary, "w") as file:
            yield file
            file.flush()
        sync(temporary)
        open_file(temporary).close()
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise RecordingError(f"{path} cannot be written: {reason(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path, mode: str) -> Iterator[h5py.File]:
    """An open file that is abandoned when what is done to it fails."""
    with h5py.File(path, mode, libver=LIBVER) as file:
        try:
            yield file
        except BaseException:
            abandon(file)
            raise


def abandon(file: h5py.File) -> None:
    """Close a file that cannot be written; what lies on the disk stays as it is.

    HDF5 ends the process with a segmentation fault when a data set is closed, now or at exit, whose chunks
    it could not write. So what it still holds goes to the null device.
    """
    with suppress(OSError, RuntimeError, ValueError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, file.id.get_vfd_handle())
        os.close(nowhere)
    with suppress(OSError, RuntimeError):
        file.close()


def reason(error: Exception) -> str:
    """Why the system refused to write; h5py keeps the number of the system's error where there was one."""
    number = getattr(error, "errno", None)
    found = re.search(r"errno = (\d+)", str(error))
    if not number and found:
        number = int(found[1])
    return os.strerror(number) if number else "is the disk full, or the folder read-only?"


def lock(path: Path, *, alone: bool = False) -> int | None:
    """Hold a lock on a file until the descriptor is closed or this process dies; None where there is none.

    Raises:
        BlockingIOError: another process holds it.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            return None  # some network file systems have no locks
        raise
    return descriptor


def sync(path: Path) -> None:
    """Wait until the file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())

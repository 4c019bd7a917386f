"""Recordings as files: opened with suspicion, written whole or not at all, locked while they grow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

import h5py

from gait3dlib.errors import RecordingError
from gait3dlib.recording import _hdf5

SCHEMA = 1
# SWMR needs the format of HDF5 1.10; nothing newer, so that other programs can open the files
LIBVER = ("v110", "v110")
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_file(path: Path) -> h5py.File:
    """Open a finished recording for reading.

    Raises:
        RecordingError: no such file, not HDF5, unfinished, truncated, or of another schema version.
    """
    if not path.is_file():
        raise RecordingError(f"there is no recording file {path}")
    with _hdf5.guarded(path):
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
    schema = _hdf5.plain(file, "schema", "iu")
    if schema is None:
        raise RecordingError(f"{path} is HDF5, but not a gait3dlib recording: it has no schema number")
    if schema != SCHEMA:
        advice = "; upgrade gait3dlib" if schema > SCHEMA else ""
        raise RecordingError(f"{path} has schema {schema}, this gait3dlib reads {SCHEMA}{advice}")


def write_root(file: h5py.File, clock: str, consent_ref: str) -> None:
    """What a recording says of itself."""
    file.attrs["schema"] = SCHEMA
    _hdf5.write_text(file, "clock", clock)
    _hdf5.write_text(file, "consent_ref", consent_ref)


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

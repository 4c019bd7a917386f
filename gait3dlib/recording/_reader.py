"""Reading recordings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.recording import _files, _hdf5, _streams, _walks
from gait3dlib.recording._walks import Truth, WalkInfo
from gait3dlib.types import GaitSequence, Labels, Stream


def load(path: str | os.PathLike[str], walk: int | None = None) -> GaitSequence:
    """One walk of a recording.

    Args:
        path: the recording.
        walk: its number, from 0; may be left out where there is one walk only.

    Raises:
        InputError: no such walk, or several and none chosen (the message lists them).
        RecordingError: the file cannot be read.
    """
    with open_recording(path) as recording:
        if walk is None and len(recording.walks) > 1:
            raise InputError(f"{path} holds several walks; choose one by its number ({recording.summary()})")
        return recording.sequence(0 if walk is None else walk)


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Open a recording for reading; a context manager.

    Raises:
        RecordingError: no such file, not a recording, unfinished, truncated, or of another schema version.
    """
    return Recording(Path(path))


class Recording:
    """An open recording: its walks and, where a sensor was recorded, the raw streams.

    Iterating yields the walks as :class:`~gait3dlib.types.GaitSequence`. ``clock`` says what the time
    stamps count, ``consent_ref`` where consent is filed, and ``recovered`` how many frames of each stream
    were saved after a crash (empty where there was none).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _files.open_file(path)
        try:
            with _hdf5.guarded(path):
                self.walks: list[WalkInfo] = _walks.read_table(self._file)
                self.streams = RawStreams(self._file, path)
                self.clock = _hdf5.attribute(self._file, "clock") or ""
                self.consent_ref = _hdf5.attribute(self._file, "consent_ref") or ""
                recovered = _hdf5.attribute(self._file, "recovered") or "{}"
                self.recovered: dict[str, int] = _walks.parse(recovered, str(path))
        except BaseException:
            self.close()
            raise

    def sequence(self, index: int) -> GaitSequence:
        """Walk ``index``.

        Raises:
            InputError: there is no such walk, or its streams break their specs.
            RecordingError: the file is damaged.
        """
        info = self._info(index)
        with _hdf5.guarded(self.path):
            return _walks.read_walk(self._file, info)

    def truth(self, index: int) -> Truth | None:
        """What the simulator knew of walk ``index``; None where nothing was kept."""
        info = self._info(index)
        with _hdf5.guarded(self.path):
            return _walks.read_truth(self._file, info.index)

    def labels(self, index: int) -> Labels:
        """What is known of the person of walk ``index``: stated in its table, or kept by the simulator."""
        info = self._info(index)
        with _hdf5.guarded(self.path):
            return info.meta.labels or _walks.read_truth_labels(self._file, info.index) or Labels()

    def summary(self) -> str:
        """The walks in one line: number, subject, duration, streams."""
        more = f"; and {len(self.walks) - 10} more" if len(self.walks) > 10 else ""
        return "; ".join(str(info) for info in self.walks[:10]) + more

    def _info(self, index: int) -> WalkInfo:
        if not self.walks:
            raise InputError(f"{self.path} holds no walk; open_recording(path).streams has its raw streams")
        if not 0 <= index < len(self.walks):
            raise InputError(f"{self.path} has no walk {index}; it has {self.summary()}")
        return self.walks[index]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        return len(self.walks)

    def __iter__(self) -> Iterator[GaitSequence]:
        return (self.sequence(index) for index in range(len(self.walks)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class RawStreams(Mapping[str, Stream]):
    """The raw streams of a recording by name, read when asked for.

    ``streams["depth"]`` reads a whole stream; :meth:`read` a part of one that is too long for the memory.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._path = path
        self._checked: set[str] = set()
        self._group = _hdf5.child(file, "streams", h5py.Group) if _hdf5.has(file, "streams") else None

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Stream:
        """Frames ``start`` to ``stop`` (exclusive) of a stream."""
        with _hdf5.guarded(self._path):
            stream = _streams.read_stream(self._home(name), start, stop, trusted=name in self._checked)
        self._checked.add(name)
        return stream

    def t_ns(self, name: str) -> NDArray[np.int64]:
        """The host's time stamps ``[T]`` of a stream; T may be 0."""
        with _hdf5.guarded(self._path):
            return _hdf5.read(_hdf5.dataset(self._home(name), "t_ns", "i")).astype(np.int64)

    def device_t_ns(self, name: str) -> NDArray[np.int64]:
        """The device's own time stamps ``[T]``, -1 where it gave none."""
        with _hdf5.guarded(self._path):
            home = self._home(name)
            if not _hdf5.has(home, "device_t_ns"):
                return np.full(len(self.t_ns(name)), -1, dtype=np.int64)
            return _hdf5.read(_hdf5.dataset(home, "device_t_ns", "i")).astype(np.int64)

    def _home(self, name: str) -> h5py.Group:
        if self._group is None or name not in self:
            raise InputError(f"{self._path} has no raw stream {name!r}{did_you_mean(name, self)}")
        return _hdf5.child(self._group, name, h5py.Group)

    def __getitem__(self, name: str) -> Stream:
        if name not in self:
            raise KeyError(name)
        return self.read(name)

    def __contains__(self, name: object) -> bool:
        return self._group is not None and isinstance(name, str) and name in list(self._group)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._group) if self._group is not None else ())

    def __len__(self) -> int:
        return len(self._group) if self._group is not None else 0

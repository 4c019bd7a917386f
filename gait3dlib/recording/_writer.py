"""Writing recordings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, RecordingError, did_you_mean
from gait3dlib.recording import _files, _streams, _walks
from gait3dlib.recording._walks import Truth
from gait3dlib.types import Calibration, GaitSequence, StreamSpec


def save(
    path: str | os.PathLike[str],
    *sequences: GaitSequence,
    truths: Sequence[Truth | None] | None = None,
    consent_ref: str = "",
    store_color: bool = False,
) -> Path:
    """Write walks as a recording, whole or not at all; a file of that name is replaced.

    Args:
        path: the file to write, by custom ``*.h5``.
        sequences: one walk each.
        truths: what a simulator knows of each walk, in the same order; kept apart from the streams.
        consent_ref: where the consent of the recorded people is filed.
        store_color: also write streams of colour images; otherwise they are refused.

    Raises:
        InputError: nothing to write, truths that do not match, or colour without ``store_color``.
        RecordingError: the file cannot be written.
    """
    if not sequences:
        raise InputError("there is no walk to save; pass at least one GaitSequence")
    if truths is not None and len(truths) != len(sequences):
        raise InputError(
            f"{len(sequences)} walks were given with {len(truths)} truths; pass None for unknown"
        )
    for sequence in sequences:
        _walks.refuse_color(sequence.streams, store_color)
        _walks.check(sequence)
    path = Path(path)
    with _files.replacing(path) as file:
        _files.write_root(file, clock="own", consent_ref=consent_ref)
        _walks.write_all(file.create_group("walks"), sequences)
        for index, truth in enumerate(truths or ()):
            if truth is not None:
                _walks.write_truth(file, index, truth)
    return path


class RecordingWriter:
    """Records sensor streams frame by frame, so that a crash costs at most ``flush_s`` seconds.

    The frames go to ``PATH.part``, an HDF5 file in single-writer mode whose time stamps are written after
    the frames they belong to: what has a time stamp is complete. Closing adds the walks and renames the
    file to ``PATH``. What a crash leaves is saved by :func:`~gait3dlib.recording.recover`.

    Args:
        path: the recording to make, by custom ``*.h5``; it must not exist.
        specs: what each stream's frames look like, with sizes in numbers, as an open sensor gives them.
        calibration: of the sensors that have one, by stream name.
        flush_s: how long a frame may wait until it is safe from a crash, while frames keep coming.
        store_color: allow streams of colour images.
        clock: what the time stamps count; "unix" is nanoseconds since 1970.
        consent_ref: where the consent of the recorded people is filed.

    Raises:
        InputError: the file exists, a crash left its ``.part``, or a spec leaves something open.
        RecordingError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        specs: Mapping[str, StreamSpec],
        *,
        calibration: Mapping[str, Calibration] | None = None,
        flush_s: float = 1.0,
        store_color: bool = False,
        clock: str = "unix",
        consent_ref: str = "",
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self._store_color = store_color
        self._walks: list[GaitSequence] = []
        self._lock: int | None = None
        self._open = False
        # a tenth to spare: a frame is flushed when a later one comes, and flushing takes a moment
        self._wait_s = 0.9 * flush_s
        self._flushed_s = time.monotonic()
        _walks.refuse_color(specs, store_color)
        if self.path.exists():
            raise InputError(f"{self.path} exists and is not overwritten; choose another name")
        if self.part.exists():
            raise InputError(f"{self.part} was left by a crash; save it with: gait3d recover {self.part}")
        self._file: Any = None
        with self._writing(""):
            self._file = h5py.File(self.part, "x", libver=_files.LIBVER)
        try:
            self._channels = self._create(specs, calibration or {}, clock, consent_ref)
        except BaseException:
            self._file.close()
            self.part.unlink(missing_ok=True)  # it holds no frame
            raise

    def _create(
        self, specs: Mapping[str, StreamSpec], calibration: Mapping[str, Calibration], *root: str
    ) -> dict[str, _Channel]:
        with self._writing(""):
            _files.write_root(self._file, *root)
            _walks.write_table(self._file.create_group("walks"), [])
            group = self._file.create_group("streams")
            channels = {
                name: _Channel(spec, _streams.create_stream(group, name, spec, calibration.get(name)))
                for name, spec in specs.items()
            }
            self._file.swmr_mode = True
            self._lock = _files.lock(self.part)
        self._open = True
        return channels

    def append(self, name: str, frame: NDArray[Any], host_t_ns: int, device_t_ns: int | None = None) -> None:
        """Add one frame to stream ``name``.

        Args:
            name: the stream.
            frame: of the spec's shape and dtype; ``[n, ...]`` with any n for ragged streams.
            host_t_ns: when it was taken, later than the stream's frame before.
            device_t_ns: the device's own stamp, where it gives one.

        Raises:
            InputError: no such stream, another shape or dtype, NaN, or time that does not run forward.
            RecordingError: the frame cannot be written; what was recorded before is in ``.part``.
        """
        channel = self._channels.get(name)
        if channel is None:
            raise InputError(f"this recording has no stream {name!r}{did_you_mean(name, self._channels)}")
        channel.check(name, frame, host_t_ns)
        with self._writing():
            channel.append(frame, host_t_ns, -1 if device_t_ns is None else device_t_ns)
        if time.monotonic() - self._flushed_s >= self._wait_s:
            self.flush()

    def add_walk(self, sequence: GaitSequence) -> None:
        """Keep a walk that was found in these streams; it is written on closing."""
        _walks.refuse_color(sequence.streams, self._store_color)
        _walks.check(sequence)
        self._walks.append(sequence)

    def flush(self) -> None:
        """Make every frame so far safe from a crash of this process."""
        with self._writing():
            for channel in self._channels.values():
                channel.commit()
        self._flushed_s = time.monotonic()

    def close(self) -> None:
        """Write the walks and rename ``.part`` to the recording; does nothing where that was done or failed.

        Raises:
            RecordingError: it cannot be finished; what was recorded is in ``.part``.
        """
        if not self._open:
            return
        self.flush()
        with self._writing():
            self._let_go()
            # groups cannot be made in single-writer mode, so the walks come when the streams are complete
            with _files.writing_to(self.part, "r+") as file:
                _walks.write_all(file["walks"], self._walks)
                file.flush()
            _files.sync(self.part)
            if self.path.exists():
                raise InputError(f"{self.path} was made meanwhile; this recording is {self.part}, rename it")
            os.replace(self.part, self.path)

    @contextmanager
    def _writing(self, advice: str = "; what was recorded is safe: gait3d recover {part}") -> Iterator[None]:
        if not self._open and advice:
            raise RecordingError(f"the recording {self.path} is closed; start another one")
        try:
            yield
        except (OSError, RuntimeError) as error:
            if self._file:
                _files.abandon(self._file)
            with suppress(OSError, RuntimeError):
                self._let_go()
            why = _files.reason(error) + advice.format(part=self.part)
            raise RecordingError(f"{self.path} cannot be written: {why}") from None

    def _let_go(self) -> None:
        self._open = False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Channel:
    """One stream being written: frames at once, their time stamps at the next flush."""

    def __init__(self, spec: StreamSpec, home: h5py.Group) -> None:
        self.spec = spec
        self.data, self.t_ns, self.device_t_ns = home["data"], home["t_ns"], home["device_t_ns"]
        self.offsets = home["offsets"] if spec.ragged else None
        self.rows = 0
        self.committed = 0
        self.pending: list[tuple[int, int, int]] = []  # host stamp, device stamp, rows up to here
        self.last_ns: int | None = None

    def check(self, name: str, frame: NDArray[Any], host_t_ns: int) -> None:
        shape = frame.shape[1:] if self.spec.ragged and frame.ndim else frame.shape
        if shape != self.spec.shape or frame.dtype.name != self.spec.dtypes[0]:
            wanted = f"{self.spec.dtypes[0]} {list(self.spec.shape)}"
            raise InputError(f"a frame of {name!r} must be {wanted}, not {frame.dtype.name} {list(shape)}")
        if frame.dtype.kind == "f" and not self.spec.nan and not np.isfinite(frame).all():
            raise InputError(f"a frame of {name!r} holds NaN or infinity; mark what was not seen by 0")
        if self.last_ns is not None and host_t_ns <= self.last_ns:
            raise InputError(f"a frame of {name!r} is not later than the one before it; drop it")

    def append(self, frame: NDArray[Any], host_t_ns: int, device_t_ns: int) -> None:
        rows = frame if self.spec.ragged else frame[np.newaxis]
        _streams.put(self.data, self.rows, rows)
        self.rows += len(rows)
        self.pending.append((host_t_ns, device_t_ns, self.rows))
        self.last_ns = host_t_ns

    def commit(self) -> None:
        if not self.pending:
            return
        host, device, ends = zip(*self.pending, strict=True)
        if len(self.data) > self.rows:  # an interrupt came between a frame and its time stamp
            self.data.resize(self.rows, axis=0)
        self.data.flush()
        _streams.put(self.device_t_ns, self.committed, device)
        self.device_t_ns.flush()
        if self.offsets is not None:
            _streams.put(self.offsets, self.committed + 1, ends)
            self.offsets.flush()
        _streams.put(self.t_ns, self.committed, host)
        self.t_ns.flush()
        self.committed, self.pending = self.committed + len(host), []

"""The walks that a source named on the command line holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from gait3dlib.cli._output import waiting
from gait3dlib.errors import ConfigError, InputError

if TYPE_CHECKING:
    from gait3dlib.types import GaitSequence

RECORDINGS = (".h5", ".hdf5")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def walks_of_source(
    source: str, walk: int | None = None, start: float | None = None, stop: float | None = None
) -> Iterator[tuple[int, GaitSequence]]:
    """The walks of a source with their numbers; one of them, or a part of each, when so asked."""
    from gait3dlib.sources import walks_of

    start, stop = _seconds("--from", start), _seconds("--to", stop)
    if start is not None and stop is not None and stop <= start:
        raise ConfigError(f"--to {stop:g} must be later than --from {start:g}")
    walks = walks_of(source)
    for number in count():
        with waiting(f"looking for walks in {source}"):
            seq = next(walks, None)
        if seq is None:
            if walk is not None:
                raise InputError(f"{source} has no walk {walk}; it has {number}, numbered from 0")
            return
        if walk in (None, number):
            yield number, _part(seq, start, stop)
        if number == walk:
            return


def one_walk(
    source: str, walk: int | None = None, start: float | None = None, stop: float | None = None
) -> tuple[int, GaitSequence]:
    """The only walk of a source, or the chosen one.

    Raises:
        InputError: there are several and none was chosen; the message lists them.
    """
    walks = list(walks_of_source(source, walk, start, stop))
    if len(walks) > 1:
        listed = "; ".join(f"{n}: {seq.duration_s:.1f} s, {', '.join(seq.streams)}" for n, seq in walks)
        raise InputError(f"{source} holds several walks; choose one with --walk N ({listed})")
    return walks[0]


def _part(seq: GaitSequence, start: float | None, stop: float | None) -> GaitSequence:
    if start is None and stop is None:
        return seq
    return seq.window(start or 0.0, seq.duration_s + 1.0 if stop is None else stop)


def _seconds(option: str, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ConfigError(f"{option} must be a number of seconds, not {value}")
    return value


def files_of(sources: list[Path]) -> list[Path]:
    """Files as they are, and the recordings and videos in folders."""
    files: list[Path] = []
    for source in sources:
        if not source.exists():
            raise InputError(f"there is no file or folder {source}")
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in RECORDINGS + VIDEOS)
            if not inside:
                raise InputError(f"{source} holds no recording (.h5) and no video")
            files += inside
        else:
            files.append(source)
    return files

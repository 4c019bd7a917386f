"""OpenSim's text files: markers (.trc) and tables of motion, forces and results (.mot, .sto)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.dynamics._trials import F64
from gait3dlib.errors import InputError, did_you_mean

MAX_TEXT_BYTES = 256 * 2**20
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
# OpenSim: x forward, y up, z right; here: x forward, y left, z up
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, eq=False)
class Markers:
    """Markers of a .trc file.

    Attributes:
        names: of the markers.
        points: ``[T, K, 3]`` metres, x forward, y left, z up; NaN where a marker was not seen.
        time_s: ``[T]``.
    """

    names: tuple[str, ...]
    points: F64
    time_s: F64

    def __getitem__(self, name: str) -> F64:
        if name not in self.names:
            raise InputError(f"no marker {name!r}{did_you_mean(name, self.names)}")
        return self.points[:, self.names.index(name)]


@dataclass(frozen=True, eq=False)
class Table:
    """A .mot or .sto file: columns by name, over time."""

    columns: dict[str, F64]
    time_s: F64
    degrees: bool

    def at(self, name: str, time_s: F64) -> F64:
        """A column at other times, by straight lines; NaN outside of the table."""
        if name not in self.columns:
            raise InputError(f"no column {name!r}{did_you_mean(name, self.columns)}")
        found: F64 = np.interp(time_s, self.time_s, self.columns[name])
        # files round their times, so the last frame may seem to lie a little outside
        slack = 1e-3
        outside = (time_s < self.time_s[0] - slack) | (time_s > self.time_s[-1] + slack)
        return np.where(outside, np.nan, found)


def read_trc(path: str | Path) -> Markers:
    """Markers of a .trc file (y up, as OpenSim has them), turned to z up.

    Raises:
        InputError: unreadable, of unknown units, or its rows do not fit its header.
    """
    lines = _lines(path)
    try:
        keys, values = lines[1].split("\t"), lines[2].split("\t")
        header = {key.strip(): value.strip() for key, value in zip(keys, values, strict=False)}
        units = header["Units"]
        names = tuple(name.strip() for name in lines[3].rstrip().split("\t")[2:] if name.strip())
        body = [line for line in lines[5:] if line.strip()]
        width = 2 + 3 * len(names)
        rows = np.array([_numbers(line.split("\t"), width) for line in body])
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} is not a .trc file of markers ({error})") from error
    if units not in _METRES:
        raise InputError(f"{path} is in {units!r}; markers must be in {', '.join(_METRES)}")
    if len(rows) == 0:
        raise InputError(f"{path} holds no frame")
    points = rows[:, 2:].reshape(len(rows), -1, 3) * _METRES[units]
    return Markers(names, points @ TO_Z_UP.T, rows[:, 1])


def read_storage(path: str | Path) -> Table:
    """A .mot or .sto file.

    Raises:
        InputError: unreadable, without a time column, or its rows do not fit its header.
    """
    lines = _lines(path)
    try:
        end = next(i for i, line in enumerate(lines) if line.strip() == "endheader")
        names = [name.strip() for name in lines[end + 1].rstrip().split("\t")]
        rows = np.array([_numbers(line.split("\t"), len(names)) for line in lines[end + 2 :] if line.strip()])
        columns = {name: rows[:, i] for i, name in enumerate(names)}
        time_s = columns.pop("time")
    except (StopIteration, KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} is not a .mot or .sto table ({error})") from error
    degrees = any(line.replace(" ", "").lower() == "indegrees=yes" for line in lines[:end])
    return Table(columns, time_s, degrees)


def _lines(path: str | Path) -> list[str]:
    try:
        if Path(path).stat().st_size > MAX_TEXT_BYTES:
            raise InputError(f"{path} is larger than {MAX_TEXT_BYTES >> 20} MiB; cut the trial")
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _numbers(cells: list[str], width: int) -> NDArray[np.float64]:
    """A row of numbers; an empty cell is NaN."""
    found = np.full(width, np.nan)
    for i, cell in enumerate(cells[:width]):
        if cell.strip():
            found[i] = float(cell)
    return found

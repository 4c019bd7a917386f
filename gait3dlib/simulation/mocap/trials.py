"""Marker trials of biomechZoo's sample study: one ``.npz`` a trial, labelled points in millimetres."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

Array = NDArray[np.float64]
MAX_BYTES = 500_000_000  # unpacked


@dataclass(frozen=True, eq=False)
class MarkerTrial:
    """One trial.

    Attributes:
        points: label -> ``[T, 3]`` in metres, z up; NaN where a point was not seen.
        fps: frames a second.
        height_m: of the person; NaN where the file has none.
    """

    points: Mapping[str, Array]
    fps: float
    height_m: float

    def __len__(self) -> int:
        return len(next(iter(self.points.values())))

    def get(self, label: str) -> Array:
        """A point ``[T, 3]``; NaN where the trial lacks it."""
        found = self.points.get(label)
        return np.full((len(self), 3), np.nan) if found is None else found


def read_trial(path: Path | str) -> MarkerTrial:
    """Read ``labels`` [n], ``points_mm`` [T, n, 3] and ``rate`` of a trial.

    Raises:
        InputError: no such file, pickled or oversized content, or arrays that do not fit each other.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise InputError(f"{path.name} unpacks to {size / 1e6:.0f} MB; a trial has at most 500 MB")
        with np.load(path, allow_pickle=False) as arrays:
            labels = [str(label) for label in arrays["labels"]]
            points = np.asarray(arrays["points_mm"], np.float64) / 1000.0
            fps = float(arrays["rate"])
            height = float(arrays["height_m"]) if "height_m" in arrays else float("nan")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} is no marker trial; it needs labels, points_mm and rate") from None
    if points.ndim != 3 or points.shape[1:] != (len(labels), 3) or not len(points) or not 1 <= fps <= 10_000:
        raise InputError(f"{path.name}: {len(labels)} labels do not fit points of shape {points.shape}")
    points[~np.isfinite(points).all(axis=2)] = np.nan
    return MarkerTrial({label: points[:, i] for i, label in enumerate(labels)}, fps, height)

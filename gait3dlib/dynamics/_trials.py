"""A motion trial from a laboratory: joint centres, and what force plates and other programs say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES
from gait3dlib.errors import InputError

F64 = NDArray[np.float64]
MAX_BYTES = 512 * 2**20  # of one array; a trial of minutes stays far below


@dataclass(frozen=True, eq=False)
class MotionTrial:
    """One recorded trial, in metres, newtons and seconds, z up.

    Attributes:
        joints: float64 ``[T, 24, 3]`` joint centres in SMPL's order, NaN = unknown.
        fps: frames a second.
        mass_kg: of the person; None = unknown.
        height_m: of the person; None = unknown.
        ground_reaction: ``[T, 2, 9]``, left and right: force (N), its point of action (m), free moment there
            (N m); zeros where the foot is known to bear nothing, NaN where no plate tells; None = no plate.
        published: what another program computed, by name, ``[T, ...]``.
        first_time_s: of the first frame, on the file's clock.
    """

    joints: F64
    fps: float
    mass_kg: float | None = None
    height_m: float | None = None
    ground_reaction: F64 | None = None
    published: Mapping[str, F64] = field(default_factory=lambda: MappingProxyType({}))
    first_time_s: float = 0.0


def joint(name: str) -> int:
    """The place of a joint in SMPL's order."""
    return JOINT_NAMES.index(name)


def between_markers(frames: int, points: Mapping[str, F64]) -> F64:
    """Joints ``[T, 24, 3]`` of named centres; the pelvis is the middle of the hips."""
    joints = np.full((frames, len(JOINT_NAMES), 3), np.nan)
    for name, point in points.items():
        joints[:, joint(name)] = point
    joints[:, 0] = (joints[:, 1] + joints[:, 2]) / 2
    return joints


def read_archive(path: str | Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Arrays of an npz file that is not trusted: no pickle, no member larger than :data:`MAX_BYTES`.

    Raises:
        InputError: unreadable, an array is missing, or it is too large.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
            missing = [name for name in names if name not in sizes]
            if missing:
                raise InputError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(sizes))}")
            if any(sizes[name] > MAX_BYTES for name in names):
                raise InputError(f"{path} holds an array of more than {MAX_BYTES >> 20} MiB; cut the trial")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path} as an npz file ({error}); was it copied completely?") from error

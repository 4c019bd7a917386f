"""Forces that learned estimators wrote to files, as the same type that inverse dynamics gives.

PhysPT (Zhang et al., CVPR 2024) and ImDy (Liu et al., ICLR 2025) estimate torques at SMPL's 23 joints and the
ground's reaction from images or markers. Neither tells joint forces, powers or the centre of mass: those are
NaN. Their torques are components in the axes of each joint as the estimator has them, not of the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.dynamics._result import Dynamics, positive
from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.dynamics._trials import F64, read_archive
from gait3dlib.errors import InputError

PHYSPT_FPS = 20.0
PHYSPT_POINTS = 29
_LAST = 2  # PhysPT gives no forces for the last two frames of its video
_TOUCH = 0.05  # body weights from which a foot is said to stand
# SMPL's bodies of the left and right leg
_LEGS = ((1, 4, 7, 10), (2, 5, 8, 11))


def read_physpt(
    path: str | Path,
    mass: float,
    height: float,
    *,
    frames: int | None = None,
    feet: Sequence[int] | None = None,
) -> Dynamics:
    """What PhysPT's ``video_inference.py`` wrote (``*_output.npz``), 20 frames a second.

    Args:
        path: with ``pred_torques`` ``[T, 69]`` and ``pred_grf`` ``[T, 29, 3]``, with or without a leading 1.
        mass: kilograms, of the body that PhysPT assumed.
        height: metres, of that body.
        frames: of the walk that they belong to; the last two, which PhysPT leaves out, become NaN.
        feet: for each of the 29 contact points 0 (left) or 1 (right), by PhysPT's ``contact_vertexidxall``:
            SMPL's vertices below 3445 are left. The file itself does not tell; None leaves the forces of the
            feet NaN.

    Raises:
        InputError: unreadable, arrays of other shapes, or of another length than the walk.
    """
    arrays = read_archive(path, ("pred_torques", "pred_grf"))
    torque = _flat(arrays["pred_torques"], (69,), path, "pred_torques").reshape(-1, 23, 3)
    points = _flat(arrays["pred_grf"], (PHYSPT_POINTS, 3), path, "pred_grf")
    _same_length(path, len(torque), len(points))
    if feet is None:
        ground = np.full((len(points), 2, 3), np.nan)
    else:
        side = np.asarray(feet)
        if side.shape != (PHYSPT_POINTS,) or not np.isin(side, (0, 1)).all():
            raise InputError(f"feet must be {PHYSPT_POINTS} numbers, 0 for left and 1 for right")
        ground = np.stack([points[:, side == foot].sum(axis=1) for foot in (0, 1)], axis=1)
    missing = 0
    if frames is not None and len(torque) != frames:
        missing = _LAST
        if len(torque) + missing != frames:
            raise InputError(
                f"{path} holds forces of {len(torque)} frames, but the walk has {frames}; PhysPT leaves "
                f"out the last {_LAST} of a video at {PHYSPT_FPS:g} a second: resample the walk, or take "
                "the right file"
            )
    return _dynamics(torque, ground, PHYSPT_FPS, (mass, height), "physpt", missing)


def read_imdy(
    path: str | Path, mass: float, height: float, fps: float, *, frames: int | None = None
) -> Dynamics:
    """What ImDy's model gave, saved with ``np.savez(path, torque=..., grf=...)``.

    Args:
        path: with ``torque`` ``[T, 23, 3]`` (SMPL's joints without the pelvis) and ``grf`` ``[T, 24, 3]`` (on
            each of SMPL's bodies), N m and N.
        mass: kilograms, of the body that ImDy assumed (76.4 in its training data).
        height: metres, of that body.
        fps: frames a second.
        frames: of the walk that they belong to.

    Raises:
        InputError: unreadable, arrays of other shapes, or of another length than the walk.
    """
    arrays = read_archive(path, ("torque", "grf"))
    torque = _flat(arrays["torque"], (23, 3), path, "torque")
    bodies = _flat(arrays["grf"], (24, 3), path, "grf")
    _same_length(path, len(torque), len(bodies))
    if frames is not None and len(torque) != frames:
        raise InputError(f"{path} holds forces of {len(torque)} frames, but the walk has {frames}")
    ground = np.stack([bodies[:, list(leg)].sum(axis=1) for leg in _LEGS], axis=1)
    return _dynamics(torque, ground, positive("fps", fps), (mass, height), "imdy", 0)


def _flat(array: NDArray[np.generic], shape: tuple[int, ...], path: str | Path, name: str) -> F64:
    """The array as float64 ``[T, *shape]``; a leading axis of one goes."""
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name} must hold numbers, not {array.dtype}")
    found = array.astype(np.float64)
    if found.ndim == len(shape) + 2 and len(found) == 1:
        found = found[0]
    if found.ndim != len(shape) + 1 or found.shape[1:] != shape or len(found) == 0:
        raise InputError(f"{path}: {name} must be [frames, {', '.join(map(str, shape))}], not {array.shape}")
    return found


def _same_length(path: str | Path, torques: int, reactions: int) -> None:
    if torques != reactions:
        raise InputError(f"{path} holds torques of {torques} frames and ground reactions of {reactions}")


def _dynamics(
    torque: F64, ground: F64, fps: float, size: tuple[float, float], source: str, missing: int
) -> Dynamics:
    mass, height = positive("mass", size[0]), positive("height", size[1])
    weight = mass * STANDARD_GRAVITY
    frames = len(torque) + missing
    moment = np.full((frames, 24, 3), np.nan)
    moment[: len(torque), 1:] = torque / (weight * height)
    force = np.full((frames, 2, 3), np.nan)
    force[: len(ground)] = ground / weight
    unknown = np.full((frames, 24, 3), np.nan)
    return Dynamics(
        fps,
        unknown,
        moment,
        unknown[..., 0].copy(),
        force,
        unknown[:, :2].copy(),
        unknown[:, 0].copy(),
        np.asarray(np.nan_to_num(force[..., 2]) > _TOUCH),
        np.zeros((frames, 2), bool),
        source,
        height,
        mass,
    )

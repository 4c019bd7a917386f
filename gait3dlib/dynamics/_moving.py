"""A moving body of mass 1, from joints or from an `smpl` stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import Body, ShapedBody
from gait3dlib.dynamics._filter import scaled_cutoff
from gait3dlib.dynamics._joints import checked, stature
from gait3dlib.dynamics._kinematics import motion_of_joints
from gait3dlib.dynamics._mesh import motion_of_body
from gait3dlib.dynamics._result import positive
from gait3dlib.dynamics._segments import table_inertia, table_mass
from gait3dlib.dynamics._tree import SegmentMotion
from gait3dlib.errors import InputError

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Moving:
    """A body of mass 1 in motion: which joints were seen, and in which frames all of them."""

    mass: Tensor
    inertia: Tensor
    motion: SegmentMotion
    seen: Bools
    whole: Bools
    height_m: float
    cutoff_hz: float


def moving_joints(joints: F64, fps: float, height_m: float | None, cutoff_hz: float | None) -> Moving:
    """A body that joints ``[T, 24, 3]`` and de Leva's table describe; see :func:`checked`."""
    filled, seen, whole = checked(joints, fps, height_m)
    tall = stature(filled) if height_m is None else height_m
    cutoff = scaled_cutoff(tall) if cutoff_hz is None else positive("cutoff_hz", cutoff_hz)
    motion, lengths = motion_of_joints(torch.from_numpy(filled), fps, cutoff)
    mass = table_mass()
    inertia = torch.from_numpy(table_inertia(lengths.numpy(), mass))
    return Moving(torch.from_numpy(mass), inertia, motion, seen, whole, tall, cutoff)


def moving_body(
    smpl: F64, fps: float, height_m: float | None, cutoff_hz: float | None, body: ShapedBody | None
) -> Moving:
    """A body that an `smpl` stream ``[T, 85]`` and its own mesh describe.

    Raises:
        InputError: NaN or infinity, or a shape outside the shape space.
    """
    if not np.isfinite(smpl).all():
        raise InputError("an smpl stream holds NaN or infinity; leave those frames out")
    if body is None:
        body = Body.load().from_numbers(np.median(smpl[:, 75:], axis=0))
    tall = body.height_m if height_m is None else height_m
    cutoff = scaled_cutoff(tall) if cutoff_hz is None else positive("cutoff_hz", cutoff_hz)
    mass, inertia, motion = motion_of_body(body, smpl[:, :3], smpl[:, 3:75], fps, cutoff)
    everything = np.ones(24, bool)
    return Moving(mass, inertia, motion, everything, np.ones(len(smpl), bool), tall, cutoff)

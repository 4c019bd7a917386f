"""From joint positions to the motion of segments: orientation, angular velocity, centres of mass."""

from __future__ import annotations

import torch
from torch import Tensor

from gait3dlib.body import JOINT_NAMES, PARENTS
from gait3dlib.dynamics._filter import low_pass
from gait3dlib.dynamics._segments import point_matrices, segments
from gait3dlib.dynamics._tree import SegmentMotion

_J = {name: index for index, name in enumerate(JOINT_NAMES)}


def motion_of_joints(joints: Tensor, fps: float, cutoff_hz: float | None) -> tuple[SegmentMotion, Tensor]:
    """Motion of the 24 segments of de Leva's table from joint positions ``[T, 24, 3]``.

    Positions are filtered; orientations are built from the filtered positions and only differentiated.

    Returns:
        The motion, and the segments' lengths ``[24]`` in metres.
    """
    value, velocity, acceleration = low_pass(joints, fps, cutoff_hz)
    start, end, centre = (torch.from_numpy(m).to(joints.dtype) for m in point_matrices())
    axis = (end - start) @ value
    lengths = axis.norm(dim=-1).median(dim=0).values
    rotation = _orientations(value, axis)
    spin, spin_up = angular_motion(rotation, fps, None)
    motion = SegmentMotion(
        rotation, value, velocity, centre @ value, centre @ velocity, centre @ acceleration, spin, spin_up
    )
    return motion, lengths


def angular_motion(rotation: Tensor, fps: float, cutoff_hz: float | None) -> tuple[Tensor, Tensor]:
    """Angular velocity and acceleration ``[T, J, 3]`` of rotations ``[T, J, 3, 3]``, in world axes.

    With ``R' R^T = [w]`` and ``R'' R^T = [w'] + [w]^2``, of which the last part is symmetric.
    """
    value, first, second = low_pass(rotation, fps, cutoff_hz)
    back = value.transpose(-1, -2)
    return _vee(first @ back), _vee(second @ back)


def _vee(matrix: Tensor) -> Tensor:
    """The vector of a matrix's antisymmetric part."""
    odd = (matrix - matrix.transpose(-1, -2)) / 2
    return torch.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], -1)


def _orientations(joints: Tensor, axis: Tensor) -> Tensor:
    """World axes ``[T, 24, 3, 3]`` of the segments, whose third lies along the segment.

    Twist about that axis cannot be seen from joints. Legs and trunk take it from the line between the hips
    (the chest: between the shoulders); arms and head do not twist against the trunk. Inertia about the long
    axis is small, and the table does not tell the directions across it apart.
    """
    unit = axis / axis.norm(dim=-1, keepdim=True)
    hips = joints[:, _J["left_hip"]] - joints[:, _J["right_hip"]]
    shoulders = joints[:, _J["left_shoulder"]] - joints[:, _J["right_shoulder"]]
    made: list[Tensor] = []
    for joint, parent in enumerate(PARENTS):
        name = JOINT_NAMES[joint]
        if name not in _CARRIERS:
            made.append(made[parent])
        elif name.endswith(("shoulder", "head")):
            chest = made[_J["spine3"]]
            hanging = chest[..., 2] * (1.0 if name == "head" else -1.0)
            made.append(_shortest(hanging, unit[:, joint]) @ chest)
        elif name.endswith(("elbow", "wrist")):
            made.append(_shortest(unit[:, parent], unit[:, joint]) @ made[parent])
        else:
            made.append(_along(unit[:, joint], shoulders if name == "spine3" else hips))
    return torch.stack(made, 1)


_CARRIERS = frozenset(segment.joint for segment in segments())


def _along(third: Tensor, left: Tensor) -> Tensor:
    """Axes with the given third one, the second as near to `left` as may be."""
    left = left - (left * third).sum(-1, keepdim=True) * third
    left = left / left.norm(dim=-1, keepdim=True)
    return torch.stack([torch.linalg.cross(left, third), left, third], -1)


def _shortest(start: Tensor, end: Tensor) -> Tensor:
    """The rotation ``[T, 3, 3]`` without twist from one unit vector to another that is not its opposite."""
    x, y, z = torch.linalg.cross(start, end).unbind(-1)
    zero = torch.zeros_like(x)
    odd = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    one_plus = (1 + (start * end).sum(-1)).clamp(min=1e-6)[..., None, None]
    return torch.eye(3, dtype=start.dtype) + odd + odd @ odd / one_plus

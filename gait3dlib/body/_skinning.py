"""Rotations, forward kinematics, linear blend skinning and mesh volume, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


def from_axis_angle(axis_angle: Floats) -> F64:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] in radians (Rodrigues)."""
    vector = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    cross = np.zeros((*vector.shape[:-1], 3, 3))
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross[..., 1, 0], cross[..., 2, 0], cross[..., 2, 1] = z, -y, x
    # np.sinc(t) = sin(pi t) / (pi t): exact at zero, where sin(a) / a is not defined
    sine = np.sinc(angle / np.pi)
    cosine = np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + sine * cross + cosine * (cross @ cross))


def unit(vector: Floats) -> F64:
    """The vector [3] at length one."""
    return np.asarray(vector / np.linalg.norm(vector), np.float64)


def shortest_rotation(start: Floats, end: Floats) -> F64:
    """The rotation [3, 3] without twist that turns direction `start` [3] to `end` [3]."""
    a, b = unit(start), unit(end)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-12:
        return np.eye(3)
    return from_axis_angle(axis / sine * np.arctan2(sine, cosine))


def frame_rotation(start: tuple[Floats, Floats], end: tuple[Floats, Floats]) -> F64:
    """The rotation [3, 3] that takes one pair of perpendicular unit vectors to another pair."""

    def basis(pair: tuple[Floats, Floats]) -> F64:
        return np.stack([pair[0], pair[1], np.cross(*pair)], axis=1).astype(np.float64)

    return np.asarray(basis(end) @ basis(start).T)


def forward_kinematics(rotations: F64, offsets: F64, root: F64, parents: Sequence[int]) -> tuple[F64, F64]:
    """World rotations [T, J, 3, 3] and positions [T, J, 3] of a chain of joints.

    `rotations` [T, J, 3, 3] are relative to the parent, `offsets` [J, 3] lie in the parent's
    frame, `root` [T, 3] is the first joint's position. Parents precede their children.
    """
    turned = np.empty_like(rotations)
    positions = np.empty(rotations.shape[:-1])
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned[:, joint], positions[:, joint] = rotations[:, joint], root
            continue
        turned[:, joint] = turned[:, parent] @ rotations[:, joint]
        positions[:, joint] = positions[:, parent] + turned[:, parent] @ offsets[joint]
    return turned, positions


def local_coordinates(vertices: Floats, joints: Floats, rotations: Floats, weights: Floats) -> F32:
    """What skinning multiplies: [V, J * 4], each vertex in each joint's frame, times its weight.

    The frame of a joint sits at `joints` [J, 3] and is turned by `rotations` [J, 3, 3] between
    the pose in which the vertices are given and the pose whose frames are world-aligned.
    """
    # R (v - a) = R v - R a, for all joints in one product
    turned = vertices @ rotations.transpose(2, 0, 1).reshape(3, -1)
    shift = np.einsum("jab,jb->ja", rotations, joints).reshape(-1)
    local = np.empty((len(vertices), len(joints), 4), np.float32)
    local[:, :, :3] = (turned - shift).reshape(len(vertices), -1, 3)
    local[:, :, 3] = 1.0
    local *= weights[:, :, None]
    return local.reshape(len(vertices), -1)


def skin(local: F32, rotations: F64, positions: F64) -> F32:
    """Vertices float32 [T, V, 3] from local coordinates and the joints' world frames."""
    frames, joints = positions.shape[:2]
    stacked = np.empty((joints, 4, frames, 3), np.float32)
    stacked[:, :3] = rotations.transpose(1, 3, 0, 2)
    stacked[:, 3] = positions.transpose(1, 0, 2)
    # one product for all frames: far faster than a sum over joints
    posed = local @ stacked.reshape(joints * 4, frames * 3)
    return np.ascontiguousarray(posed.reshape(len(local), frames, 3).transpose(1, 0, 2))


def mesh_volume(vertices: Floats, faces: Ints) -> float:
    """Volume enclosed by a closed mesh with outward faces, in cubic metres (divergence theorem)."""
    # around the mean, so that float32 coordinates far from the origin lose no digits
    centred = (vertices - vertices.mean(axis=0)).astype(np.float64)
    x, y, z = centred.T
    a, b, c = faces.T
    determinant = (
        x[a] * (y[b] * z[c] - z[b] * y[c])
        + y[a] * (z[b] * x[c] - x[b] * z[c])
        + z[a] * (x[b] * y[c] - y[b] * x[c])
    )
    return float(determinant.sum() / 6)


def inflate(vertices: F32, faces: Ints, volume: float) -> F32:
    """The mesh moved outward along its normals, everywhere as far, until it holds `volume`."""
    corner = vertices[faces]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]) / 2
    normals = np.zeros(vertices.shape)
    for k in range(3):
        np.add.at(normals, faces[:, k], area)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    step = (volume - mesh_volume(vertices, faces)) / np.linalg.norm(area, axis=1).sum()
    return np.asarray(vertices + step * normals, np.float32)

"""Masses and inertias from a body's own mesh, and its motion from SMPL's pose."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import ShapedBody
from gait3dlib.dynamics._filter import low_pass
from gait3dlib.dynamics._kinematics import angular_motion
from gait3dlib.dynamics._tree import SegmentMotion
from gait3dlib.errors import InputError

F64 = NDArray[np.float64]
# joints whose skin is too small for a segment of its own go with their parent: toes with the foot, fingers
# with the hand, collars with the chest
_MERGED = {10: 7, 11: 8, 22: 20, 23: 21, 13: 9, 14: 9}


def mesh_segments(body: ShapedBody) -> tuple[F64, F64, F64]:
    """Mass shares ``[24]``, centres of mass ``[24, 3]`` from the joint, inertias ``[24, 3, 3]`` about them.

    The skin is cut where the joint that a face mostly follows changes, the cuts are closed at the joint
    between, and each closed part is filled evenly. All in the T-pose's axes, for a body of mass 1. The
    parts' volumes are scaled so that they add to the mesh's.
    """
    vertices = body.vertices.astype(np.float64)
    owner = _owners(body)
    corners, who = _closed_parts(vertices, body.faces.astype(np.int64), owner, body.joints)
    volume, first, second = _moments(corners, who)
    mass = volume / volume.sum()
    centre = np.zeros((24, 3))
    inertia = np.zeros((24, 3, 3))
    for joint in np.flatnonzero(mass > 0):
        middle = first[joint] / volume[joint]
        spread = second[joint] / volume[joint] - np.outer(middle, middle)
        inertia[joint] = mass[joint] * (np.trace(spread) * np.eye(3) - spread)
        centre[joint] = middle - body.joints[joint]
    return mass, centre, inertia


def _owners(body: ShapedBody) -> NDArray[np.int64]:
    """Which joint each face follows most."""
    weights = body.weights[body.faces].sum(axis=1).astype(np.float64)
    for small, large in _MERGED.items():
        weights[:, large] += weights[:, small]
        weights[:, small] = 0.0
    return np.asarray(weights.argmax(axis=1))


def _closed_parts(
    vertices: F64, faces: NDArray[np.int64], owner: NDArray[np.int64], joints: F64
) -> tuple[F64, NDArray[np.int64]]:
    """Triangles ``[N, 3, 3]`` that close every part, and each one's part ``[N]``."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    face_of = np.tile(np.arange(len(faces)), 3)
    key = edges[:, 0] * len(vertices) + edges[:, 1]
    order = np.argsort(key)
    back = edges[:, 1] * len(vertices) + edges[:, 0]
    twin = face_of[order[np.searchsorted(key[order], back).clip(0, len(key) - 1)]]
    mine, other = owner[face_of], owner[twin]
    cut = mine != other
    # the joint between two parts is that of the one further from the pelvis
    between = joints[np.maximum(mine, other)[cut]]
    caps = np.stack([vertices[edges[cut, 1]], vertices[edges[cut, 0]], between], axis=1)
    return np.concatenate([vertices[faces], caps]), np.concatenate([owner, mine[cut]])


def _moments(corners: F64, who: NDArray[np.int64]) -> tuple[F64, F64, F64]:
    """Volume ``[24]``, first ``[24, 3]`` and second moments ``[24, 3, 3]`` of closed triangle meshes.

    Sums over signed tetrahedra with the origin (divergence theorem).
    """
    six = np.einsum("na,na->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    total = corners.sum(axis=1)
    square = np.einsum("nka,nkb->nab", corners, corners) + total[:, :, None] * total[:, None, :]
    volume, first, second = np.zeros(24), np.zeros((24, 3)), np.zeros((24, 3, 3))
    np.add.at(volume, who, six / 6)
    np.add.at(first, who, six[:, None] * total / 24)
    np.add.at(second, who, six[:, None, None] * square / 120)
    return volume, first, second


def motion_of_body(
    body: ShapedBody, translation: F64, pose: F64, fps: float, cutoff_hz: float
) -> tuple[Tensor, Tensor, SegmentMotion]:
    """Masses ``[24]``, inertias ``[24, 3, 3]`` of a body of mass 1, and its segments' motion.

    Joints and orientations are filtered alike; a filtered orientation is the rotation nearest to the filtered
    matrix.
    """
    rotations = pose.reshape(-1, 24, 3)
    turned, joints = body.frames(rotations, translation)
    mass, centre, inertia = mesh_segments(body)
    if body.mass_kg <= 0:
        raise InputError("the body's mesh encloses no volume")
    value, velocity, acceleration = low_pass(torch.from_numpy(joints), fps, cutoff_hz)
    smooth, _, _ = low_pass(torch.from_numpy(turned), fps, cutoff_hz)
    u, _, vt = torch.linalg.svd(smooth)
    rotation = u @ vt
    spin, spin_up = angular_motion(rotation, fps, None)
    arm = (rotation @ torch.from_numpy(centre)[..., None])[..., 0]
    swing = torch.linalg.cross(spin, arm)
    centre_a = acceleration + torch.linalg.cross(spin_up, arm) + torch.linalg.cross(spin, swing)
    motion = SegmentMotion(rotation, value, velocity, value + arm, velocity + swing, centre_a, spin, spin_up)
    return torch.from_numpy(mass), torch.from_numpy(inertia), motion

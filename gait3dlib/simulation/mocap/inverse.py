"""Inverse kinematics: rotations of the 24 joints that bring them to measured places.

Damped least squares (Levenberg 1944; Marquardt 1963) over all frames at once. A turn of a joint by a small
``w`` (world axes) moves every joint below it by ``w x (p - p_joint)`` and turns every segment below it by
``w``; that is the whole Jacobian.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait3dlib.body import PARENTS
from gait3dlib.body._skinning import forward_kinematics

Array = NDArray[np.float64]
ITERATIONS = 4
DONE = 1e-4  # radians and metres
# joints that share the turn between two measured segments
CHAINS = ((0, 9, (3, 6, 9)), (9, 15, (12, 15)))
# a limb's joint, and the one it points to
NEXT = {1: 4, 2: 5, 4: 7, 5: 8, 13: 16, 14: 17, 16: 18, 17: 19, 18: 20, 19: 21}
FREE = (3, 6, 9, 12, 15, 10, 11, 20, 21, 22, 23)  # set by the chains, or as their parent
CHUNK = 64  # frames solved at once; bounds the memory


def _ancestors() -> NDArray[np.bool_]:
    """``[24, 24]``: whether joint i is at or above joint j."""
    table = np.eye(24, dtype=bool)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            table[:, joint] |= table[:, parent]
    return table


ABOVE = _ancestors()
"""``ABOVE[i, j]``: joint i is joint j or one of its ancestors."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What was measured; NaN where nothing was.

    Attributes:
        positions: ``[T, 24, 3]`` metres.
        orientations: ``[T, 24, 3, 3]`` of the segments in the world, identity in the T-pose.
        position_weights: ``[24]``.
        orientation_weights: ``[24]``, metres a radian.
        rest_weights: ``[24]``, metres a radian, how much a joint keeps to its rest rotation.
    """

    positions: Array
    orientations: Array
    position_weights: Array
    orientation_weights: Array
    rest_weights: Array


def solve(offsets: Array, targets: Targets) -> tuple[Array, Array]:
    """Local rotations ``[T, 24, 3, 3]`` and pelvis positions ``[T, 3]``.

    Args:
        offsets: ``[24, 3]`` of each joint from its parent in the T-pose; the pelvis' is not read.
        targets: at least the hips' positions and the pelvis' orientation in every frame.
    """
    rotations, root = first_guess(offsets, targets)
    for begin in range(0, len(root), CHUNK):
        part = slice(begin, begin + CHUNK)
        goal = dataclasses.replace(
            targets, positions=targets.positions[part], orientations=targets.orientations[part]
        )
        for _ in range(ITERATIONS):
            if _step(offsets, goal, rotations[part], root[part]) < DONE:
                break
    return rotations, root


def first_guess(offsets: Array, targets: Targets) -> tuple[Array, Array]:
    """Segments as measured or as their parent, then turned so that each limb points to its next joint."""
    frames = len(targets.positions)
    measured = targets.orientations
    pelvis = held(measured[:, 0])
    root = targets.positions[:, 1:3].mean(axis=1) - pelvis @ offsets[1:3].mean(axis=0)
    local = np.tile(np.eye(3), (frames, 24, 1, 1))
    for upper, lower, chain in CHAINS:
        between = rotation_vector(held(measured[:, upper].swapaxes(1, 2) @ measured[:, lower]))
        local[:, list(chain)] = rotation_matrix(between / len(chain))[:, None]
    local[:, 0] = pelvis
    for joint in [joint for joint in range(1, 24) if joint not in FREE]:
        world, places = forward_kinematics(local, offsets, root, PARENTS)
        lost = np.asarray(np.isnan(measured[:, joint]).any(axis=(1, 2)))[:, None, None]
        turned = np.where(lost, world[:, joint], measured[:, joint])
        if (child := NEXT.get(joint)) is not None:
            away = targets.positions[:, child] - places[:, joint]
            turned = np.where(np.isnan(away)[..., None], turned, _aimed(turned, offsets[child], away))
        local[:, joint] = world[:, PARENTS[joint]].swapaxes(1, 2) @ turned
    return local, root


def held(rotations: Array) -> Array:
    """Rotations ``[T, 3, 3]`` with gaps filled by the nearest frame that has one, or by none at all."""
    seen = np.flatnonzero(~np.isnan(rotations).any(axis=(1, 2)))
    if not len(seen):
        return np.tile(np.eye(3), (len(rotations), 1, 1))
    nearest = np.abs(np.arange(len(rotations))[:, None] - seen).argmin(axis=1)
    return np.asarray(rotations[seen[nearest]])


def _aimed(rotations: Array, bone: Array, away: Array) -> Array:
    """The rotations, turned the shortest way so that ``bone`` [3] points along ``away`` [T, 3]."""
    now = rotations @ (bone / np.linalg.norm(bone))
    wanted = away / np.linalg.norm(away, axis=1, keepdims=True)
    axis = np.cross(now, wanted)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, np.sum(now * wanted, axis=1, keepdims=True))
    return np.asarray(rotation_matrix(np.nan_to_num(axis / np.maximum(sine, 1e-12) * angle)) @ rotations)


def _step(offsets: Array, goal: Targets, rotations: Array, root: Array) -> float:
    """One damped Gauss-Newton step, in place; returns the greatest change (radians, metres)."""
    world, places = forward_kinematics(rotations, offsets, root, PARENTS)
    frames = len(root)
    system, right = np.zeros((frames, 75, 75)), np.zeros((frames, 75))
    for joint in range(24):
        seen = np.asarray(~np.isnan(goal.positions[:, joint]).any(axis=1))
        if (weight := goal.position_weights[joint]) and seen.any():
            jacobian = np.zeros((frames, 3, 75))
            jacobian[:, :, 72:] = np.eye(3)
            for above in np.flatnonzero(ABOVE[:, joint]):
                jacobian[:, :, 3 * above : 3 * above + 3] = -_cross(places[:, joint] - places[:, above])
            miss = np.where(seen[:, None], goal.positions[:, joint] - places[:, joint], 0.0)
            _add(system, right, jacobian * seen[:, None, None], miss, weight)
        seen = np.asarray(~np.isnan(goal.orientations[:, joint]).any(axis=(1, 2)))
        if (weight := goal.orientation_weights[joint]) and seen.any():
            jacobian = np.zeros((frames, 3, 75))
            for above in np.flatnonzero(ABOVE[:, joint]):
                jacobian[:, :, 3 * above : 3 * above + 3] = np.eye(3)
            wanted = np.where(seen[:, None, None], goal.orientations[:, joint], world[:, joint])
            miss = rotation_vector(wanted @ world[:, joint].swapaxes(1, 2))
            _add(system, right, jacobian * seen[:, None, None], miss, weight)
        if (weight := goal.rest_weights[joint]) and joint:
            jacobian = np.zeros((frames, 3, 75))
            jacobian[:, :, 3 * joint : 3 * joint + 3] = world[:, PARENTS[joint]].swapaxes(1, 2)
            _add(system, right, jacobian, -rotation_vector(rotations[:, joint]), weight)
    system += 1e-6 * np.eye(75)
    change = np.asarray(np.linalg.solve(system, right[..., None])[..., 0], np.float64)
    turns = rotation_matrix(change[:, :72].reshape(frames, 24, 3))
    ground = np.broadcast_to(np.eye(3), (frames, 3, 3))
    for joint, parent in enumerate(PARENTS):
        frame = ground if parent < 0 else world[:, parent]
        rotations[:, joint] = frame.swapaxes(1, 2) @ turns[:, joint] @ frame @ rotations[:, joint]
    root += change[:, 72:]
    return float(np.abs(change).max())


def _add(system: Array, right: Array, jacobian: Array, miss: Array, weight: float) -> None:
    turned = jacobian.swapaxes(1, 2) * weight**2
    system += turned @ jacobian
    right += (turned @ miss[..., None])[..., 0]


def _cross(vector: Array) -> Array:
    out = np.zeros((len(vector), 3, 3))
    x, y, z = vector.T
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -z, y, -x
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = z, -y, x
    return out


def rotation_vector(matrices: Array) -> Array:
    """Rotation vectors ``[..., 3]`` in radians of matrices ``[..., 3, 3]``."""
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(flat, np.float64).reshape(matrices.shape[:-1])


def rotation_matrix(vectors: Array) -> Array:
    """Matrices ``[..., 3, 3]`` of rotation vectors ``[..., 3]`` in radians."""
    flat = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return np.asarray(flat, np.float64).reshape(*vectors.shape, 3)

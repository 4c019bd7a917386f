"""A measured walk on the body's own skeleton.

The skeleton is our body's, each limb as long as the person's; its rotations are what a walker of another
size can take over. A foot that stands still has a flat sole: that fixes where each person's feet point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import PARENTS, Body, BodyShape, ShapedBody
from gait3dlib.body._skinning import forward_kinematics
from gait3dlib.simulation.mocap.inverse import Targets, first_guess, solve
from gait3dlib.simulation.mocap.measured import Measured

Array = NDArray[np.float64]
LIMBS = (4, 5, 7, 8, 10, 11, 18, 19, 20, 21)  # bones from the parent whose length is measured
COMPARED = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)  # joints that the error is the mean of
FPS = 60.0  # at most; faster recordings are thinned


@dataclass(frozen=True, eq=False)
class Capture:
    """A walk as local rotations of the 24 joints.

    Attributes:
        rotations: ``[T, 24, 3, 3]``.
        pelvis: ``[T, 3]`` the pelvis joint's place in the world, metres, z up.
        offsets: ``[24, 3]`` of each joint from its parent in the T-pose.
        fps: frames a second.
        error_m: ``[T, 12]`` distance of the joints ``COMPARED`` from where they were measured; NaN unknown.
    """

    rotations: Array
    pelvis: Array
    offsets: Array
    fps: float
    error_m: Array

    @property
    def leg_m(self) -> float:
        """Hip to ankle, mean of both legs."""
        return float(np.linalg.norm(self.offsets[[4, 5, 7, 8]], axis=1).sum() / 2)

    def joints(self) -> Array:
        """Places of all joints ``[T, 24, 3]``."""
        return forward_kinematics(self.rotations, self.offsets, self.pelvis, PARENTS)[1]


@lru_cache(maxsize=1)
def average_body() -> ShapedBody:
    """The body whose joints' directions the skeletons take, and that real walks are shown on."""
    return Body.load("low").shape(BodyShape(35.0, "male", 1.70, 68.0))


def fit(measured: Measured) -> Capture:
    """Fit our skeleton to a measured walk."""
    measured = measured.every(max(1, round(measured.fps / FPS)))
    offsets = _lengths(measured.positions)
    rotations, pelvis = first_guess(offsets, _targets(_without_arms(measured), shoulders=0.0))
    # where the shoulders hang on this person's thorax
    world, places = forward_kinematics(rotations, offsets, pelvis, PARENTS)
    for joint in (16, 17):
        miss = measured.positions[:, joint] - places[:, joint]
        own = np.einsum("tji,tj->ti", world[:, PARENTS[joint]], miss)
        offsets[joint] += np.nan_to_num(np.nanmedian(own, axis=0))
    rotations, pelvis = solve(offsets, _targets(measured, shoulders=1.0))
    world, places = forward_kinematics(rotations, offsets, pelvis, PARENTS)
    _flatten_feet(rotations, world, places, measured.fps)
    error = np.linalg.norm(places - measured.positions, axis=2)[:, list(COMPARED)]
    return Capture(rotations, pelvis, offsets, measured.fps, error)


def _without_arms(measured: Measured) -> Measured:
    positions = measured.positions.copy()
    positions[:, 16:24] = np.nan
    return Measured(positions, measured.orientations, measured.fps)


def _lengths(positions: Array) -> Array:
    """Offsets ``[24, 3]`` of our body with this person's lengths."""
    rest = average_body().joints
    offsets = rest - rest[np.array(PARENTS)]

    def length(points: Array) -> float:
        return float(np.nanmedian(np.linalg.norm(points, axis=1)))

    def between(a: int, b: int) -> float:
        return length(positions[:, a] - positions[:, b]) / float(np.linalg.norm(rest[a] - rest[b]))

    middle = [positions[:, a : a + 2].mean(axis=1) for a in (1, 16)]
    trunk = length(middle[1] - middle[0]) / float(np.linalg.norm(rest[16:18].mean(0) - rest[1:3].mean(0)))
    hips = between(1, 2)
    for joint in range(1, 24):
        if joint in LIMBS:
            measured = length(positions[:, joint] - positions[:, PARENTS[joint]])
            own = float(np.linalg.norm(offsets[joint]))
            offsets[joint] *= measured / own if np.isfinite(measured) else hips
        else:
            offsets[joint] *= hips if joint in (1, 2) else trunk
    width = float(np.nanmedian(np.linalg.norm(positions[:, 16] - positions[:, 17], axis=1))) / 2
    for joint, side in ((16, 1.0), (17, -1.0)):
        offsets[joint, 1] = side * (width - abs(offsets[joint - 3, 1]))
    return np.asarray(offsets)


def _targets(measured: Measured, shoulders: float) -> Targets:
    place, turn, rest = np.zeros(24), np.zeros(24), np.full(24, 0.02)
    place[[1, 2, 4, 5, 7, 8]] = 1.0
    place[[16, 17, 18, 19, 20, 21]] = shoulders
    place[[10, 11]] = 0.1
    turn[[0, 9, 15]] = 0.5
    turn[[1, 2, 4, 5, 16, 17, 18, 19]] = 0.05  # the twist; places give the direction
    turn[[7, 8]] = 0.5
    rest[[1, 2, 4, 5, 7, 8, 16, 17, 18, 19]] = 0.002
    rest[[13, 14]] = 0.1
    return Targets(measured.positions, measured.orientations, place, turn, rest)


def _flatten_feet(rotations: Array, world: Array, places: Array, fps: float) -> None:
    """Turn both ankles by the constant pitch and roll that make the feet flat while they stand still."""
    for side in (0, 1):
        ankle, toes = 7 + side, 10 + side
        speed = np.linalg.norm(np.gradient(places[:, [ankle, toes]], axis=0), axis=2).max(axis=1) * fps
        still = speed <= np.quantile(speed, 0.12)
        up = np.median(world[still, ankle][:, 2], axis=0)  # the world's up, seen by the foot
        up /= np.linalg.norm(up)
        ahead = np.cross(np.array([0.0, 1.0, 0.0]), up)
        ahead /= np.linalg.norm(ahead)
        level = np.stack([ahead, np.cross(up, ahead), up])  # rows: what is level, in the foot's frame
        rotations[:, ankle] = rotations[:, ankle] @ level.T

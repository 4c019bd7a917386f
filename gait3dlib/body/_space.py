"""The baked shape space: bodies at the corners of a grid, and everything between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body._numbers import AXES, stretched
from gait3dlib.body._shaped import t_pose_joints, t_pose_rotations
from gait3dlib.body._skinning import F32, F64, mesh_volume

# Years against anny's age, from anny's own calibration to the WHO's growth charts
# (anny 0.6.2, data/shape_calibration).
_YEARS = (0.0, 1.0, 4.0, 11.0, 16.0, 18.0, 64.0, 110.0)
_MATURITY = (0.0, 0.05, 0.215, 0.415, 0.67, 0.77, 0.83, 1.0)


@dataclass(frozen=True)
class Mesh:
    """One level of detail: its triangles, and what follows the skeleton."""

    faces: NDArray[np.int32]
    weights: F32
    landmark_index: NDArray[np.int64]
    landmark_weights: F32


@dataclass(frozen=True)
class Candidate:
    """A full mesh at some point of the shape space."""

    bind: F32
    bind_joints: F64
    rotations: F64
    joints: F64
    vertices: F32
    height: float
    volume: float
    numbers: F64


# vertices and joints over (muscle, weight, height), and (age, female, proportions) of anny's axes
Corners = tuple[F32, F64, tuple[float, float, float]]


class Space:
    """Reads the asset, and mixes its bodies; anny is multilinear between the corners of the grid."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        fine = arrays["fine"] * arrays["fine_step"][:, None]
        rest = arrays["rest"] * arrays["rest_step"][:, None]
        self._mean: F32 = arrays["mean"]
        self._basis: F32 = np.concatenate([fine, rest]).astype(np.float32)
        self._joints_mean: F64 = arrays["joints_mean"].astype(np.float64)
        self._joints_basis: F64 = arrays["joints_basis"].astype(np.float64)
        axes = ("age", "gender", "muscle", "weight", "height", "proportions")
        self._knots = [arrays[f"knots_{name}"] for name in axes]
        scores = arrays["scores"].astype(np.float64)
        self._scores = scores.reshape(*(len(k) for k in self._knots), scores.shape[1])
        self.mesh = full_mesh(arrays)

    @property
    def knots(self) -> list[NDArray[Any]]:
        """Where the grid lies along maturity, female, muscle, weight, stature and proportions."""
        return self._knots

    @property
    def scores(self) -> F64:
        """Component scores [age, gender, muscle, weight, height, proportions, C] of the grid's bodies."""
        return self._scores

    @property
    def components(self) -> tuple[F32, F32, F64, F64]:
        """Mean and basis of the vertices [V * 3], [C, V * 3] and of the joints [72], [C, 72]."""
        return self._mean, self._basis, self._joints_mean, self._joints_basis

    def corners(self, age_years: float, female: bool, proportions: float) -> Corners:
        """Bodies over (muscle, weight, height) at one age, gender and proportions.

        Vertices [3 * 3 * 2, V * 3] and joints [3 * 3 * 2, 24 * 3], in the bind pose.
        """
        return self._corners(maturity(age_years), float(female), proportions)

    def _corners(self, age: float, female: float, proportions: float) -> Corners:
        scores = np.tensordot(_hat(self._knots[0], age), self._scores, 1)
        scores = np.tensordot(_hat(self._knots[1], female), scores, 1)
        scores = np.tensordot(scores, _hat(self._knots[5], proportions), ([3], [0]))
        flat = scores.reshape(-1, scores.shape[-1])
        vertices = flat.astype(np.float32) @ self._basis + self._mean
        return vertices, flat @ self._joints_basis + self._joints_mean, (age, female, proportions)

    def at(self, numbers: F64) -> Candidate:
        """The body that ten numbers describe; see :data:`gait3dlib.body.SHAPE_NAMES`."""
        age, female, muscle, weight, stature, proportions = (float(n) for n in numbers[:AXES])
        return self.build(self._corners(age, female, proportions), muscle, weight, stature, numbers[AXES:])

    def build(
        self, corners: Corners, muscle: float, weight: float, stature: float, stretch: F64 | None = None
    ) -> Candidate:
        """The body at a point of anny's axes muscle, weight and height."""
        knots = self._knots
        mix = np.einsum(
            "i,j,k->ijk", _hat(knots[2], muscle), _hat(knots[3], weight), _hat(knots[4], stature)
        ).reshape(-1)
        bind = (mix.astype(np.float32) @ corners[0]).reshape(-1, 3)
        bind_joints = (mix @ corners[1]).reshape(-1, 3)
        stretch = np.zeros(4) if stretch is None else stretch
        if stretch.any():
            bind, bind_joints = stretched(bind, bind_joints, self.mesh.weights, stretch)
        rotations = t_pose_rotations(bind_joints)
        joints = t_pose_joints(bind_joints, rotations)
        vertices = blend(bind, self.mesh.weights, bind_joints, rotations, joints)
        height = float(vertices[:, 2].max() - vertices[:, 2].min())
        volume = mesh_volume(vertices, self.mesh.faces)
        age, female, proportions = corners[2]
        numbers = np.array([age, female, muscle, weight, stature, proportions, *stretch])
        return Candidate(bind, bind_joints, rotations, joints, vertices, height, volume, numbers)


def maturity(age_years: float) -> float:
    """anny's age of a person of so many years."""
    return float(np.interp(age_years, _YEARS, _MATURITY))


def age_of(age: float) -> float:
    """Years of a person of anny's age; the inverse of :func:`maturity`."""
    return float(np.interp(age, _MATURITY, _YEARS))


def full_mesh(arrays: dict[str, NDArray[Any]]) -> Mesh:
    joints, stored = arrays["skin_joints"], arrays["skin_weights"]
    weights = np.zeros((len(joints), 24), np.float32)
    np.put_along_axis(weights, joints.astype(np.int64), stored.astype(np.float32), axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return Mesh(
        frozen(arrays["faces"].astype(np.int32)),
        frozen(weights),
        arrays["landmark_index"].astype(np.int64),
        arrays["landmark_weights"],
    )


def low_mesh(arrays: dict[str, NDArray[Any]], full_weights: F32) -> Mesh:
    weights = (full_weights[arrays["low_index"]] * arrays["low_weights"][:, :, None]).sum(axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return Mesh(
        frozen(arrays["low_faces"].astype(np.int32)),
        frozen(weights),
        arrays["low_landmark_index"].astype(np.int64),
        arrays["low_landmark_weights"],
    )


def blend(bind: F32, weights: F32, bind_joints: F64, rotations: F64, joints: F64) -> F32:
    """Vertices [V, 3] in the T-pose: blend the joints' transforms, then apply them."""
    shift = joints - np.einsum("jab,jb->ja", rotations, bind_joints)
    stacked = np.concatenate([rotations.reshape(24, 9), shift], axis=1)
    blended = weights @ stacked.astype(np.float32)
    turned = (blended[:, :9].reshape(-1, 3, 3) @ bind[:, :, None])[:, :, 0]
    return np.asarray(turned + blended[:, 9:], np.float32)


def _hat(knots: NDArray[Any], value: float) -> F64:
    """Linear interpolation weights [knots] at a value; beyond the ends, the last segment goes on."""
    high = int(np.clip(np.searchsorted(knots, value), 1, len(knots) - 1))
    weights = np.zeros(len(knots))
    share = (value - knots[high - 1]) / (knots[high] - knots[high - 1])
    weights[high - 1], weights[high] = 1 - share, share
    return weights


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, read-only."""
    array.flags.writeable = False
    return array

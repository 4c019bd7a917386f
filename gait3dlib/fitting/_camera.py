"""A pinhole camera on torch, and pixels lifted into the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.errors import InputError
from gait3dlib.types import Calibration

F64 = NDArray[np.float64]
# a level camera in the world's origin: its x is the world's -y, its y -z, its z (forward) x
LEVEL = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Camera:
    """Where a camera stands and how it draws.

    Attributes:
        rotation: [3, 3] and
        shift: [3], from the world to the camera (x right, y down, z forward).
        focal: [2] and
        centre: [2], pixels.
        placed: whether its place in the world is known; otherwise it is taken to be level.
    """

    rotation: F64
    shift: F64
    focal: F64
    centre: F64
    placed: bool

    @staticmethod
    def of(calibration: Calibration) -> Camera:
        """From a stream's calibration.

        Raises:
            InputError: a focal length or matrix that no camera has.
        """
        placed = calibration.extrinsics is not None
        matrix = np.asarray(calibration.extrinsics if placed else LEVEL, np.float64)
        focal = np.array([calibration.fx, calibration.fy], np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not (focal > 0).all():
            raise InputError(
                "the calibration's focal length must be above 0 and its extrinsics a 4 x 4 matrix"
            )
        if np.abs(matrix[:3, :3] @ matrix[:3, :3].T - np.eye(3)).max() > 1e-3:
            raise InputError("the calibration's extrinsics must hold a rotation and a shift, in metres")
        centre = np.array([calibration.cx, calibration.cy], np.float64)
        return Camera(matrix[:3, :3], matrix[:3, 3], focal, centre, placed)

    @property
    def position(self) -> F64:
        """[3], in the world."""
        return np.asarray(-self.rotation.T @ self.shift)

    def project(self, points: Tensor) -> Tensor:
        """Columns and rows [..., 2] of world points [..., 3]; points behind are drawn as just in front."""
        seen = points @ torch.as_tensor(self.rotation.T.copy()) + torch.as_tensor(self.shift)
        depth = seen[..., 2:].clamp_min(0.1)
        return seen[..., :2] / depth * torch.as_tensor(self.focal) + torch.as_tensor(self.centre)

    def depth(self, points: F64) -> F64:
        """[...], metres along the optical axis, of world points [..., 3]."""
        return np.asarray(points @ self.rotation[2] + self.shift[2])

    def lift(self, pixels: F64, depth: F64) -> F64:
        """World points [..., 3] of pixels [..., 2] at a depth [...]."""
        flat = (pixels - self.centre) / self.focal
        seen = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], axis=-1) * np.asarray(depth)[..., None]
        return np.asarray((seen - self.shift) @ self.rotation)


def triangulate(cameras: list[Camera], pixels: list[F64], weights: list[F64]) -> F64:
    """World points [T, K, 3] from pixels [T, K, 2] in several views (direct linear transform).

    NaN where fewer than two views have a weight [T, K] above 0.
    Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 12.2.
    """
    rows = []
    for camera, seen, weight in zip(cameras, pixels, weights, strict=True):
        flat = (np.nan_to_num(seen) - camera.centre) / camera.focal
        matrix = np.concatenate([camera.rotation, camera.shift[:, None]], axis=1)
        both = flat[..., None] * matrix[2] - matrix[:2]
        rows.append(both * weight[..., None, None])
    stacked = np.concatenate(rows, axis=-2)
    a, b = stacked[..., :3], -stacked[..., 3:]
    square = np.swapaxes(a, -1, -2) @ a + 1e-12 * np.eye(3)
    found = np.linalg.solve(square, np.swapaxes(a, -1, -2) @ b)[..., 0]
    enough = np.sum([w > 0 for w in weights], axis=0) >= 2
    return np.where(enough[..., None], found, np.nan)

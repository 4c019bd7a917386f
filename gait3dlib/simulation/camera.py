"""A pinhole camera that sees a mesh by ray casting.

Pixel (column, row) has its centre at exactly (column, row) in the coordinates of the calibration: a world
point that projects to (100.0, 50.0) is seen by pixel [50, 100].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.rays import RayMesh
from gait3dlib.types import Calibration

FARTHEST_M = 1e3  # what lies farther is not seen


def look_at(
    position: NDArray[np.floating[Any]],
    target: NDArray[np.floating[Any]],
    *,
    width: int = 1280,
    height: int = 960,
    field_of_view_deg: float = 60.0,
) -> Calibration:
    """An upright camera at ``position`` whose optical axis goes through ``target`` (world, metres, z up).

    Args:
        position: ``[3]``.
        target: ``[3]``.
        width: pixels.
        height: pixels.
        field_of_view_deg: horizontal.

    Raises:
        InputError: the target is the position, or straight above or below it.
    """
    forward = np.asarray(target, dtype=np.float64) - np.asarray(position, dtype=np.float64)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-9:
        raise InputError("the camera must look at a point that is not straight above or below it")
    forward /= np.linalg.norm(forward)
    right /= np.linalg.norm(right)
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    extrinsics[:3, 3] = -extrinsics[:3, :3] @ np.asarray(position, dtype=np.float64)
    focal = width / 2 / np.tan(np.deg2rad(field_of_view_deg) / 2)
    return Calibration(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, extrinsics)


def project(calibration: Calibration, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Columns, rows and depths ``[..., 3]`` (pixels, pixels, metres) of world points ``[..., 3]``."""
    matrix = _extrinsics(calibration)
    seen = points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    depth = seen[..., 2]
    column = calibration.fx * seen[..., 0] / depth + calibration.cx
    row = calibration.fy * seen[..., 1] / depth + calibration.cy
    return np.stack([column, row, depth], axis=-1)


def pixel_rays(
    calibration: Calibration, columns: NDArray[np.floating[Any]], rows: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """World directions ``[..., 3]`` through pixel coordinates, scaled so that their length is along the
    optical axis 1: a hit at distance d along one has depth d."""
    x = (columns - calibration.cx) / calibration.fx
    y = (rows - calibration.cy) / calibration.fy
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ _extrinsics(calibration)[:3, :3]
    return rays.astype(np.float32)


def camera_position(calibration: Calibration) -> NDArray[np.float64]:
    """Where the camera stands in the world ``[3]``."""
    matrix = _extrinsics(calibration)
    return -matrix[:3, :3].T @ matrix[:3, 3]


class Scene:
    """One mesh to cast rays at; cameras share it.

    Args:
        vertices: ``[V, 3]`` metres.
        faces: int ``[F, 3]``.

    Raises:
        MissingDependency: the ``simulation`` extra is not installed.
    """

    def __init__(self, vertices: NDArray[np.floating[Any]], faces: NDArray[np.integer[Any]]) -> None:
        self._mesh = RayMesh(vertices, faces)

    def depth(
        self, calibration: Calibration, columns: NDArray[np.floating[Any]], rows: NDArray[np.floating[Any]]
    ) -> NDArray[np.float32]:
        """Depth along the optical axis in metres at pixel coordinates, 0 where nothing is hit."""
        rays = pixel_rays(calibration, columns, rows)
        distance = self._mesh.distance(camera_position(calibration), rays.reshape(-1, 3))
        return np.where(distance < FARTHEST_M, distance, np.float32(0)).reshape(rays.shape[:-1])


def look_in_box(
    scene: Scene,
    calibration: Calibration,
    box: NDArray[np.floating[Any]],
    size: int,
    tight: NDArray[np.floating[Any]],
) -> NDArray[np.float32]:
    """Depth of a square crop ``[size, size]``; one ray a pixel of the crop, straight from the camera.

    Args:
        scene: what stands there.
        calibration: the camera.
        box: x, y, width, height of the crop in the full image; pixel i of the crop has its centre at
            ``x + (i + 0.5) * width / size - 0.5``.
        size: pixels of the crop.
        tight: x, y, width, height around the person; no ray is cast outside.
    """
    columns = box[0] + (np.arange(size) + 0.5) * box[2] / size - 0.5
    rows = box[1] + (np.arange(size) + 0.5) * box[3] / size - 0.5
    left, right = _inside(columns, tight[0], tight[0] + tight[2], calibration.width)
    top, bottom = _inside(rows, tight[1], tight[1] + tight[3], calibration.height)
    out = np.zeros((size, size), dtype=np.float32)
    if right > left and bottom > top:
        grid_x, grid_y = np.meshgrid(columns[left:right], rows[top:bottom])
        out[top:bottom, left:right] = scene.depth(calibration, grid_x, grid_y)
    return out


def _inside(centres: NDArray[np.float64], low: float, high: float, limit: int) -> tuple[int, int]:
    start, stop = np.searchsorted(centres, (max(low - 1, -0.5), min(high + 1, limit - 0.5)))
    return int(start), int(stop)


def _extrinsics(calibration: Calibration) -> NDArray[np.float64]:
    if calibration.extrinsics is None:
        raise InputError("the calibration must say where the camera stands (extrinsics)")
    return calibration.extrinsics

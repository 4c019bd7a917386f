"""The ground in a point cloud: a plane by RANSAC, and how the floor departs from it from place to place.

Candidates for the plane go through three of the lowest points of a coarse grid, and are judged by how many of
those they explain and how many lie below them [1]; the best is refined by least squares.

[1] M. A. Fischler, R. C. Bolles, "Random sample consensus", Communications of the ACM 24, 1981.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gait3dlib.errors import InputError

Points = NDArray[np.floating[Any]]

CELL_M = 0.75
TOLERANCE_M = 0.08
TRIES = 600
MAX_TILT_DEG = 40.0
MAX_RANGE_M = 40.0
MIN_CELLS = 8
MIN_WIDTH_M = 1.0  # a line of points is no floor
MIN_HEIGHT_M = 0.15  # of the sensor above it
UNEVEN_M = 0.4  # how far a floor may lie from the plane
NEAR_M, RASTER_M = 3.0, 0.5
MILLIMETRES_M = 500.0  # LiDARs of people do not see as far


@dataclass(frozen=True, eq=False)
class Ground:
    """A ground plane.

    Args:
        matrix: ``[4, 4]`` takes points of the sensor's frame to the level one: z is the height above the
            ground, x and y keep the sensor's foot as origin and its forward direction.
        height_m: of the sensor above the ground.
        tilt_deg: between the sensor's z and up.
        share: part of the lowest points that lie on it.
    """

    matrix: NDArray[np.float64]
    height_m: float
    tilt_deg: float
    share: float

    def level(self, xyz: Points) -> NDArray[np.float32]:
        """Points ``[n, 3]`` of the sensor's frame in the level frame."""
        turn, shift = self.matrix[:3, :3].astype(np.float32), self.matrix[:3, 3].astype(np.float32)
        return np.asarray(xyz.astype(np.float32) @ turn.T + shift, dtype=np.float32)


def checked(points: Points) -> NDArray[np.float32]:
    """Points ``[n, >= 3]`` without those that are not finite or at the sensor itself.

    Raises:
        InputError: not an array of points, or not in metres.
    """
    points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] < 3:
        raise InputError(f"points must be of shape [n, 4] (x, y, z, intensity), not {list(points.shape)}")
    good = np.isfinite(points).all(axis=1) & (np.abs(points[:, :3]).max(axis=1, initial=0) > 0)
    points = points[good]
    if len(points) and float(np.median(np.abs(points[:, :3]).max(axis=1))) > MILLIMETRES_M:
        raise InputError("the points seem to be in millimetres; divide x, y and z by 1000")
    return points


def find_ground(points: Points, *, max_tilt_deg: float = MAX_TILT_DEG, seed: int = 0) -> Ground:
    """The plane that people walk on, from one scan or several in one array.

    Args:
        points: ``[n, >= 3]`` metres in the sensor's frame, z roughly up.
        max_tilt_deg: largest angle between the sensor's z and up.
        seed: of the draws.

    Raises:
        InputError: no ground is seen.
    """
    xyz = checked(points)[:, :3].astype(np.float64)
    xyz = xyz[np.linalg.norm(xyz, axis=1) < MAX_RANGE_M]
    low = _lowest(xyz)
    best = _ransac(low, np.cos(np.deg2rad(max_tilt_deg)), np.random.default_rng(seed))
    if best is None:
        raise _nothing()
    normal, height = best
    for tolerance in (2 * TOLERANCE_M, TOLERANCE_M, TOLERANCE_M):
        on = xyz[np.abs(xyz @ normal + height) < tolerance]
        if len(on) < 3:
            raise _nothing()
        normal, height = _through(on)
    on = low[np.abs(low @ normal + height) < TOLERANCE_M]
    spread = np.linalg.svd(on - on.mean(axis=0), compute_uv=False)[1] if len(on) >= MIN_CELLS else 0.0
    if height < MIN_HEIGHT_M or spread / np.sqrt(max(len(on), 1)) < MIN_WIDTH_M / np.sqrt(12):
        raise _nothing()
    matrix = np.eye(4)
    matrix[:3, :3] = _upright(normal)
    matrix[2, 3] = height
    tilt = float(np.rad2deg(np.arccos(np.clip(normal[2], -1, 1))))
    return Ground(matrix, float(height), tilt, len(on) / len(low))


def _nothing() -> InputError:
    return InputError(
        "no ground is seen; mount the sensor so that it sees a few square metres of floor, upright to within "
        f"{MAX_TILT_DEG:g} degrees"
    )


def _lowest(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest point of each cell of a horizontal grid."""
    if len(xyz) < 3:
        raise _nothing()
    order = np.argsort(xyz[:, 2])
    cells = np.floor(xyz[order, :2] / CELL_M).astype(np.int64)
    _, first = np.unique(cells[:, 0] * 100_003 + cells[:, 1], return_index=True)
    return xyz[order[first]]


def _ransac(
    low: NDArray[np.float64], least_up: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float] | None:
    if len(low) < MIN_CELLS:
        return None
    a, b, c = (low[rng.integers(len(low), size=TRIES)] for _ in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-9)[:, None]
    normals[normals[:, 2] < 0] *= -1
    heights = -(normals * a).sum(axis=1)
    away = low @ normals.T + heights
    score = (np.abs(away) < TOLERANCE_M).sum(axis=0) - 2.0 * (away < -2 * TOLERANCE_M).sum(axis=0)
    score[(length < 1e-6) | (normals[:, 2] < least_up) | (heights < MIN_HEIGHT_M)] = -np.inf
    best = int(np.argmax(score))
    explained = (np.abs(away[:, best]) < TOLERANCE_M).sum()
    return (normals[best], float(heights[best])) if score[best] > -np.inf and explained >= MIN_CELLS else None


def _through(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The plane through points by least squares: its upward normal and the origin's height above it."""
    centre = points.mean(axis=0)
    _, vectors = np.linalg.eigh((points - centre).T @ (points - centre))
    normal = vectors[:, 0] if vectors[2, 0] > 0 else -vectors[:, 0]
    return normal, float(-normal @ centre)


def _upright(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that takes ``normal`` to z (Rodrigues)."""
    axis = np.cross(normal, [0.0, 0.0, 1.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + normal[2]))


class Floor:
    """How high the floor lies above the ground plane, place by place: kerbs, ramps, a bent yard.

    Args:
        level: ``[n, 3]`` points in a level frame; people among them do no harm.
        origin: ``[2]`` where that frame's origin lies in the one that is asked about.
    """

    def __init__(self, level: Points, origin: Points | None = None) -> None:
        near = level[(np.abs(level[:, 2]) < UNEVEN_M) & (np.hypot(level[:, 0], level[:, 1]) < MAX_RANGE_M)]
        low = _lowest(near.astype(np.float64)) if len(near) >= 3 else np.zeros((1, 3))
        self._shift = np.zeros(2) if origin is None else np.asarray(origin, dtype=np.float64)
        side = int(MAX_RANGE_M / RASTER_M)
        steps = (np.arange(2 * side) - side + 0.5) * RASTER_M
        places = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        count = min(7, len(low))
        away, index = cKDTree(low[:, :2]).query(places, k=[*range(1, count + 1)], distance_upper_bound=NEAR_M)
        heights = np.where(np.isfinite(away), low[np.minimum(index, len(low) - 1), 2], np.nan)
        known = np.isfinite(heights[:, 0])
        raster = np.zeros(len(places), np.float32)
        raster[known] = np.nanmedian(heights[known], axis=1)
        self._raster = raster.reshape(2 * side, 2 * side)

    def at(self, xy: Points) -> NDArray[np.float32]:
        """Heights ``[n]`` at places ``[n, 2]``; 0 where no floor is near."""
        side = len(self._raster) // 2
        cell = np.floor((xy - self._shift) / RASTER_M).astype(np.int64) + side
        cell = cell.clip(0, 2 * side - 1)
        return np.asarray(self._raster[cell[:, 0], cell[:, 1]])

"""Closed meshes that things are made of. Faces are outward; sizes in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.outfit._outline import angles, directions

F64 = NDArray[np.float64]
Faces = NDArray[np.int32]
Solid = tuple[F64, Faces]
BAR_SIDES = 6


def rounded_box(size: tuple[float, float, float], *, sharpness: float, top: float = 1.0) -> Solid:
    """A superellipsoid of that size around the origin.

    Args:
        size: along x, y and z.
        sharpness: 2 = an ellipsoid; the larger, the more of a box.
        top: width of the upper end over that of the lower.
    """
    rows, columns = 9, 20
    polar = np.linspace(-np.pi / 2, np.pi / 2, rows + 2)[1:-1]
    around = angles(columns)
    z = _power(np.sin(polar), 2 / sharpness)[:, None] * np.ones(columns)
    ring = _power(np.cos(polar), 2 / sharpness)[:, None]
    x, y = ring * _power(np.cos(around), 2 / sharpness), ring * _power(np.sin(around), 2 / sharpness)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    points = np.concatenate([points, [[0, 0, -1], [0, 0, 1]]])
    points[:, :2] *= 1.0 + (top - 1.0) * (points[:, 2:] + 1) / 2
    return points * (np.array(size) / 2), _sphere_faces(rows, columns)


def cuboid(size: tuple[float, float, float]) -> Solid:
    """A box around the origin."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return corners * (np.array(size) / 2), np.array(faces, np.int32)


def dome(radius_m: float, depth_m: float, panels: int) -> Solid:
    """An open umbrella's cloth: a thin closed shell, its top at the origin, scalloped between its ribs."""
    rows, columns = 6, 4 * panels
    share = np.arange(1, rows + 1) / rows
    around = angles(columns)
    scallop = 1.0 - 0.05 * share[:, None] ** 2 * (1 - np.cos(panels * around)) / 2
    flat = radius_m * share[:, None] * scallop
    z = -depth_m * (1.0 - np.sqrt(1.0 - 0.75 * share**2)) / 0.5
    outer = np.stack([flat * np.cos(around), flat * np.sin(around), z[:, None] * np.ones(columns)], axis=-1)
    inner = outer[:-1] - [0.0, 0.0, 0.008]
    # from the lower pole over the inner side to the rim, and over the outer side to the top
    rings = np.concatenate([inner, outer[::-1]]).reshape(-1, 3)
    points = np.concatenate([rings, [[0, 0, -0.008], [0, 0, 0]]])
    return points, _sphere_faces(2 * rows - 1, columns)


def band(centre: F64, radius: F64, y: float, *, width_m: float, thick_m: float = 0.012) -> Solid:
    """A closed loop of webbing in a plane of constant y.

    Args:
        centre: x and z of the loop's middle.
        radius: ``[n]``, how far its inner side is from the middle, at even angles from x towards z.
        y: of the plane.
        width_m: across the plane.
        thick_m: outwards.
    """
    count = len(radius)
    inner, outer = radius - 0.004, radius + thick_m
    half = width_m / 2
    profile = ((inner, -half), (inner, half), (outer, half), (outer, -half))
    flat = directions(count)
    loops = [
        np.stack([centre[0] + r * flat[0], np.full(count, y + w), centre[1] + r * flat[1]], 1)
        for r, w in profile
    ]
    i = np.arange(count)
    after = (i + 1) % count
    faces = []
    for k in range(4):
        a, b = i + k * count, after + k * count
        c, d = i + (k + 1) % 4 * count, after + (k + 1) % 4 * count
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    return np.concatenate(loops), np.concatenate(faces).astype(np.int32)


def bar_faces() -> Faces:
    """Triangles of :func:`bar`."""
    return _sphere_faces(2, BAR_SIDES)


def bar(start: F64, end: F64, radius_m: float, across: F64) -> F64:
    """Thin bars ``[T, 2 * BAR_SIDES + 2, 3]`` between points ``[T, 3]``; ``across`` ``[T, 3]`` is a direction
    that they never take."""
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    first = np.cross(across, along)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(along, first)
    around = angles(BAR_SIDES)
    ring = first[:, None] * np.cos(around)[:, None] + second[:, None] * np.sin(around)[:, None]
    rings = [point[:, None] + radius_m * ring for point in (start, end)]
    return np.concatenate([*rings, start[:, None], end[:, None]], axis=1)


def _sphere_faces(rows: int, columns: int) -> Faces:
    """A sphere's topology: rings from the bottom up, counter-clockwise from above; then both poles."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a = (row * columns + column).ravel()
    b = (row * columns + (column + 1) % columns).ravel()
    c, d = a + columns, b + columns
    bottom, top = rows * columns, rows * columns + 1
    first, after = np.arange(columns), (np.arange(columns) + 1) % columns
    last = (rows - 1) * columns
    faces = [
        np.stack([a, b, c], 1),
        np.stack([b, d, c], 1),
        np.stack([np.full(columns, bottom), after, first], 1),
        np.stack([np.full(columns, top), last + first, last + after], 1),
    ]
    return np.concatenate(faces).astype(np.int32)


def _power(values: F64, exponent: float) -> F64:
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)

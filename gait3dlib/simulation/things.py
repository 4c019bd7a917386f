"""What stands in the way: walls, poles and boxes as closed meshes; all stand on the ground z = 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

SIDES_OF_A_POLE = 48
_BOX_FACES = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
     [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Thing:
    """Something that stands still.

    Attributes:
        name: what it is.
        vertices: ``[V, 3]`` metres.
        faces: int ``[F, 3]``, outward.
        reflectivity: share of light that comes back, 0 to 1.
    """

    name: str
    vertices: NDArray[np.float64] = field(repr=False)
    faces: NDArray[np.int64] = field(repr=False)
    reflectivity: float = 0.4


def box(
    x_m: float,
    y_m: float,
    *,
    length_m: float,
    width_m: float,
    height_m: float,
    turned_deg: float = 0.0,
    name: str = "box",
) -> Thing:
    """A box whose bottom is centred at (x, y); ``length_m`` lies along x before it is turned.

    Raises:
        InputError: a side that is not positive.
    """
    _check_sizes(length_m, width_m, height_m)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([length_m, width_m]) / 2
    angle = np.deg2rad(turned_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flat = corners @ turn.T + np.array([x_m, y_m])
    low, high = (np.column_stack([flat, np.full(4, z)]) for z in (0.0, height_m))
    return Thing(name, np.concatenate([low, high]), _BOX_FACES)


def pole(x_m: float, y_m: float, *, radius_m: float = 0.06, height_m: float = 3.0) -> Thing:
    """A round pole.

    Raises:
        InputError: a size that is not positive.
    """
    _check_sizes(radius_m, height_m)
    n = SIDES_OF_A_POLE
    angle = np.arange(n) * 2 * np.pi / n
    # corners a little outside, so that the prism has the circle's area
    reach = radius_m * np.sqrt(2 * np.pi / n / np.sin(2 * np.pi / n))
    ring = np.column_stack([x_m + reach * np.cos(angle), y_m + reach * np.sin(angle), np.zeros(n)])
    ends = np.array([[x_m, y_m, 0.0], [x_m, y_m, height_m]])
    vertices = np.concatenate([ring, ring + np.array([0.0, 0.0, height_m]), ends])
    i, j = np.arange(n), (np.arange(n) + 1) % n
    top = np.column_stack([np.full(n, 2 * n + 1), i + n, j + n])
    bottom = np.column_stack([np.full(n, 2 * n), j, i])
    side = np.concatenate([np.column_stack([i, j, j + n]), np.column_stack([i, j + n, i + n])])
    return Thing("pole", vertices, np.concatenate([side, top, bottom]))


def wall(
    start: tuple[float, float],
    stop: tuple[float, float],
    *,
    height_m: float = 2.5,
    thickness_m: float = 0.1,
    name: str = "wall",
) -> Thing:
    """A straight wall between two points of the ground.

    Raises:
        InputError: the points coincide, or a size is not positive.
    """
    along = np.asarray(stop, dtype=np.float64) - np.asarray(start, dtype=np.float64)
    middle = (np.asarray(start, dtype=np.float64) + np.asarray(stop, dtype=np.float64)) / 2
    return box(
        float(middle[0]),
        float(middle[1]),
        length_m=float(np.linalg.norm(along)),
        width_m=thickness_m,
        height_m=height_m,
        turned_deg=float(np.rad2deg(np.arctan2(along[1], along[0]))),
        name=name,
    )


def merged(things: tuple[Thing, ...]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """All things as one mesh: vertices, faces, and the reflectivity of each face."""
    counts = np.cumsum([0, *(len(thing.vertices) for thing in things)])
    faces = [thing.faces + start for thing, start in zip(things, counts, strict=False)]
    shares = [np.full(len(thing.faces), thing.reflectivity, np.float32) for thing in things]
    return (
        np.concatenate([thing.vertices for thing in things]),
        np.concatenate(faces),
        np.concatenate(shares),
    )


def _check_sizes(*sizes: float) -> None:
    if not all(0 < size < 1e3 for size in sizes):
        raise InputError(f"a thing has sizes from 0 to 1000 m, not {', '.join(f'{s:g}' for s in sizes)}")

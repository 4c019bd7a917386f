"""People in one scan: clusters of points above the floor that have the size and the shape of a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CELL_M = 0.16
REACH_M = 35.0
LOW_M, HIGH_M = 0.25, 3.0  # clusters are made between; above HIGH_M nobody is
SHORTEST_M, TALLEST_M = 0.9, 2.2
STANDING_M = (1.35, 2.1)  # who does not move must look more like a person
WIDEST_M, NARROWEST_M = 1.3, 0.06
STANDING_WIDTH_M = (0.22, 1.0)
FEWEST, FEWEST_STANDING = 6, 25
FOOT_M, SOLE_M = 0.1, 0.04  # feet stick out by so much; what is lower may be floor
FEET_M = 0.7  # the lowest point seen is not higher, unless nothing below was looked at
HEADS_M, HEAD_BIN_M, VALLEY_M = (0.6, 2.5), 0.1, 0.15  # of clusters with several heads
FLAT_M = 0.08  # a board is thinner; of a body half a cylinder is seen
SPLIT_M = 0.8  # clusters that are longer may be two people

HEAD_SHARE = 0.75  # of the trunk's width; a head is narrower
BANDS = ((0.87, 1.01), (0.5, 0.84), (0.05, 0.45))  # of the height: head, trunk, legs

Floats = NDArray[np.floating[Any]]
ORIGIN = np.zeros(2)


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one scan.

    Args:
        xy: ``[2]`` metres, where the trunk is, in the level frame.
        height_m: of the highest point above the floor.
        points: float32 ``[n, 4]`` x, y, height above the floor, intensity.
        rows: int ``[n]`` which points of the scan these are.
    """

    xy: NDArray[np.float64]
    height_m: float
    points: NDArray[np.float32]
    rows: NDArray[np.int64]


def clusters(level: Floats, chosen: NDArray[np.bool_], origin: Floats = ORIGIN) -> list[NDArray[np.int64]]:
    """Rows of the points of each thing: cells of a horizontal grid that touch, seen from above.

    Args:
        level: ``[n, >= 3]`` points with their height above the floor as z.
        chosen: ``[n]`` which may belong to a thing.
        origin: ``[2]`` where the sensor stands.
    """
    x, y, z = level[:, 0] - origin[0], level[:, 1] - origin[1], level[:, 2]
    near = (np.abs(x) < REACH_M) & (np.abs(y) < REACH_M)
    rows = np.flatnonzero(chosen & near & (z > LOW_M) & (z < HIGH_M))
    if not len(rows):
        return []
    side = int(2 * REACH_M / CELL_M) + 3
    cell = ((np.column_stack([x[rows], y[rows]]) + REACH_M) / CELL_M).astype(np.int64) + 1
    grid = np.zeros((side, side), dtype=bool)
    grid[cell[:, 0], cell[:, 1]] = True
    labels, count = ndimage.label(grid, structure=np.ones((3, 3)))
    mine = labels[cell[:, 0], cell[:, 1]]
    order = np.argsort(mine, kind="stable")
    bounds = np.searchsorted(mine[order], np.arange(1, count + 2))
    return [rows[order[a:b]] for a, b in pairwise(bounds) if b - a >= 4]


def split(
    level: Floats, rows: NDArray[np.int64], tracked: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.int64]]:
    """The parts of a cluster that several tracked people share; the cluster itself where there is one.

    Args:
        level: ``[n, >= 3]``.
        rows: of the cluster.
        tracked: places ``[2]`` at which people are expected.
    """
    xy = level[rows, :2]
    if len(tracked) < 2 or np.ptp(xy, axis=0).max() < SPLIT_M:
        return [rows]
    places = np.stack(tracked)
    away = np.linalg.norm(xy[:, None] - places[None], axis=-1)
    inside = away.min(axis=0) < 0.35
    if inside.sum() < 2:
        return [rows]
    owner = np.argmin(away[:, inside], axis=1)
    return [rows[owner == i] for i in range(int(inside.sum())) if (owner == i).sum() >= 4]


def apart_by_heads(level: Floats, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The parts of a cluster that holds several heads: people side by side, parted where it is lowest.

    Args:
        level: ``[n, >= 3]`` points with their height above the floor as z.
        rows: of the cluster.
    """
    xy, z = level[rows, :2], level[rows, 2]
    centred = xy - xy.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = along - along.min()
    if not HEADS_M[0] <= along.max() <= HEADS_M[1] or z.max() > TALLEST_M:
        return [rows]
    bins = (along / HEAD_BIN_M).astype(np.int64)
    tops = np.zeros(int(bins.max()) + 1, np.float64)
    np.maximum.at(tops, bins, z)
    cuts = _valleys(tops)
    if not cuts:
        return [rows]
    part = np.searchsorted(np.asarray(cuts), bins, side="left")
    return [rows[part == i] for i in range(len(cuts) + 1) if (part == i).sum() >= 4]


def _valleys(tops: NDArray[np.float64]) -> list[int]:
    """Bins between two heads, in each case the lowest one."""
    cuts: list[int] = []
    peak, low = 0, 0
    for i in range(len(tops)):
        fell, rises = tops[peak] - tops[low] > VALLEY_M, tops[i] - tops[low] > VALLEY_M
        if fell and rises and tops[i] > SHORTEST_M:
            cuts.append(low)
            peak = low = i
        elif tops[i] >= tops[peak]:
            peak = low = i
        elif tops[i] < tops[low]:
            low = i
    return cuts


def person_of(
    level: Floats,
    rows: NDArray[np.int64],
    *,
    moving: bool,
    origin: Floats = ORIGIN,
    feet_m: float = FEET_M,
) -> Person | None:
    """The person that a cluster is; None where it is something else.

    Args:
        level: ``[n, 4]`` x, y, height, intensity.
        rows: of the cluster.
        moving: it stands out from the background or is tracked already; else its shape alone must tell.
        origin: ``[2]`` where the sensor stands.
        feet_m: the lowest point of a person is not higher.
    """
    mine = np.asarray(level[rows], dtype=np.float32)
    top = float(np.partition(mine[:, 2], -2)[-2])  # one point may be a stray
    if len(mine) < (FEWEST if moving else FEWEST_STANDING):
        return None
    short, tall = (SHORTEST_M, TALLEST_M) if moving else STANDING_M
    if not short <= top <= tall or mine[:, 2].min() > feet_m:
        return None
    length, width = footprint(mine[:, :2])
    most, least = (WIDEST_M, 0.0) if moving else (STANDING_WIDTH_M[1], STANDING_WIDTH_M[0])
    if not least <= length <= most or width > (1.0 if moving else 0.75):
        return None
    if not moving and (width < FLAT_M or not upright_body(mine, top, origin)):
        return None
    trunk = mine[(mine[:, 2] > 0.45 * top) & (mine[:, 2] < 0.85 * top)]
    body = trunk if len(trunk) >= 3 else mine
    middle = (body[:, :2].min(axis=0) + body[:, :2].max(axis=0)) / 2
    xy = (body[:, :2].mean(axis=0) + middle) / 2
    return Person(xy.astype(np.float64), top, mine, rows)


def near_floor(level: Floats) -> NDArray[np.int64]:
    """Rows of the points that may be feet: too low for :func:`clusters`, but above the floor."""
    return np.flatnonzero((level[:, 2] > SOLE_M) & (level[:, 2] <= LOW_M))


def with_feet(level: Floats, person: Person, floor: NDArray[np.int64]) -> Person:
    """The person with those of the points near the floor that belong to the same body."""
    low, high = person.points[:, :2].min(axis=0) - FOOT_M, person.points[:, :2].max(axis=0) + FOOT_M
    xy = level[floor, :2]
    rows = floor[((xy > low) & (xy < high)).all(axis=1)]
    if not len(rows):
        return person
    rows = np.concatenate([person.rows, rows])
    return Person(person.xy, person.height_m, np.asarray(level[rows], dtype=np.float32), rows)


def footprint(xy: Floats) -> tuple[float, float]:
    """Length and width of points ``[n, 2]`` along their principal axes, without the outermost twentieth."""
    centred = xy - xy.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = centred @ axes
    low, high = np.percentile(along, [2.5, 97.5], axis=0)
    across, length = high - low
    return float(length), float(across)


def has_head(person: Person, origin: Floats = ORIGIN) -> bool:
    """Whether the top of a person is clearly narrower than the trunk, seen from ``origin`` ``[2]``."""
    head, trunk, _ = _bands(person.points, person.height_m, origin)
    if len(head) < 2 or len(trunk) < 3:
        return True  # too few points to tell
    return float(np.ptp(head)) < HEAD_SHARE * float(np.ptp(trunk))


def upright_body(points: Floats, top: float, origin: Floats = ORIGIN) -> bool:
    """Whether points have a head on shoulders: narrow at the top, widest at the trunk, in one upright piece.

    Args:
        points: ``[n, >= 3]``.
        top: their height.
        origin: ``[2]`` where the sensor stands.
    """
    bands = _bands(points, top, origin)
    if any(len(band) < least for band, least in zip(bands, (3, 8, 3), strict=True)):
        return False
    middles = [float(np.median(band)) for band in bands]
    head, trunk, _ = (float(np.subtract(*np.percentile(band, [95, 5]))) for band in bands)
    if abs(middles[0] - middles[1]) > 0.2 or abs(middles[2] - middles[1]) > 0.35:
        return False
    # a post, a wall's end or a bush is as wide at the top
    return NARROWEST_M < head < HEAD_SHARE * trunk and trunk < STANDING_WIDTH_M[1]


def _bands(points: Floats, top: float, origin: Floats) -> list[Floats]:
    """Places of the points of head, trunk and legs across the line of sight, along which half is hidden."""
    sight = points[:, :2].mean(axis=0) - origin
    across = points[:, :2] @ np.array([-sight[1], sight[0]]) / max(float(np.hypot(*sight)), 1e-6)
    z = points[:, 2] / top
    return [across[(z > low) & (z <= high)] for low, high in BANDS]

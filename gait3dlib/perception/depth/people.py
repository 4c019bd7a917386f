"""The people in one depth image: what stands in front, in parts that are shaped like people.

The shapes are those that people have in LiDAR scans, see :mod:`gait3dlib.perception.points.people`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.perception.crops import mask_box, mask_canvas, nearest_canvas, square
from gait3dlib.perception.depth.scene import F32, DepthScene
from gait3dlib.perception.points import people as shapes

COARSE_PX = 320  # columns in which people are looked for
MOST_POINTS = 12_000
FEWEST = 120  # points of a person at that size
THICK_M = 0.75  # of a body along the line of sight, with its arms and stride, to either side
EDGE = 0.06  # step of depth to the next pixel, over the depth, beyond which it may lie between two surfaces
BORDER_PX = 2
CLOUD = 1024  # points of a person that are kept
HEAD = 0.12  # of the rows of a body
KNOWN_M = 0.6
CANVAS_MARGIN = 1.15


@dataclass(frozen=True, eq=False)
class DepthPerson:
    """One person in one depth image.

    Args:
        xy: ``[2]`` metres, where the trunk is in the world.
        height_m: of the crown above the floor.
        depth_m: median depth.
        area_m2: of the silhouette.
        whole: not cut by the image's border.
        box: float64 ``[4]`` x, y, side, side of the square that is cut out, pixels.
        silhouette: uint8 ``[128, 128]``.
        depth: ``[128, 128]`` as the camera gave it, 0 outside the person.
        points: float32 ``[n, 4]`` x, y, height above the floor, 0.
        extent: ``[4]`` x, y, width, height around the person, pixels.
    """

    xy: NDArray[np.float64]
    height_m: float
    depth_m: float
    area_m2: float
    whole: bool
    box: NDArray[np.float64]
    silhouette: NDArray[np.uint8]
    depth: NDArray[Any]
    points: NDArray[np.float32]
    extent: NDArray[np.float64]
    pixels: tuple[NDArray[np.int64], NDArray[np.int64], F32] = field(repr=False)
    """Rows, columns and depths of its pixels, or of some of them."""


@dataclass(frozen=True, eq=False)
class _Part:
    """A person-shaped part at coarse size: its place, and the box around its pixels at full size."""

    xy: NDArray[np.float64]
    box: tuple[int, int, int, int]  # top, bottom, left, right
    depth_m: float


def people_in(
    scene: DepthScene, depth: F32, tracked: Sequence[NDArray[np.float64]] = ()
) -> list[DepthPerson]:
    """The people in an image ``[H, W]`` in metres, the largest first.

    Args:
        scene: with a known background.
        depth: metres, 0 = none.
        tracked: places ``[2]`` at which people are expected; they part people who touch.
    """
    parts = _parts(scene, depth, tracked)
    found = [_person(scene, depth, part, parts) for part in parts]
    return [person for person in found if person is not None]


def _parts(scene: DepthScene, depth: F32, tracked: Sequence[NDArray[np.float64]]) -> list[_Part]:
    step = max(1, round(depth.shape[1] / COARSE_PX))
    coarse = depth[::step, ::step]
    front = scene.in_front(coarse, slice(None, None, step), slice(None, None, step))
    front &= ~_torn(coarse, scene.noise)
    rows, columns = np.nonzero(front)
    if len(rows) < FEWEST:
        return []
    skip = -(-len(rows) // MOST_POINTS)
    rows, columns = rows[::skip], columns[::skip]
    z = coarse[rows, columns]
    level = scene.points(z, rows * step, columns * step)
    origin = scene.world[:2, 3]
    out = []
    floor = shapes.near_floor(level)
    for cluster in shapes.clusters(level, np.ones(len(level), bool), origin):
        pieces = shapes.split(level, cluster, tracked)
        if len(pieces) == 1:
            pieces = shapes.apart_by_heads(level, cluster)
        for piece in pieces:
            person = shapes.person_of(level, piece, moving=True, origin=origin)
            if person is None or len(piece) * skip < FEWEST:
                continue
            mine = shapes.with_feet(level, person, floor).rows
            r, c = rows[mine] * step, columns[mine] * step
            box = (int(r.min()), int(r.max()) + step, int(c.min()), int(c.max()) + step)
            out.append(_Part(person.xy, box, float(np.median(z[mine]))))
    return sorted(out, key=lambda part: -(part.box[1] - part.box[0]))


def _torn(depth: F32, noise: float) -> NDArray[np.bool_]:
    """Pixels next to a step of depth: they may lie between two surfaces, on neither."""
    step = np.maximum(EDGE * depth, np.float32(4 * noise) * depth**2)
    out = np.zeros(depth.shape, bool)
    across, down = np.abs(np.diff(depth, axis=1)), np.abs(np.diff(depth, axis=0))
    out[:, 1:] |= across > step[:, 1:]
    out[:, :-1] |= across > step[:, :-1]
    out[1:] |= down > step[1:]
    out[:-1] |= down > step[:-1]
    return out


def _person(scene: DepthScene, depth: F32, part: _Part, parts: list[_Part]) -> DepthPerson | None:
    margin = max(4, depth.shape[1] // 100)
    top, bottom = max(part.box[0] - margin, 0), min(part.box[1] + margin, depth.shape[0])
    left, right = max(part.box[2] - margin, 0), min(part.box[3] + margin, depth.shape[1])
    window = (slice(top, bottom), slice(left, right))
    patch = depth[window]
    thick = THICK_M + 3 * scene.noise * part.depth_m**2
    mask = scene.in_front(patch, *window) & (np.abs(patch - part.depth_m) < thick)
    mask = _cleaned(mask)
    if len(parts) > 1:
        mask = _own(scene, patch, mask, (top, left), part, parts)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    mask = np.isin(labels, np.flatnonzero(sizes >= 0.05 * sizes.max()) + 1)
    inside = mask_box(mask)
    if inside is None or inside[3] < 24:
        return None
    extent = inside + np.array([left, top, 0, 0])
    rows, columns = np.nonzero(mask & (patch > 0))
    z = patch[rows, columns]
    place = square(inside, CANVAS_MARGIN)
    head = z[rows <= inside[1] + HEAD * inside[3]]
    crown = scene.points(
        np.array([np.median(head if len(head) >= 5 else z)], np.float32),
        np.array([_crown_row(mask) + top - 0.5]),
        np.array([columns[rows <= rows.min() + 3].mean() + left]),
    )
    every = -(-len(rows) // CLOUD)
    some = (rows[::every] + top, columns[::every] + left, z[::every])
    high, wide = depth.shape
    border = [extent[0], extent[1], wide - extent[0] - extent[2], high - extent[1] - extent[3]]
    median = float(np.median(z))
    return DepthPerson(
        xy=part.xy,
        height_m=float(crown[0, 2]),
        depth_m=median,
        area_m2=float(mask.sum()) * median**2 / (scene.camera.fx * scene.camera.fy),
        whole=min(border) >= BORDER_PX,
        box=np.array([place[0] + left, place[1] + top, place[2], place[2]], np.float64),
        silhouette=mask_canvas(mask, place),
        depth=nearest_canvas(np.where(mask, patch, np.float32(0)), place),
        points=scene.points(some[2], some[0], some[1]),
        extent=extent,
        pixels=some,
    )


def _cleaned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where three of nine neighbours agree: pixels lost along the outline come back, strays go."""
    votes = ndimage.uniform_filter(mask.astype(np.float32), 3, mode="nearest")
    return np.asarray(votes > 0.3)


def _crown_row(mask: NDArray[np.bool_]) -> int:
    """The highest row of which a tenth of the head's width belongs to the person; hair may stick out."""
    widths = mask.sum(axis=1)
    head = float(np.percentile(widths[widths > 0][: max(1, int(HEAD * (widths > 0).sum()))], 90))
    return int(np.flatnonzero(widths >= max(2.0, 0.25 * head))[0])


def _own(
    scene: DepthScene,
    patch: F32,
    mask: NDArray[np.bool_],
    corner: tuple[int, int],
    part: _Part,
    parts: list[_Part],
) -> NDArray[np.bool_]:
    """The pixels that are nearer to this person's place on the floor than to anybody else's."""
    rows, columns = np.nonzero(mask)
    xy = scene.points(patch[rows, columns], rows + corner[0], columns + corner[1])[:, :2]
    mine = np.linalg.norm(xy - part.xy, axis=1)
    others = [np.linalg.norm(xy - other.xy, axis=1) for other in parts if other is not part]
    out = mask.copy()
    out[rows, columns] = (mine <= np.min(others, axis=0)) & (patch[rows, columns] > 0)
    return out

"""Cloth that hangs around both legs: a coat's lower part, a skirt.

In every frame and at every height the cloth is the convex outline of what it covers, given by its support
function h(angle) = max over points of <point, direction>; it can neither enter the body nor pass between
the legs. On that come ease, flare and folds. The cloth is pushed out at once and falls back slowly, its
free part trails behind: that is its lag and swing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody
from gait3dlib.simulation.outfit._cut import DrapeCut
from gait3dlib.simulation.outfit._motion import heading, held, lagged
from gait3dlib.simulation.outfit._outline import angles, directions, radial

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

RINGS, COLUMNS = 12, 40
BAND_M, SLOPE = 0.025, 0.9  # cloth is held off by what is this near in height, and spans to what is further
RELEASE_M_S = 0.8
MERGE_M = 0.1
TRAIL_S, TRAIL_M = 0.12, 0.06
TUCK = 0.75  # the topmost ring lies inside the body, so that no gap shows from above


class Drape:
    """A tube around both legs from a height on the trunk to a hem.

    Args:
        body: as dressed so far, so that the tube lies over it.
        cut: how it is sewn.
        rng: draws where the folds lie.
    """

    def __init__(self, body: ShapedBody, cut: DrapeCut, rng: np.random.Generator) -> None:
        self.cut = cut
        hip, knee = body.joints[1, 2], body.joints[4, 2]
        waist, thorax = body.joints[3, 2], body.joints[9, 2]
        top_m = float(waist + cut.top * (thorax - waist))
        self.hem_m = float(hip - cut.hem * (hip - knee))
        self._heights = np.linspace(top_m, self.hem_m, RINGS) - body.joints[0, 2]
        self._points = _supports(body, top_m + 0.06, self.hem_m - 0.08)
        self._fold_start = rng.uniform(0, 2 * np.pi)
        self.faces = tube_faces(RINGS + 1, COLUMNS)

    def pose(self, vertices: F32, turned: F64, joints: F64, t_s: F64) -> F32:
        """The tube's vertices ``[T, (RINGS + 1) * COLUMNS, 3]``, top to hem."""
        facing = heading(turned[:, 0])
        inside = (vertices[:, self._points] - joints[:, :1]) @ facing
        support = self._support(inside, t_s)
        outward = directions(COLUMNS)
        # the Steiner point lies inside every convex outline
        centre = support @ outward.T * (2 / COLUMNS)
        around = np.maximum(support - centre @ outward, 0.02)
        trail = lagged(centre, t_s, TRAIL_S) - centre
        swing = np.clip(trail / TRAIL_M, -0.7, 0.7) @ outward
        radius = self._radius(around, swing)
        ring = np.empty((*radius.shape, 3))
        ring[..., :2] = centre[:, :, None] + radius[..., None] * outward.T
        ring[..., 2] = self._heights[:, None]
        tucked = ring[:, :1].copy()
        tucked[..., :2] = centre[:, :1, None] + TUCK * radius[:, :1, :, None] * outward.T
        tube = np.concatenate([tucked, ring], axis=1).reshape(len(joints), -1, 3)
        return np.asarray(tube @ facing.transpose(0, 2, 1) + joints[:, :1], np.float32)

    def _support(self, inside: F64, t_s: F64) -> F64:
        """Support function ``[T, RINGS, COLUMNS]`` of what the cloth covers."""
        points = inside.astype(np.float32)
        reach = points[..., :2] @ directions(COLUMNS).astype(np.float32)
        support = np.empty((len(points), RINGS, COLUMNS))
        for k, height in enumerate(self._heights.astype(np.float32)):
            far = np.maximum(np.abs(points[..., 2] - height) - np.float32(BAND_M), 0) * np.float32(SLOPE)
            support[:, k] = (reach - far[..., None]).max(axis=1)
        step = self._heights[0] - self._heights[1]
        for k in range(1, RINGS):
            np.maximum(support[:, k], support[:, k - 1] - self.cut.taper * step, out=support[:, k])
        return held(support, t_s, RELEASE_M_S)

    def _radius(self, around: F64, swing: F64) -> F64:
        """Distance ``[T, RINGS, COLUMNS]`` of the cloth from the centre of its ring."""
        below = (self._heights[0] - self._heights)[:, None]
        share = below / below[-1]
        # a coat's cloth comes out of the shell on the trunk, without an edge
        ease = np.interp(below, [0.0, MERGE_M], [self.cut.edge_m, self.cut.ease_m])
        eased = around + ease + self.cut.flare * below * share**0.3 * (1.0 + swing)
        folds = 1.0 + np.cos(self.cut.folds * angles(COLUMNS) + self._fold_start)
        return np.asarray(radial(eased) + 0.5 * self.cut.fold_m * share * folds)


def _supports(body: ShapedBody, top_m: float, bottom_m: float) -> NDArray[np.intp]:
    """Vertices of trunk and legs between two heights at rest; the outermost ones, evenly spread."""
    skin = body.vertices
    lower = body.weights[:, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]].sum(axis=1) > 0.9
    found = np.flatnonzero(lower & (skin[:, 2] < top_m) & (skin[:, 2] > bottom_m))
    side = np.where(skin[found, 1] > 0, 1, 2)
    away = skin[found, :2] - body.joints[side, :2]
    angle = np.arctan2(away[:, 1], away[:, 0])
    band = (top_m - bottom_m) / 22
    cell = (side * 100 + ((skin[found, 2] - bottom_m) / band).astype(int)) * 100 + (
        (angle + np.pi) / 0.3
    ).astype(int)
    order = np.lexsort((-np.linalg.norm(away, axis=1), cell))
    first = np.ones(len(order), bool)
    first[1:] = cell[order][1:] != cell[order][:-1]
    return found[order][first]


def tube_faces(rings: int, columns: int) -> NDArray[np.int32]:
    """Triangles ``[2 * (rings - 1) * columns, 3]`` of a tube whose rings run down; they face outwards."""
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(columns), indexing="ij")
    upper = (row * columns + column).ravel()
    upper_next = (row * columns + (column + 1) % columns).ravel()
    lower, lower_next = upper + columns, upper_next + columns
    faces = np.concatenate(
        [np.stack([upper, lower, upper_next], 1), np.stack([upper_next, lower, lower_next], 1)]
    )
    return faces.astype(np.int32)

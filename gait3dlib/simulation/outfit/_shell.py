"""Cloth that lies on the body: the skin itself, moved outwards where it is covered.

The covered mesh keeps the skin's triangles, but for cuts along the seams, so it is closed wherever the skin
is, and no skin can show through. Concave places are bridged as cloth does it: the cloth goes to the smoothed
skin where that lies further out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody
from gait3dlib.body._skinning import local_coordinates, skin
from gait3dlib.simulation.outfit._cut import ShellCut
from gait3dlib.simulation.outfit._motion import apparent_gravity
from gait3dlib.simulation.outfit._seam import seamed

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LEGS = (1, 2, 4, 5, 7, 8)
ARMS = (16, 17, 18, 19, 20, 21, 22, 23)
EDGE_M = 0.008  # over which cloth rises from the skin at its edge
SMOOTHING = 12
SWING = 0.8  # how much of the looseness follows the apparent gravity


@dataclass(frozen=True)
class Shell:
    """A body whose covered skin is cloth.

    Attributes:
        body: the same body, cut along the seams, its covered vertices moved outwards.
        covered: ``[V]``, which vertices are cloth.
    """

    body: ShapedBody
    covered: NDArray[np.bool_]

    def faces_covered(self) -> NDArray[np.bool_]:
        """Which triangles ``[F]`` are cloth: those with a covered corner."""
        return np.asarray(self.covered[self.body.faces].any(axis=1))


def coat_shell(body: ShapedBody, cut: ShellCut) -> Shell:
    """Trunk and arms from the collar to the cuffs; around the thighs it gives way to the cloth that hangs."""
    joints = body.joints
    cuff = float(joints[20, 1] - 0.03 * joints[20, 1])
    collar = float(joints[12, 2] + cut.collar * (joints[15, 2] - joints[12, 2]))
    elbow = float(joints[18, 1])
    along = [cuff, cuff + EDGE_M, elbow, (elbow + cuff) / 2, (elbow + joints[16, 1]) / 2]
    body = seamed(body, 1, [sign * y for y in along for sign in (1.0, -1.0)])
    body = seamed(body, 2, [collar, collar + EDGE_M])
    rest = body.vertices.astype(np.float64)
    covered = (np.abs(rest[:, 1]) < cuff + EDGE_M / 2) & (rest[:, 2] < collar + EDGE_M / 2)
    hip, knee = joints[1, 2], joints[4, 2]
    # inside the drape the shell ends, so that the thighs do not carry it
    fade = _step(rest[:, 2], hip - 0.35 * (hip - knee), hip)
    covered &= fade > 0
    arms = body.weights[:, list(ARMS)].sum(axis=1)
    depth = covered * fade * (cut.trunk_m + (cut.limb_m - cut.trunk_m) * arms)
    return Shell(_thickened(body, depth), covered)


class Trousers:
    """Loose legs: cloth that stands off more and more towards the ankle, and hangs to the low side.

    Where the leg speeds up, the cloth is left behind; where the shank lies, it hangs below it. Both are one
    thing: cloth falls along the apparent gravity g - a, of which only the part across the leg matters.
    """

    def __init__(self, body: ShapedBody, cut: ShellCut, rng: np.random.Generator) -> None:
        joints = body.joints
        waist, hip, ankle = (float(joints[j, 2]) for j in (3, 1, 7))
        hem = ankle * cut.hem
        rows = np.linspace(hem, hip, 12)[1:-1]
        body = seamed(body, 2, [waist, waist - EDGE_M, hem, hem - EDGE_M, *rows.tolist()])
        z = body.vertices[:, 2].astype(np.float64)
        legs = body.weights[:, list(LEGS)].sum(axis=1)
        arms = body.weights[:, list(ARMS)].sum(axis=1)
        covered = (z < waist - EDGE_M / 2) & (z > hem - EDGE_M / 2) & (arms < 0.5)
        self.shell = Shell(_thickened(body, covered * cut.trunk_m), covered)
        self._index = chosen = np.flatnonzero(covered & (legs > 0.05))
        bind = body.bind_vertices.astype(np.float64)
        normals = vertex_normals(bind, body.faces)[chosen]
        self._normals = local_coordinates(
            normals, np.zeros((24, 3)), body.bind_rotations, body.weights[chosen]
        )
        self._left = body.vertices[chosen, 1] > 0
        down = np.clip((hip - z[chosen]) / (hip - hem), 0.0, 1.0)
        limb = cut.limb_m
        self._loose = np.interp(down, [0.0, 0.12, 0.5, 1.0], [0.0, limb, 1.2 * limb, cut.hem_m])
        self._loose *= np.minimum(1.0, legs[chosen])
        self._folds = cut.fold * self._fold_pattern(body, down, rng)

    def _fold_pattern(self, body: ShapedBody, down: F64, rng: np.random.Generator) -> F64:
        """Folds -1 to 1 ``[n]``, lengthwise and slanting; none at the seat."""
        side = np.where(self._left, 1, 2)
        away = body.vertices[self._index, :2] - body.joints[side, :2]
        around = np.arctan2(away[:, 1], away[:, 0])
        start = rng.uniform(0, 2 * np.pi, 2)
        waves = np.sin(2 * around + 9.0 * down + start[0]) + np.sin(3 * around - 14.0 * down + start[1])
        return np.asarray(0.5 * waves * np.minimum(1.0, 2 * down))

    def swing(self, vertices: F32, turned: F64, joints: F64, t_s: F64) -> F32:
        """The posed vertices ``[T, V, 3]`` with the legs' cloth where it hangs in each frame."""
        normals = skin(self._normals, turned, np.zeros_like(joints))
        lean = np.zeros(normals.shape[:2])
        for side, mask in ((0, self._left), (1, ~self._left)):
            ankle, knee = joints[:, 7 + side], joints[:, 4 + side]
            pull = _across(apparent_gravity(ankle, t_s), ankle - knee)
            lean[:, mask] = np.einsum("tvi,ti->tv", normals[:, mask], pull)
        away = self._loose * np.clip(1.0 + SWING * lean + self._folds, 0.15, 2.0)
        out = vertices.copy()
        out[:, self._index] += away[..., None].astype(np.float32) * normals
        return out


def vertex_normals(vertices: F64, faces: NDArray[np.int32]) -> F64:
    """Outward unit normals ``[V, 3]``, each the mean over a vertex's triangles by area."""
    corner = vertices[faces]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    ends = faces.ravel()
    total = [np.bincount(ends, np.repeat(area[:, axis], 3), len(vertices)) for axis in range(3)]
    normals = np.stack(total, axis=1)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def _thickened(body: ShapedBody, depth: F64) -> ShapedBody:
    """The body with its skin moved outwards by ``depth`` ``[V]``, by up to three times that over hollows."""
    bind = body.bind_vertices.astype(np.float64)
    normals = vertex_normals(bind, body.faces)
    bridged = np.einsum("vi,vi->v", _smoothed(bind, body.faces) - bind, normals)
    away = depth + np.clip(bridged, 0.0, 2.0 * depth)
    moved = (bind + away[:, None] * normals).astype(np.float32)
    moved.flags.writeable = False
    return replace(body, bind_vertices=moved)


def _smoothed(vertices: F64, faces: NDArray[np.int32]) -> F64:
    """Vertices after some rounds of Laplacian smoothing over the edges."""
    # each edge of a closed mesh occurs once in either direction
    start = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]])
    end = np.concatenate([faces[:, 1], faces[:, 2], faces[:, 0]])
    degree = np.bincount(start, minlength=len(vertices))[:, None]
    for _ in range(SMOOTHING):
        total = [np.bincount(start, vertices[end, axis], len(vertices)) for axis in range(3)]
        vertices = 0.5 * vertices + 0.5 * np.stack(total, axis=1) / np.maximum(degree, 1)
    return vertices


def _across(pull: F64, along: F64) -> F64:
    """The part ``[T, 3]`` of a pull that is at right angles to a direction."""
    unit = along / np.linalg.norm(along, axis=1, keepdims=True)
    return np.asarray(pull - np.sum(pull * unit, axis=1, keepdims=True) * unit)


def _step(values: F64, low: float, high: float) -> F64:
    """0 below ``low``, 1 above ``high``, smooth between."""
    x = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))

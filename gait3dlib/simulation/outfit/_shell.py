"""Cloth that lies on the body: the skin itself, moved outwards where it is covered.

The covered mesh keeps the skin's triangles, so it is closed wherever the skin is, and no skin can show
through. Concave places are bridged as cloth does it: the target is the smoothed skin, or the stated
thickness above the skin, whichever lies further out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody
from gait3dlib.body._skinning import local_coordinates, skin
from gait3dlib.simulation.outfit._cut import ShellCut
from gait3dlib.simulation.outfit._motion import apparent_gravity

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PELVIS, HIPS, KNEES, ANKLES, TOES = (0,), (1, 2), (4, 5), (7, 8), (10, 11)
TRUNK = (0, 3, 6, 9, 13, 14)
ARMS = (16, 17, 18, 19)
SMOOTHING = 6
SWING = 0.8  # how much of the looseness follows the apparent gravity


@dataclass(frozen=True)
class Shell:
    """A body whose covered skin is cloth.

    Attributes:
        body: the same body with its covered vertices moved outwards.
        covered: ``[V]`` 0 to 1, how much of a vertex is covered.
    """

    body: ShapedBody
    covered: F32

    def faces_covered(self) -> NDArray[np.bool_]:
        """Which triangles ``[F]`` are cloth: those with two covered corners."""
        return np.asarray((self.covered[self.body.faces] > 0.5).sum(axis=1) >= 2)


def coat_shell(body: ShapedBody, cut: ShellCut) -> Shell:
    """Trunk and arms to the wrist; around the thighs it gives way to the cloth that hangs."""
    arms, trunk = _share(body, ARMS), _share(body, TRUNK)
    hip, knee = body.joints[1, 2], body.joints[4, 2]
    # inside the drape the shell ends, so that the thighs do not carry it
    fade = _step(body.vertices[:, 2], hip - 0.35 * (hip - knee), hip)
    thighs = _share(body, HIPS) * fade
    covered = _step(arms + trunk + thighs, 0.3, 0.7)
    depth = covered * (cut.trunk_m * (trunk + thighs) + cut.limb_m * arms)
    return Shell(_thickened(body, depth), covered.astype(np.float32))


def _thickened(body: ShapedBody, depth: F64) -> ShapedBody:
    bind = body.bind_vertices.astype(np.float64)
    normals = vertex_normals(bind, body.faces)
    bridged = np.einsum("vi,vi->v", _smoothed(bind, body.faces) - bind, normals)
    away = np.where(depth > 0, np.maximum(depth, np.minimum(bridged + depth, 2 * depth)), 0.0)
    moved = (bind + away[:, None] * normals).astype(np.float32)
    moved.flags.writeable = False
    return replace(body, bind_vertices=moved)


class Trousers:
    """Loose legs: cloth that stands off more and more towards the ankle, and hangs to the low side.

    Where the leg speeds up, the cloth is left behind; where the shank lies, it hangs below it. Both are one
    thing: cloth falls along the apparent gravity g - a, of which only the part across the leg matters.
    """

    def __init__(self, body: ShapedBody, cut: ShellCut, rng: np.random.Generator) -> None:
        seat = _share(body, (*PELVIS, *HIPS)) * _step(
            -body.vertices[:, 2], -body.joints[3, 2], -body.joints[1, 2]
        )
        shanks = _share(body, KNEES)
        covered = _step(seat + shanks, 0.35, 0.65)
        bind = body.bind_vertices.astype(np.float64)
        normals = vertex_normals(bind, body.faces)
        self.shell = Shell(_thickened(body, covered * cut.trunk_m), covered.astype(np.float32))
        self._index = np.flatnonzero((covered > 0) & (_share(body, (*HIPS, *KNEES)) > 0.05))
        chosen = self._index
        self._normals = local_coordinates(
            normals[chosen], np.zeros((24, 3)), body.bind_rotations, body.weights[chosen]
        )
        self._loose, self._ripple = self._looseness(body, cut, rng, covered)
        self._left = body.vertices[chosen, 1] > 0

    def _looseness(
        self, body: ShapedBody, cut: ShellCut, rng: np.random.Generator, covered: F64
    ) -> tuple[F64, F64]:
        """Mean looseness ``[n]`` in metres, and the folds as a share of it."""
        points = body.vertices[self._index].astype(np.float64)
        hip, ankle = body.joints[1, 2], body.joints[7, 2]
        down = np.clip((hip - points[:, 2]) / (hip - ankle), 0.0, 1.0)
        side = np.where(points[:, 1] > 0, 1, 2)
        away = points[:, :2] - body.joints[side, :2]
        around = np.arctan2(away[:, 1], away[:, 0])
        start = rng.uniform(0, 2 * np.pi, 2)
        ripple = np.sin(2 * around + 9.0 * down + start[0]) + np.sin(3 * around - 14.0 * down + start[1])
        loose = np.interp(down, [0.0, 0.12, 0.5, 1.0], [0.0, cut.limb_m, 1.2 * cut.limb_m, cut.hem_m])
        return loose * covered[self._index], 0.5 * cut.fold * ripple * np.minimum(1.0, 2 * down)

    def swing(self, vertices: F32, turned: F64, joints: F64, t_s: F64) -> F32:
        """The posed vertices ``[T, V, 3]`` with the legs' cloth where it hangs in each frame."""
        normals = skin(self._normals, turned, np.zeros_like(joints))
        lean = np.zeros(normals.shape[:2])
        for side, mask in ((0, self._left), (1, ~self._left)):
            pull = _across(
                apparent_gravity(joints[:, 7 + side], t_s), joints[:, 7 + side] - joints[:, 4 + side]
            )
            lean[:, mask] = np.einsum("tvi,ti->tv", normals[:, mask], pull)
        away = self._loose * np.clip(1.0 + SWING * lean + self._ripple, 0.15, 2.0)
        out = vertices.copy()
        out[:, self._index] += away[..., None].astype(np.float32) * normals
        return out


def _across(pull: F64, along: F64) -> F64:
    """The part ``[T, 3]`` of a pull that is at right angles to a direction."""
    unit = along / np.linalg.norm(along, axis=1, keepdims=True)
    return pull - np.sum(pull * unit, axis=1, keepdims=True) * unit  # type: ignore[no-any-return]


def vertex_normals(vertices: F64, faces: NDArray[np.int32]) -> F64:
    """Outward unit normals ``[V, 3]``, each the mean over a vertex's triangles by area."""
    corner = vertices[faces]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], area)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def _smoothed(vertices: F64, faces: NDArray[np.int32]) -> F64:
    """Vertices after some rounds of Laplacian smoothing over the edges."""
    start = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]])
    end = np.concatenate([faces[:, 1], faces[:, 2], faces[:, 0]])
    # each edge of a closed mesh occurs once in either direction
    degree = np.bincount(start, minlength=len(vertices))[:, None]
    for _ in range(SMOOTHING):
        total = [np.bincount(start, vertices[end, axis], len(vertices)) for axis in range(3)]
        vertices = 0.5 * vertices + 0.5 * np.stack(total, axis=1) / np.maximum(degree, 1)
    return vertices


def _share(body: ShapedBody, joints: tuple[int, ...]) -> F64:
    return np.asarray(body.weights[:, list(joints)].sum(axis=1), np.float64)


def _step(values: NDArray[np.floating[Any]], low: float, high: float) -> F64:
    """0 below ``low``, 1 above ``high``, smooth between."""
    x = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))

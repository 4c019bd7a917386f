"""The points of the body that Mesh-Gait looks for, and what they say of the skin.

There are 48: the 24 joints, and 24 virtual markers on the skin. On the left half of the average body in the
T-pose, vertices are chosen one by one, each as far as can be from all before (Gonzalez, 1985); the first are
the end of the hand, the sole, the crown and so on inwards. The right half is their mirror image. The first 12
pairs are the markers, the first 80 pairs are the vertices of a coarse mesh.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from gait3dlib.body import JOINT_NAMES, MIRROR, PARENTS, Body, BodyShape, ShapedBody
from gait3dlib.body._skinning import from_axis_angle, local_coordinates, skin
from gait3dlib.types import Gender

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINTS, MARKERS, VERTICES = len(JOINT_NAMES), 24, 160
POINTS = JOINTS + MARKERS
_MIDDLE_M = 0.02  # nearer to the plane of symmetry than this, a vertex has no mirror image of its own
_SIDES = ((1, 2, 3), (12, 13, 14))  # children of the pelvis and of the chest: they say how it is turned
_HANGING = (-1.2, 1.2)  # radians by which the arms of a walker are below the T-pose
_POSES, _BODIES = 24, 12  # of which the skin is learnt from the points
_RIDGE = 3e-4


@dataclass(frozen=True)
class CoarseMesh:
    """Vertices of the low-detail body that stand for its skin.

    Attributes:
        index: int64 [160], which; markers are the rows :attr:`markers`.
        edges: int64 [E, 2], rows whose parts of the skin touch.
        mirror: int64 [48], the point on the other side of each joint and marker.
        mirror_vertices: int64 [160], the same of the vertices.
    """

    index: Ints
    edges: Ints
    mirror: Ints
    mirror_vertices: Ints

    @property
    def markers(self) -> Ints:
        """int64 [24], rows of the vertices that are markers: 12 to the left, 12 to the right."""
        pairs, half = np.arange(MARKERS // 2), VERTICES // 2
        return np.concatenate([pairs, half + pairs])


@lru_cache(maxsize=1)
def coarse_mesh() -> CoarseMesh:
    """The vertices, chosen on the average body; the same in every process."""
    body = average()
    rest = body.vertices.astype(np.float64)
    left = np.flatnonzero(rest[:, 1] > _MIDDLE_M)
    chosen = left[_farthest(rest[left], VERTICES // 2)]
    mirrored = rest[chosen] * [1.0, -1.0, 1.0]
    right = np.array([int(np.linalg.norm(rest - place, axis=1).argmin()) for place in mirrored])
    index = np.concatenate([chosen, right])
    half, pairs = VERTICES // 2, MARKERS // 2
    swapped = np.concatenate([half + np.arange(half), np.arange(half)])
    markers = JOINTS + np.concatenate([pairs + np.arange(pairs), np.arange(pairs)])
    mirror = np.concatenate([np.array(MIRROR), markers])
    return CoarseMesh(index, _touching(rest, body.faces, index), mirror, swapped)


@lru_cache(maxsize=1)
def average() -> ShapedBody:
    """The body on which points are chosen: 35 years, 1.70 m, 68 kg."""
    return Body.load("low").shape(BodyShape(35.0, "female", 1.70, 68.0))


@lru_cache(maxsize=1)
def standing_heights() -> F64:
    """Heights [48] of joints and markers of the average body with hanging arms, as shares of its stature."""
    turns = np.zeros((1, JOINTS, 3))
    turns[0, [16, 17], 0] = _HANGING
    body, mesh = average(), coarse_mesh()
    vertices, joints = body.pose(turns, np.zeros((1, 3)))
    both = np.concatenate([joints[0], vertices[0, mesh.index[mesh.markers]]])
    return np.asarray(both[:, 2] / body.height_m, np.float64)


def _farthest(places: F64, count: int) -> Ints:
    """Rows of `places`, each as far as can be from those before; the first is the highest."""
    chosen = [int(places[:, 2].argmax())]
    away = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.array(chosen)


def _touching(rest: F64, faces: NDArray[np.int32], index: Ints) -> Ints:
    """Pairs of chosen vertices whose cells on the skin (nearest along the mesh) share an edge."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    lengths = np.linalg.norm(rest[ends[:, 0]] - rest[ends[:, 1]], axis=1)
    graph = coo_matrix((lengths, (ends[:, 0], ends[:, 1])), shape=(len(rest), len(rest)))
    _, _, source = dijkstra(
        graph.tocsr(), directed=False, indices=index, return_predecessors=True, min_only=True
    )
    row = np.full(len(rest), -1, np.int64)
    row[index] = np.arange(len(index))
    cell = row[source.clip(0)]
    pairs = np.sort(cell[ends], axis=1)[(source[ends] >= 0).all(axis=1)]
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


# ---- the skin of a person whose joints are known ----------------------------------------------------


class Skin:
    """The coarse mesh of one person, posed by joints alone.

    Args:
        numbers: [10], see :data:`gait3dlib.body.SHAPE_NAMES`.

    Raises:
        InputError: outside the shape space.
    """

    def __init__(self, numbers: F64) -> None:
        self.body = Body.load("low").from_numbers(numbers)
        index = coarse_mesh().index
        body = self.body
        self._local = local_coordinates(
            body.bind_vertices[index], body.bind_joints, body.bind_rotations, body.weights[index]
        )

    def posed(self, joints: F64) -> F32:
        """Vertices float32 [T, 160, 3] around joints [T, 24, 3] of this person, in metres."""
        return skin(self._local, bone_rotations(joints, self.body), joints)


def bone_rotations(joints: F64, body: ShapedBody) -> F64:
    """World rotations [T, 24, 3, 3] of a body whose joints [T, 24, 3] are known.

    Pelvis and chest are turned as their neighbours lie (Kabsch, 1976), every other bone the shortest way from
    its parent's turn to its own direction; what ends a chain turns with its parent. So twist about a limb's
    own axis is not known, and its skin may be off by a part of the limb's thickness.
    """
    offsets = body.joints - body.joints[list(PARENTS)]
    world = np.tile(np.eye(3), (len(joints), JOINTS, 1, 1))
    for joint, parent in enumerate(PARENTS):
        children = [j for j in range(JOINTS) if PARENTS[j] == joint]
        seen = joints[:, children] - joints[:, joint : joint + 1]
        if tuple(children) in _SIDES:
            world[:, joint] = _kabsch(offsets[children], seen)
        elif children:
            turned = world[:, parent]
            world[:, joint] = _shortest(turned @ offsets[children[0]], seen[:, 0]) @ turned
        else:
            world[:, joint] = world[:, parent]
    return world


def _kabsch(rest: F64, seen: F64) -> F64:
    """Rotations [T, 3, 3] that bring vectors [n, 3] nearest to [T, n, 3]."""
    u, _, vt = np.linalg.svd(np.einsum("tni,nj->tij", seen, rest))
    sign = np.ones((len(seen), 3))
    sign[:, 2] = np.linalg.det(u @ vt)
    return np.asarray((u * sign[:, None]) @ vt)


def _shortest(start: F64, end: F64) -> F64:
    """Rotations [T, 3, 3] without twist from directions [T, 3] to others."""
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, np.sum(start * end, axis=1, keepdims=True))
    return from_axis_angle(axis / sine.clip(1e-12) * angle)


@lru_cache(maxsize=1)
def skin_from_points() -> F64:
    """``[160, 48]``: the mix of the 48 points that comes nearest to each vertex; rows sum to 1.

    Least squares over bodies of all builds in random poses of walking size, with the points themselves drawn
    to small shares, so that one misplaced point does not tear the skin.
    """
    rng = np.random.default_rng(0)
    points, vertices = [], []
    markers = coarse_mesh().markers
    for number in range(_BODIES):
        gender: Gender = "male" if number % 2 else "female"
        height = (1.62, 1.76)[number % 2] * rng.uniform(0.94, 1.06)
        bmi = rng.uniform(19.0, 30.0)
        body = Body.load("low").shape(BodyShape(rng.uniform(20, 70), gender, height, bmi * height**2))
        turns = rng.normal(0.0, 0.25, (_POSES, JOINTS, 3))
        turns[:, [16, 17], 0] += _HANGING
        turns[:, 0] = 0.0
        skinned, joints = body.pose(turns, np.zeros((_POSES, 3)))
        coarse = skinned[:, coarse_mesh().index]
        points.append(np.concatenate([joints, coarse[:, markers]], axis=1) - joints[:, :1])
        vertices.append(coarse - joints[:, :1])
    inputs = np.concatenate(points).swapaxes(1, 2).reshape(-1, POINTS).astype(np.float64)
    wanted = np.concatenate(vertices).swapaxes(1, 2).reshape(-1, VERTICES).astype(np.float64)
    heavy = np.full((1, POINTS), 1e3)  # so that moving all points moves the skin as far
    inputs, wanted = np.concatenate([inputs, heavy]), np.concatenate([wanted, np.full((1, VERTICES), 1e3)])
    gram = inputs.T @ inputs + _RIDGE * len(inputs) * np.eye(POINTS)
    return np.asarray(np.linalg.solve(gram, inputs.T @ wanted).T)

"""What is carried: solid meshes that follow hands or back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody
from gait3dlib.simulation.outfit._arms import carry
from gait3dlib.simulation.outfit._cut import Outfit, size_factor
from gait3dlib.simulation.outfit._motion import heading, lagged, nearest_rotation
from gait3dlib.simulation.outfit._outline import directions, radial
from gait3dlib.simulation.outfit._solids import Solid, band, bar, bar_faces, cuboid, dome, rounded_box
from gait3dlib.simulation.posture import about

F64 = NDArray[np.float64]
Faces = NDArray[np.int32]
THORAX, HEAD, HANDS = 9, 15, (22, 23)
PENDULUM_S = 0.1


@dataclass(frozen=True)
class Posed:
    """A body in motion: skin ``[T, V, 3]``, world rotations ``[T, 24, 3, 3]``, joints ``[T, 24, 3]`` and
    times ``[T]``."""

    skin: NDArray[np.float32]
    turned: F64
    joints: F64
    t_s: F64


class Thing(Protocol):
    """Something carried: its triangles, and its vertices ``[T, n, 3]`` in each frame."""

    faces: Faces

    def place(self, posed: Posed) -> F64: ...


def make_thing(body: ShapedBody, outfit: Outfit) -> Thing | None:
    """What the outfit carries, in a size for this body (as dressed); None for nothing."""
    makers: dict[str, Callable[[ShapedBody, Outfit], Thing]] = {
        "bag": Bag,
        "backpack": Backpack,
        "box": Box,
        "umbrella": Umbrella,
    }
    maker = makers.get(outfit.carried)
    return None if maker is None else maker(body, outfit)


class Bag:
    """A bag that hangs from one hand by two handles, and swings like a pendulum."""

    def __init__(self, body: ShapedBody, outfit: Outfit) -> None:
        draw, size = outfit.rng(4).random(4), size_factor(body.height_m)
        length, width = (0.28 + 0.2 * draw[0]) * size, (0.09 + 0.1 * draw[1]) * size
        height = (0.22 + 0.16 * draw[2]) * size
        self._handle = (0.1 + 0.1 * draw[3]) * size
        self._hand = HANDS[outfit.side]
        self._bag, faces = rounded_box((length, width, height), sharpness=5.0, top=0.85)
        self._bag[:, 2] -= self._handle + height / 2
        self._ends = [np.array([x * length, 0.0, -self._handle - 0.02]) for x in (-0.25, 0.25)]
        self.faces = joined([len(self._bag), 14, 14], [faces, bar_faces(), bar_faces()])

    def place(self, posed: Posed) -> F64:
        hand = posed.joints[:, self._hand]
        facing = heading(posed.turned[:, 0])
        inside = np.einsum("tji,tj->ti", facing, hand - posed.joints[:, 0])
        behind = lagged(inside, posed.t_s, PENDULUM_S) - inside
        pitch = np.clip(behind[:, 0] / 0.35, -0.5, 0.5)
        roll = np.clip(behind[:, 1] / 0.35, -0.3, 0.3)
        frame = facing @ _tilted(pitch, roll)
        ends = [hand + np.einsum("tij,j->ti", frame, end) for end in self._ends]
        handles = [bar(hand, end, 0.008, frame[:, :, 1]) for end in ends]
        return np.concatenate([_moved(self._bag, frame, hand), *handles], axis=1)


class Backpack:
    """A pack on the back, over coat or skin, with two straps over the shoulders."""

    def __init__(self, body: ShapedBody, outfit: Outfit) -> None:
        draw, size = outfit.rng(4).random(4), size_factor(body.height_m)
        depth, width = (0.12 + 0.12 * draw[0]) * size, (0.26 + 0.08 * draw[1]) * size
        height = (0.36 + 0.16 * draw[2]) * size
        centre_z = float(body.joints[12, 2]) - (0.02 + 0.05 * draw[3]) * size - height / 2
        pack, faces = rounded_box((depth, width, height), sharpness=3.5, top=0.85)
        trunk = _trunk(body, centre_z, 0.8 * height)
        self._anchor = trunk[np.abs(body.vertices[trunk, 1]) < 0.4 * width]
        back = body.vertices[self._anchor]
        self._anchor = self._anchor[back[:, 0] < np.median(back[:, 0])]
        back = body.vertices[self._anchor].astype(np.float64)
        pack += [float(np.quantile(back[:, 0], 0.2)) - depth / 2 + 0.015, 0.0, centre_z]
        straps = [
            _strap(body, sign * 0.36 * width, centre_z - 0.4 * height, 0.045 * size) for sign in (1.0, -1.0)
        ]
        parts = [(pack, faces), *straps]
        self._pack = np.concatenate([points for points, _ in parts]) - back.mean(axis=0)
        self.faces = joined([len(points) for points, _ in parts], [faces for _, faces in parts])

    def place(self, posed: Posed) -> F64:
        frame = nearest_rotation(posed.turned[:, 6] + posed.turned[:, 9])
        return _moved(self._pack, frame, posed.skin[:, self._anchor].mean(axis=1, dtype=np.float64))


class Box:
    """A box in front of the belly, between both hands."""

    def __init__(self, body: ShapedBody, outfit: Outfit) -> None:
        draw, size = outfit.rng(4).random(2), size_factor(body.height_m)
        depth, height = (0.22 + 0.16 * draw[0]) * size, (0.18 + 0.2 * draw[1]) * size
        still = np.tile(np.eye(3), (1, 24, 1, 1))
        joints = body.pose_joints(carry(still, outfit, np.zeros(1)), np.zeros((1, 3)))[0]
        left, right = joints[HANDS[0]], joints[HANDS[1]]
        width = max(float(left[1] - right[1]) - 0.05 * size, 0.12)
        hand = (left + right) / 2
        front = _front(body, float(hand[2]), height)
        self._box, self.faces = cuboid((depth, width, height))
        self._box[:, 0] += max(front + depth / 2 + 0.01 - float(hand[0]), 0.0)
        self._box[:, 2] += 0.2 * height

    def place(self, posed: Posed) -> F64:
        hands = posed.joints[:, HANDS].mean(axis=1)
        return _moved(self._box, heading(posed.turned[:, THORAX]), hands)


class Umbrella:
    """An open umbrella over the head, its stick in one hand."""

    def __init__(self, body: ShapedBody, outfit: Outfit) -> None:
        draw, size = outfit.rng(4).random(3), size_factor(body.height_m)
        radius = (0.44 + 0.16 * draw[0]) * size
        self._above = float(body.vertices[:, 2].max() - body.joints[HEAD, 2]) + (0.14 + 0.1 * draw[1]) * size
        self._hand, self._over = HANDS[outfit.side], 0.35 + 0.3 * draw[2]
        self._dome, faces = dome(radius, 0.45 * radius, 8)
        self._above += 0.3 * radius
        self._grip, self._tip = 0.1 * size, 0.06 * size
        self.faces = joined([len(self._dome), 14], [faces, bar_faces()])

    def place(self, posed: Posed) -> F64:
        hand, head = posed.joints[:, self._hand], posed.joints[:, HEAD]
        apex = hand + self._over * (head - hand)
        apex[:, 2] = head[:, 2] + self._above
        along = apex - hand
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
        first = heading(posed.turned[:, THORAX])[:, :, 0]
        second = np.cross(along, first)
        second = second / np.linalg.norm(second, axis=1, keepdims=True)
        frame = np.stack([np.cross(second, along), second, along], axis=2)
        stick = bar(hand - self._grip * along, apex + self._tip * along, 0.008, first)
        return np.concatenate([_moved(self._dome, frame, apex), stick], axis=1)


def joined(counts: list[int], faces: list[Faces]) -> Faces:
    """Triangles of meshes whose vertices, that many each, are written one after the other."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.concatenate([f + s for f, s in zip(faces, starts, strict=True)]).astype(np.int32)


def _moved(points: F64, frame: F64, place: F64) -> F64:
    """Points ``[n, 3]`` in frames ``[T, 3, 3]`` at places ``[T, 3]``: ``[T, n, 3]``."""
    return np.asarray(points @ frame.transpose(0, 2, 1) + place[:, None])


def _tilted(pitch: F64, roll: F64) -> F64:
    """Rotations ``[T, 3, 3]`` that move what hangs down by these angles forwards and to the left."""
    return np.asarray(about(1, np.rad2deg(-pitch)) @ about(0, np.rad2deg(roll)))


def _trunk(body: ShapedBody, z: float, height: float) -> NDArray[np.intp]:
    """Vertices of the trunk within a height about z at rest."""
    lower = body.weights[:, [0, 1, 2, 3, 6, 9]].sum(axis=1) > 0.5
    return np.flatnonzero(lower & (np.abs(body.vertices[:, 2] - z) < height / 2))


def _strap(body: ShapedBody, y: float, low: float, width_m: float) -> Solid:
    """A band over one shoulder: the convex outline of the trunk at a distance ``y`` from the middle."""
    skin = body.vertices.astype(np.float64)
    trunk = body.weights[:, [0, 3, 6, 9, 12, 13, 14]].sum(axis=1) > 0.5
    near = skin[trunk & (np.abs(skin[:, 1] - y) < 0.035) & (skin[:, 2] > low)][:, [0, 2]]
    centre = (near.min(axis=0) + near.max(axis=0)) / 2
    return band(centre, radial(((near - centre) @ directions(28)).max(axis=0)), y, width_m=width_m)


def _front(body: ShapedBody, z: float, height: float) -> float:
    return float(body.vertices[_trunk(body, z, max(height, 0.2)), 0].max())

"""One cycle of a person's walk, with feet that stand still while they bear weight.

Joint angles come from the style (:mod:`gait3dlib.simulation.posture`). The root moves so that the lowest
points of the bearing feet rest on the ground; the amplitude of the hips is solved for the wanted stride.
What slides still, because two feet on the ground disagree, is taken up by moving each foot and solving
its leg (two bones, law of cosines) for the new place of the ankle.

Known in world version 1: the toes keep ``CLEARANCE_M`` to the end of the swing, so the knee of the average
walk peaks at 78 % of the cycle (published: 72 %) and is some 15 degrees too bent in the last tenth of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import PARENTS, ShapedBody
from gait3dlib.body._skinning import forward_kinematics
from gait3dlib.simulation.posture import (
    LEFT,
    REFERENCE_SPEED,
    RIGHT,
    about,
    foot_orientation,
    joint_rotations,
)
from gait3dlib.simulation.style import GaitStyle

Array = NDArray[np.float64]
SAMPLES = 120  # of a cycle; 3 degrees of phase between two
CONTACT_M = 0.006  # heights in which a point of the sole shares the load
CLEARANCE_M = 0.012  # least height of the toes in mid swing
RELEASE_M = 0.03  # a foot whose own motion lifts it this high in double support has left the ground
SIDES = ((LEFT, 0), (RIGHT, 1))


@dataclass(frozen=True)
class Cycle:
    """One stride of steady walking along +x, periodic but for the way.

    Attributes:
        rotations: ``[SAMPLES, 24, 3, 3]``, local.
        root: ``[SAMPLES, 3]`` translation, metres; after a whole cycle x has grown by ``stride_m``.
        bearing: ``[SAMPLES, 2]`` 0 to 1, how firmly left and right foot stand.
        stride_m: way of a cycle.
        stride_s: time of a cycle.
    """

    rotations: Array
    root: Array
    bearing: Array
    stride_m: float
    stride_s: float

    @property
    def speed_m_s(self) -> float:
        """Mean walking speed."""
        return self.stride_m / self.stride_s

    @property
    def cadence_per_min(self) -> float:
        """Steps a minute."""
        return 120.0 / self.stride_s

    def at(self, phase: Array) -> tuple[Array, Array]:
        """Local rotations ``[T, 24, 3, 3]`` and translation ``[T, 3]`` at phases in cycles."""
        place = (phase % 1.0) * SAMPLES
        low = place.astype(int) % SAMPLES
        high = (low + 1) % SAMPLES
        share = place - np.floor(place)
        mixed = self.rotations[low] + share[:, None, None, None] * (
            self.rotations[high] - self.rotations[low]
        )
        nearby = self.root[high] + np.where(high < low, self.stride_m, 0.0)[:, None] * [1.0, 0.0, 0.0]
        root = self.root[low] + share[:, None] * (nearby - self.root[low])
        root[:, 0] += np.floor(phase) * self.stride_m
        return _orthonormal(mixed), root


def walking_cycle(body: ShapedBody, style: GaitStyle, *, walk_ratio: float, speed_m_s: float) -> Cycle:
    """Solve one cycle.

    Args:
        body: whose legs.
        style: whose manner.
        walk_ratio: step length over cadence, metres per (step a minute); with the speed it gives both.
        speed_m_s: mean speed.
    """
    step_m = np.sqrt(walk_ratio * speed_m_s * 60.0)
    stride_m, stride_s = 2.0 * step_m, 2.0 * step_m / speed_m_s
    legs = _Legs(body, style, speed_m_s / REFERENCE_SPEED)
    gain, before = 0.95 * stride_m / (0.81 * body.height_m), None
    for _ in range(5):
        way = legs.unlocked(gain)[1]
        slope = way / gain if before is None else (way - before[1]) / (gain - before[0])
        before, gain = (gain, way), float(np.clip(gain + (stride_m - way) / slope, 0.25, 2.2))
        if abs(way - stride_m) < 1e-3:
            break
    rotations, way, root = legs.unlocked(gain)
    root[:, 0] += (stride_m - way) * legs.phase
    rotations, root, bearing = legs.lock(rotations, root, gain, stride_m)
    return Cycle(rotations, root, bearing, float(stride_m), float(stride_s))


class _Legs:
    """Everything about the solution that does not depend on the hips' amplitude."""

    def __init__(self, body: ShapedBody, style: GaitStyle, pace: float) -> None:
        self.body, self.style, self.pace = body, style, pace
        self.phase = np.arange(SAMPLES) / SAMPLES
        self.offsets = body.joints - body.joints[np.array(PARENTS)]
        self.offsets[0] = body.joints[0]
        stance = np.clip(0.635 - 0.07 * (pace - 1.0), 0.58, 0.68)
        self.bearing = np.stack(
            [_window(self.phase, -0.005, stance), _window(self.phase + 0.5, -0.005, stance)], 1
        )
        self.soles = [_sole(body, side, first) for side, first in SIDES]
        self.toe_yaw = [_toe_yaw(body, side, first) for side, first in SIDES]

    def kinematics(self, rotations: Array, root: Array) -> tuple[Array, Array]:
        """World rotations and positions of all joints."""
        return forward_kinematics(rotations, self.offsets, root + self.offsets[0], PARENTS)

    def contacts(self, world: Array, joints: Array) -> Array:
        """Heel, ball and toe of both feet in the world ``[T, 2, 3, 3]``."""
        out = np.empty((len(world), 2, 3, 3))
        for foot, (heel, ball, tip) in enumerate(self.soles):
            for k, (joint, point) in enumerate(((7 + foot, heel), (7 + foot, ball), (10 + foot, tip))):
                out[:, foot, k] = joints[:, joint] + world[:, joint] @ point
        return out

    def unlocked(self, gain: float) -> tuple[Array, float, Array]:
        """Rotations, way of a cycle and root when the feet may still slide."""
        rotations = joint_rotations(self.style, self.phase, stride_gain=gain, pace=self.pace)
        world, joints = self.kinematics(rotations, np.zeros((SAMPLES, 3)))
        for side, first in SIDES:
            own = self.phase if side == LEFT else self.phase + 0.5
            foot = foot_orientation(self.style, own, side, stride_gain=gain, rest_yaw=self.toe_yaw[first])
            rotations[:, 7 + first] = world[:, 4 + first].transpose(0, 2, 1) @ foot
        world, joints = self.kinematics(rotations, np.zeros((SAMPLES, 3)))
        points = self.contacts(world, joints)
        heights = points[..., 2] + 0.15 * (1.0 - self.bearing[:, :, None])
        load = _softmin_weights(heights.reshape(SAMPLES, 6)).reshape(SAMPLES, 2, 3)
        low = np.sum(load * heights, axis=(1, 2))
        speed = -np.sum(load * _derivative(points[..., 0]), axis=(1, 2)) / SAMPLES
        way = float(speed.sum())
        root = np.zeros((SAMPLES, 3))
        root[:, 0] = np.cumsum(speed) - speed - way * self.phase
        root[:, 0] = _smooth(root[:, 0]) + way * self.phase
        # towards the bearing leg; some 4 cm from side to side on a normal base (MacKinnon and Winter 1993)
        sway = self.style.lateral_shift_gain * (0.008 + 0.14 * self.style.step_width_m) / self.pace**0.5
        root[:, 1] = sway * np.sin(2 * np.pi * (self.phase - 0.06))
        root[:, 2] = _smooth(-low)
        return rotations, way, root

    def lock(self, rotations: Array, root: Array, gain: float, stride_m: float) -> tuple[Array, Array, Array]:
        """Move each foot so that it stands while it bears, and solve the legs for it."""
        root, rotations = root.copy(), rotations.copy()
        world, joints = self.kinematics(rotations, root)
        self.bearing = self.bearing * _lowness(self.contacts(world, joints)[..., 2].min(axis=2))
        for _ in range(3):
            world, joints = self.kinematics(rotations, root)
            targets = self._targets(world, joints, stride_m)
            sink = self._overreach(joints, targets)
            root[:, 2] -= sink
            joints[..., 2] -= sink[:, None]
            for foot in (0, 1):
                _solve_leg(rotations, world, joints, targets[:, foot], foot)
        return rotations, root, self.bearing

    def _targets(self, world: Array, joints: Array, stride_m: float) -> Array:
        """Places of both ankles ``[T, 2, 3]`` with standing feet."""
        points = self.contacts(world, joints)
        out = joints[:, 7:9].copy()
        for foot, side in enumerate((LEFT, RIGHT)):
            bearing = self.bearing[:, foot]
            load = _softmin_weights(points[:, foot, :, 2])
            steady = points[:, foot] - np.array([stride_m, 0.0, 0.0]) * self.phase[:, None, None]
            speed = _derivative(steady.reshape(SAMPLES, -1)).reshape(SAMPLES, 3, 3) / SAMPLES
            speed[..., 0] += stride_m / SAMPLES
            slip = bearing[:, None] * np.sum(load[..., None] * speed, axis=1)[:, :2]
            give_back = (1.0 - bearing) / np.sum(1.0 - bearing)
            change = -slip + give_back[:, None] * slip.sum(axis=0)
            moved = np.cumsum(change, axis=0) - change
            moved -= np.sum(bearing[:, None] * moved, axis=0) / bearing.sum()
            middle = np.sum(bearing * (out[:, foot, 1] + moved[:, 1])) / bearing.sum()
            moved[:, 1] += side * self.style.step_width_m / 2 - middle
            out[:, foot, :2] += moved
            low = np.sum(load * points[:, foot, :, 2], axis=1)
            free = np.logaddexp(0.0, (CLEARANCE_M * (1.0 - bearing) - low) / 0.004) * 0.004
            out[:, foot, 2] += bearing * -low + (1.0 - bearing) * free
        return out

    def _overreach(self, joints: Array, targets: Array) -> Array:
        """How far ``[T]`` the pelvis must sink for both legs to reach, smoothed over the cycle."""
        excess = np.zeros(SAMPLES)
        for foot in (0, 1):
            longest = 0.9995 * float(np.sum(np.linalg.norm(self.offsets[[4 + foot, 7 + foot]], axis=1)))
            away = targets[:, foot] - joints[:, 1 + foot]
            reach = np.sqrt(np.maximum(longest**2 - away[:, 0] ** 2 - away[:, 1] ** 2, 1e-6))
            excess = np.maximum(excess, -away[:, 2] - reach)
        return np.asarray(1.15 * _smooth(excess))


def _solve_leg(rotations: Array, world: Array, joints: Array, ankle: Array, foot: int) -> None:
    """Change hip, knee and ankle rotations in place so that the ankle is at ``[T, 3]``; the foot keeps
    its orientation in the world."""
    hip, knee, end = 1 + foot, 4 + foot, 7 + foot
    thigh, shank = _rest(world, joints, hip, knee), _rest(world, joints, knee, end)
    away = ankle - joints[:, hip]
    cosine = thigh[0] * shank[0] + thigh[2] * shank[2]
    sine = thigh[0] * shank[2] - thigh[2] * shank[0]
    fixed = thigh @ thigh + shank @ shank + 2 * thigh[1] * shank[1]
    ratio = (np.sum(away**2, axis=1) - fixed) / (2 * np.hypot(cosine, sine))
    bend = np.arctan2(sine, cosine) + np.arccos(np.clip(ratio, -1.0, 1.0))
    hinge = about(1, np.rad2deg(bend))
    leg = np.einsum("tij,tj->ti", world[:, hip], thigh + hinge @ shank)
    hip_world = _shortest(leg, away) @ world[:, hip]
    pelvis = world[:, 0].transpose(0, 2, 1)
    shank_world = hip_world @ hinge
    rotations[:, hip] = pelvis @ hip_world
    rotations[:, knee] = hinge
    rotations[:, end] = shank_world.transpose(0, 2, 1) @ world[:, end]


def _rest(world: Array, joints: Array, start: int, end: int) -> Array:
    return world[0, start].T @ (joints[0, end] - joints[0, start])  # type: ignore[no-any-return]


def _shortest(start: Array, end: Array) -> Array:
    """Rotations ``[T, 3, 3]`` without twist from directions ``start`` to ``end`` (both ``[T, 3]``)."""
    a = start / np.linalg.norm(start, axis=1, keepdims=True)
    b = end / np.linalg.norm(end, axis=1, keepdims=True)
    v = np.cross(a, b)
    cross = np.zeros((len(a), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    cross -= cross.transpose(0, 2, 1)
    scale = 1.0 / (1.0 + np.sum(a * b, axis=1))
    return np.asarray(np.eye(3) + cross + cross @ cross * scale[:, None, None])


def _sole(body: ShapedBody, side: float, first: int) -> tuple[Array, Array, Array]:
    """Heel and ball in the foot's frame, tip of the toes in the toes' frame."""
    ankle, toes = body.joints[7 + first], body.joints[10 + first]
    skin = body.vertices.astype(np.float64)
    foot = skin[(side * skin[:, 1] > 0) & (skin[:, 2] < 0.7 * ankle[2])]
    along = toes[:2] - ankle[:2]
    along = along / np.linalg.norm(along)
    reach = (foot[:, :2] - ankle[:2]) @ along
    back, front = float(reach.min()) + 0.015, float(reach.max()) - 0.012
    ground = [np.append(ankle[:2] + along * x, 0.0) for x in (back, front)]
    ball = np.append(toes[:2], 0.0)
    return ground[0] - ankle, ball - ankle, ground[1] - toes


def _toe_yaw(body: ShapedBody, side: float, first: int) -> float:
    along = body.joints[10 + first] - body.joints[7 + first]
    return float(side * np.rad2deg(np.arctan2(along[1], along[0])))


def _window(phase: Array, start: float, stop: float, edge: float = 0.02) -> Array:
    """1 from ``start`` to ``stop`` of each cycle, 0 elsewhere, with smooth edges."""
    middle, half = (start + stop) / 2, (stop - start) / 2
    away = np.abs((phase - middle + 0.5) % 1.0 - 0.5) - half
    x = np.clip(0.5 - away / (2 * edge), 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _lowness(heights: Array) -> Array:
    """1 for a foot near the ground, 0 from ``RELEASE_M`` on: it is not pulled down to the ground."""
    x = np.clip(2.0 - 2.0 * heights / RELEASE_M, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _softmin_weights(heights: Array) -> Array:
    lifted = np.exp(-(heights - heights.min(axis=-1, keepdims=True)) / CONTACT_M)
    return lifted / lifted.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def _derivative(values: Array) -> Array:
    """Change a cycle of periodic samples along axis 0."""
    return (np.roll(values, -1, axis=0) - np.roll(values, 1, axis=0)) * (SAMPLES / 2)


def _smooth(values: Array, harmonics: int = 8) -> Array:
    """Periodic samples ``[T]`` without their fast part."""
    spectrum = np.fft.rfft(values)
    spectrum[harmonics + 1 :] = 0.0
    return np.fft.irfft(spectrum, len(values))


def _orthonormal(matrices: Array) -> Array:
    """Nearly orthonormal matrices made so: one Newton step of the polar decomposition, twice."""
    for _ in range(2):
        matrices = 1.5 * matrices - 0.5 * matrices @ matrices.swapaxes(-1, -2) @ matrices
    return matrices

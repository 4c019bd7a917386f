"""A walker's stride out of the gait prior, with feet that stand still while they bear weight.

The segments move as the prior says of this person and speed; the legs' amplitude is solved for the wanted
stride; then the feet are put on the ground as in :mod:`gait3dlib.simulation.motion`. Both give a
:class:`~gait3dlib.simulation.motion.Cycle`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody
from gait3dlib.simulation.curves import curve
from gait3dlib.simulation.manner import Manner
from gait3dlib.simulation.motion import (
    SAMPLES,
    SIDES,
    Cycle,
    _derivative,
    _Legs,
    _smooth,
    _softmin_weights,
    _window,
)
from gait3dlib.simulation.posture import LEFT, REFERENCE_SPEED, about
from gait3dlib.simulation.prior import SEGMENTS, TERMS, GaitPrior, local
from gait3dlib.simulation.style import GaitStyle

Array = NDArray[np.float64]
GRAVITY = 9.81
FROUDE_REACH = 0.15  # speeds so far from the prior's mean were measured; beyond, the slope is not followed
CLEARANCE_M = 0.012  # least height of the toes in mid swing
SWING_M = 0.15  # a swinging foot counts as so much higher: it carries nothing
STANCE = 0.605  # of a cycle at REFERENCE_FROUDE, shorter at speed; biomechZoo's force plates say the same
REFERENCE_FROUDE = 0.46
LATE_SWING = 0.87  # of a side's cycle: from here on only the ground stops the foot
HEEL_RISE = 1.08  # our ball of the foot lies nearer to the ankle than the markers' one
STRAIGHT = 0.998  # of thigh and shank: the longest leg; a knee bent by 7 degrees moves without a snap
FLAT = (0.14, 0.32)  # of a side's cycle: the sole is flat


def prior_cycle(
    body: ShapedBody,
    manner: Manner,
    *,
    walk_ratio: float,
    speed_m_s: float,
    prior: GaitPrior | None = None,
) -> Cycle:
    """Solve one cycle.

    Args:
        body: whose legs.
        manner: whose manner.
        walk_ratio: step length over cadence, metres per (step a minute); with the speed it gives both.
        speed_m_s: mean speed.
        prior: the shipped one by default.

    Raises:
        InputError: the manner was drawn from a prior of another rank.
    """
    step_m = float(np.sqrt(walk_ratio * speed_m_s * 60.0))
    stride_m, stride_s = 2.0 * step_m, 2.0 * step_m / speed_m_s
    legs = _PriorLegs(body, manner, speed_m_s, prior or GaitPrior.load())
    gain, before = 1.0, None
    for _ in range(6):
        way = legs.unlocked(gain)[1]
        slope = way / gain if before is None else (way - before[1]) / (gain - before[0])
        before, gain = (gain, way), float(np.clip(gain + (stride_m - way) / slope, 0.6, 1.6))
        if abs(way - stride_m) < 1e-3 or gain == before[0]:
            break
    rotations, way, root = legs.unlocked(gain)
    root[:, 0] += (stride_m - way) * legs.phase
    rotations, root, bearing = legs.lock(rotations, root, gain, stride_m)
    return Cycle(rotations, root, bearing, stride_m, stride_s)


class _PriorLegs(_Legs):
    """The solver of :mod:`gait3dlib.simulation.motion`, moved by the prior."""

    def __init__(self, body: ShapedBody, manner: Manner, speed_m_s: float, prior: GaitPrior) -> None:
        super().__init__(body, GaitStyle(step_width_m=manner.step_width_m), speed_m_s / REFERENCE_SPEED)
        self.manner, self.prior = manner, prior
        self.leg_m = float(np.linalg.norm(self.offsets[[4, 5, 7, 8]], axis=1).sum() / 2)
        froude = speed_m_s / np.sqrt(GRAVITY * self.leg_m)
        stance = float(np.clip(STANCE - 0.08 * (froude / REFERENCE_FROUDE - 1.0), 0.54, 0.66))
        self.bearing = np.stack([_window(self.phase + late, 0.0, stance) for late in (0.0, 0.5)], axis=1)
        reached = np.clip(froude - prior.froude_speed, -FROUDE_REACH, FROUDE_REACH)
        self.coefficients = prior.coefficients(np.array(manner.person), prior.froude_speed + float(reached))
        self.feet = self._feet()

    def _feet(self) -> Array:
        """Orientations ``[SAMPLES, 2, 3, 3]`` of both feet in the world, flat in mid stance."""
        out = np.empty((SAMPLES, 2, 3, 3))
        for side, foot in SIDES:
            own = self._own_phase(side)
            around = (own - 0.55 + 0.5) % 1.0 - 0.5
            late = self.manner.push_off * np.exp(-((around / 0.12) ** 2))
            feet = self.prior.decode(self.coefficients, self.phase - late)[0][:, 7 + foot]
            up = feet[(own >= FLAT[0]) & (own < FLAT[1]), 2].mean(axis=0)
            up /= np.linalg.norm(up)
            ahead = np.cross(np.array([0.0, 1.0, 0.0]), up)
            ahead /= np.linalg.norm(ahead)
            flat = feet @ np.stack([ahead, np.cross(up, ahead), up]).T
            outward = about(2, np.array(side * self.manner.toe_out))
            out[:, foot] = outward @ flat @ about(1, _heel_rise(flat, own))
        return out

    def _own_phase(self, side: float) -> Array:
        return self.phase if side == LEFT else (self.phase + 0.5) % 1.0

    def _decoded(self, gain: float) -> tuple[Array, Array]:
        """Local rotations and sway with the manner's knobs and the legs' amplitude."""
        manner = self.manner
        table = self.coefficients.reshape(-1, TERMS).copy()
        for segment, size in _gains(manner, gain).items():
            row = 3 * SEGMENTS.index(segment)
            table[row : row + 3, 1:] *= size
        table[0, 1:] *= manner.pelvis_obliquity
        world, sway = self.prior.decode(table.reshape(-1), self.phase)
        for side, foot in SIDES:
            lifted = about(0, np.array(side * manner.arm_abduction))
            for segment in (16, 18, 20, 22):
                world[:, segment + foot] = lifted @ world[:, segment + foot]
            world[:, 7 + foot] = self.feet[:, foot]
            bend = curve("toe_extension", self._own_phase(side) - manner.push_off)
            world[:, 10 + foot] = world[:, 7 + foot] @ about(1, -bend)
        # who leans or stoops still looks ahead, and the arms still hang
        stoop = manner.kyphosis * np.array([-0.15, 0.4, 1.0]) + manner.trunk_lean
        for segment, degrees in zip((3, 6, 9), stoop, strict=True):
            world[:, segment] = about(1, np.array(degrees)) @ world[:, segment]
        for segment in (12, 13, 14):
            world[:, segment] = about(1, np.array(stoop[-1] / 2)) @ world[:, segment]
        return local(world), sway

    def unlocked(self, gain: float) -> tuple[Array, float, Array]:
        """Rotations, way of a cycle and root when the feet may still slide."""
        rotations, sway = self._decoded(gain)
        world, joints = self.kinematics(rotations, np.zeros((SAMPLES, 3)))
        points = self.contacts(world, joints)
        heights = points[..., 2] + SWING_M * (1.0 - self.bearing[:, :, None])
        load = _softmin_weights(heights.reshape(SAMPLES, 6)).reshape(heights.shape)
        speed = -np.sum(load * _derivative(points[..., 0]), axis=(1, 2)) / SAMPLES
        way = float(speed.sum())
        root = np.zeros((SAMPLES, 3))
        root[:, 0] = _smooth(np.cumsum(speed) - speed - way * self.phase) + way * self.phase
        root[:, 1] = sway[:, 1] * self.leg_m
        root[:, 2] = _smooth(-np.sum(load * heights, axis=(1, 2)))
        return rotations, way, root

    def _targets(self, world: Array, joints: Array, stride_m: float) -> Array:
        """Places of both ankles ``[T, 2, 3]`` with standing feet; a swinging foot clears the ground."""
        out = super()._targets(world, joints, stride_m)
        points = self.contacts(world, joints)
        for side, foot in SIDES:
            low = np.sum(_softmin_weights(points[:, foot, :, 2]) * points[:, foot, :, 2], axis=1)
            bearing = self.bearing[:, foot]
            own = self._own_phase(side)
            middle = np.clip((LATE_SWING - own) / 0.06, 0.0, 1.0)
            free = np.logaddexp(0.0, (CLEARANCE_M * (1.0 - bearing) * middle - low) / 0.004) * 0.004
            out[:, foot, 2] = joints[:, 7 + foot, 2] + bearing * -low + (1.0 - bearing) * free
        return out

    def _overreach(self, joints: Array, targets: Array) -> Array:
        """How far ``[T]`` the pelvis must sink for both legs to reach, with knees not quite straight."""
        excess = np.zeros(SAMPLES)
        for foot in (0, 1):
            longest = STRAIGHT * float(np.linalg.norm(self.offsets[[4 + foot, 7 + foot]], axis=1).sum())
            away = targets[:, foot] - joints[:, 1 + foot]
            reach = np.sqrt(np.maximum(longest**2 - away[:, 0] ** 2 - away[:, 1] ** 2, 1e-6))
            excess = np.maximum(excess, -away[:, 2] - reach)
        return np.asarray(1.15 * _smooth(excess))


def _heel_rise(foot: Array, own: Array) -> Array:
    """Degrees by which the heel rises further towards push-off."""
    pitch = np.rad2deg(np.arctan2(-foot[:, 2, 0], foot[:, 0, 0]))
    late = np.clip((own - 0.28) / 0.05, 0.0, 1.0) * np.clip((0.7 - own) / 0.06, 0.0, 1.0)
    return np.asarray((HEEL_RISE - 1.0) * np.maximum(pitch, 0.0) * late)


def _gains(manner: Manner, gain: float) -> dict[int, float]:
    """Amplitudes of the segments that swing, about the person's own."""
    out = {3: manner.trunk_sway, 6: manner.trunk_sway, 9: manner.trunk_sway}
    for side, foot in SIDES:
        own = gain * (1.0 + side * manner.asymmetry / 2)
        out[1 + foot] = out[4 + foot] = own
        out[16 + foot] = out[18 + foot] = manner.arm_swing * (1.0 - side * manner.asymmetry)
    return out

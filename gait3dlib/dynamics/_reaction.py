"""The ground's reaction on both feet, from the motion of the whole body or with what plates measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.dynamics._contact import ANKLES, BALLS, Contact, support_weights
from gait3dlib.dynamics._tree import STANDARD_GRAVITY, SegmentMotion

F64 = NDArray[np.float64]
# along the foot from the ball, in lengths from ankle to ball
HEEL, TOE = -1.35, 0.35
HALF_WIDTH = 0.35
# where the lines of action of both feet's forces meet above the floor, in units of the centre of mass's
# height (the virtual pivot point of Maus et al., Nature Communications 1, 2010)
PIVOT = 1.3
# of the share of the weight that follows the zero-moment point, beside what follows time
LEVER = 0.3


@dataclass(frozen=True, eq=False)
class Reaction:
    """The ground's reaction on the left and right foot.

    Attributes:
        force: ``[T, 2, 3]`` newtons for a body of the given masses.
        point: ``[T, 2, 3]`` where it acts, metres; NaN where it is zero.
        moment: ``[T, 2, 3]`` free moment there.
        known: bool ``[T, 2]``, where Newton's law or a plate tells it, and no rule.
    """

    force: Tensor
    point: Tensor
    moment: Tensor
    known: NDArray[np.bool_]


def whole_body(mass: Tensor, inertia: Tensor, motion: SegmentMotion) -> tuple[Tensor, Tensor, Tensor]:
    """What must act on the body from outside, by Newton's and Euler's laws.

    Returns:
        Centre of mass, force, and moment about the centre of mass, each ``[T, 3]``.
    """
    share = (mass / mass.sum())[:, None]
    centre = (share * motion.centre).sum(-2)
    up = motion.centre.new_tensor([0.0, 0.0, STANDARD_GRAVITY])
    forces = mass[:, None] * (motion.centre_acceleration + up)
    world = motion.rotation @ inertia @ motion.rotation.transpose(-1, -2)
    spin = (world @ motion.angular_velocity[..., None])[..., 0]
    turning = (world @ motion.angular_acceleration[..., None])[..., 0]
    turning = turning + torch.linalg.cross(motion.angular_velocity, spin)
    arms = motion.centre - centre[:, None]
    return centre, forces.sum(-2), (turning + torch.linalg.cross(arms, forces)).sum(-2)


def infer_reaction(mass: Tensor, inertia: Tensor, motion: SegmentMotion, contact: Contact) -> Reaction:
    """The reaction of both feet from motion and contact.

    In single support the force is Newton's, and acts where it leaves no moment about a horizontal axis, as
    long as that lies in the foot. In double support, both feet together bear Newton's force; how they share
    it is indeterminate and follows a smooth rule: the weight passes in time and with the zero-moment point,
    both forces pass near one point above the centre of mass, and what then is left of the horizontal force is
    shared like the weight.
    """
    centre, total, about = whole_body(mass, inertia, motion)
    zero = zero_moment_point(centre, total, about, contact.floor_m)
    lever = _lever(zero, motion.joint)
    timed, open_ = support_weights(contact.on)
    mixed = torch.from_numpy(timed)
    passing = torch.from_numpy(open_)[:, None]
    standing = torch.isnan(mixed)
    mixed = torch.where(standing, lever, torch.where(passing, (1 - LEVER) * mixed + LEVER * lever, mixed))
    point = _points(zero, motion.joint, contact, timed)
    upward = mixed * total[:, None, 2].clamp(min=0)
    pivot = centre * total.new_tensor([1, 1, PIVOT]) + total.new_tensor([0, 0, (1 - PIVOT) * contact.floor_m])
    aim = (pivot[:, None] - point)[..., :2] / (pivot[:, None, 2:] - point[..., 2:])
    across = torch.where(passing[..., None], aim * upward[..., None], mixed[..., None] * total[:, None, :2])
    left_over = total[:, None, :2] - across.sum(1, keepdim=True)
    standing_any = torch.from_numpy(contact.on.any(axis=1))[:, None, None]
    across = across + torch.where(standing_any, mixed[..., None] * left_over, torch.zeros_like(left_over))
    force = torch.cat([across, upward[..., None]], -1)
    known = np.repeat(~open_[:, None], 2, axis=1)
    return Reaction(force, point, torch.zeros_like(force), known)


def with_measured(inferred: Reaction, measured: Tensor, total: Tensor, contact: Contact) -> Reaction:
    """Measured reactions where there are any; the other foot bears the rest of Newton's force.

    Args:
        inferred: from motion.
        measured: ``[T, 2, 9]`` force, point, free moment; NaN = not measured.
        total: ``[T, 3]`` Newton's force.
        contact: of the feet.
    """
    have = torch.isfinite(measured[..., :3]).all(-1)
    force = torch.where(have[..., None], measured[..., :3].nan_to_num(), inferred.force)
    rest = total[:, None] - force.flip(1)
    alone = ~have & have.flip(1) & torch.from_numpy(contact.on)
    force = torch.where(alone[..., None], rest, force)
    point = torch.where(
        torch.isfinite(measured[..., 3:6]) & have[..., None], measured[..., 3:6].nan_to_num(), inferred.point
    )
    moment = torch.where(have[..., None], measured[..., 6:].nan_to_num(), inferred.moment)
    known = have.numpy() | (alone.numpy()) | (inferred.known & ~have.flip(1).numpy())
    return Reaction(force, point, moment, known)


def zero_moment_point(centre: Tensor, force: Tensor, moment: Tensor, floor_m: float) -> Tensor:
    """Where on the floor the whole reaction acts, ``[T, 3]``; far away where there is no load."""
    upward = force[:, 2].clamp(min=1e-3 * float(force[:, 2].abs().max()) + 1e-9)
    drop = centre[:, 2] - floor_m
    x = centre[:, 0] - (moment[:, 1] + drop * force[:, 0]) / upward
    y = centre[:, 1] + (moment[:, 0] - drop * force[:, 1]) / upward
    return torch.stack([x, y, torch.full_like(x, floor_m)], -1)


def _lever(zero: Tensor, joints: Tensor) -> Tensor:
    """Shares ``[T, 2]`` of two feet between which the zero-moment point lies, by the law of the lever."""
    feet = ((joints[:, list(ANKLES)] + joints[:, list(BALLS)]) / 2)[..., :2]
    between = feet[:, 0] - feet[:, 1]
    left = ((zero[:, :2] - feet[:, 1]) * between).sum(-1) / (between**2).sum(-1).clamp(min=1e-6)
    left = left.clamp(0, 1)
    return torch.stack([left, 1 - left], -1)


def _points(zero: Tensor, joints: Tensor, contact: Contact, timed: F64) -> Tensor:
    """Centres of pressure ``[T, 2, 3]``: the zero-moment point as far as it lies in the sole.

    While the weight passes, it goes from the heel of the leading foot, and to the toes of the trailing one.
    """
    ankle, ball = joints[:, list(ANKLES)], joints[:, list(BALLS)]
    foot = ball - ankle
    length = foot.norm(dim=-1, keepdim=True).median(dim=0, keepdim=True).values
    ahead = foot[..., :2] / foot[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-9)
    beside = torch.stack([-ahead[..., 1], ahead[..., 0]], -1)
    reach = zero[:, None, :2] - ball[..., :2]
    along = ((reach * ahead).sum(-1, keepdim=True) / length).clamp(HEEL, TOE)
    side = ((reach * beside).sum(-1, keepdim=True) / length).clamp(-HALF_WIDTH, HALF_WIDTH)
    weight = torch.from_numpy(np.nan_to_num(timed, nan=0.5))[..., None]
    goal = torch.from_numpy(_goals(contact.on))[..., None]
    free = torch.isnan(goal)
    along = torch.where(free, along, weight * along + (1 - weight) * goal.nan_to_num())
    side = torch.where(free, side, weight * side)
    flat = ball[..., :2] + length * (along * ahead + side * beside)
    return torch.cat([flat, torch.full_like(flat[..., :1], contact.floor_m)], -1)


def _goals(on: NDArray[np.bool_]) -> F64:
    """Where along the foot the pressure starts or ends, in each half of its contact; NaN = unknown."""
    goal = np.full(on.shape, np.nan)
    for foot in (0, 1):
        edges = np.flatnonzero(np.diff(on[:, foot].astype(np.int8)))
        for edge in edges:
            landing = on[edge + 1, foot]
            other = edges[edges > edge] if landing else edges[edges < edge]
            if landing:
                stop = (edge + (other[0] if len(other) else len(on))) // 2
                goal[max(edge - 2, 0) : stop + 1, foot] = HEEL
            else:
                start = ((other[-1] if len(other) else 0) + edge) // 2
                goal[start : edge + 3, foot] = 0.15
    return goal

"""Recursive Newton-Euler over a tree of rigid segments, batched and differentiable in torch.

The equations are those of Featherstone, "Rigid Body Dynamics Algorithms" (2008), chapter 5, written in world
axes: forward over the tree for velocities and accelerations, backward for forces and moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gait3dlib.errors import InputError

STANDARD_GRAVITY = 9.80665  # m/s2


@dataclass(frozen=True, eq=False)
class RigidTree:
    """Rigid segments, each hanging on its parent by a joint; one segment a joint.

    Attributes:
        parents: ``[J]``, each joint's parent, which precedes it; -1 for a root.
        offsets: ``[J, 3]`` where the joint lies in its parent's frame, in metres; unused for a root.
        mass: ``[J]`` kilograms.
        centre: ``[J, 3]`` the segment's centre of mass in its own frame, whose origin is the joint.
        inertia: ``[J, 3, 3]`` about the centre of mass, in the segment's own axes, kg m2.
    """

    parents: tuple[int, ...]
    offsets: Tensor
    mass: Tensor
    centre: Tensor
    inertia: Tensor

    def __post_init__(self) -> None:
        check_parents(self.parents)
        joints = len(self.parents)
        shapes = {"offsets": (joints, 3), "mass": (joints,), "centre": (joints, 3), "inertia": (joints, 3, 3)}
        for name, shape in shapes.items():
            have = tuple(getattr(self, name).shape)
            if have != shape:
                raise InputError(f"{name} of a tree of {joints} joints must be {shape}, not {have}")


@dataclass(frozen=True, eq=False)
class SegmentMotion:
    """How segments move, in world axes; all ``[..., J, 3]``, rotations ``[..., J, 3, 3]``.

    Attributes:
        rotation: from the segment's axes to the world's.
        joint: the joint's position.
        joint_velocity: its velocity.
        centre: the centre of mass.
        centre_velocity: its velocity.
        centre_acceleration: its acceleration, without gravity.
        angular_velocity: of the segment.
        angular_acceleration: of the segment.
    """

    rotation: Tensor
    joint: Tensor
    joint_velocity: Tensor
    centre: Tensor
    centre_velocity: Tensor
    centre_acceleration: Tensor
    angular_velocity: Tensor
    angular_acceleration: Tensor


@dataclass(frozen=True, eq=False)
class ExternalLoad:
    """What acts on segments from outside, in world axes; all ``[..., J, 3]``.

    Attributes:
        force: in newtons.
        point: where the force acts, in metres.
        moment: a free moment beside it, in newton metres.
    """

    force: Tensor
    point: Tensor
    moment: Tensor


def check_parents(parents: Sequence[int]) -> None:
    """Parents must precede their children.

    Raises:
        InputError: they do not.
    """
    for joint, parent in enumerate(parents):
        if not -1 <= parent < joint:
            raise InputError(f"joint {joint} has parent {parent}; parents must precede their children")


def move_tree(
    tree: RigidTree,
    rotations: Tensor,
    velocities: Tensor,
    accelerations: Tensor,
    root: tuple[Tensor, Tensor, Tensor],
) -> SegmentMotion:
    """World motion of a tree whose joints turn as stated (the forward half of Newton-Euler).

    Args:
        tree: the segments.
        rotations: ``[..., J, 3, 3]`` of each segment relative to its parent (a root: to the world).
        velocities: ``[..., J, 3]`` angular velocity relative to the parent, in the segment's own axes, rad/s.
        accelerations: ``[..., J, 3]`` the time derivative of those three numbers, rad/s2.
        root: position, velocity and acceleration ``[..., 3]`` of the root joints in the world.
    """
    turned: list[Tensor] = []
    spin: list[Tensor] = []
    spin_up: list[Tensor] = []
    place: list[tuple[Tensor, Tensor, Tensor]] = []
    for joint, parent in enumerate(tree.parents):
        local = rotations[..., joint, :, :]
        if parent < 0:
            turned.append(local)
            spin.append(_apply(local, velocities[..., joint, :]))
            spin_up.append(_apply(local, accelerations[..., joint, :]))
            place.append(root)
            continue
        turned.append(turned[parent] @ local)
        relative = _apply(turned[joint], velocities[..., joint, :])
        spin.append(spin[parent] + relative)
        own = _apply(turned[joint], accelerations[..., joint, :])
        spin_up.append(spin_up[parent] + _cross(spin[parent], relative) + own)
        arm = _apply(turned[parent], tree.offsets[joint].expand_as(relative))
        place.append(_carried(place[parent], arm, spin[parent], spin_up[parent]))
    rotation, omega, alpha = torch.stack(turned, -3), torch.stack(spin, -2), torch.stack(spin_up, -2)
    position, velocity, acceleration = (torch.stack(part, -2) for part in zip(*place, strict=True))
    arm = _apply(rotation, tree.centre.expand_as(omega))
    centre, centre_v, centre_a = _carried((position, velocity, acceleration), arm, omega, alpha)
    return SegmentMotion(rotation, position, velocity, centre, centre_v, centre_a, omega, alpha)


def joint_wrenches(
    parents: Sequence[int],
    mass: Tensor,
    inertia: Tensor,
    motion: SegmentMotion,
    load: ExternalLoad | None = None,
    gravity: float = STANDARD_GRAVITY,
) -> tuple[Tensor, Tensor]:
    """The forces and moments that make segments move as they do (the backward half of Newton-Euler).

    Args:
        parents: ``[J]``, preceding their children.
        mass: ``[J]`` kilograms.
        inertia: ``[J, 3, 3]`` about the centre of mass, in the segment's own axes, kg m2.
        motion: of the segments.
        load: what acts from outside, such as the ground.
        gravity: m/s2, along -z.

    Returns:
        Force (N) and moment (N m) ``[..., J, 3]`` in world axes that each segment's parent exerts on it at
        its joint; a root's are what the outside would have to add (zero where `load` explains the motion).
    """
    up = motion.centre_acceleration.new_tensor([0.0, 0.0, gravity])
    force = mass[:, None] * (motion.centre_acceleration + up)
    world = motion.rotation @ inertia @ motion.rotation.transpose(-1, -2)
    spin = _apply(world, motion.angular_velocity)
    turning = _apply(world, motion.angular_acceleration) + _cross(motion.angular_velocity, spin)
    moment = turning + _cross(motion.centre - motion.joint, force)
    if load is not None:
        force = force - load.force
        moment = moment - load.moment - _cross(load.point - motion.joint, load.force)
    forces = list(force.unbind(-2))
    moments = list(moment.unbind(-2))
    joints = motion.joint.unbind(-2)
    for joint in range(len(parents) - 1, -1, -1):
        parent = parents[joint]
        if parent >= 0:
            forces[parent] = forces[parent] + forces[joint]
            arm = joints[joint] - joints[parent]
            moments[parent] = moments[parent] + moments[joint] + _cross(arm, forces[joint])
    return torch.stack(forces, -2), torch.stack(moments, -2)


def joint_powers(parents: Sequence[int], motion: SegmentMotion, force: Tensor, moment: Tensor) -> Tensor:
    """Power ``[..., J]`` in watts that each joint's force and moment put into the body.

    A joint moves with both of its segments, so its force does no work, except at a root.
    """
    index = torch.tensor([max(parent, 0) for parent in parents])
    inner = torch.tensor([float(parent >= 0) for parent in parents], dtype=moment.dtype)[:, None]
    relative = motion.angular_velocity - inner * motion.angular_velocity[..., index, :]
    return (moment * relative).sum(-1) + (1 - inner[:, 0]) * (force * motion.joint_velocity).sum(-1)


def mechanical_energy(
    mass: Tensor, inertia: Tensor, motion: SegmentMotion, gravity: float = STANDARD_GRAVITY
) -> Tensor:
    """Kinetic and potential energy ``[...]`` of all segments together, in joules; z = 0 has no potential."""
    world = motion.rotation @ inertia @ motion.rotation.transpose(-1, -2)
    spin = (motion.angular_velocity * _apply(world, motion.angular_velocity)).sum((-1, -2))
    linear = (mass[:, None] * motion.centre_velocity**2).sum((-1, -2))
    return (spin + linear) / 2 + gravity * (mass * motion.centre[..., 2]).sum(-1)


def _carried(
    base: tuple[Tensor, Tensor, Tensor], arm: Tensor, spin: Tensor, spin_up: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Position, velocity and acceleration of a point that a turning segment carries at `arm`."""
    position, velocity, acceleration = base
    swing = _cross(spin, arm)
    return position + arm, velocity + swing, acceleration + _cross(spin_up, arm) + _cross(spin, swing)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    applied: Tensor = (matrix @ vector[..., None])[..., 0]
    return applied


def _cross(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.cross(a, b)
    return product

"""What of a person's motion the usual reaction of the ground hangs on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import PARENTS
from gait3dlib.dynamics._contact import Contact
from gait3dlib.dynamics._moving import Moving
from gait3dlib.dynamics._reaction import whole_body
from gait3dlib.dynamics._tree import STANDARD_GRAVITY, joint_wrenches

F64 = NDArray[np.float64]
LEGS = np.array([[7, 4, 1], [8, 5, 2]])  # ankle, knee and hip, left and right


@dataclass(frozen=True, eq=False)
class WalkMotion:
    """Motion of a walk; forces over m g, moments over m g h, lengths in metres.

    Attributes:
        joints: ``[T, 24, 3]`` filtered.
        velocity: ``[T, 24, 3]`` over the floor, which may be a treadmill's belt, m/s.
        floor_m: height of the floor.
        height_m: of the person.
        fps: frames a second.
        speed: of walking, over ``sqrt(g h)``.
        total: ``[T, 3]`` the force on the body by Newton's law.
        centre: ``[T, 3]`` centre of mass.
        turning: ``[T, 3]`` the moment about it by Euler's law.
        unloaded: ``[T, 2, 3, 3]`` moments at ankle, knee and hip of both legs that their motion alone needs,
            as if the ground bore nothing.
    """

    joints: F64
    velocity: F64
    floor_m: float
    height_m: float
    fps: float
    speed: float
    total: F64
    centre: F64
    turning: F64
    unloaded: F64

    def moments(self, foot: int, rows: NDArray[np.int64], force: F64, point: F64) -> F64:
        """Moments ``[n, 3, 3]`` at ankle, knee and hip with a reaction ``[n, 3]`` at a point ``[n, 3]``."""
        arms = point[:, None] - self.joints[rows][:, LEGS[foot]]
        return np.asarray(self.unloaded[rows, foot] - np.cross(arms, force[:, None]) / self.height_m)


def walk_motion(moving: Moving, contact: Contact, fps: float) -> WalkMotion:
    """The motion of a body, made dimensionless."""
    motion, height = moving.motion, moving.height_m
    centre, total, about = whole_body(moving.mass, moving.inertia, motion)
    belt = np.append(contact.belt_m_s, 0.0)
    share = (moving.mass / moving.mass.sum())[:, None]
    mean = (share * motion.centre_velocity).sum(1).mean(0).numpy() - belt
    moment = joint_wrenches(PARENTS, moving.mass, moving.inertia, motion)[1].numpy()
    g = STANDARD_GRAVITY
    return WalkMotion(
        motion.joint.numpy(),
        motion.joint_velocity.numpy() - belt,
        contact.floor_m,
        height,
        fps,
        float(np.linalg.norm(mean[:2])) / math.sqrt(g * height),
        total.numpy() / g,
        centre.numpy(),
        about.numpy() / (g * height),
        moment[:, LEGS] / (g * height),
    )

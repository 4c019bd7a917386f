"""Steps on force plates, to learn the usual reaction from."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from gait3dlib.dynamics._contact import BALLS, Contact, find_contact
from gait3dlib.dynamics._moving import moving_joints
from gait3dlib.dynamics._tree import STANDARD_GRAVITY, SegmentMotion
from gait3dlib.dynamics._trials import MotionTrial
from gait3dlib.dynamics._walking import MeasuredStep, WalkMotion, find_stances
from gait3dlib.errors import InputError

HALF = 0.5  # body weights that a foot on a plate bears at least once


def walk_motion(
    motion: SegmentMotion, mass: Tensor, contact: Contact, height_m: float, fps: float
) -> WalkMotion:
    """What the usual reaction hangs on; the speed is that over the floor, which may be a treadmill's belt."""
    velocity = ((mass / mass.sum())[:, None] * motion.centre_velocity).sum(1).mean(0)[
        :2
    ].numpy() - contact.belt_m_s
    speed = float(np.linalg.norm(velocity)) / math.sqrt(STANDARD_GRAVITY * height_m)
    return WalkMotion(motion.joint.numpy(), contact.floor_m, height_m, fps, speed)


def measured_steps(trial: MotionTrial) -> list[MeasuredStep]:
    """The whole steps of a trial that were measured by plates, to learn the usual reaction from.

    Raises:
        InputError: the trial has no plates or no mass.
    """
    if trial.ground_reaction is None or trial.mass_kg is None:
        raise InputError("learning a reaction needs trials with force plates and the person's mass")
    moving = moving_joints(trial.joints, trial.fps, trial.height_m, None)
    motion, fps = moving.motion, trial.fps
    contact = find_contact(motion.joint.numpy(), motion.joint_velocity.numpy(), fps, moving.height_m)
    walk = walk_motion(motion, moving.mass, contact, moving.height_m, fps)
    weights = trial.ground_reaction[..., :3] / (trial.mass_kg * STANDARD_GRAVITY)
    steps = []
    for stance in find_stances(contact.on, walk.joints):
        if stance.first < 0 or stance.last >= len(weights):
            continue
        rows = slice(stance.first + 5, stance.last - 4)
        upward = weights[rows, stance.foot, 2]
        if len(upward) and np.isfinite(upward).all() and upward.max() > HALF:
            ball = walk.joints[:, BALLS[stance.foot]]
            force, point = weights[:, stance.foot], trial.ground_reaction[:, stance.foot, 3:6]
            steps.append(MeasuredStep(stance, force, point, ball, walk.speed))
    return steps

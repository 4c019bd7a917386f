"""Steps on force plates, to learn the usual reaction from."""

from __future__ import annotations

import math

import numpy as np

from gait3dlib.dynamics._contact import BALLS, Contact, find_contact
from gait3dlib.dynamics._moving import moving_joints
from gait3dlib.dynamics._stances import Stance, find_stances
from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.dynamics._trials import F64, MotionTrial
from gait3dlib.dynamics._walk import WalkMotion, walk_motion
from gait3dlib.dynamics._walking import MeasuredStep
from gait3dlib.errors import InputError

HALF = 0.5  # body weights that a foot on a plate bears at least once
BORNE = 0.3  # body weights from which a plate's centre of pressure is good
EDGE = 5  # frames at the start and end of a stance in which a plate may not tell yet


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
    walk = walk_motion(moving, contact, fps)
    weights = trial.ground_reaction[..., :3] / (trial.mass_kg * STANDARD_GRAVITY)
    steps = []
    for stance in find_stances(contact.on, walk):
        if stance.start < 0 or stance.end >= len(weights):
            continue
        upward = weights[math.ceil(stance.start) + EDGE : math.floor(stance.end) - EDGE, stance.foot, 2]
        if len(upward) and np.isfinite(upward).all() and upward.max() > HALF:
            force, point = weights[:, stance.foot], trial.ground_reaction[:, stance.foot, 3:6]
            steps.append(_step(stance, force, point, contact, walk))
    return steps


def _step(stance: Stance, force: F64, point: F64, contact: Contact, walk: WalkMotion) -> MeasuredStep:
    frames, foot = len(force), stance.foot
    known = np.nan_to_num(force), np.nan_to_num(point)
    moment = walk.moments(foot, np.arange(frames), *known) @ stance.leftward
    alone = stance.rows(frames)
    alone = alone[~contact.on[alone, 1 - foot] & (known[0][alone, 2] > BORNE)]
    asked = walk.turning - np.cross(known[1] - walk.centre, known[0]) / walk.height_m
    ball = walk.joints[:, BALLS[foot]]
    return MeasuredStep(stance, force, point, ball, moment, (asked @ stance.leftward)[alone], walk.speed)

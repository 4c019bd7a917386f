"""Inverse dynamics of a walking person: joint forces, moments and powers from motion."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gait3dlib.body import PARENTS, ShapedBody
from gait3dlib.dynamics._adapt import adapt_reaction
from gait3dlib.dynamics._contact import ANKLES, Contact, find_contact
from gait3dlib.dynamics._moving import Moving, moving_body, moving_joints
from gait3dlib.dynamics._reaction import Reaction, infer_reaction, whole_body, with_measured
from gait3dlib.dynamics._result import Dynamics, positive
from gait3dlib.dynamics._stances import find_stances, walks
from gait3dlib.dynamics._tree import (
    STANDARD_GRAVITY,
    ExternalLoad,
    SegmentMotion,
    joint_powers,
    joint_wrenches,
)
from gait3dlib.dynamics._walk import walk_motion
from gait3dlib.dynamics._walking import WalkingReaction, shipped_reaction
from gait3dlib.errors import InputError, did_you_mean

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
TOUCH = 0.05  # body weights from which a foot is said to stand
SUPPORTED = 0.15  # body weights that nothing but a floor can bear
REACTIONS = ("newton", "walking")
NEWTONS = 20.0  # nobody's feet bear so many body weights


def inverse_dynamics(
    motion: ArrayLike,
    fps: float,
    mass: float | None = None,
    height: float | None = None,
    ground_reaction: ArrayLike | None = None,
    *,
    reaction: Literal["newton", "walking"] | WalkingReaction = "walking",
    cutoff_hz: float | None = None,
    body: ShapedBody | None = None,
) -> Dynamics:
    """Forces, moments and powers at the joints of a person in motion.

    Zero-phase low-pass, recursive Newton-Euler over SMPL's joint tree, masses and inertias from de Leva's
    table (from joints) or from the body's own mesh (from an `smpl` stream). Where the ground's reaction is
    not given it is inferred: Newton's law for the whole body, contact from height and speed of the feet,
    and in double support a smooth rule, flagged as not exact.

    Args:
        motion: joints ``[T, 24, 3]`` in metres, z up, NaN = unknown; or the data of an `smpl` stream
            ``[T, 85]`` (translation, pose, shape).
        fps: frames a second.
        mass: kilograms; only needed for values in SI units.
        height: metres; None estimates it from the legs.
        ground_reaction: ``[T, 2, 6]`` of the left and right foot: force / (m g) and its point of action in
            metres; or ``[T, 2, 9]`` with the free moment there / (m g h), which needs `height`. Zeros where
            the foot bears nothing, NaN where it was not measured: there it is inferred.
        reaction: how to infer what was not measured. "newton": from this motion alone, by Newton's law.
            "walking": where the motion is walking, the most likely reaction between what Newton's and Euler's
            laws say and what is usual of people walking at that speed (see :class:`WalkingReaction`; the
            shipped one is learned from the force plates under eleven children of biomechZoo). It is nearer to
            plates, but in no frame that a foot stands exact, and people become more alike. Where the motion
            is no walking it is the same as "newton"; the result's ``source`` says which it was.
        cutoff_hz: of the low-pass; None is 6 Hz for 1.7 m, scaled by ``1 / sqrt(height)``.
        body: whose mesh to use with an `smpl` stream; None builds it from the stream's shape.

    Returns:
        :class:`Dynamics`, dimensionless; its ``si()`` gives newtons.

    Raises:
        InputError: too few frames for the filter, joints of the legs missing, a size that is no person's
            (with the likely unit), a mass or height of zero, a ground reaction of another length or in
            newtons, or a body that something bears while its feet never touch the floor.
    """
    fps = positive("fps", fps)
    mass_kg = None if mass is None else positive("mass", mass)
    height_m = None if height is None else positive("height", height)
    given = np.asarray(motion, np.float64)
    if given.ndim == 2 and given.shape[1:] == (85,):
        moving = moving_body(given, fps, height_m, cutoff_hz, body)
    else:
        moving = moving_joints(given, fps, height_m, cutoff_hz)
    measured = None
    if ground_reaction is not None:
        measured = _measured(ground_reaction, len(given), moving.height_m)
    if isinstance(reaction, str) and reaction not in REACTIONS:
        raise InputError(f"no reaction {reaction!r}{did_you_mean(reaction, REACTIONS)}")
    usual = shipped_reaction() if reaction == "walking" else reaction
    return _solve(moving, fps, mass_kg, measured, None if isinstance(usual, str) else usual)


def _measured(ground_reaction: ArrayLike, frames: int, height_m: float) -> Tensor:
    """Measured reactions ``[T, 2, 9]`` for a body of mass 1: m/s2, metres, m2/s2."""
    found = np.array(ground_reaction, np.float64)
    if found.shape not in ((frames, 2, 6), (frames, 2, 9)):
        raise InputError(
            f"ground_reaction must be [{frames}, 2, 6] or [{frames}, 2, 9] for {frames} frames of motion, "
            f"not {list(found.shape)}; resample it to the motion's frames"
        )
    if found.shape[2] == 6:
        found = np.concatenate([found, np.where(np.isnan(found[..., :3]), np.nan, 0.0)], -1)
    if np.nanmax(np.abs(found[..., :3]), initial=0.0) > NEWTONS:
        raise InputError("ground_reaction seems to be in newtons; divide its forces by mass * 9.80665")
    loaded = np.abs(found[..., :3]).max(-1) > 0.02
    if np.isnan(found[..., 3:6][loaded]).any():
        raise InputError("ground_reaction has a force without a point of action; give both, or NaN for both")
    found[..., :3] *= STANDARD_GRAVITY
    found[..., 6:] *= STANDARD_GRAVITY * height_m
    return torch.from_numpy(found)


def _solve(
    moving: Moving, fps: float, mass_kg: float | None, measured: Tensor | None, usual: WalkingReaction | None
) -> Dynamics:
    motion, height = moving.motion, moving.height_m
    contact = find_contact(motion.joint.numpy(), motion.joint_velocity.numpy(), fps, height)
    centre, total, _ = whole_body(moving.mass, moving.inertia, motion)
    reaction = infer_reaction(moving.mass, moving.inertia, motion, contact)
    likely = None if usual is None else _as_usual(usual, reaction, contact, moving, fps)
    if likely is not None:
        reaction, contact = likely, replace(contact, on=~likely.known)
    if measured is not None:
        reaction = with_measured(reaction, measured, total, contact)
    _check_support(contact, total, measured)
    known = _known(reaction, contact, total, moving, fps)
    load = _on_feet(reaction, motion)
    force, moment = joint_wrenches(PARENTS, moving.mass, moving.inertia, motion, load)
    power = joint_powers(PARENTS, motion, force, moment)
    g = STANDARD_GRAVITY
    missing = ~moving.seen
    results = [
        (force / g).numpy(),
        (moment / (g * height)).numpy(),
        (power / (g * math.sqrt(g * height))).numpy(),
    ]
    for result in results:
        result[:, missing] = np.nan
    ground = (reaction.force / g).numpy()
    point = np.where(np.abs(ground).max(-1, keepdims=True) > 0, reaction.point.numpy(), np.nan)
    force_, moment_, power_ = results
    source = "walking" if likely else "newton"
    return Dynamics(
        fps,
        force_,
        moment_,
        power_,
        ground,
        point,
        centre.numpy(),
        contact.on,
        known,
        source,
        height,
        mass_kg,
    )


def _as_usual(
    usual: WalkingReaction, newton: Reaction, contact: Contact, moving: Moving, fps: float
) -> Reaction | None:
    """The likely reaction of a walking person; None where nobody walks."""
    walk = walk_motion(moving, contact, fps)
    stances = find_stances(contact.on, walk)
    if not walks(stances, walk):
        return None
    force, point = adapt_reaction(usual, stances, walk)
    # the usual load may begin a frame or two before the foot is seen to stand
    stands = contact.on | (force[..., 2] > TOUCH)
    force[~stands] = 0.0
    known = ~stands  # flight and the swing of a leg are known all the same
    return Reaction(
        torch.from_numpy(force) * STANDARD_GRAVITY,
        torch.from_numpy(point),
        torch.zeros_like(newton.moment),
        known,
    )


def _on_feet(reaction: Reaction, motion: SegmentMotion) -> ExternalLoad:
    zeros = torch.zeros_like(motion.joint)
    feet = list(ANKLES)
    fields: dict[str, Any] = {}
    for name in ("force", "point", "moment"):
        whole = zeros.clone()
        whole[:, feet] = getattr(reaction, name)
        fields[name] = whole
    return ExternalLoad(**fields)


def _known(reaction: Reaction, contact: Contact, total: Tensor, moving: Moving, fps: float) -> Bools:
    """Frames in which no rule, no end of the recording and no filled gap had a hand."""
    frames = len(total)
    edge = math.ceil(fps / (2 * moving.cutoff_hz))
    inside = np.zeros(frames, bool)
    inside[edge : frames - edge] = True
    # somebody bears the weight though no foot was seen to stand
    lost = ~contact.on.any(axis=1) & (total[:, 2].numpy() > SUPPORTED * STANDARD_GRAVITY)
    return reaction.known & (inside & moving.whole)[:, None] & ~lost[:, None]


def _check_support(contact: Contact, total: Tensor, measured: Tensor | None) -> None:
    if contact.on.any() or measured is not None:
        return
    borne = float(total[:, 2].median()) / STANDARD_GRAVITY
    if borne > SUPPORTED:
        raise InputError(
            f"the feet never touch the floor, yet {borne:.0%} of the weight is borne; check that z is up "
            "and that fps and metres are right, or give ground_reaction"
        )

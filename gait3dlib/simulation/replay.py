"""A real person's stride, walked by the average body: only movement is left to tell people apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap.capture import average_body
from gait3dlib.simulation.mocap.strides import Stride
from gait3dlib.simulation.motion import SAMPLES, Cycle
from gait3dlib.simulation.posture import about
from gait3dlib.simulation.prior import GaitPrior, local
from gait3dlib.simulation.style import GaitStyle
from gait3dlib.simulation.walker import Motion, Walker, frame_count
from gait3dlib.types import Labels

Array = NDArray[np.float64]
TOES_DEG = 30.0  # toes bend no further


def mean_coefficients(strides: Sequence[Stride], prior: GaitPrior) -> Array:
    """Coefficients ``[SIZE]`` of a walk: the mean of its strides'.

    Raises:
        InputError: no stride.
    """
    if not strides:
        raise InputError("the walk has no straight stride; use a longer recording")
    return np.mean([prior.encode(s.rotations, s.sway) for s in strides], axis=0)  # type: ignore[no-any-return]


def replayed_cycle(strides: Sequence[Stride], prior: GaitPrior | None = None) -> Cycle:
    """The mean stride of a walk on the average body; speed and way grow with its legs.

    Joints move as measured; nothing is added, so the soles meet the ground to some 2 cm only.

    Raises:
        InputError: no stride.
    """
    prior = prior or GaitPrior.load()
    body = average_body()
    leg_m = float(np.linalg.norm(np.diff(body.joints[[1, 4, 7]], axis=0), axis=1).sum())
    world, sway = prior.decode(mean_coefficients(strides, prior), np.arange(SAMPLES) / SAMPLES)
    for foot in (7, 8):  # toes were not measured: they stay level while the heel rises
        pitch = np.rad2deg(np.arctan2(-world[:, foot, 2, 0], world[:, foot, 0, 0]))
        world[:, foot + 3] = world[:, foot] @ about(1, -np.clip(pitch, 0.0, TOES_DEG))
    rotations = local(world)
    stride_m = leg_m * float(np.mean([s.stride_m / s.leg_m for s in strides]))
    stride_s = float(np.mean([s.stride_s for s in strides]))
    root = sway * leg_m
    root[:, 0] += stride_m * np.arange(SAMPLES) / SAMPLES
    low = body.pose(rotations, root)[0][..., 2].min(axis=1)
    root[:, 2] -= float(np.median(low))
    return Cycle(rotations, root, np.zeros((SAMPLES, 2)), stride_m, stride_s)


def replayed(
    subject: str, cycle: Cycle, *, start: float = 0.0, fps: float = 30.0, seconds: float = 2.0
) -> tuple[Walker, Motion]:
    """Some seconds of a stride, over and over, for :class:`~gait3dlib.simulation.world.PosedWalk`.

    Args:
        subject: whose movement it is.
        cycle: from :func:`replayed_cycle`.
        start: phase of the first frame, cycles.
        fps: frames a second.
        seconds: length.
    """
    t_s = np.arange(frame_count(fps, seconds)) / fps
    phase = start + t_s / cycle.stride_s
    rotations, translation = cycle.at(phase)
    translation[:, 0] -= np.interp(seconds / 2, t_s, translation[:, 0])
    shape = average_body().shape
    labels = Labels(None, None, shape.height_m, shape.mass_kg)
    walker = Walker(subject, labels, shape, GaitStyle())
    return walker, Motion(t_s, phase, rotations, translation, cycle, GaitStyle())

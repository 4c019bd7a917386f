"""What teaches an encoder of paths where the body is in space: true joints of simulated walkers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.modalities._base import Batch, Modality
from gait3dlib.modalities._clock import on_one_clock
from gait3dlib.modalities._paths import POSE, POSE_UNIT
from gait3dlib.recording import Truth
from gait3dlib.types import NS_PER_S, GaitSequence, Tokens


class Lifting(Protocol):
    """An encoder that sees poses: tokens, and poses ``[b, steps, 72]`` on the common clock."""

    def look(self, batch: Batch) -> tuple[Tokens, torch.Tensor]:
        """Of a batch."""


class PoseSupervisor(nn.Module):
    """Compares the poses that an encoder of paths sees with the true ones (lifting: Martinez et al., ICCV
    2017). So the network must know the same body whichever side it was seen from."""

    def forward(
        self, encoder: Lifting, batch: Batch, told: torch.Tensor, share: float
    ) -> tuple[Tokens, dict[str, torch.Tensor]]:
        """Tokens, and the loss "pose": mean square error in units of :data:`POSE_UNIT` statures.

        Args:
            encoder: what is trained.
            batch: of its modality.
            told: ``[b, T, 72]`` of :func:`pose_told`, NaN = not known.
            share: of the training that is done.
        """
        tokens, poses = encoder.look(batch)
        return tokens, {"pose": pose_loss(poses, batch, told)}


class SeesPoses(Modality):
    """A modality some of whose encoders see the pose, and are taught so."""

    @property
    def sees_poses(self) -> bool:
        """Whether the chosen encoder does."""
        return vars(self)["encoder"] in ("stride", "paths")

    def supervisor(self) -> nn.Module | None:
        """Where the encoder sees poses, the true ones of simulated walkers."""
        return PoseSupervisor() if self.sees_poses else None

    def told(self, seq: GaitSequence, t_s: NDArray[np.float32], truth: Truth) -> NDArray[np.float32] | None:
        """See :func:`pose_told`."""
        return pose_told(seq, t_s, truth) if self.sees_poses else None


def pose_loss(poses: torch.Tensor, batch: Batch, told: torch.Tensor) -> torch.Tensor:
    """Mean square error of poses ``[b, steps, 72]`` on the common clock against what was told ``[b, T, 72]``
    of the frames of a batch."""
    true, owner = Batch(told, batch.lengths, batch.t_s).real_frames()
    wanted, there = on_one_clock(true.float() / POSE_UNIT, owner, batch)
    known = there[..., None] & ~wanted.isnan()
    error = torch.where(known, poses.float() - wanted, poses.new_zeros(()).float())
    return error.square().sum() / known.sum().clamp(min=1)


def pose_told(seq: GaitSequence, t_s: NDArray[np.float32], truth: Truth) -> NDArray[np.float32] | None:
    """True joints about the pelvis at ``t_s``: float32 ``[T, 72]`` in statures, along the simulator's axes.

    Those have x where the walk goes, so from every side the same is told. NaN outside of what is known; None
    where the truth holds no joints at known times, or no stature.
    """
    joints, stature = truth.arrays.get("joints"), truth.labels.height_m
    if joints is None or not stature or np.shape(joints)[1:] != (POSE // 3, 3):
        return None
    times = truth.arrays.get("joints_t_s")
    if times is None:  # then they are those of a stream's frames
        alike = (stream.t_ns / NS_PER_S for stream in seq.streams.values() if len(stream) == len(joints))
        times = next(alike, None)
    if times is None or len(times) != len(joints) or len(times) < 2 or not (np.diff(times) > 0).all():
        return None
    held = np.asarray(joints, np.float64)
    flat = (held - held[:, :1]).reshape(len(held), POSE) / stature
    at = t_s.astype(np.float64) + seq.start_ns / NS_PER_S
    told = [np.interp(at, times, column, left=np.nan, right=np.nan) for column in flat.T]
    return np.stack(told, axis=1).astype(np.float32)

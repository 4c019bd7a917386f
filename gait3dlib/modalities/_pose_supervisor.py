"""What teaches an encoder of paths where the body is in space: true joints of simulated walkers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._motion import on_one_clock
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.recording import Truth
from gait3dlib.types import NS_PER_S, GaitSequence, Tokens

JOINTS = 24
TOLD = 3 * JOINTS
SPREAD = 0.05  # statures; about how far joints go from their mean places


class PoseSupervisor(nn.Module):
    """Reads the pose off every step of an encoder of paths (lifting: Martinez et al., ICCV 2017).

    So the network must know the same body whichever side it was seen from. It is no part of the encoder.

    Args:
        width: channels of the encoder's network.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Conv1d(width, TOLD, 1)

    def forward(
        self, encoder: PathEncoder, batch: Batch, told: torch.Tensor, share: float
    ) -> tuple[Tokens, dict[str, torch.Tensor]]:
        """Tokens, and the loss "pose": mean square error in units of :data:`SPREAD`.

        Args:
            encoder: what is trained.
            batch: of its modality.
            told: ``[b, T, 72]`` of :func:`pose_told`, NaN = not known.
            share: of the training that is done.
        """
        tokens, steps = encoder.look(batch)
        true, owner = Batch(told, batch.lengths, batch.t_s).real_frames()
        wanted, _ = on_one_clock(true.float(), owner, batch)
        with torch.autocast(told.device.type, enabled=False):
            seen = self.read(steps.features.float()).transpose(1, 2)
            error = seen - wanted / SPREAD
            known = steps.known[..., None] & ~wanted.isnan()
            total = torch.where(known, error, error.new_zeros(())).square().sum()
            return tokens, {"pose": total / known.sum().clamp(min=1)}


def pose_told(seq: GaitSequence, t_s: NDArray[np.float32], truth: Truth) -> NDArray[np.float32] | None:
    """True joints about the pelvis at ``t_s``: float32 ``[T, 72]`` in statures, along the simulator's axes.

    Those have x where the walk goes, so from every side the same is told. NaN outside of what is known; None
    where the truth holds no joints at known times, or no stature.
    """
    joints, times = truth.arrays.get("joints"), truth.arrays.get("joints_t_s")
    stature = truth.labels.height_m
    if joints is None or times is None or not stature or np.shape(joints)[1:] != (JOINTS, 3):
        return None
    if len(times) != len(joints) or len(times) < 2 or not (np.diff(times) > 0).all():
        return None
    held = np.asarray(joints, np.float64)
    flat = (held - held[:, :1]).reshape(len(held), TOLD) / stature
    at = t_s.astype(np.float64) + seq.start_ns / NS_PER_S
    return np.stack([np.interp(at, times, c, left=np.nan, right=np.nan) for c in flat.T], axis=1).astype(
        np.float32
    )

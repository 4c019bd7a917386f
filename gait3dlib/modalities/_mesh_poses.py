"""A fitted body as the encoder of poses reads it, and that encoder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.body import JOINT_NAMES
from gait3dlib.body._skinning import from_axis_angle
from gait3dlib.fitting._priors import SHAPE_MEAN, SHAPE_SPREAD
from gait3dlib.modalities._body_graph import DILATIONS, Block
from gait3dlib.modalities._forces import GAP_S, RATE_HZ, sampled
from gait3dlib.modalities._mesh_body import JOINTS, standing_heights
from gait3dlib.types import NS_PER_S, Stream

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

POSE, SHAPE, OF_SMPL = slice(0, 6 * JOINTS), slice(6 * JOINTS, 6 * JOINTS + 20), 6 * JOINTS + 20
VALUES = OF_SMPL + 1
"""Numbers of a frame: rotations, shape (10 of the free body, 10 of SMPL), and whether it is SMPL's."""
_LARGEST = 5.0  # spreads; no body lies farther out
_NEAR = 0.07  # share of the stature over which a joint counts for a strip


def pose_frames(stream: Stream) -> tuple[F32, F64]:
    """Frames float32 ``[T, 165]`` at 30 Hz of an `smpl` stream, and their times in nanoseconds.

    Rotations are given by their first two columns (Zhou et al., CVPR 2019); that of the pelvis has its yaw
    taken away, so where a walk goes to changes nothing, and the place is not read. Between the stream's times
    they are drawn along straight lines; where it says nothing for more than 0.2 s, the longer part is read.
    The shape is the median over all frames.
    """
    part = _longest(stream.t_ns.astype(np.float64))
    t_ns, data = stream.t_ns[part].astype(np.float64), stream.data[part].astype(np.float64)
    turns = from_axis_angle(data[:, 3:75].reshape(-1, JOINTS, 3))
    forward = turns[:, 0, :, 0]
    turns[:, 0] = _about_z(-np.arctan2(forward[:, 1], forward[:, 0])) @ turns[:, 0]
    six = turns[..., :2].swapaxes(2, 3).reshape(len(turns), -1)
    count = int((t_ns[-1] - t_ns[0]) * RATE_HZ / NS_PER_S + 1e-6) + 1
    even = t_ns[0] + NS_PER_S / RATE_HZ * np.arange(count)
    out = np.zeros((count, VALUES), np.float32)
    out[:, POSE] = sampled(even, t_ns, six) if len(t_ns) > 1 else six
    numbers = np.median(stream.data[:, 75:].astype(np.float64), axis=0)
    if stream.layout == "smpl":
        out[:, SHAPE.start + 10 : SHAPE.stop] = (numbers / 2).clip(-_LARGEST, _LARGEST)
        out[:, OF_SMPL] = 1
    else:
        off = (numbers - SHAPE_MEAN) / SHAPE_SPREAD
        out[:, SHAPE.start : SHAPE.start + 10] = off.clip(-_LARGEST, _LARGEST)
    return out, even


def _longest(t_ns: F64) -> slice:
    """The longest run of frames without a gap."""
    if len(t_ns) < 2:
        return slice(0, len(t_ns))
    steps = np.diff(t_ns)
    cuts = np.flatnonzero(steps > max(GAP_S * NS_PER_S, 1.5 * float(np.median(steps)))) + 1
    starts, stops = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(t_ns)]])
    best = int(np.argmax(t_ns[stops - 1] - t_ns[starts]))
    return slice(int(starts[best]), int(stops[best]))


def _about_z(angle: F64) -> F64:
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0], turn[:, 0, 1] = np.sin(angle), -np.sin(angle)
    turn[:, 2, 2] = 1.0
    return turn


class PoseNetwork(nn.Module):
    """Frames ``[N, 165]`` of whole walks -> features of body strips ``[N, strips, 2 width]``.

    Every joint's rotation, along the bones and along time (blocks of
    :mod:`~gait3dlib.modalities._body_graph`: no walk sees another, and nothing lies past its end), then the
    mean over the joints near a strip's height on a standing body: of the left side, and of the right.

    Args:
        width: features of a joint.
        strips: from the head down.
    """

    def __init__(self, width: int, strips: int) -> None:
        super().__init__()
        self.enter = nn.Linear(6, width)
        self.joint = nn.Parameter(0.1 * torch.randn(JOINTS, width))
        self.blocks = nn.ModuleList(Block(width, dilation, "dense") for dilation in DILATIONS)
        self.near: torch.Tensor
        self.register_buffer("near", _near(strips), persistent=False)

    def forward(self, frames: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """Args: frames ``[N, 165]``; owner ``[N]``, the walk of each frame."""
        x = self.enter(frames[:, POSE].reshape(-1, JOINTS, 6)) + self.joint
        for block in self.blocks:
            x = block(x, owner)
        out: torch.Tensor = torch.einsum("lsj,njc->nslc", self.near.to(x.dtype), x).flatten(2)
        return out


def _near(strips: int) -> torch.Tensor:
    """``[2, strips, 24]``: shares of the joints of the left and the right side; those between are in both."""
    middle = 1 - (np.arange(strips) + 0.5) / strips
    share = np.exp(-0.5 * ((middle[:, None] - standing_heights()[None, :JOINTS]) / _NEAR) ** 2) + 1e-6
    sides = [np.array([not name.startswith(other) for name in JOINT_NAMES]) for other in ("right", "left")]
    both = np.stack([share * side for side in sides])
    return torch.from_numpy(both / both.sum(axis=2, keepdims=True)).float()

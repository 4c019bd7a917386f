"""Paths of joints over time: a network that sees where every joint goes, and when.

Joints, on a picture or in space, are few numbers a frame. So the whole walk is read at once, by convolutions
over time (temporal convolutional networks: Bai et al., arXiv 1803.01271, 2018), without pictures in between.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._clock import RATE_HZ, on_one_clock
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.modalities._stride import FIGURES, stride_series
from gait3dlib.types import Tokens

DILATIONS = (1, 2, 4, 8, 1)  # together they see four seconds
HIDDEN = 256  # of a frame that is read at once
POSE, POSE_UNIT = 72, 0.05  # numbers of a pose; statures, about how far joints go from their mean places
STEADY = 1e-5  # below the square root of a variance, whose slope has no end at 0


class Block(nn.Module):
    """Two convolutions over time and the way past both; what is not known stays 0, so it reaches nothing."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm1d(width)
        )
        self.second = nn.Sequential(nn.Conv1d(width, width, 3, padding=1, bias=False), nn.BatchNorm1d(width))

    def forward(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """``[b, width, steps]`` and ``[b, 1, steps]``, 1 where something is known -> the shape of ``x``."""
        inner = torch.relu(self.first(x)) * there
        return torch.relu(x + self.second(inner)) * there


def dense(numbers: int, figures: int, hidden: int = HIDDEN) -> list[nn.Module]:
    """Layers that read a frame's ``numbers`` at once, each with weights of its own: ``[n, numbers]`` ->
    ``[n, figures]``."""
    return [
        nn.Linear(numbers, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, figures),
    ]


class PathNetwork(nn.Module):
    """Numbers over time -> the pose at every step, and what a walk is told by.

    That is the mean, the spread and the extreme of the network's features, and the stride: the Fourier series
    of the pose which the network sees.

    Args:
        values: numbers of a step.
        width: channels.
    """

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(values + 1, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, dilation) for dilation in DILATIONS)
        self.pose = nn.Conv1d(width, POSE, 1)
        self.figures = 3 * width + POSE * FIGURES + 1

    def forward(self, values: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``[b, steps, values]`` and bool ``[b, steps]`` -> ``[b, figures]`` and poses ``[b, steps, 72]``.

        Poses are joints about the pelvis in units of :data:`POSE_UNIT` statures, x where the walk goes.
        """
        there = known[:, None].to(values.dtype)
        x = self.enter(torch.cat([values.transpose(1, 2), there], dim=1)) * there
        for block in self.blocks:
            x = block(x, there)
        # pooled in the parameters' own precision: sums over many frames lose too much in bfloat16
        dtype = self.pose.weight.dtype
        with torch.autocast(values.device.type, enabled=False):
            x = x.to(dtype)
            poses = self.pose(x).transpose(1, 2)
            series, hertz = stride_series(poses.unflatten(2, (-1, 3)), known, 1 / RATE_HZ)
            figures = [_pooled(x, there.to(dtype)), series, hertz[:, None]]
            return torch.cat(figures, dim=1), poses


class PathEncoder(nn.Module):
    """Frames ``[b, T, ...]`` -> ``tokens`` tokens of the whole walk.

    Every token is read from all joints. Their heights are spread over the body, from the head down, so that
    a fusion reads each of them beside strips.

    Args:
        values: numbers of a frame.
        dim: size of a token.
        width: channels of the network.
        tokens: how many.
        front: brings each frame to so many numbers, ``[n, ...]`` -> ``[n, values]``; by default they are
            the frame.
    """

    def __init__(
        self, values: int, dim: int, width: int, tokens: int, front: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.front = front or nn.Flatten()
        self.network = PathNetwork(values, width)
        # coefficients of a series differ in size by hundreds
        self.even = nn.BatchNorm1d(self.network.figures)
        self.project = nn.Linear(self.network.figures, tokens * dim)
        self.height: torch.Tensor
        self.register_buffer("height", 1 - (torch.arange(tokens) + 0.5) / tokens, persistent=False)
        self.dim = dim

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, tokens, dim]``; walks without the modality get zeros and ``real`` False."""
        return self.look(batch)[0]

    def look(self, batch: Batch) -> tuple[Tokens, torch.Tensor]:
        """The tokens of a batch, and the poses ``[b, steps, 72]`` that it shows; 15 steps a second."""
        frames, owner = batch.real_frames()
        dtype = self.project.weight.dtype
        values, known = on_one_clock(self.front(frames.to(dtype)).to(dtype), owner, batch)
        figures, poses = self.network(values, known)
        out = self.project(self.even(figures)).to(figures.dtype).view(len(batch), -1, self.dim)
        real = batch.present[:, None].expand(-1, out.shape[1])
        t_s = torch.full(real.shape, torch.nan, device=out.device)
        return Tokens(out * real[..., None], real, self.height, t_s), poses

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder (BNNeck, as for strips).

        Raises:
            ValueError: the norm keeps no running statistics.
        """
        self.scaled(*scale_and_shift(norm))

    def scaled(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiply the flattened tokens by ``scale`` and add ``shift``, from now on."""
        with torch.no_grad():
            self.project.bias.mul_(scale).add_(shift)
            self.project.weight.mul_(scale[:, None])


def _pooled(x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Mean, spread and maximum ``[b, 3 width]`` over the steps that are known; 0 where none is."""
    count = there.sum(dim=2).clamp(min=1)
    mean = (x * there).sum(dim=2) / count
    variance = ((x - mean[..., None]).square() * there).sum(dim=2) / count
    least = torch.finfo(x.dtype).min
    most = x.masked_fill(there == 0, least).amax(dim=2)
    some = there.amax(dim=2) > 0
    return torch.cat([mean, (variance + STEADY).sqrt(), most * some], dim=1).masked_fill(~some, 0)

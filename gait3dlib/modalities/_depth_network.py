"""Silhouette and depth in one network: a branch each, and a third that draws on both at every level.

After DepthGait (Li et al., ACM MM 2025), of which no code is published. *Multi-scale*: the branches are
joined at three of four levels. *Cross-level*: at each of them the maps of the level below are offered too,
brought to size; a softmax weighs the four candidates pixel by pixel, channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gait3dlib.config import Count, Natural
from gait3dlib.errors import ConfigError
from gait3dlib.modalities._depth_frames import unpack
from gait3dlib.modalities._strips import ResidualBlock, StripEncoder

LEVELS = 4


class Branch(nn.Module):
    """One stream's maps at four levels, from a picture 64 x 44 down to 16 x 11."""

    def __init__(self, channels: int, widths: Sequence[int], depths: Sequence[int], stem: int) -> None:
        super().__init__()
        kernel = 5 if stem == 2 else 3
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], kernel, stem, kernel // 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        before = [widths[0], *widths[:-1]]
        self.levels = nn.ModuleList(
            _level(a, b, depth, stride)
            for a, b, depth, stride in zip(before, widths, depths, strides(stem), strict=True)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """``[n, channels, 64, 44]`` -> four maps."""
        x = self.stem(x)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


class CrossLevel(nn.Module):
    """Weighs two streams' maps of this level and of the one below against each other; the weights sum to 1.

    Args:
        below: channels of the level below.
        width: channels of this one.
        stride: from there to here.
    """

    def __init__(self, below: int, width: int, stride: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))
            for _ in range(2)
        )
        squeezed = max(width // 4, 4)
        self.scores = nn.Sequential(
            nn.Conv2d(4 * width, squeezed, 1, bias=False),
            nn.BatchNorm2d(squeezed),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, squeezed, 3, 1, 1, bias=False),
            nn.BatchNorm2d(squeezed),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, 4 * width, 1),
        )

    def forward(self, here: Sequence[torch.Tensor], below: Sequence[torch.Tensor]) -> torch.Tensor:
        """Two maps of this level ``[n, width, h, w]``, two of the one below -> one of this level."""
        risen = [down(x) for down, x in zip(self.down, below, strict=True)]
        offered = torch.stack([*here, *risen], dim=1)
        weights = self.scores(offered.flatten(1, 2)).unflatten(1, (4, -1)).softmax(dim=1)
        return torch.sum(offered * weights, dim=1)


class DepthTrunk(nn.Module):
    """Pictures ``[n, 3, 64, 44]`` (silhouette, relief, known) -> maps ``[n, widths[3], 16, 11]``.

    Args:
        widths: channels of the four levels; the publication's networks have (64, 128, 256, 512).
        depths: residual blocks of the four levels; there (1, 4, 4, 1). With 0 the first level is the stem.
        stem: stride of the first convolution, 2 or 1; there 1.

    Raises:
        ConfigError: not four levels, or one without a block.
    """

    def __init__(
        self,
        *,
        widths: Sequence[Count] = (16, 16, 32, 64),
        depths: Sequence[Natural] = (0, 1, 1, 1),
        stem: Count = 2,
    ) -> None:
        super().__init__()
        if len(widths) != LEVELS or len(depths) != LEVELS:
            raise ConfigError(f"widths and depths: four levels each, not {len(widths)} and {len(depths)}")
        if 0 in depths[1:]:
            raise ConfigError("depths: only the first level may do without a block")
        if stem not in (1, 2):
            raise ConfigError(f"stem: stride 1 or 2, not {stem}")
        self.silhouette = Branch(1, widths, depths, stem)
        self.depth = Branch(2, widths, depths, stem)
        steps = strides(stem)
        self.fuse = nn.ModuleList(CrossLevel(widths[k - 1], widths[k], steps[k]) for k in range(1, LEVELS))
        self.levels = nn.ModuleList(
            _level(widths[k - 1], widths[k], depths[k], steps[k]) for k in range(2, LEVELS)
        )
        self.join = nn.Sequential(
            nn.Conv2d(3 * widths[-1], widths[-1], 1, bias=False), nn.BatchNorm2d(widths[-1]), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of both branches and of what was drawn from them, joined."""
        both = list(zip(self.silhouette(x[:, :1]), self.depth(x[:, 1:]), strict=True))
        fused: torch.Tensor = self.fuse[0](both[1], both[0])
        for k, level in enumerate(self.levels, start=2):
            fused = level(fused) + self.fuse[k - 1](both[k], both[k - 1])
        joined: torch.Tensor = self.join(torch.cat([*both[-1], fused], dim=1))
        return joined


class DepthEncoder(StripEncoder):
    """Frames ``[b, T, 3, 64, 44]`` of :func:`depth_frames` -> one token a body strip, top to feet.

    Args:
        dim: size of a token.
        strips: horizontal strips; divides 16.
        trunk: a :class:`DepthTrunk`, and
        width: the channels of its last level.

    Raises:
        ConfigError: ``strips`` does not divide 16.
    """

    def __init__(self, dim: int, strips: int, trunk: DepthTrunk, width: int) -> None:
        super().__init__(3, dim, strips=strips, trunk=trunk, features=width)

    def _pictures(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.cat(unpack(frames, self.project.dtype), dim=1)


def strides(stem: int) -> tuple[int, int, int, int]:
    """Of the four levels; with the stem's they make 4."""
    return (1, 1, 2, 1) if stem == 2 else (1, 2, 2, 1)


def _level(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    if not blocks:
        return nn.Sequential()
    rest = [ResidualBlock(outputs, outputs) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), *rest)

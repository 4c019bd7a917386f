"""GaitBase (Fan et al., CVPR 2023) and LidarGait (Shen et al., CVPR 2023), its twin on depth pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count
from gait3dlib.errors import ConfigError
from gait3dlib.networks._blocks import ConvNorm, FrameBlock, Stage
from gait3dlib.networks._parts import (
    ROWS,
    ImageNetwork,
    PartHead,
    check_strips,
    initialise,
    need_classes,
    pool_strips,
)
from gait3dlib.networks._walks import end_to_end

STRIDES = (1, 2, 2, 1)


class FrameTrunk(nn.Module):
    """A residual network on single frames; the map shrinks to a quarter of the height and width."""

    def __init__(self, channels: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNorm(channels, widths[0])
        inputs = [widths[0], *widths]
        self.stages = nn.ModuleList(
            Stage(FrameBlock, inputs[i], widths[i], depths[i], STRIDES[i]) for i in range(len(STRIDES))
        )

    def forward(self, frames: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[n, channels, h, w]`` -> ``[n, widths[3], h / 4, w / 4]``; no frame sees another."""
        x = functional.relu(self.stem(frames), inplace=True)
        for stage in self.stages:
            x = stage(x)
        return x


class ResidualNetwork(ImageNetwork):
    """A residual trunk of four stages, maximum over time, one vector a body strip.

    Args:
        trunk: makes the trunk, called with ``frames, runs, keep`` of a run; once all else is checked.
        channels: image channels of a frame.
        widths: channels of the four stages.
        depths: residual blocks of the four stages.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides a quarter of the frame's rows.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not four stages, bins that do not divide the rows, or ``neck`` without ``classes``.
    """

    gap = 0  # frames that the trunk looks ahead and back

    def __init__(
        self,
        trunk: Callable[[], nn.Module],
        *,
        channels: int,
        widths: Sequence[int],
        depths: Sequence[int],
        embedding: int,
        bins: Sequence[int],
        classes: int | None,
        neck: bool,
    ) -> None:
        need_classes(neck, classes)
        check_stages(widths, depths)
        super().__init__(channels, neck=neck)
        self.bins = check_strips(bins, ROWS // 4)
        self.trunk = trunk()
        self.head = PartHead(sum(bins), widths[-1], embedding, classes)
        initialise(self)

    def strips(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """``[n, s, channels, h, w]`` -> ``[n, widths[3], sum(bins)]``."""
        run = end_to_end(x, lengths, gap=self.gap)
        return pool_strips(run.most(self.trunk(run.frames, run.runs, run.keep)), self.bins)


class GaitBase(ResidualNetwork):
    """Frames one by one through a residual network, maximum over time, one vector a body strip.

    Args:
        channels: image channels of a frame; by default 1, of LidarGait 3.
        widths: channels of the four stages.
        depths: residual blocks of the four stages.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides a quarter of the frame's rows.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not four stages, bins that do not divide the rows, or ``neck`` without ``classes``.
    """

    pictures: ClassVar[int] = 1  # channels of its usual pictures
    trunk: FrameTrunk

    def __init__(
        self,
        *,
        channels: Count | None = None,
        widths: Sequence[Count] = (64, 128, 256, 512),
        depths: Sequence[Count] = (1, 1, 1, 1),
        embedding: Count = 256,
        bins: Sequence[Count] = (16,),
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        held = channels or self.pictures
        super().__init__(
            lambda: FrameTrunk(held, widths, depths),
            channels=held,
            widths=widths,
            depths=depths,
            embedding=embedding,
            bins=bins,
            classes=classes,
            neck=neck,
        )


class LidarGait(GaitBase):
    """:class:`GaitBase` on coloured depth pictures, which keep their sides."""

    sizes = ((64, 64), (128, 128))
    pictures = 3


def check_stages(widths: Sequence[int], depths: Sequence[int]) -> None:
    """Four of each.

    Raises:
        ConfigError: another count.
    """
    if (len(widths), len(depths)) != (len(STRIDES), len(STRIDES)):
        raise ConfigError(f"widths and depths must name 4 stages each, not {len(widths)} and {len(depths)}")

"""DeepGaitV2 (Fan et al., 2023), SkeletonGait and SkeletonGait++ (Fan et al., AAAI 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count
from gait3dlib.networks._blocks import ConvNorm, FrameBlock, PseudoVolumeBlock, Stage, VolumeBlock
from gait3dlib.networks.gaitbase import STRIDES, ResidualNetwork

BLOCKS: dict[str, type[nn.Module]] = {"2d": FrameBlock, "p3d": PseudoVolumeBlock, "3d": VolumeBlock}


class DeepStages(nn.ModuleList):
    """The stages after the first, which look along time; the map shrinks to a quarter."""

    def __init__(self, mode: str, widths: Sequence[int], depths: Sequence[int]) -> None:
        block = BLOCKS[mode]
        super().__init__(
            Stage(block, widths[i - 1], widths[i], depths[i], STRIDES[i]) for i in range(1, len(STRIDES))
        )

    def forward(self, x: torch.Tensor, runs: int, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, widths[0], h, w]`` -> ``[runs * t, widths[3], h / 4, w / 4]``."""
        for stage in self:
            x = stage(x, runs, keep)
        return x


class DeepTrunk(nn.Module):
    """A first stage on single frames, then :class:`DeepStages`."""

    def __init__(self, mode: str, channels: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNorm(channels, widths[0])
        self.first = Stage(FrameBlock, widths[0], widths[0], depths[0])
        self.stages = DeepStages(mode, widths, depths)

    def forward(self, frames: torch.Tensor, runs: int, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, channels, h, w]`` -> ``[runs * t, widths[3], h / 4, w / 4]``."""
        x = functional.relu(self.stem(frames, keep), inplace=True)
        out: torch.Tensor = self.stages(self.first(x, runs, keep), runs, keep)
        return out


class DeepGaitV2(ResidualNetwork):
    """A deep residual network that looks along time in its later stages.

    Args:
        mode: ``2d`` single frames, ``p3d`` a convolution along time between two of space, ``3d`` volumes.
        channels: image channels of a frame.
        widths: channels of the four stages.
        depths: residual blocks of the four stages; the authors' are 1, 1, 1, 1 for data of the laboratory
            and 1, 4, 4, 1 for data from outdoors.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides a quarter of the frame's rows.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not four stages, bins that do not divide the rows, or ``neck`` without ``classes``.
    """

    trunk: DeepTrunk

    def __init__(
        self,
        *,
        mode: Literal["2d", "p3d", "3d"] = "p3d",
        channels: Count = 1,
        widths: Sequence[Count] = (64, 128, 256, 512),
        depths: Sequence[Count] = (1, 4, 4, 1),
        embedding: Count = 256,
        bins: Sequence[Count] = (16,),
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        super().__init__(
            lambda: DeepTrunk(mode, channels, widths, depths),
            channels=channels,
            widths=widths,
            depths=depths,
            embedding=embedding,
            bins=bins,
            classes=classes,
            neck=neck,
        )
        self.mode = mode
        self.gap = 0 if mode == "2d" else 1


class SkeletonGait(DeepGaitV2):
    """:class:`DeepGaitV2` in p3d mode on skeleton maps: channel 0 limbs, 1 joints."""

    def __init__(
        self,
        *,
        widths: Sequence[Count] = (64, 128, 256, 512),
        depths: Sequence[Count] = (1, 4, 4, 1),
        embedding: Count = 256,
        bins: Sequence[Count] = (16,),
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        super().__init__(
            mode="p3d",
            channels=2,
            widths=widths,
            depths=depths,
            embedding=embedding,
            bins=bins,
            classes=classes,
            neck=neck,
        )


class Attention(nn.Module):
    """Weighs two maps against each other, pixel by pixel and channel by channel; the weights sum to 1."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = ConvNorm(2 * width, squeezed, 1)
        self.mix = ConvNorm(squeezed, squeezed)
        self.expand = nn.Conv2d(squeezed, 2 * width, 1, bias=False)

    def forward(self, a: torch.Tensor, b: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """Two maps ``[n, width, h, w]`` -> one."""
        x = functional.relu(self.squeeze(torch.cat([a, b], dim=1), keep), inplace=True)
        x = functional.relu(self.mix(x, keep), inplace=True)
        scores = torch.unflatten(self.expand(x), 1, (2, -1)).softmax(dim=1)
        return a * scores[:, 0] + b * scores[:, 1]


class TwoStreamTrunk(nn.Module):
    """A first stage for silhouettes and one for skeleton maps, weighed against each other, then one trunk."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], squeezed: int) -> None:
        super().__init__()
        self.silhouette_stem = ConvNorm(1, widths[0])
        self.silhouette_first = Stage(FrameBlock, widths[0], widths[0], depths[0])
        self.map_stem = ConvNorm(2, widths[0])
        self.map_first = Stage(FrameBlock, widths[0], widths[0], depths[0])
        self.attention = Attention(widths[0], squeezed)
        self.stages = DeepStages("p3d", widths, depths)

    def forward(self, frames: torch.Tensor, runs: int, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, 3, h, w]`` limbs, joints, silhouette -> ``[runs * t, widths[3], h / 4, w / 4]``."""
        maps = functional.relu(self.map_stem(frames[:, :2], keep), inplace=True)
        silhouettes = functional.relu(self.silhouette_stem(frames[:, 2:], keep), inplace=True)
        maps = self.map_first(maps, runs, keep)
        silhouettes = self.silhouette_first(silhouettes, runs, keep)
        out: torch.Tensor = self.stages(self.attention(silhouettes, maps, keep), runs, keep)
        return out


class SkeletonGaitPP(ResidualNetwork):
    """SkeletonGait++: skeleton maps and silhouettes, each with its own first stage, joined by attention.

    Frames have three channels: limbs, joints, silhouette.

    Args:
        widths: channels of the four stages.
        depths: residual blocks of the four stages.
        squeezed: channels between which the attention is computed; a sixteenth of ``widths[0]`` by default.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides a quarter of the frame's rows.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not four stages, bins that do not divide the rows, or ``neck`` without ``classes``.
    """

    trunk: TwoStreamTrunk
    gap = 1

    def __init__(
        self,
        *,
        widths: Sequence[Count] = (64, 128, 256, 512),
        depths: Sequence[Count] = (1, 4, 4, 1),
        squeezed: Count | None = None,
        embedding: Count = 256,
        bins: Sequence[Count] = (16,),
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        super().__init__(
            lambda: TwoStreamTrunk(widths, depths, squeezed or max(widths[0] // 16, 1)),
            channels=3,
            widths=widths,
            depths=depths,
            embedding=embedding,
            bins=bins,
            classes=classes,
            neck=neck,
        )

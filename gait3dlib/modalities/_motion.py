"""Body strips that also look along time: how each height of the body moves, beside what it looks like.

A set of frames says how far a leg swings, but not when. Here the features of every frame's strips, brought
to one clock, are a picture of time by body height, which a small convolutional network reads (after the
part-based motion of Fan et al., GaitPart, CVPR 2020). What it finds is pooled over the walk and stands beside
what the set of frames says.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._clock import on_one_clock
from gait3dlib.modalities._strips import StripEncoder

DILATIONS = (1, 2, 4, 1)  # together they see a good second, which is about a stride
COLUMNS = 11  # of the coarse picture


class StripMotion(nn.Module):
    """Features of strips over time -> what moves, per strip.

    Args:
        features: channels of a frame's strip.
        channels: of the network.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.features = features
        self.reduce = nn.Sequential(
            nn.BatchNorm2d(features), nn.Conv2d(features, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=(step, 1), dilation=(step, 1), bias=False),
                nn.BatchNorm2d(channels),
            )
            for step in DILATIONS
        )

    def even(self, x: torch.Tensor) -> torch.Tensor:
        """``[b, features, T, strips]``, every feature brought to one spread."""
        out: torch.Tensor = self.reduce[0](x)
        return out

    def forward(self, steps: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """``[b, T, strips, features]`` and bool ``[b, T]`` -> ``[b, strips, 2 channels]``: maximum, mean."""
        mask = known[:, None, :, None]
        x = torch.relu(self.reduce(steps.permute(0, 3, 1, 2))) * mask
        for block in self.blocks:
            x = torch.relu(x + block(x)) * mask
        x = x.to(steps.dtype)
        # after a ReLU nothing is below 0, so what is masked cannot be the maximum
        mean = x.sum(dim=2) / mask.sum(dim=2).clamp(min=1)
        return torch.cat([x.amax(dim=2), mean], dim=1).transpose(1, 2)


class MotionStrips(StripEncoder):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> one token a body strip: how it looks and how it moves.

    Time counts from a walk's first frame; frames may be missing and their rate may vary.

    Args:
        channels: image channels of a frame.
        dim: size of a token.
        width: channels of the trunk's first stage; the last has four times as many.
        strips: horizontal strips; divides the 16 rows of the last feature map.
        motion: channels of the network that looks along time.
    """

    def __init__(self, channels: int, dim: int, width: int = 24, strips: int = 16, motion: int = 64) -> None:
        super().__init__(channels, dim, width, strips, extra=2 * motion)
        self._looks = 4 * width
        self.motion = StripMotion(4 * width + channels * COLUMNS, motion)

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """Beside the trunk's, a coarse picture: pooled strips no longer know where a leg is.

        ``[n, channels, 64, 44]`` -> ``[n, strips, 4 width + COLUMNS channels]``.
        """
        coarse = functional.adaptive_avg_pool2d(self._pictures(frames), (self.strips, COLUMNS))
        return torch.cat([super().features(frames), coarse.permute(0, 2, 1, 3).flatten(2)], dim=2)

    def _pooled(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> torch.Tensor:
        return self._moving(maps, owner, batch, *on_one_clock(maps, owner, batch))

    def _moving(
        self,
        maps: torch.Tensor,
        owner: torch.Tensor,
        batch: Batch,
        steps: torch.Tensor,
        known: torch.Tensor,
    ) -> torch.Tensor:
        """How strips look and how they move, of features that are on one clock, too."""
        looks = super()._pooled(maps[..., : self._looks], owner, batch)
        return torch.cat([looks, self.motion(steps, known)], dim=2)

"""GaitSet (Chao et al., AAAI 2019): a walk as a set of frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gait3dlib.config import Count
from gait3dlib.errors import ConfigError
from gait3dlib.networks._parts import ROWS, ImageNetwork, PartHead, check_strips, initialise, pool_strips
from gait3dlib.networks._walks import end_to_end


class GaitSet(ImageNetwork):
    """Frames one by one, and beside them the maximum over all frames after every block.

    Args:
        channels: image channels of a frame.
        widths: channels of the three blocks.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides a quarter of the frame's rows. There are two parts a strip.

    Raises:
        ConfigError: not three blocks, or bins that do not divide the rows.
    """

    def __init__(
        self,
        *,
        channels: Count = 1,
        widths: Sequence[Count] = (32, 64, 128),
        embedding: Count = 256,
        bins: Sequence[Count] = (16, 8, 4, 2, 1),
    ) -> None:
        if len(widths) != 3:
            raise ConfigError(f"widths must name the 3 blocks, not {len(widths)}")
        super().__init__(channels)
        self.bins = check_strips(bins, ROWS // 4)
        first, second, third = widths
        # its first convolution is 5 x 5
        self.frames = nn.ModuleList(
            [_block(channels, first, 5), _block(first, second), _block(second, third, pool=False)]
        )
        self.sets = nn.ModuleList([_block(first, second), _block(second, third, pool=False)])
        self.head = PartHead(2 * sum(bins), third, embedding)
        initialise(self)

    @property
    def heights(self) -> list[float]:
        """The middle of each part; those of single frames, then those of the whole set."""
        return super().heights * 2

    def strips(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """``[n, s, channels, h, w]`` -> ``[n, widths[2], 2 * sum(bins)]``."""
        run = end_to_end(x, lengths)
        features = self.frames[0](run.frames)
        whole = self.sets[0](run.most(features))
        features = self.frames[1](features)
        whole = self.sets[1](whole + run.most(features))
        most = run.most(self.frames[2](features))
        return torch.cat([pool_strips(most, self.bins), pool_strips(whole + most, self.bins)], dim=2)


def _block(inputs: int, outputs: int, kernel: int = 3, *, pool: bool = True) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.LeakyReLU(inplace=True),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))

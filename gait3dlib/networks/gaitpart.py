"""GaitPart (Fan et al., CVPR 2020): convolutions that stay within a body strip, and short moves of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from gait3dlib.config import Count
from gait3dlib.errors import ConfigError
from gait3dlib.networks._parts import ROWS, ImageNetwork, PartHead, check_strips, initialise, pool_strips
from gait3dlib.networks._walks import Run, end_to_end


class StripConv(nn.Module):
    """A convolution within each of ``strips`` equal row strips, as if the others were not there."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, strips: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False)
        self.strips = strips

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, inputs, h, w]`` -> ``[n, outputs, h, w]``."""
        if self.strips == 1:
            return self.conv(x)  # type: ignore[no-any-return]
        n, c, h, w = x.shape
        # with channels last a strip of rows lies in one piece
        strips = x.permute(0, 2, 3, 1).reshape(n * self.strips, h // self.strips, w, c).permute(0, 3, 1, 2)
        out: torch.Tensor = self.conv(strips)
        return out.permute(0, 2, 3, 1).reshape(n, h, w, out.shape[1]).permute(0, 3, 1, 2)


class PartConv(nn.Module):
    """A convolution along time with own weights a part."""

    def __init__(self, parts: int, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(parts, outputs, inputs, kernel))
        for weight in self.weight.detach():
            nn.init.xavier_uniform_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, parts, inputs, t]`` -> ``[n, parts, outputs, t]``, zero padded to the same length."""
        parts, outputs, _, kernel = self.weight.shape
        out = functional.conv1d(x.flatten(1, 2), self.weight.flatten(0, 1), padding=kernel // 2, groups=parts)
        return torch.unflatten(out, 1, (parts, outputs))


class ShortMoves(nn.Module):
    """Micro-motion capture: two gated averages over 3 and 5 frames, their sum's maximum over time."""

    def __init__(self, parts: int, channels: int, squeezed: int) -> None:
        super().__init__()
        self.three = nn.ModuleList(
            [PartConv(parts, channels, squeezed, 3), PartConv(parts, squeezed, channels, 1)]
        )
        self.five = nn.ModuleList(
            [PartConv(parts, channels, squeezed, 3), PartConv(parts, squeezed, channels, 3)]
        )

    def forward(self, x: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """``[n, parts, c, t]`` -> ``[n, parts, c]``; real bool ``[n, 1, 1, t]``, x is 0 where it is False."""
        moves = self._moves(self.three, x, real, 3) + self._moves(self.five, x, real, 5)
        return (moves if real is None else moves.masked_fill(~real, -torch.inf)).amax(dim=3)

    @staticmethod
    def _moves(
        layers: nn.ModuleList, x: torch.Tensor, real: torch.Tensor | None, window: int
    ) -> torch.Tensor:
        hidden = functional.leaky_relu(layers[0](x))
        # what lies past a walk must be to each layer the zero padding that a walk alone has
        gate = torch.sigmoid(layers[1](hidden if real is None else hidden * real))
        highest = x if real is None else x.masked_fill(~real, -torch.inf)
        mean = functional.avg_pool1d(x.flatten(1, 2), window, 1, window // 2)
        most = functional.max_pool1d(highest.flatten(1, 2), window, 1, window // 2)
        pooled = (mean + most).view_as(x)
        return gate * (pooled if real is None else pooled.masked_fill(~real, 0.0))


class GaitPart(ImageNetwork):
    """Plain convolutions, then convolutions within strips, then short moves of each part.

    Args:
        channels: image channels of a frame.
        widths: channels of the convolutions of each stage; between two stages the map is halved.
        strips: row strips within which a stage convolves, 1 for the whole map.
        squeezed: channels within the gates.
        embedding: channels of a part of the embedding.
        bins: counts of body strips; each divides the rows of the last stage.

    Raises:
        ConfigError: not one count of strips a stage, or one that does not divide its rows.
    """

    def __init__(
        self,
        *,
        channels: Count = 1,
        widths: Sequence[Sequence[Count]] = ((32, 32), (64, 64), (128, 128)),
        strips: Sequence[Count] = (1, 4, 8),
        squeezed: Count = 32,
        embedding: Count = 128,
        bins: Sequence[Count] = (16,),
    ) -> None:
        if len(widths) != len(strips) or not all(widths):
            raise ConfigError(f"strips must be one count a stage: {len(widths)} of them, not {len(strips)}")
        super().__init__(channels)
        for stage, count in enumerate(strips):
            check_strips([count], ROWS >> stage, "strips")
        self.bins = check_strips(bins, ROWS >> len(strips) - 1)
        self.trunk = _trunk(channels, widths, strips)
        outputs = widths[-1][-1]
        self.moves = ShortMoves(sum(bins), outputs, squeezed)
        self.head = PartHead(sum(bins), outputs, embedding)
        initialise(self)

    def strips(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """``[n, s, channels, h, w]`` -> ``[n, widths[-1][-1], sum(bins)]``."""
        run = end_to_end(x, lengths)
        pooled = pool_strips(self.trunk(run.frames), self.bins)
        dense, real = _walk_by_walk(pooled, run)
        out: torch.Tensor = self.moves(dense.permute(0, 3, 2, 1), real)
        return out.transpose(1, 2)


def _trunk(channels: int, widths: Sequence[Sequence[int]], strips: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = channels
    for index, (stage, count) in enumerate(zip(widths, strips, strict=True)):
        if index:
            layers.append(nn.MaxPool2d(2))
        for outputs in stage:
            layers += [StripConv(inputs, outputs, 3 if layers else 5, count), nn.LeakyReLU(inplace=True)]
            inputs = outputs
    return nn.Sequential(*layers)


def _walk_by_walk(frames: torch.Tensor, run: Run) -> tuple[torch.Tensor, torch.Tensor | None]:
    """``[frames, c, parts]`` -> ``[n, t, c, parts]``, zero past each walk's end, and where it is real."""
    if run.runs == len(run.spans):
        return torch.unflatten(frames, 0, (run.runs, -1)), None
    walks = [frames[start:stop] for start, stop in run.spans]
    lengths = torch.tensor([len(walk) for walk in walks], device=frames.device)
    dense = pad_sequence(walks, batch_first=True)
    real = torch.arange(dense.shape[1], device=frames.device) < lengths[:, None]
    return dense, real[:, None, None]

"""Strips of pictures that also see the pose: beside looks and movement, the joints and their stride."""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._clock import on_one_clock
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.modalities._paths import PathNetwork
from gait3dlib.types import Tokens

PATHS = 160  # channels of the network over time
TOKENS = 8  # of the pose and its stride, beside one a strip


class StrideStrips(MotionStrips):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> a token a body strip, and eight of the pose over time.

    What the frames' strips say is brought to few numbers a frame, from which a
    :class:`~gait3dlib.modalities._paths.PathNetwork` sees the pose; simulated walkers teach it.

    Args:
        channels: image channels of a frame.
        dim: size of a token.
        width: channels of the trunk's first stage.
        strips: horizontal strips; divides 16.
    """

    def __init__(self, channels: int, dim: int, width: int = 24, strips: int = 16) -> None:
        super().__init__(channels, dim, width, strips)
        figures = self.motion.features * strips
        self.gather = nn.Linear(figures, PATHS, bias=False)
        self.paths = PathNetwork(PATHS, PATHS)
        self.even = nn.BatchNorm1d(self.paths.figures)
        self.say = nn.Linear(self.paths.figures, TOKENS * dim)
        self.dim = dim
        beside = 1 - (torch.arange(TOKENS) + 0.5) / TOKENS
        self.register_buffer("heights", torch.cat([self.height, beside]), persistent=False)  # type: ignore[list-item]

    def tokens(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> Tokens:
        """What the features of all frames ``[sum T, strips, c]`` say of the walks that they belong to."""
        return self.seen(maps, owner, batch)[0]

    def look(self, batch: Batch) -> tuple[Tokens, torch.Tensor]:
        """The tokens of a batch, and the poses ``[b, steps, 72]`` that it shows."""
        frames, owner = batch.real_frames()
        return self.seen(self.features(frames), owner, batch)

    def seen(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> tuple[Tokens, torch.Tensor]:
        """As :meth:`tokens`, and the poses ``[b, steps, 72]`` on the common clock."""
        steps, known = on_one_clock(maps, owner, batch)
        strips = self._told(self._moving(maps, owner, batch, steps, known), batch)
        even = self.motion.even(steps.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(2)
        figures, poses = self.paths(self.gather(even) * known[..., None], known)
        said = self.say(self.even(figures)).view(len(batch), TOKENS, self.dim)
        real = batch.present[:, None].expand(-1, self.strips + TOKENS)
        values = torch.cat([strips.values, said.to(strips.values.dtype)], dim=1) * real[..., None]
        heights: torch.Tensor = self.heights  # type: ignore[assignment]
        return Tokens(values, real, heights, torch.full(real.shape, torch.nan, device=values.device)), poses

    def _scaled(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        strips = self.strips * self.dim
        super()._scaled(scale[:strips], shift[:strips])
        with torch.no_grad():
            self.say.bias.mul_(scale[strips:]).add_(shift[strips:])
            self.say.weight.mul_(scale[strips:, None])

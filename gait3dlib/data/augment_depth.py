"""Augmentation of depth beside its silhouette: moved as one picture, then a sensor's errors on the depth."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gait3dlib.config import NotNegative, Share
from gait3dlib.modalities._depth_frames import REACH_M, pack, unpack

Move = Callable[[torch.Tensor, torch.Generator, slice], torch.Tensor]


class DepthAugment:
    """Noise of depth, an uncertain middle of the body, and pixels without depth.

    Args:
        noise_m: the largest standard deviation of a pixel's depth; drawn once a walk, as it grows with
            distance.
        offset_m: standard deviation of a frame's middle: the median of other pixels is another.
        gain: largest relative change of relief, as of an estimator's spread.
        holes: the largest share of pixels that are lost in every frame.
    """

    def __init__(
        self,
        *,
        noise_m: NotNegative = 0.06,
        offset_m: NotNegative = 0.01,
        gain: Share = 0.05,
        holes: Share = 0.1,
    ) -> None:
        self.noise_m, self.offset_m, self.gain, self.holes = noise_m, offset_m, gain, holes

    def __call__(self, frames: torch.Tensor, generator: torch.Generator, move: Move) -> torch.Tensor:
        """uint8 ``[b, T, 3, 64, 44]`` (silhouette, relief) -> the same shape.

        ``move`` changes all channels by one draw: silhouette, relief times known, known. The second over
        the third is the mean of what is known, so nothing that is not known mixes in.
        """
        silhouette, relief, known = unpack(frames, torch.float32)
        x = move(torch.cat([255 * silhouette, relief, known], dim=2), generator, slice(0, 1))
        silhouette, total, share = (x[:, :, channel : channel + 1] for channel in range(3))
        b, t = frames.shape[:2]
        relief = total / share.clamp(min=1e-6) * (1 + self.gain * (2 * _draw(b, generator) - 1))
        spread = self.noise_m / REACH_M * _draw(b, generator)
        relief = relief + spread * torch.randn(relief.shape, generator=generator)
        middle = torch.randn(b, t, 1, 1, 1, generator=generator)
        relief = relief + self.offset_m / REACH_M * middle
        lost = torch.rand(relief.shape, generator=generator) < self.holes * _draw(b, generator)
        picture = silhouette.round().clamp(0, 255).to(torch.uint8)
        return torch.cat([picture, pack(relief.clamp(-1, 1), (share >= 0.5) & ~lost)], dim=2)


def _draw(b: int, generator: torch.Generator) -> torch.Tensor:
    """One number in 0..1 a walk."""
    return torch.rand(b, generator=generator).view(b, 1, 1, 1, 1)

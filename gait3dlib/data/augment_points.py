"""Augmentation of point sets: one draw a sequence, the same for all its frames and points."""

from __future__ import annotations

import torch

from gait3dlib.config import Positive, Share
from gait3dlib.errors import ConfigError


class PointAugment:
    """Mirror and scale the clouds of a walk, as LidarGait++ is trained (Shen et al., CVPR 2025).

    Args:
        flip: probability of mirroring y, the horizontal axis across the sensor's view.
        smallest: the smallest factor of x, y, z.
        largest: the largest one. The height in metres, the fourth value, is evidence and stays.

    Raises:
        ConfigError: the smallest factor is above the largest.
    """

    def __init__(self, *, flip: Share = 0.15, smallest: Positive = 0.8, largest: Positive = 1.25) -> None:
        if smallest > largest:
            raise ConfigError(f"smallest: must be at most largest, {largest:g}, not {smallest:g}")
        self.flip, self.smallest, self.largest = flip, smallest, largest

    def __call__(self, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """``[b, T, p, 3 or more]``, x, y, z first -> the same shape."""
        b = len(points)
        factor = torch.ones(b, points.shape[3], dtype=points.dtype)
        share = torch.rand(b, generator=generator)
        factor[:, :3] = (self.smallest + (self.largest - self.smallest) * share).to(points.dtype)[:, None]
        factor[torch.rand(b, generator=generator) < self.flip, 1] *= -1
        return points * factor.view(b, 1, 1, -1).to(points.device)

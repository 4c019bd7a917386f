"""Augmentation of joints as an estimator might have placed them: another size, other places, trembling."""

from __future__ import annotations

import torch

from gait3dlib.config import NotNegative, Share


class JointAugment:
    """Scale, errors that stay for the walk, errors of every frame; in the units of the modality's frames.

    Args:
        scale: standard deviation of the relative change of size.
        stay: of an error that a number keeps for the whole walk.
        tremble: of an error that it has in one frame.
    """

    def __init__(self, *, scale: Share = 0.03, stay: NotNegative = 0.01, tremble: NotNegative = 0.01) -> None:
        self.scale, self.stay, self.tremble = scale, stay, tremble

    def __call__(self, frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float32 ``[b, T, rows, channels]`` -> the same shape; numbers that are exactly 0 are unknown and
        stay 0."""
        b, _, *rows = frames.shape
        scale = 1 + self.scale * torch.randn(b, *[1] * (frames.ndim - 1), generator=generator)
        stay = self.stay * torch.randn(b, 1, *rows, generator=generator)
        moved = frames * scale + stay + self.tremble * torch.randn(frames.shape, generator=generator)
        return torch.where(frames == 0, frames, moved)

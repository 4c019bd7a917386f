"""The ``paths`` encoder of pictures: every frame in patches, then the pose over time.

Pictures of one walker are all of one size, with the body in the middle. So a pixel's place says which part of
the body it may show, and a frame can be read at once: patches that overlap (Dosovitskiy et al., ICLR 2021),
each with weights of its own place. Pooling over columns, as strips do, would lose on which side a leg is.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._depth_frames import unpack
from gait3dlib.modalities._paths import HIDDEN, dense

PATCH, STEP = 8, 4  # pixels
PLACES = 16 * 11  # of patches in 64 x 44
FEATURES = 24  # of a patch


class Patches(nn.Module):
    """Frames ``[n, channels, 64, 44]``, 0..255 -> ``[n, figures]``.

    Args:
        channels: of a frame.
        figures: that a frame is told by.
        hidden: width of the layer that reads all patches at once.
    """

    def __init__(self, channels: int, figures: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.patches = nn.Sequential(
            nn.Conv2d(channels, FEATURES, PATCH, STEP, PATCH // 2 - 1, bias=False),
            nn.BatchNorm2d(FEATURES),
            nn.ReLU(inplace=True),
        )
        self.frame = nn.Sequential(nn.Flatten(), *dense(PLACES * FEATURES, figures, hidden))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``[n, channels, 64, 44]`` -> ``[n, figures]``."""
        x = self.pictures(frames).contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = self.frame(self.patches(x))
        return out

    def pictures(self, frames: torch.Tensor) -> torch.Tensor:
        """What patches are cut from."""
        return frames / 255


class DepthPatches(Patches):
    """The same of frames ``[n, 3, 64, 44]`` of :func:`~gait3dlib.modalities._depth_frames.depth_frames`:
    silhouette, relief, and where it is known."""

    def __init__(self, figures: int) -> None:
        super().__init__(3, figures)

    def pictures(self, frames: torch.Tensor) -> torch.Tensor:
        """Three channels of about one size."""
        silhouette, relief, known = unpack(frames, frames.dtype)
        return torch.cat([silhouette, 2 * relief, known], dim=-3)

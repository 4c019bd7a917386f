"""Strips and paths side by side: how each height of the body looks and moves, and the pose over time.

Both read the same pictures and share nothing else, so each is trained by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._picture_paths import Patches
from gait3dlib.types import Tokens

PATHS, TOKENS = 192, 6  # channels of the network over time, and its tokens


class StrideStrips(nn.Module):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> a token a body strip, and six of the pose over time.

    Args:
        channels: image channels of a frame.
        dim: size of a token.
        width: channels of the first stage of the strips' trunk.
        strips: horizontal strips; divides 16.
    """

    def __init__(self, channels: int, dim: int, width: int = 24, strips: int = 16) -> None:
        super().__init__()
        self.strips = MotionStrips(channels, dim, width, strips)
        self.paths = PathEncoder(PATHS, dim, PATHS, TOKENS, Patches(channels, PATHS, PATHS))
        self._split = strips * dim
        self.heights: torch.Tensor
        of_strips: torch.Tensor = self.strips.height  # type: ignore[assignment]
        both = torch.cat([of_strips, self.paths.height])
        self.register_buffer("heights", both, persistent=False)

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips + 6, dim]``; walks without the modality get zeros and ``real`` False."""
        return self.look(batch)[0]

    def look(self, batch: Batch) -> tuple[Tokens, torch.Tensor]:
        """The tokens of a batch, and the poses ``[b, steps, 72]`` that it shows; 15 steps a second."""
        strips: Tokens = self.strips(batch)
        paths, poses = self.paths.look(batch)
        values = torch.cat([strips.values, paths.values], dim=1)
        real = torch.cat([strips.real, paths.real], dim=1)
        t_s = torch.cat([strips.t_s, paths.t_s], dim=1)
        return Tokens(values, real, self.heights, t_s), poses

    def adopt(self, name: str, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Begin with what an encoder "motion" or "paths" of the same modality has learnt; False where it is
        neither."""
        for part in (self.strips, self.paths):
            mine = {key: value.shape for key, value in part.state_dict().items()}
            if mine == {key: value.shape for key, value in tensors.items()}:
                part.load_state_dict(tensors)
                return True
        return False

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder (BNNeck, as for strips).

        Raises:
            ValueError: the norm keeps no running statistics.
        """
        scale, shift = scale_and_shift(norm)
        self.strips.scaled(scale[: self._split], shift[: self._split])
        self.paths.scaled(scale[self._split :], shift[self._split :])

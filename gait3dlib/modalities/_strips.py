"""The trunk that image-like modalities share: a small residual network, set pooling over time, body strips.

Frames are encoded one by one, pooled over time by maximum and mean (a set, so frame rate, order and dropped
frames do not matter: Chao et al., GaitSet, AAAI 2019), cut into horizontal strips (horizontal pyramid
pooling, mean + maximum over columns: Fu et al., HPM, AAAI 2019), and every strip gets its own linear map.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.errors import ConfigError
from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.networks._blocks import PixelConv
from gait3dlib.types import Tokens


class ResidualBlock(nn.Module):
    """conv3x3 BN ReLU conv3x3 BN, plus the input, ReLU (He et al., CVPR 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(PixelConv(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, inputs, h, w]`` -> ``[n, outputs, h / stride, w / stride]``."""
        return torch.relu(self.body(x) + self.skip(x))


class StripEncoder(nn.Module):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> one token a body strip, top of the head to the feet.

    Args:
        channels: image channels of a frame.
        dim: size of a token.
        width: channels of the first stage; the last has four times as many.
        strips: horizontal strips; divides the 16 rows of the last feature map.
        trunk: another network, from pictures to maps of 16 rows, with
        features: so many channels.
        extra: figures of a strip that a subclass adds before they become a token.

    Raises:
        ConfigError: ``strips`` does not divide 16.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        width: int = 24,
        strips: int = 16,
        *,
        trunk: nn.Module | None = None,
        features: int | None = None,
        extra: int = 0,
    ) -> None:
        super().__init__()
        if strips not in (1, 2, 4, 8, 16):
            raise ConfigError(f"strips: must be 1, 2, 4, 8 or 16, not {strips}")
        self.trunk: nn.Module = trunk or nn.Sequential(
            nn.Conv2d(channels, width, 5, 2, 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width),
        )
        self.strips = strips
        pooled = 2 * (features or 4 * width) + extra
        # one matrix a strip: what matters at the knee is not what matters at the head
        self.project = nn.Parameter(torch.empty(strips, pooled, dim))
        nn.init.normal_(self.project, std=pooled**-0.5)
        # what centres the tokens, set when training ends (see absorb)
        self.offset: torch.Tensor
        self.register_buffer("offset", torch.zeros(strips, dim))
        height = 1 - (torch.arange(strips) + 0.5) / strips
        self.register_buffer("height", height, persistent=False)

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips, dim]``; walks without the modality get zeros and ``real`` False."""
        frames, owner = batch.real_frames()
        return self.tokens(self.features(frames), owner, batch)

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """Of each frame by itself: ``[n, channels, 64, 44]`` -> ``[n, strips, c]``."""
        x = self._pictures(frames).contiguous(memory_format=torch.channels_last)
        # pooled in the parameters' own precision: sums over many frames lose too much in bfloat16
        return self._strips_of_frames(self.trunk(x)).to(self.project.dtype)

    def tokens(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> Tokens:
        """What the features of all frames ``[sum T, strips, c]`` say of the walks that they belong to."""
        return self._told(self._pooled(maps, owner, batch), batch)

    def _told(self, pooled: torch.Tensor, batch: Batch) -> Tokens:
        """One token a strip, from its figures ``[b, strips, pooled]``."""
        values = torch.einsum("bsc,scd->bsd", pooled, self.project) + self.offset
        real = batch.present[:, None].expand(-1, self.strips)
        height: torch.Tensor = self.height  # type: ignore[assignment]
        t_s = torch.full(real.shape, torch.nan, device=values.device)
        return Tokens(values * real[..., None], real, height, t_s)

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens ``[b, strips * dim]`` part of the encoder.

        The norm after which identity is classified (BNNeck) takes away what all people share. Tokens that
        keep it lie in a narrow cone, where cosines say little and a fusion learns slowly.
        """
        self.scaled(*scale_and_shift(norm))

    def scaled(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiply the flattened tokens by ``scale`` and add ``shift``, from now on."""
        shape = self.offset.shape
        with torch.no_grad():
            self.offset.mul_(scale.view(shape)).add_(shift.view(shape))
            self.project.mul_(scale.view(shape)[:, None])

    def _pooled(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Features of all frames ``[sum T, strips, c]`` -> what a walk's strips are told by."""
        walks = len(batch)
        most = maps.new_zeros(walks, *maps.shape[1:])
        index = owner.view(-1, 1, 1).expand_as(maps)
        most = most.scatter_reduce(0, index, maps, "amax", include_self=False)
        total = maps.new_zeros(walks, *maps.shape[1:]).index_add(0, owner, maps)
        mean = total / batch.lengths.clamp(min=1).view(-1, 1, 1).to(maps.dtype)
        return torch.cat([most, mean], dim=2)

    def _pictures(self, frames: torch.Tensor) -> torch.Tensor:
        """What the trunk sees of frames ``[n, channels, 64, 44]``."""
        return frames.to(self.project.dtype).div(255)

    def _strips_of_frames(self, maps: torch.Tensor) -> torch.Tensor:
        n, c, h, w = maps.shape
        bins = maps.reshape(n, c, self.strips, h // self.strips * w)
        return (bins.mean(dim=3) + bins.amax(dim=3)).transpose(1, 2)  # [n, strips, c]

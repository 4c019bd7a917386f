"""Tokens of slices of metric height, from features that are already pooled slice by slice."""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.types import Tokens

TOP_M = 2.0  # where the highest slice ends
STATURE_M = 1.7  # what a height token of 1 means in metres, so that heads of all modalities meet


class MetricStrips(nn.Module):
    """Every slice's own linear map: ``[b, strips, inputs]`` -> tokens of size ``dim``, lowest slice first.

    Args:
        inputs: channels of the pooled features.
        dim: size of a token.
        strips: equal slices from the ground to 2 m.
    """

    def __init__(self, inputs: int, dim: int, strips: int) -> None:
        super().__init__()
        self.strips = strips
        # one matrix a slice: what matters at the knee is not what matters at the head
        self.project = nn.Parameter(torch.empty(strips, inputs, dim))
        nn.init.normal_(self.project, std=inputs**-0.5)
        # what centres the tokens, set when training ends (see absorb)
        self.offset: torch.Tensor
        self.register_buffer("offset", torch.zeros(strips, dim))
        self.height: torch.Tensor
        self.register_buffer("height", token_heights(strips), persistent=False)

    def forward(self, pooled: torch.Tensor, real: torch.Tensor) -> Tokens:
        """``pooled [b, strips, inputs]`` and ``real [b, strips]``, whether anything was seen there."""
        values = torch.einsum("bsc,scd->bsd", pooled.to(self.project.dtype), self.project) + self.offset
        t_s = torch.full(real.shape, torch.nan, device=values.device)
        return Tokens(values * real[..., None], real, self.height, t_s)

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the map (BNNeck, as for image strips)."""
        scale, shift = (part.view_as(self.offset) for part in scale_and_shift(norm))
        with torch.no_grad():
            self.offset.mul_(scale).add_(shift)
            self.project.mul_(scale[:, None])


def token_heights(strips: int) -> torch.Tensor:
    """The middle of every slice, lowest first, as a share of an average stature; at most 1."""
    middle = (torch.arange(strips) + 0.5) / strips * TOP_M
    return (middle / STATURE_M).clamp(max=1)


def slice_of(height_m: torch.Tensor, strips: int) -> torch.Tensor:
    """The slice that a height lies in, int64; below the ground is the lowest, above the top the highest."""
    return (height_m * (strips / TOP_M)).floor().clamp(0, strips - 1).long()

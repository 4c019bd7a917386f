"""The ``paths`` encoder of points: every frame as a set, then the pose over time.

A frame is read point by point and pooled by the maximum (PointNet: Qi et al., CVPR 2017). In the walker's own
frame and in metres the place of a point says which part of the body it is of.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

MIDDLE_M, UNIT_M = (0.0, 0.0, 1.0), 0.5  # brings places to the order of one
WIDTHS = (32, 96)


class PointSet(nn.Module):
    """Frames ``[n, 1 + points, 3]``, row 0 the sensor's place -> ``[n, figures]``.

    The last two figures say from which side the sensor looks. The order of the points changes nothing, nor
    does one that comes twice.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (3, *WIDTHS, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b))
            for a, b in itertools.pairwise(sizes)
        )
        self.figures = width + 2
        self.middle: torch.Tensor
        self.register_buffer("middle", torch.tensor(MIDDLE_M), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``[n, 1 + points, 3]`` -> ``[n, figures]``."""
        points = (frames[:, 1:] - self.middle) / UNIT_M
        x = points.flatten(0, 1)
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        # no ReLU before the maximum: what is negative everywhere says something, too
        most = self.layers[-1](x).unflatten(0, points.shape[:2]).amax(dim=1)
        side = functional.normalize(frames[:, 0, :2], dim=1)
        return torch.cat([most, side.to(most.dtype)], dim=1)

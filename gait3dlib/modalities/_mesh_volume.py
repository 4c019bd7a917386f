"""Heat in space: where every joint and marker is, from a feature map of one silhouette.

The volume of a point stands over the feature map: its rows and columns are those of the map, its slices lie
one behind the other along the line of sight. A softmax over the whole volume makes it a distribution; its
mean is the point (soft-argmax, as for the virtual markers of Ma et al., CVPR 2023). Summed along the line of
sight it is the front view, summed over columns the side view; both have the rows of the silhouette.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gait3dlib.modalities._mesh_body import POINTS, standing_heights

ROWS, COLUMNS = 16, 11
DEEP = 0.8  # of the volume along the line of sight, in heights of the picture: about 1.4 m for an adult
WIDE = COLUMNS / ROWS
_USUAL = 0.06  # how far about its height on a standing body a point is sought at first
_SHARP = 10.0  # what logits are multiplied by at first: a flat volume has its mean in the middle for all


@dataclass(frozen=True)
class Heat:
    """The heat of N frames.

    Attributes:
        front: ``[N, 48, 16, 11]``, heat by row and column; sums to 1.
        side: ``[N, 48, 16, depth]``, heat by row and slice; sums to 1.
        points: ``[N, 48, 3]`` right, down and away, in heights of the picture; see
            :mod:`~gait3dlib.modalities._mesh_truth`. The outermost cells stand for the picture's edges.
    """

    front: torch.Tensor
    side: torch.Tensor
    points: torch.Tensor

    def confidence(self) -> torch.Tensor:
        """``[N, 48]`` in 0..1: the share of heat in the column of cells, seen from the front, that the point
        lies in, times that of the row of cells seen from the side."""
        depth = self.side.shape[3]
        right, down, away = self.points.detach().unbind(dim=2)
        row = _cell(down, 1.0, ROWS)
        front = self.front.flatten(2).gather(2, (row * COLUMNS + _cell(right, WIDE, COLUMNS))[..., None])
        side = self.side.flatten(2).gather(2, (row * depth + _cell(away, DEEP, depth))[..., None])
        return (front * side)[..., 0]


class HeatVolume(nn.Module):
    """Feature maps ``[N, inputs, 16, 11]`` -> :class:`Heat` of 48 points.

    Args:
        inputs: channels of the map.
        width: channels from which the volumes are drawn.
        depth: slices.
    """

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.enter = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        # beside the features a cell says in which row and column it is: convolutions do not know
        where = torch.cat([torch.eye(ROWS).repeat_interleave(COLUMNS, 1), torch.eye(COLUMNS).repeat(1, ROWS)])
        drawn = torch.randn(POINTS, depth, width) * 0.1 * width**-0.5
        usual = torch.zeros(POINTS, depth, len(where))
        rows = _places(1.0, ROWS) - (0.5 - torch.from_numpy(standing_heights()).float()[:, None])
        usual[:, :, :ROWS] = -0.5 / _SHARP * (rows / _USUAL).square()[:, None].clamp(max=9)
        self.draw = nn.Parameter(torch.cat([drawn, usual], dim=2).flatten(0, 1))
        self.sharp = nn.Parameter(torch.tensor(_SHARP))
        axes = (("right", WIDE, COLUMNS), ("down", 1.0, ROWS), ("away", DEEP, depth))
        for name, extent, cells in axes:
            self.register_buffer(name, _places(extent, cells), persistent=False)
        self.register_buffer("where", where, persistent=False)

    def forward(self, maps: torch.Tensor) -> Heat:
        """Softmax and sums in the parameters' own precision: a volume has thousands of small cells."""
        dtype = self.draw.dtype
        where = self.get_buffer("where").expand(maps.shape[0], -1, -1)
        cells = torch.cat([self.enter(maps).flatten(2).to(dtype), where], dim=1)
        # one product gives the volumes in the order that the sums want
        logits = (self.sharp * self.draw) @ cells
        volume = logits.to(dtype).view(maps.shape[0], POINTS, self.depth * ROWS * COLUMNS).softmax(dim=2)
        volume = volume.view(-1, POINTS, self.depth, ROWS, COLUMNS)
        front, side = volume.sum(dim=2), volume.sum(dim=4).transpose(2, 3)
        points = [
            (front.sum(dim=2) * self.get_buffer("right")).sum(dim=2),
            (front.sum(dim=3) * self.get_buffer("down")).sum(dim=2),
            (side.sum(dim=2) * self.get_buffer("away")).sum(dim=2),
        ]
        return Heat(front, side, torch.stack(points, dim=2))


def hats(places: torch.Tensor, extent: float, cells: int) -> torch.Tensor:
    """The heat ``[..., cells]`` on the two cells beside each place whose mean is that place."""
    at = _places(extent, cells).to(places)
    return (1 - (places[..., None] - at).abs() * ((cells - 1) / extent)).clamp(min=0)


def _places(extent: float, cells: int) -> torch.Tensor:
    """Where cells lie along an axis; the outermost at its ends, so that a mean can reach the edge."""
    return torch.linspace(-extent / 2, extent / 2, cells) if cells > 1 else torch.zeros(1)


def _cell(places: torch.Tensor, extent: float, cells: int) -> torch.Tensor:
    return ((places / extent + 0.5) * (cells - 1)).round().long().clamp(0, cells - 1)

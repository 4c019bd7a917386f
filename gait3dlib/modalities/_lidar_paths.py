"""The ``paths`` encoder of points: every frame drawn from the side and from behind, then the pose over time.

In the walker's own frame and in metres the place of a point says which part of the body it is of. So a frame
is a picture of fixed size, which a dense layer reads at once; it costs a tenth of reading point by point
(PointNet: Qi et al., CVPR 2017), and poses are told better in the same time.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.modalities._paths import dense

HIGH_M, LONG_M, WIDE_M = 2.0, 1.4, 1.0  # of the space that is drawn; what is outside lies on its border
ROWS, LONG, WIDE = 20, 12, 10  # cells of the same
THICK_M = 0.5  # brings places across the pictures to the order of one
FEW = 0.5  # points; below that a cell's mean fades
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


class PointPictures(nn.Module):
    """Frames ``[n, 1 + points, 3]``, row 0 the sensor's place -> ``[n, figures]``.

    Two pictures, along the walk and across it; a cell holds how many points there are and, in the mean, how
    far they lie from the picture's plane. Beside them stands from which side the sensor looks. The order of
    the points changes nothing.
    """

    def __init__(self, figures: int) -> None:
        super().__init__()
        self.frame = nn.Sequential(*dense(2 * ROWS * (LONG + WIDE) + 2, figures))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``[n, 1 + points, 3]`` -> ``[n, figures]``."""
        # in full precision: a count is a sum over many points
        along, across, up = frames[:, 1:].float().unbind(dim=2)
        row = up / HIGH_M * (ROWS - 1)
        from_side = _drawn(row, (along / LONG_M + 0.5) * (LONG - 1), across / THICK_M, LONG)
        from_behind = _drawn(row, (across / WIDE_M + 0.5) * (WIDE - 1), along / THICK_M, WIDE)
        side = functional.normalize(frames[:, 0, :2].float(), dim=1)
        out: torch.Tensor = self.frame(torch.cat([from_side, from_behind, side], dim=1).to(frames.dtype))
        return out


def _drawn(row: torch.Tensor, column: torch.Tensor, away: torch.Tensor, columns: int) -> torch.Tensor:
    """Points at cells ``[n, points]``, shared among the four nearest, -> ``[n, 2 cells]``: the logarithm of
    how many, and their mean ``away``."""
    row, column = row.clamp(0, ROWS - 1.001), column.clamp(0, columns - 1.001)
    first = row.floor() * columns + column.floor()
    down, right = row.frac(), column.frac()
    count = row.new_zeros(len(row), ROWS * columns)
    total = torch.zeros_like(count)
    for below, beside in CORNERS:
        share = (down if below else 1 - down) * (right if beside else 1 - right)
        cell = (first + below * columns + beside).long()
        count.scatter_add_(1, cell, share)
        total.scatter_add_(1, cell, share * away)
    return torch.cat([count.log1p(), total / (count + FEW)], dim=1)

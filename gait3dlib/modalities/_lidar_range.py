"""The ``range_view`` encoder: what the sensor sees, as a picture of metric depth (LidarGait, CVPR 2023).

LidarGait draws ground distance in colours and enlarges the person to the picture. Here a pixel is as large as
a fixed length, so that height stays metric, and its value is how far the surface lies before or behind the
middle of the body, so that distance does not matter.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._metric_strips import TOP_M, token_heights
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.types import Tokens

ROWS, COLUMNS = 64, 44
PIXEL_M = TOP_M / ROWS
DEPTH_M = 0.8  # before and behind the middle of the body
CHANNELS = 2
SPREAD = 1.5  # pixels: holes of up to 5 rows are filled, beams 0.7 degrees apart at 12 m
ENOUGH = 0.5


class RangeViewEncoder(StripEncoder):
    """Frames ``[b, T, 1 + points, 3]`` -> one token a strip of the picture, 2 m above the ground to 0.

    Args:
        dim: size of a token.
        width: channels of the first stage; the last has four times as many.
        strips: horizontal strips; divides 16.

    Raises:
        ConfigError: ``strips`` does not divide 16.
    """

    def __init__(self, dim: int, width: int, strips: int) -> None:
        super().__init__(CHANNELS, dim, width, strips)
        self.register_buffer("height", token_heights(strips).flip(0), persistent=False)

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips, dim]``; walks without the modality get zeros and ``real`` False."""
        frames, _ = batch.real_frames()
        steps = torch.arange(batch.frames.shape[1], device=frames.device)
        pictures = frames.new_zeros(*batch.frames.shape[:2], CHANNELS, ROWS, COLUMNS)
        pictures[steps[None, :] < batch.lengths[:, None]] = depth_pictures(frames) * 255
        return super().forward(Batch(pictures, batch.lengths, batch.t_s))


def depth_pictures(frames: torch.Tensor) -> torch.Tensor:
    """The walker as the sensor sees them, ``[n, 1 + points, 3]`` -> ``[n, 2, 64, 44]``.

    The first channel is 1 where the surface is nearest and goes to 0 where nothing is, holes between beams
    filled; the second is 1 where a point was measured.
    """
    n = frames.shape[0]  # not len: a trace for export would take it for fixed
    sensor, points = frames[:, :1, :2], frames[:, 1:]
    sight = functional.normalize(-sensor, dim=2)
    behind = (points[..., :2] * sight).sum(dim=2)
    aside = (
        points[..., 0] * sight[..., 1] - points[..., 1] * sight[..., 0]
    )  # to the right of the sensor's view
    row = ROWS - 1 - (points[..., 2] / PIXEL_M).floor()
    column = (aside / PIXEL_M + COLUMNS / 2).floor()
    inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)  # NaN is nowhere
    near = (0.5 - 0.5 * behind / DEPTH_M).clamp(0.05, 1)
    place = (row * COLUMNS + column).masked_fill(~inside, ROWS * COLUMNS).long()
    picture = near.new_zeros(n, ROWS * COLUMNS + 1).scatter_reduce(
        1, place, near.masked_fill(~inside, 0), "amax"
    )
    value = picture[:, :-1].view(n, 1, ROWS, COLUMNS)
    measured = (value > 0).to(value.dtype)
    return torch.cat([_filled(value, measured), measured], dim=1)


def _filled(value: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Holes take what is known around them (normalised convolution, Knutsson and Westin, CVPR 1993); it fades
    where less than a beam's worth is known."""
    weight = value.new_tensor(
        [[math.exp(-0.5 * (y * y + x * x) / SPREAD**2) for x in range(-2, 3)] for y in range(-3, 4)]
    )
    both = functional.conv2d(torch.cat([value, known]), weight[None, None], padding=(3, 2))
    total, share = both.chunk(2)
    around = total / share.clamp(min=1e-6) * (share / ENOUGH).clamp(max=1)
    return torch.where(known > 0, value, around)

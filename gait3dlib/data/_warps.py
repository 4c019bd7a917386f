"""OpenGait's augmentations of pictures: one draw a sequence, the same for all its frames and channels."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

ERASED = (0.05, 0.2)  # share of the picture
ERASED_ASPECT = 10 / 3  # the rectangle is at most so much higher than wide, or wider than high


def perspective(x: torch.Tensor, reach_px: float, generator: torch.Generator) -> torch.Tensor:
    """Move the four corners in from the sides and stretch what lies between to the whole picture.

    Each corner moves by a whole number of pixels from 0 to ``reach_px``, for every 64 of height. A picture
    that is narrower than high is the middle of a square one whose sides were cut off: its corners are the
    square's.

    Args:
        x: ``[b, c, h, w]``.
        reach_px: the largest move.
        generator: of the draw.
    """
    b, _, h, w = x.shape
    full = max(h, w)
    moves = torch.randint(int(reach_px) + 1, (b, 4), generator=generator) * (full / 64)
    left, right = moves[:, :2], full - moves[:, 2:]  # each: top, bottom
    # Heckbert (1989): the map from the unit square onto these corners, whose tops and bottoms are level
    narrow = left[:, 0] - right[:, 0] + right[:, 1] - left[:, 1]
    h_row = (narrow / (left[:, 1] - right[:, 1])).view(b, 1, 1)
    column = ((torch.arange(w) + 0.5 + (full - w) / 2) / full).view(1, 1, w)
    row = ((torch.arange(h) + 0.5) / h).view(1, h, 1)
    slope, start = (right - left)[:, 0].view(b, 1, 1), left[:, 0].view(b, 1, 1)
    lean = left[:, 1].view(b, 1, 1) * (1 + h_row) - start
    depth = 1 + h_row * row
    source_x = (slope * column + lean * row + start) / depth - (full - w) / 2
    source_y = (h * (1 + h_row) * row / depth).expand(b, h, w)
    return _sampled(x, source_x, source_y)


def turned(x: torch.Tensor, degrees: float, generator: torch.Generator) -> torch.Tensor:
    """Rotate by up to so many degrees either way, about OpenGait's centre.

    It is the pixel of column ``h // 2`` and row ``w // 2``: in a picture of 64 x 44 not the middle, but ten
    columns to the right of it and ten rows above.

    Args:
        x: ``[b, c, h, w]``.
        degrees: the largest angle.
        generator: of the draw.
    """
    b, _, h, w = x.shape
    angle = torch.deg2rad((torch.rand(b, generator=generator) * 2 - 1) * degrees).view(b, 1, 1)
    across = (torch.arange(w) - float(h // 2)).view(1, 1, w)
    down = (torch.arange(h) - float(w // 2)).view(1, h, 1)
    source_x = across * angle.cos() - down * angle.sin() + h // 2 + 0.5
    source_y = across * angle.sin() + down * angle.cos() + w // 2 + 0.5
    return _sampled(x, source_x, source_y)


def erased(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Black out a rectangle of 5 to 20 % of the picture that lies inside of it (Zhong et al., AAAI 2020).

    Args:
        x: ``[b, c, h, w]``.
        generator: of the draw.
    """
    b, _, h, w = x.shape
    draw = torch.rand(b, 4, generator=generator).double()
    area = (ERASED[0] + (ERASED[1] - ERASED[0]) * draw[:, 0]) * h * w
    # the logarithm of height over width, as far as both fit
    lowest = torch.log(area / w**2).clamp(min=-math.log(ERASED_ASPECT))
    highest = torch.log(h**2 / area).clamp(max=math.log(ERASED_ASPECT))
    aspect = torch.exp(lowest + (highest - lowest) * draw[:, 1])
    high, wide = (area * aspect).sqrt().round().clamp(1, h), (area / aspect).sqrt().round().clamp(1, w)
    top, left = ((h - high + 1) * draw[:, 2]).floor(), ((w - wide + 1) * draw[:, 3]).floor()
    rows, columns = torch.arange(h).view(1, h, 1), torch.arange(w).view(1, 1, w)
    top, left, high, wide = (value.view(b, 1, 1) for value in (top, left, high, wide))
    inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
    return x.masked_fill(inside[:, None], 0)


def _sampled(x: torch.Tensor, column: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Bilinear, at places counted from the upper left corner of the first pixel; black outside."""
    h, w = x.shape[2:]
    grid = torch.stack([2 * column / w - 1, 2 * row / h - 1], dim=3).to(x.dtype)
    return functional.grid_sample(x, grid, align_corners=False)

"""Questions about shapes that several architectures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gait3dlib.opengait._architecture import Shapes

Example = Callable[[int, int], tuple[torch.Tensor, ...]]


def bins_of(parts: int) -> tuple[int, ...]:
    """The counts of strips that make so many parts: one count, or all powers of two down to 1.

    Raises:
        KeyError: neither.
    """
    if parts > 0 and parts & (parts - 1) == 0:
        return (parts,)
    if parts > 0 and parts & (parts + 1) == 0:
        return tuple(1 << power for power in reversed(range(parts.bit_length())))
    raise KeyError(parts)


def read_head(shapes: Shapes) -> dict[str, Any]:
    """Strips, embedding and classes of separate FCs with necks behind them."""
    return {
        "bins": bins_of(shapes.dim("FCs.fc_bin", 0)),
        "embedding": shapes.dim("FCs.fc_bin", 2),
        "classes": shapes.classes("BNNecks.fc_bin"),
    }


def images(channels: int, h: int = 64, w: int = 44) -> Example:
    """Makes example images ``[n, s, channels, h, w]``."""

    def example(walks: int, frames: int) -> tuple[torch.Tensor, ...]:
        return (torch.rand(walks, frames, channels, h, w),)

    return example

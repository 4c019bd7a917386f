"""OpenGait's names for SMPLGait."""

from __future__ import annotations

from typing import Any

import torch

from gait3dlib.networks.smplgait import SMPLGait
from gait3dlib.opengait._architecture import Architecture, Names, Shapes

_TRUNK = "Backbone.forward_block.feature"
_CONVOLUTIONS = (0, 2, 5, 7, 10, 12)

_NAMES: Names = {
    **{f"trunk.{i}": f"{_TRUNK}.{i}.conv" for i in _CONVOLUTIONS},
    **{f"matrix.linears.{i}": f"fc{i + 1}" for i in range(3)},
    **{f"matrix.norms.{i}": f"bn{i + 1}" for i in range(3)},
    "head.linear.weight": "FCs.fc_bin",
    "head.neck.classes": "BNNecks.fc_bin",
    "head.neck.norm": "BNNecks.bn1d",
}


def _read(shapes: Shapes) -> dict[str, Any]:
    return {
        "channels": shapes.dim(f"{_TRUNK}.0.conv.weight", 1),
        "widths": [shapes.dim(f"{_TRUNK}.{i}.conv.weight", 0) for i in _CONVOLUTIONS[::2]],
        "smpl_values": shapes.dim("fc1.weight", 1),
        "hidden": [shapes.dim("fc1.weight", 0), shapes.dim("fc2.weight", 0)],
        "embedding": shapes.dim("FCs.fc_bin", 2),
        "classes": shapes.classes("BNNecks.fc_bin"),
    }


def _example(walks: int, frames: int) -> tuple[torch.Tensor, ...]:
    return torch.rand(walks, frames, 1, 64, 44), torch.randn(walks, frames, 85) * 0.3


ARCHITECTURES = {"SMPLGait": Architecture(SMPLGait, _read, _NAMES, _example)}

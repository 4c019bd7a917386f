"""OpenGait's names for LidarGait++; sample counts and neighbours stand in no checkpoint."""

from __future__ import annotations

from typing import Any

import torch

from gait3dlib.networks.lidargaitpp import LidarGaitPP
from gait3dlib.opengait._architecture import Architecture, Names, Shapes, Theirs

_LEVELS = range(4)

_NAMES: Names = {
    **{
        f"levels.{i}.layers.*.linear.weight": Theirs(f"sa{i + 1}.mlp_convs.*.weight", trailing=2)
        for i in _LEVELS
    },
    **{f"levels.{i}.layers.*.linear.bias": f"sa{i + 1}.mlp_convs.*.bias" for i in _LEVELS},
    **{f"levels.{i}.layers.*.norm": f"sa{i + 1}.mlp_bns.*" for i in _LEVELS},
    "head.linear.weight": "FCs.fc_bin",
    "head.neck.classes": "BNNecks.fc_bin",
    "head.neck.norm": "BNNecks.bn1d",
}


def _read(shapes: Shapes) -> dict[str, Any]:
    def widths(level: int) -> list[int]:
        layers = f"sa{level + 1}.mlp_convs."
        return [shapes.dim(f"{layers}{i}.weight", 0) for i in range(shapes.count(layers))]

    return {
        "widths": [widths(level) for level in _LEVELS],
        "embedding": shapes.dim("FCs.fc_bin", 2),
        "classes": shapes.classes("BNNecks.fc_bin"),
    }


def _example(walks: int, frames: int) -> tuple[torch.Tensor, ...]:
    points = torch.randn(walks, frames, 512, 4) * 0.4
    points[..., 3] = torch.rand(walks, frames, 512) * 1.8
    return (points,)


ARCHITECTURES = {"LidarGait++": Architecture(LidarGaitPP, _read, _NAMES, _example)}

"""The residual networks of OpenGait: GaitBase, LidarGait, DeepGaitV2, SkeletonGait and SkeletonGait++."""

from __future__ import annotations

from typing import Any

import torch

from gait3dlib.networks import GaitBase, LidarGait
from gait3dlib.opengait._architecture import Architecture, Names, Shapes, nested

STAGES = (1, 2, 3, 4)

HEAD: Names = {
    "head.linear.weight": "FCs.fc_bin",
    "head.neck.classes": "BNNecks.fc_bin",
    "head.neck.norm": "BNNecks.bn1d",
}
FRAME_BLOCK: Names = {
    "first.conv": "conv1",
    "first.norm": "bn1",
    "second.conv": "conv2",
    "second.norm": "bn2",
    "skip.conv": "downsample.0",
    "skip.norm": "downsample.1",
}

_BASE = "Backbone.forward_block"
GAITBASE: Names = {
    "trunk.stem.conv": f"{_BASE}.conv1.conv",
    "trunk.stem.norm": f"{_BASE}.bn1",
    **{
        ours: theirs
        for stage in STAGES
        for ours, theirs in nested(
            f"trunk.stages.{stage - 1}.*", f"{_BASE}.layer{stage}.*", FRAME_BLOCK
        ).items()
    },
    **HEAD,
}


def read_head(shapes: Shapes) -> dict[str, Any]:
    """Parts, embedding and classes, as every network with such a head calls them."""
    return {
        "parts": shapes.dim("FCs.fc_bin", 0),
        "embedding": shapes.dim("FCs.fc_bin", 2),
        "classes": shapes.classes("BNNecks.fc_bin"),
    }


def _read_gaitbase(shapes: Shapes) -> dict[str, Any]:
    layers = [f"{_BASE}.layer{stage}." for stage in STAGES]
    channels = shapes.dim(f"{_BASE}.conv1.conv.weight", 1)
    return {
        "channels": 1 if channels == 3 else channels,  # three are LidarGait's
        "widths": [shapes.dim(f"{layer}0.conv1.weight", 0) for layer in layers],
        "depths": [shapes.count(layer) for layer in layers],
        **read_head(shapes),
    }


def images(channels: int, h: int = 64, w: int = 44) -> Any:
    """Makes example images ``[n, s, channels, h, w]``."""

    def example(walks: int, frames: int) -> tuple[torch.Tensor, ...]:
        return (torch.rand(walks, frames, channels, h, w),)

    return example


ARCHITECTURES = {
    "GaitBase": Architecture(GaitBase, _read_gaitbase, GAITBASE, images(1)),
    "LidarGait": Architecture(
        LidarGait, lambda shapes: {**_read_gaitbase(shapes), "channels": 3}, GAITBASE, images(3, 64, 64)
    ),
}

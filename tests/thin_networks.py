"""Networks of few channels for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gait3dlib.networks import (
    DeepGaitV2,
    GaitBase,
    GaitGL,
    GaitPart,
    GaitSet,
    ImageNetwork,
    LidarGait,
    SkeletonGait,
    SkeletonGaitPP,
)

THIN: dict[str, Any] = {"widths": (4, 6, 8, 10), "depths": (1, 2, 1, 1), "embedding": 6, "classes": 5}
Makers = dict[str, Callable[[], ImageNetwork]]


def residual(settings: dict[str, Any]) -> Makers:
    """The residual networks, by name, to be made with these settings."""
    return {
        "GaitBase": lambda: GaitBase(**settings),
        "LidarGait": lambda: LidarGait(**settings),
        "DeepGaitV2 2d": lambda: DeepGaitV2(mode="2d", **settings),
        "DeepGaitV2 p3d": lambda: DeepGaitV2(mode="p3d", **settings),
        "DeepGaitV2 3d": lambda: DeepGaitV2(mode="3d", **settings),
        "SkeletonGait": lambda: SkeletonGait(**settings),
        "SkeletonGait++": lambda: SkeletonGaitPP(**settings),
    }


MAKERS: Makers = {
    **residual(THIN),
    "GaitSet": lambda: GaitSet(widths=(4, 6, 8), embedding=7),
    "GaitPart": lambda: GaitPart(widths=((4, 4), (6, 6), (8, 8)), squeezed=2, embedding=5),
    "GaitGL": lambda: GaitGL(stem=(3,), stages=((4,), (5,), (6,)), embedding=6, classes=5),
    "GaitGL with a neck": lambda: GaitGL(
        stem=(3, 3), stages=((4, 4), (5,), (6, 6)), strips=2, embedding=6, classes=5, separate_neck=True
    ),
}


def settled(make: Callable[[], ImageNetwork]) -> ImageNetwork:
    """Of random weights, its norms moved off their starting values; in eval mode."""
    torch.manual_seed(3)
    network = make().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network


def images(
    network: ImageNetwork, walks: int, frames: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Noise in 0..1, ``[walks, frames, channels, h, w]``."""
    generator = torch.Generator().manual_seed(5)
    h, w = network.sizes[0]
    return torch.rand(walks, frames, network.channels, h, w, generator=generator, dtype=dtype)

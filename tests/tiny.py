"""The smallest networks and runs that still are ones, for tests."""

from __future__ import annotations

import pickle  # noqa: TID251 - of our own making, as processes send it to each other
from pathlib import Path
from typing import Any, TypeVar

import torch

from gait3dlib.fusion import weights
from gait3dlib.fusion.model import GaitModel

T = TypeVar("T")

MODALITIES: dict[str, dict[str, Any]] = {
    "silhouette": {"width": 8, "strips": 4},
    "skeleton_map": {"width": 8, "strips": 4, "sigma": 8.0},
}
FUSION: dict[str, Any] = {"dim": 16, "depth": 1, "heads": 2, "parts": 2, "part_dim": 8}
SCHEDULE: dict[str, Any] = {
    "steps": 4,
    "people": 2,
    "walks": 2,
    "frames": 3,
    "validate_every": 2,
    "save_seconds": 0.0,
    "precision": "32-true",
}
# tails of impostor scores as training writes them, for all that these networks may be asked
TAIL = [[0.5, 0.0], [0.1, 0.3], [0.01, 0.6], [0.001, 0.8]]
IMPOSTORS = dict.fromkeys(("silhouette", "skeleton_map", "silhouette+skeleton_map"), TAIL)


def model(names: tuple[str, ...] = tuple(MODALITIES), *, seed: int = 1) -> GaitModel:
    """Fresh weights, in eval mode; batch norms and biases moved off their starting values."""
    made = weights.untrained({name: MODALITIES[name] for name in names}, FUSION, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in made.state_dict().items():
        if name.endswith(("running_mean", "bias", "enter.weight")):
            tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
        if name.endswith("running_var"):
            tensor.mul_(0.5 + torch.rand(tensor.shape, generator=generator))
    return made


def save_weights(folder: Path, *, trained: bool = True, made: GaitModel | None = None) -> Path:
    """A weights folder of :func:`model`; ``trained`` is only a claim."""
    fusion = {**FUSION, "modalities": sorted(MODALITIES)}
    info = {"trained": trained, "impostors": IMPOSTORS}
    weights.save(folder, made or model(), settings=MODALITIES, fusion=fusion, info=info)
    return folder


def sent(thing: T) -> T:
    """The thing as it arrives in another process."""
    arrived: T = pickle.loads(pickle.dumps(thing))
    return arrived

"""The smallest networks and runs that still are ones, for tests."""

from __future__ import annotations

import pickle  # noqa: TID251 - of our own making, as processes send it to each other
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from gait3dlib import training
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.fusion import weights
from gait3dlib.fusion.model import GaitModel
from gait3dlib.recording import Truth, save
from gait3dlib.types import GaitSequence, Labels, Meta, Stream

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


def train_encoder(name: str, data: Path, out: Path, **changes: Any) -> Path:
    """A few steps of one encoder; ``schedule`` is changed key by key."""
    asked = {"validation_people": 2, "dim": 16, "report": lambda text: None, **changes}
    asked["schedule"] = {**SCHEDULE, **changes.get("schedule", {})}
    modality = {name: asked.pop("settings", MODALITIES[name])}
    prepare(data, modality)
    return training.train_encoder(modality=modality, data=data, out=out, **asked)


def train_fusion(encoders: Path, data: Path, out: Path, **changes: Any) -> Path:
    """A few steps of the fusion of the encoders in that folder; returns the weights folder."""
    asked = {"validation_people": 2, "variants": 2, "report": lambda text: None, **changes}
    asked["schedule"] = {**SCHEDULE, **changes.get("schedule", {})}
    asked["fusion"] = {k: v for k, v in FUSION.items() if k != "dim"} | changes.get("fusion", {})
    names = asked.pop("modalities", sorted(path.stem for path in encoders.glob("*.safetensors")))
    prepare(data, {name: weights.read(encoders / f"{name}.safetensors")[1]["config"] for name in names})
    return training.train_fusion(encoders=encoders, modalities=names, data=data, out=out, **asked)


def prepare(data: Path, modalities: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Fill the cache in this process: starting others would take most of a test's time."""
    for name, settings in modalities.items():
        WalkFolder(data).prepare(name, weights.resolved(name, settings or {}), jobs=1)


def make_world(folder: Path, *, people: int = 6, walks: int = 4, frames: int = 6) -> Path:
    """Recordings without a simulator, in no time: ellipses of each person's own width, noisy keypoints.

    A camera at 10 frames a second, views 40 degrees apart, all labels known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[0:64, 0:64]
    for number in range(people):
        wide, joints = rng.uniform(6, 20), rng.uniform(8, 56, (17, 2))
        labels = Labels(
            20.0 + 9 * number, ("female", "male")[number % 2], 1.5 + 0.08 * number, 50.0 + 9 * number
        )
        held = []
        for walk in range(walks):
            swing = 1 + 0.3 * np.sin(np.arange(frames) + walk)[:, None, None]
            oval = ((columns - 32) / (wide * swing)) ** 2 + ((rows - 32) / 30) ** 2 < 1
            keypoints = np.ones((frames, 17, 3), np.float32)
            keypoints[..., :2] = joints + rng.normal(0, 1, (frames, 17, 2))
            t_ns = np.arange(frames, dtype=np.int64) * 100_000_000
            streams = {
                "silhouette": Stream(np.where(oval, 255, 0).astype(np.uint8), t_ns),
                "keypoints": Stream(keypoints, t_ns, "px", layout="coco17"),
            }
            meta = Meta(session=str(walk // 2), view_deg=60.0 + 40 * (walk % 2))
            held.append(GaitSequence(streams, f"p{number}", meta))
        save(folder / f"p{number}.h5", *held, truths=[Truth(labels)] * walks)
    return folder

"""Training and test with labels that say nothing: each walk is given to a person at random.

Whatever is still found out afterwards has leaked from the truth into what a model sees, or from training into
the test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gait3dlib import _resources
from gait3dlib.recording import open_recording, save
from gait3dlib.simulation.benchmark import GALLERY_SESSION
from gait3dlib.training import train
from gait3dlib.types import GaitSequence

MODALITIES = ("silhouette", "skeleton_map")
VALIDATION_SHARE = 0.1  # of the people, kept out of training as the recipes ask


def copy(root: Path, out: Path, seed: int) -> Path:
    """The recordings of ``root`` with their walks dealt out anew; returns ``out``.

    Everybody keeps their name, their labels, what was true of their own walks, and as many walks of each
    session; gallery walks stay those of one view each.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(root.glob("*.h5"))
    alike: dict[tuple[str, float | None], list[tuple[Path, int]]] = {}
    for path in paths:
        with open_recording(path) as recording:
            for index, info in enumerate(recording.walks):
                view = info.meta.view_deg if info.meta.session == GALLERY_SESSION else None
                alike.setdefault((info.meta.session, view), []).append((path, index))
    rng = np.random.default_rng([seed, 41])
    given: dict[tuple[Path, int], tuple[Path, int]] = {}
    for held in alike.values():
        given.update(zip(held, (held[i] for i in rng.permutation(len(held))), strict=True))
    for path in paths:
        with open_recording(path) as recording:
            walks, truths = [], []
            for index, info in enumerate(recording.walks):
                source, number = given[path, index]
                with open_recording(source) as other:
                    walk = other.sequence(number)
                walks.append(GaitSequence(walk.streams, info.subject, walk.meta))
                truths.append(recording.truth(index))
        save(out / path.name, *walks, truths=truths)
    return out


def run(
    train_data: Path, test_data: Path, home: Path, *, steps: int, seed: int, say: Callable[[str], None]
) -> tuple[Path, Path]:
    """Train encoders and fusion on shuffled walks; returns shuffled test data and the weights' folder."""
    data = copy(train_data, home / "train", seed)
    people = len(list(data.glob("*.h5")))
    asked = [
        f"data={data}",
        f"validation_people={max(2, round(VALIDATION_SHARE * people))}",
        f"schedule.steps={steps}",
        f"schedule.validate_every={steps}",
        f"seed={seed}",
    ]
    encoders, configs = home / "encoders", _resources.shipped("configs")
    encoders.mkdir(exist_ok=True)
    for name in MODALITIES:
        say(f"training {name} on shuffled walks")
        train(configs / f"{name}.yaml", encoders, overrides=asked, report=say)
    asked += [f"encoders={encoders}", f"modalities=[{','.join(MODALITIES)}]"]
    fused = train(configs / "fusion.yaml", home / "fusion", overrides=asked, report=say)
    return copy(test_data, home / "test", seed + 1), fused

"""The walks of a run: opened, prepared, people split into those to train on and those held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib.data.recordings import Walk, WalkSet
from gait3dlib.data.sets import open_data
from gait3dlib.errors import InputError
from gait3dlib.modalities import Sample
from gait3dlib.training.folder import Report
from gait3dlib.training.validation import held_out

DataSource = Path | dict[str, dict[str, Any] | None]


def open_walks(data: DataSource) -> WalkSet:
    """The walks that may be trained on: of a data set with a partition, those of its training people."""
    named = isinstance(data, dict) and any("split" in (settings or {}) for settings in data.values())
    return open_data(data) if named else open_data(data, split="train")


class Split:
    """Prepared samples, people split into training and validation; walks without the modality left out."""

    def __init__(
        self,
        folder: WalkSet,
        name: str,
        settings: Mapping[str, Any],
        validation_people: int,
        report: Report,
        traits: Sequence[str] = (),
    ) -> None:
        def progress(done: int, todo: int) -> None:
            if done == todo or done % 50 == 0:
                report(f"prepared {done}/{todo} recordings for {name}")

        outside = held_out(folder.subjects, validation_people)
        samples = folder.prepare(name, dict(settings), progress=progress)
        both = [(w, s) for w, s in zip(folder.walks, samples, strict=True) if s is not None]
        if not both:
            raise InputError(f"{folder.root}: no walk has a stream that {name!r} can read")
        train = [(w, s) for w, s in both if w.subject not in outside]
        chosen = [
            s is not None and w.subject not in outside for w, s in zip(folder.walks, samples, strict=True)
        ]
        told = [folder.truths(trait)[chosen] for trait in traits]
        self.traits = np.concatenate([np.empty((len(train), 0), np.float32), *told], axis=1)
        validation = [(w, s) for w, s in both if w.subject in outside]
        if outside and not validation:
            raise InputError(f"{folder.root}: none of the {validation_people} people held out has {name!r}")
        self.train: list[Walk] = [w for w, _ in train]
        self.train_samples: list[Sample] = [s for _, s in train]
        self.validation: list[Walk] = [w for w, _ in validation]
        self.validation_samples: list[Sample] = [s for _, s in validation]
        report(f"{len(self.train)} walks to train on, {len(self.validation)} of {len(outside)} others beside")

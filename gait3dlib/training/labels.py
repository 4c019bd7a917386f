"""Labels of walks as tensors; what is not known is NaN and masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.data.recordings import Walk


@dataclass(frozen=True)
class Wanted:
    """Targets of a batch: person int64 ``[b]``; age, bmi and traits ``[b, n]`` standardised, NaN = not known;
    female 0 or 1."""

    person: torch.Tensor
    age: torch.Tensor
    bmi: torch.Tensor
    female: torch.Tensor
    gender_known: torch.Tensor
    traits: torch.Tensor


class Targets:
    """The labels of a list of walks.

    ``scale`` holds mean and standard deviation of age and BMI over people (not walks), which standardise the
    targets and which the heads keep. ``traits`` are further figures ``[walks, n]`` of each walk, such as the
    manner of walking that a simulator drew; they are standardised over the walks.
    """

    def __init__(self, walks: Sequence[Walk], traits: NDArray[np.float32] | None = None) -> None:
        self.people = sorted({w.subject for w in walks})
        number = {subject: i for i, subject in enumerate(self.people)}
        self.person = np.array([number[w.subject] for w in walks])
        self.age = _column(w.labels.age_years for w in walks)
        self.bmi = _column(w.labels.bmi_kg_m2 for w in walks)
        gender = [w.labels.gender for w in walks]
        self.gender_known = np.array([g is not None for g in gender])
        self.female = np.array([g == "female" for g in gender], dtype=np.float32)
        raw = np.empty((len(walks), 0), np.float32) if traits is None else traits
        spread = np.nanstd(raw, axis=0).clip(1e-6) if raw.size else 1.0
        self.traits = ((raw - np.nanmean(raw, axis=0)) / spread if raw.size else raw).astype(np.float32)
        self.scale = {"age": self._scale(self.age), "bmi": self._scale(self.bmi)}

    def of(self, rows: NDArray[np.int64], device: torch.device | str) -> Wanted:
        """The targets of some walks."""

        def tensor(values: NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(values[rows]).to(device)

        age = (self.age - self.scale["age"][0]) / self.scale["age"][1]
        bmi = (self.bmi - self.scale["bmi"][0]) / self.scale["bmi"][1]
        return Wanted(
            tensor(self.person),
            tensor(age),
            tensor(bmi),
            tensor(self.female),
            tensor(self.gender_known),
            tensor(self.traits),
        )

    def standardised(self, tasks: Sequence[str]) -> torch.Tensor:
        """``[walks, tasks]``: age and BMI standardised, gender 1 (female) or -1; NaN = not known."""
        every = self.of(np.arange(len(self.person)), "cpu")
        gender = torch.where(every.gender_known, 2 * every.female - 1, torch.nan)
        of_task = {"age": every.age, "bmi": every.bmi, "gender": gender}
        return (
            torch.stack([of_task[task] for task in tasks], dim=1)
            if tasks
            else every.age.new_zeros(len(gender), 0)
        )

    def learnable(self, tasks: Sequence[str]) -> list[str]:
        """The tasks without those for which fewer than two people have a label, or all the same gender."""
        known = {
            "age": self._one_each(self.age),
            "bmi": self._one_each(self.bmi),
            "gender": np.unique(self.female[self.gender_known]),
        }
        return [task for task in tasks if task not in known or len(known[task]) > 1]

    def _scale(self, values: NDArray[np.float32]) -> tuple[float, float]:
        known = self._one_each(values)
        if len(known) < 2:
            return 0.0, 1.0
        return float(known.mean()), float(max(known.std(), 1e-3))

    def _one_each(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first known value of each person who has one."""
        known = np.isfinite(values)
        _, first = np.unique(self.person[known], return_index=True)
        return values[known][first]


def masked_mse(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the targets that are known; 0 with a graph where none is."""
    known = ~target.isnan()
    error = (prediction - target.nan_to_num()).square() * known
    return error.sum() / known.sum().clamp(min=1)


def _column(values: object) -> NDArray[np.float32]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float32)  # type: ignore[attr-defined]

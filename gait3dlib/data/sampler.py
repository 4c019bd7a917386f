"""Which walks and which frames make up a training batch; a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.modalities import Sample


class PeopleSampler:
    """P people x K walks (Hermans et al., 2017): what a batch-all triplet loss needs.

    ``batch(step)`` depends on nothing but the seed and the step, so a resumed run sees the same batches.

    Args:
        subjects: the person of every walk.
        people: P, drawn without replacement.
        walks: K of each, without replacement where a person has enough.
        seed: of the whole run.

    Raises:
        InputError: fewer than two people, or fewer than P.
    """

    def __init__(self, subjects: Sequence[str], *, people: int, walks: int, seed: int = 0) -> None:
        names = sorted(set(subjects))
        if len(names) < max(people, 2):
            raise InputError(
                f"{len(names)} people in the training set, but a batch wants {max(people, 2)}; "
                "record or simulate more, or lower schedule.people"
            )
        self._of = [np.flatnonzero(np.array(subjects) == name) for name in names]
        self.people, self.walks, self.seed = people, walks, seed

    def batch(self, step: int) -> NDArray[np.int64]:
        """The indices of ``P * K`` walks, the K of one person side by side."""
        rng = np.random.default_rng([self.seed, 1, step])
        chosen = rng.choice(len(self._of), self.people, replace=False)
        return np.concatenate(
            [rng.choice(self._of[p], self.walks, replace=len(self._of[p]) < self.walks) for p in chosen]
        )


def draw_frames(sample: Sample, count: int, rng: np.random.Generator) -> Sample:
    """``count`` frames in order of time, all of them where there are no more."""
    if len(sample) <= count:
        return sample
    return sample.take(np.sort(rng.choice(len(sample), count, replace=False)))

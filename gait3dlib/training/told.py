"""What a simulator knows of every frame that training sees; no sample holds it, so no model reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.data._prepared import in_processes
from gait3dlib.data.recordings import Walk
from gait3dlib.fusion import weights
from gait3dlib.modalities import Sample
from gait3dlib.recording import open_recording

F16 = NDArray[np.float16]
FEW = 200  # walks that are told of sooner than processes start
Task = tuple[Path, list[int], list[NDArray[np.float32]], str, Mapping[str, Any]]


class Told:
    """What :meth:`~gait3dlib.modalities.Modality.told` says of each frame of some walks ``[T, n]``.

    Args:
        walks: of a data set; those that lie in no recording, or have no truth, are not known.
        samples: of each walk, by the modality.
        name: of the modality.
        settings: of the modality.
        jobs: processes; one a core by default.
    """

    def __init__(
        self,
        walks: Sequence[Walk],
        samples: Sequence[Sample],
        name: str,
        settings: Mapping[str, Any],
        jobs: int | None = None,
    ) -> None:
        self.samples = samples
        rows: dict[Path, list[int]] = {}
        for row, walk in enumerate(walks):
            if walk.path.suffix == ".h5":
                rows.setdefault(walk.path, []).append(row)
        tasks: list[Task] = [
            (path, [walks[r].index for r in own], [samples[r].t_s for r in own], name, settings)
            for path, own in rows.items()
        ]
        self.of_walk: list[F16 | None] = [None] * len(walks)
        jobs = 1 if len(walks) < FEW else jobs
        for own, found in zip(rows.values(), in_processes(_tell, tasks, jobs), strict=True):
            for row, array in zip(own, found, strict=True):
                self.of_walk[row] = array
        self.size = max((array.shape[1] for array in self.of_walk if array is not None), default=0)

    def of(self, rows: NDArray[np.int64], drawn: Sequence[Sample]) -> torch.Tensor | None:
        """float32 ``[b, T, n]`` of the frames that were drawn of some walks; NaN = unknown or no frame."""
        if not self.size:
            return None
        out = np.full((len(rows), max(map(len, drawn)), self.size), np.nan, np.float32)
        for place, (row, sample) in enumerate(zip(rows, drawn, strict=True)):
            held = self.of_walk[row]
            if held is not None:
                # times increase and are those of the whole sample: they say which frames were drawn
                out[place, : len(sample)] = held[np.searchsorted(self.samples[row].t_s, sample.t_s)]
        return torch.from_numpy(out)


def _tell(task: Task) -> list[F16 | None]:
    path, indices, times, name, settings = task
    modality, out = weights.make_modality(name, settings), []
    with open_recording(path) as recording:
        for index, t_s in zip(indices, times, strict=True):
            truth = recording.truth(index)
            told = None if truth is None else modality.told(recording.sequence(index), t_s, truth)
            out.append(None if told is None else told.astype(np.float16))
    return out

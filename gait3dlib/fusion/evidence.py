"""What one walk holds for the modalities of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gait3dlib.errors import NoEvidence
from gait3dlib.modalities import Batch, Modality
from gait3dlib.types import GaitSequence


class Evidence:
    """What a walk holds for the chosen modalities: batches of one, and the streams that they used."""

    def __init__(self, modalities: Mapping[str, Modality], seq: GaitSequence, drop: Sequence[str]) -> None:
        self.batches: dict[str, Batch] = {}
        self.streams: dict[str, tuple[str, ...]] = {}
        for name, modality in sorted(modalities.items()):
            sample = None if name in drop else modality.sample(seq)
            if sample is not None:
                self.batches[name] = modality.collate([sample])
                self.streams[name] = sample.used
        if not self.batches:
            wanted = {name: [s.name for s in m.streams] for name, m in modalities.items() if name not in drop}
            needs = "; ".join(f"{n} needs {' and '.join(s)}" for n, s in wanted.items()) or "all were dropped"
            raise NoEvidence(f"the walk has {', '.join(seq.streams)}, but {needs}")

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that have evidence, sorted."""
        return tuple(sorted(self.batches))

"""What one walk holds for the modalities of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gait3dlib.errors import NoEvidence
from gait3dlib.modalities import Batch, Modality
from gait3dlib.types import GaitSequence

MIN_FRAMES = 5  # half a second of a LiDAR, a sixth of one of a camera: less shows no movement


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
            left = {name: modality for name, modality in modalities.items() if name not in drop}
            raise NoEvidence(_why(left, seq))

    def require_movement(self) -> None:
        """Refuse what is too short to be a walk.

        Raises:
            NoEvidence: no modality has at least :data:`MIN_FRAMES` usable frames.
        """
        frames = max(int(batch.lengths[0]) for batch in self.batches.values())
        if frames < MIN_FRAMES:
            raise NoEvidence(
                f"the walk has {frames} usable frame{'s' * (frames > 1)}, and how somebody moves shows in "
                f"no fewer than {MIN_FRAMES}; record about one gait cycle or more"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that have evidence, sorted."""
        return tuple(sorted(self.batches))


def _why(modalities: Mapping[str, Modality], seq: GaitSequence) -> str:
    if not modalities:
        return "all modalities were dropped; keep at least one"
    wanted = {name: [spec.name for spec in modality.streams] for name, modality in modalities.items()}
    readable = [name for name, streams in wanted.items() if all(s in seq.streams for s in streams)]
    if readable:
        return f"no frame of the walk is usable for {' or '.join(readable)}: nobody, or too little, is seen"
    needs = "; ".join(f"{name} needs {' and '.join(streams)}" for name, streams in wanted.items())
    return f"the walk has {', '.join(seq.streams)}, but {needs}"

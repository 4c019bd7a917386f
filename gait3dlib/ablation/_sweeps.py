"""One modality of the probes goes wrong, more and more; the gallery stays as it was enrolled."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.ablation._corrupt import IN_TOKENS, can_change, corrupted
from gait3dlib.ablation._judge import Trial, Way
from gait3dlib.ablation._walks import Walks
from gait3dlib.data.tokens import encode_batch, fuse_walks, join_tokens
from gait3dlib.modalities import Modality, Sample
from gait3dlib.types import GaitSequence, Outputs, Tokens

if TYPE_CHECKING:
    from gait3dlib.pipeline import Pipeline

CHUNK = 32


class Setting(NamedTuple):
    """What is done to which modality, and how much of it."""

    kind: str
    modality: str
    level: float


class Sweeps:
    """Runs every setting on the probes.

    Args:
        pipeline: the network.
        walks: where the streams of the probes are read from.
        trial: who is a probe.
        samples: of all walks, as they are.
        tokens: of all walks, as they are.
        shape: of an embedding, parts and dim.
        seed: of what is drawn; a setting's draws do not depend on the other settings.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        walks: Walks,
        trial: Trial,
        samples: Mapping[str, Sequence[Sample | None]],
        tokens: Mapping[str, Tokens],
        shape: tuple[int, ...],
        seed: int,
    ) -> None:
        self.pipeline, self.walks, self.trial, self.samples, self.seed = pipeline, walks, trial, samples, seed
        self.shape = shape
        rows = torch.as_tensor(list(trial.probe))
        self.tokens = {name: _rows(t, rows) for name, t in tokens.items()}

    def run(
        self, asked: Mapping[str, Sequence[float]], progress: Callable[[str], None]
    ) -> Iterator[tuple[Way, Outputs]]:
        """What all modalities say, and what the one that went wrong says alone where that tells anything."""
        settings = [
            Setting(kind, name, level)
            for kind, levels in asked.items()
            for name in self.pipeline.modalities
            if any(can_change(kind, stream) for stream in self._used(name))
            for level in levels
        ]
        encoded = self._encoded([s for s in settings if s.kind not in IN_TOKENS], progress)
        for setting in settings:
            progress(f"{setting.kind} of {setting.level:g} in {setting.modality}")
            tokens = encoded.pop(setting) if setting in encoded else self._in_tokens(setting)
            every = self.pipeline.modalities
            yield self._way(setting, every), self._fuse({**self.tokens, setting.modality: tokens})
            if setting.kind not in IN_TOKENS and len(every) > 1:
                alone = (setting.modality,)
                yield self._way(setting, alone), self._fuse({setting.modality: tokens})

    def _way(self, setting: Setting, names: tuple[str, ...]) -> Way:
        return Way(names, setting.kind, setting.modality, setting.level)

    def _fuse(self, tokens: Mapping[str, Tokens]) -> Outputs:
        """As :func:`~gait3dlib.data.tokens.fuse_walks`; where nobody has evidence, all is NaN."""
        seen = torch.stack([t.real.any(dim=1) for t in tokens.values()]).any()
        if seen:
            return fuse_walks(self.pipeline.model, tokens, chunk=2 * CHUNK)
        return Outputs(torch.full((len(self.trial.probe), *self.shape), torch.nan))

    def _used(self, name: str) -> tuple[str, ...]:
        """The streams that some sample of the modality was made from."""
        return tuple(dict.fromkeys(u for s in self.samples[name] if s is not None for u in s.used))

    def _rng(self, setting: Setting, walk: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(repr(setting).encode()), walk])

    def _in_tokens(self, setting: Setting) -> Tokens:
        """Tokens of some probes taken away, or swapped for those of somebody else."""
        held, rng = self.tokens[setting.modality], self._rng(setting)
        hit = rng.random(len(held.real)) < setting.level
        if setting.kind == "missing":
            real = held.real & ~torch.from_numpy(hit)[:, None]
            return Tokens(held.values, real, held.height, held.t_s)
        return _rows(held, torch.from_numpy(self._others(hit, held, rng)))

    def _others(self, hit: NDArray[np.bool_], held: Tokens, rng: np.random.Generator) -> NDArray[np.int64]:
        """Whose tokens each probe gets: its own, or those of a walk of somebody else who has the modality."""
        people = np.array(self.trial.people)
        there = held.real.any(dim=1).numpy()
        taken = np.arange(len(people))
        for row in np.flatnonzero(hit & there):
            others = np.flatnonzero(there & (people != people[row]))
            if len(others):
                taken[row] = rng.choice(others)
        return taken

    def _encoded(self, settings: Sequence[Setting], progress: Callable[[str], None]) -> dict[Setting, Tokens]:
        """Tokens of the corrupted probes; every walk's streams are read once for all settings."""
        if not settings:
            return {}
        parts: dict[Setting, list[Tokens]] = {setting: [] for setting in settings}
        order: list[int] = []
        chunk: list[tuple[int, GaitSequence | None]] = []
        for walk in self.walks.sequences(self.trial.probe):
            chunk.append(walk)
            if len(chunk) == CHUNK:
                order += self._encode(chunk, parts)
                progress(f"encoding what went wrong, walk {len(order)} of {len(self.trial.probe)}")
                chunk = []
        order += self._encode(chunk, parts)
        place = {row: i for i, row in enumerate(order)}
        back = torch.as_tensor([place[row] for row in self.trial.probe])
        return {setting: _rows(join_tokens(held), back) for setting, held in parts.items()}

    def _encode(
        self, chunk: Sequence[tuple[int, GaitSequence | None]], parts: dict[Setting, list[Tokens]]
    ) -> list[int]:
        if not chunk:
            return []
        for setting, made in parts.items():
            modality = self.pipeline.model.modalities[setting.modality]
            rows = [self._sample(setting, modality, row, seq) for row, seq in chunk]
            encoder, all_samples = (
                self.pipeline.model.encoders[setting.modality],
                self.samples[setting.modality],
            )
            made.append(encode_batch(encoder, modality, rows, all_samples, device=self.pipeline.device))
        return [row for row, _ in chunk]

    def _sample(
        self, setting: Setting, modality: Modality, row: int, seq: GaitSequence | None
    ) -> Sample | None:
        whole = self.samples[setting.modality][row]
        if whole is None or seq is None:
            return None
        streams = [u for u in whole.used if can_change(setting.kind, u)]
        worse = corrupted(seq, setting.kind, setting.level, streams, self._rng(setting, row + 1))
        return None if worse is None else modality.sample(worse)


def _rows(tokens: Tokens, rows: torch.Tensor) -> Tokens:
    return Tokens(tokens.values[rows], tokens.real[rows], tokens.height, tokens.t_s[rows])

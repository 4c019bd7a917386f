"""What the fusion trains on: tokens of every walk, encoded once, or the recordings themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import Walk, WalkSet
from gait3dlib.data.sampler import draw_frames
from gait3dlib.data.tokens import encode_batch, encode_walks, join_tokens
from gait3dlib.errors import InputError
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Batch, Modality, Sample
from gait3dlib.training.folder import Report
from gait3dlib.training.ranks import Ranks
from gait3dlib.training.schedule import Schedule
from gait3dlib.training.validation import held_out
from gait3dlib.types import Tokens

CHUNK = 64
Fields = tuple[torch.Tensor, ...]


class TokenCache:
    """The tokens of every walk for a modality, in several augmented variants.

    values float16 ``[variants, walks, n, dim]``, real and t_s ``[variants, walks, n]``, height ``[n]``.
    """

    def __init__(self, variants: Sequence[Tokens]) -> None:
        self.values = torch.stack([tokens.values.half() for tokens in variants])
        self.real = torch.stack([tokens.real for tokens in variants])
        self.t_s = torch.stack([tokens.t_s for tokens in variants])
        self.height = variants[0].height

    def batch(
        self, rows: NDArray[np.int64], variant: NDArray[np.int64], device: torch.device | str
    ) -> Fields:
        """The tokens of some walks, one variant each: the fields of :class:`Tokens`."""
        place = torch.from_numpy(variant), torch.from_numpy(rows)
        fields = (self.values[place].float(), self.real[place], self.height, self.t_s[place])
        return tuple(field.to(device) for field in fields)

    def variant(self, number: int) -> Tokens:
        """The tokens of all walks in one variant."""
        return Tokens(self.values[number], self.real[number], self.height, self.t_s[number])


class Walks:
    """The walks of a data set prepared for every modality, people split into those to train on and held out.

    ``train`` and ``validation`` are the walks in which at least one modality can be read.

    Raises:
        InputError: too few people, or no walk to train on.
    """

    def __init__(
        self, folder: WalkSet, model: GaitModel, settings: Mapping[str, Any], validation_people: int
    ) -> None:
        self.model = model
        outside = held_out(folder.subjects, validation_people)
        samples = {name: folder.prepare(name, dict(settings[name])) for name in model.modalities}
        usable = [i for i in range(len(folder)) if any(s[i] is not None for s in samples.values())]
        inside = [i for i in usable if folder.walks[i].subject not in outside]
        others = [i for i in usable if folder.walks[i].subject in outside]
        if not inside:
            raise InputError(
                f"{folder.root}: no walk has a stream that {' or '.join(sorted(samples))} can read"
            )
        self.train: list[Walk] = [folder.walks[i] for i in inside]
        self.validation: list[Walk] = [folder.walks[i] for i in others]
        self.samples = {name: [samples[name][i] for i in inside] for name in samples}
        self.check_samples = {name: [samples[name][i] for i in others] for name in samples}

    def encoded(self, encoders: Mapping[str, nn.Module], device: torch.device | str) -> dict[str, Tokens]:
        """The tokens of the held-out walks by modality, of all their frames; without what none has."""
        return self._encoded(self.check_samples, encoders, device)

    def _encoded(
        self,
        samples: Mapping[str, Sequence[Sample | None]],
        encoders: Mapping[str, nn.Module],
        device: torch.device | str,
    ) -> dict[str, Tokens]:
        return {
            name: encode_walks(encoders[name], modality, samples[name], device=device)
            for name, modality in self.model.modalities.items()
            if any(sample is not None for sample in samples[name])
        }


class WalkTokens(Walks):
    """The walks as tokens, encoded once; ``check`` holds those of the held-out walks by modality."""

    def __init__(
        self,
        folder: WalkSet,
        model: GaitModel,
        settings: Mapping[str, Any],
        validation_people: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(folder, model, settings, validation_people)
        self.device = device
        self._check: dict[str, Tokens] | None = None
        self.caches: dict[str, TokenCache] = {}

    @property
    def check(self) -> dict[str, Tokens]:
        """The tokens of the held-out walks, encoded when they are first asked for."""
        if self._check is None:
            encoders = {name: module.to(self.device) for name, module in self.model.encoders.items()}
            self._check = self.encoded(encoders, self.device)
        return self._check

    def fill(self, variants: int, frames: int, jitter: Augment, seed: int, report: Report) -> None:
        """Encode the training walks ``variants`` times, drawn and augmented anew each time."""
        _ = self.check
        for name, modality in self.model.modalities.items():
            samples, encoder = self.samples[name], self.model.encoders[name].eval().to(self.device)
            sets = []
            for variant in range(variants):
                report(f"encoding {len(samples)} walks with {name}, variant {variant + 1} of {variants}")
                # tokens are kept in 16 bits anyway, and bfloat16 halves the time
                with torch.autocast(torch.device(self.device).type, torch.bfloat16):
                    sets.append(self._variant(encoder, modality, samples, frames, jitter, [seed, variant]))
            self.caches[name] = TokenCache(sets)

    def variants(self) -> list[dict[str, Tokens]]:
        """The tokens of the training walks by modality, once a variant, as they are kept: in 16 bits."""
        count = len(next(iter(self.caches.values())).values)
        return [{name: cache.variant(v) for name, cache in self.caches.items()} for v in range(count)]

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, device: torch.device | str
    ) -> dict[str, Fields]:
        """The tokens of some training walks by modality, one variant each, the same in all modalities."""
        variants = len(next(iter(self.caches.values())).values)
        variant = rng.integers(variants, size=len(rows))
        return {name: cache.batch(rows, variant, device) for name, cache in self.caches.items()}

    def of_step(
        self, rows: NDArray[np.int64], mine: slice, rng: np.random.Generator, number: int
    ) -> dict[str, Fields]:
        """What the network reads in a step: this process's share of the walks."""
        return {
            name: tuple(field if i == 2 else field[mine] for i, field in enumerate(fields))
            for name, fields in self.batch(rows, rng, "cpu").items()
        }

    def _variant(
        self,
        encoder: nn.Module,
        modality: Modality,
        samples: Sequence[Sample | None],
        frames: int,
        jitter: Augment,
        seed: list[int],
    ) -> Tokens:
        parts = []
        for start in range(0, len(samples), CHUNK):
            # one seed for all modalities: pictures of the same instants are flipped and turned alike
            rng = np.random.default_rng([*seed, 4, start])
            count = int(rng.integers(frames, 3 * frames))
            generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
            some = samples[start : start + CHUNK]
            drawn = [s and draw_frames(s, count, rng, ordered=modality.ordered) for s in some]
            change = partial(jitter, generator=generator, kind=modality.frames_are)
            parts.append(encode_batch(encoder, modality, drawn, samples, change, self.device))
        return join_tokens(parts)


class WalkFrames(Walks):
    """The walks as frames, drawn and augmented anew in every step: encoders are trained too."""

    def prepare_steps(self, schedule: Schedule, jitter: Augment, seed: int, ranks: Ranks) -> None:
        """What :meth:`of_step` needs."""
        self.schedule, self.jitter, self.seed, self.ranks = schedule, jitter, seed, ranks

    def variants(self) -> list[dict[str, Tokens]]:
        """The tokens of the training walks by modality, of all their frames, as the encoders now are."""
        encoders = dict(self.model.encoders.items())
        return [self._encoded(self.samples, encoders, next(self.model.parameters()).device)]

    def of_step(
        self, rows: NDArray[np.int64], mine: slice, rng: np.random.Generator, number: int
    ) -> dict[str, Fields]:
        """What the network reads in a step: frames, lengths and times of this process's share of the walks.

        Pictures of one walk are augmented alike in all modalities: registered streams stay registered.
        """
        made: dict[str, Fields] = {}
        for name, modality in sorted(self.model.modalities.items()):
            draw = self.schedule.frame_draw(ordered=modality.ordered)
            held = [self.samples[name][r] for r in rows]
            index = [None if s is None else draw(len(s), rng) for s in held]
            drawn = [
                None if s is None or i is None else s.take(i)
                for s, i in zip(held[mine], index[mine], strict=True)
            ]
            if not any(s is not None for s in drawn):
                continue
            batch = modality.collate(drawn)
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            with self.ranks.drawing(len(rows)):
                frames = self.jitter(batch.frames, generator, modality.frames_are)
            made[name] = (frames, batch.lengths, batch.t_s)
        return made


def encode_fields(encoders: Mapping[str, nn.Module], fields: Mapping[str, Fields]) -> dict[str, Tokens]:
    """Tokens of what :meth:`WalkFrames.of_step` made."""
    return {name: encoders[name](Batch(*held)) for name, held in fields.items()}

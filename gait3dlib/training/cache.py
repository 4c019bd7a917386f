"""Tokens of every walk, encoded once: several augmented variants to train on, plain ones to validate on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.sampler import draw_frames
from gait3dlib.data.tokens import encode_batch, encode_walks, join_tokens
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Modality, Sample
from gait3dlib.training.loop import Report
from gait3dlib.training.validation import held_out
from gait3dlib.types import Tokens

CHUNK = 64


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
    ) -> tuple[torch.Tensor, ...]:
        """The tokens of some walks, one variant each: the fields of :class:`Tokens`."""
        place = torch.from_numpy(variant), torch.from_numpy(rows)
        fields = (self.values[place].float(), self.real[place], self.height, self.t_s[place])
        return tuple(field.to(device) for field in fields)


class WalkTokens:
    """The walks of a folder as tokens, people split into those to train on and those held out.

    ``train`` and ``validation`` are the walks in which at least one modality can be read; ``check`` holds the
    tokens of the held-out ones by modality, of all their frames.
    """

    def __init__(
        self, folder: WalkFolder, model: GaitModel, settings: Mapping[str, Any], validation_people: int
    ) -> None:
        self.model = model
        outside = held_out(folder.subjects, validation_people)
        samples = {name: folder.prepare(name, dict(settings[name])) for name in model.modalities}
        usable = [i for i in range(len(folder)) if any(s[i] is not None for s in samples.values())]
        inside = [i for i in usable if folder.walks[i].subject not in outside]
        others = [i for i in usable if folder.walks[i].subject in outside]
        self.train = [folder.walks[i] for i in inside]
        self.validation = [folder.walks[i] for i in others]
        self._samples = {name: [samples[name][i] for i in inside] for name in samples}
        self.check = {
            name: encode_walks(model.encoders[name], modality, [samples[name][i] for i in others])
            for name, modality in model.modalities.items()
        }
        self.caches: dict[str, TokenCache] = {}

    def fill(self, variants: int, frames: int, jitter: Augment, seed: int, report: Report) -> None:
        """Encode the training walks ``variants`` times, drawn and augmented anew each time."""
        for name, modality in self.model.modalities.items():
            samples, encoder = self._samples[name], self.model.encoders[name].eval()
            sets = []
            for variant in range(variants):
                report(f"encoding {len(samples)} walks with {name}, variant {variant + 1} of {variants}")
                # tokens are kept in 16 bits anyway, and bfloat16 halves the time
                with torch.autocast("cpu", torch.bfloat16):
                    sets.append(_encode_variant(encoder, modality, samples, frames, jitter, [seed, variant]))
            self.caches[name] = TokenCache(sets)

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, device: torch.device | str
    ) -> dict[str, tuple[torch.Tensor, ...]]:
        """The tokens of some training walks by modality, one variant each, the same in all modalities."""
        variants = len(next(iter(self.caches.values())).values)
        variant = rng.integers(variants, size=len(rows))
        return {name: cache.batch(rows, variant, device) for name, cache in self.caches.items()}


def _encode_variant(
    encoder: nn.Module,
    modality: Modality,
    samples: Sequence[Sample | None],
    frames: int,
    jitter: Augment,
    seed: list[int],
) -> Tokens:
    rng = np.random.default_rng([*seed, 4])
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    parts = []
    for start in range(0, len(samples), CHUNK):
        count = int(rng.integers(frames, 3 * frames))
        some = samples[start : start + CHUNK]
        drawn = [s and draw_frames(s, count, rng, ordered=modality.ordered) for s in some]
        parts.append(
            encode_batch(
                encoder, modality, drawn, samples, lambda x: jitter(x, generator, modality.frames_are)
            )
        )
    return join_tokens(parts)

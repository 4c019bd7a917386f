"""Train the fusion on the cached tokens of encoders that are already trained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Natural, NotNegative, build
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.sampler import PeopleSampler, draw_frames
from gait3dlib.data.tokens import encode_batch, encode_walks, fuse_walks, join_tokens
from gait3dlib.errors import InputError
from gait3dlib.evaluation.impostors import impostor_tail, subsets
from gait3dlib.fusion import weights
from gait3dlib.fusion.losses import (
    batch_all_triplet,
    gaussian_nll,
    masked_bce,
    smoothed_cosine_cross_entropy,
)
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.modalities import Modality, Sample
from gait3dlib.training.card import write_card
from gait3dlib.training.labels import Targets
from gait3dlib.training.loop import Loop, Report, Schedule
from gait3dlib.training.validation import cross_view_rank1, held_out
from gait3dlib.types import Tokens


class FusionAndHeads(nn.Module):
    """The part of the model that is trained here, with the identity classes it loses afterwards."""

    def __init__(self, model: GaitModel, people: int) -> None:
        super().__init__()
        self.model = model
        # in a list they are no submodule: neither trained nor saved with every checkpoint
        self._encoders_aside = [model.encoders]
        model.encoders = nn.ModuleDict()
        parts, width = model.fusion.parts, model.fusion.part.shape[2]
        self.norm = nn.BatchNorm1d(parts * width)
        self.classes = nn.Parameter(torch.randn(parts, width, people) * width**-0.5)

    def forward(self, tokens: dict[str, tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
        """Tokens as plain tensors (Fabric converts no frozen dataclass) -> outputs and identity logits."""
        outputs = self.model.fuse({name: Tokens(*fields) for name, fields in tokens.items()})
        with torch.autocast(outputs.embedding.device.type, enabled=False):
            normed = self.norm(outputs.embedding.float().flatten(1)).view_as(outputs.embedding)
            logits = torch.einsum(
                "bpd,pdc->bpc", functional.normalize(normed, dim=2), functional.normalize(self.classes, dim=1)
            )
        answers = {"embedding": outputs.embedding, "logits": logits, "age": outputs.age_years}
        answers |= {"bmi": outputs.bmi_kg_m2, "gender": outputs.gender_logits}
        return {name: answer.float() for name, answer in answers.items() if answer is not None}

    def whole(self) -> GaitModel:
        """The model with its encoders back in place."""
        (self.model.encoders,) = self._encoders_aside
        return self.model


def train_fusion(
    *,
    encoders: Path,
    modalities: list[str],
    data: Path,
    out: Path,
    fusion: dict[str, Any] | None = None,
    data_cards: list[str] | None = None,
    validation_people: Count = 60,
    variants: Count = 4,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    attribute_weight: NotNegative = 0.2,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train the transformer and the task heads; writes a whole weights folder ``<out>/weights``.

    Args:
        encoders: folder with ``<modality>.safetensors`` of every modality.
        modalities: which to fuse.
        data: folder of recordings; the last ``validation_people`` subjects are kept out of training, and the
            default thresholds come from them.
        data_cards: names of the cards of the data, for the card of the weights.
        variants: how many augmented token sets of every walk are cached.
        attribute_weight: weight of age, BMI and gender beside identity.
    """
    plan = build(Schedule, schedule or {}, "schedule")
    jitter = build(Augment, augment or {}, "augment")
    states = {name: weights.read(encoders / f"{name}.safetensors") for name in sorted(modalities)}
    settings = {name: meta["config"] for name, (_, meta) in states.items()}
    dims = {meta["dim"] for _, meta in states.values()}
    if len(dims) != 1:
        raise InputError(f"the encoders' tokens have different sizes {sorted(dims)}; train them with one dim")
    shape = {"dim": dims.pop(), "modalities": sorted(modalities), **(fusion or {})}
    resolved = {
        "recipe": "fusion",
        "encoders": str(encoders),
        "modalities": sorted(modalities),
        "data": str(data),
        "data_cards": data_cards,
        "fusion": shape,
        "validation_people": validation_people,
        "variants": variants,
        "schedule": vars(plan),
        "augment": augment or {},
        "attribute_weight": attribute_weight,
        "seed": seed,
    }
    model = weights.untrained(settings, shape, seed)
    for name, (tensors, _) in states.items():
        model.encoders[name].load_state_dict(tensors)
    loop = Loop(out, plan, seed, resolved, report)
    folder = WalkFolder(data)
    outside = held_out(folder.subjects, validation_people)
    samples = {name: folder.prepare(name, dict(settings[name])) for name in model.modalities}
    # walks in which nothing can be read teach nothing
    usable = [i for i in range(len(folder)) if any(s[i] is not None for s in samples.values())]
    inside = [i for i in usable if folder.walks[i].subject not in outside]
    others = [i for i in usable if folder.walks[i].subject in outside]
    train, validation = [folder.walks[i] for i in inside], [folder.walks[i] for i in others]
    cache, check = {}, {}
    for name, modality in model.modalities.items():
        encoder = model.encoders[name]
        check[name] = encode_walks(encoder, modality, [samples[name][i] for i in others])
        rows = [samples[name][i] for i in inside]
        cache[name] = _cache_tokens(encoder, modality, rows, variants, plan.frames, jitter, seed, report)
    targets = Targets(train)
    for task, (mean, sd) in targets.scale.items():
        head = dict(model.heads.items()).get(task)
        if isinstance(head, Regression):
            head.rescale(mean, sd)
    sampler = PeopleSampler([w.subject for w in train], people=plan.people, walks=plan.walks, seed=seed)
    torch.manual_seed(seed)
    module = FusionAndHeads(model, len(targets.people))

    def loss_of(network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        chosen = sampler.batch(step)
        rng = np.random.default_rng([seed, 3, step])
        variant = rng.integers(variants, size=len(chosen))
        answers = network({n: c.batch(chosen, variant, loop.fabric.device) for n, c in cache.items()})
        wanted = targets.of(chosen, answers["embedding"].device)
        losses = {
            "triplet": batch_all_triplet(answers["embedding"], wanted.person),
            "classes": smoothed_cosine_cross_entropy(answers["logits"], wanted.person),
        }
        for task, standardised in (("age", wanted.age), ("bmi", wanted.bmi)):
            if task in answers:
                mean, sd = targets.scale[task]
                truth = standardised * sd + mean
                losses[task] = attribute_weight * gaussian_nll(answers[task], truth, ~truth.isnan())
        if "gender" in answers:
            bce = masked_bce(answers["gender"], wanted.female, wanted.gender_known)
            losses["gender"] = attribute_weight * bce
        return losses

    def validate(network: nn.Module) -> dict[str, float]:
        rank1 = {}
        for names in subsets(sorted(modalities)):
            embedding = fuse_walks(model, {n: check[n] for n in names}).embedding
            rank1["rank1_" + "+".join(names)] = cross_view_rank1(embedding.numpy(), validation)
        return rank1

    loop.run(module, loss_of, validate, resume=resume)
    whole = module.whole().cpu().eval()
    people = [w.subject for w in validation]
    tails = {
        "+".join(names): impostor_tail(
            fuse_walks(whole, {n: check[n] for n in names}).embedding.numpy(), people
        )
        for names in subsets(sorted(modalities))
    }
    target = out / "weights"
    info = {"trained": True, "impostors": tails, "people": len(targets.people)}
    weights.save(target, whole, settings=settings, fusion=shape, info=info)
    for name in modalities:  # byte for byte the encoder that was trained: its card speaks of that file
        shutil.copyfile(encoders / f"{name}.safetensors", target / f"{name}.safetensors")
    write_card(
        target / f"{weights.FUSION}.safetensors",
        task=f"Tokens of {' and '.join(sorted(modalities))} to identity, age, body-mass index and gender.",
        data=data_cards or ["not stated"],
        people=len(targets.people),
        metrics={"validation people": validation_people, **loop.validation},
        config=str(out / "config.yaml"),
    )
    return target


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


def _cache_tokens(
    encoder: nn.Module,
    modality: Modality,
    samples: Sequence[Sample | None],
    variants: int,
    frames: int,
    jitter: Augment,
    seed: int,
    report: Report,
) -> TokenCache:
    """Tokens of the training walks, drawn and augmented anew for each variant."""
    sets = []
    for variant in range(variants):
        name = type(modality).__name__
        report(f"encoding {len(samples)} walks with {name}, variant {variant + 1} of {variants}")
        sets.append(_encode_variant(encoder, modality, samples, frames, jitter, [seed, variant]))
    return TokenCache(sets)


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
    for start in range(0, len(samples), 64):
        count = int(rng.integers(frames, 3 * frames))
        drawn = [s and draw_frames(s, count, rng) for s in samples[start : start + 64]]
        parts.append(encode_batch(encoder.eval(), modality, drawn, samples, lambda x: jitter(x, generator)))
    return join_tokens(parts)

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
from gait3dlib.data.tokens import encode_walks, fuse_walks
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
from gait3dlib.modalities import Batch, Modality, Sample
from gait3dlib.training.labels import Targets
from gait3dlib.training.loop import Loop, Report, Schedule
from gait3dlib.training.validation import cross_view_rank1
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
        "fusion": shape,
        "validation_people": validation_people,
        "variants": variants,
        "schedule": vars(plan),
        "augment": augment or {},
        "attribute_weight": attribute_weight,
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    model = weights.untrained(settings, shape)
    for name, (tensors, _) in states.items():
        model.encoders[name].load_state_dict(tensors)
    folder = WalkFolder(data)
    held_out = set(folder.subjects[len(folder.subjects) - validation_people :])
    rows = np.array([w.subject in held_out for w in folder.walks])
    train = [w for w in folder.walks if w.subject not in held_out]
    validation = [w for w in folder.walks if w.subject in held_out]
    cache, check = _cache_tokens(model, folder, rows, variants, plan.frames, jitter, seed, report)
    targets = Targets(train)
    for task, (mean, sd) in targets.scale.items():
        head = dict(model.heads.items()).get(task)
        if isinstance(head, Regression):
            head.rescale(mean, sd)
    sampler = PeopleSampler([w.subject for w in train], people=plan.people, walks=plan.walks, seed=seed)
    module = FusionAndHeads(model, len(targets.people))

    def loss_of(network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        chosen = sampler.batch(step)
        rng = np.random.default_rng([seed, 3, step])
        variant = rng.integers(variants, size=len(chosen))
        answers = network({n: c.batch(chosen, variant) for n, c in cache.items()})
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
    whole = module.whole().eval()
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
    return target


class TokenCache:
    """Tokens of every walk for a modality: float16 ``[variants, walks, n, dim]``, and where they are real."""

    def __init__(self, values: torch.Tensor, real: torch.Tensor, height: torch.Tensor) -> None:
        self.values, self.real, self.height = values, real, height

    def batch(self, rows: NDArray[np.int64], variant: NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """The tokens of some walks, one variant each: the fields of :class:`Tokens`."""
        values = self.values[torch.from_numpy(variant), torch.from_numpy(rows)].float()
        real = self.real[torch.from_numpy(rows)][:, None].expand(values.shape[:2])
        return values, real, self.height, torch.full(real.shape, torch.nan)


def _cache_tokens(
    model: GaitModel,
    folder: WalkFolder,
    held_out: NDArray[np.bool_],
    variants: int,
    frames: int,
    jitter: Augment,
    seed: int,
    report: Report,
) -> tuple[dict[str, TokenCache], dict[str, Tokens]]:
    """Augmented tokens of the training walks, plain tokens of all frames of the held-out walks."""
    cache, check = {}, {}
    for name, modality in model.modalities.items():
        samples = folder.prepare(name, dict(vars(modality)))
        train = [s for s, out in zip(samples, held_out, strict=True) if not out]
        others = [s for s, out in zip(samples, held_out, strict=True) if out]
        sets = []
        for variant in range(variants):
            report(f"encoding {len(train)} walks with {name}, variant {variant + 1} of {variants}")
            sets.append(
                _encode_variant(model.encoders[name], modality, train, frames, jitter, [seed, variant])
            )
        check[name] = encode_walks(model.encoders[name], modality, others)
        present = torch.tensor([s is not None for s in train])
        cache[name] = TokenCache(torch.stack(sets), present, check[name].height)
    return cache, check


def _encode_variant(
    encoder: nn.Module,
    modality: Modality,
    samples: Sequence[Sample | None],
    frames: int,
    jitter: Augment,
    seed: list[int],
) -> torch.Tensor:
    rng = np.random.default_rng([*seed, 4])
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    rows = []
    for start in range(0, len(samples), 64):
        count = int(rng.integers(frames, 3 * frames))
        drawn = [s and draw_frames(s, count, rng) for s in samples[start : start + 64]]
        batch = modality.collate(drawn)
        batch = Batch(jitter(batch.frames, generator), batch.lengths, batch.t_s)
        with torch.inference_mode():
            rows.append(encoder.eval()(batch).values.half())
    return torch.cat(rows)

"""Train the fusion on the cached tokens of encoders that are already trained."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Natural, NotNegative, build, check
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.sampler import PeopleSampler
from gait3dlib.data.tokens import fuse_walks
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
from gait3dlib.fusion.transformer import Fusion
from gait3dlib.training.cache import WalkTokens
from gait3dlib.training.card import write_card
from gait3dlib.training.labels import Targets
from gait3dlib.training.loop import Loop, Report, Schedule
from gait3dlib.training.validation import cross_view_rank1, held_out
from gait3dlib.types import Tokens

TRUST_PACE = 10.0  # one number a modality, which nobody learns by heart


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
    identity_pace: NotNegative = 0.02,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train the transformer and the task heads; writes a whole weights folder ``<out>/weights``.

    A task for which the training people have no labels is left out: its answers would be made up.

    Args:
        encoders: folder with ``<modality>.safetensors`` of every modality.
        modalities: which to fuse.
        data: folder of recordings; the last ``validation_people`` subjects are kept out of training, and the
            default thresholds come from them.
        data_cards: names of the cards of the data, for the card of the weights.
        variants: how many augmented token sets of every walk are cached.
        attribute_weight: weight of age, BMI and gender beside identity.
        identity_pace: how much slower than the rest those weights learn that turn what the encoders say into
            an embedding. At full pace they learn the training people by heart: rank-1 of others falls.
    """
    plan = build(Schedule, schedule or {}, "schedule")
    jitter = build(Augment, augment or {}, "augment")
    folder = WalkFolder(data)
    tasks = _learnable(folder, validation_people, fusion or {}, report)
    model, settings, shape = _assemble(encoders, modalities, {**(fusion or {}), "tasks": tasks}, seed)
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
        "identity_pace": identity_pace,
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    cache = WalkTokens(folder, model, settings, validation_people)
    cache.fill(variants, plan.frames, jitter, seed, report)
    task = FusionTask(model, cache, loop, attribute_weight)

    def pace(parameter: str) -> float:
        if parameter.endswith(("fusion.part", "fusion.gate")):
            return identity_pace
        return TRUST_PACE if ".trust." in parameter else 1.0

    loop.run(task.module, task.losses, task.validate, pace=pace, resume=resume)
    whole = task.module.whole().cpu().eval()
    info = {"trained": True, "impostors": task.impostors(whole), "people": len(task.targets.people)}
    target = out / "weights"
    weights.save(target, whole, settings=settings, fusion=shape, info=info)
    for name in modalities:  # byte for byte the encoder that was trained: its card speaks of that file
        shutil.copyfile(encoders / f"{name}.safetensors", target / f"{name}.safetensors")
    write_card(
        target / f"{weights.FUSION}.safetensors",
        task=f"Tokens of {' and '.join(sorted(modalities))} to identity, age, body-mass index and gender.",
        data=data_cards or ["not stated"],
        people=len(task.targets.people),
        metrics={"validation people": validation_people, **loop.validation},
        config=str(out / "config.yaml"),
    )
    return target


def _learnable(
    folder: WalkFolder, validation_people: int, fusion: Mapping[str, Any], report: Report
) -> list[str]:
    """The tasks of the config that the people to train on have labels for."""
    asked = list(check(Fusion, fusion, "fusion")["tasks"])
    outside = held_out(folder.subjects, validation_people)
    tasks = Targets([w for w in folder.walks if w.subject not in outside]).learnable(asked)
    for task in sorted(set(asked) - set(tasks)):
        report(f"too few people have a label of {task}: it is not learnt, and the weights will not tell it")
    return tasks


def _assemble(
    encoders: Path, modalities: Sequence[str], fusion: Mapping[str, Any], seed: int
) -> tuple[GaitModel, dict[str, Any], dict[str, Any]]:
    """Trained encoders and a fresh fusion; the encoders' configs and the fusion's."""
    states = {name: weights.read(encoders / f"{name}.safetensors") for name in sorted(modalities)}
    settings = {name: meta["config"] for name, (_, meta) in states.items()}
    dims = {meta["dim"] for _, meta in states.values()}
    if len(dims) != 1:
        raise InputError(f"the encoders' tokens have different sizes {sorted(dims)}; train them with one dim")
    shape = {"dim": dims.pop(), "modalities": sorted(modalities), **fusion}
    model = weights.untrained(settings, shape, seed)
    for name, (tensors, _) in states.items():
        model.encoders[name].load_state_dict(tensors)
    return model, settings, shape


class FusionTask:
    """What the fusion learns: the network, the losses of a step, the figures to watch."""

    def __init__(self, model: GaitModel, tokens: WalkTokens, loop: Loop, attribute_weight: float) -> None:
        self.model, self.tokens, self.attribute_weight = model, tokens, attribute_weight
        self.seed, self.device, plan = loop.seed, loop.fabric.device, loop.schedule
        self.targets = Targets(tokens.train)
        for task, (mean, sd) in self.targets.scale.items():
            head = dict(model.heads.items()).get(task)
            if isinstance(head, Regression):
                head.rescale(mean, sd)
        people = [walk.subject for walk in tokens.train]
        self.sampler = PeopleSampler(people, people=plan.people, walks=plan.walks, seed=self.seed)
        torch.manual_seed(self.seed)
        self.module = FusionAndHeads(model, len(self.targets.people))

    def losses(self, network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        """Identity by triplet and classes; age and BMI as densities, gender as a probability."""
        rows = self.sampler.batch(step)
        answers = network(self.tokens.batch(rows, np.random.default_rng([self.seed, 3, step]), self.device))
        wanted, weight = self.targets.of(rows, self.device), self.attribute_weight
        losses = {
            "triplet": batch_all_triplet(answers["embedding"], wanted.person),
            "classes": smoothed_cosine_cross_entropy(answers["logits"], wanted.person),
        }
        for task, standardised in (("age", wanted.age), ("bmi", wanted.bmi)):
            if task in answers:
                mean, sd = self.targets.scale[task]
                truth = standardised * sd + mean
                losses[task] = weight * gaussian_nll(answers[task], truth, ~truth.isnan())
        if "gender" in answers:
            losses["gender"] = weight * masked_bce(answers["gender"], wanted.female, wanted.gender_known)
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training, for every subset of the modalities."""
        return {
            "rank1_" + "+".join(names): cross_view_rank1(
                self._embed(self.model, names), self.tokens.validation
            )
            for names in subsets(sorted(self.tokens.check))
        }

    def impostors(self, whole: GaitModel) -> dict[str, list[list[float]]]:
        """The tail of impostor scores of the same people, for every subset of the modalities."""
        people = [walk.subject for walk in self.tokens.validation]
        return {
            "+".join(names): impostor_tail(self._embed(whole, names), people)
            for names in subsets(sorted(self.tokens.check))
        }

    def _embed(self, model: GaitModel, names: Sequence[str]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = fuse_walks(
            model, {name: self.tokens.check[name] for name in names}
        ).embedding.numpy()
        return embedding

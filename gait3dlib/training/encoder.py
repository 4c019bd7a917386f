"""Train the encoder of one modality on a folder of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Natural, NotNegative, build
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import Walk, WalkFolder
from gait3dlib.data.sampler import PeopleSampler, draw_frames
from gait3dlib.data.tokens import encode_walks
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.fusion import weights
from gait3dlib.fusion.losses import batch_all_triplet, masked_bce, smoothed_cosine_cross_entropy
from gait3dlib.modalities import Batch, Modality, Sample
from gait3dlib.training.card import write_card
from gait3dlib.training.labels import Targets, masked_mse
from gait3dlib.training.loop import Loop, Report, Schedule
from gait3dlib.training.told import Told
from gait3dlib.training.validation import cross_view_rank1, held_out
from gait3dlib.types import Tokens


class Head(nn.Module):
    """What an encoder is trained against and loses afterwards: identity per strip, attributes over all.

    Identity follows BNNeck (Luo et al., CVPR workshops 2019): triplet before the batch norm, cosine classes
    after it. Traits, where a simulator tells them, are read linearly off the same normed tokens: they say
    what differs between people, and say the same from every view.
    """

    def __init__(self, dim: int, strips: int, people: int, traits: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(strips * dim)
        self.traits = nn.Linear(strips * dim, traits) if traits else None
        self.classes = nn.Parameter(torch.randn(strips, dim, people) * dim**-0.5)
        self.attributes = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, 3))

    def forward(self, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cosine logits ``[b, strips, people]``, attributes ``[b, 3]`` (age, BMI standardised; gender) and
        traits ``[b, n]``, standardised."""
        values = tokens.values.to(self.classes.dtype)
        flat = self.norm(values.flatten(1))
        normed = functional.normalize(flat.view_as(values), dim=2)
        cosine = torch.einsum("bsd,sdp->bsp", normed, functional.normalize(self.classes, dim=1))
        # scaled, or one step of Adam moves the sum of so many inputs too far
        scaled = flat * flat.shape[1] ** -0.5
        traits = flat.new_empty(len(flat), 0) if self.traits is None else self.traits(scaled)
        return cosine, self.attributes(values.mean(dim=1)), traits


class EncoderAndHead(nn.Module):
    """Encoder and head as one module, as Fabric wants it."""

    def __init__(self, encoder: nn.Module, head: Head, supervisor: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.head, self.supervisor = encoder, head, supervisor

    def forward(
        self,
        frames: torch.Tensor,
        lengths: torch.Tensor,
        t_s: torch.Tensor,
        told: torch.Tensor | None = None,
        share: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """A batch as plain tensors (Fabric converts no frozen dataclass) -> tokens, answers, other losses."""
        batch, others = Batch(frames, lengths, t_s), {}
        if self.supervisor is None or told is None:
            tokens: Tokens = self.encoder(batch)
        else:
            tokens, others = self.supervisor(self.encoder, batch, told, share)
        with torch.autocast(frames.device.type, enabled=False):
            return tokens.values, *self.head(tokens), others

    def absorb_norm(self) -> None:
        """Hand the head's norm over to an encoder that can take it, once training has ended."""
        absorb = getattr(self.encoder, "absorb", None)
        if callable(absorb):
            absorb(self.head.norm)


def train_encoder(
    *,
    modality: dict[str, dict[str, Any] | None],
    data: Path,
    out: Path,
    dim: Count = 128,
    data_cards: list[str] | None = None,
    validation_people: Count = 60,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    attribute_weight: NotNegative = 0.1,
    traits: list[str] | None = None,
    trait_weight: NotNegative = 0.5,
    supervisor_weight: NotNegative = 1.0,
    start: Path | None = None,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train one modality's encoder; writes ``<out>/<modality>.safetensors``.

    Args:
        modality: one name with its settings, such as ``{"silhouette": {"width": 24}}``.
        data: folder of recordings; the last ``validation_people`` subjects (sorted) are kept out of training.
        out: run folder.
        data_cards: names of the cards of the data, for the card of the weights.
        dim: token size; the fusion must have the same.
        attribute_weight: weight of age, BMI and gender beside identity.
        traits: what a simulator kept of each walk and that is learnt too, such as ``style``.
        trait_weight: weight of the traits.
        supervisor_weight: weight of what a modality learns of simulated walkers' bodies; 0 leaves it out.
        start: weights of the same encoder to go on from, such as the default ones for fine-tuning.
    """
    if len(modality) != 1:
        raise ConfigError("modality: an encoder run trains exactly one modality")
    ((name, given),) = modality.items()
    settings = weights.resolved(name, given or {})
    plan = build(Schedule, schedule or {}, "schedule")
    jitter = build(Augment, augment or {}, "augment")
    weights.make_modality(name, settings).encoder(dim)  # what no network can be fails before anything runs
    resolved = {
        "recipe": "encoder",
        "modality": {name: settings},
        "data": str(data),
        "data_cards": data_cards,
        "dim": dim,
        "validation_people": validation_people,
        "schedule": vars(plan),
        "augment": augment or {},
        "attribute_weight": attribute_weight,
        "traits": traits,
        "trait_weight": trait_weight,
        "supervisor_weight": supervisor_weight,
        "start": None if start is None else str(start),
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    split = Split(WalkFolder(data), name, settings, validation_people, report, traits or [])
    torch.manual_seed(seed)
    modality_ = weights.make_modality(name, settings)
    task = EncoderTask(
        modality_, split, loop, jitter, dim, (attribute_weight, trait_weight, supervisor_weight)
    )
    if supervisor_weight and task.module.supervisor is not None:
        task.told = Told(split.train, split.train_samples, name, settings)
    if start is not None:
        weights.load_encoder(task.module.encoder, start, settings)
    loop.run(task.module, task.losses, task.validate, resume=resume)
    task.module.absorb_norm()
    path = out / f"{name}.safetensors"
    meta = {"kind": "modality", "name": name, "dim": dim, "config": settings, "trained": True}
    weights.write(path, task.module.encoder.state_dict(), meta)
    write_card(
        path,
        task=f"The streams of the {name} modality of one walk to tokens, which the fusion reads.",
        data=data_cards or ["not stated"],
        people=len(task.targets.people),
        metrics={"validation people": validation_people, **loop.validation},
        config=str(out / "config.yaml"),
    )
    return path


class EncoderTask:
    """What an encoder learns: the network, the losses of a step, the figure to watch."""

    def __init__(
        self,
        modality: Modality,
        split: Split,
        loop: Loop,
        jitter: Augment,
        dim: int,
        side_weights: tuple[float, float, float],
    ) -> None:
        self.modality, self.split, self.jitter = modality, split, jitter
        self.attribute_weight, self.trait_weight, self.supervisor_weight = side_weights
        self.told: Told | None = None
        self.plan, self.seed, self.device = loop.schedule, loop.seed, loop.fabric.device
        people = [walk.subject for walk in split.train]
        self.sampler = PeopleSampler(people, people=self.plan.people, walks=self.plan.walks, seed=self.seed)
        self.targets = Targets(split.train, split.traits)
        encoder = modality.encoder(dim)
        one_frame = modality.collate([split.train_samples[0].take(np.arange(1))])
        strips = encoder(one_frame).values.shape[1]
        self.module = EncoderAndHead(
            encoder,
            Head(dim, strips, len(self.targets.people), split.traits.shape[1]),
            modality.supervisor() if self.supervisor_weight else None,
        )

    def losses(self, network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        """Identity by triplet and classes, and a little of age, BMI and gender."""
        rows = self.sampler.batch(step)
        rng = np.random.default_rng([self.seed, 2, step])
        along = self.modality.ordered
        drawn = [draw_frames(self.split.train_samples[r], self.plan.frames, rng, ordered=along) for r in rows]
        batch = self.modality.collate(drawn)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        frames = self.jitter(batch.frames, generator, self.modality.frames_are)
        batch = Batch(frames, batch.lengths, batch.t_s).to(self.device)
        told = None if self.told is None else self.told.of(rows, drawn)
        more = () if told is None else (told.to(self.device), step / self.plan.steps)
        tokens, logits, attributes, traits, others = network(batch.frames, batch.lengths, batch.t_s, *more)
        wanted, weight = self.targets.of(rows, self.device), self.attribute_weight
        losses = {
            "triplet": batch_all_triplet(tokens, wanted.person),
            "classes": smoothed_cosine_cross_entropy(logits, wanted.person),
            "age": weight * masked_mse(attributes[:, 0], wanted.age),
            "bmi": weight * masked_mse(attributes[:, 1], wanted.bmi),
            "gender": weight * masked_bce(attributes[:, 2], wanted.female, wanted.gender_known),
        }
        if traits.shape[1]:
            losses["traits"] = self.trait_weight * masked_mse(traits, wanted.traits)
        return losses | {name: self.supervisor_weight * loss for name, loss in others.items()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training, on the encoder's own tokens."""
        samples = self.split.validation_samples
        tokens = encode_walks(self.module.encoder, self.modality, samples, device=self.device)
        unit = functional.normalize(tokens.values, dim=2).numpy()
        return {"validation_rank1": cross_view_rank1(unit, self.split.validation)}


class Split:
    """Prepared samples, people split into training and validation; walks without the modality left out."""

    def __init__(
        self,
        folder: WalkFolder,
        name: str,
        settings: Mapping[str, Any],
        validation_people: int,
        report: Report,
        traits: Sequence[str] = (),
    ) -> None:
        def progress(done: int, todo: int) -> None:
            if done == todo or done % 50 == 0:
                report(f"prepared {done}/{todo} recordings for {name}")

        samples = folder.prepare(name, dict(settings), progress=progress)
        outside = held_out(folder.subjects, validation_people)
        both = [(w, s) for w, s in zip(folder.walks, samples, strict=True) if s is not None]
        if not both:
            raise InputError(f"{folder.root}: no walk has a stream that {name!r} can read")
        train = [(w, s) for w, s in both if w.subject not in outside]
        chosen = [
            s is not None and w.subject not in outside for w, s in zip(folder.walks, samples, strict=True)
        ]
        told = [folder.truths(trait)[chosen] for trait in traits]
        self.traits = np.concatenate([np.empty((len(train), 0), np.float32), *told], axis=1)
        validation = [(w, s) for w, s in both if w.subject in outside]
        if not validation:
            raise InputError(f"{folder.root}: none of the {validation_people} people held out has {name!r}")
        self.train: list[Walk] = [w for w, _ in train]
        self.train_samples: list[Sample] = [s for _, s in train]
        self.validation: list[Walk] = [w for w, _ in validation]
        self.validation_samples: list[Sample] = [s for _, s in validation]
        report(f"{len(self.train)} walks to train on, {len(self.validation)} of {len(outside)} others beside")

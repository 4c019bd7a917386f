"""Train the encoder of one modality on a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Natural, NotNegative, build
from gait3dlib.data.augment import Augment
from gait3dlib.data.sampler import PeopleSampler
from gait3dlib.data.sets import plain
from gait3dlib.data.tokens import encode_walks
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.fusion.losses import masked_bce
from gait3dlib.modalities import Batch, Modality
from gait3dlib.training.card import write_card
from gait3dlib.training.folder import Report, file_hash, split_hashes
from gait3dlib.training.head import EncoderAndHead, Head
from gait3dlib.training.identity import IdentityLoss
from gait3dlib.training.labels import Targets, masked_mse
from gait3dlib.training.loop import Loop
from gait3dlib.training.schedule import Schedule
from gait3dlib.training.split import DataSource, Split, open_walks
from gait3dlib.training.told import Told
from gait3dlib.training.validation import cross_view_rank1


def train_encoder(
    *,
    modality: dict[str, dict[str, Any] | None],
    data: DataSource,
    out: Path,
    dim: Count = 128,
    data_cards: list[str] | None = None,
    validation_people: Natural = 60,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    identity: dict[str, Any] | None = None,
    attribute_weight: NotNegative = 0.1,
    traits: list[str] | None = None,
    trait_weight: NotNegative = 0.5,
    supervisor_weight: NotNegative = 1.0,
    start: Path | list[Path] | None = None,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train one modality's encoder; writes ``<out>/<modality>.safetensors``.

    Args:
        modality: one name with its settings, such as ``{"silhouette": {"width": 24}}``.
        data: folder of recordings, or a data set such as ``{"gait3d": {"root": DIR}}``, of which the training
            people of the partition count; the last ``validation_people`` subjects (sorted) are kept out
            of training.
        out: run folder.
        data_cards: names of the cards of the data, for the card of the weights.
        dim: token size; the fusion must have the same.
        validation_people: 0 = nobody is kept out, and nothing is measured.
        identity: settings of :class:`~gait3dlib.training.identity.IdentityLoss`.
        attribute_weight: weight of age, BMI and gender beside identity.
        traits: what a simulator kept of each walk and that is learnt too, such as ``style``.
        trait_weight: weight of the traits.
        supervisor_weight: weight of what a modality learns of simulated walkers' bodies; 0 leaves it out.
        start: weights of the same encoder to go on from, such as the default ones for fine-tuning; or of each
            encoder that this one is made of, which ``schedule.steps: 0`` joins as they are.
    """
    if len(modality) != 1:
        raise ConfigError("modality: an encoder run trains exactly one modality")
    ((name, given),) = modality.items()
    settings = weights.resolved(name, given or {})
    plan = build(Schedule, schedule or {}, "schedule")
    jitter = build(Augment, augment or {}, "augment")
    person = build(IdentityLoss, identity or {}, "identity")
    weights.make_modality(name, settings).encoder(dim)  # what no network can be fails before anything runs
    resolved = {
        "recipe": "encoder",
        "modality": {name: settings},
        "data": plain(data),
        "data_cards": data_cards,
        "dim": dim,
        "validation_people": validation_people,
        "schedule": vars(plan),
        "augment": augment or {},
        "identity": vars(person),
        "attribute_weight": attribute_weight,
        "traits": traits,
        "trait_weight": trait_weight,
        "supervisor_weight": supervisor_weight,
        "start": [str(path) for path in start] if isinstance(start, list) else start and str(start),
        "seed": seed,
    }
    before = [start] if isinstance(start, Path) else start or []
    loop = Loop(out, plan, seed, resolved, report)
    with loop.fabric.rank_zero_first():
        split = Split(open_walks(data), name, settings, validation_people, loop.report, traits or [])
    loop.keep_inputs(
        {"data": split_hashes(split.train, split.validation), "start": [file_hash(path) for path in before]}
    )
    torch.manual_seed(seed)
    task = EncoderTask(
        weights.make_modality(name, settings),
        split,
        loop,
        Learning(jitter, person, attribute_weight, trait_weight, supervisor_weight),
        dim,
    )
    if supervisor_weight and task.module.supervisor is not None:
        task.told = Told(split.train, split.train_samples, name, settings)
    for path in before:
        weights.load_encoder(task.module.encoder, path, settings)
    loop.run(task.module, task.losses, task.validate, batch_of=task.batch, resume=resume)
    task.module.absorb_norm()
    return write_encoder(task, task.module.encoder, loop, name, settings, dim, data_cards, validation_people)


def write_encoder(
    task: EncoderTask,
    encoder: nn.Module,
    loop: Loop,
    name: str,
    settings: dict[str, Any],
    dim: int,
    data_cards: list[str] | None,
    validation_people: int,
) -> Path:
    """What a run leaves: the weights of the encoder, measured as they are written, and their card."""
    path = loop.out / f"{name}.safetensors"
    if loop.ranks.first:
        # measured once more: the norm that was absorbed is part of what is written
        measured = task.validate(task.module)
        loop.log(loop.schedule.steps, {f"written_{figure}": value for figure, value in measured.items()})
        meta = {"kind": "modality", "name": name, "dim": dim, "config": settings, "trained": True}
        weights.write(path, encoder.state_dict(), meta)
        write_card(
            path,
            task=f"The streams of the {name} modality of one walk to tokens, which the fusion reads.",
            data=data_cards or ["not stated"],
            people=len(task.targets.people),
            metrics={"validation people": validation_people, **measured},
            config=str(loop.out / "config.yaml"),
        )
    loop.fabric.barrier()
    return path


@dataclass(frozen=True)
class Learning:
    """How an encoder learns: augmentation, identity, and what is learnt beside it with its weight."""

    jitter: Augment
    identity: IdentityLoss
    attribute_weight: float
    trait_weight: float
    supervisor_weight: float


@dataclass(frozen=True)
class EncoderBatch:
    """A step's walks of this process; rows: those of all processes; share: of the steps, that are done."""

    rows: NDArray[np.int64]
    mine: slice
    frames: Batch
    told: torch.Tensor | None
    share: float


class EncoderTask:
    """What an encoder learns: the network, the batch and the losses of a step, the figure to watch."""

    def __init__(self, modality: Modality, split: Split, loop: Loop, learning: Learning, dim: int) -> None:
        self.modality, self.split, self.learning = modality, split, learning
        self.told: Told | None = None
        self.plan, self.seed, self.ranks = loop.schedule, loop.seed, loop.ranks
        self.device = loop.fabric.device
        people = [walk.subject for walk in split.train]
        self.sampler = PeopleSampler(people, people=self.plan.people, walks=self.plan.walks, seed=self.seed)
        self.targets = Targets(split.train, split.traits)
        encoder = modality.encoder(dim)
        one_frame = modality.collate([split.train_samples[0].take(np.arange(1))])
        with torch.inference_mode():
            strips = encoder.eval()(one_frame).values.shape[1]
        encoder.train()
        self.module = EncoderAndHead(
            encoder,
            Head(dim, strips, len(self.targets.people), split.traits.shape[1]),
            modality.supervisor() if learning.supervisor_weight else None,
        )

    def batch(self, number: int) -> EncoderBatch:
        """The walks of a step, drawn and augmented: a pure function of the seed and the number."""
        rows = self.sampler.batch(number)
        mine = self.ranks.share(len(rows))
        rng = np.random.default_rng([self.seed, 2, number])
        draw = self.plan.frame_draw(ordered=self.modality.ordered)
        samples = [self.split.train_samples[r] for r in rows]
        index = [draw(len(sample), rng) for sample in samples]  # of all walks: the same in any process
        drawn = [sample.take(i) for sample, i in zip(samples[mine], index[mine], strict=True)]
        batch = self.modality.collate(drawn)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        with self.ranks.drawing(len(rows)):
            frames = self.learning.jitter(batch.frames, generator, self.modality.frames_are)
        told = None if self.told is None else self.told.of(rows[mine], drawn)
        share = number / (self.plan.steps * self.plan.accumulate)
        return EncoderBatch(rows, mine, Batch(frames, batch.lengths, batch.t_s), told, share)

    def losses(self, network: nn.Module, made: EncoderBatch) -> dict[str, torch.Tensor]:
        """Identity by triplet and classes, and a little of age, BMI and gender."""
        batch, whole, learning = made.frames.to(self.device), self.ranks.whole, self.learning
        more = () if made.told is None else (made.told.to(self.device), made.share)
        tokens, logits, attributes, traits, others = network(batch.frames, batch.lengths, batch.t_s, *more)
        wanted, weight = self.targets.of(made.rows, self.device), learning.attribute_weight
        losses = learning.identity(whole(tokens), wanted.person, logits, wanted.person[made.mine])
        attributes = whole(attributes)
        losses |= {
            "age": weight * masked_mse(attributes[:, 0], wanted.age),
            "bmi": weight * masked_mse(attributes[:, 1], wanted.bmi),
            "gender": weight * masked_bce(attributes[:, 2], wanted.female, wanted.gender_known),
        }
        if traits.shape[1]:
            losses["traits"] = learning.trait_weight * masked_mse(whole(traits), wanted.traits)
        return losses | {name: learning.supervisor_weight * loss for name, loss in others.items()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training, on the encoder's own tokens."""
        samples = self.split.validation_samples
        if not samples:
            return {}
        tokens = encode_walks(self.module.encoder, self.modality, samples, device=self.device)
        unit = functional.normalize(tokens.values, dim=2).numpy()
        return {"validation_rank1": cross_view_rank1(unit, self.split.validation)}

"""Give a trained strip encoder an eye for movement.

Its trunk stays as it is. So the features of every frame are computed once, a few augmented variants of them, and
what looks along time is trained on whole walks at a small part of the cost.
"""

from __future__ import annotations

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
from gait3dlib.data.sampler import PeopleSampler
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.fusion.losses import batch_all_triplet, masked_bce, smoothed_cosine_cross_entropy
from gait3dlib.modalities import Batch, Modality, Sample
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.training.card import write_card
from gait3dlib.training.encoder import Head, Split
from gait3dlib.training.labels import Targets, masked_mse
from gait3dlib.training.loop import Loop, Report, Schedule
from gait3dlib.training.validation import cross_view_rank1
from gait3dlib.types import Tokens

FEATURES = "features.npy"  # in the run folder, while it runs
AT_ONCE = 512  # frames


class MotionAndHead(nn.Module):
    """All that is trained: the encoder without its trunk, and the head it loses afterwards."""

    def __init__(self, encoder: MotionStrips, head: Head) -> None:
        super().__init__()
        self.motion, self.project, self.head = encoder.motion, encoder.project, head
        # in a list it is no submodule: the trunk is neither trained nor saved with every checkpoint
        self.aside = [encoder]

    def forward(
        self, maps: torch.Tensor, lengths: torch.Tensor, t_s: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of frames ``[b, T, strips, c]`` -> tokens and answers."""
        tokens = self.tokens(maps, lengths, t_s)
        with torch.autocast(maps.device.type, enabled=False):
            return tokens.values, *self.head(tokens)

    def tokens(self, maps: torch.Tensor, lengths: torch.Tensor, t_s: torch.Tensor) -> Tokens:
        """Tokens of walks whose frames' features are known."""
        batch = Batch(maps, lengths, t_s)
        known, owner = batch.real_frames()
        return self.aside[0].tokens(known, owner, batch)


def train_motion(
    *,
    modality: dict[str, dict[str, Any] | None],
    start: Path,
    data: Path,
    out: Path,
    dim: Count = 128,
    data_cards: list[str] | None = None,
    validation_people: Count = 60,
    variants: Count = 2,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    attribute_weight: NotNegative = 0.1,
    traits: list[str] | None = None,
    trait_weight: NotNegative = 0.5,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train the movement of one modality's strips; writes ``<out>/<modality>.safetensors``.

    Args:
        modality: one name with its settings, ``encoder: motion`` among them.
        start: weights of the same modality with ``encoder: strips``.
        data: folder of recordings; the last ``validation_people`` subjects (sorted) are kept out of training.
        out: run folder; holds the features of all frames while it runs (about 0.1 MB a walk and variant).
        dim: token size, that of ``start``.
        data_cards: names of the cards of the data, for the card of the weights.
        variants: how many augmented variants of every walk there are beside the plain one.
        attribute_weight: weight of age, BMI and gender beside identity.
        traits: what a simulator kept of each walk and that is learnt too, such as ``style_of_the_day``.
        trait_weight: weight of the traits.
    """
    if len(modality) != 1:
        raise ConfigError("modality: a motion run trains exactly one modality")
    ((name, given),) = modality.items()
    settings = weights.resolved(name, given or {})
    made = weights.make_modality(name, settings)
    encoder = made.encoder(dim)
    if not isinstance(encoder, MotionStrips):
        raise ConfigError(f"modality.{name}.encoder: a motion run trains 'motion', no other encoder")
    plan, jitter = build(Schedule, schedule or {}, "schedule"), build(Augment, augment or {}, "augment")
    resolved = {
        "recipe": "motion",
        "modality": {name: settings},
        "start": str(start),
        "data": str(data),
        "data_cards": data_cards,
        "dim": dim,
        "validation_people": validation_people,
        "variants": variants,
        "schedule": vars(plan),
        "augment": augment or {},
        "attribute_weight": attribute_weight,
        "traits": traits,
        "trait_weight": trait_weight,
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    split = Split(WalkFolder(data), name, settings, validation_people, report, traits or [])
    torch.manual_seed(seed)
    encoder = made.encoder(dim)
    assert isinstance(encoder, MotionStrips)
    begin(encoder, weights.make_modality(name, {**settings, "encoder": "strips"}), settings, start, dim)
    features = Features(out / FEATURES, encoder, made, split, variants, jitter, seed, loop, report)
    task = MotionTask(encoder, split, features, loop, dim, (attribute_weight, trait_weight))
    loop.run(task.module, task.losses, task.validate, resume=resume)
    encoder.absorb(task.module.head.norm)
    path = out / f"{name}.safetensors"
    meta = {"kind": "modality", "name": name, "dim": dim, "config": settings, "trained": True}
    weights.write(path, encoder.state_dict(), meta)
    write_card(
        path,
        task=f"The streams of the {name} modality of one walk to tokens, which the fusion reads.",
        data=data_cards or ["not stated"],
        people=len(task.targets.people),
        metrics={"validation people": validation_people, **loop.validation},
        config=str(out / "config.yaml"),
    )
    (out / FEATURES).unlink()
    return path


def begin(encoder: MotionStrips, before: Modality, settings: dict[str, Any], start: Path, dim: int) -> None:
    """Take over all that the strip encoder knows; movement adds nothing at first."""
    strips = before.encoder(dim)
    weights.load_encoder(strips, start, {**settings, "encoder": "strips"})
    held = strips.state_dict()
    looks = held.pop("project")
    encoder.load_state_dict(held, strict=False)
    with torch.no_grad():
        encoder.project[:, : looks.shape[1]] = looks
        encoder.project[:, looks.shape[1] :] *= 0.1 * looks.std() / encoder.project.std()
    encoder.eval()


class Features:
    """Float16 features of all frames, plain and in augmented variants, in a file.

    Walks of training have every variant, those of validation the plain one.
    """

    def __init__(
        self,
        path: Path,
        encoder: MotionStrips,
        modality: Modality,
        split: Split,
        variants: int,
        jitter: Augment,
        seed: int,
        loop: Loop,
        report: Report,
    ) -> None:
        self.encoder, self.modality, self.jitter, self.seed = encoder, modality, jitter, seed
        self.device, self.fabric = loop.fabric.device, loop.fabric
        samples = [*split.train_samples, *split.validation_samples]
        plan = [(i, v) for v in range(variants + 1) for i in range(len(samples)) if not v or i < len(split.train)]
        lengths = np.array([len(samples[i]) for i, _ in plan])
        self.first = dict(zip(plan, (np.cumsum(lengths) - lengths).tolist(), strict=True))
        self.samples, self.training = samples, len(split.train)
        one = self._of(samples[0], 0, 0)
        shape = (int(lengths.sum()), *one.shape[1:])
        whole = path.exists() and np.load(path, mmap_mode="r").shape == shape
        if whole:
            self.values = np.load(path, mmap_mode="r")
            return
        partial = path.with_name(f"part-{path.name}")
        values = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        for done, (i, variant) in enumerate(plan, start=1):
            at = self.first[i, variant]
            values[at : at + len(samples[i])] = self._of(samples[i], i, variant)
            if done % 2000 == 0 or done == len(plan):
                report(f"features of {done}/{len(plan)} walks and variants")
        values.flush()
        partial.replace(path)
        self.values = np.load(path, mmap_mode="r")

    def _of(self, sample: Sample, number: int, variant: int) -> NDArray[np.float16]:
        batch = self.modality.collate([sample])
        frames = batch.frames
        if variant:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) * 101 + variant)
            frames = self.jitter(frames, generator, self.modality.frames_are)
        parts = []
        with torch.inference_mode(), self.fabric.autocast():
            for some in frames[0].to(self.device).split(AT_ONCE):
                parts.append(self.encoder.to(self.device).features(some).float().cpu())
        return torch.cat(parts).numpy().astype(np.float16)

    def batch(
        self, rows: NDArray[np.int64], variants: NDArray[np.int64], windows: list[slice]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Padded features ``[b, T, strips, c]``, lengths and times of windows of walks."""
        pieces, times = [], []
        for row, variant, window in zip(rows.tolist(), variants.tolist(), windows, strict=True):
            at = self.first[row, variant]
            pieces.append(torch.from_numpy(self.values[at : at + len(self.samples[row])][window].astype(np.float32)))
            times.append(torch.from_numpy(self.samples[row].t_s[window]))
        lengths = torch.tensor([len(piece) for piece in pieces])
        padded = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        t_s = nn.utils.rnn.pad_sequence(times, batch_first=True)
        return padded.to(self.device), lengths.to(self.device), t_s.to(self.device)


class MotionTask:
    """What is learnt: the losses of a step, the figure to watch."""

    def __init__(
        self,
        encoder: MotionStrips,
        split: Split,
        features: Features,
        loop: Loop,
        dim: int,
        side_weights: tuple[float, float],
    ) -> None:
        self.split, self.features = split, features
        self.attribute_weight, self.trait_weight = side_weights
        self.plan, self.seed, self.device = loop.schedule, loop.seed, loop.fabric.device
        people = [walk.subject for walk in split.train]
        self.sampler = PeopleSampler(people, people=self.plan.people, walks=self.plan.walks, seed=self.seed)
        self.targets = Targets(split.train, split.traits)
        self.variants = 1 + max(v for _, v in features.first)
        head = Head(dim, encoder.strips, len(self.targets.people), split.traits.shape[1])
        self.module = MotionAndHead(encoder, head)

    def losses(self, network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        """Identity by triplet and classes, and a little of age, BMI and gender."""
        rows = self.sampler.batch(step)
        rng = np.random.default_rng([self.seed, 2, step])
        variants = rng.integers(self.variants, size=len(rows))
        windows = []
        for row in rows:
            long = len(self.features.samples[row])
            size = min(long, int(rng.integers(self.plan.frames // 2, self.plan.frames + 1)))
            first = int(rng.integers(long - size + 1))
            windows.append(slice(first, first + size))
        maps, lengths, t_s = self.features.batch(rows, variants, windows)
        tokens, logits, attributes, traits = network(maps, lengths, t_s)
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
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training, on the encoder's own tokens."""
        rows = np.arange(self.features.training, len(self.features.samples))
        found = []
        with torch.inference_mode():
            for some in np.array_split(rows, max(1, len(rows) // 32)):
                batch = self.features.batch(some, np.zeros(len(some), int), [slice(None)] * len(some))
                found.append(self.module.tokens(*batch).values.cpu())
        unit = functional.normalize(torch.cat(found), dim=2).numpy()
        return {"validation_rank1": cross_view_rank1(unit, self.split.validation)}

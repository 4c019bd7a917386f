"""Give a trained strip encoder an eye for movement.

Its trunk stays as it is. So the features of every frame are computed once, plain and in a few augmented
variants, and what looks along time is trained on whole walks at a small part of the cost.
"""

from __future__ import annotations

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
from gait3dlib.data.sets import plain
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.modalities import Batch, Modality, Sample
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.training.encoder import EncoderBatch, EncoderTask, Learning, write_encoder
from gait3dlib.training.folder import Report, file_hash, split_hashes
from gait3dlib.training.head import Head
from gait3dlib.training.identity import IdentityLoss
from gait3dlib.training.loop import Loop
from gait3dlib.training.schedule import Schedule
from gait3dlib.training.split import DataSource, Split, open_walks
from gait3dlib.training.validation import cross_view_rank1
from gait3dlib.types import Tokens

FEATURES = "features.npy"  # in the run folder, while it runs
AT_ONCE = 512  # frames
SHORTEST = 0.5  # of the frames of a step: windows are that long or longer
NEW = 0.1  # what moves speaks that much more softly at first than what it looks like


def train_motion(
    *,
    modality: dict[str, dict[str, Any] | None],
    start: Path,
    data: DataSource,
    out: Path,
    dim: Count = 128,
    data_cards: list[str] | None = None,
    validation_people: Natural = 60,
    variants: Natural = 1,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    identity: dict[str, Any] | None = None,
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
        data: folder of recordings or a data set, as for an encoder.
        out: run folder; holds the features of all frames while it runs (0.1 MB a walk and variant).
        dim: token size, that of ``start``.
        data_cards: names of the cards of the data, for the card of the weights.
        validation_people: 0 = nobody is kept out, and nothing is measured.
        variants: how many augmented variants of every walk there are beside the plain one.
        identity: settings of :class:`~gait3dlib.training.identity.IdentityLoss`.
        attribute_weight: weight of age, BMI and gender beside identity.
        traits: what a simulator kept of each walk and that is learnt too, such as ``style_of_the_day``.
        trait_weight: weight of the traits.
    """
    if len(modality) != 1:
        raise ConfigError("modality: a motion run trains exactly one modality")
    ((name, given),) = modality.items()
    settings = weights.resolved(name, given or {})
    plan, jitter = build(Schedule, schedule or {}, "schedule"), build(Augment, augment or {}, "augment")
    person = build(IdentityLoss, identity or {}, "identity")
    if not isinstance(weights.make_modality(name, settings).encoder(dim), MotionStrips):
        raise ConfigError(f"modality.{name}.encoder: a motion run trains motion, and no other")
    resolved = {
        "recipe": "motion",
        "modality": {name: settings},
        "start": str(start),
        "data": plain(data),
        "data_cards": data_cards,
        "dim": dim,
        "validation_people": validation_people,
        "variants": variants,
        "schedule": vars(plan),
        "augment": augment or {},
        "identity": vars(person),
        "attribute_weight": attribute_weight,
        "traits": traits,
        "trait_weight": trait_weight,
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    with loop.fabric.rank_zero_first():
        split = Split(open_walks(data), name, settings, validation_people, loop.report, traits or [])
    loop.keep_inputs({"data": split_hashes(split.train, split.validation), "start": file_hash(start)})
    torch.manual_seed(seed)
    learning = Learning(jitter, person, attribute_weight, trait_weight, supervisor_weight=0.0)
    task = MotionTask(weights.make_modality(name, settings), split, loop, learning, dim)
    begin(task.encoder, name, settings, start, dim)
    with loop.fabric.rank_zero_first():
        task.features = Features(out / FEATURES, task, split, variants)
    loop.run(task.module, task.losses, task.validate, batch_of=task.batch, resume=resume)
    task.module.absorb_norm()
    path = write_encoder(task, task.encoder, loop, name, settings, dim, data_cards, validation_people)
    if loop.ranks.first:
        (out / FEATURES).unlink()
    return path


class MotionAndHead(nn.Module):
    """All that is trained: the encoder without its trunk, and the head it loses afterwards."""

    def __init__(self, encoder: MotionStrips, head: Head) -> None:
        super().__init__()
        self.motion, self.project, self.head = encoder.motion, encoder.project, head
        # in a list it is no submodule: the trunk is neither trained nor saved with every checkpoint
        self._aside = [encoder]

    def forward(
        self,
        maps: torch.Tensor,
        lengths: torch.Tensor,
        t_s: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Features of frames ``[b, T, strips, c]`` -> tokens and answers, as an encoder's."""
        tokens = self.tokens(Batch(maps, lengths, t_s))
        with torch.autocast(maps.device.type, enabled=False):
            return tokens.values, *self.head(tokens), {}

    def tokens(self, batch: Batch) -> Tokens:
        """Of walks whose frames' features are known."""
        return self._aside[0].tokens(*batch.real_frames(), batch)

    def absorb_norm(self) -> None:
        """Hand the head's norm over to the encoder, once training has ended."""
        self._aside[0].absorb(self.head.norm)


class MotionTask(EncoderTask):
    """Learns what an encoder learns, from features of frames."""

    features: Features

    def __init__(self, modality: Modality, split: Split, loop: Loop, learning: Learning, dim: int) -> None:
        super().__init__(modality, split, loop, learning, dim)
        assert isinstance(self.module.encoder, MotionStrips)
        self.encoder, self.autocast = self.module.encoder, loop.fabric.autocast
        self.report = loop.report
        self.module = MotionAndHead(self.encoder, self.module.head)  # type: ignore[assignment]

    def batch(self, number: int) -> EncoderBatch:
        """Windows of a step's walks, each of one variant: a pure function of the seed and the number."""
        rows = self.sampler.batch(number)
        mine = self.ranks.share(len(rows))
        rng = np.random.default_rng([self.seed, 2, number])
        variants = rng.integers(self.features.variants + 1, size=len(rows))
        windows = [self._window(len(self.features.samples[row]), rng) for row in rows.tolist()]
        batch = self.features.batch(rows[mine], variants[mine], windows[mine])
        return EncoderBatch(rows, mine, batch, None, number / (self.plan.steps * self.plan.accumulate))

    def _window(self, length: int, rng: np.random.Generator) -> slice:
        most = self.plan.frames
        size = min(length, int(rng.integers(max(1, round(SHORTEST * most)), most + 1)))
        first = int(rng.integers(length - size + 1))
        return slice(first, first + size)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training, on the encoder's own tokens."""
        rows = np.arange(len(self.split.train), len(self.features.samples))
        if not len(rows):
            return {}
        found, module = [], self.module
        assert isinstance(module, MotionAndHead)
        with torch.inference_mode():
            for some in np.array_split(rows, -(-len(rows) // 32)):
                batch = self.features.batch(some, np.zeros(len(some), np.int64), [slice(None)] * len(some))
                found.append(module.tokens(batch.to(self.device)).values.cpu())
        unit = functional.normalize(torch.cat(found), dim=2).numpy()
        return {"validation_rank1": cross_view_rank1(unit, self.split.validation)}


def begin(encoder: MotionStrips, name: str, settings: dict[str, Any], start: Path, dim: int) -> None:
    """Take over all that a strip encoder knows; what moves hardly speaks at first.

    Raises:
        WeightsError: ``start`` is not that encoder.
    """
    before = {**settings, "encoder": "strips"}
    earlier = weights.make_modality(name, before).encoder(dim)
    weights.load_encoder(earlier, start, before)
    held = earlier.state_dict()
    looks = held.pop("project")
    encoder.load_state_dict(held, strict=False)
    with torch.no_grad():
        encoder.project[:, : looks.shape[1]] = looks
        encoder.project[:, looks.shape[1] :] *= NEW * looks.std() / encoder.project.std()
    encoder.eval()


class Features:
    """Float16 features of all frames in a file: each walk plain, those of training in variants as well."""

    def __init__(self, path: Path, task: MotionTask, split: Split, variants: int) -> None:
        self.modality, self.variants, self._task = task.modality, variants, task
        self.samples: list[Sample] = [*split.train_samples, *split.validation_samples]
        plain_ones = [(i, 0) for i in range(len(self.samples))]
        plan = plain_ones + [(i, v + 1) for v in range(variants) for i in range(len(split.train))]
        lengths = np.array([len(self.samples[i]) for i, _ in plan])
        self._first = dict(zip(plan, (np.cumsum(lengths) - lengths).tolist(), strict=True))
        shape = (int(lengths.sum()), *self._of(0, 0).shape[1:])
        if not (path.exists() and np.load(path, mmap_mode="r").shape == shape):
            self._write(path, plan, shape)
        self._values = np.load(path, mmap_mode="r")

    def _write(self, path: Path, plan: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> None:
        partial = path.with_name(f"part-{path.name}")
        values = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        for done, (number, variant) in enumerate(plan, start=1):
            at = self._first[number, variant]
            values[at : at + len(self.samples[number])] = self._of(number, variant)
            if done % 2000 == 0 or done == len(plan):
                self._task.report(f"features of {done}/{len(plan)} walks and variants")
        values.flush()
        partial.replace(path)

    def _of(self, number: int, variant: int) -> NDArray[np.float16]:
        task = self._task
        frames = self.modality.collate([self.samples[number]]).frames
        if variant:
            generator = torch.Generator().manual_seed((task.seed * 1_000_003 + number) * 101 + variant)
            frames = task.learning.jitter(frames, generator, self.modality.frames_are)
        encoder = task.encoder.to(task.device)
        with torch.inference_mode(), task.autocast():
            pieces = torch.split(frames[0].to(task.device), AT_ONCE)
            parts = [encoder.features(some).float().cpu() for some in pieces]
        return torch.cat(parts).numpy().astype(np.float16)

    def batch(self, rows: NDArray[np.int64], variants: NDArray[np.int64], windows: list[slice]) -> Batch:
        """Windows of walks: features ``[b, T, strips, c]``, padded."""
        pieces, times = [], []
        for row, variant, window in zip(rows.tolist(), variants.tolist(), windows, strict=True):
            at = self._first[row, variant]
            held = self._values[at : at + len(self.samples[row])][window]
            pieces.append(torch.from_numpy(held.astype(np.float32)))
            times.append(torch.from_numpy(self.samples[row].t_s[window]))
        lengths = torch.tensor([len(piece) for piece in pieces])
        pad = nn.utils.rnn.pad_sequence
        return Batch(pad(pieces, batch_first=True), lengths, pad(times, batch_first=True))

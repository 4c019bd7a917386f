"""How long and how fast to train: steps, batches, learning rate, optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from gait3dlib.config import Count, Natural, NotNegative, Positive, Share, build
from gait3dlib.data.sampler import FrameDraw, FrameSampler, some_frames
from gait3dlib.errors import ConfigError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Decay = Literal["cosine", "constant", "step", "multi_step"]
Optimiser = Literal["adamw", "adam", "sgd"]


class Schedule:
    """How long and how fast to train.

    Args:
        steps: optimiser steps; with 0 nothing is learnt.
        people: P of the P x K batch.
        walks: K of the P x K batch.
        frames: frames drawn from a walk and step.
        sampler: settings of :class:`~gait3dlib.data.sampler.FrameSampler`, instead of ``frames`` in order of
            time.
        lr: peak learning rate.
        optimiser: "adamw", "adam" or "sgd" with ``momentum``.
        momentum: of "sgd".
        weight_decay: of the optimiser.
        warm_up: share of the steps over which the rate rises to its peak.
        decay: how it falls after that: a "cosine" down to ``floor``, by ``gamma`` every ``period`` steps
            ("step") or at each of ``milestones`` ("multi_step", OpenGait's), or not at all ("constant").
        floor: where the cosine ends, as a share of the peak.
        milestones: steps at which "multi_step" falls.
        period: steps between two falls of "step".
        gamma: the factor of each fall.
        clip: largest norm of a gradient; null = not clipped.
        accumulate: batches of P x K whose gradients make up one step.
        ema: decay of the exponential moving average of the weights that is validated and kept; 0 = none.
        frozen_norms: batch norms use the statistics that they hold, and do not change them.
        validate_every: steps between validations.
        patience: validations without a better figure after which training stops; the best weights are kept.
        watch: the figure that ``patience`` looks at, higher is better; the last one by default.
        log_every: steps between two lines of the log.
        save_seconds: seconds between checkpoints.
        prefetch: batches that are made ahead, in the background; 0 = none.
        precision: Fabric's name; "bf16-mixed" halves the time on chips that have it.

    Raises:
        ConfigError: "multi_step" without rising milestones, or "step" without a period.
    """

    def __init__(
        self,
        *,
        steps: Natural = 4000,
        people: Annotated[int, Field(ge=2)] = 16,
        walks: Count = 4,
        frames: Count = 8,
        sampler: dict[str, Any] | None = None,
        lr: Positive = 2e-3,
        optimiser: Optimiser = "adamw",
        momentum: Share = 0.9,
        weight_decay: NotNegative = 0.05,
        warm_up: Share = 0.05,
        decay: Decay = "cosine",
        floor: Share = 0.01,
        milestones: list[Count] | None = None,
        period: Count | None = None,
        gamma: Share = 0.1,
        clip: Positive | None = 5.0,
        accumulate: Count = 1,
        ema: Share = 0.0,
        frozen_norms: bool = False,
        validate_every: Count = 500,
        patience: Count | None = None,
        watch: str | None = None,
        log_every: Count = 50,
        save_seconds: NotNegative = 60.0,
        prefetch: Natural = 2,
        precision: Precision = "bf16-mixed",
    ) -> None:
        if decay == "multi_step" and (not milestones or milestones != sorted(set(milestones))):
            raise ConfigError("schedule.milestones: multi_step needs steps that rise, such as [20000, 40000]")
        if decay == "step" and period is None:
            raise ConfigError("schedule.period: step needs the number of steps between two falls")
        if sampler is not None:
            build(FrameSampler, sampler, "schedule.sampler")
        self.steps, self.people, self.walks, self.frames = steps, people, walks, frames
        self.sampler, self.lr, self.optimiser, self.momentum = sampler, lr, optimiser, momentum
        self.weight_decay, self.warm_up, self.decay, self.floor = weight_decay, warm_up, decay, floor
        self.milestones, self.period, self.gamma, self.clip = milestones, period, gamma, clip
        self.accumulate, self.ema, self.frozen_norms = accumulate, ema, frozen_norms
        self.validate_every, self.patience, self.watch = validate_every, patience, watch
        self.log_every, self.save_seconds, self.prefetch = log_every, save_seconds, prefetch
        self.precision = precision

    def frame_draw(self, *, ordered: bool) -> FrameDraw:
        """Which frames of a walk a step sees; ``ordered``: the network looks along time."""
        if self.sampler is not None:
            return build(FrameSampler, self.sampler, "schedule.sampler")
        return partial(some_frames, self.frames, ordered=ordered)

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of the peak."""
        warm = max(1, int(self.steps * self.warm_up + 1e-9)) if self.warm_up else 0
        if step < warm:
            return (step + 1) / warm
        if self.decay == "cosine":
            share = (step - warm) / max(1, self.steps - warm)
            return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))
        falls = 0
        if self.decay == "multi_step":
            falls = sum(step >= milestone for milestone in self.milestones or ())
        elif self.decay == "step":
            falls = step // (self.period or 1)
        return float(self.gamma**falls)


def make_optimiser(
    schedule: Schedule, module: nn.Module, pace: Callable[[str], float]
) -> torch.optim.Optimizer:
    """The optimiser of a module; ``pace`` says by name how much faster a parameter learns than the rest."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        groups.setdefault(pace(name), []).append(parameter)
    held = [{"params": some, "lr": schedule.lr * factor} for factor, some in groups.items()]
    lr, decay = schedule.lr, schedule.weight_decay
    if schedule.optimiser == "sgd":
        return torch.optim.SGD(held, lr=lr, momentum=schedule.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if schedule.optimiser == "adamw" else torch.optim.Adam
    return kind(held, lr=lr, weight_decay=decay)

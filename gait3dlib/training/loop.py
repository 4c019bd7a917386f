"""What every training run shares: steps, progress, validation, checkpoints, resume to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gait3dlib.training import checkpoint
from gait3dlib.training.ahead import Ahead
from gait3dlib.training.average import Average
from gait3dlib.training.folder import Report, RunFolder
from gait3dlib.training.ranks import Ranks
from gait3dlib.training.schedule import Schedule, make_optimiser

Losses = dict[str, torch.Tensor]


class Loop:
    """Runs the steps of one training and keeps its run folder (see :class:`RunFolder`).

    Steps are a pure function of the seed and the step number, so a resumed run ends in the same weights.
    ``checkpoint.pt`` holds weights, optimiser, learning rate, average, scaler and the best weights so far.
    """

    def __init__(
        self, out: Path, schedule: Schedule, seed: int, resolved: dict[str, Any], report: Report
    ) -> None:
        self.schedule, self.seed, self.resolved = schedule, seed, resolved
        self.inputs: dict[str, Any] = {}
        self.ranks = Ranks(schedule.precision)
        self.fabric = self.ranks.fabric
        self._before = checkpoint.config_in(out)
        self.folder = RunFolder(out, resolved, seed, report, writes=self.ranks.first)
        self.out, self.report = out, self.folder.report
        self.validation: dict[str, float] = {}  # the latest
        self._best: dict[str, Any] = {"score": None, "step": 0, "since": 0, "state": None}
        self._average: Average | None = None

    @property
    def _stopped(self) -> bool:
        patience = self.schedule.patience
        return patience is not None and int(self._best["since"]) >= patience

    def keep_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Tell what the run reads, as hashes: kept in the folder; a resumed run must have the same."""
        self.inputs = dict(inputs)
        self.folder.keep_inputs(inputs)

    def run(
        self,
        module: nn.Module,
        loss_of: Callable[[nn.Module, Any], Losses],
        validate: Callable[[nn.Module], dict[str, float]],
        *,
        batch_of: Callable[[int], Any] = lambda number: number,
        pace: Callable[[str], float] = lambda name: 1.0,
        resume: bool = False,
    ) -> nn.Module:
        """Train ``module``, and return it in eval mode.

        Args:
            module: what is trained.
            loss_of: named losses of ``loss_of(network, batch)``, which are summed.
            validate: figures of the module, in eval mode; higher is better.
            batch_of: the batch of a number, made in the background; by default the number itself.
            pace: by which factor a parameter's learning rate differs from the schedule's, by its name.
            resume: go on from the folder's checkpoint, where there is one.

        Raises:
            ConfigError: the checkpoint is of a run with another seed, data or setting.
            WeightsError: it does not fit.
        """
        plan = self.schedule
        torch.manual_seed(self.seed)
        if self.ranks.count > 1 and self.fabric.device.type == "cuda" and not plan.frozen_norms:
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        optimiser = make_optimiser(plan, module, pace)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, plan.rate)
        self._average = Average(module, plan.ema) if plan.ema else None
        start = self._restore(module, optimiser, rate) if resume else 0
        self.folder.forget_after(start)
        done = start
        network, optimiser = self.fabric.setup(module, optimiser)
        clock = _Clock(plan.people * plan.walks * plan.accumulate)
        saved = time.monotonic()
        with Ahead(batch_of, stop=plan.steps * plan.accumulate, ahead=plan.prefetch) as batches:
            for step in range(start, plan.steps):
                losses = self._step(network, optimiser, loss_of, batches, step)
                rate.step()
                if self._average is not None:
                    self._average.update(module, step)
                clock.tick(batches.waited)
                done = step + 1
                if done % plan.log_every == 0 or done == plan.steps:
                    row = {name: float(self.ranks.mean(value)) for name, value in losses.items()}
                    self.log(done, row | clock.read())
                if done % plan.validate_every == 0 or done == plan.steps:
                    self._validate(module, validate, done)
                    clock.restart(batches.waited)
                    if self._stopped:
                        break
                if time.monotonic() - saved > plan.save_seconds:
                    self._save(module, optimiser, rate, done)
                    saved = time.monotonic()
        self._save(module, optimiser, rate, plan.steps if self._stopped else done)
        self._finish(module)
        return module.eval()

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """One line to the terminal, the CSV and TensorBoard."""
        self.folder.log(step, self.schedule.steps, row)

    def _step(
        self,
        network: Any,
        optimiser: Any,
        loss_of: Callable[[nn.Module, Any], Losses],
        batches: Ahead[Any],
        step: int,
    ) -> Losses:
        """One step of the optimiser; the losses are the means over its batches."""
        plan = self.schedule
        whole: Losses = {}
        network.train()
        if plan.frozen_norms:
            freeze_norms(network)
        for part in range(plan.accumulate):
            number = step * plan.accumulate + part
            batch = batches(number)
            torch.manual_seed(self.seed * 1_000_003 + number)  # the same draws on any resume
            with (
                self.fabric.no_backward_sync(network, enabled=part + 1 < plan.accumulate),
                self.ranks.drawing(plan.people * plan.walks),
            ):
                losses = loss_of(network, batch)
                self.fabric.backward(torch.stack(list(losses.values())).sum() / plan.accumulate)
            for name, value in losses.items():
                whole[name] = whole.get(name, 0.0) + value.detach() / plan.accumulate
        if plan.clip is not None:
            self.fabric.clip_gradients(network, optimiser, max_norm=plan.clip)
        optimiser.step()
        optimiser.zero_grad()
        return whole

    def _validate(
        self, module: nn.Module, validate: Callable[[nn.Module], dict[str, float]], step: int
    ) -> None:
        """Watch the figures, on the first process, and keep the best weights where they are asked for."""
        module.eval()
        found: dict[str, float] = {}
        if self.ranks.first:
            with self._average.inside(module) if self._average else nullcontext():
                found = validate(module)
        self.validation = self.fabric.broadcast(found)
        self.log(step, self.validation)
        plan, best = self.schedule, self._best
        if plan.patience is None or not self.validation:
            return
        watched = self.validation[plan.watch or list(self.validation)[-1]]
        if best["score"] is None or watched > best["score"]:
            kept = self._average.state if self._average else module.state_dict()
            state = {name: tensor.detach().cpu().clone() for name, tensor in kept.items()}
            best.update(score=watched, step=step, since=0, state=state)
        else:
            best["since"] += 1

    def _finish(self, module: nn.Module) -> None:
        """Leave the best weights in the module, or the average, where they were asked for."""
        if self._best["state"] is not None:
            module.load_state_dict(self._best["state"])
            self.report(f"kept the weights of step {self._best['step']}, the best")
        elif self._average is not None:
            module.load_state_dict(self._average.state)

    def _save(self, module: nn.Module, optimiser: Any, rate: Any, step: int) -> None:
        if not self.ranks.first:
            return
        state = {
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rate": {"last_epoch": rate.last_epoch, "_step_count": rate._step_count},
            "average": self._average.state if self._average else None,
            "best": self._best,
            "scaler": self.fabric.strategy.precision.state_dict(),
            "step": step,
        }
        checkpoint.save(self.out / "checkpoint.pt", state, self.resolved, self.inputs)

    def _restore(self, module: nn.Module, optimiser: Any, rate: Any) -> int:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return 0
        state = checkpoint.load(path, self.resolved, self.inputs, self._before)
        try:
            module.load_state_dict(state["module"])
            optimiser.load_state_dict(state["optimiser"])
            if self._average is not None:
                self._average.state = dict(state["average"])
            if scaler := state.get("scaler"):
                self.fabric.strategy.precision.load_state_dict(scaler)
            rate.last_epoch, rate._step_count = state["rate"]["last_epoch"], state["rate"]["_step_count"]
        except Exception as error:
            raise checkpoint.misfit(path) from error
        for group, base in zip(optimiser.param_groups, rate.base_lrs, strict=True):
            group["lr"] = base * self.schedule.rate(rate.last_epoch)
        self._best = state.get("best") or self._best
        self.report(f"resumed at step {state['step']}")
        return int(state["step"])


class _Clock:
    """How fast it goes: seconds a step, walks a second, and the share of the time spent waiting for data."""

    def __init__(self, walks: int) -> None:
        self.walks = walks
        self.restart(0.0)

    def restart(self, waited: float) -> None:
        self.began, self.steps, self.waited_before, self.waited = time.monotonic(), 0, waited, waited

    def tick(self, waited: float) -> None:
        self.steps, self.waited = self.steps + 1, waited

    def read(self) -> dict[str, float]:
        """The figures since the last reading."""
        took = max(time.monotonic() - self.began, 1e-9)
        row = {
            "seconds_per_step": took / self.steps,
            "walks_per_second": self.walks * self.steps / took,
            "data_wait": (self.waited - self.waited_before) / took,
        }
        self.restart(self.waited)
        return row


def freeze_norms(network: nn.Module) -> None:
    """Batch norms use the statistics that they hold, until the next ``train()``."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()

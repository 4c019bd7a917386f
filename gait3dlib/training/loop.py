"""What every training run shares: schedule, optimiser, progress, logs, checkpoints, resume to the bit."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

import gait3dlib
from gait3dlib import config
from gait3dlib._optional import require
from gait3dlib.config import Count, NotNegative, Positive
from gait3dlib.errors import WeightsError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Report = Callable[[str], None]


class Schedule:
    """How long and how fast to train.

    Args:
        steps: optimiser steps.
        people: P of the P x K batch.
        walks: K of the P x K batch.
        frames: frames drawn from a walk and step.
        lr: peak learning rate of AdamW; warms up over the first 5 %, then a cosine down to 1 %.
        weight_decay: of AdamW.
        validate_every: steps between validations.
        save_seconds: seconds between checkpoints.
        precision: Fabric's name; "bf16-mixed" halves the time on chips that have it.
    """

    def __init__(
        self,
        *,
        steps: Count = 4000,
        people: Annotated[int, Field(ge=2)] = 16,
        walks: Count = 4,
        frames: Count = 8,
        lr: Positive = 2e-3,
        weight_decay: NotNegative = 0.05,
        validate_every: Count = 500,
        save_seconds: NotNegative = 60.0,
        precision: Precision = "bf16-mixed",
    ) -> None:
        self.steps, self.people, self.walks, self.frames = steps, people, walks, frames
        self.lr, self.weight_decay = lr, weight_decay
        self.validate_every, self.save_seconds, self.precision = validate_every, save_seconds, precision


class Loop:
    """Runs the steps of one training and keeps its run folder.

    The folder holds ``config.yaml`` (resolved), ``environment.json``, ``metrics.csv`` (and TensorBoard events
    where tensorboard is installed), ``checkpoint.pt`` while it runs, and what the recipe writes at the end.
    Steps are a pure function of the seed and the step number, so a resumed run ends in the same weights.
    """

    def __init__(
        self, out: Path, schedule: Schedule, seed: int, resolved: dict[str, Any], report: Report
    ) -> None:
        self.out, self.schedule, self.seed, self.report = out, schedule, seed, report
        out.mkdir(parents=True, exist_ok=True)
        config.write(out / "config.yaml", resolved)
        (out / "environment.json").write_text(json.dumps(environment(seed), indent=1), encoding="utf-8")
        fabric = require("lightning.fabric")
        self.fabric = fabric.Fabric(accelerator="auto", devices="auto", precision=schedule.precision)
        self.fabric.launch()
        self.writer = _tensorboard(out)
        self.validation: dict[str, float] = {}  # the latest

    def run(
        self,
        module: nn.Module,
        loss_of: Callable[[nn.Module, int], dict[str, torch.Tensor]],
        validate: Callable[[nn.Module], dict[str, float]],
        *,
        pace: Callable[[str], float] = lambda name: 1.0,
        resume: bool = False,
    ) -> nn.Module:
        """Train ``module``; ``loss_of(module, step)`` gives named losses that are summed.

        ``pace`` says by which factor a parameter's learning rate differs from the schedule's, by its name.
        """
        schedule = self.schedule
        torch.manual_seed(self.seed)
        groups = _paced(module, pace, schedule.lr)
        optimiser = torch.optim.AdamW(groups, lr=schedule.lr, weight_decay=schedule.weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        start = self._restore(module, optimiser, rate) if resume else 0
        self._forget_after(start)
        wrapped, optimiser = self.fabric.setup(module, optimiser)
        saved = shown = time.monotonic()
        counted = start
        for step in range(start, schedule.steps):
            torch.manual_seed(self.seed * 1_000_003 + step)  # this step draws the same on any resume
            wrapped.train()
            losses = loss_of(wrapped, step)
            total = torch.stack(list(losses.values())).sum()
            self.fabric.backward(total)
            self.fabric.clip_gradients(wrapped, optimiser, max_norm=5.0)
            optimiser.step()
            optimiser.zero_grad()
            rate.step()
            now = time.monotonic()
            if (step + 1) % 50 == 0 or step + 1 == schedule.steps:
                row = {name: float(value.detach()) for name, value in losses.items()}
                row["seconds_per_step"] = (now - shown) / (step + 1 - counted)
                self.log(step + 1, row)
                shown, counted = now, step + 1
            if (step + 1) % schedule.validate_every == 0 or step + 1 == schedule.steps:
                module.eval()
                self.validation = validate(module)
                self.log(step + 1, self.validation)
                shown, counted = time.monotonic(), step + 1
            if now - saved > schedule.save_seconds:
                self._save(module, optimiser, rate, step + 1)
                saved = now
        self._save(module, optimiser, rate, schedule.steps)
        return module.eval()

    def log(self, step: int, row: dict[str, float]) -> None:
        """One line to the terminal, the CSV and TensorBoard."""
        self.report(
            f"step {step}/{self.schedule.steps}  " + "  ".join(f"{k} {v:.4g}" for k, v in row.items())
        )
        path = self.out / "metrics.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["step", "name", "value"])
            rows.writerows([step, name, f"{value:.6g}"] for name, value in row.items())
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name, value, step)

    def _forget_after(self, step: int) -> None:
        """Take out of the CSV what was logged after a step, by a run that is now done again."""
        path = self.out / "metrics.csv"
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row[:1] == ["step"] or (row and int(row[0]) <= step)]
        path.unlink()
        if step:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)

    def _rate(self, step: int) -> float:
        warm = max(1, self.schedule.steps // 20)
        if step < warm:
            return (step + 1) / warm
        share = (step - warm) / max(1, self.schedule.steps - warm)
        return 0.01 + 0.99 * 0.5 * (1 + float(torch.cos(torch.tensor(share * torch.pi))))

    def _save(self, module: nn.Module, optimiser: Any, rate: Any, step: int) -> None:
        partial = self.out / "checkpoint.pt.part"
        state = {
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rate": {"last_epoch": rate.last_epoch, "_step_count": rate._step_count},
            "step": step,
        }
        torch.save(state, partial)
        os.replace(partial, self.out / "checkpoint.pt")

    def _restore(self, module: nn.Module, optimiser: Any, rate: Any) -> int:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            module.load_state_dict(state["module"])
            optimiser.load_state_dict(state["optimiser"])
        except Exception as error:
            raise WeightsError(
                f"{path}: does not fit this config; start afresh without --resume, or in another folder"
            ) from error
        rate.last_epoch, rate._step_count = state["rate"]["last_epoch"], state["rate"]["_step_count"]
        for group, base in zip(optimiser.param_groups, rate.base_lrs, strict=True):
            group["lr"] = base * self._rate(rate.last_epoch)
        self.report(f"resumed at step {state['step']}")
        return int(state["step"])


def _paced(module: nn.Module, pace: Callable[[str], float], lr: float) -> list[dict[str, Any]]:
    """Parameters grouped by their learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        groups.setdefault(pace(name), []).append(parameter)
    return [{"params": held, "lr": lr * factor} for factor, held in groups.items()]


def environment(seed: int) -> dict[str, Any]:
    """What another person needs to run it again: versions, machine, git state, seed."""
    return {
        "gait3dlib": gait3dlib.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "seed": seed,
        "git": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
    }


def _git(*words: str) -> str:
    here = Path(gait3dlib.__file__).resolve().parent
    try:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _tensorboard(out: Path) -> Any:
    try:
        return require("torch.utils.tensorboard").SummaryWriter(str(out))
    except ImportError:
        return None

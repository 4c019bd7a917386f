"""The usual reaction of the ground on a walking person's foot, over the time that the foot stands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.dynamics._stances import Stance
from gait3dlib.errors import InputError

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]
PHASES = 51
LOADED = 0.1  # body weights from which a centre of pressure is taken for known
RIDGE = 0.01
# of the curves' columns
FORCE, POINT, MOMENT = slice(0, 3), slice(3, 5), slice(5, 8)


@dataclass(frozen=True, eq=False)
class WalkingReaction:
    """What is usual over the phase of stance, how it changes with the speed of walking, how people differ.

    The eight columns of its curves: force forward, outward and up, over the body's weight; centre of
    pressure from the ball of the foot toward the toes and outward, over the length from ankle to ball;
    moment at ankle, knee and hip about the axis that points left, over m g h.

    Attributes:
        mean: ``[PHASES, 8]`` at the usual speed.
        slope: ``[PHASES, 8]`` its change with speed.
        spread: ``[PHASES, 8]`` standard deviation of people about it.
        balance: standard deviation, over m g h, of what Euler's law for the whole body asks beside the
            measured reaction.
        speed: the usual speed over ``sqrt(g h)``.
        source: whose steps these were.
    """

    mean: F64
    slope: F64
    spread: F64
    balance: float
    speed: float
    source: str

    def at(self, stance: Stance, rows: Ints, speed: float) -> tuple[F64, F64]:
        """The curves at frames of a stance, and their spread: both ``[n, 8]``; no force pulls a foot down."""
        phase = stance.phase(rows)
        curves = _sampled(self.mean + (speed - self.speed) * self.slope, phase)
        curves[:, 2] = curves[:, 2].clip(min=1e-6)
        return curves, _sampled(self.spread, phase)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        lists = {k: v.round(5).tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        Path(path).write_text(json.dumps(lists) + "\n")

    @staticmethod
    def load(path: str | Path) -> WalkingReaction:
        """Read what :meth:`save` wrote."""
        held: dict[str, Any] = json.loads(Path(path).read_text())
        mean, slope, spread = (np.array(held[name]) for name in ("mean", "slope", "spread"))
        balance, speed, source = float(held["balance"]), float(held["speed"]), str(held["source"])
        return WalkingReaction(mean, slope, spread, balance, speed, source)


@lru_cache(maxsize=1)
def shipped_reaction() -> WalkingReaction:
    """The usual reaction that ships with the package."""
    return WalkingReaction.load(asset("walking_reaction.json"))


@dataclass(frozen=True, eq=False)
class MeasuredStep:
    """One step on a plate.

    Attributes:
        stance: when and how the foot stood.
        force: ``[T, 3]`` of the plate, over the body's weight.
        point: ``[T, 3]`` its centre of pressure.
        ball: ``[T, 3]`` the ball of the foot.
        moment: ``[T, 3]`` at ankle, knee and hip about the axis that points left, over m g h.
        unbalanced: ``[n]`` what Euler's law for the whole body asks beside it, frames of single support.
        speed: of walking, over ``sqrt(g h)``.
    """

    stance: Stance
    force: F64
    point: F64
    ball: F64
    moment: F64
    unbalanced: F64
    speed: float

    def curves(self) -> F64:
        """``[PHASES, 8]``, the columns of :class:`WalkingReaction`."""
        at = (np.arange(PHASES) + 0.5) / PHASES
        rows = self.stance.rows(len(self.force))
        phase = self.stance.phase(rows)
        local = np.nan_to_num(self.force[rows]) @ self.stance.axes.T
        loaded = local[:, 2] > LOADED
        sole = (self.point - self.ball)[rows, :2] @ self.stance.sole.T / self.stance.length
        every = np.ones(len(rows), bool)
        parts = [(local, every), (sole, loaded), (self.moment[rows], every)]
        return np.stack([np.interp(at, phase[s], column[s]) for part, s in parts for column in part.T], -1)


def fit_reaction(steps: Iterable[MeasuredStep], source: str) -> WalkingReaction:
    """Mean, change with speed (least squares with a small ridge) and spread over measured steps.

    Raises:
        InputError: fewer than three steps.
    """
    measured = list(steps)
    if len(measured) < 3:
        raise InputError(f"{len(measured)} whole steps on force plates are too few to learn from; give 3")
    curves = np.array([step.curves() for step in measured])
    speeds = np.array([step.speed for step in measured])
    apart = speeds - speeds.mean()
    mean = curves.mean(axis=0)
    slope = np.tensordot(apart, curves - mean, 1) / ((apart**2).sum() + RIDGE)
    left = curves - mean - apart[:, None, None] * slope
    spread = np.sqrt((left**2).sum(axis=0) / (len(curves) - 2))
    balance = float(np.sqrt(np.mean(np.concatenate([step.unbalanced for step in measured]) ** 2)))
    return WalkingReaction(mean, slope, spread, balance, float(speeds.mean()), source)


def _sampled(curve: F64, phase: F64) -> F64:
    at = (np.arange(len(curve)) + 0.5) / len(curve)
    return np.stack([np.interp(phase, at, column) for column in curve.T], -1)

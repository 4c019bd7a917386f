"""How real people walk: means and spreads between people, free of their size; made by a tool from data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib._resources import asset
from gait3dlib.report._gait_cycles import CURVES, F64, FIGURES, PHASES, Strides, unit

FILE = "gait_norms.json"


@dataclass(frozen=True, eq=False)
class Norm:
    """A mean and the standard deviation between people: numbers, or curves ``[51]``; of how many people."""

    mean: F64
    sd: F64
    people: int


@dataclass(frozen=True, eq=False)
class Norms:
    """Of all figures and curves, dimensionless.

    Attributes:
        figures, curves: by name.
        sources: what they were made from, a sentence each.
    """

    figures: Mapping[str, Norm]
    curves: Mapping[str, Norm]
    sources: tuple[str, ...]

    def figure(self, name: str, height_m: float) -> Norm:
        """In the figure's own unit for a person of that height."""
        return _sized(self.figures[name], unit(FIGURES[name], height_m))

    def curve(self, name: str, height_m: float) -> Norm:
        """In the curve's own unit for a person of that height."""
        return _sized(self.curves[name], unit(CURVES[name], height_m))

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        held: dict[str, Any] = {"sources": list(self.sources)}
        for kind in ("figures", "curves"):
            held[kind] = {
                name: {
                    "mean": norm.mean.round(5).tolist(),
                    "sd": norm.sd.round(5).tolist(),
                    "people": norm.people,
                }
                for name, norm in getattr(self, kind).items()
            }
        Path(path).write_text(json.dumps(held, separators=(",", ":")) + "\n")


def _sized(norm: Norm, scale: float) -> Norm:
    return Norm(norm.mean * scale, norm.sd * scale, norm.people)


@lru_cache(maxsize=1)
def shipped_norms() -> Norms:
    """The norms that ship with the package."""
    held = json.loads(asset(FILE).read_text())
    kinds = {
        kind: {
            name: Norm(np.array(norm["mean"]), np.array(norm["sd"]), int(norm["people"]))
            for name, norm in held[kind].items()
        }
        for kind in ("figures", "curves")
    }
    return Norms(kinds["figures"], kinds["curves"], tuple(held["sources"]))


def learn_norms(
    moving: Mapping[str, Sequence[Strides]], loaded: Mapping[str, Sequence[Strides]], sources: Sequence[str]
) -> Norms:
    """Means and spreads over people, each person weighing the same.

    Args:
        moving: person -> walks, for figures and angles.
        loaded: person -> walks on force plates, for moments, powers and the ground's reaction.
        sources: what these people's data are.
    """
    figures, curves = {}, {}
    for name, powers in FIGURES.items():
        figures[name] = _norm(
            [
                np.concatenate([w.figures[name] / unit(powers, w.height_m) for w in walks])
                for walks in moving.values()
            ]
        )
    for name, powers in CURVES.items():
        people = moving if name.endswith("_angle") else loaded
        curves[name] = _norm(
            [
                np.concatenate([w.curves[name] / unit(powers, w.height_m) for w in walks])
                for walks in people.values()
            ]
        )
        assert curves[name].mean.shape == (PHASES,)
    return Norms(figures, curves, tuple(sources))


def _norm(people: Sequence[F64]) -> Norm:
    """Each person's mean over strides, then mean and standard deviation over people."""
    known = [rows[np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)] for rows in people]
    means = np.array([rows.mean(axis=0) for rows in known if len(rows)])
    return Norm(means.mean(axis=0), means.std(axis=0, ddof=1), len(means))

"""The card of freshly trained weights; ``gait3d evaluate`` figures are added when a set is released."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from gait3dlib import cards
from gait3dlib.training.folder import environment

LICENCE = "Apache-2.0"
LIMITS = [
    "what it was trained on is named below; for other people, clothes and sensors nothing was measured",
    "of simulated walkers: a figure on them says nothing about people",
    "age is hardly visible in adults; its spread is wide and must be shown with it",
    "errors of outlines and keypoints in simulated data are those of one detector; another's may differ",
]
MUST_NOT = [
    "recognising people who did not agree to it",
    "surveillance, law enforcement, border control, and any decision about a person that no human checks",
    "guessing age, weight or gender to treat somebody differently",
]


def _told(value: cards.Metric | dict[str, cards.Metric]) -> cards.Metric | dict[str, cards.Metric]:
    return "not measured" if isinstance(value, float) and math.isnan(value) else value


def write_card(
    weights: Path,
    *,
    task: str,
    data: list[str],
    people: int,
    metrics: Mapping[str, cards.Metric | dict[str, cards.Metric]],
    config: str,
    commit: str | None = None,
) -> Path:
    """Write the card beside a weights file.

    Args:
        weights: the ``.safetensors`` file.
        task: what goes in and what comes out.
        data: names of data cards.
        people: how many people it was trained on.
        metrics: figures; one that is not a number could not be measured, and the card says so.
        config: the config it was trained from.
        commit: of the code; None = the checkout's.
    """
    card = cards.ModelCard(
        name=weights.stem,
        licence=LICENCE,
        people=people,
        limits=LIMITS,
        must_not_be_used_for=MUST_NOT,
        task=task,
        data=data,
        metrics={name: _told(value) for name, value in metrics.items()},
        config=config,
        commit=commit or str(environment(0)["git"]) or "not in a checkout",
        fingerprint=cards.fingerprint(weights),
    )
    path = weights.with_suffix(".md")
    cards.write(path, card, f"# {weights.stem.replace('_', ' ').capitalize()}\n\n{task}\n")
    return path

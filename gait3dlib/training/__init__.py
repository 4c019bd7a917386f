"""Training from a config: encoders one by one, then the fusion on their cached tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gait3dlib import config
from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.training.encoder import train_encoder
from gait3dlib.training.fusion import train_fusion
from gait3dlib.training.motion import train_motion

RECIPES: dict[str, Callable[..., Path]] = {
    "encoder": train_encoder,
    "fusion": train_fusion,
    "motion": train_motion,
}

__all__ = ["RECIPES", "check_config", "train", "train_encoder", "train_fusion", "train_motion"]


def train(
    path: Path | str,
    out: Path | str,
    *,
    overrides: Iterable[str] = (),
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> Path:
    """Train what a YAML config describes into the run folder ``out``; returns the weights it wrote.

    Raises:
        ConfigError: unknown keys, wrong types; before anything runs.
    """
    recipe, values = check_config(config.read(path, overrides))
    return recipe(**values, out=Path(out), resume=resume, report=report)


def check_config(values: dict[str, Any]) -> tuple[Callable[..., Path], dict[str, Any]]:
    """The recipe a config names, and its checked keywords.

    Raises:
        ConfigError: unknown keys, wrong types, or what belongs to a run and not to its config.
    """
    values = dict(values)
    name = values.pop("recipe", None)
    if name not in RECIPES:
        raise ConfigError(f"recipe: {name!r} is not a recipe{did_you_mean(str(name), RECIPES)}")
    recipe = RECIPES[name]
    for key in ("out", "resume", "report"):
        if key in values:
            raise ConfigError(f"{key}: belongs to a run, not to its config; give it to gait3d train")
    checked = config.check(recipe, {**values, "out": Path("unset")}, "")
    for key in ("out", "resume", "report"):
        checked.pop(key)
    return recipe, checked

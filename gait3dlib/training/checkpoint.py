"""Checkpoints: all that a run needs to go on as if it had never stopped, and only as the same run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gait3dlib import config
from gait3dlib.errors import ConfigError, WeightsError

# what changes no number that is trained, or only where the same inputs lie
_FREE = (
    *(f"schedule.{name}" for name in ("validate_every", "save_seconds", "log_every", "prefetch", "patience")),
    "data_cards",
    "data",
    "encoders",
    "start",
)


def save(
    path: Path, state: Mapping[str, Any], resolved: Mapping[str, Any], inputs: Mapping[str, Any]
) -> None:
    """Write a checkpoint in one go: whatever kills the process, there is a whole one."""
    partial = path.with_name(path.name + ".part")
    run = json.dumps({"config": resolved, "inputs": inputs}, sort_keys=True)
    torch.save({**state, "run": run}, partial)
    os.replace(partial, path)


def load(
    path: Path, resolved: Mapping[str, Any], inputs: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The state that :func:`save` wrote, if it is of the same run.

    Args:
        path: of the checkpoint.
        resolved: the config of this run.
        inputs: hashes of its data and weights.
        before: the config that lay in the run folder, for checkpoints that do not hold theirs.

    Raises:
        WeightsError: it is damaged, or not a checkpoint; nothing that it holds is run.
        ConfigError: it is of a run with another seed, data, learning rate or any other setting that matters.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run = json.loads(state.pop("run", "{}"))
        held = run.get("config", before or {}), run.get("inputs", {})
    except Exception as error:
        raise misfit(path) from error
    _same_run(path, held[0], resolved)
    _same_run(path, held[1], inputs)
    return dict(state)


def misfit(path: Path) -> WeightsError:
    """The error for a checkpoint that does not fit."""
    return WeightsError(
        f"{path}: does not fit this config; start afresh without --resume, or in another folder"
    )


def config_in(out: Path) -> dict[str, Any] | None:
    """The resolved config that lies in a run folder; None where there is none."""
    path = out / "config.yaml"
    if not path.is_file():
        return None
    try:
        return config.read(path)
    except ConfigError:
        return None


def _same_run(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Settings that did not exist when the checkpoint was written had their default."""
    was, is_now = _flat(before), _flat(now)
    for key in sorted(was.keys() & is_now.keys()):
        if key not in _FREE and was[key] != is_now[key]:
            raise ConfigError(
                f"{path} was written with {key} {was[key]!r}, not {is_now[key]!r}: resume with the same, "
                "or start afresh without --resume"
            )


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}.{key}" if where else str(key)
        if isinstance(value, Mapping) and value:
            found |= _flat(value, name)
        else:
            found[name] = value
    return found

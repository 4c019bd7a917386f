"""Weights on disk: one safetensors file a modality and one for the fusion, never anything that can run code.

A weights folder holds ``<modality>.safetensors`` for every modality and ``fusion.safetensors``, with a card
``.md`` beside each. The resolved config lies in the file's header, so a file says by itself how to build the
network that it fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gait3dlib import registry
from gait3dlib.config import build, check
from gait3dlib.errors import ConfigError, WeightsError, did_you_mean
from gait3dlib.fusion.model import GaitModel
from gait3dlib.fusion.transformer import Fusion
from gait3dlib.modalities import Modality

FUSION = "fusion"
_SUFFIX = ".safetensors"
_MAX_BYTES = 2 * 1024**3
_KEY = "gait3dlib"


def write(path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file."""
    from safetensors.torch import save_file

    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(held, path, metadata={_KEY: json.dumps(dict(meta), sort_keys=True)})


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a weights file.

    Raises:
        WeightsError: missing, too large, not safetensors (a pickle could run code), or not ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(
            f"{path}: no such weights file; train it with: gait3d train configs/{path.stem}.yaml"
        )
    if path.stat().st_size > _MAX_BYTES:
        raise WeightsError(f"{path}: larger than {_MAX_BYTES // 1024**2} MiB, which no model of ours is")
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file ({' '.join(str(error).split())[:120]}); "
            "pickled checkpoints can run code and are never read"
        ) from error
    if not isinstance(meta, dict):
        raise WeightsError(f"{path}: a safetensors file, but not one that gait3dlib wrote")
    return tensors, meta


def make_modality(name: str, settings: Mapping[str, Any] | None = None) -> Modality:
    """A modality by registry name and config.

    Raises:
        UnknownComponent: no such modality; says "did you mean".
    """
    modality: Modality = build(registry.get("modality", name), settings or {}, f"modalities.{name}")
    return modality


def make_fusion(settings: Mapping[str, Any]) -> Fusion:
    """The transformer from its config."""
    return build(Fusion, settings, "fusion")


def save(
    folder: Path,
    model: GaitModel,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    fusion: Mapping[str, Any],
    info: Mapping[str, Any],
) -> None:
    """Write a whole model as a weights folder.

    Args:
        settings: config of every modality.
        fusion: config of the fusion.
        info: what else belongs into the fusion's header: ``trained``, ``impostors``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in model.modalities:
        meta = {"kind": "modality", "name": name, "dim": model.fusion.dim, "config": dict(settings[name])}
        meta["trained"] = bool(info.get("trained"))
        write(folder / f"{name}{_SUFFIX}", model.encoders[name].state_dict(), meta)
    tensors = {f"fusion.{k}": v for k, v in model.fusion.state_dict().items()}
    tensors |= {f"heads.{k}": v for k, v in model.heads.state_dict().items()}
    write(folder / f"{FUSION}{_SUFFIX}", tensors, {"kind": FUSION, "config": dict(fusion), **info})


def load(folder: Path, modalities: Sequence[str]) -> tuple[GaitModel, dict[str, Any]]:
    """The model for those modalities from a weights folder, in eval mode, and the fusion's header.

    Raises:
        WeightsError: a file is missing or damaged, or its tensors do not fit its own config.
        UnknownComponent: no such modality.
    """
    settings: dict[str, Any] = {}
    states = {}
    made = {}
    for name in modalities:
        registry.get("modality", name)
        if not (folder / f"{name}{_SUFFIX}").is_file() and (have := available(folder)):
            raise WeightsError(f"no weights for {name!r} in {folder}{did_you_mean(name, have)}")
        states[name], meta = read(folder / f"{name}{_SUFFIX}")
        settings[name] = meta.get("config", {})
        made[name] = make_modality(name, settings[name])
    tensors, info = read(folder / f"{FUSION}{_SUFFIX}")
    try:
        model = GaitModel(made, make_fusion(info["config"]))
        for name in modalities:
            model.encoders[name].load_state_dict(states[name])
        model.fusion.load_state_dict(_under(tensors, "fusion."))
        model.heads.load_state_dict(_under(tensors, "heads."))
    except (RuntimeError, KeyError, ConfigError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{folder}: the tensors do not fit their own config ({reason})") from error
    info["modalities"] = settings
    return model.eval(), info


def untrained(
    modalities: Mapping[str, Mapping[str, Any]], fusion: Mapping[str, Any] | None = None
) -> GaitModel:
    """A model with fresh weights, the same for the same settings; in eval mode."""
    fusion = {"modalities": sorted(modalities), **(fusion or {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {name: make_modality(name, given) for name, given in sorted(modalities.items())}
        return GaitModel(made, make_fusion(fusion)).eval()


def available(folder: Path) -> list[str]:
    """The modalities that a weights folder has weights for."""
    return sorted(p.stem for p in folder.glob(f"*{_SUFFIX}") if p.stem != FUSION)


def fingerprint(model: GaitModel) -> str:
    """A digest of all parameters and of what interprets them; galleries are stamped with it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for name, modality in sorted(model.modalities.items()):
        digest.update(f"{name}:{sorted(vars(modality).items())}".encode())
    return digest.hexdigest()


def resolved(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A modality's config with its defaults filled in."""
    return check(registry.get("modality", name), settings, f"modalities.{name}")


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

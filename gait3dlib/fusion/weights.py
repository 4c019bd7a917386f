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
from torch import nn

from gait3dlib import registry
from gait3dlib.config import build, check
from gait3dlib.errors import ConfigError, WeightsError, did_you_mean
from gait3dlib.fusion.kinds._base import FusionKind
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Modality

FUSION = "fusion"
TRANSFORMER = "transformer"
SUFFIX = ".safetensors"
_MAX_BYTES = 2 * 1024**3
_KEY = "gait3dlib"
SCALE = "@scale"  # after the name of a tensor in eight bits: what its rows are multiplied by


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
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file ({' '.join(str(error).split())[:120]}); "
            "pickled checkpoints can run code and are never read"
        ) from error
    if not isinstance(meta, dict):
        raise WeightsError(f"{path}: a safetensors file, but not one that gait3dlib wrote")
    return _whole(tensors, path), meta


def load_encoder(encoder: nn.Module, path: Path, settings: Mapping[str, Any]) -> None:
    """Put the weights of a file into an encoder that was built with ``settings``.

    An encoder may ``adopt(name, tensors)`` what it can use of another modality's.

    Raises:
        WeightsError: not a weights file, or of an encoder with other settings.
    """
    tensors, meta = read(path)
    made = meta.get("config")
    adopt = getattr(encoder, "adopt", None)
    if callable(adopt) and adopt(str(meta.get("name")), tensors):
        return
    # settings that did not exist when it was made had no other value than their default
    if not isinstance(made, dict) or resolved(str(meta.get("name")), made) != dict(settings):
        raise WeightsError(f"{path}: made with {meta.get('config')}, not with {dict(settings)}")
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{path}: does not fit this encoder ({' '.join(str(error).split())[:200]})"
        ) from error


def make_modality(name: str, settings: Mapping[str, Any] | None = None) -> Modality:
    """A modality by registry name and config.

    Raises:
        UnknownComponent: no such modality; says "did you mean".
    """
    modality: Modality = build(registry.get("modality", name), settings or {}, f"modalities.{name}")
    return modality


def make_fusion(settings: Mapping[str, Any]) -> FusionKind:
    """The fusion from its config: the kind it names, the transformer by default.

    Raises:
        UnknownComponent: no such kind; says "did you mean".
        ConfigError: settings that the kind does not have.
    """
    kind, given = _kind(settings)
    made: FusionKind = build(kind, given, "fusion")
    return made


def resolved_fusion(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A fusion's config with its defaults filled in."""
    kind, given = _kind(settings)
    return {"kind": settings.get("kind", TRANSFORMER), **check(kind, given, "fusion")}


def _kind(settings: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"fusion: must be a mapping of settings, not {type(settings).__name__}")
    given = dict(settings)
    return registry.get("fusion", str(given.pop("kind", TRANSFORMER))), given


def sized(modalities: Mapping[str, Mapping[str, Any]], fusion: Mapping[str, Any]) -> dict[str, Any]:
    """A fusion's config, with the number of ``tokens`` of each modality where its kind wants to know it.

    They are counted by the heights that each encoder holds for its tokens; what the config says goes first.
    """
    shape = resolved_fusion(fusion)
    if "tokens" not in shape:
        return dict(fusion)
    counts = dict(shape["tokens"] or {})
    with torch.random.fork_rng(devices=[]):
        for name in sorted(set(modalities) - set(counts)):
            held = make_modality(name, modalities[name]).encoder(shape["dim"]).named_buffers()
            # an encoder with tokens of several kinds holds the heights of each kind and those of all
            heights = [len(b) for key, b in held if key.split(".")[-1] in ("height", "heights") and b.ndim]
            if heights:
                counts[name] = max(heights)
    return {**fusion, "tokens": counts}


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
    belongs = {name: digest(model.encoders[name].state_dict()) for name in model.modalities}
    for name in model.modalities:
        meta = {"kind": "modality", "name": name, "dim": model.fusion.dim, "config": dict(settings[name])}
        meta["trained"] = bool(info.get("trained"))
        write(folder / f"{name}{SUFFIX}", model.encoders[name].state_dict(), meta)
    tensors = {f"fusion.{k}": v for k, v in model.fusion.state_dict().items()}
    tensors |= {f"heads.{k}": v for k, v in model.heads.state_dict().items()}
    meta = {"kind": FUSION, "config": dict(fusion), **info, "encoders": belongs}
    write(folder / f"{FUSION}{SUFFIX}", tensors, meta)


def load(folder: Path, modalities: Sequence[str]) -> tuple[GaitModel, dict[str, Any]]:
    """The model for those modalities from a weights folder, in eval mode, and the fusion's header.

    Raises:
        WeightsError: a file is missing or damaged, its tensors do not fit its own config, or it is the
            encoder of another fusion.
        UnknownComponent: no such modality.
    """
    for name in modalities:
        registry.get("modality", name)
        if not (folder / f"{name}{SUFFIX}").is_file() and (have := available(folder)):
            raise WeightsError(f"no weights for {name!r} in {folder}{did_you_mean(name, have)}")
    state, info = read(folder / f"{FUSION}{SUFFIX}")
    settings: dict[str, Any] = {}
    for name in modalities:
        tensors, meta = read(folder / f"{name}{SUFFIX}")
        if (meta.get("kind"), meta.get("name")) != ("modality", name):
            raise WeightsError(f"{folder / name}{SUFFIX}: holds no weights for {name!r}; was it renamed?")
        belongs = info.get("encoders")
        if isinstance(belongs, dict) and belongs.get(name) != digest(tensors):
            raise WeightsError(
                f"{folder}: the fusion was trained with another {name!r} encoder than the one beside it; "
                "keep the files of one training together"
            )
        settings[name] = meta.get("config")
        state |= {f"encoders.{name}.{k}": v for k, v in tensors.items()}
    info["modalities"] = settings
    try:
        return _filled(settings, info.get("config"), state), info
    except (RuntimeError, ConfigError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{folder}: the tensors do not fit their own config ({reason})") from error


def _whole(tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Tensors in eight bits as float32 again.

    Raises:
        WeightsError: a scale without its rows.
    """
    out = {key: value for key, value in tensors.items() if not key.endswith(SCALE)}
    for key, scale in tensors.items():
        if not key.endswith(SCALE):
            continue
        of = out.get(key.removesuffix(SCALE))
        if of is None or of.dtype != torch.int8 or not scale.ndim or scale.shape != of.shape[: scale.ndim]:
            raise WeightsError(f"{path}: the scale {key!r} fits no tensor; the file is damaged")
        out[key.removesuffix(SCALE)] = of.float() * scale.float().view(
            *scale.shape, *[1] * (of.ndim - scale.ndim)
        )
    return out


def untrained(
    modalities: Mapping[str, Mapping[str, Any]], fusion: Mapping[str, Any] | None = None, seed: int = 0
) -> GaitModel:
    """A model with fresh weights, the same for the same settings and seed; in eval mode."""
    fusion = sized(modalities, {"modalities": sorted(modalities), **(fusion or {})})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {name: make_modality(name, given) for name, given in sorted(modalities.items())}
        return GaitModel(made, make_fusion(fusion)).eval()


def available(folder: Path) -> list[str]:
    """The modalities that a weights folder has weights for."""
    return sorted(p.stem for p in folder.glob(f"*{SUFFIX}") if p.stem != FUSION)


def fingerprint(model: GaitModel) -> str:
    """A digest of all parameters and of what interprets them; galleries are stamped with it."""
    made = _hashed(model.state_dict())
    made.update(f"heads:{model.fusion.heads} tasks:{model.fusion.tasks}".encode())
    for name, modality in sorted(model.modalities.items()):
        made.update(f"{name}:{sorted(vars(modality).items())}".encode())
    return made.hexdigest()


def resolved(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A modality's config with its defaults filled in."""
    return check(registry.get("modality", name), settings, f"modalities.{name}")


def _filled(settings: Mapping[str, Any], fusion: Any, state: Mapping[str, torch.Tensor]) -> GaitModel:
    """The model of those configs with those tensors, in eval mode."""

    def build_model() -> GaitModel:
        return GaitModel({n: make_modality(n, given) for n, given in settings.items()}, make_fusion(fusion))

    damaged = sorted(k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all())
    if damaged:
        raise ConfigError(f"{damaged[0]} holds NaN or infinity")
    held = wanted = {k: list(v.shape) for k, v in state.items()}
    # sketched without memory first: a header could ask for any amount of it
    try:
        with torch.device("meta"):
            wanted = {k: list(v.shape) for k, v in build_model().state_dict().items()}
    except RuntimeError as error:
        if "meta" not in str(error):  # else a plugin's network that looks at numbers while it is built
            raise
    for name in sorted(wanted.keys() | held.keys()):
        if wanted.get(name) != held.get(name):
            raise ConfigError(f"{name} should be {wanted.get(name)} and is {held.get(name)}")
    model = build_model()
    model.load_state_dict(state)
    return model.eval()


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """What tells these tensors from any others."""
    return _hashed(state).hexdigest()


def _hashed(state: Mapping[str, torch.Tensor]) -> hashlib._Hash:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest

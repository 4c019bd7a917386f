"""Weights in eight bits a number, for release: a quarter as large, and nearly the same tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gait3dlib.data.recordings import WalkSet
from gait3dlib.data.tokens import encode_walks
from gait3dlib.fusion.weights import (
    FUSION,
    SCALE,
    SUFFIX,
    available,
    digest,
    load_encoder,
    make_modality,
    read,
    resolved,
    write,
)

LARGE, FEW = 4_000, 32  # numbers of a tensor; rows of a matrix
WATCHED = 256  # walks by which the mean of the tokens is compared


def shrink(source: Path, target: Path, walks: WalkSet) -> None:
    """Write a weights folder again with its matrices in eight bits; the fusion knows the new encoders.

    Each row of a matrix is stored as whole numbers up to 127 and a scale, so a number moves by at most 0.4 %
    of its row's largest. A stack of matrices has a scale for each row of each; few rows are kept in half
    precision, and tensors of fewer than 4,000 numbers, such as norms, stay as they are. Rounding moves the
    mean of the tokens, by much where features share a large mean; that is taken back on some walks (bias
    correction: Nagel et al., ICCV 2019). Loading computes in float32 again.

    Args:
        source: a weights folder.
        target: where to write; made if need be.
        walks: any that show every modality, not those of the test.

    Raises:
        WeightsError: ``source`` is no weights folder.
        NoEvidence: no walk shows a modality.
    """
    target.mkdir(parents=True, exist_ok=True)
    belongs: dict[str, str] = {}
    for name in [*available(source), FUSION]:
        tensors, meta = read(source / f"{name}{SUFFIX}")
        small = _small(tensors)
        if name == FUSION:
            meta["encoders"] = {known: belongs[known] for known in meta.get("encoders", {})}
        path = target / f"{name}{SUFFIX}"
        write(path, small, meta)
        if name != FUSION:
            write(path, small | _corrected(meta, source / path.name, path, walks, small), meta)
            belongs[name] = digest(read(path)[0])


def _small(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices in eight bits beside their scales, the rest as it is."""
    small: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        stacked = 2 if value.ndim == 3 and len(value) < FEW else 1
        if not value.is_floating_point() or value.ndim < 2 or value.numel() < LARGE:
            small[key] = value
        elif value.shape[:stacked].numel() < FEW:
            small[key] = value.half()
        else:
            small[key], small[f"{key}{SCALE}"] = _eight_bits(value, stacked)
    return small


def _eight_bits(value: torch.Tensor, axes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 of the shape of ``value``, and a scale for each row, which the first ``axes`` count."""
    rows = value.float().flatten(axes)
    scale = rows.abs().amax(dim=-1).clamp(min=1e-12) / 127
    return (rows / scale[..., None]).round().to(torch.int8).view(value.shape), scale


def _corrected(
    meta: Mapping[str, Any], before: Path, after: Path, walks: WalkSet, small: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """What of ``small`` is stored as it is, such that tokens have the mean which they had before."""
    name, settings = meta["name"], resolved(meta["name"], meta["config"])
    modality = make_modality(name, settings)
    samples = [sample for sample in walks.prepare(name, settings) if sample is not None]
    seen = [samples[i] for i in np.linspace(0, len(samples) - 1, min(WATCHED, len(samples))).astype(int)]
    means = []
    for path in (before, after):
        encoder = modality.encoder(meta["dim"])
        load_encoder(encoder, path, settings)
        means.append(encode_walks(encoder, modality, seen).values.mean(dim=0).flatten())
    absorb = getattr(encoder, "absorb", None)
    if not callable(absorb):
        return {}
    moved = nn.BatchNorm1d(len(means[0]), eps=0.0)
    moved.running_mean = means[1] - means[0]
    absorb(moved)
    state = encoder.state_dict()
    return {
        key: state[key] for key, value in small.items() if key in state and value.dtype == state[key].dtype
    }

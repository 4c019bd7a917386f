"""Encode many walks once; every subset of modalities is then fused from the same tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from gait3dlib.errors import NoEvidence
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Modality, Sample
from gait3dlib.types import Outputs, Tokens


@torch.inference_mode()
def encode_walks(
    encoder: nn.Module,
    modality: Modality,
    samples: Sequence[Sample | None],
    *,
    chunk: int = 32,
    device: torch.device | str = "cpu",
) -> Tokens:
    """The tokens of every walk, all its frames, on the CPU; ``real`` is False where the modality is absent.

    Raises:
        NoEvidence: no walk has the modality.
    """
    known = next((s for s in samples if s is not None), None)
    if known is None:
        raise NoEvidence(f"no walk has what the {type(modality).__name__} modality reads")
    encoder.eval()
    parts = []
    for start in range(0, len(samples), chunk):
        rows = samples[start : start + chunk]
        # a chunk in which nobody has the modality still needs a shape: a sample that is cut off again
        batch = modality.collate([*rows, known] if not any(rows) else rows).to(device)
        parts.append(_first(encoder(batch), len(rows), absent=not any(rows)))
    return Tokens(
        torch.cat([p.values for p in parts]),
        torch.cat([p.real for p in parts]),
        parts[0].height,
        torch.cat([p.t_s for p in parts]),
    )


@torch.inference_mode()
def fuse_walks(model: GaitModel, tokens: Mapping[str, Tokens], *, chunk: int = 512) -> Outputs:
    """Outputs of every walk from tokens on the CPU, in chunks."""
    model.eval()
    device = next(model.parameters()).device
    count = len(next(iter(tokens.values())).real)
    parts = []
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        some = {
            name: Tokens(*(x.to(device) for x in (t.values[rows], t.real[rows], t.height, t.t_s[rows])))
            for name, t in tokens.items()
        }
        parts.append(model.fuse(some))
    return Outputs(
        embedding=torch.cat([p.embedding.float().cpu() for p in parts]),
        age_years=_join([p.age_years for p in parts]),
        bmi_kg_m2=_join([p.bmi_kg_m2 for p in parts]),
        gender_logits=_join([p.gender_logits for p in parts]),
        weights=_join([p.weights for p in parts]),
    )


def _first(tokens: Tokens, count: int, *, absent: bool) -> Tokens:
    real = tokens.real[:count].cpu()
    return Tokens(
        tokens.values[:count].float().cpu(),
        torch.zeros_like(real) if absent else real,
        tokens.height.cpu(),
        tokens.t_s[:count].cpu(),
    )


def _join(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    held = [p.float().cpu() for p in parts if p is not None]
    return torch.cat(held) if held else None

"""Encode many walks once; every subset of modalities is then fused from the same tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from gait3dlib.errors import NoEvidence
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Batch, Modality, Sample
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
    encoder.eval()
    starts = range(0, max(len(samples), 1), chunk)
    parts = [encode_batch(encoder, modality, samples[i : i + chunk], samples, device=device) for i in starts]
    return join_tokens(parts)


@torch.inference_mode()
def encode_batch(
    encoder: nn.Module,
    modality: Modality,
    rows: Sequence[Sample | None],
    samples: Sequence[Sample | None],
    change: Callable[[torch.Tensor], torch.Tensor] = lambda frames: frames,
    device: torch.device | str = "cpu",
) -> Tokens:
    """The tokens of some walks, on the CPU; ``real`` is False where the modality is absent.

    Args:
        encoder: in the mode it should work in.
        modality: of the encoder.
        rows: the walks to encode.
        samples: all walks: where no row has the modality, one of them lends its shape.
        change: what is done to the frames first, such as augmentation.
        device: where the encoder is.

    Raises:
        NoEvidence: no walk at all has the modality.
    """
    lender = next((s for s in (*rows, *samples) if s is not None), None)
    if lender is None:
        name = type(modality).__name__
        raise NoEvidence(f"no walk has what the {name} modality reads; leave it out of the modalities")
    absent = not any(rows)
    batch = modality.collate([*rows, lender] if absent else rows)
    tokens: Tokens = encoder(Batch(change(batch.frames), batch.lengths, batch.t_s).to(device))
    values, real, t_s = (x[: len(rows)].cpu() for x in (tokens.values.float(), tokens.real, tokens.t_s))
    return Tokens(values, torch.zeros_like(real) if absent else real, tokens.height.cpu(), t_s)


def join_tokens(parts: Sequence[Tokens]) -> Tokens:
    """The tokens of several batches, one after the other."""
    values, real, t_s = (torch.cat([getattr(p, name) for p in parts]) for name in ("values", "real", "t_s"))
    return Tokens(values, real, parts[0].height, t_s)


@torch.inference_mode()
def fuse_walks(model: GaitModel, tokens: Mapping[str, Tokens], *, chunk: int = 512) -> Outputs:
    """Outputs of every walk from tokens on the CPU, in chunks; NaN for a walk without evidence.

    Raises:
        NoEvidence: no walk has any.
    """
    model.eval()
    device = next(model.fusion.parameters()).device
    seen = torch.stack([t.real.any(dim=1) for t in tokens.values()]).any(dim=0)
    if not seen.any():
        raise NoEvidence(f"no walk has a stream that {' or '.join(sorted(tokens))} can read")
    parts, some_evidence = [], seen.nonzero()[:, 0]
    for start in range(0, len(some_evidence), chunk):
        rows = some_evidence[start : start + chunk]
        some = {
            name: Tokens(*(x.to(device) for x in (t.values[rows], t.real[rows], t.height, t.t_s[rows])))
            for name, t in tokens.items()
        }
        parts.append(model.fuse(some))
    fields = {name: _join([getattr(p, name) for p in parts], seen) for name in vars(parts[0])}
    return Outputs(**fields)  # type: ignore[arg-type] # an embedding is always there


def _join(parts: Sequence[torch.Tensor | None], seen: torch.Tensor) -> torch.Tensor | None:
    held = [p.float().cpu() for p in parts if p is not None]
    if not held:
        return None
    rows = torch.cat(held)
    return rows.new_full((len(seen), *rows.shape[1:]), torch.nan).masked_scatter_(
        seen.view(-1, *[1] * (rows.ndim - 1)), rows
    )

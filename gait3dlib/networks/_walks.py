"""Walks of different length as one run of frames, so that no layer ever sees padding.

Layers that look at single frames get the frames that exist, end to end. Layers that look along time get one
blank frame more between two walks: kept at zero, it is the zero padding that each walk would have alone.
Walks of one length need neither; they fold into a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast

import torch
from torch import nn

from gait3dlib.errors import InputError

Lengths = torch.Tensor | Sequence[int] | None
Size = tuple[int, int]


@dataclass(frozen=True)
class Run:
    """The frames of several walks.

    frames ``[runs * t, c, h, w]``: ``runs`` equally long stretches of time, one a walk when all walks are
    equally long, else a single one that holds all walks; keep ``[t]``, 1 for a frame and 0 for a gap, or
    None where there is no gap; spans: where each walk lies in its run.
    """

    frames: torch.Tensor
    runs: int
    keep: torch.Tensor | None
    spans: tuple[tuple[int, int], ...]

    def most(self, features: torch.Tensor) -> torch.Tensor:
        """The maximum over the frames of each walk: ``[runs * t, ...]`` -> ``[walks, ...]``."""
        if self.runs == len(self.spans):
            return _most(features, self.runs)
        return torch.stack([features[start:stop].amax(dim=0) for start, stop in self.spans])


def _most(features: torch.Tensor, runs: int) -> torch.Tensor:
    """The maximum over equal runs, read and differentiated in the order in which maps lie in memory."""
    if not features.requires_grad:
        return torch.unflatten(features, 0, (runs, -1)).amax(dim=1)
    last = features.ndim == 4 and features.is_contiguous(memory_format=torch.channels_last)
    lies = features.permute(0, 2, 3, 1) if last else features
    most: torch.Tensor = cast(Any, _Most).apply(lies.reshape(runs, len(features) // runs, -1))
    most = most.view(runs, *lies.shape[1:])
    return most.permute(0, 3, 1, 2) if last else most


class _Most(torch.autograd.Function):
    """``amax`` over axis 1 of three: equal frames share the gradient, as they do there."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        most = x.amax(dim=1)
        ctx.save_for_backward(x, most)
        return most

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        x, most = ctx.saved_tensors
        reached = torch.eq(x, most[:, None]).to(x.dtype)
        share = gradient / reached.sum(dim=1)
        return reached.mul_(share[:, None])


def walk_lengths(x: torch.Tensor, lengths: Lengths) -> list[int]:
    """The number of frames of each walk of a batch ``[n, s, ...]``, checked.

    Raises:
        InputError: no walk, a walk without a frame or with more than the batch holds, or not one length each.
    """
    if not len(x):
        raise InputError("the batch holds no walk; give at least one")
    if lengths is None:
        held = [x.shape[1]] * len(x)
    else:
        raw = lengths.tolist() if isinstance(lengths, torch.Tensor) else list(lengths)
        if not isinstance(raw, list) or not all(isinstance(n, Integral) for n in raw) or len(raw) != len(x):
            raise InputError(f"lengths must be {len(x)} whole numbers, one a walk, not {raw}")
        held = [int(n) for n in raw]
    for index, length in enumerate(held):
        if length < 1:
            raise InputError(f"walk {index} has no frame; leave it out of the batch")
        if length > x.shape[1]:
            raise InputError(
                f"walk {index} is said to have {length} frames, but the batch holds {x.shape[1]}"
            )
    return held


def check_images(x: torch.Tensor, name: str, channels: int, sizes: Sequence[Size]) -> None:
    """Check that a batch is ``[n, s, c, h, w]`` of floating point, of a size that the network reads.

    Raises:
        InputError: one sentence that says what to change.
    """
    if x.ndim != 5 or not x.is_floating_point():
        raise InputError(
            f"{name} reads floating point [walks, frames, {channels}, h, w] in 0..1, "
            f"not {x.dtype} {list(x.shape)}; 8-bit images are divided by 255"
        )
    if x.shape[2] != channels:
        raise InputError(
            f"{name} reads {channels} channels a frame, not {x.shape[2]} (batch {list(x.shape)})"
        )
    h, w = x.shape[3:]
    if (h, w) not in sizes:
        known = " or ".join(f"{rows} x {columns}" for rows, columns in sizes)
        remedy = ""
        if any(rows == h and columns < w for rows, columns in sizes):
            remedy = f"; cut {(w - next(c for r, c in sizes if r == h)) / 2:g} columns off each side"
        elif any(rows == h and columns > w for rows, columns in sizes):
            remedy = "; do not cut off its sides"
        raise InputError(f"{name} reads frames of {known} pixels, not {h} x {w}{remedy}")


def end_to_end(x: torch.Tensor, lengths: Sequence[int], *, gap: int = 0, multiple: int = 1) -> Run:
    """The frames of a batch ``[n, s, c, h, w]`` of those lengths, without its padding.

    Args:
        x: the batch; what lies past a length is not read.
        lengths: frames of each walk, at least 1.
        gap: blank frames between two walks of different length, at least; layers that look ``k`` frames
            ahead or back need ``k`` of them.
        multiple: every walk starts at a multiple of this.

    Raises:
        InputError: a value lies outside 0..1 or is NaN.
    """
    if len(set(lengths)) == 1:
        frames = x[:, : lengths[0]].flatten(0, 1)
        spans = tuple((i * lengths[0], (i + 1) * lengths[0]) for i in range(len(lengths)))
        run = Run(_channels_last(frames), len(lengths), None, spans)
    else:
        run = _ragged(x, lengths, gap, multiple)
    low, high = (float(value) for value in run.frames.detach().aminmax())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(
            f"images must lie in 0..1, not in {low:g}..{high:g}; 8-bit images are divided by 255"
        )
    return run


_TOLERANCE = 1e-3  # what resizing may overshoot by


def _ragged(x: torch.Tensor, lengths: Sequence[int], gap: int, multiple: int) -> Run:
    spans, start = [], 0
    for length in lengths:
        spans.append((start, start + length))
        start += -(-(length + gap) // multiple) * multiple
    total = start - gap if multiple == 1 else start
    if not gap and multiple == 1:
        frames = torch.cat([walk[:length] for walk, length in zip(x, lengths, strict=True)])
        return Run(_channels_last(frames), 1, None, tuple(spans))
    frames, keep = x.new_zeros(total, *x.shape[2:]), x.new_zeros(total)
    for walk, length, (first, stop) in zip(x, lengths, spans, strict=True):
        frames[first:stop] = walk[:length]
        keep[first:stop] = 1
    return Run(_channels_last(frames), 1, keep, tuple(spans))


def _channels_last(frames: torch.Tensor) -> torch.Tensor:
    n, c, h, w = frames.shape
    if c > 1:
        return frames.contiguous(memory_format=torch.channels_last)
    # pictures of one channel lie alike either way, so torch would take them, and every map that is made of
    # them, for channels first; these strides say channels last
    return frames.reshape(n, h, w, 1).permute(0, 3, 1, 2)


def blank(x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """Zero in the gaps: ``[t, c, h, w]`` or ``[1, c, t, h, w]``, as a layer along time must find them."""
    if keep is None:
        return x
    return x * (keep.view(-1, 1, 1, 1) if x.ndim == 4 else keep.view(1, 1, -1, 1, 1))


def normed(norm: nn.Module, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """A batch norm of frames or of one volume; in training the gaps count for nothing in its statistics."""
    if keep is None or not norm.training:
        out: torch.Tensor = norm(x)
        return out
    real = keep > 0
    out = torch.zeros_like(x)
    if x.ndim == 4:
        out[real] = norm(x[real])
    else:
        out[:, :, real] = norm(x[:, :, real])
    return out

"""The cosines of every part with every class, whose gradient passes over the classes as seldom as can be."""

from __future__ import annotations

from typing import Any, cast

import torch

_SHORTEST = 1e-12  # a class of length 0 has no direction


def part_cosines(feature: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """``feature[n, :, p] . classes[p, :, k] / |classes[p, :, k]|``; also under autocast in full precision.

    Thousands of classes are more numbers than a whole trunk: one pass over them costs as much as a
    convolution, and automatic differentiation of a length alone takes four. Hence a gradient by hand.

    Args:
        feature: ``[n, c, parts]``, of unit length.
        classes: ``[parts, c, k]``, of any length.

    Returns:
        ``[n, k, parts]``.
    """
    out: torch.Tensor = cast(Any, _Cosines).apply(feature.permute(2, 0, 1), classes)
    return out.permute(1, 2, 0)


class _Cosines(torch.autograd.Function):
    """``[p, n, c]`` and ``[p, c, k]`` -> ``[p, n, k]``."""

    @staticmethod
    def forward(ctx: Any, feature: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        with torch.autocast(feature.device.type, enabled=False):
            feature = feature.to(classes.dtype)
            lengths = _lengths(classes).clamp_min_(_SHORTEST)
            cosines = torch.bmm(feature, classes).div_(lengths)
        ctx.save_for_backward(feature, classes, lengths, cosines)
        return cosines

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        feature, classes, lengths, cosines = ctx.saved_tensors
        scaled = gradient / lengths
        of_feature = of_classes = None
        if ctx.needs_input_grad[0]:
            of_feature = torch.bmm(scaled, classes.mT)
        if ctx.needs_input_grad[1]:
            # of a unit vector: what lies along it is taken away
            along = (scaled * cosines).sum(dim=1, keepdim=True).div_(lengths)
            along.masked_fill_(lengths <= _SHORTEST, 0)
            of_classes = torch.bmm(feature.mT, scaled).addcmul_(classes, along, value=-1)
        return of_feature, of_classes


def _lengths(classes: torch.Tensor) -> torch.Tensor:
    """``[p, c, k]`` -> ``[p, 1, k]``; part by part, so that the squares stay in the cache."""
    return torch.stack([part.square().sum(dim=0, keepdim=True) for part in classes]).sqrt_()

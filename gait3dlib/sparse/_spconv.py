"""The spconv backend (Yan et al., SECOND, Sensors 2018): its own rule-books and products, our weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch

from gait3dlib._optional import require
from gait3dlib.errors import InputError
from gait3dlib.sparse._sites import Sites, linear_keys

MAX_AXES = 4
INT32 = 2**31


@dataclass(frozen=True, eq=False)
class Pairs:
    """What spconv worked out for a set of cells: its pairs, and how its order of output cells is ours."""

    sites: Sites  # of the output, in our order
    pairs: torch.Tensor
    numbers: torch.Tensor
    order: torch.Tensor | None  # rows of spconv's output in our order; None = the same


@cache
def load() -> ModuleType:
    """spconv's operations, ready for a machine without CUDA.

    Raises:
        MissingDependency: spconv is not installed.
    """
    require("spconv.pytorch")
    ops = require("spconv.pytorch.ops")
    if not torch.cuda.is_available():
        # backward asks for CUDA's stream even where all tensors lie on the CPU
        ops.get_current_stream = lambda: 0  # type: ignore[attr-defined]
    return ops


def convolve(
    features: torch.Tensor,
    weight: torch.Tensor,
    sites: Sites,
    kernel: tuple[int, ...],
    stride: tuple[int, ...] | None,
    padding: tuple[int, ...],
) -> tuple[torch.Tensor, Sites]:
    """A convolution by spconv, and its output cells in our order; ``stride`` None = submanifold.

    Raises:
        InputError: more axes or cells than spconv can number.
    """
    key = ("spconv", kernel, stride, padding)
    if key not in sites.books:
        sites.books[key] = _pairs(sites, kernel, stride, padding)
    held: Pairs = sites.books[key]
    functional: Any = require("spconv.pytorch.functional")
    run = functional.indice_subm_conv if stride is None else functional.indice_conv
    # ours is [weights, inputs, outputs]; theirs [outputs, *kernel, inputs]
    filters = weight.permute(2, 0, 1).reshape(weight.shape[2], *kernel, weight.shape[1]).contiguous()
    out: torch.Tensor = run(
        features.contiguous(), filters, held.pairs, held.numbers, len(held.sites), _algorithm()
    )
    return (out if held.order is None else out.index_select(0, held.order)), held.sites


def _algorithm() -> Any:
    return require("spconv.core").ConvAlgo.Native  # the only one that a CPU has


def _pairs(
    sites: Sites, kernel: tuple[int, ...], stride: tuple[int, ...] | None, padding: tuple[int, ...]
) -> Pairs:
    ops, axes = load(), len(kernel)
    if axes > MAX_AXES or math.prod(sites.shape) * sites.walks >= INT32:
        raise InputError(
            f"spconv numbers at most {MAX_AXES} axes and 2**31 cells, not {sites.walks} grids of "
            f"{list(sites.shape)}; use the torch backend"
        )
    ones = [1] * axes
    found, pairs, numbers = ops.get_indice_pairs(
        sites.coords.int().contiguous(),  # what is not contiguous gives wrong numbers silently
        sites.walks,
        list(sites.shape),
        _algorithm(),
        list(kernel),
        ones if stride is None else list(stride),
        list(padding),
        ones,
        [0] * axes,
        subm=stride is None,
    )
    if stride is None:
        return Pairs(sites, pairs, numbers, None)
    shape = tuple(
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(sites.shape, kernel, stride, padding, strict=True)
    )
    coords = found.long()
    order = linear_keys(coords, shape, (0,) * axes, sites.walks).argsort()
    return Pairs(Sites(coords[order], shape, sites.walks), pairs, numbers, order)

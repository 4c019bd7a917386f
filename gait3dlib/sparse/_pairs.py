"""The rule-book: for every weight of a kernel, which active cell it takes from and which it adds to.

Sort the cells' places in the grid, look every neighbour's place up by bisection: no hash table, no dense
grid, the same on every device. Rule-books are kept with the cells, so the layers of one resolution share one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gait3dlib.sparse._sites import Sites, linear_keys


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Which input cell meets which output cell, weight by weight of the kernel (last axis fastest).

    sources, targets: one int64 ``[pairs]`` a weight, both without repeats; None = every cell meets itself.
    """

    sites: Sites  # of the output
    sources: tuple[torch.Tensor | None, ...]
    targets: tuple[torch.Tensor | None, ...]

    @property
    def pairs(self) -> int:
        """Products of a row and a matrix that a layer makes with it."""
        return sum(len(self.sites) if index is None else len(index) for index in self.targets)


def submanifold_book(sites: Sites, kernel: tuple[int, ...]) -> Rulebook:
    """The rule-book of an odd kernel whose output cells are its input cells."""
    key = ("submanifold", kernel)
    if key not in sites.books:
        sites.books[key] = _submanifold(sites, kernel)
    book: Rulebook = sites.books[key]
    return book


def strided_book(
    sites: Sites, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
) -> Rulebook:
    """The rule-book of a kernel whose output cells are all that see an active input cell."""
    key = ("strided", kernel, stride, padding)
    if key not in sites.books:
        sites.books[key] = _strided(sites, kernel, stride, padding)
    book: Rulebook = sites.books[key]
    return book


def strided_shape(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> tuple[int, ...]:
    """Cells along every axis after a strided convolution, as a dense one counts them."""
    return tuple(
        max((n + 2 * p - k) // s + 1, 0) for n, k, s, p in zip(shape, kernel, stride, padding, strict=True)
    )


def _submanifold(sites: Sites, kernel: tuple[int, ...]) -> Rulebook:
    halo = tuple(size // 2 for size in kernel)
    keys = linear_keys(sites.coords, sites.shape, halo, sites.walks)
    steps = _steps(kernel, halo, sites)
    half = len(steps) // 2
    # half of the neighbours do: who is on my left has me on the right
    wanted = keys[None, :] + steps[:half, None]
    place = torch.searchsorted(keys, wanted).clamp_(max=max(len(keys) - 1, 0))
    found = keys[place] == wanted if len(keys) else torch.zeros_like(wanted, dtype=torch.bool)
    weight, target = found.nonzero(as_tuple=True)
    sizes = torch.bincount(weight, minlength=half).tolist()
    source = place[weight, target]
    before, after = torch.split(source, sizes), torch.split(target, sizes)
    return Rulebook(sites, (*before, None, *after[::-1]), (*after, None, *before[::-1]))


def _steps(kernel: tuple[int, ...], halo: tuple[int, ...], sites: Sites) -> torch.Tensor:
    """How far every weight's neighbour lies from the middle, in places: int64 ``[weights]``."""
    offsets = itertools.product(*(range(-edge, edge + 1) for edge in halo))
    places = []
    for offset in offsets:
        place = 0
        for size, edge, step in zip(sites.shape, halo, offset, strict=True):
            place = place * (size + 2 * edge) + step
        places.append(place)
    return torch.tensor(places, dtype=torch.int64, device=sites.coords.device)


def _strided(
    sites: Sites, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
) -> Rulebook:
    device = sites.coords.device
    shape = strided_shape(sites.shape, kernel, stride, padding)
    weights = torch.tensor(list(itertools.product(*(range(size) for size in kernel))), device=device)
    step, edge = torch.tensor(stride, device=device), torch.tensor(padding, device=device)
    # an output cell o takes its weight k from the input cell o * stride - padding + k
    ahead = sites.coords[None, :, 1:] + edge - weights[:, None, :]
    cell = torch.div(ahead, step, rounding_mode="floor")
    inside = (cell >= 0) & (cell < torch.tensor(shape, device=device)) & (cell * step == ahead)
    weight, source = inside.all(dim=2).nonzero(as_tuple=True)
    coords = torch.cat([sites.coords[source, :1], cell[weight, source]], dim=1)
    out, target = Sites.of(coords, shape, sites.walks)
    sizes = torch.bincount(weight, minlength=len(weights)).tolist()
    return Rulebook(out, torch.split(source, sizes), torch.split(target, sizes))

"""Active cells of a grid, sorted and each once; and features on them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from gait3dlib.errors import InputError
from gait3dlib.sparse._pooling import pool

MAX_CELLS = 2**62  # a cell's place in the grid must be an int64


@dataclass(frozen=True, eq=False)
class Sites:
    """The active cells of a batch of grids: sorted by walk, then by axis, each once.

    Made by :meth:`of`. Rule-books of the layers that work on these cells are kept in ``books``.

    coords int64 ``[n, 1 + axes]``: the walk, then one number an axis; shape: cells along every axis; walks:
    how many grids the batch has.
    """

    coords: torch.Tensor
    shape: tuple[int, ...]
    walks: int
    books: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, coords: torch.Tensor, shape: Sequence[int], walks: int | None = None
    ) -> tuple[Sites, torch.Tensor]:
        """Sort coordinates, each once; and which cell ``[n]`` every row of ``coords`` became.

        Args:
            coords: int64 or int32 ``[n, 1 + axes]``.
            shape: cells along every axis.
            walks: grids of the batch, None = as many as the coordinates name.

        Raises:
            InputError: coordinates of the wrong type or shape, outside of the grid, or a grid of more than
                2**62 cells.
        """
        shape = tuple(int(size) for size in shape)
        if coords.ndim != 2 or coords.shape[1] != 1 + len(shape) or not shape:
            raise InputError(
                f"coordinates must be [n, {1 + len(shape)}], the walk and one number an axis of "
                f"{list(shape)}, not {list(coords.shape)}"
            )
        if coords.dtype not in (torch.int32, torch.int64):
            raise InputError(f"coordinates must be whole numbers, int32 or int64, not {coords.dtype}")
        held = coords.long()
        if walks is None:
            walks = int(held[:, 0].max()) + 1 if len(held) else 0
        if len(held):
            limit = torch.tensor((walks, *shape), device=held.device)
            if ((held < 0) | (held >= limit)).any():
                raise InputError(
                    f"coordinates lie outside of {walks} walks and a grid of {list(shape)}; "
                    "leave such points out"
                )
        keys = linear_keys(held, shape, (0,) * len(shape), walks)
        unique, cell = torch.unique(keys, return_inverse=True)
        return cls(_coords_of(unique, shape), shape, walks), cell

    def __len__(self) -> int:
        return len(self.coords)


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features ``[n, channels]`` of the active cells ``sites``."""

    features: torch.Tensor
    sites: Sites

    @classmethod
    def of(
        cls,
        coords: torch.Tensor,
        features: torch.Tensor,
        shape: Sequence[int],
        walks: int | None = None,
        merge: Literal["max", "min", "mean", "sum"] = "max",
    ) -> SparseTensor:
        """A sparse tensor from rows in any order; rows of one cell are merged.

        With "max" and "min" neither the order of the rows nor a repeated row changes anything.

        Raises:
            InputError: see :meth:`Sites.of`, or not one row of features for every coordinate.
        """
        if features.ndim != 2 or len(features) != len(coords):
            raise InputError(
                f"features must be [{len(coords)}, channels], a row a coordinate, not {list(features.shape)}"
            )
        sites, cell = Sites.of(coords, shape, walks)
        return cls(pool(features, cell, len(sites), merge), sites)

    def with_features(self, features: torch.Tensor) -> SparseTensor:
        """Other features on the same cells; rule-books stay."""
        return SparseTensor(features, self.sites)

    def __len__(self) -> int:
        return len(self.features)


def linear_keys(coords: torch.Tensor, shape: Sequence[int], halo: Sequence[int], walks: int) -> torch.Tensor:
    """The place of every cell in a batch of grids with a margin of ``halo`` cells on every side.

    With the margin a neighbour past the edge has a place of its own, where nothing is active: no step along
    an axis ends in the next row.

    Raises:
        InputError: there are more than 2**62 places.
    """
    padded = [size + 2 * edge for size, edge in zip(shape, halo, strict=True)]
    if math.prod(padded) * max(walks, 1) > MAX_CELLS:
        raise InputError(f"{walks} grids of {padded} cells are more than 2**62; use larger cells")
    keys = coords[:, 0].clone()
    for axis, (size, edge) in enumerate(zip(padded, halo, strict=True), start=1):
        keys.mul_(size).add_(coords[:, axis] + edge)
    return keys


def _coords_of(keys: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    columns = []
    for size in reversed(shape):
        columns.append(keys % size)
        keys = keys // size
    return torch.stack([keys, *reversed(columns)], dim=1)

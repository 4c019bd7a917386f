"""Pooling by scatter: rows that belong together become one."""

from __future__ import annotations

from typing import Literal

import torch

from gait3dlib.errors import InputError

_REDUCE = {"max": "amax", "min": "amin"}


def pool(
    features: torch.Tensor,
    group: torch.Tensor,
    groups: int,
    how: Literal["max", "min", "mean", "sum"] = "max",
) -> torch.Tensor:
    """Rows ``[n, channels]`` of the same ``group`` as one: ``[groups, channels]``; a group of none is 0.

    Args:
        features: floating point ``[n, channels]``.
        group: int64 ``[n]``, 0 to ``groups - 1``.
        groups: how many.
        how: "max" and "min" depend neither on order nor on repeated rows.

    Raises:
        InputError: an unknown way to pool.
    """
    out = features.new_zeros(groups, features.shape[1])
    if how in _REDUCE:
        index = group[:, None].expand_as(features)
        return out.scatter_reduce(0, index, features, _REDUCE[how], include_self=False)
    if how not in ("mean", "sum"):
        raise InputError(f"pooling must be 'max', 'min', 'mean' or 'sum', not {how!r}")
    total = out.index_add(0, group, features)
    if how == "sum":
        return total
    return total / counts(group, groups).clamp(min=1)[:, None].to(total.dtype)


def counts(group: torch.Tensor, groups: int) -> torch.Tensor:
    """How many rows every group has, int64 ``[groups]``."""
    return torch.bincount(group, minlength=groups)

"""Geometry of point sets: who is far from all others, who is near, which height a point has.

Positions choose neighbours and are not learnt, so no gradient goes through a choice. Distances are sums of
squared differences: the expanded square would be noise between points that are close together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

FRAMES_AT_ONCE = 16  # a frame of 1,024 points has half a million distances at the first level


@torch.no_grad()
def farthest_points(xyz: torch.Tensor, count: int) -> torch.Tensor:
    """Farthest-point sampling from point 0 on: each next point is the one farthest from all chosen ones.

    Eldar et al., IEEE TIP 1997; as in PointNet++ (Qi et al., NeurIPS 2017), but with a fixed start, so that
    the same points always give the same answer. Of several points equally far the first is taken.

    Args:
        xyz: ``[frames, points, 3]``.
        count: how many to choose.

    Returns:
        int64 ``[frames, count]``, indices of points.
    """
    planes = xyz.permute(2, 0, 1).contiguous()
    nearest = planes.new_full(planes.shape[1:], torch.inf)
    index = torch.zeros(len(xyz), 1, dtype=torch.int64, device=xyz.device)
    chosen = [index]
    for _ in range(count - 1):
        picked = planes.gather(2, index.expand(3, -1, -1))
        nearest = torch.minimum(nearest, (planes - picked).square_().sum(dim=0))
        index = nearest.argmax(dim=1, keepdim=True)
        chosen.append(index)
    return torch.cat(chosen, dim=1)


@torch.no_grad()
def nearest_points(centres: torch.Tensor, xyz: torch.Tensor, count: int) -> torch.Tensor:
    """The nearest points of each centre, in no particular order; a point is among its own neighbours.

    Args:
        centres: ``[frames, m, 3]``.
        xyz: ``[frames, points, 3]``.
        count: how many neighbours, at most ``points``.

    Returns:
        int64 ``[frames, m, count]``.
    """
    found = []
    for start in range(0, len(xyz), FRAMES_AT_ONCE):
        some, among = centres[start : start + FRAMES_AT_ONCE], xyz[start : start + FRAMES_AT_ONCE]
        distance = (some[:, :, None, 0] - among[:, None, :, 0]).square_()
        for axis in (1, 2):
            distance += (some[:, :, None, axis] - among[:, None, :, axis]).square_()
        found.append(distance.topk(count, dim=2, largest=False, sorted=False).indices)
    return torch.cat(found)


def take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of each frame: ``[frames, points, c]`` by ``[frames, ...]`` -> ``[frames, ..., c]``."""
    frames, points, c = values.shape
    first = torch.arange(frames, device=index.device).view(-1, *[1] * (index.ndim - 1)) * points
    rows = (index + first).flatten()
    return values.reshape(frames * points, c).index_select(0, rows).view(*index.shape, c)


def pool_heights(
    features: torch.Tensor, height_m: torch.Tensor, bins: Sequence[int], top_m: float
) -> torch.Tensor:
    """Mean + maximum over the points of each slice of height, for every count of slices, lowest first.

    Equal slices from 0 to ``top_m``; a point on an edge belongs to the lower slice, one above the top to the
    highest. A slice without a point gives 0.

    Args:
        features: ``[frames, points, c]``.
        height_m: ``[frames, points]`` above the lowest point.
        bins: counts of slices.
        top_m: where the highest slice ends.

    Returns:
        ``[frames, c, sum(bins)]``.
    """
    frames, points, c = features.shape
    parts = sum(bins)
    exact = height_m.double().contiguous()
    of_part, start = [], 0
    for count in bins:
        edges = torch.linspace(0, top_m, count + 1, dtype=torch.float64, device=height_m.device)[1:-1]
        of_part.append(torch.bucketize(exact, edges) + start)
        start += count
    part = torch.stack(of_part, dim=2)  # [frames, points, counts]
    member = torch.zeros(frames, points, parts, dtype=features.dtype, device=features.device)
    member.scatter_(2, part, 1.0)
    # a product of matrices, not index_add: on a GPU that would add in another order every time
    mean = member.transpose(1, 2) @ features / member.sum(dim=1).clamp(min=1)[..., None]
    slot = part + torch.arange(frames, device=part.device).view(-1, 1, 1) * parts
    every = features[:, :, None].expand(-1, -1, len(bins), -1).reshape(-1, c)
    most = features.new_zeros(frames * parts, c).scatter_reduce(
        0, slot.reshape(-1, 1).expand(-1, c), every, "amax", include_self=False
    )
    return (mean + most.view(frames, parts, c)).transpose(1, 2)

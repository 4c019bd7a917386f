"""The ``points`` encoder: a small LidarGait++ (Shen et al., CVPR 2025) on metric points.

Farthest-point sampling, groups of nearest neighbours, shared maps, then mean and maximum by metric height.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._metric_strips import TOP_M, MetricStrips, slice_of
from gait3dlib.networks._points import pool_heights
from gait3dlib.networks.lidargaitpp import PointLevel
from gait3dlib.sparse import pool
from gait3dlib.types import Tokens

SAMPLES = (96, 48)
NEIGHBOURS = 16
RADII_M = (0.1, 0.2)
REACH_M = 3.0  # whatever lies further is set there
FRAMES_AT_ONCE = 64


class PointEncoder(nn.Module):
    """Frames ``[b, T, 1 + points, 3]`` -> one token a slice of height.

    Args:
        dim: size of a token.
        points: of a frame.
        width: channels of the first layers; the last has four times as many.
        strips: slices of height.
    """

    def __init__(self, dim: int, points: int, width: int, strips: int) -> None:
        super().__init__()
        samples = [min(count, points) for count in SAMPLES]
        near = [min(NEIGHBOURS, points), min(NEIGHBOURS, samples[0])]
        w = width
        self.levels = nn.ModuleList(
            [
                PointLevel(0, (w, w, 2 * w), samples[0], near[0], RADII_M[0]),
                PointLevel(2 * w, (2 * w, 2 * w, 4 * w), samples[1], near[1], RADII_M[1]),
                PointLevel(4 * w, (4 * w, 4 * w), None, 0, 1.0),
            ]
        )
        self.tokens = MetricStrips(8 * w, dim, strips)

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips, dim]``; slices in which nothing was seen are not real."""
        frames, owner = batch.real_frames()
        walks, strips = len(batch), self.tokens.strips
        points = frames[:, 1:].nan_to_num().clamp(-REACH_M, REACH_M)
        # x, y, z choose the neighbours; the fourth value is the height, as in LidarGait++
        points = torch.cat([points, points[..., 2:]], dim=2)
        # without batch statistics frames know nothing of each other, and need not lie in memory together
        chunk = max(len(points), 1) if self.training else FRAMES_AT_ONCE
        found = [self._frames(points[i : i + chunk]) for i in range(0, len(points), chunk)]
        maps, seen = (torch.cat([part[i] for part in found]) for i in (0, 1))
        # pooled in the parameters' own precision: sums over many frames lose too much in bfloat16
        maps = maps.to(self.tokens.project.dtype)
        group = (owner[:, None] * strips + torch.arange(strips, device=owner.device))[seen]
        pooled = [pool(maps[seen], group, walks * strips, how) for how in ("max", "mean")]
        real = torch.zeros(walks * strips, dtype=torch.bool, device=group.device)
        real[group] = True
        values = torch.cat(pooled, dim=1).view(walks, strips, -1)
        return self.tokens(values, real.view(walks, strips))  # type: ignore[no-any-return]

    def _frames(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``[frames, p, 4]`` -> ``[frames, strips, c]`` and which slices hold a point."""
        features = None
        for level in self.levels:
            points, features = level(points, features)
        assert features is not None
        height = points[..., 2]
        maps = pool_heights(features, height, (self.tokens.strips,), TOP_M).transpose(1, 2)
        seen = torch.zeros(maps.shape[:2], dtype=torch.bool, device=maps.device)
        seen.scatter_(1, slice_of(height, self.tokens.strips), True)
        return maps, seen

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder."""
        self.tokens.absorb(norm)

"""The ``sparse`` encoder: submanifold convolutions over x, y, height and time, pooled by metric height.

Points become cells of a four-dimensional grid; what a cell says of its points is where they lie in it and how
far they reach, which neither the order of points nor a repeated one changes. Space and time are convolved in
turn (Tran et al., CVPR 2018, the (2+1)D block): a full kernel of four axes would have 81 weights.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._metric_strips import TOP_M, MetricStrips, slice_of
from gait3dlib.sparse import Sites, SparseNorm, SparseTensor, StridedConv, SubmanifoldConv, pool
from gait3dlib.types import Tokens

SIDE_M = 1.6  # of the box around the track, along the walk and across
STEP_S = 0.1  # of the time axis: a LiDAR turns ten times a second
INPUTS = 8
MAX_STEPS = 36_000  # an hour; a walk is seconds


class SpaceTimeBlock(nn.Module):
    """A spatial and a temporal kernel with norms, plus the input, ReLU; ``time`` False: twice space."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.space = SubmanifoldConv(channels, channels, (3, 3, 3, 1))
        self.first = SparseNorm(channels)
        self.then = SubmanifoldConv(channels, channels, (1, 1, 1, 3) if time else (3, 3, 3, 1))
        self.second = SparseNorm(channels, relu=False)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The same cells and channels."""
        y = self.second(self.then(self.first(self.space(x))))
        return x.with_features(torch.relu(x.features + y.features))


class SparseEncoder(nn.Module):
    """Frames ``[b, T, 1 + points, 3]`` -> one token a slice of height.

    Args:
        dim: size of a token.
        voxel_m: side of a cell.
        width: channels of the first stage; the last has four times as many.
        strips: slices of height.
    """

    def __init__(self, dim: int, voxel_m: float, width: int, strips: int) -> None:
        super().__init__()
        self.voxel_m = voxel_m
        aside, up = max(round(SIDE_M / voxel_m), 4), max(round(TOP_M / voxel_m), 2)
        self.cells = (aside, aside, up)
        self.trunk = nn.Sequential(
            SubmanifoldConv(INPUTS, width, (3, 3, 3, 1)),
            SparseNorm(width),
            SpaceTimeBlock(width, time=False),
            StridedConv(width, 2 * width, (2, 2, 2, 1)),
            SparseNorm(2 * width),
            SpaceTimeBlock(2 * width, time=True),
            StridedConv(2 * width, 4 * width, (2, 2, 1, 1)),
            SparseNorm(4 * width),
            SpaceTimeBlock(4 * width, time=True),
        )
        self.tokens = MetricStrips(8 * width, dim, strips)

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips, dim]``; slices in which nothing was seen are not real."""
        walks, strips = len(batch), self.tokens.strips
        x = self.trunk(self.voxels(batch))
        up = x.sites.coords[:, 3].to(torch.float32) + 0.5
        group = x.sites.coords[:, 0] * strips + slice_of(up * (2 * self.voxel_m), strips)
        pooled = [pool(x.features, group, walks * strips, how) for how in ("max", "mean")]
        real = torch.zeros(walks * strips, dtype=torch.bool, device=group.device)
        real[group] = True
        values = torch.cat(pooled, dim=1).view(walks, strips, -1)
        return self.tokens(values, real.view(walks, strips))  # type: ignore[no-any-return]

    def voxels(self, batch: Batch) -> SparseTensor:
        """The points of all real frames as cells ``[walk, x, y, z, time]`` with what lies in them.

        Features: 1, the middle of the points in the cell and their reach along x, y, z in cells, the height.
        """
        frames, owner = batch.real_frames()
        points = frames[:, 1:]
        steps = torch.arange(batch.frames.shape[1], device=frames.device)
        t_s = batch.t_s[steps[None, :] < batch.lengths[:, None]]
        when = (t_s / STEP_S).round().nan_to_num().clamp(0, MAX_STEPS).long()
        limit = torch.tensor(self.cells, device=frames.device)
        middle = torch.tensor([self.cells[0] / 2, self.cells[1] / 2, 0], device=frames.device)
        place = points / self.voxel_m + middle
        inside = ((place >= 0) & (place < limit)).all(dim=2)  # NaN is nowhere
        frame = inside.nonzero()[:, 0]
        place = place[inside]
        cell = place.floor()
        coords = torch.cat([owner[frame, None], cell.long(), when[frame, None]], dim=1)
        shape = (*self.cells, int(when.max()) + 1 if len(when) else 1)
        sites, row = Sites.of(coords, shape, len(batch))
        least, most = (pool(place - cell, row, len(sites), how) for how in ("min", "max"))
        height = (sites.coords[:, 3:4] + 0.5) / self.cells[2]
        ones = torch.ones_like(height)
        features = torch.cat([ones, (least + most) - 1, most - least, 2 * height - 1], dim=1)
        return SparseTensor(features.to(self.tokens.project.dtype), sites)

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder."""
        self.tokens.absorb(norm)

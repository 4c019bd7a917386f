"""Body strips that also look along time: how each height of the body moves, beside what it looks like.

A set of frames says how far a leg swings, but not when. Here the features of every frame's strips, brought
to one clock, are a picture of time by body height, which a small convolutional network reads (after the
part-based motion of Fan et al., GaitPart, CVPR 2020). What it finds is pooled over the walk and stands beside
what the set of frames says.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._strips import StripEncoder

RATE_HZ = 15.0  # of the common clock
LONGEST_GAP_S = 0.25  # between two frames; nothing is guessed across more
LONGEST_WALK = 4096  # steps of the clock; what comes later is left out, so that a wrong stamp costs no memory
DILATIONS = (1, 2, 4)  # together they see one second, which is about a stride


class StripMotion(nn.Module):
    """Features of strips over time -> what moves, per strip.

    Args:
        features: channels of a frame's strip.
        channels: of the network.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(features, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=(step, 1), dilation=(step, 1), bias=False),
                nn.BatchNorm2d(channels),
            )
            for step in DILATIONS
        )

    def forward(self, steps: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """``[b, T, strips, features]`` and bool ``[b, T]`` -> ``[b, strips, 2 channels]``: maximum, mean."""
        mask = known[:, None, :, None]
        x = torch.relu(self.reduce(steps.permute(0, 3, 1, 2))) * mask
        for block in self.blocks:
            x = torch.relu(x + block(x)) * mask
        x = x.to(steps.dtype)
        # after a ReLU nothing is below 0, so what is masked cannot be the maximum
        mean = x.sum(dim=2) / mask.sum(dim=2).clamp(min=1)
        return torch.cat([x.amax(dim=2), mean], dim=1).transpose(1, 2)


class MotionStrips(StripEncoder):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> one token a body strip: how it looks and how it moves.

    Time counts from a walk's first frame; frames may be missing and their rate may vary.

    Args:
        channels: image channels of a frame.
        dim: size of a token.
        width: channels of the trunk's first stage; the last has four times as many.
        strips: horizontal strips; divides the 16 rows of the last feature map.
        motion: channels of the network that looks along time.
    """

    def __init__(self, channels: int, dim: int, width: int = 24, strips: int = 16, motion: int = 64) -> None:
        super().__init__(channels, dim, width, strips, extra=2 * motion)
        self.motion = StripMotion(4 * width, motion)

    def _pooled(self, maps: torch.Tensor, owner: torch.Tensor, batch: Batch) -> torch.Tensor:
        looks = super()._pooled(maps, owner, batch)
        return torch.cat([looks, self.motion(*on_one_clock(maps, owner, batch))], dim=2)


def on_one_clock(
    values: torch.Tensor, owner: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """What frames say at ``RATE_HZ`` from each walk's first one, interpolated linearly.

    Args:
        values: ``[sum T, ...]`` of all frames, walk by walk.
        owner: int64 ``[sum T]`` the walk of each.
        batch: whose frames they are; frames of a walk in any order.

    Returns:
        ``[b, steps, ...]``, 0 where nothing is known, and bool ``[b, steps]``: what is known.
    """
    t_s, owner, values = _in_time(values, owner, batch)
    walks = len(batch)
    count = torch.bincount(owner, minlength=walks)
    first = count.cumsum(0) - count
    begin, last = t_s[first.clamp(max=len(t_s) - 1)], t_s[(first + count - 1).clamp(min=0)]
    steps = ((last - begin) * RATE_HZ + 1e-3).floor().long().clamp(max=LONGEST_WALK - 1) + 1
    steps = torch.where(count > 0, steps, 0)
    grid = torch.arange(int(steps.max()), device=t_s.device)
    known = grid < steps[:, None]
    walk, step = known.nonzero(as_tuple=True)
    at = begin[walk] + step / RATE_HZ
    before, after = _frames_around(t_s, owner, walk, at, first, count)
    gap = t_s[after] - t_s[before]
    share = ((at - t_s[before]) / gap.clamp(min=1e-6)).clamp(0, 1)
    beside = torch.minimum(share, 1 - share) * gap  # to the nearer frame
    good = (gap <= LONGEST_GAP_S) | (beside < 0.5 / RATE_HZ)
    weight = share.view(-1, *[1] * (values.ndim - 1)).to(values.dtype)
    found = values[before] * (1 - weight) + values[after] * weight
    out = values.new_zeros(walks, len(grid), *values.shape[1:])
    out = out.index_put((walk[good], step[good]), found[good])
    told = torch.zeros_like(known).index_put((walk[good], step[good]), torch.ones_like(good[good]))
    return out, told


def _in_time(
    values: torch.Tensor, owner: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Times, owners and values, each walk's frames in the order of their times."""
    real = torch.arange(batch.t_s.shape[1], device=owner.device)[None] < batch.lengths[:, None]
    t_s = batch.t_s[real].double().nan_to_num()
    order = torch.argsort(t_s, stable=True)
    order = order[torch.argsort(owner[order], stable=True)]
    return t_s[order], owner[order], values[order]


def _frames_around(
    t_s: torch.Tensor,
    owner: torch.Tensor,
    walk: torch.Tensor,
    at: torch.Tensor,
    first: torch.Tensor,
    count: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of each walk's last frame that is not later than ``at``, and of the next one."""
    # one rising axis for all walks: each gets a span of its own, longer than any walk
    origin, span = t_s.min(), float(t_s.max() - t_s.min()) + 1.0
    place = torch.searchsorted(t_s - origin + owner * span, at - origin + 1e-6 + walk * span, right=True) - 1
    final = first[walk] + count[walk] - 1
    before = torch.minimum(torch.maximum(place, first[walk]), final)
    return before, torch.minimum(before + 1, final)

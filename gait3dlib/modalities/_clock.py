"""One clock for the frames of all walks, whatever their rate and whatever was dropped."""

from __future__ import annotations

import torch

from gait3dlib.modalities._base import Batch

RATE_HZ = 15.0  # of the common clock
LONGEST_GAP_S = 0.25  # between two frames; nothing is guessed across more
LONGEST_WALK = 4096  # steps of the clock; what comes later is left out, so that a wrong stamp costs no memory


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

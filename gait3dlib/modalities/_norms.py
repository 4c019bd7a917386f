"""A norm that has learnt what all people share, as a scale and a shift."""

from __future__ import annotations

import torch
from torch import nn


def scale_and_shift(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch norm in evaluation multiplies by and then adds, ``[n]`` each.

    Encoders ``absorb`` the norm after which identity was classified (BNNeck: Luo et al., CVPR workshops
    2019). It takes away what all people share; tokens that keep it lie in a narrow cone, where cosines say
    little and a fusion learns slowly.

    Raises:
        ValueError: the norm keeps no running statistics.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("only a batch norm that keeps running statistics can be absorbed")
    scale = (norm.weight / (variance + norm.eps).sqrt()).detach()
    return scale, norm.bias.detach() - mean * scale

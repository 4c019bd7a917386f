"""Augmentation of depth: one draw moves both streams, and a sensor's errors are on the depth alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figure import prepared, walk

from gait3dlib.data.augment import Augment
from gait3dlib.data.augment_depth import DepthAugment
from gait3dlib.errors import ConfigError
from gait3dlib.modalities._depth_frames import REACH_M, pack, unpack


def test_one_draw_moves_both_streams() -> None:
    """Relief that is told by the silhouette's own column and row stays so, however the picture moves."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 44), indexing="ij")
    shade = (0.5 + 0.25 * x + 0.2 * y).expand(6, 3, 1, 64, 44)  # brightness of the "silhouette"
    known = ((x.abs() < 0.8) & (y.abs() < 0.9)).expand_as(shade)
    frames = torch.cat([(255 * shade).round().byte(), pack(2 * shade - 1, known)], dim=2)
    still = {"noise_m": 0.0, "offset_m": 0.0, "gain": 0.0, "holes": 0.0}
    jitter = Augment(edges=0.0, cover=0.0, depth=still)
    moved = jitter(frames, torch.Generator().manual_seed(3), "depth")
    assert not torch.equal(moved, frames)
    silhouette, relief_, there = unpack(moved, torch.float32)
    inside = (there > 0) & (silhouette > 0.05)
    assert inside.float().mean() > 0.4
    assert (relief_ - (2 * silhouette - 1))[inside].abs().max() < 0.04
    # nothing that is not known mixes in at the border of what is
    assert (moved[:, 0] != moved[:, 1]).sum() == 0, "the same in all frames of a walk"


def test_a_sensors_errors_are_on_the_depth_alone() -> None:
    frames = torch.from_numpy(np.stack([prepared(walk()).frames] * 3))
    still = Augment(flip=0.0, affine=0.0, edges=0.0, cover=0.0)
    moved = still(frames, torch.Generator().manual_seed(0), "depth")
    assert torch.equal(moved[:, :, 0], frames[:, :, 0])
    (_, before, known), (_, after, there) = unpack(frames, torch.float32), unpack(moved, torch.float32)
    assert ((there > 0) <= (known > 0)).all(), "no depth out of nothing"
    assert 0 < (there < known).float().sum() / known.sum() < 0.11
    away = ((after - before) * REACH_M)[(there > 0) & (before.abs() < 0.6)]
    assert 0.003 < away.std() < 0.08
    quiet = Augment(
        flip=0.0,
        affine=0.0,
        edges=0.0,
        cover=0.0,
        depth={"noise_m": 0.0, "offset_m": 0.0, "gain": 0.0, "holes": 0.0},
    )
    assert torch.equal(quiet(frames, torch.Generator(), "depth"), frames)
    assert vars(DepthAugment()) == {"noise_m": 0.06, "offset_m": 0.01, "gain": 0.05, "holes": 0.1}
    with pytest.raises(ConfigError, match=r"augment\.depth\.noise: unknown key"):
        Augment(depth={"noise": 1})

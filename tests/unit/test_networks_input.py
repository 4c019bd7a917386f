"""The networks: settings, starting weights, and input that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from thin_networks import THIN  # noqa: E402
from torch import nn  # noqa: E402

from gait3dlib import config  # noqa: E402
from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.networks import DeepGaitV2, GaitBase, GaitGL, GaitPart, GaitSet, LidarGait  # noqa: E402

# ---- settings -------------------------------------------------------------------------------------------


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"widht: unknown key; did you mean 'widths'"):
        config.build(GaitBase, {"widht": [8, 8, 8, 8]})
    with pytest.raises(ConfigError, match="4 stages each, not 3 and 4"):
        config.build(GaitBase, {"widths": [8, 8, 8]})
    with pytest.raises(ConfigError, match="needs a network with classes"):
        DeepGaitV2(neck=True)
    with pytest.raises(ConfigError, match="its embedding is normed already"):
        GaitGL(classes=3, neck=True)
    with pytest.raises(ConfigError, match="one count a stage: 3 of them, not 2"):
        GaitPart(strips=(1, 8))
    with pytest.raises(ConfigError, match="3 blocks, not 2"):
        GaitSet(widths=(4, 6))
    with pytest.raises(ConfigError, match=r"bins: every count of strips must divide 16, not \[5\]"):
        GaitBase(bins=(5,))
    with pytest.raises(ConfigError, match=r"strips: every count of strips must divide 32, not \[12\]"):
        GaitPart(strips=(1, 12, 8))
    with pytest.raises(ConfigError, match=r"strips: every count of strips must divide 32, not \[5\]"):
        GaitGL(strips=5)
    with pytest.raises(ConfigError, match="3 stages"):
        GaitGL(stages=((4,), (4,)))


def test_they_start_as_opengait_starts() -> None:
    torch.manual_seed(0)
    made = DeepGaitV2(widths=(32, 48, 64, 80), classes=40)
    conv = made.trunk.stages[0][0].first.conv.weight
    bound = (6 / (9 * (32 + 48))) ** 0.5
    assert 0.98 * bound < conv.abs().max() <= bound
    scales = torch.cat([m.weight for m in made.modules() if isinstance(m, nn.BatchNorm2d)]).detach()
    assert abs(scales.mean() - 1) < 0.005
    assert scales.std() == pytest.approx(0.02, rel=0.1)
    part = GaitPart().moves.three[0].weight
    bound = (6 / (3 * (128 + 32))) ** 0.5
    assert 0.98 * bound < part.abs().max() <= bound


# ---- input that does not fit ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gaitbase() -> GaitBase:
    return GaitBase(**THIN).eval()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 1, 64, 64), r"64 x 44 or 128 x 88 pixels, not 64 x 64; cut 10 columns off each side"),
        ((2, 3, 1, 128, 128), "cut 20 columns off each side"),
        ((2, 3, 1, 60, 40), r"not 60 x 40$"),
        ((2, 3, 2, 64, 44), "reads 1 channels a frame, not 2"),
        ((2, 3, 64, 44), r"reads floating point \[walks, frames, 1, h, w\]"),
        ((0, 3, 1, 64, 44), "the batch holds no walk"),
        ((2, 0, 1, 64, 44), "walk 0 has no frame; leave it out"),
    ],
)
def test_shapes_that_do_not_fit(gaitbase: GaitBase, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gaitbase(torch.rand(shape))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 0], "walk 1 has no frame"),
        ([3, -1], "walk 1 has no frame"),
        ([4, 3], "walk 0 is said to have 4 frames, but the batch holds 3"),
        ([3], "lengths must be 2 whole numbers, one a walk"),
        ([1.5, 2.0], "whole numbers"),
        (torch.tensor([[3], [3]]), "whole numbers"),
        (torch.tensor(3), "whole numbers"),
    ],
)
def test_lengths_that_do_not_fit(gaitbase: GaitBase, lengths: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        gaitbase(torch.rand(2, 3, 1, 64, 44), lengths)


def test_values_that_do_not_fit(gaitbase: GaitBase) -> None:
    x = torch.rand(1, 2, 1, 64, 44)
    with pytest.raises(InputError, match=r"must lie in 0..1, not in .*; 8-bit images are divided by 255"):
        gaitbase(x * 255)
    with pytest.raises(InputError, match=r"not torch\.uint8"):
        gaitbase((x * 255).to(torch.uint8))
    with pytest.raises(InputError, match="nan"):
        gaitbase(x.where(x < 0.9, torch.nan))
    with pytest.raises(InputError, match=r"must lie in 0..1, not in -"):
        gaitbase(x - 0.5)


def test_depth_pictures_keep_their_sides() -> None:
    with pytest.raises(
        InputError, match=r"64 x 64 or 128 x 128 pixels, not 64 x 44; do not cut off its sides"
    ):
        LidarGait(**THIN)(torch.rand(1, 2, 3, 64, 44))

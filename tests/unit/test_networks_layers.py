"""The layers of the networks in closed form."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from thin_networks import MAKERS  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from gait3dlib.networks import GaitBase  # noqa: E402
from gait3dlib.networks._blocks import TimeConvNorm  # noqa: E402
from gait3dlib.networks._parts import Neck, PartLinear, pool_strips  # noqa: E402
from gait3dlib.networks._walks import end_to_end  # noqa: E402
from gait3dlib.networks.gaitgl import GlobalLocal  # noqa: E402
from gait3dlib.networks.gaitpart import ShortMoves, StripConv  # noqa: E402


def test_a_run_leaves_blank_frames_between_walks() -> None:
    x = torch.rand(3, 5, 1, 2, 2) + 0.1
    x = x.clamp(max=1)
    run = end_to_end(x, [2, 5, 4], gap=1)
    assert run.spans == ((0, 2), (3, 8), (9, 13))
    assert run.keep is not None
    assert run.keep.tolist() == [1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert torch.equal(run.frames[3:8], x[1])
    assert not run.frames[run.keep == 0].any()
    wanted = [walk[:length].amax(dim=0) for walk, length in zip(x, [2, 5, 4], strict=True)]
    assert torch.equal(run.most(run.frames), torch.stack(wanted))
    threes = end_to_end(x, [2, 5, 4], gap=1, multiple=3)
    assert [start for start, _ in threes.spans] == [0, 3, 9]
    assert len(threes.frames) == 15


def test_strips_are_mean_plus_maximum() -> None:
    maps = torch.arange(24.0).view(1, 1, 4, 6)
    expected = [11.5 + 23, 5.5 + 11, 17.5 + 23]
    assert pool_strips(maps, (1, 2)).flatten().tolist() == expected


def test_every_part_has_its_own_matrix() -> None:
    linear = PartLinear(3, 2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(2) * torch.tensor([1.0, 2.0, 3.0])[:, None, None])
    x = torch.ones(1, 2, 3)
    assert linear(x)[0].tolist() == [[1, 2, 3], [1, 2, 3]]


def test_the_neck_gives_cosines() -> None:
    neck = Neck(4, 3, 6).eval()
    x = torch.randn(2, 3, 4)
    feature, logits = neck(x)
    torch.testing.assert_close(feature, functional.normalize(x, dim=1), atol=1e-5, rtol=1e-5)
    for part in range(4):
        wanted = functional.cosine_similarity(x[:, :, part, None], neck.classes[part][None].detach(), dim=1)
        torch.testing.assert_close(logits[:, :, part], wanted, atol=1e-5, rtol=1e-5)


def test_a_convolution_along_time_is_one_of_volumes() -> None:
    layer = TimeConvNorm(5).eval()
    x = torch.randn(6, 5, 3, 4)
    volume = x.unflatten(0, (2, 3)).transpose(1, 2)
    wanted = functional.conv3d(volume, layer.conv.weight[..., None], padding=(1, 0, 0))
    for layout in (torch.contiguous_format, torch.channels_last):
        got = layer(x.contiguous(memory_format=layout), runs=2).unflatten(0, (2, 3)).transpose(1, 2)
        torch.testing.assert_close(got, wanted / np.sqrt(1 + 1e-5), atol=1e-5, rtol=1e-5)


def test_strips_do_not_see_each_other() -> None:
    x = torch.randn(2, 3, 8, 5)
    layer = StripConv(3, 4, 3, strips=4)
    wanted = torch.cat([functional.conv2d(part, layer.conv.weight, padding=1) for part in x.split(2, 2)], 2)
    torch.testing.assert_close(layer(x), wanted)
    block = GlobalLocal(3, 4, 2)
    volume = torch.randn(1, 3, 2, 8, 5)
    local = torch.cat([block.local(part) for part in volume.split(4, 3)], 3)
    wanted = functional.leaky_relu(block.whole(volume)) + functional.leaky_relu(local)
    torch.testing.assert_close(block(volume), wanted)


def test_short_moves_of_a_constant_are_the_constant() -> None:
    """With gates of one half: in the middle of a walk twice 0.5 (mean + maximum), which is 2 c."""
    moves = ShortMoves(2, 3, 1)
    for parameter in moves.parameters():
        nn.init.zeros_(parameter)
    x = torch.full((1, 2, 3, 7), 0.7)
    torch.testing.assert_close(moves(x), torch.full((1, 2, 3), 1.4))
    one = moves(x[..., :1])  # at both ends the padding counts in the means: thirds and fifths
    torch.testing.assert_close(one, torch.full((1, 2, 3), 0.7 * 0.5 * (1 / 3 + 1 + 1 / 5 + 1)))


def test_trunks_are_graphs_without_branches() -> None:
    """They can be traced, so that norms can be folded and graphs compiled."""
    for made in (MAKERS["GaitBase"](), MAKERS["DeepGaitV2 p3d"](), MAKERS["DeepGaitV2 3d"]()):
        made.eval()
        frames = torch.rand(4, 1, 64, 44)
        given = (frames,) if isinstance(made, GaitBase) else (frames, 1)
        traced = torch.export.export(made.trunk, given, strict=False).module()
        torch.testing.assert_close(traced(*given), made.trunk(*given))

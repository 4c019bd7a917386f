"""The networks: ragged batches, their layers in closed form, training, and input that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from gait3dlib import config  # noqa: E402
from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.networks import (  # noqa: E402
    DeepGaitV2,
    GaitBase,
    GaitGL,
    GaitPart,
    GaitSet,
    ImageNetwork,
    LidarGait,
    SkeletonGait,
    SkeletonGaitPP,
)
from gait3dlib.networks._blocks import TimeConvNorm  # noqa: E402
from gait3dlib.networks._parts import Neck, PartLinear, pool_strips  # noqa: E402
from gait3dlib.networks._walks import end_to_end, normed  # noqa: E402
from gait3dlib.networks.gaitgl import GlobalLocal  # noqa: E402
from gait3dlib.networks.gaitpart import ShortMoves, StripConv  # noqa: E402

THIN: dict[str, Any] = {"widths": (4, 6, 8, 10), "depths": (1, 2, 1, 1), "embedding": 6, "classes": 5}
MAKERS: dict[str, Callable[[], ImageNetwork]] = {
    "GaitBase": lambda: GaitBase(**THIN),
    "LidarGait": lambda: LidarGait(**THIN),
    "DeepGaitV2 2d": lambda: DeepGaitV2(mode="2d", **THIN),
    "DeepGaitV2 p3d": lambda: DeepGaitV2(mode="p3d", **THIN),
    "DeepGaitV2 3d": lambda: DeepGaitV2(mode="3d", **THIN),
    "SkeletonGait": lambda: SkeletonGait(**THIN),
    "SkeletonGait++": lambda: SkeletonGaitPP(**THIN),
    "GaitSet": lambda: GaitSet(widths=(4, 6, 8), embedding=7),
    "GaitPart": lambda: GaitPart(widths=((4, 4), (6, 6), (8, 8)), squeezed=2, embedding=5),
    "GaitGL": lambda: GaitGL(stem=(3,), stages=((4,), (5,), (6,)), embedding=6, classes=5),
    "GaitGL with a neck": lambda: GaitGL(
        stem=(3, 3), stages=((4, 4), (5,), (6, 6)), strips=2, embedding=6, classes=5, separate_neck=True
    ),
}
MIXES_TIME = {name for name in MAKERS if any(word in name for word in ("3d", "Skeleton", "Part", "GL"))}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(name: str) -> ImageNetwork:
    """Of random weights, its norms moved off their starting values; in eval mode."""
    torch.manual_seed(3)
    made = MAKERS[name]().eval()
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return made


def images(
    network: ImageNetwork, walks: int, frames: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    h, w = network.sizes[0]
    return torch.rand(walks, frames, network.channels, h, w, generator=generator, dtype=dtype)


# ---- ragged batches -------------------------------------------------------------------------------


def test_every_walk_comes_out_as_if_alone(network: ImageNetwork) -> None:
    x, lengths = images(network, 5, 8), [8, 3, 1, 2, 7]
    alone = [network(walk[None, :length]) for walk, length in zip(x, lengths, strict=True)]
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan  # whatever lies there
    together = network(x, torch.tensor(lengths))
    assert torch.equal(together, torch.cat(alone))
    assert not torch.allclose(together[0], together[1], rtol=1e-3)


def test_training_lays_walks_end_to_end_and_nothing_leaks(network: ImageNetwork) -> None:
    """In training all frames go through the layers at once; only the norms' statistics are shared."""
    network = network.double()
    x, lengths = images(network, 4, 8, torch.float64), [5, 1, 8, 2]
    wanted = network(x, lengths)
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
    x[0, 5:] = torch.nan
    for got in (network(x, lengths), network.train_outputs(x, lengths).embedding):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_walks_of_one_length_need_no_lengths(network: ImageNetwork) -> None:
    x = images(network, 2, 4)
    assert torch.equal(network(x), network(x, [4, 4]))
    assert torch.equal(network(x), network(x, np.array([4, 4])))
    assert torch.equal(network(x, [3, 3]), network(x[:, :3]))


def test_the_order_of_frames_matters_where_time_does(name: str, network: ImageNetwork) -> None:
    x = images(network, 1, 6)
    same = torch.allclose(network(x), network(x[:, [3, 0, 5, 1, 4, 2]]), rtol=1e-4, atol=1e-5)
    assert same is (name not in MIXES_TIME)


def test_the_size_of_input_may_double(name: str, network: ImageNetwork) -> None:
    if name.startswith("GaitGL"):
        pytest.skip("every row is a part")
    h, w = network.sizes[1]
    assert network(torch.rand(1, 2, network.channels, h, w)).isfinite().all()


def test_it_is_in_the_precision_of_its_weights(network: ImageNetwork) -> None:
    x = images(network, 1, 3)
    single = network(x)
    assert single.dtype == torch.float32
    exact = network.double()(x)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)


# ---- training -------------------------------------------------------------------------------------


def test_a_ragged_batch_trains(name: str, network: ImageNetwork) -> None:
    network.train()
    out = network.train_outputs(images(network, 3, 5), [5, 2, 4])
    has_classes = name not in ("GaitSet", "GaitPart")
    assert (out.logits is not None) is has_classes
    total = out.embedding.square().sum()
    if out.logits is not None:
        assert out.logits.shape == (3, 5, out.embedding.shape[2])
        total = total + functional.cross_entropy(out.logits, torch.zeros(3, out.logits.shape[2]).long())
    total.backward()
    lacking = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not lacking
    assert all((p.grad != 0).any() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("volume", [False, True])
def test_gaps_between_walks_count_for_nothing_in_a_norm(volume: bool) -> None:
    keep = torch.tensor([1.0, 1, 0, 1, 1, 1, 0, 1])
    x = torch.rand(8, 3, 4, 4)
    x[keep == 0] = 1e6
    real = x[keep > 0]
    norm = nn.BatchNorm3d(3) if volume else nn.BatchNorm2d(3)
    out = normed(norm, x.transpose(0, 1)[None] if volume else x, keep)
    frames = out[0].transpose(0, 1) if volume else out
    mean, var = real.mean(dim=(0, 2, 3)), real.var(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * var)
    wanted = (real - mean[:, None, None]) / (real.var(dim=(0, 2, 3), correction=0) + 1e-5).sqrt()[
        :, None, None
    ]
    torch.testing.assert_close(frames[keep > 0], wanted, rtol=1e-4, atol=1e-5)
    assert not frames[keep == 0].any()


def test_statistics_of_a_ragged_batch_are_those_of_its_frames() -> None:
    """Of the first stage, which looks at single frames: the same as for the frames as so many walks."""
    torch.manual_seed(0)
    ragged, single = DeepGaitV2(**THIN).train(), DeepGaitV2(**THIN).train()
    single.load_state_dict(ragged.state_dict())
    x, lengths = images(ragged, 3, 5), [2, 5, 4]
    ragged(x, lengths)
    frames = torch.cat([walk[:length] for walk, length in zip(x, lengths, strict=True)])
    single(frames[:, None])
    for part in ("stem", "first"):
        pairs = zip(
            getattr(ragged.trunk, part).named_buffers(), getattr(single.trunk, part).buffers(), strict=True
        )
        for (key, got), wanted in pairs:
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6, msg=key)


# ---- layers in closed form ------------------------------------------------------------------------


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


# ---- settings -------------------------------------------------------------------------------------


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


# ---- input that does not fit ----------------------------------------------------------------------


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

"""The networks: ragged batches, their order, size and precision, and training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from thin_networks import MAKERS, THIN, images, settled  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from gait3dlib.networks import DeepGaitV2, ImageNetwork  # noqa: E402
from gait3dlib.networks._walks import normed  # noqa: E402

MIXES_TIME = {name for name in MAKERS if any(word in name for word in ("3d", "Skeleton", "Part", "GL"))}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(name: str) -> ImageNetwork:
    return settled(MAKERS[name])


# ---- ragged batches -------------------------------------------------------------------------------------


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


# to GaitGL every row is a part, so it reads one size
@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith("GaitGL")])
def test_the_size_of_input_may_double(name: str, network: ImageNetwork) -> None:
    assert len(network.sizes) == 2
    h, w = network.sizes[1]
    assert network(torch.rand(1, 2, network.channels, h, w)).isfinite().all()


def test_it_is_in_the_precision_of_its_weights(network: ImageNetwork) -> None:
    x = images(network, 1, 3)
    single = network(x)
    assert single.dtype == torch.float32
    exact = network.double()(x)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)


# ---- training -------------------------------------------------------------------------------------------


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

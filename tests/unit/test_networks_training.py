"""What makes a training step fast changes no gradient: each against automatic differentiation."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from torch.nn import functional  # noqa: E402

from gait3dlib.networks import GaitBase  # noqa: E402
from gait3dlib.networks._blocks import ConvNorm, FrameBlock, PixelConv  # noqa: E402
from gait3dlib.networks._cosines import part_cosines  # noqa: E402
from gait3dlib.networks._walks import _most, end_to_end  # noqa: E402

exact = torch.float64


def test_cosines_and_their_gradient() -> None:
    torch.manual_seed(0)
    feature = torch.randn(3, 5, 2, dtype=exact, requires_grad=True)
    classes = torch.randn(2, 5, 4, dtype=exact, requires_grad=True)
    wanted = torch.einsum("ncp,pck->nkp", feature, functional.normalize(classes, dim=1))
    torch.testing.assert_close(part_cosines(feature, classes), wanted)
    assert torch.autograd.gradcheck(part_cosines, (feature, classes))


def test_a_class_without_direction_stops_nothing() -> None:
    """Where ``normalize`` keeps a vector of length 0 from dividing by it, so does the gradient by hand."""
    torch.manual_seed(0)
    gradients = []
    for cosines in (
        part_cosines,
        lambda f, c: torch.einsum("ncp,pck->nkp", f, functional.normalize(c, dim=1)),
    ):
        generator = torch.Generator().manual_seed(1)
        feature = torch.randn(3, 5, 2, dtype=exact, generator=generator, requires_grad=True)
        start = torch.randn(2, 5, 4, dtype=exact, generator=generator)
        start[1, :, 2] = 0
        classes = start.requires_grad_()
        cosines(feature, classes).square().sum().backward()
        gradients.append((feature.grad, classes.grad))
    for got, wanted in zip(*gradients, strict=True):
        assert got is not None
        assert got.isfinite().all()
        torch.testing.assert_close(got, wanted)


def test_cosines_stay_in_full_precision_under_autocast() -> None:
    torch.manual_seed(0)
    feature, classes = torch.randn(3, 64, 2), torch.randn(2, 64, 4, requires_grad=True)
    wanted = part_cosines(feature, classes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(part_cosines(feature, classes), wanted)
        half = part_cosines(feature.bfloat16().requires_grad_(), classes)
    half.sum().backward()
    assert classes.grad is not None
    assert classes.grad.dtype == torch.float32


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_maximum_over_frames_and_its_gradient(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    # of few values, so that frames are equal: they share the gradient
    x = torch.randint(0, 3, (6, 4, 3, 2)).to(exact).contiguous(memory_format=layout)
    weight = torch.randn(2, 4, 3, 2, dtype=exact)
    gradients = []
    for most in (_most, lambda y, runs: y.unflatten(0, (runs, -1)).amax(dim=1)):
        given = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = most(given, 2)
        (out * weight).sum().backward()
        gradients.append((out.detach(), given.grad))
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0][1] is not None
    assert gradients[0][1].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_lie_with_their_channels_side_by_side(channels: int) -> None:
    """Pictures of one channel too, which torch would otherwise take for channels first, and slowly."""
    x = torch.rand(2, 3, channels, 64, 44)
    for lengths in ([3, 3], [3, 2]):
        frames = end_to_end(x, lengths).frames
        assert frames.stride(1) == 1
        for layer in (ConvNorm(channels, 8), FrameBlock(channels, 8, 2)):
            out = layer(frames)
            assert out.is_contiguous(memory_format=torch.channels_last)
            assert not out.is_contiguous()


@pytest.mark.parametrize("inputs", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_pixel_in_four_and_its_gradient(inputs: int, layout: torch.memory_format) -> None:
    """Few channels, channels last: where oneDNN's own gradient writes past its memory."""
    torch.manual_seed(0)
    layer = PixelConv(inputs, 4, 2)
    x = torch.randn(5, inputs, 12, 10).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(5, 4, 6, 5)
    (layer(x) * weight).sum().backward()
    picked = x.detach()[:, :, ::2, ::2]
    torch.testing.assert_close(
        layer(x.detach()), torch.einsum("nchw,oc->nohw", picked, layer.weight[..., 0, 0])
    )
    wanted = torch.zeros_like(x)
    wanted[:, :, ::2, ::2] = torch.einsum("nohw,oc->nchw", weight, layer.weight[..., 0, 0].detach())
    torch.testing.assert_close(x.grad, wanted)
    of_weight = torch.einsum("nohw,nchw->oc", weight, picked)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad[..., 0, 0], of_weight, rtol=1e-4, atol=1e-4)


def test_a_step_has_the_gradients_of_the_definition() -> None:
    """Whole, in float64: cosines, maximum and layout as one, against plain layers end to end."""
    torch.manual_seed(0)
    network = GaitBase(widths=(4, 6, 8, 10), embedding=5, classes=3).double().train()
    x, labels = torch.rand(4, 3, 1, 64, 44, dtype=exact), torch.tensor([0, 0, 1, 2])

    def loss(embedding: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        scaled = 16 * logits
        return embedding.square().mean() + functional.cross_entropy(scaled, labels[:, None].expand(-1, 16))

    def plain() -> torch.Tensor:
        maps = x.flatten(0, 1)
        maps = functional.relu(network.trunk.stem.norm(network.trunk.stem.conv(maps)))
        for (block,) in network.trunk.stages:
            skip = maps
            if block.skip is not None:
                stride = block.skip.conv.stride
                skip = block.skip.norm(functional.conv2d(maps, block.skip.conv.weight, stride=stride))
            inner = functional.relu(block.first.norm(block.first.conv(maps)))
            maps = functional.relu(block.second.norm(block.second.conv(inner)) + skip)
        strips = maps.unflatten(0, (4, 3)).amax(dim=1).unflatten(2, (16, 1)).flatten(3)
        pooled = strips.mean(dim=3) + strips.amax(dim=3)
        embedding = torch.einsum("ncp,pce->nep", pooled, network.head.linear.weight)
        neck = network.head.neck
        assert neck is not None
        feature = functional.normalize(neck.norm(embedding.flatten(1)).view_as(embedding), dim=1)
        return loss(
            embedding, torch.einsum("ncp,pck->nkp", feature, functional.normalize(neck.classes, dim=1))
        )

    gradients = []
    for value in (loss(*network.train_outputs(x)), plain()):
        network.zero_grad()
        value.backward()
        gradients.append((value.detach(), {key: p.grad for key, p in network.named_parameters()}))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-11)

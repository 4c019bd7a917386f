"""Sparse convolutions are dense ones that leave out what is empty; whatever backend multiplies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from gait3dlib.errors import ConfigError, InputError, MissingDependency
from gait3dlib.sparse import (
    Sites,
    SparseNorm,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    backend,
    counts,
    current_backend,
    pool,
)

# how near float32 and float64 must be to the dense convolution
CLOSE: dict[torch.dtype, Any] = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
}
SHAPES = {1: (17,), 2: (9, 11), 3: (6, 8, 7), 4: (5, 6, 4, 5)}
WALKS, INPUTS, OUTPUTS = 2, 5, 7
Layer = SubmanifoldConv | StridedConv
Geometry = tuple[int, ...]


def cloud(axes: int, share: float = 0.25, seed: int = 0, walks: int = WALKS) -> torch.Tensor:
    """Random active cells ``[n, 1 + axes]``, in random order."""
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(walks, *SHAPES[axes], generator=generator) < share
    coords = active.nonzero()
    return coords[torch.randperm(len(coords), generator=generator)]


def drawn(*size: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(coords: torch.Tensor, features: torch.Tensor, shape: Geometry) -> torch.Tensor:
    """``[walks, channels, *shape]`` with zeros where nothing is active."""
    out = features.new_zeros(WALKS, *shape, features.shape[1])
    return out.index_put(tuple(coords.T), features).movedim(-1, 1)


def dense_convolution(
    x: torch.Tensor, weight: torch.Tensor, kernel: Geometry, stride: Geometry, padding: Geometry
) -> torch.Tensor:
    """A dense convolution of any number of axes, written as its definition: a sum over the kernel.

    ``x`` ``[walks, inputs, *shape]``, ``weight`` ``[product of the kernel, inputs, outputs]``.
    """
    edges = [edge for edge in reversed(padding) for _ in range(2)]
    x = functional.pad(x, edges)
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    total: torch.Tensor | int = 0
    for number, offset in enumerate(itertools.product(*(range(k) for k in kernel))):
        part = x
        for axis, (start, step, size) in enumerate(zip(offset, stride, sizes, strict=True), start=2):
            part = part.narrow(axis, start, step * (size - 1) + 1)
            part = part[(slice(None),) * axis + (slice(None, None, step),)]
        total = total + torch.einsum("ni...,io->no...", part, weight[number])
    assert isinstance(total, torch.Tensor)
    return total


def same_kernel(layer: Layer) -> tuple[Geometry, Geometry, Geometry]:
    """Kernel, stride and padding of the dense convolution that a layer equals."""
    if isinstance(layer, StridedConv):
        return layer.kernel, layer.stride, layer.padding
    return layer.kernel, (1,) * len(layer.kernel), tuple(k // 2 for k in layer.kernel)


LAYERS: dict[str, tuple[int, Callable[[], Layer]]] = {
    "submanifold 1": (1, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (5,))),
    "submanifold 2": (2, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (3, 3))),
    "submanifold 3": (3, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (3, 3, 3))),
    "submanifold 3, pointwise": (3, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (1, 1, 1))),
    "submanifold 4": (4, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (3, 3, 3, 3))),
    "submanifold 4, in time": (4, lambda: SubmanifoldConv(INPUTS, OUTPUTS, (1, 1, 1, 3))),
    "strided 1": (1, lambda: StridedConv(INPUTS, OUTPUTS, (3,), (2,), (1,))),
    "strided 2, uneven": (2, lambda: StridedConv(INPUTS, OUTPUTS, (3, 2), (1, 3), (2, 0))),
    "strided 3": (3, lambda: StridedConv(INPUTS, OUTPUTS, (3, 3, 3), (2, 2, 2), (1, 1, 1))),
    "strided 3, no overlap": (3, lambda: StridedConv(INPUTS, OUTPUTS, (2, 2, 2))),
    "strided 4": (4, lambda: StridedConv(INPUTS, OUTPUTS, (2, 3, 2, 1), (2, 2, 2, 1), (0, 1, 0, 0))),
}


@pytest.fixture(params=LAYERS)
def case(request: pytest.FixtureRequest) -> tuple[int, Layer]:
    axes, make = LAYERS[request.param]
    torch.manual_seed(3)
    return axes, make()


def both_ways(case: tuple[int, Layer], dtype: torch.dtype, share: float = 0.25) -> tuple[Any, Any]:
    """(output, gradient of features, gradient of weights) of a layer, and of the dense convolution."""
    axes, layer = case
    layer = layer.to(dtype)
    coords, shape = cloud(axes, share), SHAPES[axes]
    features = drawn(len(coords), INPUTS, dtype=dtype).requires_grad_()
    out = layer(SparseTensor.of(coords, features, shape, WALKS))
    at = tuple(out.sites.coords.T)
    pull = drawn(len(out), OUTPUTS, dtype=dtype, seed=2)
    got = torch.autograd.grad((out.features * pull).sum(), (features, layer.weight))

    whole = dense_convolution(dense(coords, features, shape), layer.weight, *same_kernel(layer))
    assert tuple(whole.shape[2:]) == out.sites.shape
    rows = whole.movedim(1, -1)[at]
    wanted = torch.autograd.grad((rows * pull).sum(), (features, layer.weight))
    return (out, *got), (whole, rows, *wanted)


@pytest.mark.parametrize("dtype", CLOSE)
def test_equals_the_dense_convolution_forward_and_gradient(
    case: tuple[int, Layer], dtype: torch.dtype
) -> None:
    (out, *gradients), (whole, rows, *wanted) = both_ways(case, dtype)
    torch.testing.assert_close(out.features, rows, **CLOSE[dtype])
    for got, want in zip(gradients, wanted, strict=True):
        # sums over hundreds of cells: float32 is held to five digits of the largest entry
        torch.testing.assert_close(got / want.abs().max(), want / want.abs().max(), **CLOSE[dtype])
    if isinstance(case[1], StridedConv):
        elsewhere = whole.movedim(1, -1).clone()
        elsewhere[tuple(out.sites.coords.T)] = 0
        assert (elsewhere == 0).all(), "the dense convolution is 0 wherever the sparse one has no cell"


def test_the_dense_convolution_of_these_tests_is_torchs() -> None:
    x, weight = drawn(2, INPUTS, 6, 8, 7), drawn(27, INPUTS, OUTPUTS, seed=4)
    ours = dense_convolution(x, weight, (3, 3, 3), (2, 1, 2), (1, 0, 1))
    torchs = functional.conv3d(
        x, weight.view(3, 3, 3, INPUTS, OUTPUTS).permute(4, 3, 0, 1, 2), stride=(2, 1, 2), padding=(1, 0, 1)
    )
    torch.testing.assert_close(ours, torchs)


def test_where_every_cell_is_active_it_is_the_dense_convolution(case: tuple[int, Layer]) -> None:
    (out, *_), (whole, rows, *_) = both_ways(case, torch.float64, share=1.1)
    assert len(out) == whole[:, 0].numel()
    torch.testing.assert_close(out.features, rows, rtol=1e-10, atol=1e-10)


def test_gradients_are_derivatives(case: tuple[int, Layer]) -> None:
    axes, layer = case
    layer = layer.double()
    coords = cloud(axes, 0.02 if axes > 2 else 0.3)
    features = drawn(len(coords), INPUTS).requires_grad_()
    sites, cell = Sites.of(coords, SHAPES[axes], WALKS)

    def run(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        held = SparseTensor(rows, sites)
        out: SparseTensor = torch.func.functional_call(layer, {"weight": weight}, (held,))
        return out.features

    assert len(cell) > 3
    assert torch.autograd.gradcheck(run, (features, layer.weight), fast_mode=True)


# ---- order, duplicates, shifts ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "spconv"])
def test_order_and_duplicates_of_points_change_no_bit(case: tuple[int, Layer], name: Any) -> None:
    if name == "spconv":
        pytest.importorskip("spconv.pytorch")
    axes, layer = case
    coords = cloud(axes)
    features = drawn(len(coords), INPUTS, dtype=torch.float32)
    again = torch.randint(len(coords), (3 * len(coords),), generator=torch.Generator().manual_seed(5))
    rows = torch.cat([again, torch.arange(len(coords)).flip(0)])
    with backend(name):
        wanted = layer(SparseTensor.of(coords, features, SHAPES[axes], WALKS))
        got = layer(SparseTensor.of(coords[rows], features[rows], SHAPES[axes], WALKS))
    assert torch.equal(got.sites.coords, wanted.sites.coords)
    assert torch.equal(got.features, wanted.features)


def test_a_walk_does_not_see_its_neighbours_in_the_batch(case: tuple[int, Layer]) -> None:
    axes, layer = case
    coords = cloud(axes, 0.4)
    features = drawn(len(coords), INPUTS, dtype=torch.float32)
    together = layer(SparseTensor.of(coords, features, SHAPES[axes], WALKS))
    for walk in range(WALKS):
        own = coords[:, 0] == walk
        alone_at = coords[own].clone()
        alone_at[:, 0] = 0
        alone = layer(SparseTensor.of(alone_at, features[own], SHAPES[axes], 1))
        mine = together.sites.coords[:, 0] == walk
        assert torch.equal(together.sites.coords[mine, 1:], alone.sites.coords[:, 1:])
        torch.testing.assert_close(together.features[mine], alone.features)


def test_no_step_wraps_from_one_row_into_the_next() -> None:
    """The last cell of a row and the first of the next have neighbouring numbers, but are no neighbours."""
    coords = torch.tensor([[0, 0, 4], [0, 1, 0]])
    layer = SubmanifoldConv(1, 1, (3, 3))
    with torch.no_grad():
        layer.weight.fill_(1)
    out = layer(SparseTensor.of(coords, torch.tensor([[2.0], [3.0]]), (2, 5)))
    assert out.features.flatten().tolist() == [2.0, 3.0]


def test_shifting_the_cells_shifts_the_answer() -> None:
    layer = SubmanifoldConv(INPUTS, OUTPUTS, (3, 3, 3))
    coords = cloud(3)
    features = drawn(len(coords), INPUTS, dtype=torch.float32)
    shift = torch.tensor([0, 4, 1, 9])
    here = layer(SparseTensor.of(coords, features, (20, 20, 20), WALKS))
    there = layer(SparseTensor.of(coords + shift, features, (20, 20, 20), WALKS))
    assert torch.equal(there.sites.coords, here.sites.coords + shift)
    assert torch.equal(there.features, here.features)


# ---- backends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spconv_gives_the_same_answer_from_the_same_weights(
    case: tuple[int, Layer], dtype: torch.dtype
) -> None:
    pytest.importorskip("spconv.pytorch")
    axes, layer = case
    layer = layer.to(dtype)
    coords = cloud(axes)
    found = []
    names: list[Any] = ["torch", "spconv"]
    for name in names:
        features = drawn(len(coords), INPUTS, dtype=dtype).requires_grad_()
        with backend(name):
            out = layer(SparseTensor.of(coords, features, SHAPES[axes], WALKS))
        pull = drawn(len(out), OUTPUTS, dtype=dtype, seed=2)
        gradients = torch.autograd.grad((out.features * pull).sum(), (features, layer.weight))
        found.append((out, *gradients))
    (ours, *our_gradients), (theirs, *their_gradients) = found
    assert torch.equal(ours.sites.coords, theirs.sites.coords)
    assert ours.sites.shape == theirs.sites.shape
    torch.testing.assert_close(theirs.features, ours.features, rtol=1e-5, atol=1e-5)
    for got, want in zip(their_gradients, our_gradients, strict=True):
        torch.testing.assert_close(got / want.abs().max(), want / want.abs().max(), rtol=1e-5, atol=1e-5)


def test_a_backend_holds_inside_its_block_only() -> None:
    pytest.importorskip("spconv.pytorch")
    assert current_backend() == "torch"
    with backend("spconv"):
        assert current_backend() == "spconv"
        with backend("torch"):
            assert current_backend() == "torch"
        assert current_backend() == "spconv"
    assert current_backend() == "torch"
    wrong: Any = "spcnv"
    with pytest.raises(ConfigError, match="no sparse backend 'spcnv'; did you mean 'spconv'"), backend(wrong):
        pass


def test_without_spconv_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from gait3dlib.sparse import _spconv

    _spconv.load.cache_clear()
    monkeypatch.setitem(sys.modules, "spconv.pytorch", None)
    with pytest.raises(MissingDependency, match=r"gait3dlib\[sparse\]"), backend("spconv"):
        pass
    assert current_backend() == "torch"


def test_rule_books_are_kept_with_the_cells() -> None:
    x = SparseTensor.of(cloud(3), drawn(len(cloud(3)), INPUTS, dtype=torch.float32), SHAPES[3], WALKS)
    first, second = SubmanifoldConv(INPUTS, OUTPUTS, (3, 3, 3)), SubmanifoldConv(OUTPUTS, 4, (3, 3, 3))
    second(first(x))
    assert list(x.sites.books) == [("submanifold", (3, 3, 3))]
    down = StridedConv(INPUTS, OUTPUTS, (2, 2, 2))
    assert down(x).sites is down(x).sites


# ---- norm and pooling ---------------------------------------------------------------------------------


def test_the_norm_is_over_active_cells() -> None:
    coords = cloud(3)
    x = SparseTensor.of(coords, drawn(len(coords), INPUTS), SHAPES[3], WALKS)
    norm = SparseNorm(INPUTS, relu=False).double()
    out = norm(x).features
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(INPUTS).double(), atol=1e-12, rtol=0)
    spread = x.features.var(dim=0, unbiased=False)
    torch.testing.assert_close(out.var(dim=0, unbiased=False), spread / (spread + norm.eps))
    assert (SparseNorm(INPUTS).double()(x).features == out.clamp(min=0)).all()
    assert norm.running_mean is not None
    held = norm.running_mean.clone()
    alone = norm(SparseTensor(x.features[:1], Sites.of(coords[:1], SHAPES[3], WALKS)[0]))
    assert alone.features.isfinite().all()
    assert torch.equal(norm.running_mean, held)


def test_pooling_equals_a_loop_over_groups() -> None:
    features, group = drawn(50, 3), torch.arange(50) % 7 + 1
    for how, one in (("max", torch.amax), ("min", torch.amin), ("mean", torch.mean), ("sum", torch.sum)):
        got = pool(features, group, 9, how)  # type: ignore[arg-type]
        for number in range(9):
            rows = features[group == number]
            wanted = one(rows, dim=0) if len(rows) else torch.zeros(3).double()
            torch.testing.assert_close(got[number], wanted)
    assert counts(group, 9).tolist() == [0, 8, 7, 7, 7, 7, 7, 7, 0]
    with pytest.raises(InputError, match="pooling must be"):
        pool(features, group, 9, "median")  # type: ignore[arg-type]


def test_rows_of_one_cell_are_merged() -> None:
    coords = torch.tensor([[1, 2, 0], [0, 1, 1], [1, 2, 0]], dtype=torch.int32)
    features = torch.tensor([[1.0], [5.0], [3.0]])
    for merge, wanted in (("max", 3.0), ("min", 1.0), ("mean", 2.0), ("sum", 4.0)):
        x = SparseTensor.of(coords, features, (3, 2), merge=merge)  # type: ignore[arg-type]
        assert x.sites.coords.tolist() == [[0, 1, 1], [1, 2, 0]]
        assert x.features.flatten().tolist() == [5.0, wanted]
        assert x.sites.walks == 2


# ---- what cannot be ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "spconv"])
def test_nothing_active_gives_nothing(case: tuple[int, Layer], name: Any) -> None:
    if name == "spconv":
        pytest.importorskip("spconv.pytorch")
    axes, layer = case
    empty = SparseTensor.of(torch.zeros(0, 1 + axes).long(), torch.zeros(0, INPUTS), SHAPES[axes], WALKS)
    with backend(name):
        out = SparseNorm(OUTPUTS)(layer(empty))
    assert out.features.shape == (0, OUTPUTS)
    out.features.sum().backward()


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        (torch.tensor([[0, 9, 0]]), "outside of"),
        (torch.tensor([[0, -1, 0]]), "outside of"),
        (torch.tensor([[2, 0, 0]]), "outside of 2 walks"),
        (torch.tensor([[0, 0, 0, 0]]), r"must be \[n, 3\]"),
        (torch.tensor([[0.0, 0.0, 0.0]]), "whole numbers"),
    ],
)
def test_coordinates_that_no_grid_has(coords: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SparseTensor.of(coords, torch.zeros(len(coords), 1), (4, 4), 2)


def test_other_things_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"2\*\*62"):
        SparseTensor.of(torch.zeros(1, 4).long(), torch.zeros(1, 1), (2**31, 2**31, 2))
    with pytest.raises(InputError, match="a row a coordinate"):
        SparseTensor.of(torch.zeros(2, 3).long(), torch.zeros(1, 1), (4, 4))
    with pytest.raises(ConfigError, match="make every size odd"):
        SubmanifoldConv(1, 1, (3, 2))
    with pytest.raises(ConfigError, match="at least one channel"):
        SubmanifoldConv(0, 1, (3, 3))
    with pytest.raises(ConfigError, match="must name every axis"):
        StridedConv(1, 1, (3, 3), (2,))
    x = SparseTensor.of(torch.zeros(1, 3).long(), torch.zeros(1, 2), (1, 4))
    with pytest.raises(InputError, match="reads 1 channels on 2 axes"):
        SubmanifoldConv(1, 1, (3, 3))(x)
    with pytest.raises(InputError, match="too small for a kernel"):
        StridedConv(2, 1, (2, 2))(x)

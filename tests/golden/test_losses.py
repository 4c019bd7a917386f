"""The losses: OpenGait's values and gradients, brute force, and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from gait3dlib.errors import InputError  # noqa: E402
from gait3dlib.fusion.losses import (  # noqa: E402
    batch_all_triplet,
    gaussian_nll,
    masked_bce,
    smoothed_cosine_cross_entropy,
)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("losses.npz")) as stored:
        return dict(stored)


def value_and_gradient(loss: Callable, inputs: np.ndarray, dtype: torch.dtype) -> tuple[float, np.ndarray]:
    """Of a golden input [n, c, p], through our layout [n, p, c] and back."""
    leaf = torch.tensor(inputs, dtype=dtype, requires_grad=True)
    value = loss(leaf.transpose(1, 2))
    value.backward()
    assert value.dtype == dtype
    return value.item(), leaf.grad.numpy()


def brute_force(embeddings: np.ndarray, labels: list[int], margin: float) -> float:
    """The mean violation, written out as loops."""
    n, parts, _ = embeddings.shape
    means = []
    for part in embeddings.transpose(1, 0, 2):
        found = [
            max(0.0, margin + np.linalg.norm(part[a] - part[p]) - np.linalg.norm(part[a] - part[q]))
            for a in range(n)
            for p in range(n)
            for q in range(n)
            if labels[a] == labels[p] != labels[q] and labels[a] >= 0 and labels[q] >= 0
        ]
        found = [f for f in found if f > 0]
        means.append(np.mean(found) if found else 0.0)
    assert len(means) == parts
    return float(np.mean(means))


# ---- identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_triplet_is_opengaits(golden, margin, dtype) -> None:
    labels = torch.tensor(golden["labels"])
    value, gradient = value_and_gradient(
        lambda x: batch_all_triplet(x, labels, margin), golden["embeddings"], dtype
    )
    assert value == pytest.approx(float(golden[f"triplet_m{margin}.mean"]), abs=1e-6)
    np.testing.assert_allclose(gradient, golden[f"triplet_m{margin}.grad"], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "scale", "smoothing"), [("ce_s16_smooth", 16, 0.1), ("ce_s1_nosmooth", 1, 0)]
)
def test_cross_entropy_is_opengaits(golden, name, scale, smoothing, dtype) -> None:
    labels = torch.tensor(golden["labels"])
    value, gradient = value_and_gradient(
        lambda x: smoothed_cosine_cross_entropy(x, labels, scale, smoothing), golden["logits"], dtype
    )
    assert value == pytest.approx(float(golden[f"{name}.mean"]), abs=1e-6)
    np.testing.assert_allclose(gradient, golden[f"{name}.grad"], atol=1e-6)


def test_the_sum_is_opengaits(golden) -> None:
    labels = torch.tensor(golden["labels"])
    total = batch_all_triplet(torch.tensor(golden["embeddings"]).transpose(1, 2), labels)
    total = total + smoothed_cosine_cross_entropy(torch.tensor(golden["logits"]).transpose(1, 2), labels)
    assert total.item() == pytest.approx(float(golden["sum_triplet_ce"]), abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [4, 4, 4, 1, 1, 9, 0], [0, 0, -1, 1, 1, -1, 2]])
def test_triplet_with_unequal_samples_against_loops(labels) -> None:
    embeddings = np.random.default_rng(3).normal(size=(len(labels), 3, 4))
    ours = batch_all_triplet(torch.tensor(embeddings), torch.tensor(labels), 0.3)
    assert ours.item() == pytest.approx(brute_force(embeddings, labels, 0.3), rel=1e-12)


def test_triplet_gradient_against_differences() -> None:
    embeddings = torch.tensor(np.random.default_rng(0).normal(size=(6, 2, 3)), requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    # self pairs have a kink at distance 0, but moving a sample moves both of its ends
    assert torch.autograd.gradcheck(lambda x: batch_all_triplet(x, labels), (embeddings,))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_triplet_at_zero_distance_is_finite(offset) -> None:
    embeddings = torch.full((4, 2, 8), 0.3 + offset, requires_grad=True)
    loss = batch_all_triplet(embeddings, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert not embeddings.grad.any()


def test_well_separated_identities_cost_nothing() -> None:
    embeddings = torch.eye(4)[[0, 0, 1, 1, 2]][:, None]
    assert batch_all_triplet(embeddings, torch.tensor([0, 0, 1, 1, 2])).item() == 0


def test_cross_entropy_leaves_out_unknown_identities() -> None:
    logits = torch.tensor(np.random.default_rng(1).normal(size=(5, 3, 4)))
    some = smoothed_cosine_cross_entropy(logits, torch.tensor([1, -1, 3, 0, -1]))
    alone = smoothed_cosine_cross_entropy(logits[[0, 2, 3]], torch.tensor([1, 3, 0]))
    assert some.item() == pytest.approx(alone.item(), rel=1e-12)


# ---- tasks ---------------------------------------------------------------------------------------


def test_gaussian_nll_is_the_density_of_those_labelled() -> None:
    prediction = torch.tensor([[30.0, 2.0], [50.0, 5.0], [70.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([33.0, torch.nan, 69.0], dtype=torch.float64)
    ours = gaussian_nll(prediction, target, ~target.isnan())
    density = torch.distributions.Normal(prediction[[0, 2], 0], prediction[[0, 2], 1])
    assert ours.item() == pytest.approx(-density.log_prob(target[[0, 2]]).mean().item(), rel=1e-12)


def test_gaussian_nll_is_least_at_the_error() -> None:
    sd = torch.linspace(0.5, 10, 96, dtype=torch.float64)
    losses = [
        gaussian_nll(torch.tensor([[40.0, s]]), torch.tensor([43.0]), torch.tensor([True])).item() for s in sd
    ]
    assert sd[int(np.argmin(losses))].item() == pytest.approx(3.0, abs=0.06)


def test_bce_in_closed_form() -> None:
    logits = torch.tensor([0.0, np.log(3.0), 100.0], dtype=torch.float64)
    target = torch.tensor([1.0, 0.0, torch.nan], dtype=torch.float64)
    ours = masked_bce(logits, target, ~target.isnan())
    assert ours.item() == pytest.approx((np.log(2) + np.log(4)) / 2)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda x: batch_all_triplet(x, torch.full((4,), -1)), (4, 3, 5)),
        (lambda x: batch_all_triplet(x, torch.full((4,), 7)), (4, 3, 5)),
        (lambda x: batch_all_triplet(x, torch.arange(4)), (4, 3, 1)),
        (lambda x: smoothed_cosine_cross_entropy(x, torch.full((4,), -1)), (4, 3, 5)),
        (lambda x: gaussian_nll(x, torch.full((4,), torch.nan), torch.zeros(4, dtype=torch.bool)), (4, 2)),
        (lambda x: masked_bce(x, torch.full((4,), torch.nan), torch.zeros(4, dtype=torch.bool)), (4,)),
    ],
    ids=["triplet-unknown", "triplet-one-person", "triplet-far-apart", "cross-entropy", "gaussian", "bce"],
)
def test_nothing_to_learn_is_zero_with_a_graph(loss, shape) -> None:
    leaf = (
        100.0 * torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    ).requires_grad_()
    value = loss(leaf)
    value.backward()
    assert value.shape == ()
    assert value.item() == 0
    assert not leaf.grad.any()


def test_missing_labels_leave_no_trace_in_the_gradient() -> None:
    prediction = torch.tensor([[1.0, 1.0], [2.0, 1.0]], requires_grad=True)
    gaussian_nll(prediction, torch.tensor([torch.nan, 5.0]), torch.tensor([False, True])).backward()
    assert prediction.grad[0].tolist() == [0, 0]
    assert prediction.grad[1].isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: batch_all_triplet(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)),
        lambda: batch_all_triplet(torch.zeros(4, 3, 2), torch.zeros(3, dtype=torch.long)),
        lambda: batch_all_triplet(torch.zeros(4, 3, 2), torch.zeros(4)),
        lambda: smoothed_cosine_cross_entropy(torch.zeros(4, 3, 2), torch.zeros(4, 3, dtype=torch.long)),
        lambda: gaussian_nll(torch.zeros(4, 3), torch.zeros(4), torch.ones(4, dtype=torch.bool)),
        lambda: gaussian_nll(torch.zeros(4, 2), torch.zeros(4, 1), torch.ones(4, dtype=torch.bool)),
        lambda: masked_bce(torch.zeros(4), torch.zeros(4), torch.ones(4)),
        lambda: masked_bce(torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(4, 1, dtype=torch.bool)),
    ],
)
def test_shapes_that_would_broadcast_are_refused(wrong) -> None:
    with pytest.raises(InputError):
        wrong()


# ---- part by part, and behind the neck -------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_triplet_of_each_part_is_opengaits(golden, margin) -> None:
    labels, embeddings = torch.tensor(golden["labels"]), torch.tensor(golden["embeddings"]).transpose(1, 2)
    ours = [batch_all_triplet(embeddings[:, k : k + 1], labels, margin).item() for k in range(5)]
    np.testing.assert_allclose(ours, golden[f"triplet_m{margin}.loss"], atol=1e-6)


def slow_neck(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """BNNeck in training, written out: x [n, c, p] -> unit features [n, c, p] and cosines [n, classes, p]."""
    n, c, p = x.shape
    feature = np.empty_like(x)
    for i in range(c):
        for k in range(p):
            values = x[:, i, k]
            normal = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
            feature[:, i, k] = normal * scale[i * p + k] + shift[i * p + k]
    feature /= np.sqrt((feature**2).sum(axis=1, keepdims=True))
    unit = classes / np.sqrt((classes**2).sum(axis=1, keepdims=True))
    logits = np.stack([feature[:, :, k] @ unit[k] for k in range(p)], axis=2)
    assert logits.shape == (n, classes.shape[2], p)
    return feature, logits


def slow_cross_entropy(logits: np.ndarray, labels: list[int]) -> float:
    """Cosines times 16, a tenth of the target spread over all classes, mean over samples and parts."""
    each = []
    for row, label in zip(logits, labels, strict=True):
        for part in 16 * row.T:
            share = part - np.log(np.exp(part).sum())
            each.append(-(0.9 * share[label] + 0.1 * share.mean()))
    return float(np.mean(each))


def test_neck_and_cross_entropy_with_gradients_against_loops() -> None:
    from gait3dlib.networks._parts import Neck

    rng, labels = np.random.default_rng(8), [0, 0, 1, 2, 2]
    x = rng.normal(size=(5, 4, 3))
    neck = Neck(3, 4, 6).double().train()
    with torch.no_grad():
        neck.norm.weight.copy_(torch.tensor(rng.uniform(0.5, 1.5, 12)))
        neck.norm.bias.copy_(torch.tensor(rng.normal(size=12)))
    weights = [neck.norm.weight, neck.norm.bias, neck.classes]
    held = [w.detach().numpy().copy() for w in weights]
    leaf = torch.tensor(x, requires_grad=True)
    feature, logits = neck(leaf)
    loss = smoothed_cosine_cross_entropy(logits.transpose(1, 2), torch.tensor(labels))
    loss.backward()
    slow_feature, slow_logits = slow_neck(x, *held)
    np.testing.assert_allclose(feature.detach(), slow_feature, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(logits.detach(), slow_logits, rtol=1e-10, atol=1e-12)
    assert loss.item() == pytest.approx(slow_cross_entropy(slow_logits, labels), rel=1e-10)
    np.testing.assert_allclose(neck.norm.running_mean, 0.1 * x.mean(axis=0).ravel(), rtol=1e-10)
    for array, tensor in zip([x, *held], [leaf, *weights], strict=True):
        gradient = np.empty_like(array)
        for place in np.ndindex(array.shape):
            kept, sides = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                sides.append(slow_cross_entropy(slow_neck(x, *held)[1], labels))
            array[place] = kept
            gradient[place] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(tensor.grad, gradient, atol=1e-7)

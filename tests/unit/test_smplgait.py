"""SMPLGait against a slow re-write, the statistics of OpenGait's own run, and batches of any length."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from opengait_fill import GOLDEN, filled_state, key_shapes, told  # noqa: E402

from gait3dlib import opengait  # noqa: E402
from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.networks.smplgait import SMPLGait  # noqa: E402

CASE = "smplgait_gait3d"
SMALL = {"widths": (4, 6, 8), "hidden": (5, 7), "embedding": 9, "smpl_values": 11}


@pytest.fixture(scope="module")
def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Silhouettes uint8 [2, 10, 64, 44] and SMPL parameters float64 [2, 10, 85] of the golden runs."""
    with np.load(GOLDEN / "inputs.npz") as images, np.load(GOLDEN / "bodies.npz") as bodies:
        return images["silhouettes"][..., 10:54], bodies["smpl"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    path = tmp_path_factory.mktemp("smplgait") / "smplgait.pt"
    torch.save(filled_state(CASE), path)
    return opengait.load(path, "SMPLGait")


def small(**changes: object) -> SMPLGait:
    torch.manual_seed(2)
    network = SMPLGait(**{**SMALL, **changes})
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


def walks(n: int = 2, s: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, s, 1, 64, 44, generator=draw), torch.randn(n, s, 11, generator=draw)


# ---- the facts, written out in NumPy ----------------------------------------------------------------


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """[c, h, w] by [o, c, k, k], zero padding that keeps the size, leaky ReLU of slope 0.01."""
    k = kernel.shape[2]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    out = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 3, 4]))
    return np.where(out > 0, out, 0.01 * out)


def halved(x: np.ndarray) -> np.ndarray:
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))


def slow_matrix(smpl: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    x = smpl
    for i in "123":
        x = p[f"fc{i}.weight"] @ x + p[f"fc{i}.bias"]
        x = (x - p[f"bn{i}.running_mean"]) / np.sqrt(p[f"bn{i}.running_var"] + 1e-5)
        x = np.maximum(x * p[f"bn{i}.weight"] + p[f"bn{i}.bias"], 0)
    return x.reshape(16, 16) + np.eye(16)


def slow_embedding(images: np.ndarray, smpl: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """One walk: images [s, 64, 44] in 0..1, smpl [s, values] -> [c, parts]."""
    frames = []
    for image, body in zip(images, smpl, strict=True):
        x = image[None]
        for i in (0, 2, 5, 7, 10, 12):
            if i in (5, 10):
                x = halved(x)
            x = convolved(x, p[f"Backbone.forward_block.feature.{i}.conv.weight"])
        square = np.concatenate([x, np.zeros((len(x), 16, 5))], axis=2)
        frames.append(square @ slow_matrix(body, p))
    most = np.max(frames, axis=0)
    strips = []
    for count in (16, 8, 4, 2, 1):
        rows = 16 // count
        for i in range(count):
            strip = most[:, i * rows : (i + 1) * rows].reshape(len(most), -1)
            strips.append(strip.mean(axis=1) + strip.max(axis=1))
    return np.stack([strip @ p["FCs.fc_bin"][k] for k, strip in enumerate(strips)], axis=1)


def test_small_network_against_the_rewrite() -> None:
    network = small().double()
    p = {key: value.numpy() for key, value in opengait.state_dict(network).items()}
    silhouettes, smpl = (x.double() for x in walks())
    with torch.inference_mode():
        ours = network(silhouettes, smpl).numpy()
    slow = [slow_embedding(i[:, 0], s, p) for i, s in zip(silhouettes.numpy(), smpl.numpy(), strict=True)]
    np.testing.assert_allclose(ours, slow, rtol=1e-10, atol=1e-12)


def test_full_network_against_the_rewrite(network, inputs) -> None:
    images, smpl = inputs[0][:1, :2] / 255, inputs[1][:1, :2]
    p = {key: value.double().numpy() for key, value in filled_state(CASE).items()}
    slow = slow_embedding(images[0], smpl[0], p)
    with torch.inference_mode():
        single = network(torch.tensor(images[:, :, None]).float(), torch.tensor(smpl).float())
        double = network.double()(torch.tensor(images[:, :, None]), torch.tensor(smpl))
    network.float()
    assert np.abs(double[0].numpy() - slow).max() < 1e-9 * np.abs(slow).max()
    assert np.abs(single[0].numpy() - slow).max() < 1e-5 * np.abs(slow).max()


def test_mean_and_spread_of_opengaits_run(network, inputs) -> None:
    """Shape, mean and standard deviation of OpenGait's own layers, on the same inputs and parameters."""
    stages = told(CASE)["stages"]
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _x, out, name=name: seen.__setitem__(name, out))
        for name, module in (
            ("Backbone", network.trunk),
            ("fc3", network.matrix.linears[2]),
            ("bn3", network.matrix.norms[2]),
            ("FCs", network.head.linear),
        )
    ]
    silhouettes, smpl = torch.tensor(inputs[0])[:, :, None].float() / 255, torch.tensor(inputs[1]).float()
    with torch.inference_mode():
        embedding, logits = network.train_outputs(silhouettes, smpl)
        seen["BNNecks"] = network.head.neck.feature(embedding)
    for hook in hooks:
        hook.remove()
    for name, out in seen.items():
        shape, mean, std = stages[name]
        assert out.numel() == np.prod(shape), name
        assert float(out.double().mean()) == pytest.approx(mean, abs=2e-7), name
        assert float(out.double().std()) == pytest.approx(std, rel=2e-6), name
    assert logits.shape == (2, 3000, 31)


def test_names_and_counts(network) -> None:
    theirs = {key: tuple(value.shape) for key, value in opengait.state_dict(network).items()}
    assert theirs == key_shapes(CASE)
    counted, case = sum(p.numel() for p in network.parameters()), told(CASE)
    assert counted == case["parameters"]
    assert counted - network.head.neck.classes.numel() == case["without_classes"]


# ---- batches and input ------------------------------------------------------------------------------


def test_a_ragged_batch_is_its_walks_one_by_one() -> None:
    network = small(classes=3, neck=True)
    silhouettes, smpl = walks(3, 5)
    lengths = [2, 5, 1]
    spoilt, bodies = silhouettes.clone(), smpl.clone()
    for i, length in enumerate(lengths):
        spoilt[i, length:] = torch.nan
        bodies[i, length:] = torch.nan
    with torch.inference_mode():
        together = network(spoilt, bodies, lengths)
        alone = [
            network(silhouettes[i : i + 1, :length], smpl[i : i + 1, :length])[0]
            for i, length in enumerate(lengths)
        ]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-6, atol=1e-6)
    assert torch.allclose(together.norm(dim=1), torch.ones(3, 31))


def test_dropout_is_for_training_and_gradients_reach_everything() -> None:
    network = small(classes=3, dropout=0.5)
    silhouettes, smpl = walks(3, 4)
    with torch.no_grad():
        assert torch.equal(network(silhouettes, smpl), network(silhouettes, smpl))
    network.train()
    embedding, logits = network.train_outputs(silhouettes, smpl, [4, 2, 3])
    (embedding.square().sum() + logits.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network.matrix.linears[0].weight.grad.any()
    assert not torch.equal(network.train_outputs(silhouettes, smpl)[0], network(silhouettes, smpl))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda x, b: (x.expand(-1, -1, 2, -1, -1), b, None), "1 channels"),
        (lambda x, b: (torch.zeros(2, 3, 1, 64, 64), b, None), "cut 10 columns off each side"),
        (lambda x, b: (x, b[:, :2], None), r"\[2, 3, 11\]"),
        (lambda x, b: (x, b[..., :10], None), r"\[2, 3, 11\]"),
        (lambda x, b: (x, b.int(), None), "floating point SMPL"),
        (lambda x, b: (x, b / 0, None), "NaN or infinity"),
        (lambda x, b: (x * 255, b, None), "divided by 255"),
        (lambda x, b: (x, b, [3, 0]), "walk 1 has no frame"),
    ],
)
def test_wrong_input_is_refused(change, hint) -> None:
    with pytest.raises(InputError, match=hint):
        small()(*change(*walks()))


@pytest.mark.parametrize("wrong", [{"widths": (4, 6)}, {"hidden": (5,)}, {"bins": (3,)}, {"neck": True}])
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        small(**wrong)

"""LidarGait++: OpenGait's numbers, a slow re-write, and batches of walks of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from opengait_fill import GOLDEN, filled_state, key_shapes, told  # noqa: E402

from gait3dlib import opengait  # noqa: E402
from gait3dlib.modalities._point_sets import normalise_points  # noqa: E402

CASE = "lidargaitpp_sustech1k"
FEW = told(CASE)["settings"]  # samples and neighbours, which no checkpoint tells
SMALL = {"samples": (24, 12, 6), "neighbours": 4, "widths": ((4, 8),) * 3 + ((8, 8),), "embedding": 5}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{CASE}.npz") as stored, np.load(GOLDEN / "bodies.npz") as inputs:
        return {**stored, "cloud": inputs["cloud"], "points": inputs["cloud_transformed"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lidargaitpp") / "LidarGaitPP-40000.pt"
    torch.save({"model": filled_state(CASE), "iteration": 40_000}, path)
    return path


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> torch.nn.Module:
    return opengait.load(checkpoint, "LidarGait++", **FEW)


def slow_layers(x: np.ndarray, level: int, p: dict[str, np.ndarray]) -> np.ndarray:
    """[..., inputs] through three maps with norm and ReLU."""
    for i in range(3):
        conv, norm = f"sa{level}.mlp_convs.{i}", f"sa{level}.mlp_bns.{i}"
        x = x @ p[f"{conv}.weight"][:, :, 0, 0].T + p[f"{conv}.bias"]
        x = (x - p[f"{norm}.running_mean"]) / np.sqrt(p[f"{norm}.running_var"] + 1e-5)
        x = np.maximum(x * p[f"{norm}.weight"] + p[f"{norm}.bias"], 0)
    return x


def slow_frame(points: np.ndarray, p: dict[str, np.ndarray], samples: tuple[int, ...], k: int) -> np.ndarray:
    """One cloud [p, 4] -> [c, 31], one centre at a time."""
    features = np.zeros((len(points), 0))
    for level, (count, radius) in enumerate(zip(samples, (0.1, 0.2, 0.4), strict=True), start=1):
        chosen, gap = [0], np.full(len(points), np.inf)
        while len(chosen) < count:
            gap = np.minimum(gap, ((points[:, :3] - points[chosen[-1], :3]) ** 2).sum(axis=1))
            chosen.append(int(gap.argmax()))
        kept = []
        for centre in points[chosen]:
            near = np.argsort(((points[:, :3] - centre[:3]) ** 2).sum(axis=1), kind="stable")[:k]
            group = np.concatenate([(points[near] - centre) / radius, features[near]], axis=1)
            kept.append(slow_layers(group, level, p).max(axis=0))
        points, features = points[chosen], np.stack(kept)
    features = slow_layers(np.concatenate([points, features], axis=1), 4, p)
    slices = []
    for count in (1, 2, 4, 8, 16):
        width = 2.0 / count
        place = np.clip(np.ceil(points[:, 3] / width) - 1, 0, count - 1)
        for i in range(count):
            inside = features[place == i]
            slices.append(inside.max(axis=0) + inside.mean(axis=0) if len(inside) else 0 * features[0])
    return np.stack(slices, axis=1)


def slow_embedding(
    frames: np.ndarray, p: dict[str, np.ndarray], samples: tuple[int, ...], k: int
) -> np.ndarray:
    most = np.max([slow_frame(points, p, samples, k) for points in frames], axis=0)
    return np.einsum("cp,pcd->dp", most, p["FCs.fc_bin"])


def relative(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


# ---- OpenGait's numbers ---------------------------------------------------------------------------


def test_embedding(network, golden) -> None:
    """OpenGait computes this network in single precision even when asked for double: its two golden arrays
    are one, and in double precision ours differs from it by OpenGait's rounding."""
    np.testing.assert_array_equal(golden["embeddings"], golden["embeddings_f64"])
    points = torch.from_numpy(golden["points"])
    with torch.inference_mode():
        single = network(points.float())
        double = network.double()(points)
    network.float()
    assert single.shape == (2, 256, 31)
    assert relative(single, golden["embeddings"]) < 1e-5
    assert relative(double, golden["embeddings"]) < 1e-6


def test_double_precision_against_the_facts_written_out(network, golden) -> None:
    p = {key: value.double().numpy() for key, value in filled_state(CASE).items()}
    points = golden["points"][:1, :2]
    with torch.inference_mode():
        double = network.double()(torch.from_numpy(points))[0].numpy()
    network.float()
    slow = slow_embedding(points[0], p, FEW["samples"], FEW["neighbours"])
    assert np.abs(double - slow).max() < 1e-9 * np.abs(slow).max()


def test_neck_and_logits(checkpoint, golden) -> None:
    points = torch.from_numpy(golden["points"]).float()
    network = opengait.load(checkpoint, "LidarGait++", neck=True, **FEW)
    with torch.inference_mode():
        assert relative(network(points), golden["bnneck"]) < 1e-5
        embedding, logits = network.train_outputs(points)
    assert relative(embedding, golden["embeddings"]) < 1e-5
    assert relative(logits[:, :16], golden["logits_first16"]) < 1e-5


def test_names_and_counts(network) -> None:
    theirs = {key: tuple(value.shape) for key, value in opengait.state_dict(network).items()}
    assert theirs == key_shapes(CASE)
    counted, case = sum(p.numel() for p in network.parameters()), told(CASE)
    assert counted == case["parameters"]
    assert counted - network.head.neck.classes.numel() == case["without_classes"]


def test_saved_and_loaded_it_is_the_same(network, tmp_path: Path) -> None:
    opengait.save(network, tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)["model"]
    assert all(torch.equal(again[key], value) for key, value in filled_state(CASE).items())


def test_input_of_the_network(golden) -> None:
    np.testing.assert_allclose(normalise_points(golden["cloud"]), golden["points"], rtol=1e-12, atol=1e-14)


# ---- batches --------------------------------------------------------------------------------------


def test_a_ragged_batch_is_its_walks_one_by_one(network, golden) -> None:
    points = torch.from_numpy(golden["points"]).float()
    points = torch.cat([points, points.flip(1)])[:3]
    lengths = [4, 1, 3]
    spoilt = points.clone()
    for walk, length in zip(spoilt, lengths, strict=True):
        walk[length:] = torch.nan
    with torch.inference_mode():
        together = network(spoilt, torch.tensor(lengths))
        alone = [network(walk[None, :length])[0] for walk, length in zip(points, lengths, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-6, atol=1e-6)

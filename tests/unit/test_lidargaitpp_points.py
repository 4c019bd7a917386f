"""LidarGait++: sets of points, its parts written out slowly, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.modalities._point_sets import normalise_points, point_sets  # noqa: E402
from gait3dlib.networks._points import farthest_points, nearest_points, pool_heights  # noqa: E402
from gait3dlib.networks.lidargaitpp import LidarGaitPP  # noqa: E402

SMALL = {"samples": (24, 12, 6), "neighbours": 4, "widths": ((4, 8),) * 3 + ((8, 8),), "embedding": 5}


def small(**changes: object) -> LidarGaitPP:
    torch.manual_seed(1)
    network = LidarGaitPP(**{**SMALL, **changes})
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


def clouds(n: int = 3, s: int = 4, p: int = 40, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(normalise_points(rng.normal(0, (0.2, 0.3, 0.6), (n, s, p, 3)))).float()


def test_the_same_points_give_the_same_answer_in_any_chunk(monkeypatch) -> None:
    network, points = small(), clouds(2, 9)
    with torch.inference_mode():
        whole = network(points)
        assert torch.equal(whole, network(points))
        for chunk in (1, 4):
            monkeypatch.setattr("gait3dlib.networks.lidargaitpp.FRAMES_AT_ONCE", chunk)
            monkeypatch.setattr("gait3dlib.networks._points.FRAMES_AT_ONCE", chunk)
            torch.testing.assert_close(network(points), whole, rtol=1e-5, atol=1e-6)


def test_frames_and_duplicates_are_sets() -> None:
    """The order of frames, and of the points after the first, changes nothing; nor does one twice."""
    network, points = small().double(), clouds(2, 3).double()
    with torch.inference_mode():
        whole = network(points)
        order = torch.randperm(39, generator=torch.Generator().manual_seed(0)) + 1
        shuffled = points[:, [2, 0, 1]][:, :, torch.cat([torch.tensor([0]), order])]
        torch.testing.assert_close(network(shuffled), whole, rtol=1e-12, atol=1e-12)
        plain = small(neighbours=1).double()  # a group of one is the point itself, however often it is there
        torch.testing.assert_close(plain(torch.cat([points, points[:, :, -1:]], 2)), plain(points))


def test_gradients_reach_every_parameter() -> None:
    network = small(classes=4).train()
    embedding, logits = network.train_outputs(clouds(), [4, 2, 3])
    (embedding.square().sum() + logits.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(p.grad.any() for name, p in network.named_parameters() if "linear.bias" not in name)


def test_the_norm_inside_of_the_map_is_the_norm_after_it() -> None:
    """In eval mode the norm is folded; with the statistics of the batch as running ones, nothing differs."""
    network, points = small(), clouds(1, 2)

    def as_it_divides(norm: torch.nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        # what a norm learns is the variance of a sample, what it divides by that of the batch
        norm.running_var.mul_(1 - 1 / len(given[0]))

    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.momentum = 1.0
            layer.register_forward_hook(as_it_divides)
    with torch.no_grad():
        trained = network.train()(points)
        torch.testing.assert_close(network.eval()(points), trained, rtol=1e-4, atol=1e-5)


# ---- the parts, written out slowly ------------------------------------------------------------------


def test_farthest_points_written_out() -> None:
    xyz = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 30, 3)))
    ours = farthest_points(xyz, 9)
    for frame, chosen in zip(xyz.numpy(), ours.tolist(), strict=True):
        slow = [0]
        while len(slow) < 9:
            gaps = [min(np.linalg.norm(point - frame[i]) for i in slow) for point in frame]
            slow.append(int(np.argmax(gaps)))
        assert chosen == slow
    assert farthest_points(torch.zeros(1, 4, 3), 3).tolist() == [[0, 0, 0]], "of equals the first"
    line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [10, 0, 0], [4, 0, 0]]])
    assert farthest_points(line, 4).tolist() == [[0, 2, 3, 1]]


def test_nearest_points_written_out() -> None:
    rng = np.random.default_rng(4)
    xyz, centres = torch.from_numpy(rng.normal(size=(2, 20, 3))), torch.from_numpy(rng.normal(size=(2, 5, 3)))
    ours = nearest_points(centres, xyz, 6).sort(dim=2).values
    for f in range(2):
        for m in range(5):
            distance = np.linalg.norm(xyz[f].numpy() - centres[f, m].numpy(), axis=1)
            assert ours[f, m].tolist() == sorted(np.argsort(distance)[:6].tolist())
    far = torch.tensor([[[1e3, 0, 0], [1e3 + 1e-3, 0, 0], [1e3 + 3e-3, 0, 0]]])  # expanded squares are noise
    assert nearest_points(far[:, :1], far, 2).sort().values.tolist() == [[[0, 1]]]


def test_heights_written_out() -> None:
    height = torch.tensor([[0.0, 0.3, 0.5, 0.51, 1.0, 2.0, 2.7]], dtype=torch.float64)
    features = torch.from_numpy(np.random.default_rng(5).normal(size=(1, 7, 3)))
    ours = pool_heights(features, height, (1, 4), 2.0)
    slices = [range(7), [0, 1, 2], [3, 4], [], [5, 6]]  # 0.5 and 1.0 lie on edges, 2.7 above the top
    for part, members in enumerate(slices):
        members = list(members)
        wanted = features[0, members]
        expected = wanted.mean(0) + wanted.amax(0) if members else torch.zeros(3)
        torch.testing.assert_close(ours[0, :, part], expected.double())


def test_a_slice_knows_only_its_own_points() -> None:
    network, points = small(bins=(1, 4)), clouds(1, 1)
    points[..., 3] = torch.linspace(0.1, 0.4, 40)  # all in the lowest quarter
    with torch.inference_mode():
        embedding = network(points)[0]
    assert not embedding[:, 2:].any(), "nothing there: exactly 0"
    assert embedding[:, :2].abs().sum(0).min() > 0


# ---- input ----------------------------------------------------------------------------------------


def test_point_sets_are_drawn_once_and_for_all() -> None:
    rng = np.random.default_rng(0)
    points, offsets = rng.normal(size=(50, 4)).astype(np.float32), np.array([0, 20, 20, 50])
    sets, kept = point_sets(points, offsets, count=64)
    assert (sets.shape, sets.dtype, kept.tolist()) == ((2, 64, 4), np.float32, [0, 2])
    np.testing.assert_array_equal(sets, point_sets(points, offsets, count=64)[0])
    assert (sets != point_sets(points, offsets, count=64, seed=1)[0]).any()
    np.testing.assert_allclose(sets[..., :3].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(sets[..., :3], axis=2).max(axis=1), 1, rtol=1e-6)
    assert (sets[..., 3].min(axis=1) == 0).all()
    every, _ = point_sets(points[:20], np.array([0, 20]), count=4000)
    assert len(np.unique(every[0], axis=0)) == 20
    empty, none = point_sets(points[:0], np.array([0, 0]))
    assert (empty.shape, len(none)) == ((0, 1024, 4), 0)
    assert not normalise_points(np.ones((5, 3)))[..., :3].any()


@pytest.mark.parametrize(
    ("points", "lengths", "hint"),
    [
        (torch.zeros(1, 2, 40, 3), None, "height in metres"),
        (torch.zeros(2, 40, 4), None, "height in metres"),
        (torch.zeros(1, 2, 40, 4, dtype=torch.int32), None, "floating point"),
        (torch.zeros(1, 2, 20, 4), None, "at least 24 points"),
        (torch.full((1, 2, 40, 4), torch.nan), None, "NaN"),
        (torch.zeros(2, 2, 40, 4), [2, 0], "walk 1 has no frame"),
        (torch.zeros(2, 2, 40, 4), [2, 3], "said to have 3 frames"),
        (torch.zeros(0, 2, 40, 4), None, "no walk"),
    ],
)
def test_wrong_points_are_refused(points, lengths, hint) -> None:
    with pytest.raises(InputError, match=hint):
        small()(points, lengths)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": (24, 12)},
        {"neighbours": (4, 4)},
        {"widths": ((4,),) * 3},
        {"samples": (12, 24, 6)},
        {"neighbours": (4, 30, 4)},
        {"neck": True},
    ],
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        small(**wrong)

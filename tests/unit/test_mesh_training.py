"""Mesh-Gait learns from simulated bodies, and what taught it is gone afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from gait3dlib import training
from gait3dlib.errors import WeightsError
from gait3dlib.fusion import weights
from gait3dlib.modalities import Batch, Sample
from gait3dlib.modalities._mesh_body import JOINTS, POINTS, VERTICES, coarse_mesh
from gait3dlib.modalities._mesh_encoder import MeshEncoder
from gait3dlib.modalities._mesh_supervisor import MeshSupervisor, _mirrored, _ramp
from gait3dlib.modalities._mesh_truth import TOLD
from gait3dlib.modalities._mesh_volume import COLUMNS, DEEP, ROWS, WIDE, Heat, hats
from gait3dlib.modalities.mesh import Mesh
from gait3dlib.modalities.silhouette import Silhouette
from gait3dlib.recording import Truth
from gait3dlib.simulation import observe_views, sample_walker
from gait3dlib.training.head import EncoderAndHead, Head

SMALL: dict[str, Any] = {"source": "silhouette", "width": 8, "strips": 4, "depth": 8}
HERE = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def supervisor() -> MeshSupervisor:
    torch.manual_seed(0)
    return MeshSupervisor()


def small_encoder() -> MeshEncoder:
    torch.manual_seed(0)
    made = Mesh(**SMALL).encoder(16)
    assert isinstance(made, MeshEncoder)
    return made


@pytest.fixture(scope="module")
def walks() -> tuple[list[Sample], torch.Tensor]:
    """Three frames each of six people who walk in six directions, and what is true of them."""
    samples, truths = [], []
    asked: dict[str, Any] = {"fps": 5.0, "seconds": 0.6, "size": 64, "streams": ("silhouette",)}
    for index in range(6):
        walker = sample_walker(11, index)
        ((seq, truth),) = observe_views(walker, (60.0 * index + 10.0,), seed=index, **asked)
        sample = Mesh(**SMALL).sample(seq)
        known = Truth(truth.labels, {**truth.arrays, "shape": walker.body().numbers})
        assert sample is not None
        told = Mesh(**SMALL).told(seq, sample.t_s, known)
        assert told is not None
        samples.append(sample)
        truths.append(torch.from_numpy(told))
    return samples, torch.stack(truths)


def test_the_points_fall_below_half_of_the_mean_poses_error(
    supervisor: MeshSupervisor, walks: tuple[list[Sample], torch.Tensor]
) -> None:
    samples, told = walks
    encoder = small_encoder().train()
    learnt = [*encoder.parameters(), *supervisor.parameters()]
    batch = Mesh().collate(samples)
    rate = torch.optim.Adam(learnt, lr=6e-3)
    torch.manual_seed(1)
    for step in range(90):
        _, losses = supervisor(encoder, batch, told, step / 90)
        rate.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        rate.step()
    with torch.no_grad():
        heat = encoder.look(batch).heat
    assert heat is not None
    true = told.flatten(0, 1)[:, : 3 * JOINTS].view(-1, JOINTS, 3)
    seen, true = (x[:, :JOINTS] - x[:, :1] for x in (heat.points, true))
    error, of_mean = ((x - true).norm(dim=2).mean() for x in (seen, true.mean(dim=0)))
    assert error < 0.5 * of_mean, f"{error:.3f}, the mean pose's {of_mean:.3f}"


# ---- losses ----------------------------------------------------------------------------------------


def perfect(points: torch.Tensor) -> Heat:
    """Heat that stands where the points are."""
    right, down, away = points.unbind(dim=2)
    row = hats(down, 1.0, ROWS)[..., None]
    front = row * hats(right, WIDE, COLUMNS)[..., None, :]
    return Heat(front, row * hats(away, DEEP, 8)[..., None, :], points)


def test_what_is_right_costs_little_and_what_is_wrong_more(
    supervisor: MeshSupervisor, walks: tuple[list[Sample], torch.Tensor]
) -> None:
    turned = torch.zeros(6, dtype=torch.bool)
    joints, vertices = MeshSupervisor()._truth(walks[1][:, 0], turned)
    points = torch.cat([joints, vertices[:, supervisor.rows]], dim=1).clamp(-0.34, 0.34)
    fresh = MeshSupervisor()
    right = fresh.losses(perfect(points), points, vertices, 1.0)
    wrong = fresh.losses(perfect((points + 0.08).clamp(-0.34, 0.34)), points, vertices, 1.0)
    assert right["points"] == 0
    for name in ("points", "heat", "mesh"):
        assert right[name] < 0.6 * wrong[name], name
    assert right["mesh"] / 2.0 < 0.025, "the skin follows from the points, to 4 cm"
    early = fresh.losses(perfect(points), points, vertices, 0.0)
    assert early["mesh"] == early["edges"] == 0 < right["mesh"]
    assert [_ramp(x, (0.2, 0.4)) for x in (0.0, 0.2, 0.3, 0.4, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


def test_the_mesh_moves_with_its_points(supervisor: MeshSupervisor) -> None:
    torch.nn.init.normal_(supervisor.adapt.weight, std=0.1)
    points, confidence = torch.randn(2, POINTS, 3), torch.rand(2, POINTS)
    away = torch.tensor([0.3, -0.2, 0.5])
    moved = supervisor.mesh(points + away, confidence)
    torch.testing.assert_close(moved, supervisor.mesh(points, confidence) + away, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(supervisor.mesh(points, 1 - confidence), supervisor.mesh(points, confidence))


def test_nothing_known_is_no_loss_and_no_nan(
    walks: tuple[list[Sample], torch.Tensor], supervisor: MeshSupervisor
) -> None:
    encoder = small_encoder().train()
    batch = Mesh().collate(walks[0])
    for known in (0, 1):
        told = torch.full_like(walks[1], torch.nan)
        told[:known] = walks[1][:known]
        _, losses = supervisor(encoder, batch, told, 1.0)
        total = torch.stack(list(losses.values())).sum()
        assert (total > 0) == bool(known)
        total.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_in_a_mirror_left_is_right(walks: tuple[list[Sample], torch.Tensor]) -> None:
    told = walks[1].flatten(0, 1)
    fresh = MeshSupervisor()
    yes, no = torch.ones(len(told), dtype=torch.bool), torch.zeros(len(told), dtype=torch.bool)
    joints, vertices = fresh._truth(told, no)
    swapped, skin = fresh._truth(told, yes)
    torch.testing.assert_close(swapped[:, 1], joints[:, 2] * torch.tensor([-1.0, 1.0, 1.0]))
    other = coarse_mesh().mirror_vertices
    torch.testing.assert_close(skin[:, 5], vertices[:, other[5]] * torch.tensor([-1.0, 1.0, 1.0]))
    frames = torch.randint(0, 256, (2, 3, 1, 64, 44), dtype=torch.uint8)
    seen = _mirrored(frames, torch.tensor([True, False]))
    assert torch.equal(seen[0], frames[0].flip(3)) and torch.equal(seen[1], frames[1])
    poses = torch.randn(2, 3, 165)
    assert _mirrored(poses, torch.tensor([True, True])) is poses


# ---- what is left of it ----------------------------------------------------------------------------


def test_the_embedding_is_equal_with_the_mesh_part_removed(
    walks: tuple[list[Sample], torch.Tensor],
) -> None:
    encoder, supervisor = small_encoder(), MeshSupervisor()
    both = EncoderAndHead(encoder, Head(16, 5, 3), supervisor).eval()
    batch = Mesh().collate(walks[0])
    with torch.no_grad():
        beside = both(batch.frames, batch.lengths, batch.t_s)[0]
        for parameter in supervisor.parameters():
            parameter.fill_(torch.nan)
        assert torch.equal(both(batch.frames, batch.lengths, batch.t_s)[0], beside)
        alone = Mesh(**SMALL).encoder(16).eval()
        alone.load_state_dict(encoder.state_dict())
        assert torch.equal(alone(batch).values, beside)
    assert VERTICES * POINTS not in {p.numel() for p in alone.parameters()}


def test_weights_hold_what_evaluation_needs_and_nothing_else(small_world: Path, tmp_path: Path) -> None:
    said: list[str] = []
    asked: dict[str, Any] = {"data": small_world, "dim": 16, "validation_people": 2, "report": said.append}
    asked |= {"modality": {"mesh": SMALL}, "schedule": tiny.SCHEDULE}
    tiny.prepare(small_world, asked["modality"])
    path = training.train_encoder(**asked, out=tmp_path / "with")
    tensors, meta = weights.read(path)
    fresh = Mesh(**SMALL).encoder(16)
    assert set(tensors) == set(fresh.state_dict()) and meta["config"]["source"] == "silhouette"
    weights.load_encoder(fresh, path, weights.resolved("mesh", SMALL))
    (losses,) = [line for line in said if "points" in line]
    found = dict(zip(losses.split()[2::2], losses.split()[3::2], strict=False))
    assert float(found["points"]) > 0 and float(found["heat"]) > 0
    without = training.train_encoder(**asked, out=tmp_path / "without", supervisor_weight=0.0)
    assert len([line for line in said if "points" in line]) == 1
    other = weights.read(without)[0]
    assert any(not torch.equal(tensors[name], other[name]) for name in tensors), "it does teach"


def test_it_may_begin_with_the_trunk_of_the_silhouettes(tmp_path: Path) -> None:
    for width in (8, 12):
        torch.manual_seed(width)
        one = Silhouette(width=width, strips=4).encoder(16)
        meta = {"kind": "modality", "name": "silhouette", "config": {"width": width, "strips": 4}}
        weights.write(tmp_path / f"{width}.safetensors", one.state_dict(), meta)
    encoder, settings = small_encoder(), weights.resolved("mesh", SMALL)
    weights.load_encoder(encoder, tmp_path / "8.safetensors", settings)
    assert encoder.pictures is not None
    given = weights.read(tmp_path / "8.safetensors")[0]
    for name, tensor in encoder.pictures.trunk.state_dict().items():
        assert torch.equal(tensor, given[f"trunk.{name}"])
    with pytest.raises(WeightsError, match="made with"):
        weights.load_encoder(encoder, tmp_path / "12.safetensors", settings)


def test_told_is_of_the_frames_that_were_drawn() -> None:
    from gait3dlib.training.told import Told

    made = object.__new__(Told)
    sample = Sample(np.zeros((5, 1), np.uint8), np.arange(5, dtype=np.float32) / 10, ("silhouette",))
    made.samples, made.size = [sample, sample], TOLD
    made.of_walk = [np.arange(5 * TOLD).reshape(5, TOLD).astype(np.float16), None]
    drawn = [sample.take(np.array([1, 3])), sample.take(np.array([0]))]
    found = made.of(np.array([0, 1]), drawn)
    assert found is not None and found.shape == (2, 2, TOLD)
    np.testing.assert_array_equal(found[0].numpy(), made.of_walk[0][[1, 3]].astype(np.float32))
    assert found[1].isnan().all()
    assert len(Batch(found, torch.tensor([2, 1]), torch.zeros(2, 2)).real_frames()[0]) == 3


# ---- the benchmark ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(HERE))
    try:
        return __import__("mesh_gait")
    finally:
        sys.path.remove(str(HERE))


def test_the_mean_pose_that_faces_as_the_person_does(script: ModuleType) -> None:
    """One pose in all directions: in the camera's axes its mean is a column, facing it is the pose itself."""
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.2, (24, 3))
    pose[0] = 0
    pose[2] = pose[1] * [-1, 1, -1]
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros(40), np.ones(40)
    turn = np.stack([np.stack([c, o, s], 1), np.stack([o, i, o], 1), np.stack([-s, o, c], 1)], 1)
    true = np.einsum("nij,kj->nki", turn, pose)
    plain, faced = script.mean_poses(true, np.arange(40) % 2 == 0)
    np.testing.assert_allclose(faced, true, atol=1e-9)
    np.testing.assert_allclose(plain[..., [0, 2]], 0.0, atol=1e-9)
    np.testing.assert_allclose(plain[..., 1], true[..., 1], atol=1e-9)
    assert script.nearer_leg(true, true) == 1.0
    assert script.nearer_leg(true * [1, 1, -1], true) == 0.0

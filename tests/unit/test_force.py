"""The force modality: yaw, gaps, missing joints, the graph's sum, and what its tokens may know."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch

from gait3dlib.body import JOINT_NAMES, Body, BodyShape
from gait3dlib.data.sampler import draw_frames
from gait3dlib.dynamics import inverse_dynamics
from gait3dlib.errors import InputError
from gait3dlib.modalities import Batch
from gait3dlib.modalities._body_graph import (
    REGIONS,
    BodyGraphEncoder,
    TimeConv,
    TreeConv,
    normalised_adjacency,
)
from gait3dlib.modalities._forces import FORCE, GROUND, LOADED, PLACE, ROWS, SEEN
from gait3dlib.modalities.force import Force
from gait3dlib.simulation import sample_walker
from gait3dlib.types import GaitSequence, Stream

FPS = 60.0
J = {name: index for index, name in enumerate(JOINT_NAMES)}


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """Two seconds of the joints of one walk, as a laboratory would measure them."""
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=0, fps=FPS, seconds=2.0)
    return walker.body().pose_joints(motion.rotations, motion.translation)


def walk(joints: np.ndarray, fps: float = FPS, **more: Stream) -> GaitSequence:
    t_ns = 7_000_000_000 + np.round(np.arange(len(joints)) * 1e9 / fps).astype(np.int64)
    return GaitSequence({"joints": Stream(joints.astype(np.float32), t_ns, "m"), **more})


def turned(joints: np.ndarray, yaw: float) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    return joints @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T


def tokens_of(seq: GaitSequence, modality: Force | None = None, seed: int = 0):
    modality = modality or Force()
    sample = modality.sample(seq)
    assert sample is not None
    torch.manual_seed(seed)
    encoder = modality.encoder(24).eval()
    with torch.inference_mode():
        return encoder(modality.collate([sample]))


# ---- the law of yaw --------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0.7, math.pi / 2, -2.5])
def test_where_a_walk_goes_changes_no_token(joints: np.ndarray, yaw: float) -> None:
    moved = turned(joints, yaw) + np.array([3.0, -2.0, 0.0])
    here, there = tokens_of(walk(joints)), tokens_of(walk(moved))
    # float32 joints a few metres from the origin are good to 0.2 micrometres; twice differentiated
    torch.testing.assert_close(here.values, there.values, atol=2e-3, rtol=0)
    assert here.values.abs().mean() > 0.3
    leaning = tokens_of(walk(joints @ np.array([[1, 0, 0.1], [0, 1, 0], [-0.1, 0, 1]])))
    assert (here.values - leaning.values).abs().max() > 0.05, "what is no turn about z does matter"


def test_given_forces_are_turned_too(joints: np.ndarray) -> None:
    found = inverse_dynamics(joints, FPS)
    t_ns = walk(joints).streams["joints"].t_ns
    here = Force().sample(walk(joints, **found.streams(t_ns)))
    there = Force().sample(walk(turned(joints, 1.1), **found.turned(1.1).streams(t_ns)))
    assert here is not None and there is not None
    assert here.used == there.used == ("joints", "force", "ground_reaction")
    np.testing.assert_allclose(here.frames, there.frames, atol=1e-4)


def test_axes_are_forward_left_up(joints: np.ndarray) -> None:
    sample = Force().sample(walk(turned(joints, 2.0)))
    assert sample is not None
    place = sample.frames[:, :, PLACE]
    assert place[:, J["left_hip"], 1].mean() > 0.05 > -0.05 > place[:, J["right_hip"], 1].mean()
    assert place[:, J["left_ankle"], 2].mean() < -0.5
    assert (place[:, J["left_foot"], 0] - place[:, J["left_ankle"], 0]).mean() > 0.05
    speed = (joints[-1, 0, 0] - joints[0, 0, 0]) / (len(joints) - 1) * FPS
    assert sample.frames[:, 0, 3].mean() == pytest.approx(speed, rel=0.02), "it walks forward"


# ---- what is read ----------------------------------------------------------------------------------


def test_the_ground_bears_the_weight(joints: np.ndarray) -> None:
    sample = Force(cutoff_hz=6.0).sample(walk(joints))
    assert sample is not None
    assert (sample.frames[:, GROUND, LOADED] == 1).all()
    borne = sample.frames[:, GROUND, FORCE][..., 2].sum(axis=1).mean()
    assert borne == pytest.approx(1.0, abs=0.08)


def test_given_forces_are_those_that_are_read(joints: np.ndarray) -> None:
    t_ns = walk(joints).streams["joints"].t_ns
    force = np.zeros((len(joints), 24, 7), np.float32)
    force[:, 4, 2] = 0.25
    ground = np.full((len(joints), 2, 6), np.nan, np.float32)
    given = {"force": Stream(force, t_ns, "1"), "ground_reaction": Stream(ground, t_ns, "1, m")}
    sample = Force().sample(walk(joints, **given))
    assert sample is not None
    np.testing.assert_allclose(sample.frames[:, 4, FORCE], np.array([[0, 0, 0.25]] * len(sample)), atol=1e-6)
    assert not sample.frames[:, GROUND].any(), "not measured: no evidence"
    assert not tokens_of(walk(joints, **given)).real[0, -2:].any()
    half = Force().sample(walk(joints, force=given["force"]))
    assert half is not None and half.used == ("joints",), "one of both is not enough"


def test_joints_only_reads_no_force(joints: np.ndarray) -> None:
    plain = Force(channels="joints")
    t_ns = walk(joints).streams["joints"].t_ns
    streams = inverse_dynamics(joints, FPS).streams(t_ns)
    one, other = plain.sample(walk(joints)), plain.sample(walk(joints, **streams))
    assert one is not None and other is not None and other.used == ("joints",)
    np.testing.assert_array_equal(one.frames, other.frames)
    assert not one.frames[..., FORCE.start :].any()
    tokens = tokens_of(walk(joints), plain)
    assert tokens.values.shape[1] == len(REGIONS) == tokens_of(walk(joints)).values.shape[1] - 2
    whole = Force().sample(walk(joints))
    assert whole is not None
    np.testing.assert_array_equal(
        one.frames[..., : FORCE.start][:, :24], whole.frames[..., : FORCE.start][:, :24]
    )


@pytest.mark.parametrize("fps", [15.0, 30.0, 100.0])
def test_every_sensor_comes_at_the_same_rate(fps: float) -> None:
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=0, fps=fps, seconds=2.0)
    sample = Force().sample(walk(walker.body().pose_joints(motion.rotations, motion.translation), fps))
    assert sample is not None
    np.testing.assert_allclose(np.diff(sample.t_s), 1 / 30, atol=1e-5)
    assert len(sample) == pytest.approx(60, abs=2)


def test_joints_that_are_not_known(joints: np.ndarray) -> None:
    holes = joints.copy()
    lost = [J[name] for name in ("spine1", "spine2", "spine3", "left_collar", "right_collar", "left_hand")]
    holes[:, lost] = np.nan
    holes[40:44, J["left_knee"]] = np.nan
    sample, whole = Force().sample(walk(holes)), Force().sample(walk(joints))
    assert sample is not None and whole is not None
    assert np.isfinite(sample.frames).all() and len(sample) == len(whole)
    assert not sample.frames[:, lost].any()
    assert (sample.frames[:, J["left_knee"], SEEN] == 1).all(), "a short gap is bridged"
    neck = sample.frames[:, J["neck"], 3:6] * 0.3
    np.testing.assert_allclose(neck, sample.frames[:, J["neck"], PLACE], atol=1e-5)  # from the pelvis
    tokens = tokens_of(walk(holes))
    assert tokens.real[0].tolist() == [name != "trunk" for name in [*REGIONS, "left", "right"]]
    assert not tokens.values[0, list(REGIONS).index("trunk")].any()


def test_legs_that_are_lost_cut_the_walk(joints: np.ndarray) -> None:
    cut = joints.copy()
    cut[30:60, J["right_foot"]] = np.nan  # half a second
    sample = Force().sample(walk(cut))
    assert sample is not None
    assert sample.t_s[0] == pytest.approx(60 / FPS, abs=1e-3), "the longer part is read"
    cut[:, J["right_foot"]] = np.nan
    assert Force().sample(walk(cut)) is None
    assert Force().sample(walk(joints[:4])) is None


def test_joints_in_mm_are_refused(joints: np.ndarray) -> None:
    with pytest.raises(InputError, match="divide them by 1000"):
        Force().sample(walk(joints * 1000))


def test_the_fitted_body_stands_in_where_legs_are_missing() -> None:
    person = Body.load("low").shape(BodyShape(30, "male", 1.8, 75))
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=0, fps=FPS, seconds=1.5)
    from scipy.spatial.transform import Rotation

    frames = len(motion.t_s)
    pose = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec().reshape(frames, 72)
    data = np.concatenate([motion.translation, pose, np.tile(person.numbers, (frames, 1))], 1)
    wanted = walk(person.pose_joints(pose.reshape(-1, 24, 3), motion.translation))
    t_ns = wanted.streams["joints"].t_ns
    smpl = Stream(data.astype(np.float32), t_ns, "m, rad", layout="free_body")
    modality, joints_there = Force(), modality_frames(wanted)
    fitted = modality.sample(GaitSequence({"smpl": smpl}))
    assert fitted is not None and fitted.used == ("smpl",)
    # an smpl stream is float32: its poses are good to a micrometre, and forces to a thousandth
    np.testing.assert_allclose(fitted.frames, joints_there, atol=2e-2)
    armless = wanted.streams["joints"].data.copy()
    armless[:, J["left_foot"]] = np.nan
    both = modality.sample(walk(armless, smpl=smpl))
    assert both is not None and both.used == ("smpl",)
    np.testing.assert_array_equal(both.frames, fitted.frames)


def modality_frames(seq: GaitSequence) -> np.ndarray:
    sample = Force().sample(seq)
    assert sample is not None
    return sample.frames


# ---- the network -----------------------------------------------------------------------------------


def test_the_adjacency_is_the_body() -> None:
    a = normalised_adjacency()
    assert (a > 0).sum() == 24 + 2 * 23
    pelvis, hip = J["pelvis"], J["left_hip"]
    assert a[pelvis, hip] == pytest.approx(1 / math.sqrt(4 * 3))  # with itself: 4 and 3 neighbours
    assert a[J["left_hand"], J["right_hand"]] == 0
    torch.testing.assert_close(torch.linalg.eigvalsh(a.double()).max(), torch.tensor(1.0).double())


@pytest.mark.skipif(not importlib.util.find_spec("torch_geometric"), reason="needs torch-geometric")
def test_torch_geometric_sums_the_same() -> None:
    torch.manual_seed(0)
    dense, passing = TreeConv(12), TreeConv(12, "geometric")
    passing.load_state_dict(dense.state_dict())
    x = torch.randn(7, 24, 12, dtype=torch.float64, requires_grad=True)
    dense, passing = dense.double(), passing.double()
    one, other = dense(x), passing(x)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)  # the matrix is kept in float32
    one.square().sum().backward()
    other.square().sum().backward()
    assert dense.weight.grad is not None and passing.weight.grad is not None
    torch.testing.assert_close(dense.weight.grad, passing.weight.grad, atol=1e-4, rtol=1e-5)
    assert [n for n, _ in passing.named_parameters()] == ["weight"]


@pytest.mark.skipif(not importlib.util.find_spec("torch_geometric"), reason="needs torch-geometric")
def test_weights_move_between_both_graphs(joints: np.ndarray) -> None:
    sample = Force().sample(walk(joints))
    one, other = Force(graph="dense").encoder(8).eval(), Force(graph="geometric").encoder(8).eval()
    other.load_state_dict(one.state_dict())
    batch = Force().collate([sample])
    with torch.inference_mode():
        torch.testing.assert_close(one(batch).values, other(batch).values, atol=1e-4, rtol=1e-4)


def test_time_is_convolved_within_a_walk() -> None:
    torch.manual_seed(0)
    conv = TimeConv(3, 2).double()
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    owner = torch.tensor([0, 0, 0, 0, 0, 2, 2, 2, 2])
    weight = conv.mix.weight.view(3, 5, 3).permute(0, 2, 1)
    for rows in (slice(0, 5), slice(5, 9)):
        alone = x[rows].permute(1, 2, 0)
        wanted = torch.nn.functional.conv1d(alone, weight, conv.mix.bias, padding=4, dilation=2)
        torch.testing.assert_close(conv(x, owner)[rows], wanted.permute(2, 0, 1))


def test_garbage_of_unknown_joints_is_not_read() -> None:
    torch.manual_seed(0)
    encoder = BodyGraphEncoder(8).eval()
    frames = torch.randn(1, 12, ROWS, 15)
    frames[..., SEEN], frames[..., LOADED] = 1, 1
    frames[:, :, 3, SEEN] = 0
    other = frames.clone()
    other[:, :, 3, :SEEN] = torch.nan
    lengths, t_s = torch.tensor([12]), torch.zeros(1, 12)
    with torch.inference_mode():
        torch.testing.assert_close(
            encoder(Batch(frames, lengths, t_s)).values, encoder(Batch(other, lengths, t_s)).values
        )


def test_a_norm_is_absorbed(joints: np.ndarray) -> None:
    sample = Force().sample(walk(joints))
    torch.manual_seed(0)
    encoder = Force().encoder(8).eval()
    batch = Force().collate([sample])
    norm = torch.nn.BatchNorm1d(15 * 8).eval()
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        torch.nn.init.uniform_(tensor, 0.5, 2.0)
    with torch.inference_mode():
        wanted = norm(encoder(batch).values.flatten(1))
        encoder.absorb(norm)
        torch.testing.assert_close(encoder(batch).values.flatten(1), wanted, atol=1e-5, rtol=1e-5)


def test_training_draws_frames_in_a_row(joints: np.ndarray) -> None:
    sample = Force().sample(walk(joints))
    assert sample is not None
    starts = set()
    for seed in range(20):
        drawn = draw_frames(sample, 10, np.random.default_rng(seed), ordered=Force.ordered)
        np.testing.assert_allclose(np.diff(drawn.t_s), 1 / 30, atol=1e-5)
        starts.add(float(drawn.t_s[0]))
    assert len(starts) > 5

"""Paths of key points: what is read, what cannot matter, and what teaches where the body is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gait3dlib.data.augment_joints import JointAugment
from gait3dlib.modalities import Sample
from gait3dlib.modalities._depth_frames import pack
from gait3dlib.modalities._key_points import ROWS as POINT_ROWS
from gait3dlib.modalities._key_points import VALUES, key_point_frames
from gait3dlib.modalities._lidar_paths import FEW, LONG, ROWS, PointPictures, _drawn
from gait3dlib.modalities._paths import POSE_UNIT, PathEncoder
from gait3dlib.modalities._picture_paths import DepthPatches, Patches
from gait3dlib.modalities._pose_supervisor import PoseSupervisor, pose_told
from gait3dlib.modalities._stride import FASTEST_HZ, FIGURES, HARMONICS, RATES, SLOWEST_HZ, stride_series
from gait3dlib.modalities.skeleton_map import SkeletonMap
from gait3dlib.recording import Truth
from gait3dlib.types import GaitSequence, Labels, Meta, Stream


def key_points(frames: int = 20, seed: int = 0) -> np.ndarray:
    """Somebody of 200 pixels who goes to the right and swings."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 15
    y = np.array([0, -4, -4, -2, -2, 30, 30, 60, 60, 85, 85, 90, 90, 140, 140, 190, 190], float)
    x = rng.normal(0, 10, 17) + 12 * np.sin(2 * np.pi * t + rng.uniform(0, 6, 17)) + 40 * t
    points = np.stack([300 + x, 100 + y + np.sin(9 * t + rng.uniform(0, 6, 17)), np.full(x.shape, 0.9)], -1)
    return points.astype(np.float32)


def walk(points: np.ndarray, fps: float = 15.0) -> GaitSequence:
    t_ns = (np.arange(len(points)) / fps * 1e9).astype(np.int64)
    return GaitSequence({"keypoints": Stream(points, t_ns, "px", layout="coco17")}, "p1", Meta("test"))


def sample(points: np.ndarray) -> Sample:
    made = SkeletonMap(encoder="paths", width=8, strips=4).sample(walk(points))
    assert made is not None
    return made


@pytest.fixture
def encoder() -> PathEncoder:
    torch.manual_seed(0)
    made = SkeletonMap(encoder="paths", width=8, strips=4).encoder(6).double().eval()
    assert isinstance(made, PathEncoder)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.bias)
    return made


def test_place_and_size_in_the_image_change_nothing() -> None:
    points = key_points()
    moved = points.copy()
    moved[..., :2] = 0.4 * moved[..., :2] + [50, 20]
    np.testing.assert_allclose(key_point_frames(points)[0], key_point_frames(moved)[0], atol=2e-5)


def test_the_hips_are_the_origin_and_trunk_and_legs_the_unit() -> None:
    frames, kept = key_point_frames(key_points())
    assert frames.shape == (20, POINT_ROWS, 3)
    assert kept.tolist() == list(range(20))
    np.testing.assert_allclose(frames[:, [11, 12], :2].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(frames[:, 17, :2].mean(axis=0), 0, atol=1e-6)
    hips, ankles, shoulders = (frames[:, pair, :2].mean(axis=1) for pair in ([11, 12], [15, 16], [5, 6]))
    lengths = np.linalg.norm(ankles - hips, axis=1) + np.linalg.norm(shoulders - hips, axis=1)
    assert np.median(lengths) == pytest.approx(2.0, rel=1e-5)


def test_frames_without_hips_are_left_out_and_lost_points_are_nothing() -> None:
    points = key_points()
    points[3] = 0
    points[5, 11] = 0
    points[7, 9] = 0
    points[9, 0, 0] = np.nan
    frames, kept = key_point_frames(points)
    assert kept.tolist() == [i for i in range(20) if i not in (3, 5, 9)]
    assert (frames[kept.tolist().index(7), 9, :2] == 0).all()
    assert np.isfinite(frames).all()


@pytest.mark.parametrize("broken", ["nobody", "a point"])
def test_what_is_no_body_is_no_evidence(broken: str) -> None:
    points = np.zeros((5, 17, 3), np.float32)
    if broken == "a point":
        points[...] = [4, 5, 0.9]
    assert SkeletonMap(encoder="paths").sample(walk(points)) is None


def test_padding_and_company_change_nothing(encoder: PathEncoder) -> None:
    modality = SkeletonMap(encoder="paths", width=8, strips=4)
    samples = [sample(key_points(n, seed=n)) for n in (25, 9, 14)]
    with torch.inference_mode():
        together = encoder(modality.collate([*samples, None]))
        alone = [encoder(modality.collate([one])) for one in samples]
    for row, one in enumerate(alone):
        torch.testing.assert_close(together.values[row], one.values[0], atol=1e-12, rtol=0)
    assert not together.real[3].any()
    assert (together.values[3] == 0).all()


def test_the_order_of_frames_in_a_batch_is_that_of_their_times(encoder: PathEncoder) -> None:
    modality = SkeletonMap(encoder="paths", width=8, strips=4)
    made = sample(key_points())
    with torch.inference_mode():
        one = encoder(modality.collate([made]))
        other = encoder(modality.collate([made.take(np.random.default_rng(0).permutation(len(made)))]))
    torch.testing.assert_close(one.values, other.values)


def test_absorbing_a_norm_is_the_norm(encoder: PathEncoder) -> None:
    modality = SkeletonMap(encoder="paths", width=8, strips=4)
    batch = modality.collate([sample(key_points(seed=s)) for s in range(3)])
    norm = nn.BatchNorm1d(24).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    with torch.inference_mode():
        wanted = norm(encoder(batch).values.flatten(1))
        encoder.absorb(norm)
        torch.testing.assert_close(encoder(batch).values.flatten(1), wanted)


def truth(joints: np.ndarray, times: np.ndarray, height_m: float | None = 1.6) -> Truth:
    return Truth(Labels(height_m=height_m), {"joints": joints, "joints_t_s": times})


def test_the_pose_told_is_about_the_pelvis_and_in_statures() -> None:
    times = np.linspace(-0.2, 1.0, 37)
    rng = np.random.default_rng(1)
    rate, start = rng.normal(size=(2, 24, 3))
    joints = start + rate * times[:, None, None]
    seq = walk(key_points(12, seed=3))
    t_s = np.array([0.0, 0.31, 0.9, 1.5], np.float32)
    told = pose_told(seq, t_s, truth(joints, times))
    assert told is not None
    at = t_s[:3, None, None].astype(float)
    wanted = (start - start[:1] + (rate - rate[:1]) * at) / 1.6
    np.testing.assert_allclose(told[:3].reshape(3, 24, 3), wanted, atol=1e-6)
    assert np.isnan(told[3]).all()
    assert pose_told(seq, t_s, truth(joints, times, None)) is None
    assert pose_told(seq, t_s, truth(joints, times[:-1])) is None


def test_the_loss_is_zero_for_the_true_pose_and_one_a_unit_away(encoder: PathEncoder) -> None:
    modality = SkeletonMap(encoder="paths", width=8, strips=4)
    batch = modality.collate([sample(key_points(seed=s)) for s in range(2)])
    encoder.float()
    nn.init.zeros_(encoder.network.pose.weight)
    told = torch.randn(72).expand(2, 20, 72).clone()
    told[0, :4] = torch.nan
    with torch.no_grad():
        encoder.network.pose.bias.copy_(told[1, 0] / POSE_UNIT)
        _, losses = PoseSupervisor()(encoder, batch, told, 0.5)
        assert losses["pose"] < 1e-6
        _, losses = PoseSupervisor()(encoder, batch, told + POSE_UNIT, 0.5)
    assert losses["pose"] == pytest.approx(1.0, abs=1e-3)


def swinging(t_s: torch.Tensor, hertz: float, late: float, seed: int) -> torch.Tensor:
    """``[steps, 24, 3]`` of a walk whose series is known: two harmonics, legs in opposition."""
    rng = torch.Generator().manual_seed(seed)
    mean, *waves = torch.randn(5, 24, 3, generator=rng, dtype=torch.float64)
    for wave in waves:
        wave[[4, 5, 7, 8]] = 0
    waves[0][[4, 7], 0], waves[0][[5, 8], 0] = 1.0, -1.0
    angle = 2 * torch.pi * (hertz * t_s + late)[:, None, None]
    a, b, c, d = waves
    return mean + a * angle.cos() + b * angle.sin() + c * (2 * angle).cos() + d * (2 * angle).sin()


def test_the_series_of_a_stride_is_found_wherever_the_walk_begins() -> None:
    t_s = torch.arange(45, dtype=torch.float64) / 15
    hertz = torch.linspace(SLOWEST_HZ, FASTEST_HZ, RATES, dtype=torch.float64)[25].item()
    poses = torch.stack([swinging(t_s, hertz, late, seed=3) for late in (0.0, 0.4)])
    known = torch.ones(2, 45, dtype=torch.bool)
    known[1, 38:] = False
    series, rate = stride_series(poses, known, 1 / 15)
    assert rate.tolist() == pytest.approx([hertz, hertz])
    torch.testing.assert_close(series[0], series[1], atol=0.08, rtol=0)
    mean, cosine, sine = series[0].view(FIGURES, 24, 3)[[0, 1, 1 + HARMONICS]]
    torch.testing.assert_close(mean[7, 0], poses[0, :, 7, 0].mean(), atol=0.05, rtol=0)
    assert cosine[7, 0].item() == pytest.approx(1.0, abs=0.05)
    assert cosine[8, 0].item() == pytest.approx(-1.0, abs=0.05)
    assert sine[7, 0].item() == pytest.approx(0.0, abs=0.05)


def test_a_walk_without_a_known_step_has_no_series() -> None:
    series, rate = stride_series(torch.randn(2, 9, 24, 3), torch.zeros(2, 9, dtype=torch.bool), 1 / 15)
    assert (series == 0).all()
    assert (rate == 0).all()


def test_augmented_joints_keep_their_unknowns_and_err_as_asked() -> None:
    frames = torch.ones(400, 6, 17, 3)
    frames[:, :, 4] = 0
    generator = torch.Generator().manual_seed(0)
    same = JointAugment(scale=0, stay=0, tremble=0)(frames, generator)
    assert torch.equal(same, frames)
    errors = JointAugment(scale=0, stay=0.03, tremble=0.01)(frames, generator) - frames
    assert (errors[:, :, 4] == 0).all()
    known = errors[:, :, :4]
    assert known.mean(dim=1).std().item() == pytest.approx((0.03**2 + 0.01**2 / 6) ** 0.5, rel=0.05)
    assert known.std(dim=1).mean().item() == pytest.approx(0.01, rel=0.08)


def test_the_frames_are_numbers_and_are_augmented_as_joints() -> None:
    made = sample(key_points())
    assert made.frames.dtype == np.float32
    assert made.frames[0].size == VALUES
    assert SkeletonMap(encoder="paths").frames_are == "joints"
    assert SkeletonMap().frames_are == "images"
    assert SkeletonMap().supervisor() is None


def test_patches_know_on_which_side_something_is() -> None:
    torch.manual_seed(0)
    front = Patches(1, 16).eval()
    left, right = torch.zeros(2, 1, 1, 64, 44)
    left[..., 30:40, 8:12], right[..., 30:40, 32:36] = 255, 255
    with torch.inference_mode():
        assert (front(left) - front(right)).abs().max() > 1e-3
        assert front(torch.cat([left, right])).shape == (2, 16)


def test_patches_of_depth_see_silhouette_relief_and_what_is_known() -> None:
    relief = torch.full((1, 1, 64, 44), 0.25)
    known = torch.zeros(1, 1, 64, 44, dtype=torch.bool)
    known[..., :10, :] = True
    silhouette = torch.full((1, 1, 64, 44), 255, dtype=torch.uint8)
    seen = DepthPatches(4).pictures(torch.cat([silhouette, pack(relief, known)], dim=1).float())
    assert (seen[0, 0] == 1).all()
    torch.testing.assert_close(seen[0, 1], torch.where(known[0, 0], 0.5, 0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[0, 2], known[0, 0].float())


@pytest.fixture
def cloud() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 40, 3, generator=generator) * torch.tensor([1.0, 0.8, 1.8]) - torch.tensor(
        [0.5, 0.4, 0]
    )
    return torch.cat([torch.tensor([[[3.0, -4.0, 1.7]]]).expand(2, 1, 3), points], dim=1)


def test_points_are_drawn_whatever_their_order(cloud: torch.Tensor) -> None:
    torch.manual_seed(0)
    front = PointPictures(8).double().eval()
    mixed = cloud[:, [0, *(1 + torch.randperm(40, generator=torch.Generator().manual_seed(1))).tolist()]]
    with torch.inference_mode():
        torch.testing.assert_close(front(cloud.double()), front(mixed.double()), atol=1e-5, rtol=0)
        assert (front(cloud.double()) - front(cloud.double() + 0.1)).abs().max() > 1e-3


def test_a_point_between_four_cells_is_shared_and_none_is_lost() -> None:
    row, column = torch.tensor([[3.25, 1e9]]), torch.tensor([[2.5, -1e9]])
    many, away = _drawn(row, column, torch.tensor([[0.3, 0.0]]), LONG).view(2, ROWS, LONG)
    count = many.exp() - 1
    assert count.sum().item() == pytest.approx(2.0, abs=1e-4), "outside lies on the border"
    torch.testing.assert_close(count[3:5, 2:4], torch.tensor([[0.375, 0.375], [0.125, 0.125]]))
    assert away[3, 2].item() == pytest.approx(0.3 * 0.375 / (0.375 + FEW))

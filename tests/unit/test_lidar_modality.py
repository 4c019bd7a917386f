"""The ``lidar`` modality: points in the walker's own frame, three encoders, augmentation of points."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gait3dlib import config
from gait3dlib.data.augment import Augment
from gait3dlib.data.augment_lidar import LidarAugment
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.modalities import Batch, Sample
from gait3dlib.modalities._lidar_range import COLUMNS, DEPTH_M, PIXEL_M, ROWS, depth_pictures
from gait3dlib.modalities._lidar_sparse import SparseEncoder
from gait3dlib.modalities._metric_strips import STATURE_M, slice_of, token_heights
from gait3dlib.modalities._point_frames import SENSOR_M, point_frames
from gait3dlib.modalities.lidar import Lidar
from gait3dlib.sparse import backend
from gait3dlib.types import GaitSequence, Stream

ENCODERS = ("sparse", "points", "range_view", "paths")
ALONG_TIME = ("sparse", "paths")
SMALL: dict[str, Any] = {"width": 8, "strips": 8, "points": 96}
Points = NDArray[np.float64]


def body(seed: int = 0, count: int = 150, tall: float = 1.7) -> Points:
    """A cloud as high as a person, in their own frame: x forward, y to the left."""
    rng = np.random.default_rng(seed)
    return rng.uniform((-0.25, -0.2, 0.0), (0.25, 0.2, tall), (count, 3))


def walk(
    *,
    start: tuple[float, float] = (8.0, -1.0),
    heading_deg: float = 90.0,
    frames: int = 12,
    shapes: int = 3,
    speed: float = 1.3,
) -> GaitSequence:
    """A rigid body that changes its pose from frame to frame and goes straight on, ten frames a second."""
    angle = math.radians(heading_deg)
    ahead = np.array([math.cos(angle), math.sin(angle)])
    left = np.array([-ahead[1], ahead[0]])
    clouds = []
    for t in range(frames):
        own = body(t % shapes)
        place = np.array(start) + ahead * speed * 0.1 * t
        xy = place + own[:, :1] * ahead + own[:, 1:2] * left
        clouds.append(np.column_stack([xy, own[:, 2], np.full(len(own), 0.5)]))
    return points_walk(clouds)


def points_walk(clouds: list[Points]) -> GaitSequence:
    t_ns = np.arange(len(clouds), dtype=np.int64) * 100_000_000
    offsets = np.cumsum([0, *map(len, clouds)])
    data = np.concatenate(clouds).astype(np.float32)
    return GaitSequence({"points": Stream(data, t_ns, "m", offsets=offsets)})


def changed(seq: GaitSequence, data: Any, offsets: Any = None) -> GaitSequence:
    stream = seq.streams["points"]
    offsets = stream.offsets if offsets is None else offsets
    data = np.asarray(data, np.float32)
    return GaitSequence({"points": dataclasses.replace(stream, data=data, offsets=offsets)})


def sample_of(seq: GaitSequence, **settings: Any) -> Sample:
    found = Lidar(**{**SMALL, **settings}).sample(seq)
    assert found is not None
    return found


@pytest.fixture(params=ENCODERS)
def lidar(request: pytest.FixtureRequest) -> Lidar:
    return Lidar(encoder=request.param, **SMALL)


# ---- the walker's frame ------------------------------------------------------------------------------


def test_distance_and_direction_are_gone_and_height_stays() -> None:
    """The same body on another track gives the same cloud, but for where the sensor stands."""
    here = sample_of(walk(), points=150).frames
    for start, heading in (((8.0, 2.0), 270.0), ((20.0, 5.0), 90.0), ((3.0, -9.0), 33.0)):
        there = sample_of(walk(start=start, heading_deg=heading), points=150).frames
        np.testing.assert_allclose(there[:, 1:, 2], here[:, 1:, 2], atol=1e-5)
        # the middle of the body lies behind the surface, so its estimate depends a little on the side
        distance = np.linalg.norm(here[:, 1:].mean(axis=1) - there[:, 1:].mean(axis=1), axis=1)
        assert distance.max() < 0.25
        own, elsewhere = (np.cov(f[0, 1:, :2].T.astype(float)) for f in (here, there))
        np.testing.assert_allclose(own, elsewhere, atol=2e-3)


def test_x_points_along_the_walk_and_the_sensor_is_where_it_was() -> None:
    frames = sample_of(walk(start=(8.0, -1.0), heading_deg=90.0)).frames
    assert frames.shape == (12, 97, 3)
    # it passes from the sensor's right to its left, 8 m ahead: the sensor is on the walker's left
    np.testing.assert_allclose(frames[:, 0, 1], 8.0, atol=0.25)
    np.testing.assert_allclose(frames[:, 0, 0], 1.0 - 0.13 * np.arange(12), atol=0.15)
    assert (frames[:, 0, 2] == np.float32(SENSOR_M)).all()
    steps = np.diff(frames[:, 0, 0])
    np.testing.assert_allclose(steps, np.full(11, -0.13), atol=0.05)


def test_who_stands_faces_the_sensor() -> None:
    frames = sample_of(walk(speed=0.0)).frames
    assert frames[:, 0, 0].min() > 7.5
    assert np.abs(frames[:, 0, 1]).max() < 0.05


def test_order_and_duplicates_of_points_change_nothing() -> None:
    seq = walk()
    stream = seq.streams["points"]
    assert stream.offsets is not None
    rng = np.random.default_rng(1)
    clouds = [stream.frame(i) for i in range(len(stream))]
    mixed = [np.concatenate([c, c[rng.integers(0, len(c), 40)]]) for c in clouds]
    mixed = [c[rng.permutation(len(c))] for c in mixed]
    offsets = np.cumsum([0, *map(len, mixed)])
    again = sample_of(changed(seq, np.concatenate(mixed), offsets))
    np.testing.assert_array_equal(again.frames, sample_of(seq).frames)


def test_too_many_points_are_thinned_evenly_and_too_few_repeated() -> None:
    seq = walk()
    few, many = sample_of(seq, points=400).frames[0, 1:], sample_of(seq, points=50).frames[0, 1:]
    assert len(np.unique(few, axis=0)) == 150
    np.testing.assert_array_equal(few[150:300], few[:150])
    np.testing.assert_array_equal(many, few[1:150:3])
    assert (np.diff(few[:150, 2]) >= 0).all(), "by height"


def test_frames_with_hardly_a_point_are_left_out() -> None:
    clouds = [walk().streams["points"].frame(i) for i in range(12)]
    clouds[3] = clouds[3][:2]
    clouds[7] = clouds[7][:0]
    sample = sample_of(points_walk(clouds))
    np.testing.assert_allclose(sample.t_s, np.delete(np.arange(12), [3, 7]) / 10, atol=1e-6)
    assert Lidar().sample(points_walk([cloud[:3] for cloud in clouds])) is None
    lamp = clouds[0] + np.array([0, 0, 3, 0], np.float32)
    assert Lidar().sample(points_walk([lamp])) is None


def test_points_far_from_the_track_are_somebody_elses() -> None:
    seq = walk()
    clouds = [seq.streams["points"].frame(i) for i in range(12)]
    beside = [np.concatenate([c, c[:20] + np.array([2.5, 0, 0, 0], np.float32)]) for c in clouds]
    frames = sample_of(points_walk(beside), points=200).frames
    assert np.abs(frames[:, 1:, :2]).max() < 1.5
    np.testing.assert_array_equal(frames.shape, (12, 201, 3))


def test_millimetres_are_refused() -> None:
    seq = walk()
    with pytest.raises(InputError, match=r"would be 1[67]\d\d m tall; points must be in metres"):
        Lidar().sample(changed(seq, seq.streams["points"].data * 1000))


def test_one_frame_is_enough() -> None:
    frames, kept = point_frames(body() + np.array([5, 0, 0]), np.array([0, 150]), np.zeros(1), 64)
    assert frames.shape == (1, 65, 3)
    assert kept.tolist() == [0]
    assert np.isfinite(frames).all()


# ---- encoders ----------------------------------------------------------------------------------------


def test_a_cloud_touches_only_the_slices_that_it_lies_in() -> None:
    low = points_walk(
        [np.column_stack([body(tall=0.55) + np.array([6, 0.1 * t, 0.05]), np.ones(150)]) for t in range(6)]
    )
    for name in ("sparse", "points"):
        modality = config.build(Lidar, {"encoder": name, **SMALL})
        tokens = modality.encoder(16).eval()(modality.collate([modality.sample(low)]))
        # 0.05 to 0.6 m: the slices of 25 cm from 0, 25 and 50 cm
        assert tokens.real[0].tolist() == [True] * 3 + [False] * 5
        assert (tokens.values[0, 3:] == 0).all()


def test_slices_and_their_heights() -> None:
    assert slice_of(torch.tensor([-0.1, 0.0, 0.124, 0.126, 1.99, 2.0, 9.0]), 16).tolist() == [
        *[0, 0, 0, 1, 15, 15, 15]
    ]
    heights = token_heights(16)
    torch.testing.assert_close(heights[:13], (torch.arange(13) + 0.5) * 0.125 / STATURE_M)
    assert heights.max() == 1


def test_every_setting_reaches_the_network(lidar: Lidar) -> None:
    name = vars(lidar)["encoder"]
    assert vars(config.build(Lidar, {"encoder": name, **SMALL})) == vars(lidar)
    encoder = lidar.encoder(16).eval()
    assert encoder(lidar.collate([lidar.sample(walk())])).values.shape == (1, 8, 16)
    assert lidar.ordered == (name in ALONG_TIME)
    wider = Lidar(encoder=name, **{**SMALL, "width": 12}).encoder(16)
    assert sum(p.numel() for p in wider.parameters()) > sum(p.numel() for p in encoder.parameters())
    with pytest.raises(ConfigError, match="encoder"):
        config.build(Lidar, {"encoder": "spase"})
    with pytest.raises(ConfigError, match="strips"):
        Lidar(encoder="range_view", strips=5).encoder(16)


def test_default_encoders_fit_into_the_default_set() -> None:
    for name in ENCODERS:
        settings = {"encoder": name, "strips": 8 if name == "paths" else 16}
        state = config.build(Lidar, settings).encoder(128).state_dict()
        assert sum(t.numel() * t.element_size() for t in state.values()) < 4_000_000


def test_a_norm_taken_in_answers_as_the_norm_behind(lidar: Lidar) -> None:
    encoder: Any = lidar.encoder(16).eval()
    norm = torch.nn.BatchNorm1d(8 * 16)
    generator = torch.Generator().manual_seed(0)
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        assert tensor is not None
        tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    batch = lidar.collate([lidar.sample(walk())])
    with torch.inference_mode():
        before = encoder(batch)
        wanted = norm.eval()(before.values.flatten(1)).view_as(before.values) * before.real[..., None]
        encoder.absorb(norm)
        torch.testing.assert_close(encoder(batch).values, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sparse_encoder_answers_the_same_with_spconv(dtype: torch.dtype) -> None:
    pytest.importorskip("spconv.pytorch")
    modality = Lidar(encoder="sparse", **SMALL)
    encoder = modality.encoder(16).to(dtype).eval()
    batch = modality.collate([modality.sample(walk()), None, modality.sample(walk(heading_deg=20, frames=5))])
    with torch.inference_mode():
        ours = encoder(batch)
        with backend("spconv"):
            theirs = encoder(batch)
    assert torch.equal(ours.real, theirs.real)
    torch.testing.assert_close(theirs.values, ours.values, rtol=1e-5, atol=1e-5)


def test_cells_tell_where_the_points_lie_in_them() -> None:
    encoder = SparseEncoder(8, 0.0625, 4, 4)
    frames = torch.zeros(1, 2, 4, 3)
    frames[0, :, 1:] = torch.tensor([[0.01, 0.02, 0.07], [0.03, 0.06, 0.12], [0.03, 0.06, 0.12]])
    x = encoder.voxels(Batch(frames, torch.tensor([2]), torch.tensor([[0.0, 0.31]])))
    # the box is 1.6 m wide, 26 cells: the track runs through its middle; the second frame is 3 steps later
    assert x.sites.coords.tolist() == [[0, 13, 13, 1, 0], [0, 13, 13, 1, 3]]
    low, high = (np.array(p) / 0.0625 - (0, 0, 1) for p in ((0.01, 0.02, 0.07), (0.03, 0.06, 0.12)))
    wanted = [1, *(low + high - 1), *(high - low), 2 * 1.5 / 32 - 1]
    torch.testing.assert_close(x.features[0], torch.tensor(wanted, dtype=torch.float32))
    assert torch.equal(x.features[0], x.features[1])


def test_only_encoders_along_time_see_the_time(lidar: Lidar) -> None:
    sample = sample_of(walk())
    batch = lidar.collate([sample])
    still = Batch(batch.frames, batch.lengths, batch.t_s * 3)
    encoder = lidar.encoder(16).eval()
    with torch.inference_mode():
        same = torch.allclose(encoder(batch).values, encoder(still).values)
    assert same == (not lidar.ordered)


def test_the_picture_shows_metric_depth_and_height() -> None:
    """Three points by hand: the sensor looks along +y from 5 m; to its right is +x."""
    points = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.2, 1.5], [0.3, 0.4, 1.5], [0.0, 0.0, 2.1]])
    frames = torch.cat([torch.tensor([[0.0, -5.0, 1.7]]), points])[None]
    picture = depth_pictures(frames)
    assert picture.shape == (1, 2, ROWS, COLUMNS)
    middle, right = COLUMNS // 2, int(0.3 / PIXEL_M + COLUMNS / 2)
    waist, chest = ROWS - 1 - int(1.0 / PIXEL_M), ROWS - 1 - int(1.5 / PIXEL_M)
    assert picture[0, 1].nonzero().tolist() == [[chest, right], [waist, middle]]
    assert picture[0, 0, waist, middle].item() == pytest.approx(0.5)
    assert picture[0, 0, chest, right].item() == pytest.approx(0.5 - 0.5 * 0.2 / DEPTH_M), "the nearer one"
    around = picture[0, 0, waist - 1 : waist + 2, middle]
    assert (around > 0).all(), "holes are filled"
    assert picture[0, 0, :5].sum() == 0


def test_the_picture_turns_with_the_sensor() -> None:
    cloud = torch.from_numpy(body()).float()
    for angle in (0.3, 1.7, 4.0):
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
        frames = torch.cat([torch.tensor([[0.0, -6.0, 1.7]]), cloud])
        one, other = depth_pictures(frames[None]), depth_pictures((frames @ turn)[None])
        assert (one - other).abs().gt(1e-3).float().mean() < 0.005, "but for points on an edge of a pixel"


# ---- augmentation ------------------------------------------------------------------------------------

NOTHING: dict[str, Any] = {
    "flip": 0.0,
    "turn_deg": 0.0,
    "scale": 0.0,
    "shift_m": 0.0,
    "beams": 0.0,
    "points": 0.0,
    "cover": 0.0,
    "noise_m": 0.0,
}


def clouds(walks: int = 40) -> torch.Tensor:
    sample = sample_of(walk(), points=150)
    return torch.from_numpy(sample.frames)[None].repeat(walks, 1, 1, 1)


def augmented(frames: torch.Tensor, seed: int = 0, **settings: Any) -> torch.Tensor:
    return LidarAugment(**{**NOTHING, **settings})(frames, torch.Generator().manual_seed(seed))


def test_nothing_asked_changes_nothing_and_a_seed_fixes_the_rest() -> None:
    frames = clouds(3)
    assert torch.equal(augmented(frames), frames)
    one, again, other = (LidarAugment()(frames, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.isfinite().all()
    assert one.shape == frames.shape
    assert one.dtype == torch.float32


def test_flip_mirrors_left_and_right_with_the_sensor() -> None:
    frames = clouds()
    out = augmented(frames, flip=1.0)
    torch.testing.assert_close(out, frames * torch.tensor([1.0, -1.0, 1.0]))


def test_turn_and_scale_are_rigid_within_their_range() -> None:
    frames = clouds()
    turned = augmented(frames, turn_deg=10.0)
    torch.testing.assert_close(turned.norm(dim=3), frames.norm(dim=3))
    torch.testing.assert_close(turned[..., 2], frames[..., 2])
    angle = torch.atan2(turned[:, 0, 0, 1], turned[:, 0, 0, 0]) - math.atan2(
        *frames[0, 0, 0, [1, 0]].tolist()
    )
    assert 5 < angle.abs().max() * 180 / math.pi < 10.001
    scaled = augmented(frames, scale=0.05).norm(dim=3) / frames.norm(dim=3)
    assert 0.95 <= scaled.min() < 0.97
    assert 1.03 < scaled.max() <= 1.0501
    assert scaled.flatten(1).std(dim=1).max() < 1e-5, "one factor a walk"


def test_noise_is_along_the_ray() -> None:
    frames = clouds()
    moved = augmented(frames, noise_m=0.05)
    ray = torch.nn.functional.normalize(frames[:, :, 1:] - frames[:, :, :1], dim=3)
    step = moved[:, :, 1:] - frames[:, :, 1:]
    along = (step * ray).sum(dim=3)
    assert (step - along[..., None] * ray).abs().max() < 1e-5
    spread = along.flatten(1).std(dim=1)
    assert (spread < 0.052).all()
    assert spread.max() > 0.04
    assert torch.equal(moved[:, :, 0], frames[:, :, 0])


@pytest.mark.parametrize("settings", [{"points": 0.6}, {"beams": 1.0, "beam_share": 0.8}, {"cover": 1.0}])
def test_what_is_dropped_is_replaced_by_what_stays(settings: dict[str, Any]) -> None:
    frames = clouds()
    out = augmented(frames, **settings)
    gone = 0
    for before, after in zip(frames[:, 0, 1:], out[:, 0, 1:], strict=True):
        held = {tuple(p) for p in before.tolist()}
        left = {tuple(p) for p in after.tolist()}
        assert left <= held
        assert left
        gone += len(held) - len(left)
    assert gone > 5 * len(frames)


def test_lost_beams_are_whole_bands_of_elevation_for_the_whole_walk() -> None:
    frames = clouds(20)
    out = augmented(frames, beams=1.0, beam_share=0.8)
    away = frames[:, :, 1:] - frames[:, :, :1]
    elevation = torch.rad2deg(torch.atan2(away[..., 2], away[..., :2].norm(dim=3)))
    for walk_, (before, after) in enumerate(zip(frames, out, strict=True)):
        left = [{tuple(p) for p in frame[1:].tolist()} for frame in after]
        stays = torch.tensor([[tuple(p) in left[t] for p in before[t, 1:].tolist()] for t in range(12)])
        order = elevation[walk_].flatten().argsort()
        switches = (stays.flatten()[order].diff() != 0).sum()
        # all frames together: kept or lost changes at the borders of bands only
        assert switches <= 2 * (elevation[walk_].max() - elevation[walk_].min()) / 0.5 + 2


def test_images_and_plugins_are_left_alone_by_the_points_augmentation() -> None:
    frames = clouds(2)
    augment = Augment(points={"flip": 1.0})
    generator = torch.Generator().manual_seed(0)
    assert augment(frames, generator) is frames, "who does not say that these are points gets them back"
    assert not torch.equal(augment(frames, generator, "points"), frames)
    with pytest.raises(ConfigError, match=r"augment.points.flop: unknown key; did you mean 'flip'"):
        Augment(points={"flop": 1.0})

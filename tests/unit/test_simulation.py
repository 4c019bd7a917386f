from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.body import MIRROR, Body, BodyShape
from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.recording import Truth, open_recording
from gait3dlib.sensors import open_sensor
from gait3dlib.sensors.simulated import Simulated
from gait3dlib.simulation import (
    GaitStyle,
    View,
    Walker,
    noise,
    observe,
    observe_views,
    sample_walker,
    simulate,
    style,
)
from gait3dlib.simulation.camera import Scene, camera_position, look_at, look_in_box, pixel_rays, project
from gait3dlib.simulation.curves import KEY_POINTS, curve
from gait3dlib.simulation.motion import SAMPLES, Cycle, _Legs, walking_cycle
from gait3dlib.simulation.walker import _reachable
from gait3dlib.types import EndOfStream, Frame, GaitSequence, Sensor, Stream

LEFT, RIGHT = 0, 1
FLIP_Y = np.diag([1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def average() -> Cycle:
    """The average style on an average man."""
    body = Body.load("low").shape(BodyShape(35, "male", 1.76, 76))
    return walking_cycle(body, GaitStyle(), walk_ratio=0.0065, speed_m_s=1.4)


@pytest.fixture(scope="module")
def people() -> list[Walker]:
    return [sample_walker(5, index) for index in range(30)]


@pytest.fixture(scope="module")
def views(people: list[Walker]) -> dict[float, GaitSequence]:
    angles = (0.0, 90.0, 180.0, 270.0)
    seen = observe_views(people[1], angles, seed=1, fps=15, streams=("silhouette", "keypoints", "depth"))
    return {angle: walk for angle, (walk, _) in zip(angles, seen, strict=True)}


def pitch(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees about +y: positive moves what hangs down backwards."""
    return np.rad2deg(np.arctan2(rotations[..., 0, 2], rotations[..., 2, 2]))


def stance(walker: Walker) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Contact points [T, 2, 3, 3] of a walk's cycle, their steps to the next sample, and the bearing."""
    motion = walker.walk(seed=1)
    cycle = motion.cycle
    legs = _Legs(walker.body(), motion.style, 1.0)
    points = legs.contacts(*legs.kinematics(cycle.rotations, cycle.root))
    onward = np.roll(points, -1, axis=0)
    onward[-1, ..., 0] += cycle.stride_m
    return points, onward - points, cycle.bearing


# Motion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KEY_POINTS))
def test_a_fourier_series_goes_through_its_published_key_points(name: str) -> None:
    percent, degrees = np.array(KEY_POINTS[name]).T
    error = curve(name, percent / 100) - degrees
    assert np.abs(error).max() < max(1.0, 0.05 * np.ptp(degrees))


def test_knee_and_hip_of_the_average_walk_match_the_textbook(average: Cycle) -> None:
    knee = pitch(average.rotations[:, 4])
    hip = -pitch(average.rotations[:, 1])
    percent = np.arange(SAMPLES) * 100 / SAMPLES
    assert 55 < knee.max() < 68
    assert 68 <= percent[knee.argmax()] <= 80
    loading, standing = knee[percent < 25].max(), knee[(percent > 30) & (percent < 50)].min()
    assert 12 < loading < 25
    assert 0 <= standing < 9
    assert knee.min() > -0.5  # no knee bends forwards
    assert 20 < np.ptp(hip) < 60
    assert 45 <= percent[hip.argmin()] <= 63
    ankle = -pitch(average.rotations[:, 7])
    assert 55 <= percent[ankle.argmin()] <= 72  # push-off


@pytest.mark.data
def test_the_average_walk_resembles_a_measured_one(average: Cycle, data_dir: Path) -> None:
    lines = (data_dir / "opensim/Gait2392_Simbody/subject01_walk1_ik.mot").read_text().splitlines()
    start = lines.index("endheader") + 1
    table = np.array([line.split() for line in lines[start + 1 :] if line.strip()], dtype=float)
    measured = dict(zip(lines[start].split(), table.T, strict=True))
    bent = -measured["knee_angle_r"]
    peaks = [i for i in range(15, len(bent) - 15) if bent[i] > 50 and bent[i] == bent[i - 15 : i + 15].max()]
    place = np.linspace(peaks[0], peaks[1], SAMPLES, endpoint=False)

    def of_cycle(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(place, np.arange(len(values)), values)

    knee, hip = of_cycle(bent), of_cycle(measured["hip_flexion_r"])
    ours = pitch(average.rotations[:, 5]), -pitch(average.rotations[:, 2])
    shift = max(range(SAMPLES), key=lambda k: float(np.corrcoef(np.roll(ours[0], k), knee)[0, 1]))
    assert np.corrcoef(np.roll(ours[0], shift), knee)[0, 1] > 0.9
    assert np.corrcoef(np.roll(ours[1], shift), hip)[0, 1] > 0.9


def test_without_asymmetries_left_and_right_are_mirror_images(average: Cycle) -> None:
    other = np.roll(average.rotations, SAMPLES // 2, axis=0)[:, MIRROR]
    np.testing.assert_allclose(average.rotations, FLIP_Y @ other @ FLIP_Y, atol=1e-6)


def test_a_cycle_has_the_asked_speed_and_repeats_after_a_stride(average: Cycle) -> None:
    assert average.speed_m_s == pytest.approx(1.4)
    assert average.stride_m / 2 / average.cadence_per_min == pytest.approx(0.0065)
    phase = np.linspace(-1.3, 2.9, 60)
    rotations, root = average.at(phase)
    later, further = average.at(phase + 1)
    np.testing.assert_allclose(later, rotations, atol=1e-9)
    np.testing.assert_allclose(further - root, np.tile([average.stride_m, 0, 0], (60, 1)), atol=1e-9)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-6
    )
    forward = np.gradient(average.at(np.linspace(0, 1, 200))[1][:, 0])
    assert forward.min() > 0


def test_arms_swing_against_the_legs(people: list[Walker]) -> None:
    for walker in people[:8]:
        motion = walker.walk(seed=2, fps=40, seconds=3)
        joints = walker.body().pose_joints(motion.rotations, motion.translation)
        ahead = joints[..., 0] - joints[:, :1, 0]
        for hand, foot in ((20, 7), (21, 8)):
            assert np.corrcoef(ahead[:, hand], ahead[:, foot])[0, 1] < -0.5


def test_feet_stand_on_the_ground_and_do_not_slide(people: list[Walker]) -> None:
    slides = []
    for walker in people[:20]:
        points, steps, bearing = stance(walker)
        assert points[..., 2].min() > -0.004
        lowest = points[..., 2].argmin(axis=-1)
        for foot in (LEFT, RIGHT):
            firm = bearing[:, foot] > 0.98
            assert 0.4 < firm.mean() < 0.72
            assert points[firm, foot, :, 2].min(axis=1).max() < 0.004
            slip = np.linalg.norm(steps[np.arange(SAMPLES), foot, lowest[:, foot], :2], axis=-1)
            slides.append(slip[firm].sum())
    assert np.median(slides) < 0.008  # path of the point that bears, over a whole stance
    assert max(slides) < 0.02


def test_the_skin_does_not_sink_into_the_ground(people: list[Walker]) -> None:
    for walker in people[:6]:
        motion = walker.walk(seed=3, fps=20, seconds=1.5)
        vertices, _ = walker.body().pose(motion.rotations, motion.translation)
        assert -0.008 < vertices[..., 2].min() < 0.008


# People -------------------------------------------------------------------------------------------------


def test_walkers_follow_published_norms() -> None:
    adults: dict[str, list[tuple[float, float, float]]] = {"female": [], "male": []}
    for index in range(55):
        walker = sample_walker(9, index)
        labels = walker.labels
        assert labels.gender is not None and labels.age_years is not None and labels.height_m is not None
        assert 6 <= labels.age_years <= 85
        if 20 <= labels.age_years < 60:
            cycle = walker.walk(seed=0).cycle
            row = (cycle.speed_m_s, cycle.cadence_per_min, cycle.stride_m / 2 / labels.height_m)
            adults[labels.gender].append(row)
    women, men = np.array(adults["female"]), np.array(adults["male"])
    assert min(len(women), len(men)) >= 8
    # Bohannon 1997: 1.39 to 1.46 m/s, standard deviation 0.1 to 0.23; Oberg 1993: cadence 110 to 125
    for group in (women, men):
        assert 1.27 < group[:, 0].mean() < 1.52
        assert 0.39 < group[:, 2].mean() < 0.44
    assert 114 < women[:, 1].mean() < 125
    assert 107 < men[:, 1].mean() < 119


def test_norms_by_age_sex_and_build() -> None:
    drawn = [
        style.sample_style(np.random.default_rng(i), age_years=40, gender="male", height_m=1.76, bmi=25)
        for i in range(200)
    ]
    assert np.mean([s.speed_m_s for s in drawn]) == pytest.approx(1.46, abs=0.04)
    assert 0.10 < np.std([s.speed_m_s for s in drawn]) < 0.20

    def mean(part: str, **changed: float | str) -> float:
        labels = {"age_years": 30.0, "gender": "male", "height_m": 1.7, "bmi": 23.0, **changed}
        drawn = [style.sample_style(np.random.default_rng(i), **labels) for i in range(60)]  # type: ignore[arg-type]
        return float(np.mean([getattr(s, part) for s in drawn]))

    assert mean("speed_m_s", age_years=80) < 0.95 * mean("speed_m_s")
    assert mean("trunk_lean", age_years=80) > mean("trunk_lean") + 2
    assert mean("step_width_m", bmi=35) > mean("step_width_m") + 0.03
    assert mean("pelvis_obliquity_gain", gender="female") > mean("pelvis_obliquity_gain") + 0.2
    small, tall = (style.norm_walk_ratio(30, "male", h) for h in (1.6, 1.9))
    assert tall / small == pytest.approx((1.9 / 1.6) ** 1.5)
    # a child of seven: some 1.1 m/s and 140 steps a minute (Sutherland 1980)
    speed, ratio = style.norm_speed_m_s(7, "male", 1.22), style.norm_walk_ratio(7, "male", 1.22)
    assert 1.0 < speed < 1.25
    assert 128 < np.sqrt(60 * speed / ratio) < 150


def test_nothing_but_the_named_norms_ties_a_style_to_labels() -> None:
    one = style.sample_style(np.random.default_rng(4), age_years=30, gender="male", height_m=1.8, bmi=22)
    two = style.sample_style(np.random.default_rng(4), age_years=80, gender="female", height_m=1.5, bmi=31)
    differ = {n for n in style.names() if getattr(one, n) != getattr(two, n)}
    assert differ == {
        "speed_m_s", "step_width_m", "toe_out", "knee_offset", "push_off_gain", "heel_strike_gain",
        "pelvis_obliquity_gain", "trunk_sway", "trunk_lean", "kyphosis", "head_pitch", "shoulder_abduction",
        "arm_swing_gain", "elbow_offset",
    }  # fmt: skip


def test_one_person_varies_less_than_people_do() -> None:
    rng = np.random.default_rng(0)
    base = GaitStyle()
    days = np.array([base.vary(rng).vector() for _ in range(400)])
    share = days.std(axis=0) / style.spreads()
    gait = [style.names().index(n) for n in ("trunk_lean", "toe_out", "arm_lag", "head_pitch")]
    np.testing.assert_allclose(share[gait], style.WITHIN_BETWEEN, rtol=0.15)
    assert days[:, 0].std() / base.speed_m_s == pytest.approx(style.TIMING_WITHIN, rel=0.15)
    assert (share < 0.6).all()


def test_walkers_are_reproducible_and_have_the_body_that_their_labels_state(people: list[Walker]) -> None:
    assert sample_walker(5, 3) == people[3]
    assert sample_walker(6, 3) != people[3]
    for walker in people[:6]:
        body, labels = walker.body(), walker.labels
        assert labels.height_m is not None
        assert body.height_m == pytest.approx(labels.height_m, rel=1e-3)
        assert body.mass_kg == pytest.approx(labels.mass_kg, rel=1e-3)


def test_a_mass_that_no_body_has_is_moved_to_one_that_it_has() -> None:
    asked = BodyShape(30, "female", 1.62, 46 * 1.62**2)
    with pytest.raises(InputError):
        Body.load("low").shape(asked)
    found = _reachable(asked)
    assert 30 < found.mass_kg / 1.62**2 < 40
    assert Body.load("low").shape(found).mass_kg == pytest.approx(found.mass_kg, rel=1e-3)


def test_two_walks_of_one_person_differ_and_bad_ones_are_refused(people: list[Walker]) -> None:
    first, second, again = (people[0].walk(seed=seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first.rotations, again.rotations)
    assert first.style != second.style
    assert first.cycle.speed_m_s == pytest.approx(second.cycle.speed_m_s, rel=0.12)
    assert np.interp(1.0, first.t_s, first.translation[:, 0]) == pytest.approx(0, abs=1e-9)
    faster = people[0].walk(seed=1, speed=1.3).cycle
    ratio = first.cycle.stride_m / first.cycle.cadence_per_min
    assert faster.stride_m / faster.cadence_per_min == pytest.approx(ratio)
    for bad in ({"speed": 3.0}, {"fps": 0.0}, {"seconds": 0.01}, {"seconds": float("nan")}):
        with pytest.raises(InputError):
            people[0].walk(seed=1, **bad)  # type: ignore[arg-type]


# Camera -------------------------------------------------------------------------------------------------


def ball(centre: NDArray[np.float64], radius: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rings, sectors = 120, 240
    theta = np.linspace(0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, sectors, endpoint=False)[None]
    z = np.broadcast_to(np.cos(theta), (rings + 1, sectors))
    unit = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), z], -1).reshape(-1, 3)
    i, j = np.mgrid[:rings, :sectors]
    a, b = i * sectors + j, i * sectors + (j + 1) % sectors
    faces = np.concatenate([np.stack([a, b, a + sectors], -1), np.stack([b, b + sectors, a + sectors], -1)])
    return centre + radius * unit, faces.reshape(-1, 3)


def test_a_ball_is_seen_where_geometry_says() -> None:
    centre, radius = np.array([0.3, -0.4, 1.1]), 0.35
    camera = look_at(np.array([3.0, 2.0, 1.8]), np.array([0.0, 0.0, 1.0]), width=160, height=120)
    x, y = np.meshgrid(np.arange(160.0), np.arange(120.0))
    depth = Scene(*ball(centre, radius)).depth(camera, x, y)

    # the nearer root of |o + t d - c|^2 = r^2, rays scaled to depth
    rays = pixel_rays(camera, x, y).astype(np.float64)
    away = camera_position(camera) - centre
    a, b = np.sum(rays**2, -1), np.sum(rays * away, -1)
    inside = b**2 - a * (away @ away - radius**2)
    true = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0)
    wrong = (depth > 0) != (true > 0)
    outline = (true > 0) ^ ndimage.binary_erosion(true > 0)
    assert wrong.sum() <= 0.02 * outline.sum()  # 0.02 pixels of mean error along the outline
    # the polyhedron lies inside the ball, most at grazing rays
    both = ndimage.binary_erosion(true > 0, iterations=2)
    assert np.abs(depth - true)[both].max() < 1.5e-3


def test_a_wall_has_the_depth_of_its_plane_and_no_ray_leaves_the_image() -> None:
    camera = look_at(np.array([0.0, 0.0, 1.0]), np.array([5.0, 0.0, 1.0]), width=100, height=80)
    corners = np.array([[4.0, -9.0, -9.0], [4.0, 9.0, -9.0], [4.0, 9.0, 9.0], [4.0, -9.0, 9.0]])
    wall = Scene(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    x, y = np.meshgrid(np.arange(100.0), np.arange(80.0))
    np.testing.assert_allclose(wall.depth(camera, x, y), 4.0, rtol=1e-5)
    everywhere = np.array([-1e3, -1e3, 2e3, 2e3])
    crop = look_in_box(wall, camera, np.array([-50.0, -10.0, 100.0, 100.0]), 50, everywhere)
    assert (crop[:, :25] == 0).all()
    assert (crop[:5] == 0).all()
    assert (crop[5:45, 25:] > 0).all()
    assert (crop[45:] == 0).all()
    part = look_in_box(wall, camera, np.array([0.0, 0.0, 80.0, 80.0]), 40, np.array([20.0, 20.0, 30.0, 30.0]))
    assert 0 < (part > 0).sum() < 18**2


def test_projection_and_rays_are_inverse() -> None:
    rng = np.random.default_rng(1)
    camera = look_at(np.array([4.0, 3.0, 2.0]), np.array([0.0, 0.0, 0.9]))
    points = rng.uniform(-1, 1, (50, 3))
    seen = project(camera, points)
    back = camera_position(camera) + pixel_rays(camera, seen[:, 0], seen[:, 1]) * seen[:, 2:]
    np.testing.assert_allclose(back, points, atol=1e-5)
    np.testing.assert_allclose(project(camera, np.array([[0.0, 0.0, 0.9]]))[0, :2], [639.5, 479.5])
    higher = project(camera, points + np.array([0, 0, 0.1]))
    assert (higher[:, 1] < seen[:, 1]).all()  # rows count downwards
    with pytest.raises(InputError, match="straight above"):
        look_at(np.zeros(3), np.array([0.0, 0.0, 1.0]))
    with pytest.raises(InputError, match="extrinsics"):
        project(dataclasses.replace(camera, extrinsics=None), points)


# What is seen -------------------------------------------------------------------------------------------


def middle(walk: GaitSequence, *points: int) -> NDArray[np.float64]:
    """Mean place [T, 2] of some key points, over those that were found in a frame."""
    data = walk.streams["keypoints"].data[:, points].astype(float)
    found = (data[..., 2:] > 0).sum(axis=1)
    return np.where(found > 0, data[..., :2].sum(axis=1) / np.maximum(found, 1), np.nan)


def test_views_mean_what_they_say(views: dict[float, GaitSequence]) -> None:
    across = {angle: np.diff(middle(walk, 11, 12)[[0, -1], 0])[0] for angle, walk in views.items()}
    assert across[90.0] < -150  # from the left side people walk to the left of the image
    assert across[270.0] > 150
    assert max(abs(across[0.0]), abs(across[180.0])) < 60
    sizes = {}
    for angle, walk in views.items():
        boxes = walk.streams["silhouette"].boxes
        assert boxes is not None
        sizes[angle] = boxes[-1, 3] / boxes[0, 3]
    assert sizes[0.0] > 1.3
    assert sizes[180.0] < 0.77
    assert 0.9 < sizes[90.0] < 1.1
    shoulders = {a: np.nanmean(middle(w, 5)[:, 0] - middle(w, 6)[:, 0]) for a, w in views.items()}
    assert shoulders[0.0] > 20  # facing us, the left shoulder is on the right of the image
    assert shoulders[180.0] < -20
    scores = views[90.0].streams["keypoints"].data[..., 2]
    assert scores[:, 9].mean() > scores[:, 10].mean() + 0.02  # the far wrist is hidden at times


def test_streams_are_registered_with_each_other(views: dict[float, GaitSequence]) -> None:
    for walk in views.values():
        silhouette, depth = walk.streams["silhouette"], walk.streams["depth"]
        keypoints = walk.streams["keypoints"]
        assert silhouette.data.shape == (30, 96, 96)
        assert set(np.unique(silhouette.data)) == {0, 255}
        assert silhouette.boxes is not None
        np.testing.assert_array_equal(silhouette.boxes, depth.boxes)
        assert ((depth.data > 0) <= (silhouette.data > 0)).all()
        assert 3.5 < depth.data[depth.data > 0].min() < depth.data.max() < 9.5
        tall = (silhouette.data > 0).any(axis=2).sum(axis=1)
        np.testing.assert_allclose(np.median(tall) / 96, 1 / 1.15, rtol=0.08)
        near = ndimage.binary_dilation(silhouette.data > 0, np.ones((1, 7, 7)))
        place = (
            (keypoints.data[..., :2] - silhouette.boxes[:, None, :2] + 0.5)
            * 96
            / silhouette.boxes[:, None, 2:]
        )
        sure = keypoints.data[..., 2] > 0.7
        frame = np.nonzero(sure)[0]
        column, row = place[sure].astype(int).clip(0, 95).T
        assert near[frame, row, column].mean() > 0.97


def test_no_truth_is_in_a_sequence(people: list[Walker]) -> None:
    walk, truth = observe(people[0], seed=3, view_deg=60, fps=10)
    assert walk.meta.labels is None
    assert set(walk.streams) == {"silhouette", "keypoints"}
    assert walk.subject == people[0].subject
    assert walk.meta.view_deg == 60
    assert truth.labels == people[0].labels
    assert truth.arrays["joints"].shape == (20, 24, 3)
    np.testing.assert_array_equal(truth.arrays["style"], people[0].walk(seed=3, fps=10).style.vector())
    # the camera knows nothing of who walks
    other, _ = observe(people[2], seed=3, view_deg=60, fps=10)
    one, two = walk.streams["silhouette"].calibration, other.streams["silhouette"].calibration
    assert one is not None and two is not None
    np.testing.assert_array_equal(one.extrinsics, two.extrinsics)
    assert (one.fx, one.width) == (two.fx, two.width)


def test_keypoints_are_off_by_as_much_as_stated() -> None:
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.uniform(300, 500, (200, 17, 2)), np.full((200, 17, 1), 5.0)], axis=2)
    open_air, behind = np.full((200, 17), 4.97, np.float32), np.full((200, 17), 4.5, np.float32)
    pixels = np.full(200, 300.0)

    def errors(surface: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        seen = [noise.noisy_keypoints(rng, true, surface, pixels=pixels, height_m=1.7) for _ in range(20)]
        data = np.stack(seen)
        kept = data[..., 2] > 0
        assert (data[~kept] == 0).all()
        off = np.where(kept[..., None], data[..., :2] - true[None, ..., :2], np.nan)
        return np.sqrt(np.nanmedian(off**2, axis=(0, 1, 3)) / 0.455), data[..., 2]  # median of chi^2_1

    clear, clear_score = errors(open_air)
    hidden, hidden_score = errors(behind)
    unit = noise.COCO_SIGMA * 300
    # FRAME_ERROR and WALK_ERROR are independent, so their squares add up
    np.testing.assert_allclose(clear / unit, np.hypot(noise.FRAME_ERROR, noise.WALK_ERROR), rtol=0.35)
    assert (hidden > 1.5 * clear).all()
    assert hidden_score[hidden_score > 0].mean() < clear_score[clear_score > 0].mean() - 0.2
    assert (hidden_score == 0).mean() == pytest.approx(noise.MISSED_OCCLUDED, rel=0.2)
    assert clear_score.max() <= 0.99


def test_silhouettes_tremble_but_stay_themselves() -> None:
    rows, columns = np.mgrid[:96, :96]
    disc = np.repeat((((rows - 48) / 40) ** 2 + ((columns - 48) / 16) ** 2 < 1)[None], 60, axis=0)
    seen = noise.noisy_silhouettes(np.random.default_rng(2), disc) > 0
    overlap = (seen & disc).sum((1, 2)) / (seen | disc).sum((1, 2))
    assert (overlap < 1).all()
    assert np.median(overlap) > 0.93
    assert seen.mean() == pytest.approx(disc.mean(), rel=0.03)
    assert not noise.noisy_silhouettes(np.random.default_rng(2), disc & False).any()


def test_a_seed_fixes_a_walk_and_a_stream_left_out_changes_no_other(people: list[Walker]) -> None:
    def seen(seed: int = 1, **options: object) -> dict[str, Stream]:
        walk, _ = observe(people[4], seed=seed, view_deg=30, fps=8, seconds=1, **options)  # type: ignore[arg-type]
        return dict(walk.streams)

    full = seen(streams=("silhouette", "keypoints", "depth"))
    for alone in ("silhouette", "keypoints", "depth"):
        np.testing.assert_array_equal(seen(streams=(alone,))[alone].data, full[alone].data)
    assert (seen(seed=2)["silhouette"].data != full["silhouette"].data).any()
    many = observe_views(people[4], [View(30), 90], seed=1, fps=8, seconds=1)
    np.testing.assert_array_equal(many[0][0].streams["keypoints"].data, full["keypoints"].data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": ("silhouete",)}, "did you mean 'silhouette'"),
        ({"streams": ()}, "at least one stream"),
        ({"size": 4}, "8 to 1024"),
        ({"distance_m": 1.6, "view_deg": 90.0}, "leaves the image"),
        ({"distance_m": 0.5}, "into the camera"),
        ({"speed": 0.1}, "speed must be"),
    ],
)
def test_what_cannot_be_seen_is_refused(
    people: list[Walker], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        observe(people[0], seed=1, **{"view_deg": 0.0, "fps": 8.0, "seconds": 1.0, **options})  # type: ignore[arg-type]


# Data sets ----------------------------------------------------------------------------------------------


def test_a_data_set_is_the_same_whatever_the_number_of_processes(tmp_path: Path) -> None:
    asked = {"walkers": 2, "seed": 8, "first": 4, "sessions": 2, "views": (0, 90), "seconds": 1.0, "fps": 8.0}
    calls: list[tuple[int, int]] = []
    one = simulate(tmp_path / "one", jobs=1, progress=lambda done, of: calls.append((done, of)), **asked)  # type: ignore[arg-type]
    two = simulate(tmp_path / "two", jobs=2, **asked)  # type: ignore[arg-type]
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert [path.name for path in one] == ["s8-00004.h5", "s8-00005.h5"]
    for a, b in zip(one, two, strict=True):
        with open_recording(a) as left, open_recording(b) as right:
            assert len(left.walks) == 4
            assert {w.meta.session for w in left.walks} == {"00", "01"}
            assert {w.meta.view_deg for w in left.walks} == {0.0, 90.0}
            for x, y in zip(left, right, strict=True):
                assert x.meta.labels is None
                for name in ("silhouette", "keypoints"):
                    np.testing.assert_array_equal(x.streams[name].data, y.streams[name].data)
            truth = left.truth(0)
            assert isinstance(truth, Truth)
            assert truth.labels == sample_walker(8, int(a.stem[-5:])).labels
    # a second call keeps what is there and makes what is not
    one[0].unlink()
    before = one[1].stat().st_mtime_ns
    simulate(tmp_path / "one", jobs=1, **asked)  # type: ignore[arg-type]
    assert one[0].exists()
    assert one[1].stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another seconds"):
        simulate(tmp_path / "one", jobs=1, **{**asked, "seconds": 2.0})  # type: ignore[arg-type]
    assert json.loads((tmp_path / "one/manifest.json").read_text())["seed"] == 8


def test_bad_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        simulate(tmp_path, walkers=0, seed=1)
    for wrong in ({"views": ()}, {"streams": ("silhouete",)}, {"fps": 0.0}, {"size": 2}):
        with pytest.raises(InputError):
            simulate(tmp_path / "new", walkers=1, seed=1, **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()  # a refused set leaves no manifest behind
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="choose another folder"):
        simulate(tmp_path, walkers=1, seed=1)


# The sensor ---------------------------------------------------------------------------------------------


def frames(sensor: Sensor) -> Iterator[Frame]:
    while True:
        try:
            yield sensor.read(1.0)
        except EndOfStream:
            return


def test_walkers_pass_the_simulated_sensor_one_after_another() -> None:
    sensor = open_sensor("simulated:seed=3,walkers=2,fps=6,gap_s=0.5")
    assert isinstance(sensor, Sensor)
    stamps, there = [], []
    with sensor:
        for frame in frames(sensor):
            stamps.append(frame.host_t_ns)
            there.append(bool(frame.data["silhouette"].any()))
            for name, spec in sensor.specs.items():
                data = frame.data[name]
                assert data.shape == spec.shape
                assert data.dtype.name in spec.dtypes
                assert data.flags.writeable
            assert set(frame.data) == set(sensor.specs) == set(sensor.calibration)
            assert ((frame.data["depth"] > 0) <= (frame.data["silhouette"] > 0)).all()
            points = frame.data["keypoints"]
            assert (points[points[:, 2] == 0] == 0).all()
            assert (points[:, 0] <= 639).all()
    assert (np.diff(stamps) > 0).all()
    changes = np.flatnonzero(np.diff([False, *there, False]))
    assert len(changes) == 4  # nobody, one, nobody, another, nobody
    assert there[:3] == there[-3:] == [False] * 3
    with pytest.raises(SensorError, match="not open"):
        sensor.read(1.0)
    assert [p.subject for p in Simulated(seed=3, walkers=2).people] == ["s3-00000", "s3-00001"]


@pytest.mark.parametrize("view_deg", [0.0, 180.0])
def test_along_the_corridor_nobody_runs_into_the_camera(view_deg: float) -> None:
    with Simulated(seed=2, walkers=[7], view_deg=view_deg, fps=3, gap_s=0) as sensor:
        sizes = [np.count_nonzero(f.data["silhouette"].any(axis=1)) for f in frames(sensor)]
    assert min(sizes) > 60
    assert (sizes[-1] > 2 * sizes[0]) == (view_deg == 0.0)


def test_a_sensor_in_real_time_keeps_the_pace() -> None:
    with Simulated(seed=1, walkers=1, fps=20, gap_s=0.4, realtime=True) as sensor:
        assert sensor.live
        start = time.monotonic()
        for _ in range(6):
            sensor.read(1.0)
        assert 0.2 < time.monotonic() - start < 5.0  # 0.3 on an idle machine


def test_bad_sensors_are_refused() -> None:
    for wrong in ({"walkers": 0}, {"walkers": [-1]}, {"fps": 0.0}, {"gap_s": -1.0}):
        with pytest.raises(InputError):
            Simulated(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean"):
        open_sensor("simulated:walker=3")

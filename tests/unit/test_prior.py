"""The gait prior, walks drawn from it, and how they stand to published norms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.body import MIRROR, Body, BodyShape, ShapedBody
from gait3dlib.errors import InputError
from gait3dlib.simulation import published
from gait3dlib.simulation.cycles import _PriorLegs, prior_cycle
from gait3dlib.simulation.manner import KNOBS, Manner, comfortable, sample_manner
from gait3dlib.simulation.mocap import Person, Stride, average_body
from gait3dlib.simulation.mocap.learning import learn, leave_one_out
from gait3dlib.simulation.motion import SAMPLES, Cycle
from gait3dlib.simulation.prior import (
    SEGMENTS,
    SIZE,
    GaitPrior,
    fourier,
    local,
    mirrored,
    orientations,
    series,
)
from gait3dlib.simulation.replay import replayed, replayed_cycle
from gait3dlib.types import Gender

Array = NDArray[np.float64]
FLIP = np.diag([1.0, -1.0, 1.0])
PHASE = np.arange(100) / 100


@pytest.fixture(scope="module")
def prior() -> GaitPrior:
    return GaitPrior.load()


@pytest.fixture(scope="module")
def body() -> ShapedBody:
    return Body.load("low").shape(BodyShape(35, "male", 1.76, 76))


def nobody(prior: GaitPrior) -> Manner:
    return Manner((0.0,) * prior.rank)


def pitch(rotations: Array) -> Array:
    """Degrees about +y: positive moves what hangs down backwards."""
    return np.rad2deg(np.arctan2(rotations[..., 0, 2], rotations[..., 2, 2]))


# The prior ----------------------------------------------------------------------------------------------


def test_fourier_series_come_back() -> None:
    coefficients = np.random.default_rng(0).normal(size=SIZE)
    np.testing.assert_allclose(fourier(series(coefficients, PHASE)), coefficients, atol=1e-12)


def test_local_rotations_and_orientations_are_inverse(prior: GaitPrior) -> None:
    world, _ = prior.decode(prior.mean, PHASE)
    np.testing.assert_allclose(orientations(local(world)), world, atol=1e-12)


def test_a_stride_comes_back_from_its_coefficients(prior: GaitPrior) -> None:
    rng = np.random.default_rng(1)
    coefficients = prior.coefficients(rng.standard_normal(prior.rank), 0.5)
    world, sway = prior.decode(coefficients, PHASE)
    np.testing.assert_allclose(prior.encode(local(world), sway), coefficients, atol=1e-6)


def test_mirrored_coefficients_are_the_mirrored_walk(prior: GaitPrior) -> None:
    coefficients = prior.coefficients(np.random.default_rng(2).standard_normal(prior.rank), 0.5)
    world, sway = prior.decode(coefficients, PHASE)
    seen, swayed = prior.decode(mirrored(coefficients), PHASE + 0.5)
    np.testing.assert_allclose(seen, FLIP @ world[:, list(MIRROR)] @ FLIP, atol=1e-6)
    np.testing.assert_allclose(swayed, sway @ FLIP, atol=1e-9)
    np.testing.assert_allclose(mirrored(mirrored(coefficients)), coefficients)
    np.testing.assert_allclose(mirrored(prior.mean), prior.mean, atol=1e-6)


def test_the_shipped_file_is_small_and_others_are_refused(tmp_path: Path) -> None:
    assert asset("prior.npz").stat().st_size < 200_000
    path = tmp_path / "prior.npz"
    np.savez(path, mean=np.zeros(3))
    with pytest.raises(InputError, match="bake_prior"):
        GaitPrior.load(path)


def test_a_saved_prior_is_the_same(prior: GaitPrior, tmp_path: Path) -> None:
    prior.save(tmp_path / "p.npz")
    again = GaitPrior.load(tmp_path / "p.npz")
    np.testing.assert_allclose(again.mean, prior.mean, atol=1e-6)
    np.testing.assert_allclose(again.directions, prior.directions, atol=1e-6)
    assert again.within == pytest.approx(prior.within)


def test_a_person_is_found_again_in_their_stride(prior: GaitPrior) -> None:
    latent = np.random.default_rng(3).standard_normal(prior.rank)
    found = prior.person(prior.coefficients(latent, 0.45), 0.45, noise=1e-4)
    assert np.corrcoef(found, latent)[0, 1] > 0.9
    with pytest.raises(InputError, match="numbers"):
        prior.coefficients(latent[:-1], 0.45)


def test_joints_of_the_mean_gait_match_the_textbook(prior: GaitPrior) -> None:
    """Perry, Gait Analysis (1992), with room for the bent knees of children among the walkers."""
    rotations = local(prior.decode(prior.mean, PHASE)[0])
    knee, hip, ankle = pitch(rotations[:, 4]), -pitch(rotations[:, 1]), -pitch(rotations[:, 7])
    assert 55 < knee.max() < 68
    assert 68 <= knee.argmax() <= 77
    assert knee[95] < 15  # of the late swing: nearly straight before the heel strikes
    assert 35 < np.ptp(hip) < 55
    assert 48 <= hip.argmin() <= 58
    assert 55 <= ankle.argmin() <= 70
    assert 20 < np.ptp(ankle) < 40


# Learning -----------------------------------------------------------------------------------------------


def people(count: int, spread: float) -> dict[Person, list[Stride]]:
    """Strides of made-up people who differ in how far the thighs swing, and a tenth of that by stride."""
    prior, rng = GaitPrior.load(), np.random.default_rng(5)
    rows = [3 * SEGMENTS.index(joint) + 1 for joint in (1, 2)]
    out = {}
    for number in range(count):
        swing = 1.0 + spread * rng.standard_normal()
        strides = []
        for _ in range(3):
            table = prior.mean.reshape(-1, 13).copy()
            table[rows, 1:] *= swing + 0.1 * spread * rng.standard_normal()
            world, sway = prior.decode(table.reshape(-1), PHASE)
            strides.append(Stride(local(world), sway, 1.3, 1.0, 0.85))
        out[Person("made", f"{number:02d}")] = strides
    return out


def test_learning_finds_the_direction_in_which_people_differ() -> None:
    made = people(12, 0.2)
    learnt = learn(made, rank=4)
    first = learnt.directions[0].reshape(-1, 13)
    thighs = [3 * SEGMENTS.index(joint) + 1 for joint in (1, 2)]
    assert np.sum(first[thighs] ** 2) > 0.95 * np.sum(first**2)
    assert 0.05 < learnt.within < 0.2
    np.testing.assert_allclose(learnt.mean, GaitPrior.load().mean, atol=0.08)
    errors = leave_one_out({person: [strides] for person, strides in list(made.items())[:4]})
    assert errors["prior"].degrees < 0.5 * errors["mean gait"].degrees
    with pytest.raises(InputError, match="three"):
        learn(people(2, 0.2))


# Walks --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def average(body: ShapedBody, prior: GaitPrior) -> Cycle:
    return prior_cycle(body, nobody(prior), walk_ratio=0.0065, speed_m_s=1.4)


def test_the_average_walk_keeps_the_joint_angles_of_the_prior(average: Cycle, prior: GaitPrior) -> None:
    froude = 1.4 / np.sqrt(9.81 * 0.856)
    coefficients = prior.coefficients(np.zeros(prior.rank), froude)
    measured = local(prior.decode(coefficients, np.arange(SAMPLES) / SAMPLES)[0])
    for joint in (4, 5):
        ours, real = pitch(average.rotations[:, joint]), pitch(measured[:, joint])
        assert np.sqrt(np.mean((ours - real) ** 2)) < 4.0
        late = np.roll(np.arange(SAMPLES) / SAMPLES >= 0.88, 0 if joint == 4 else SAMPLES // 2)
        assert np.abs(ours - real)[late].max() < 6.0  # version 1 was off by 15 degrees


def test_left_and_right_of_the_average_walk_are_mirror_images(average: Cycle) -> None:
    other = np.roll(average.rotations, SAMPLES // 2, axis=0)[:, MIRROR]
    np.testing.assert_allclose(average.rotations, FLIP @ other @ FLIP, atol=1e-3)


def test_a_cycle_has_the_asked_speed_and_ratio(average: Cycle) -> None:
    assert average.speed_m_s == pytest.approx(1.4)
    assert average.stride_m / 2 / average.cadence_per_min == pytest.approx(0.0065)


def drawn(index: int) -> tuple[ShapedBody, Manner, float, float]:
    rng = np.random.default_rng([11, index])
    gender: Gender = "female" if index % 2 else "male"
    age = float(rng.uniform(7, 80))
    height = float((1.25 if age < 12 else 1.63 if gender == "female" else 1.76) * rng.uniform(0.97, 1.03))
    bmi = 17.0 if age < 12 else 24.0
    shape = Body.load("low").shape(BodyShape(age, gender, height, bmi * height**2))
    manner = sample_manner(rng, age_years=age, gender=gender, height_m=height, bmi=bmi)
    return shape, manner, *comfortable(manner, age, gender, height)


def test_feet_stand_on_the_ground_and_do_not_slide(prior: GaitPrior) -> None:
    slides = []
    for index in range(12):
        shape, manner, ratio, speed = drawn(index)
        cycle = prior_cycle(
            shape, manner.vary(np.random.default_rng(index)), walk_ratio=ratio, speed_m_s=speed
        )
        legs = _PriorLegs(shape, manner, speed, prior)
        points = legs.contacts(*legs.kinematics(cycle.rotations, cycle.root))
        onward = np.roll(points, -1, axis=0)
        onward[-1, ..., 0] += cycle.stride_m
        assert points[..., 2].min() > -0.006
        for foot in (0, 1):
            firm, lowest = cycle.bearing[:, foot] > 0.9, points[:, foot, :, 2].argmin(axis=-1)
            assert 0.42 < firm.mean() < 0.68
            slip = np.linalg.norm((onward - points)[np.arange(SAMPLES), foot, lowest, :2], axis=-1)
            slides.append(slip[firm].sum())
        assert pitch(cycle.rotations[:, 4:6]).min() > -1.0  # no knee bends forwards
        assert pitch(cycle.rotations[:, 4:6]).max() < 80.0
    assert np.median(slides) < 0.020  # path of the point that bears, over a whole stance
    assert max(slides) < 0.030


def test_knobs_turn_what_they_name(body: ShapedBody, prior: GaitPrior) -> None:
    def joints(**knobs: float) -> Array:
        manner = Manner((0.0,) * prior.rank, **knobs)
        cycle = prior_cycle(body, manner, walk_ratio=0.0065, speed_m_s=1.4)
        return body.pose_joints(cycle.rotations, cycle.root).astype(np.float64)

    def swing(places: Array, joint: int) -> float:
        return float(np.ptp(places[:, joint, 0] - places[:, 9, 0]))

    plain = joints()
    assert swing(joints(arm_swing=1.5), 20) > 1.3 * swing(plain, 20)
    uneven = joints(asymmetry=0.2)
    assert swing(uneven, 21) > 1.2 * swing(uneven, 20)
    base = np.abs((joints(step_width_m=0.2)[:, 7] - joints(step_width_m=0.08)[:, 7])[:, 1]).mean()
    assert base == pytest.approx(0.06, abs=0.01)
    lean = joints(trunk_lean=10.0) - plain
    assert lean[:, 12, 0].mean() - lean[:, 0, 0].mean() == pytest.approx(
        0.42 * np.sin(np.deg2rad(10)), abs=0.03
    )

    def heel_off(push_off: float) -> int:
        manner = Manner((0.0,) * prior.rank, push_off=push_off)
        feet = _PriorLegs(body, manner, 1.4, prior).feet[:, 0]
        return int((pitch(feet) > 30.0).argmax())  # the first sample with the heel so high

    assert heel_off(0.04) == pytest.approx(heel_off(0.0) + 0.04 * SAMPLES, abs=2)


def test_labels_move_only_what_the_norms_name() -> None:
    def of(age: float, gender: Gender, bmi: float) -> Manner:
        rng = np.random.default_rng(4)
        return sample_manner(rng, age_years=age, gender=gender, height_m=1.7, bmi=bmi)

    young, old, woman, heavy = (
        of(30, "male", 24),
        of(80, "male", 24),
        of(30, "female", 24),
        of(30, "male", 34),
    )
    assert young.person == old.person == woman.person == heavy.person
    named = {
        "step_width_m",
        "arm_swing",
        "trunk_sway",
        "pelvis_obliquity",
        "toe_out",
        "trunk_lean",
        "kyphosis",
    }
    named |= {"arm_abduction"}
    for other in (old, woman, heavy):
        for knob in set(KNOBS) - named:
            assert getattr(other, knob) == getattr(young, knob)
    assert heavy.step_width_m > young.step_width_m
    assert old.kyphosis > young.kyphosis
    assert old.arm_swing < young.arm_swing


def test_another_day_is_nearer_than_another_person(prior: GaitPrior) -> None:
    labels = {"age_years": 40.0, "height_m": 1.7, "bmi": 24.0}
    days, strangers = [], []
    for index in range(40):
        one, two = (sample_manner(np.random.default_rng([i, index]), gender="male", **labels) for i in (0, 1))
        day = one.vary(np.random.default_rng([2, index]))
        days.append(np.linalg.norm(np.array(day.person) - one.person))
        strangers.append(np.linalg.norm(np.array(two.person) - one.person))
    assert np.mean(days) == pytest.approx(prior.within * np.sqrt(prior.rank), rel=0.1)
    assert np.mean(days) < 0.5 * np.mean(strangers)


def test_walkers_stand_within_the_published_spread() -> None:
    """One standard deviation of the published means; spreads within a half and one and a half of theirs."""
    rng = np.random.default_rng(6)
    heights: dict[Gender, tuple[float, float]] = {"male": (1.76, 0.07), "female": (1.63, 0.065)}
    for gender, (mean, sd) in heights.items():
        rows = []
        for decade, norm in zip(published.DECADES, published.SPEED_M_S[gender], strict=True):
            speeds = []
            for _ in range(120):
                age, height = decade + rng.uniform(-5, 5), rng.normal(mean, sd)
                manner = sample_manner(rng, age_years=age, gender=gender, height_m=height, bmi=24.5)
                ratio, speed = comfortable(manner, age, gender, height)
                speeds.append(speed)
                if age < 65:
                    cadence = np.sqrt(60 * speed / ratio)
                    rows.append((cadence, ratio * cadence))
            assert abs(np.mean(speeds) - norm) < published.SPEED_SD_M_S
            assert 0.5 < np.std(speeds) / published.SPEED_SD_M_S < 1.5
        cadence, step = np.mean(rows, axis=0)
        assert cadence == pytest.approx(published.CADENCE_PER_MIN[gender], rel=published.CV)
        assert step == pytest.approx(published.STEP_M[gender], rel=1.1 * published.CV)
        for column, norm in ((0, published.CADENCE_PER_MIN[gender]), (1, published.STEP_M[gender])):
            assert 0.5 < np.std(rows, axis=0)[column] / (published.CV * norm) < 1.5


def test_a_real_stride_is_walked_by_the_average_body(prior: GaitPrior) -> None:
    world, sway = prior.decode(prior.mean, PHASE)
    small = Stride(local(world), sway, 1.0, 0.9, 0.6)
    cycle = replayed_cycle([small, small])
    legs = np.linalg.norm(np.diff(average_body().joints[[1, 4, 7]], axis=0), axis=1).sum()
    assert cycle.stride_m == pytest.approx(legs / 0.6)
    assert cycle.stride_s == pytest.approx(0.9)
    walker, motion = replayed("somebody", cycle, start=0.3)
    assert walker.subject == "somebody"
    assert motion.rotations.shape == (60, 24, 3, 3)
    measured = local(prior.decode(prior.mean, motion.phase)[0])
    rigid = [joint for joint in range(24) if joint not in (10, 11)]  # toes bend
    np.testing.assert_allclose(measured[:, rigid], motion.rotations[:, rigid], atol=0.01)
    with pytest.raises(InputError, match="stride"):
        replayed_cycle([])

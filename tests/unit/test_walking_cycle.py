"""The motion of a simulated walk: textbook curves, feet that stand, arms that swing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.body import MIRROR, Body, BodyShape
from gait3dlib.simulation import (
    GaitStyle,
    Walker,
    sample_walker,
)
from gait3dlib.simulation.curves import KEY_POINTS, curve
from gait3dlib.simulation.motion import SAMPLES, Cycle, _Legs, walking_cycle

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

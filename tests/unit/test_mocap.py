"""Readers of motion files, inverse kinematics and strides, on motions whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.body import PARENTS
from gait3dlib.body._skinning import forward_kinematics
from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap import (
    Measured,
    Person,
    Stride,
    average_body,
    fit,
    heel_strikes,
    measured_bvh,
    measured_trial,
    read_bvh,
    read_trial,
    real_walks,
    split,
    standing_pitch,
    straight_strides,
    trials,
)
from gait3dlib.simulation.mocap.capture import COMPARED
from gait3dlib.simulation.mocap.inverse import Targets, rotation_matrix, rotation_vector, solve
from gait3dlib.simulation.motion import Cycle, walking_cycle
from gait3dlib.simulation.posture import about
from gait3dlib.simulation.style import GaitStyle

Array = NDArray[np.float64]
BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 5 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
0 0 0 0 0 0 0 0 0
4 5 6 90 0 0 0 90 0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "motion.bvh"
    path.write_text(text)
    return path


# Files --------------------------------------------------------------------------------------------------


def test_a_bvh_file_is_posed_as_its_channels_say(tmp_path: Path) -> None:
    motion = read_bvh(written(tmp_path, BVH))
    assert motion.names == ("Hips", "Arm")
    assert motion.parents == (-1, 0)
    assert motion.fps == pytest.approx(100)
    np.testing.assert_allclose(motion.positions[0], [[1, 2, 3], [1, 12, 3]])
    # 90 degrees about z turn what points up (y) to -x
    np.testing.assert_allclose(motion.positions[1], [[5, 7, 9], [-5, 7, 9]], atol=1e-12)
    np.testing.assert_allclose(
        motion.rotations[1, 1], about(2, np.array(90.0)) @ about(1, np.array(90.0)), atol=1e-12
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HIERARCHY", "HIERARKY"),
        ("MOTION", ""),
        ("Frames: 2", "Frames: 3"),
        ("Frames: 2", "Frames: 999999999999"),
        ("Frame Time: 0.01", "Frame Time: 0"),
        ("4 5 6", "4 nan 6"),
        ("OFFSET 0 10 0", "OFFSET 0 10"),
        ("  }\n}\nMOTION", "  }\nMOTION"),
        ("Yposition", "Yscale"),
        ("JOINT Arm", "ROOT Arm"),
    ],
)
def test_a_damaged_bvh_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in BVH
    with pytest.raises(InputError):
        read_bvh(written(tmp_path, BVH.replace(old, new, 1)))


def test_a_bvh_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(0, len(BVH) - 4, 7):
        with pytest.raises(InputError):
            read_bvh(written(tmp_path, BVH[:length]))


def test_only_cmu_skeletons_become_joints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Head"):
        measured_bvh(read_bvh(written(tmp_path, BVH)))


def test_a_marker_trial_is_read_in_metres_and_a_foreign_file_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.npz"
    points = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    points[1, 1, 0] = np.nan
    np.savez(path, labels=np.array(["A", "B"]), points_mm=points, rate=np.float64(100))
    trial = read_trial(path)
    np.testing.assert_allclose(trial.points["A"], points[:, 0] / 1000)
    assert np.isnan(trial.points["B"][1]).all()
    assert np.isnan(trial.get("C")).all()
    assert len(trial) == 2
    np.savez(path, labels=np.array(["A"]), points_mm=points, rate=np.float64(100))
    with pytest.raises(InputError, match="labels"):
        read_trial(path)
    np.savez(path, labels=np.array(["A", "B"], dtype=object), points_mm=points, rate=np.float64(100))
    with pytest.raises(InputError):  # pickled
        read_trial(path)
    np.savez(path, labels=np.array(["A", "B"]), points_mm=points, rate=np.float64(100))
    monkeypatch.setattr(trials, "MAX_BYTES", 300)
    with pytest.raises(InputError, match="unpacks"):
        read_trial(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError):
        read_trial(path)


# Fitting ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cycle() -> Cycle:
    return walking_cycle(average_body(), GaitStyle(), walk_ratio=0.0062, speed_m_s=1.35)


def walk(cycle: Cycle, heading_deg: float = 0.0, frames: int = 130) -> tuple[Array, Array, Array]:
    """Local rotations, orientations and places of 50 frames a second of a known walk."""
    rotations, root = cycle.at(0.2 + np.arange(frames) / 50.0 / cycle.stride_s)
    turn = about(2, np.array(heading_deg))
    rotations[:, 0] = turn @ rotations[:, 0]
    body = average_body()
    offsets = body.joints - body.joints[list(PARENTS)]
    pelvis = root @ turn.T + body.joints[0]
    world, places = forward_kinematics(rotations, offsets, pelvis, PARENTS)
    return rotations, world, places


def test_rotation_vectors_and_matrices_are_inverse() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 4, 3))
    np.testing.assert_allclose(rotation_vector(rotation_matrix(vectors)), vectors, atol=1e-9)


def test_inverse_kinematics_returns_a_known_pose_from_places_alone(cycle: Cycle) -> None:
    _, world, places = walk(cycle, frames=20)
    body = average_body()
    offsets = body.joints - body.joints[list(PARENTS)]
    segments = np.full_like(world, np.nan)
    segments[:, [0, 9]] = world[:, [0, 9]]
    goal = Targets(
        places, segments, np.ones(24), np.where(np.arange(24) % 9 == 0, 1.0, 0.0), np.full(24, 1e-4)
    )
    rotations, pelvis = solve(offsets, goal)
    _, found = forward_kinematics(rotations, offsets, pelvis, PARENTS)
    assert np.abs(found - places).max() < 1e-3


def test_a_walk_of_our_own_body_comes_back(cycle: Cycle) -> None:
    rotations, world, places = walk(cycle)
    segments = world.copy()
    segments[:, [3, 6, 10, 11, 12, 13, 14, 20, 21, 22, 23]] = np.nan
    positions = places.copy()
    positions[:, [0, 3, 6, 9, 12, 13, 14, 15, 22, 23]] = np.nan
    capture = fit(Measured(positions, segments, 50.0))
    assert np.nanmean(capture.error_m) < 0.002
    legs = [1, 2, 4, 5, 16, 17, 18, 19]
    away = rotation_vector(capture.rotations[:, legs].swapaxes(-1, -2) @ rotations[:, legs])
    assert np.rad2deg(np.linalg.norm(away, axis=-1)).mean() < 2.5
    assert capture.leg_m == pytest.approx(
        np.linalg.norm(np.diff(average_body().joints[[1, 4, 7]], axis=0), axis=1).sum(), rel=1e-3
    )


def test_a_person_of_another_size_keeps_their_joint_angles(cycle: Cycle) -> None:
    _, world, places = walk(cycle)
    segments = np.where(
        np.isin(np.arange(24), [0, 1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 18, 19])[:, None, None], world, np.nan
    )
    positions = np.where(np.isin(np.arange(24), [*COMPARED, 10, 11])[:, None], places, np.nan)
    same, small = (fit(Measured(positions * size, segments, 50.0)) for size in (1.0, 0.7))
    assert small.leg_m == pytest.approx(0.7 * same.leg_m, rel=1e-3)
    np.testing.assert_allclose(small.rotations, same.rotations, atol=0.02)


@pytest.mark.parametrize("heading", [0.0, 130.0])
def test_strides_have_the_walks_time_and_length_whatever_the_heading(cycle: Cycle, heading: float) -> None:
    _, world, places = walk(cycle, heading)
    segments = np.where(
        np.isin(np.arange(24), [0, 1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 18, 19])[:, None, None], world, np.nan
    )
    positions = np.where(np.isin(np.arange(24), [*COMPARED, 10, 11])[:, None], places, np.nan)
    capture = fit(Measured(positions, segments, 50.0))
    strides = straight_strides(capture)
    assert len(strides) >= 2
    for stride in strides:
        assert stride.stride_s == pytest.approx(cycle.stride_s, abs=0.03)
        assert stride.stride_m == pytest.approx(cycle.stride_m, rel=0.03)
        left, right = (stride.rotations[:, joint] for joint in (4, 5))
        knee = np.rad2deg(np.arctan2(left[:, 0, 2], left[:, 2, 2]))
        assert 68 <= knee.argmax() <= 84
        assert (
            np.abs(left - np.roll(right, 50, axis=0) * np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])).max()
            < 0.2
        )


# Real recordings ----------------------------------------------------------------------------------------


@pytest.mark.data
def test_a_cmu_walk_fits_and_walks(data_dir: Path) -> None:
    capture = fit(measured_bvh(read_bvh(data_dir / "cmu/07/07_01.bvh")))
    assert np.nanmean(capture.error_m) < 0.002  # a BVH skeleton is rigid, as ours is
    strides = straight_strides(capture)
    assert len(strides) >= 2
    assert all(0.9 < stride.stride_s < 1.3 and 1.2 < stride.stride_m < 1.8 for stride in strides)
    assert all(0.3 < stride.froude_speed < 0.7 for stride in strides)


@pytest.mark.data
def test_a_childs_trial_fits_and_its_heels_strike_when_the_force_plates_say(data_dir: Path) -> None:
    name, folder = "HC036A", data_dir / "biomechzoo"
    pitch = standing_pitch(read_trial(folder / f"{name}_Static_HC036A01.npz"))
    path = folder / f"{name}_Straight_HC036A10.npz"
    capture = fit(measured_trial(read_trial(path), pitch))
    assert 1000 * np.nanmean(capture.error_m) < 8
    found = [seconds for seconds, _ in heel_strikes(capture)]
    with np.load(path, allow_pickle=False) as arrays:
        times = arrays["event_times"].reshape(-1)
        events = arrays["event_labels"]
        start = (float(arrays["first_frame"]) - 1) / 100.0
    struck = [t - start for t, label in zip(times[times > 0], events, strict=True) if label == "Foot Strike"]
    assert len(struck) == 4
    assert max(min(abs(t - f) for f in found) for t in struck) < 0.05


@pytest.mark.data
def test_a_folder_gives_the_wanted_peoples_walks(data_dir: Path) -> None:
    walks = list(real_walks(data_dir, lambda person: person.name in ("05", "HC040A")))
    assert {walk.person for walk in walks} == {Person("cmu", "05"), Person("biomechzoo", "HC040A")}
    assert len(walks) == 3


def test_nobody_is_both_learnt_from_and_kept_out() -> None:
    sides = split()
    assert not sides.prior & sides.kept_out
    assert {Person("cmu", "07"), Person("cmu", "08")} <= sides.kept_out
    children = [person for person in sides.prior | sides.kept_out if person.source == "biomechzoo"]
    kept = [person for person in sides.kept_out if person.source == "biomechzoo"]
    assert len(children) == 11
    assert len(kept) in (5, 6)


def test_a_folder_without_walks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cmu"):
        list(real_walks(tmp_path))


def test_froude_speed_is_that_of_the_formula() -> None:
    stride = Stride(np.zeros((1, 24, 3, 3)), np.zeros((1, 3)), 1.2, 1.0, 0.8)
    assert stride.froude_speed == pytest.approx(1.2 / np.sqrt(9.81 * 0.8))

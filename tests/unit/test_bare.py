from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from commands import gait3d, good, said_json

from gait3dlib.body import JOINT_NAMES
from gait3dlib.errors import InputError
from gait3dlib.recording import open_recording
from gait3dlib.simulation import Condition, observe_conditions, rig, sample_walker
from gait3dlib.simulation.bare import (
    BARE_CELLS,
    CAMERAS,
    Pair,
    _Bare,
    observe_bare,
    random_views,
    simulate_bare,
)
from gait3dlib.simulation.camera import project
from gait3dlib.simulation.capsules import CAPSULES, surface
from gait3dlib.simulation.conditions import CELLS, draw
from gait3dlib.simulation.estimator import fitted
from gait3dlib.simulation.noise import COCO_DEPTH_M
from gait3dlib.simulation.observation import Observation
from gait3dlib.simulation.observing import thinned
from gait3dlib.simulation.outfit import Outfit
from gait3dlib.simulation.scene import Actor, Scene

STREAMS = ("keypoints", "joints")


@pytest.fixture(scope="module")
def both() -> list[tuple[Pair, Pair]]:
    """Bare and rendered, of the same walks of three people."""
    out: list[tuple[Pair, Pair]] = []
    for index in range(3):
        walker = sample_walker(11, index, "prior")
        views = [
            draw(cell, np.random.default_rng(int(view)), view_deg=view + 7.0 * index, speed=1.0)
            for cell, view in (("normal", 90.0), ("high_camera", 20.0), ("small", 250.0), ("night", 140.0))
        ]
        carried = ("none", "box", "umbrella")[index]
        same = [dataclasses.replace(view, outfit=Outfit("plain", carried, seed=index)) for view in views]
        bare = observe_bare(walker, same, seed=4, seconds=1.0, session="a")
        shown = observe_conditions(walker, same, seed=4, seconds=1.0, streams=STREAMS, session="a")
        out += zip(bare, shown, strict=True)
    return out


# Against pictures -----------------------------------------------------------------------------------------


def test_the_truth_and_the_meta_data_are_those_of_rendered_walks(both: list[tuple[Pair, Pair]]) -> None:
    for (bare, truth), (shown, other) in both:
        assert (bare.subject, bare.meta, truth.labels) == (shown.subject, shown.meta, other.labels)
        assert list(truth.arrays) == list(other.arrays)
        for name, array in other.arrays.items():
            np.testing.assert_array_equal(truth.arrays[name], array, err_msg=name)


def test_the_same_frames_are_found_at_the_same_times(both: list[tuple[Pair, Pair]]) -> None:
    for (bare, _), (shown, _) in both:
        assert list(bare.streams) == list(shown.streams)
        for name, stream in shown.streams.items():
            mine = bare.streams[name]
            np.testing.assert_array_equal(mine.t_ns, stream.t_ns)
            assert mine.data.shape == stream.data.shape
            assert (mine.units, mine.layout, mine.boxes) == (stream.units, stream.layout, stream.boxes)
            assert mine.calibration is not None
            assert stream.calibration is not None
            np.testing.assert_array_equal(mine.calibration.extrinsics, stream.calibration.extrinsics)
            np.testing.assert_array_equal(mine.data == 0, stream.data == 0)


def test_joints_are_those_of_rendered_walks(both: list[tuple[Pair, Pair]]) -> None:
    for (bare, _), (shown, _) in both:
        # they share every random number; only the height in the image comes from fewer vertices
        np.testing.assert_allclose(bare.streams["joints"].data, shown.streams["joints"].data, atol=1e-3)


def test_key_points_are_those_of_rendered_walks_but_for_what_is_hidden(
    both: list[tuple[Pair, Pair]],
) -> None:
    apart = []
    for (bare, _), (shown, _) in both:
        if "keypoints" not in shown.streams:
            continue
        mine, other = bare.streams["keypoints"].data, shown.streams["keypoints"].data
        height = np.ptp(other[..., 1][other[..., 2] > 0])
        apart.append(np.abs(mine - other)[..., :2].max(axis=-1).ravel() / height)
    assert len(apart) >= 9
    distance = np.concatenate(apart)
    # with one random number a point, nine in ten differ by less than a quarter of a pixel of 240
    assert np.quantile(distance, 0.9) < 0.001
    # trembling is larger where a point is hidden, by this factor and no more
    assert distance.max() < 5.0 * (fitted().hidden_factor - 1.0) * fitted().jitter_sd.max() * 2.0


def test_capsules_hide_what_meshes_hide() -> None:
    mine, other = [], []
    for index in range(3):
        walker = sample_walker(12, index, "prior")
        actor = Actor.walking(walker, seed=1, seconds=0.5)
        within = COCO_DEPTH_M * walker.shape.height_m / 1.7
        for k, cell in enumerate(("normal", "normal", "high_camera", "low_camera")):
            condition = draw(cell, np.random.default_rng(k), view_deg=90.0 * k + 31.0 * index, fps=8.0)
            place = rig.place(condition, walker.rng(6, k), 0.5)
            points = []
            for kind in (Observation, _Bare):
                seen = kind(Scene([actor]), condition, place, walker.rng(5, k), 0.5, 96)
                picture = seen._picture
                assert picture is not None
                at = project(place.camera, seen._viewer.state.landmarks[picture.frames])
                depth = seen._seen_at(picture, at)
                points.append((depth > 0) & (at[..., 2] - depth > within))
            other.append(points[0])
            mine.append(points[1])
    hidden, true = np.concatenate(mine), np.concatenate(other)
    assert 0.15 < true.mean() < 0.35
    assert (hidden == true).mean() > 0.93  # 0.95 on 24 people from 120 cameras
    assert hidden.mean() == pytest.approx(true.mean(), rel=0.15)


def test_a_capsule_is_round_and_ends() -> None:
    """An upright shank alone, 5 m before a camera of 1000 pixels focal length: 200 pixels a metre."""
    bones = np.zeros((1, 25, 3))
    bones[..., 0], bones[..., 2] = 1e5, 5.0  # everything else is far away in the image
    knee, ankle = JOINT_NAMES.index("left_knee"), JOINT_NAMES.index("left_ankle")
    bones[0, [knee, ankle], 0] = 0.0
    bones[0, ankle, 1] = 80.0
    radius = next(r for a, b, r in CAPSULES if (a, b) == ("left_knee", "left_ankle"))
    bones[0, JOINT_NAMES.index("left_foot")] = (0.0, 80.0, 5.0)  # a foot without length, at the ankle
    bones[0, JOINT_NAMES.index("left_hip")] = (1e5, 0.0, 5.0)
    aside = np.array([0.0, 0.5, 0.999, 1.001]) * radius
    points = np.array([[(200.0 * x, 40.0, 7.0) for x in aside]])
    depth = surface(bones, points, 1000.0, 1.0)[0]
    np.testing.assert_allclose(depth[:3], 5.0 - np.sqrt(radius**2 - aside[:3] ** 2), atol=1e-5)
    assert depth[3] == 0.0
    below = np.array([[(0.0, 80.0 + 200.0 * y * radius, 7.0) for y in (0.99, 1.01)]])
    np.testing.assert_array_equal(surface(bones, below, 1000.0, 1.0)[0] > 0, [True, False])
    # twice as thick, twice as far aside
    assert surface(bones, points[:, 3:], 1000.0, 2.0)[0, 0] > 0


# What is drawn --------------------------------------------------------------------------------------------


def test_cameras_stand_anywhere_and_cells_need_no_geometry() -> None:
    days = [random_views(sample_walker(3, k % 4, "prior"), k) for k in range(300)]
    views = [view for day in days for view in day]
    cells = [view.cell for view in views]
    assert set(cells) == {"normal", *BARE_CELLS}
    assert np.mean([cell == "normal" for cell in cells]) == pytest.approx(0.3, abs=0.06)
    assert "occlusion" not in {key for cell in BARE_CELLS for key in CELLS[cell]}
    where = np.array([view.view_deg + view.turned_deg for view in views]) % 360.0
    counts, _ = np.histogram(where, 8, (0.0, 360.0))
    assert counts.min() > 0.7 * len(views) / 8
    for day in days:
        assert len(day) == CAMERAS
        assert len({(view.speed, view.outfit) for view in day}) == 1
        slow = day[0].cell == "slow"
        assert all((view.cell == "slow") == slow == (view.speed <= 0.8) for view in day)
        box = day[0].cell == "box"
        assert all((view.cell == "box") == box == (view.outfit.carried == "box") for view in day)


def test_what_needs_geometry_is_refused() -> None:
    with pytest.raises(InputError, match="needs geometry"):
        observe_bare(sample_walker(1, 0, "prior"), [Condition(occlusion="pole")], seed=1, seconds=0.5)


# Folders --------------------------------------------------------------------------------------------------


def test_a_folder_has_the_same_bytes_again_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    how = {"walkers": 3, "seed": 5, "sessions": 2, "seconds": 0.8, "jobs": 1}
    first = simulate_bare(tmp_path / "a", **how)  # type: ignore[arg-type]
    again = simulate_bare(tmp_path / "b", **how)  # type: ignore[arg-type]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    held = first[1].read_bytes()
    kept = first[0].stat().st_mtime_ns
    first[1].unlink()
    seen: list[tuple[int, int]] = []
    simulate_bare(tmp_path / "a", **how, progress=lambda done, of: seen.append((done, of)))  # type: ignore[arg-type]
    assert seen == [(2, 3), (3, 3)]
    assert first[1].read_bytes() == held
    assert first[0].stat().st_mtime_ns == kept
    with pytest.raises(InputError, match="another sessions"):
        simulate_bare(tmp_path / "a", **{**how, "sessions": 1})  # type: ignore[arg-type]


def test_walks_of_one_day_share_a_session_and_a_truth(tmp_path: Path) -> None:
    (path,) = simulate_bare(tmp_path, walkers=1, seed=5, sessions=2, seconds=0.8, jobs=1)
    with open_recording(path) as recording:
        walks = [recording.sequence(k) for k in range(2 * CAMERAS)]
        truths = [recording.truth(k) for k in range(2 * CAMERAS)]
    assert path.stem == walks[0].subject == "p5-00000"
    assert [walk.meta.session for walk in walks] == ["00"] * CAMERAS + ["01"] * CAMERAS
    first, same, other = (truths[k] for k in (0, 1, CAMERAS))
    assert first is not None
    assert same is not None
    assert other is not None
    np.testing.assert_array_equal(first.arrays["joints"], same.arrays["joints"])
    assert not np.array_equal(first.arrays["phase"], other.arrays["phase"])
    np.testing.assert_allclose(np.diff(first.arrays["joints_t_s"]), 1 / 30, atol=1e-9)
    view = random_views(sample_walker(5, 0, "prior"), 0)
    seen = observe_bare(sample_walker(5, 0, "prior"), view, seed=2**33, seconds=0.8, session="00")
    np.testing.assert_array_equal(thinned(seen[0][1]).arrays["joints"], first.arrays["joints"])


def test_the_verb_writes_walks_and_says_what_it_cannot(tmp_path: Path) -> None:
    words = ["simulate", "--bare", "--out", tmp_path / "x", "--walkers", 2, "--sessions", 1, "--jobs", 1]
    said = said_json(*words, "--seconds", 0.8)
    assert (said["walkers"], said["walks"]) == (2, 2 * CAMERAS)
    assert "2 walkers, 6 walks" in good(*words, "--seconds", 0.8).stdout
    for more, sentence in (
        (["--benchmark", "world_v1"], "leave out --benchmark"),
        (["--views", "90"], "leave out --benchmark, --views"),
        (["--streams", "silhouette,keypoints"], "keypoints and joints alone, not silhouette"),
    ):
        result = gait3d(*words, *more)
        assert result.exit_code != 0
        assert sentence in result.output.replace("\n", " ")
        assert "Traceback" not in result.output

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from commands import gait3d, good, said_json

from gait3dlib.errors import InputError
from gait3dlib.recording import open_recording
from gait3dlib.simulation import Condition, observe_conditions, sample_walker
from gait3dlib.simulation.bare import (
    BARE_CELLS,
    CAMERAS,
    observe_bare,
    random_views,
    simulate_bare,
)
from gait3dlib.simulation.benchmark import Pair, thinned
from gait3dlib.simulation.capsules import CAPSULES
from gait3dlib.simulation.conditions import CELLS, draw
from gait3dlib.simulation.estimator import fitted
from gait3dlib.simulation.outfit import Outfit
from gait3dlib.types import Meta

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
        same = [dataclasses.replace(view, outfit=views[0].outfit) for view in views]
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


def test_key_points_differ_where_one_body_hides_a_point_and_the_other_does_not(
    both: list[tuple[Pair, Pair]],
) -> None:
    apart, differs, hidden = [], [], []
    middle = (fitted().score_shown[0] + fitted().score_hidden[0]) / 2
    for (bare, _), (shown, _) in both:
        if "keypoints" not in shown.streams:
            continue
        mine, other = bare.streams["keypoints"].data, shown.streams["keypoints"].data
        height = np.ptp(other[..., 1][other[..., 2] > 0])
        apart.append(np.abs(mine - other)[..., :2].max(axis=-1).ravel() / height)
        differs.append((np.abs(mine - other)[..., 2] > 0.01).ravel())
        hidden.append([(mine[..., 2] < middle).mean(), (other[..., 2] < middle).mean()])
    distance, other_score = np.concatenate(apart), np.concatenate(differs)
    assert np.quantile(distance[~other_score], 0.95) < 0.002  # of the height: 0.5 pixels of 240
    assert other_score.mean() < 0.06
    assert distance.max() < 0.1
    mine_hidden, other_hidden = np.mean(hidden, axis=0)
    assert mine_hidden == pytest.approx(other_hidden, rel=0.2)


# What is drawn --------------------------------------------------------------------------------------------


def test_cameras_stand_anywhere_and_cells_need_no_geometry() -> None:
    days = [random_views(sample_walker(3, k % 4, "prior"), k) for k in range(300)]
    views = [view for day in days for view in day]
    cells = [view.cell for view in views]
    assert set(cells) == {"normal", *BARE_CELLS}
    assert np.mean([cell == "normal" for cell in cells]) == pytest.approx(0.5, abs=0.06)
    assert not {key for cell in BARE_CELLS for key in CELLS[cell]} & {"clothes", "carried", "occlusion"}
    where = np.array([view.view_deg + view.turned_deg for view in views]) % 360.0
    counts, _ = np.histogram(where, 8, (0.0, 360.0))
    assert counts.min() > 0.7 * len(views) / 8
    for day in days:
        assert len(day) == CAMERAS
        assert len({(view.speed, view.outfit) for view in day}) == 1
        slow = day[0].cell == "slow"
        assert all((view.cell == "slow") == slow == (view.speed <= 0.8) for view in day)


def test_radii_are_those_of_limbs() -> None:
    assert all(0.02 <= radius <= 0.16 for *_, radius in CAPSULES)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(cell="bag", outfit=Outfit("plain", "bag")),
        Condition(occlusion="pole"),
        Condition(outfit=Outfit("coat")),
    ],
)
def test_what_needs_geometry_is_refused(condition: Condition) -> None:
    with pytest.raises(InputError, match="need geometry"):
        observe_bare(sample_walker(1, 0, "prior"), [condition], seed=1, seconds=0.5)


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
    assert isinstance(walks[0].meta, Meta)
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

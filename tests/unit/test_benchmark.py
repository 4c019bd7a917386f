"""The frozen benchmark: its file, its splits, and that it is what it was."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gait3dlib import config
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation import view_difference
from gait3dlib.recording import open_recording
from gait3dlib.simulation import benchmark, frozen, sample_walker
from gait3dlib.simulation.benchmark import GALLERY_SESSION, simulate_split
from gait3dlib.simulation.manner import Manner
from gait3dlib.types import GaitSequence

WORLD = "world_v1"
# head, left ankle and right wrist at the first, fifth and tenth frame, metres
EXPECTED = {
    1500: [
        -0.6352,
        0.0079,
        1.366,
        -0.4615,
        0.0418,
        0.078,
        -0.5887,
        -0.2548,
        0.8136,
        -0.1415,
        -0.0036,
        1.3624,
        -0.4377,
        0.0454,
        0.1021,
        -0.2442,
        -0.2123,
        0.7819,
        0.4985,
        -0.0038,
        1.3595,
        0.7439,
        0.0426,
        0.0899,
        0.5515,
        -0.2723,
        0.8106,
    ],
    1777: [
        -0.5434,
        0.018,
        1.3313,
        -0.8142,
        0.0388,
        0.0772,
        -0.6815,
        -0.2257,
        0.7738,
        0.025,
        -0.0131,
        1.3329,
        -0.3067,
        0.0198,
        0.1759,
        -0.0658,
        -0.2428,
        0.7631,
        0.7006,
        0.0202,
        1.3307,
        0.4195,
        0.0385,
        0.0778,
        0.5531,
        -0.2257,
        0.7748,
    ],
}


@pytest.fixture(scope="module")
def rules() -> frozen.Benchmark:
    return frozen.load(WORLD)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of the same schema that renders in seconds."""
    said = config.read(frozen.file_of(WORLD))
    said |= {"seconds": 0.8, "fps": 10, "size": 32, "gallery_views": [0, 90], "fingerprint": ""}
    said["splits"] = {
        "train": {"first": 0, "people": 2, "walks": 2},
        "test": {"first": 2, "people": 2, "gallery": True, "probes": ["normal", "night"]},
        "impostors": {"first": 4, "people": 1, "probes": ["clothes"]},
    }
    path = tmp_path_factory.mktemp("rules") / "small.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


@pytest.fixture(scope="module")
def world(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    for split in ("train", "test", "impostors"):
        simulate_split(small, split, out, jobs=1)
    return out


def changed(small: Path, out: Path, **changes: Any) -> Path:
    path = out / small.name
    path.write_text(yaml.safe_dump({**config.read(small), **changes}))
    return path


def walks(path: Path) -> list[GaitSequence]:
    with open_recording(path) as recording:
        return list(recording)


def same(a: GaitSequence, b: GaitSequence, names: set[str]) -> bool:
    return all(
        np.array_equal(a.streams[n].data, b.streams[n].data)
        and np.array_equal(a.streams[n].t_ns, b.streams[n].t_ns)
        for n in names & set(a.streams) & set(b.streams)
    )


def test_the_file_is_the_one_that_was_frozen() -> None:
    # a change of what it says, even of one number, is a new version in a new file
    assert frozen.digest(WORLD) == "91decdaa8ef72f80"
    assert frozen.fingerprint() == frozen.load(WORLD).fingerprint


def test_nobody_is_in_two_splits_and_the_test_has_its_people(rules: frozen.Benchmark) -> None:
    ranges = [set(range(s.first, s.first + s.people)) for s in rules.splits.values()]
    assert len(set().union(*ranges)) == sum(map(len, ranges))
    assert rules.scored >= 200
    assert rules.splits["impostors"].people >= 1000
    assert set(rules.splits["test"].probes) == set(rules.cells)


def test_probe_views_are_thirty_degrees_from_the_gallery_wherever_the_cameras_stand(
    rules: frozen.Benchmark,
) -> None:
    nearest = min(view_difference(v, rules.one_view) for v in rules.probe_views)
    assert nearest - 2 * rules.jitter_deg >= 30
    assert len(rules.probe_views) > 12
    # and with the gallery of several views every probe has a gallery walk that far
    for view in rules.probe_views:
        away = view_difference(view, np.array(rules.gallery_views))
        assert (away >= rules.least_nominal_deg).any()


def test_the_movement_is_what_it_was() -> None:
    """Joints of two people of the benchmark: code that moves them elsewhere is another world."""
    for index, expected in EXPECTED.items():
        walker = sample_walker(2026, index, "prior")
        assert isinstance(walker.style, Manner)
        motion = walker.walk(seed=5, fps=10, seconds=1.0)
        joints = walker.body().pose(motion.rotations, motion.translation)[1]
        assert joints[[0, 4, 9]][:, [15, 7, 21]].ravel() == pytest.approx(expected, abs=2e-3)


def test_a_walk_of_every_kind(world: Path, small: Path, rules: frozen.Benchmark) -> None:
    found = {p.stem: walks(p) for p in world.glob("*.h5")}
    assert sorted(found) == [f"p2026-{i:05d}" for i in range(5)]
    sessions = [w.meta.session for w in found["p2026-00002"]]
    assert sessions == [GALLERY_SESSION, GALLERY_SESSION, "1-normal", "1-night"]
    assert [w.meta.view_deg for w in found["p2026-00002"][:2]] == [0, 90]
    (stranger,) = found["p2026-00004"]
    assert stranger.meta.covariates["cell"] in rules.groups["clothes"]
    assert min(sessions) == GALLERY_SESSION, "the cross-view protocol enrols the first session"


def test_random_walks_are_half_normal_and_seen_from_everywhere(
    rules: frozen.Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(rules: Any, walker: Any, some: Any, *rest: Any) -> list[Any]:
        seen.extend(some)
        return []

    monkeypatch.setattr(benchmark, "_observed", note)
    split = frozen.Split(first=0, people=1, walks=400)
    assert not list(benchmark.walks_of(rules, split, sample_walker(2026, 0, "prior"), ["silhouette"]))
    normal = np.array([c.cell == "normal" for c in seen])
    assert 0.4 < normal.mean() < 0.6
    assert len({c.cell for c in seen}) > 20
    assert len({c.view_deg for c in seen}) == 24
    speeds = [c.speed for c in seen if c.cell == "normal"]
    assert min(speeds) < 0.9
    assert max(speeds) > 1.15


def test_streams_can_be_added_and_the_others_keep_their_bytes(
    world: Path, small: Path, tmp_path: Path
) -> None:
    shutil.copytree(world, tmp_path / "more")
    simulate_split(small, "test", tmp_path / "more", streams=["points", "depth"], jobs=1)
    simulate_split(small, "test", tmp_path / "once", streams=["silhouette", "keypoints", "points"], jobs=1)
    for path in sorted((tmp_path / "once").glob("*.h5")):
        triples = zip(
            walks(world / path.name), walks(tmp_path / "more" / path.name), walks(path), strict=True
        )
        for before, after, once in triples:
            assert "points" in after.streams
            assert same(before, after, {"silhouette", "keypoints"})
            assert same(after, once, {"silhouette", "keypoints", "points"})
            assert set(once.streams) == set(after.streams) - {"depth"}


def test_a_second_call_changes_nothing_and_a_lost_file_comes_back(
    world: Path, small: Path, tmp_path: Path
) -> None:
    shutil.copytree(world, tmp_path / "again")
    paths = simulate_split(small, "train", tmp_path / "again", jobs=1)
    times = [p.stat().st_mtime_ns for p in paths]
    paths[1].unlink()
    simulate_split(small, "train", tmp_path / "again", jobs=1)
    assert paths[0].stat().st_mtime_ns == times[0]
    pairs = zip(walks(paths[1]), walks(world / paths[1].name), strict=True)
    assert all(same(a, b, {"silhouette", "keypoints"}) for a, b in pairs)


def test_other_rules_are_refused(world: Path, small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another sha256"):
        simulate_split(changed(small, tmp_path, fps=12), "train", world)
    with pytest.raises(InputError, match="no split 'trian'; did you mean 'train'"):
        simulate_split(small, "trian", world)
    with pytest.raises(ConfigError, match="frozen with another"):
        frozen.load(changed(small, tmp_path, fingerprint="0" * 16))
    with pytest.raises(ConfigError, match="simulates version 2, not 3"):
        frozen.load(changed(small, tmp_path, world=3))
    overlapping = {"a": {"first": 0, "people": 3}, "b": {"first": 2, "people": 3}}
    with pytest.raises(ConfigError, match="share people"):
        frozen.load(changed(small, tmp_path, splits=overlapping))
    with pytest.raises(ConfigError, match="no cell; did you mean 'night'"):
        frozen.load(changed(small, tmp_path, splits={"a": {"first": 0, "people": 3, "probes": ["nigth"]}}))
    with pytest.raises(ConfigError, match="no benchmark 'world_v9'"):
        frozen.load("world_v9")


def test_populations_share_bodies_and_not_names() -> None:
    by_hand, real = sample_walker(3, 4), sample_walker(3, 4, "prior")
    assert (by_hand.labels, by_hand.shape) == (real.labels, real.shape)
    assert (by_hand.subject, real.subject) == ("s3-00004", "p3-00004")
    assert dataclasses.asdict(by_hand)["style"] != dataclasses.asdict(real)["style"]
    with pytest.raises(InputError, match="did you mean 'prior'"):
        sample_walker(3, 4, "piror")  # type: ignore[arg-type]

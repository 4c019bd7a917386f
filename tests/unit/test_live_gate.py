"""What is good enough to be judged, and enrolling by two walks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gait3dlib.errors import NoWalkFound
from gait3dlib.live import Answer, Gate, enrol
from gait3dlib.perception.observing import Glimpse, why_in_images, why_no_walk
from gait3dlib.pipeline import Pipeline
from gait3dlib.types import Candidate, GaitSequence, Recognition, Stream

MS = 1_000_000


def walk_of(
    seconds: float = 2.0,
    *,
    fps: float = 20.0,
    distance_m: float = 4.0,
    height_px: float = 120.0,
    start_s: float = 0.0,
    missing: slice = slice(0),
    seed: int = 0,
) -> GaitSequence:
    """Silhouettes that fill 0.8 of their boxes' height, and depth, of somebody at one distance."""
    count = round(seconds * fps)
    kept = np.delete(np.arange(count), missing)
    t_ns = np.round((start_s + kept / fps) * 1e9).astype(np.int64)
    rng = np.random.default_rng(seed)
    silhouette = np.zeros((len(kept), 40, 40), np.uint8)
    for i in range(len(kept)):
        wide = int(rng.integers(4, 10))
        silhouette[i, 4:36, 20 - wide : 20 + wide] = 255
    boxes = np.tile(np.array([10, 10, 1, 1], np.float32) * height_px / 0.8, (len(kept), 1))
    depth = np.where(silhouette > 0, round(1000 * distance_m), 0).astype(np.uint16)
    return GaitSequence(
        {
            "silhouette": Stream(silhouette, t_ns, boxes=boxes),
            "depth": Stream(depth, t_ns, "mm", boxes=boxes),
        }
    )


# ---- the gate ------------------------------------------------------------------------------------------


def test_a_good_walk_passes() -> None:
    assert Gate().refuses(walk_of()) == ""


@pytest.mark.parametrize(
    ("walk", "said"),
    [
        (walk_of(0.7), "too short: 0.7 s of walking, and 1 s are needed"),
        (walk_of(distance_m=8.0), "too far: 8.0 m from the camera"),
        (walk_of(height_px=30.0), "too far: 30 pixels tall"),
        (walk_of(missing=slice(5, 30)), "occluded: seen whole in"),
    ],
)
def test_each_fault_is_said_with_what_to_do(walk: GaitSequence, said: str) -> None:
    reason = Gate().refuses(walk)
    assert reason.startswith(said)
    assert ";" in reason


def test_limits_lie_where_they_say() -> None:
    assert Gate(seconds=2.0).refuses(walk_of(2.0)) == "", "the last frame lasts a step, too"
    assert Gate(seconds=2.06).refuses(walk_of(2.0))
    assert Gate(farthest_m=4.01).refuses(walk_of(distance_m=4.0)) == ""
    assert Gate(farthest_m=3.99).refuses(walk_of(distance_m=4.0))
    assert Gate(height_px=119).refuses(walk_of()) == ""
    assert Gate(height_px=121).refuses(walk_of())
    half = walk_of(4.0, missing=slice(20, 60))  # 40 of 80 frames are there
    assert Gate(present=0.45).refuses(half) == ""
    assert Gate(present=0.55).refuses(half).startswith("occluded: seen whole in 49%")


def test_limits_can_be_switched_off() -> None:
    anything = Gate(0, float("inf"), 0, 0, 0)
    worst = walk_of(0.3, distance_m=20.0, height_px=5.0, missing=slice(1, 4))
    assert anything.refuses(worst) == ""


def test_a_lidar_alone_is_judged_by_its_points() -> None:
    for each, good in ((50, True), (12, False)):
        offsets = np.arange(0, 21 * each, each)
        points = np.ones((20 * each, 4), np.float32)
        seq = GaitSequence({"points": Stream(points, np.arange(20) * 100 * MS, "m", offsets=offsets)})
        assert (Gate().refuses(seq) == "") is good
    assert f"{12} points on the person" in Gate().refuses(seq)


# ---- of whom no walk came --------------------------------------------------------------------------------


def times(seconds: float, fps: float = 20.0) -> np.ndarray:  # type: ignore[type-arg]
    return np.round(np.arange(round(seconds * fps) + 1) / fps * 1e9).astype(np.int64)


def test_the_reason_is_the_one_that_helps_most() -> None:
    assert why_no_walk(times(0.4), 3.0) is None, "a glimpse is nothing to speak of"
    assert str(why_no_walk(times(5.0), 0.3)).startswith("standing: in 5.0 s the person came 0.3 m")
    assert str(why_no_walk(times(0.8), 2.0)).startswith("too short: 0.8 s in view")
    assert str(why_no_walk(times(3.0), 3.0, cut=0.8)).startswith("cut by the border")
    assert str(why_no_walk(times(3.0), 3.0, hidden=0.6)).startswith("occluded")
    assert "5 usable frames, and 8 are needed" in str(why_no_walk(times(3.0), 3.0, frames=5, fewest=8))


def test_in_images_lengths_are_by_the_body() -> None:
    def glimpses(pixels: float) -> list[Glimpse]:
        return [
            Glimpse(int(t), np.array([pixels * i / 40, 100.0]), 170.0, 170.0, True)
            for i, t in enumerate(times(2.0))
        ]

    assert "came 0.5 m" in str(why_in_images(glimpses(50)))
    assert "standing" not in str(why_in_images(glimpses(200)))


# ---- enrolling -------------------------------------------------------------------------------------------


def answer(seq: GaitSequence | None, reason: str = "", identity: str = "unknown") -> Answer:
    found = Recognition(identity, 0.5, 0.4, False, (Candidate("x", 0.5),), reason=reason)
    return Answer(found, seq, 0, 0.1)


@pytest.fixture(scope="module")
def pipeline(guessing_weights: Path) -> Iterator[Pipeline]:
    with Pipeline(["silhouette"], weights=guessing_weights) as opened:
        yield opened


def test_two_walks_that_match_are_confirmed_and_nothing_is_written(pipeline: Pipeline) -> None:
    said: list[str] = []
    first, second = walk_of(), walk_of(start_s=10.0)
    found = enrol(pipeline, "P01", [answer(first, identity="ada"), answer(second)], said.append)
    assert found.confirmed, "the same frames are one person"
    assert found.verification.score == pytest.approx(1.0, abs=1e-4)
    assert found.walks == (first, second)
    assert found.resembles == "ada"
    assert len(pipeline.gallery) == 0
    assert "walk past the sensor, alone" in said[0]
    assert "now walk past once more" in said[1]
    assert found.to_dict()["confirmed"] is True


def test_a_second_walk_that_does_not_match_is_said(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_default_threshold", lambda names, size: 1.1)
    found = enrol(pipeline, "P01", [answer(walk_of()), answer(walk_of(start_s=10.0, seed=5))])
    assert not found.confirmed
    assert found.verification.threshold == 1.1


def test_what_is_not_good_enough_does_not_count(pipeline: Pipeline) -> None:
    said: list[str] = []
    standing, far = answer(None, "standing: walk past"), answer(walk_of(), "too far: pass nearer")
    good = [answer(walk_of(start_s=s)) for s in (20.0, 30.0)]
    found = enrol(pipeline, "P01", [standing, good[0], far, good[1]], said.append)
    assert [seq.start_ns for seq in found.walks] == [20 * 10**9, 30 * 10**9]
    assert sum("did not count" in text for text in said) == 2


def test_two_people_at_once_start_it_again(pipeline: Pipeline) -> None:
    said: list[str] = []
    together = [answer(walk_of(start_s=s)) for s in (10.0, 10.3)]
    alone = [answer(walk_of(start_s=s)) for s in (20.0, 30.0)]
    found = enrol(pipeline, "P01", [*together, *alone], said.append)
    assert [seq.start_ns for seq in found.walks] == [20 * 10**9, 30 * 10**9]
    assert any("two people walked at the same time" in text for text in said)


def test_a_sensor_that_ends_too_soon(pipeline: Pipeline) -> None:
    with pytest.raises(NoWalkFound, match="after one walk of P01"):
        enrol(pipeline, "P01", [answer(walk_of())])
    with pytest.raises(NoWalkFound, match="after no walk of P01"):
        enrol(pipeline, "P01", [])


def test_a_recognition_that_was_refused_says_so_in_json() -> None:
    plain = dataclasses.replace(answer(None).recognition, reason="standing").to_dict()
    assert plain["reason"] == "standing"

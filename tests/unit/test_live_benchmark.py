"""The walkers benchmark counts what it says: who walked in an answer, switches, names right and wrong."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("embreex")

from gait3dlib.live import Answer
from gait3dlib.types import Frame, GaitSequence, Recognition, Stream

FPS, OFFSET_S = 10.0, 1000.0


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("live_walkers")
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def tracks(bench: ModuleType) -> list[list[object]]:
    """Two cross in the first segment, a metre apart; in the second one is alone."""
    t_s = np.arange(40) / FPS
    right = np.column_stack([np.linspace(-3, 3, 40), np.zeros(40)])
    left = np.column_stack([np.linspace(3, -3, 40), np.ones(40)])
    late = np.where((t_s > 1.0)[:, None], right, np.nan)
    return [[bench.Track(0, t_s, right), bench.Track(12, t_s, left)], [bench.Track(1, t_s, late)]]


def answer(places: list[tuple[float, float, float]], identity: str = "unknown", reason: str = "") -> Answer:
    """Somebody seen at these seconds of the film and places."""
    t_ns = np.array([round((OFFSET_S + 2.0 + t) * 1e9) for t, _, _ in places])
    cloud = np.array([[x, y, 1.0, 0.0] for _, x, y in places], np.float32)
    points = Stream(cloud, t_ns, "m", offsets=np.arange(len(places) + 1))
    said = Recognition(
        identity, 0.5, 0.4, False, (), reason=reason, start_ns=int(t_ns[0]), stop_ns=int(t_ns[-1])
    )
    return Answer(said, GaitSequence({"points": points}), 0, 0.1)


def along(
    tracks: list[list[object]], segment: int, number: int, first: int, last: int
) -> list[tuple[float, float, float]]:
    track = tracks[segment][number]
    shift = segment * 4.0
    return [(i / FPS + shift, *(track.xy[i] + 0.05)) for i in range(first, last)]  # type: ignore[attr-defined]


def test_who_walked_is_who_was_nearest(bench: ModuleType, tracks: list[list[object]]) -> None:
    answers = [
        answer(along(tracks, 0, 0, 2, 38)),
        answer(along(tracks, 0, 1, 2, 38)),
        answer(along(tracks, 1, 0, 12, 38)),
    ]
    assert bench.owners(answers, tracks, OFFSET_S) == [(0, False), (12, False), (1, False)]


def test_a_track_that_goes_over_to_somebody_else_is_a_switch(
    bench: ModuleType, tracks: list[list[object]]
) -> None:
    swapped = [*along(tracks, 0, 0, 2, 20), *along(tracks, 0, 1, 20, 38)]
    ((_, switched),) = bench.owners([answer(swapped)], tracks, OFFSET_S)
    assert switched
    brief = [*along(tracks, 0, 0, 2, 35), *along(tracks, 0, 1, 35, 38)]
    assert bench.owners([answer(brief)], tracks, OFFSET_S) == [(0, False)]


def test_names_are_counted_by_person(bench: ModuleType) -> None:
    spot = [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0)]
    said = [(0, "P00"), (1, "P00"), (2, "unknown"), (3, "P03"), (3, "P01"), (10, "unknown"), (11, "P02")]
    answers = [answer(spot, identity=name) for _, name in said]
    answers.append(answer(spot, reason="standing: walk past"))
    row = bench.counted(answers, [(who, False) for who, _ in said] + [(4, True)], 5, 13)
    assert row == {
        "named": 1, "wrong": 2, "unknown": 1, "strangers unknown": 1, "strangers named": 1,
        "unjudged": 1, "no answer": 13 - 6, "switches": 1,
    }  # fmt: skip


def test_everybody_comes_back_once_and_most_in_pairs(bench: ModuleType) -> None:
    for seed in range(5):
        segments = bench.returns(10, 5, seed)
        walked = [passing.person for segment in segments for passing in segment]
        assert sorted(walked) == list(range(15))
        pairs = [segment for segment in segments if len(segment) == 2]
        assert len(pairs) >= 5
        assert all(one.turned != other.turned and one.lane_m != other.lane_m for one, other in pairs)
    assert bench.returns(10, 5, 0) != bench.returns(10, 5, 1)


def test_the_soak_counts_what_is_missing_within_a_connection() -> None:
    folder = str(Path(__file__).parents[2] / "tools")
    sys.path.insert(0, folder)
    try:
        soak = importlib.import_module("soak")
    finally:
        sys.path.remove(folder)
    assert soak.gaps([0, 1, 4, 5, 0, 1, 3], [0, 4]) == 2 + 1, "from 5 to 0 the camera was plugged in again"
    assert soak.gaps([3, 4, 5], [0]) == 0
    depth = np.full((2, 3), 700, np.uint16)
    depth[0, :2] = soak.BASE + 12, soak.BASE + 345
    assert soak.number_of(Frame({"depth": depth}, 0)) == 120_345

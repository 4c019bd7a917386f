"""Tracks: who is who from frame to frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn import FPS, STEP_NS

from gait3dlib.errors import InputError
from gait3dlib.perception.tracking import Tracker, box_cost, distance_cost


def test_the_assignment_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tracker = Tracker(distance_cost, gate=100.0, min_hits=1)
        start, then = rng.random((4, 2)), rng.random((4, 2))
        tracker.predict(1)
        tracker.update(start)
        tracker.predict(2)
        numbers = [track.number - 1 for track in tracker.update(then) if track is not None]
        cost = distance_cost(start, then)
        best = min(
            itertools.permutations(range(4)), key=lambda order: sum(cost[t, j] for j, t in enumerate(order))
        )
        assert tuple(numbers) == best


def test_crossing_walkers_keep_their_numbers() -> None:
    rng = np.random.default_rng(1)
    tracker = Tracker(box_cost, gate=0.8, without_velocity=(2, 3))
    seen: dict[int, list[int]] = {0: [], 1: []}
    for i in range(80):
        t = i / FPS
        truth = np.array([[80 + 80 * t, 120, 40, 100], [336 - 80 * t, 124, 42, 104]])
        tracker.predict((i + 1) * STEP_NS)
        there = [j for j in (0, 1) if rng.random() > 0.1]
        hidden = abs(truth[0, 0] - truth[1, 0]) < 30
        if hidden:  # whose measurement this is nobody can tell; what counts is who comes out
            there = [0] if rng.random() < 0.5 else []
        given = tracker.update((truth + rng.normal(0, 1.5, truth.shape))[there].reshape(-1, 4))
        for j, track in zip(there, given, strict=True):
            assert track is not None
            if not hidden:
                seen[j].append(track.number)
    assert len(seen[0]) > 50 and len(seen[1]) > 50
    assert len(set(seen[0])) == 1 and len(set(seen[1])) == 1 and seen[0][0] != seen[1][0]
    speeds = sorted(track.velocity[0] for track in tracker.tracks)
    assert np.allclose(speeds, [-80, 80], atol=15) and all(track.velocity[2] == 0 for track in tracker.tracks)


def test_tracks_live_through_short_misses_and_end_after_long_ones() -> None:
    tracker = Tracker(distance_cost, gate=1.0, max_missed_s=0.5, min_hits=3)
    t_ns, ended = 0, []
    for i in range(60):
        t_ns += STEP_NS
        ended += tracker.predict(t_ns)
        hidden = 20 <= i < 30  # 0.4 s
        tracker.update(np.array([[0.05 * i, 1.0, 0.0]] if not hidden and i < 45 else np.zeros((0, 3))))
    assert [track.number for track in ended] == [1] and tracker.tracks == []
    assert ended[0].hits == 35 and ended[0].seen_ns == 45 * STEP_NS


def test_slow_frames_are_no_misses() -> None:
    tracker = Tracker(distance_cost, gate=1.0, max_missed_s=0.5)
    for i in range(1, 6):
        tracker.predict(i * 1_000_000_000)
        tracker.update(np.array([[0.1 * i, 0.0]]))
    assert [track.hits for track in tracker.tracks] == [5]
    tracker.predict(6_000_000_000)
    tracker.update(np.zeros((0, 2)))
    assert len(tracker.predict(7_000_000_000)) == 1


def test_noise_makes_no_track_and_parts_make_no_second_one() -> None:
    tracker = Tracker(box_cost, gate=0.8, duplicate=0.5)
    body, leg = [100.0, 100, 40, 100], [100.0, 115, 40, 60]
    for i in range(10):
        tracker.predict((i + 1) * STEP_NS)
        noise = [[300.0 + 50 * i, 20, 10, 20]] if i % 4 == 0 else []
        given = tracker.update(np.array([body, leg, *noise]) if i else np.array([body]))
        assert i == 0 or given[1] is None
    assert [track.number for track in tracker.tracks] == [1]


def test_of_two_tracks_on_one_body_the_younger_ends() -> None:
    tracker = Tracker(box_cost, gate=0.8, duplicate=0.5)
    ended = []
    for i in range(60):
        ended += tracker.predict((i + 1) * STEP_NS)
        apart = max(100.0 - 5 * i, 10.0)
        tracker.update(np.array([[100.0, 100, 40, 100], [100 + apart, 100, 40, 100]]))
    assert [track.number for track in ended] == [2]


def test_tracker_refuses_nonsense() -> None:
    tracker = Tracker(distance_cost, gate=1.0)
    tracker.predict(10)
    tracker.update(np.zeros((1, 2)))
    with pytest.raises(InputError, match="finite"):
        tracker.update(np.array([[np.nan, 0.0]]))
    with pytest.raises(InputError, match="same d"):
        tracker.update(np.zeros((1, 3)))
    with pytest.raises(InputError, match="forward"):
        tracker.predict(10)

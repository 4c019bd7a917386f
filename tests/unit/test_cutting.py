"""Where a walk begins and ends, from places that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from drawn import FPS, STEP_NS, STRIDE_PX

from gait3dlib.perception import cutting as cutting_module
from gait3dlib.perception.crops import (
    CANVAS,
)
from gait3dlib.perception.cutting import Sight, WalkCutter
from gait3dlib.types import GaitSequence, Meta


def sights(
    x: Iterable[float],
    *,
    good: Callable[[int], bool] = lambda i: True,
    size: Callable[[int], float] = lambda i: 100,
) -> Iterator[Sight]:
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    canvas[10:118, 50:80] = 255
    for i, place in enumerate(x):
        tall = size(i)
        box = np.array([place, 0, 115 * tall / 100, 115 * tall / 100])
        yield Sight((i + 1) * STEP_NS, np.array([place, 50.0]), tall, tall, good(i), box, canvas)


def cut_out(seen: Iterable[Sight], min_seconds: float = 0.9) -> list[GaitSequence]:
    cutter = WalkCutter(0, focal_px=400.0, min_seconds=min_seconds, layout=None, meta=Meta())
    found = [walk for sight in seen for walk in cutter.add(sight)]
    return found + list(cutter.finish())


def length(found: list[GaitSequence]) -> list[int]:
    return [len(walk.streams["silhouette"]) for walk in found]


def test_speed_decides_who_walks() -> None:
    steps = np.arange(50)
    assert length(cut_out(sights(STRIDE_PX * steps))) == [50]
    assert length(cut_out(sights(-STRIDE_PX * steps))) == [50]
    assert cut_out(sights(0.5 * steps)) == []  # 0.125 heights a second: somebody shifts about
    assert cut_out(sights(15.0 * steps)) == []  # 3.75 heights a second: nobody on foot
    assert cut_out(sights(20 * np.sin(2 * np.pi * steps / FPS))) == []  # dances on the spot


def test_who_comes_nearer_walks_even_if_the_place_in_the_image_stays() -> None:
    def nearer(i: int) -> float:  # 1.3 m/s towards a camera with focal length 400, from 8 m, 1.7 m tall
        return 400 * 1.7 / (8 - 1.3 * i / FPS)

    assert length(cut_out(sights(np.zeros(60), size=nearer))) == [60]
    jumps = cut_out(sights(np.zeros(60), size=lambda i: 100 + 15 * np.sin(2 * np.pi * i / FPS)))
    assert jumps == []


def test_short_walks_are_dropped_and_short_gaps_bridged() -> None:
    assert length(cut_out(sights(8 * np.arange(22)))) == []
    assert length(cut_out(sights(8 * np.arange(23)))) == [23]  # 23 frames of 40 ms are 0.92 s
    assert length(cut_out(sights(8 * np.arange(23)), min_seconds=1.0)) == []
    gap = cut_out(sights(STRIDE_PX * np.arange(70), good=lambda i: not 30 <= i < 38))
    assert length(gap) == [62]
    assert np.diff(gap[0].streams["silhouette"].t_ns).max() == 9 * STEP_NS
    assert length(cut_out(sights(STRIDE_PX * np.arange(90), good=lambda i: not 40 <= i < 51))) == [40, 39]
    every_other = cut_out(sights(STRIDE_PX * np.arange(60), good=lambda i: i % 2 == 0))
    assert length(every_other) == [30]  # a slower camera, not gaps
    torn = cut_out(sights(STRIDE_PX * np.arange(60), good=lambda i: i % 10 < 5))
    assert torn == []  # half of it is missing


def test_a_stop_ends_the_walk_and_a_start_begins_the_next() -> None:
    x = np.concatenate([STRIDE_PX * np.arange(50), np.full(50, 160.0), 160 + STRIDE_PX * np.arange(50)])
    found = cut_out(sights(x))
    assert len(found) == 2
    assert all(45 <= n <= 62 for n in length(found))
    assert found[0].start_ns == STEP_NS and found[1].start_ns > 85 * STEP_NS


def test_long_walks_are_handed_over_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting_module, "MAX_WALK_S", 2.0)
    parts = cut_out(sights(STRIDE_PX * np.arange(160)))
    assert length(parts) == [52, 52, 52]  # and the last 4 frames are no walk of their own


def test_half_hidden_ends_are_trimmed() -> None:
    seen = list(sights(STRIDE_PX * np.arange(60)))
    for i in range(6):
        seen[i].silhouette.flags.writeable = True
        half = seen[i].silhouette.copy()
        half[:, 60:] = 0
        seen[i] = Sight(**{**seen[i].__dict__, "silhouette": half})
        seen[-1 - i] = Sight(**{**seen[-1 - i].__dict__, "clear": False})
    assert length(cut_out(seen)) == [48]

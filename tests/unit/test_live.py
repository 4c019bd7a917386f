"""The live loop: stages, queues, what is dropped, how it ends; people in frames that a sensor gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import pytest

from gait3dlib.errors import InputError, SensorError, UntrainedError
from gait3dlib.live import Gate, Live
from gait3dlib.live._numbers import percentiles
from gait3dlib.live._stage import Stage
from gait3dlib.pipeline import Pipeline
from gait3dlib.types import Calibration, EndOfStream, Frame, StreamSpec

SIZE = (60, 200)
FPS = 20.0


class Passing:
    """Masks of a block that walks by, or stands: one person a way, with empty frames before and after.

    Args:
        ways: of each person how many pixels a frame, and for how many frames.
        live: lossy when read slowly.
        pause_s: between two frames.
    """

    def __init__(self, *ways: tuple[float, int], live: bool = False, pause_s: float = 0.0) -> None:
        self.live, self.pause_s, self.ways = live, pause_s, ways
        self.opens = self.closes = 0
        self._frames: Iterator[Frame] | None = None

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        return {"silhouette": StreamSpec("silhouette", SIZE, ("uint8",), ("1",))}

    calibration: Mapping[str, Calibration] = {}

    def open(self) -> None:
        self.opens, self._frames = self.opens + 1, self._film()

    def close(self) -> None:
        self.closes, self._frames = self.closes + 1, None

    def read(self, timeout_s: float) -> Frame:
        if self._frames is None:
            raise SensorError("closed; open it")
        time.sleep(self.pause_s)
        frame = next(self._frames, None)
        if frame is None:
            raise EndOfStream
        return frame

    def _film(self) -> Iterator[Frame]:
        number = 0
        for step, frames in self.ways:
            for i in range(-15, frames + 15):
                image = np.zeros(SIZE, np.uint8)
                if 0 <= i < frames:
                    left = round(20 + step * i)
                    image[10:50, left : left + 14 + 4 * (i % 5 > 2)] = 255
                yield Frame({"silhouette": image}, round(number * 1e9 / FPS))
                number += 1

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def by_name(prefix: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


# ---- a stage -------------------------------------------------------------------------------------------


def test_a_stage_gives_everything_in_order_when_it_may_wait() -> None:
    with Stage(range(100), name="test", size=3, lossy=False) as stage:
        assert list(stage) == list(range(100))
        assert stage.ended
        assert stage.drops == 0


def test_a_lossy_stage_drops_the_oldest_and_counts_it() -> None:
    with Stage(range(10), name="test", size=3, lossy=True) as stage:
        deadline = time.monotonic() + 10
        while stage.drops < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (list(stage), stage.drops) == ([7, 8, 9], 7)


def test_an_error_comes_after_what_was_before_it_and_once() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise SensorError("unplugged; plug it in")

    with Stage(broken(), name="test", size=3, lossy=False) as stage:
        assert next(stage) == 1
        with pytest.raises(SensorError, match="unplugged"):
            next(stage)
        assert stage.take(0.1) is None
        assert stage.ended


def test_waiting_for_a_stage_has_a_limit_and_leaving_ends_its_thread() -> None:
    go = threading.Event()

    def slow() -> Iterator[int]:
        go.wait(10)
        yield from range(10**6)

    with Stage(slow(), name="slow-one", size=2, lossy=False) as stage:
        assert stage.take(0.05) is None
        assert not stage.ended
        go.set()
        assert stage.take(5.0) == 0
    assert not by_name("gait3d-slow-one")


def test_what_runs_in_a_stage_is_closed_in_its_thread_when_left_early() -> None:
    where: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            where.append(threading.current_thread().name)

    with Stage(endless(), name="closed", size=2, lossy=False) as stage:
        next(stage)
    assert where == ["gait3d-closed"]


# ---- the loop ------------------------------------------------------------------------------------------


def test_walks_come_as_answers_and_who_stood_is_told_why() -> None:
    with Live(None, Passing((3.0, 45), (0.0, 60)), gate=Gate(height_px=0)) as live:
        first, second = list(live)
        stats = live.stats
    assert first.walk is not None
    assert set(first.walk.streams) == {"silhouette"}
    assert first.recognition.reason == ""
    assert second.walk is None
    assert second.recognition.reason.startswith("standing: in ")
    assert second.recognition.identity == "unknown"
    assert np.isnan(second.recognition.score)
    assert (first.number, second.number) == (0, 1)
    assert stats.captured == stats.perceived == 45 + 60 + 4 * 15
    assert (stats.dropped_frames, stats.dropped_walks, stats.walks) == (0, 0, 2)
    assert 0 <= first.latency_s < 60


def test_who_came_by_for_a_moment_is_told_it_was_too_short() -> None:
    with Live(None, Passing((5.0, 15))) as live:
        (only,) = list(live)
    assert only.walk is None
    assert only.recognition.reason.startswith("too short")


def test_stopping_closes_the_sensor_and_gives_what_was_seen() -> None:
    sensor = Passing(*[(3.0, 45)] * 200, pause_s=0.001)
    with Live(None, sensor) as live:
        first = next(live)
        live.stop()
        assert sensor.closes >= 1
        rest = list(live)
        assert live.ended
    assert first.walk is not None
    assert len(rest) < 100
    assert not by_name("gait3d-perception")
    assert not by_name("gait3d-pump")


def test_leaving_early_ends_all_threads() -> None:
    with Live(None, Passing(*[(3.0, 45)] * 200), on_frame=lambda frame: None) as live:
        next(live)
    assert not by_name("gait3d-")


def test_slow_perception_loses_the_oldest_frames_of_a_live_sensor_and_counts_them() -> None:
    def dawdle(moment: Any) -> None:
        time.sleep(0.02)

    seen: list[int] = []
    sensor = Passing((1.0, 150), live=True)
    with Live(
        None, sensor, on_moment=dawdle, on_frame=lambda f: seen.append(f.host_t_ns), queue_size=8
    ) as live:
        list(live)
        stats = live.stats
    assert stats.captured == 180
    assert stats.perceived + stats.passed_over + stats.dropped_frames == 180
    assert stats.passed_over > 0
    assert len(seen) == 180 - stats.dropped_frames, "the recorder got all that the pump had"
    assert seen == sorted(seen)


def test_the_networks_have_answered_before_the_sensor_opens(guessing_weights: Any) -> None:
    with Pipeline(["silhouette"], weights=guessing_weights) as pipeline:
        held: list[tuple[int, int]] = []
        sensor, embed = Passing((3.0, 45)), pipeline.embed

        def noted(seq: Any, *rest: Any) -> Any:
            held.append((len(seq.streams["silhouette"]), sensor.opens))
            return embed(seq, *rest)

        pipeline.embed = noted  # type: ignore[method-assign]
        with Live(pipeline, sensor) as live:
            assert len(list(live)) == 1
    assert held == [(30, 0)]


@pytest.mark.parametrize("recorder", [None, lambda frame: None])
def test_only_a_live_sensor_is_hurried_after(recorder: Any) -> None:
    for live in (True, False):
        late: list[bool] = []

        def dawdle(moment: Any, late: list[bool] = late) -> None:
            time.sleep(0.01)
            late.append(loop._eyes.behind())

        with Live(None, Passing((1.0, 40), live=live), on_moment=dawdle, on_frame=recorder) as loop:
            list(loop)
        assert (sum(late) > len(late) / 2) == live, "frames wait, but a file has time"
        assert not late[-1], "nothing waits behind the last"


def test_a_recorder_that_has_enough_ends_the_loop() -> None:
    taken: list[Frame] = []

    def three(frame: Frame) -> bool:
        taken.append(frame)
        return len(taken) < 3

    with Live(None, Passing((3.0, 45)), on_frame=three) as live:
        assert list(live) == []
    assert len(taken) == 3


def test_a_recorders_error_is_raised_where_answers_are_taken() -> None:
    def full(frame: Frame) -> None:
        raise InputError("the disk is full; make room")

    with (
        Live(None, Passing((3.0, 45)), on_frame=full) as live,
        pytest.raises(InputError, match="disk is full"),
    ):
        next(live)


def test_what_was_opened_is_closed_when_the_file_cannot_be_made() -> None:
    sensor = Passing((3.0, 45))

    def refuse(frames: Any) -> None:
        raise InputError("it exists; choose another name")

    with pytest.raises(InputError, match="exists"), Live(None, sensor, on_open=refuse):
        pass
    assert sensor.closes >= 1
    assert not by_name("gait3d-")


def test_moments_say_who_is_in_view_and_what_was_answered() -> None:
    moments: list[Any] = []
    with Live(None, Passing((3.0, 45), (3.0, 45)), on_moment=moments.append) as live:
        list(live)
    assert max(len(moment.people) for moment in moments) == 1
    extents = [seen.extent for moment in moments for seen in moment.people.values()]
    assert all(extent[3] == pytest.approx(40, abs=6) for extent in extents)
    assert len({number for moment in moments for number in moment.people}) == 2


def test_wrong_use_is_said(guessing_weights: Any) -> None:
    with pytest.raises(InputError, match="at least one sensor"):
        Live(None, [])
    with pytest.raises(InputError, match="not running"):
        next(Live(None, Passing((3.0, 45))))
    fresh = Pipeline(["silhouette"], weights=None)
    with pytest.raises(UntrainedError, match="never trained"):
        Live(fresh, Passing((3.0, 45)))


def test_percentiles() -> None:
    assert percentiles([float(n) for n in range(101)]) == (50.0, 95.0, 99.0)
    assert all(np.isnan(percentiles([])))

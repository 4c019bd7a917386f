"""The pump: nothing lost from files, nothing kept waiting by a slow consumer, devices opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Self

import numpy as np
import pytest

from gait3dlib.errors import SensorError
from gait3dlib.sensors import Pump
from gait3dlib.types import Calibration, EndOfStream, Frame, Sensor, StreamSpec


class Counter:
    """A sensor that counts; ``deaths`` names the readings that fail, ``dead_opens`` the openings."""

    def __init__(
        self,
        frames: int = 10**9,
        live: bool = True,
        pause_s: float = 0.0,
        deaths: tuple[int, ...] = (),
        dead_opens: tuple[int, ...] = (),
        error: Exception | None = None,
    ) -> None:
        self.frames, self.live, self.pause_s, self.deaths = frames, live, pause_s, deaths
        self.dead_opens, self.error = dead_opens, error
        self.readings = self.count = self.opens = self.closes = 0

    specs: Mapping[str, StreamSpec] = {"count": StreamSpec("count", (1,), ("int64",), ("1",))}
    calibration: Mapping[str, Calibration] = {}

    def open(self) -> None:
        self.opens += 1
        if self.opens in self.dead_opens:
            raise SensorError("still unplugged")

    def close(self) -> None:
        self.closes += 1

    def read(self, timeout_s: float) -> Frame:
        time.sleep(self.pause_s)
        self.readings += 1
        if self.readings in self.deaths:
            raise self.error or SensorError("unplugged")
        if self.count >= self.frames:
            raise EndOfStream
        self.count += 1
        return Frame({"count": np.array([self.count])}, self.count)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def counts(frames: Iterator[Frame]) -> list[int]:
    return [frame.host_t_ns for frame in frames]


def test_no_frame_of_a_file_is_lost_however_slow_the_consumer() -> None:
    sensor = Counter(frames=60, live=False)
    assert isinstance(sensor, Sensor)
    seen = []
    with Pump(sensor, queue_size=3) as pump:
        for frame in pump:
            seen.append(frame.host_t_ns)
            assert sensor.count - frame.host_t_ns <= 4  # the queue is bounded: the sensor waits
            if frame.host_t_ns % 20 == 0:
                time.sleep(0.05)
    assert seen == list(range(1, 61))
    assert (pump.stats.frames, pump.stats.drops, pump.stats.errors) == (60, 0, 0)
    assert (sensor.opens, sensor.closes) == (1, 1)
    assert counts(pump) == []


def test_a_live_sensor_drops_the_oldest_frames_and_counts_them() -> None:
    sensor = Counter(frames=200)
    with Pump(sensor, queue_size=8) as pump:
        while pump.stats.frames < 200:
            time.sleep(0.001)
        seen = counts(pump)
    assert seen == list(range(193, 201))
    assert pump.stats.drops == 192
    assert len(seen) + pump.stats.drops == pump.stats.frames


def test_a_sensor_without_a_word_about_it_counts_as_live() -> None:
    sensor = Counter(frames=3)
    del sensor.live
    assert Pump(sensor).live


def test_leaving_stops_a_sensor_that_never_ends() -> None:
    for live in (True, False):
        sensor, before = Counter(live=live, pause_s=0.001), threading.active_count()
        with Pump(sensor, queue_size=2) as pump:
            assert next(pump).host_t_ns >= 1
            time.sleep(0.02)
        after = sensor.readings
        assert threading.active_count() == before
        time.sleep(0.02)
        assert (sensor.readings, sensor.closes) == (after, 1)


def test_a_live_sensor_is_opened_again() -> None:
    sensor = Counter(frames=20, deaths=(5, 12, 13), dead_opens=(2,))
    with Pump(sensor, queue_size=100, backoff_s=0.001) as pump:
        seen = counts(pump)
    assert seen == list(range(1, 21))
    stats = pump.stats
    assert (stats.errors, stats.reconnects, stats.last_error) == (4, 3, "unplugged")
    assert sensor.opens == sensor.closes == 5


def test_a_sensor_that_stays_dead_raises_its_error_after_what_it_gave() -> None:
    sensor = Counter(deaths=tuple(range(4, 100)))
    with Pump(sensor, reconnect=3, backoff_s=0.001) as pump:
        assert [next(pump).host_t_ns for _ in range(3)] == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(SensorError, match="unplugged"):
                next(pump)
    assert (pump.stats.errors, pump.stats.reconnects) == (4, 3)


def test_pauses_before_opening_again_double_and_end_on_leaving() -> None:
    begin = time.monotonic()
    with Pump(Counter(deaths=tuple(range(1, 100))), backoff_s=0.02, reconnect=3) as pump:
        with pytest.raises(SensorError):
            next(pump)
        assert time.monotonic() - begin > 0.02 + 0.04 + 0.08
    begin = time.monotonic()
    with Pump(Counter(deaths=(1,)), backoff_s=20.0) as pump:
        while not pump.stats.errors:
            time.sleep(0.001)
    assert time.monotonic() - begin < 10.0
    assert counts(pump) == []


def test_errors_of_a_file_and_of_the_program_are_final() -> None:
    with Pump(Counter(live=False, deaths=(3,))) as pump:
        next(pump)
        next(pump)
        with pytest.raises(SensorError, match="unplugged"):
            next(pump)
    with (
        Pump(Counter(deaths=(1,), error=ZeroDivisionError("a bug"))) as pump,
        pytest.raises(ZeroDivisionError, match="a bug"),
    ):
        next(pump)


def test_a_sensor_that_cannot_be_opened_says_so_at_once() -> None:
    sensor = Counter(dead_opens=(1,))
    with pytest.raises(SensorError, match="still unplugged"), Pump(sensor):
        pass
    assert list(Pump(Counter())) == []  # not entered: nothing to give


def test_a_pump_runs_once() -> None:
    pump = Pump(Counter(frames=1))
    with pump:
        pass
    with pytest.raises(SensorError, match="runs once"), pump:
        pass


def test_a_sensor_that_never_returns_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Stuck(Counter):
        def read(self, timeout_s: float) -> Frame:
            release.wait()
            raise EndOfStream

    sensor = Stuck()
    with Pump(sensor, timeout_s=-9.95):  # leaving waits timeout_s and ten seconds more
        pass
    assert sensor.closes == 0
    release.set()

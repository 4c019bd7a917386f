"""The RealSense adapter when frames are lost, cameras come and go, and clocks are set."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", exc_type=ImportError)

from software_realsense import CAMERA, HEIGHT, WIDTH, Eager, equal, patterns, plugged, read

from gait3dlib.sensors import Pump, Rig
from gait3dlib.sensors._device_clock import DeviceClock, MomentClock
from gait3dlib.sensors._realsense_devices import cameras
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera
from gait3dlib.types import NS_PER_S

# ---- losses --------------------------------------------------------------------------------------------


def test_frames_that_the_camera_numbered_but_nobody_got_are_counted() -> None:
    shots = patterns(20)
    held = [Shot(s.depth, s.t_ns, s.color, n) for n, s in enumerate(shots) if n not in (7, 8, 13)]
    camera, sensor = plugged(held)
    with camera, sensor:
        equal(read(sensor, 17), [shots[s.number or 0] for s in held])
    assert sensor.counts.lost == 3


def test_a_moment_without_its_picture_is_handed_on_and_counted() -> None:
    shots = patterns(12)
    shots[5] = Shot(shots[5].depth, shots[5].t_ns, None)
    camera, sensor = plugged(shots)
    with camera, sensor:
        frames = read(sensor, 11)
    assert "color" not in frames[5].data
    np.testing.assert_array_equal(frames[5].data["depth"], shots[5].depth)
    assert sensor.counts.single >= 1


def test_unplugged_and_plugged_in_again() -> None:
    shots = patterns(40)
    camera, sensor = plugged(shots[:15])
    bus = sensor._bus
    frames = []
    with camera, Pump(sensor, timeout_s=1.0, backoff_s=0.1, reconnect=12) as pump:
        frames += list(itertools.islice(pump, 15))
        bus.unplug(camera.serial)
        while not pump.stats.errors:
            time.sleep(0.02)
        again = SoftwareCamera(shots[15:], CAMERA, pace=Eager(sensor))
        bus.plug_in(again)
        with again:
            frames += list(itertools.islice(pump, 10))
        stats = pump.stats
    equal(frames, shots[:25])
    assert stats.reconnects == 1
    assert "fell silent" in stats.last_error or "no RealSense camera" in stats.last_error
    assert np.diff([f.host_t_ns for f in frames]).min() > 0


def test_two_cameras_at_once() -> None:
    one, two = patterns(10), [Shot(s.depth + np.uint16(1000), s.t_ns, s.color) for s in patterns(10)]
    paces = Eager(), Eager()
    cameras_ = [
        SoftwareCamera(shots, CAMERA, serial=name, pace=pace)
        for shots, name, pace in zip((one, two), ("A1", "B2"), paces, strict=True)
    ]
    bus = SoftwareBus(cameras_)
    assert [c.serial for c in cameras(bus)] == ["A1", "B2"]
    sensors = [Realsense(name, width=WIDTH, height=HEIGHT, warm_up_s=0, bus=bus) for name in ("A1", "B2")]
    for pace, sensor in zip(paces, sensors, strict=True):
        pace.sensor = sensor
    with cameras_[0], cameras_[1], Rig(sensors, timeout_s=1.0, reconnect=0) as rig:
        frames = list(itertools.islice(rig, 20))
    seen = {name: [f.data[name] for f in frames if name in f.data] for name in ("depth", "depth_2")}
    for name, shots in (("depth", one), ("depth_2", two)):
        assert len(seen[name]) == 10
        for got, shot in zip(seen[name], shots, strict=True):
            np.testing.assert_array_equal(got, shot.depth)


def test_warm_up_frames_are_dropped() -> None:
    shots = patterns(20)
    camera, sensor = plugged(shots, warm_up_s=0.2, pace=lambda number: time.sleep(0.02))
    with camera, sensor:
        equal(read(sensor, 14), shots[6:])


# ---- clocks --------------------------------------------------------------------------------------------


def test_a_drifting_clock_is_put_onto_the_hosts() -> None:
    """50 ppm of drift, delays of 2 ms and more: after a minute stamps are right to a millisecond."""
    rng, clock = np.random.default_rng(3), DeviceClock()
    taken = np.arange(30 * 90) * NS_PER_S // 30
    device = 5_000_000_000 + np.round(taken * (1 - 50e-6)).astype(np.int64)
    arrival = taken + 2_000_000 + (rng.exponential(4e6, len(taken))).astype(np.int64)
    host = [clock.host_ns(int(d), 10**18 + int(a)) - 10**18 for d, a in zip(device, arrival, strict=True)]
    late = np.array(host) - taken - 2_000_000
    assert np.abs(late[30 * 60 :]).max() < 1_000_000
    assert clock.drift_ppm == pytest.approx(50, abs=8)
    assert clock.resets == 0


def test_a_clock_that_is_set_is_followed_and_time_never_runs_back() -> None:
    clock, host = DeviceClock(), []
    for n in range(200):
        device = n * 33_000_000 - (4 * NS_PER_S if n >= 100 else 0)
        host.append(clock.host_ns(10 * NS_PER_S + device, 10**18 + n * 33_000_000 + 5_000_000))
    assert clock.resets == 1
    assert (np.diff(host) > 0).all()
    assert abs(host[-1] - (10**18 + 199 * 33_000_000 + 5_000_000)) < 1000


def test_a_stalled_host_does_not_move_the_stamps() -> None:
    """For 0.8 s nothing is read, then all comes at once: when it was taken is unchanged."""
    clock, host = DeviceClock(), []
    for n in range(120):
        taken = n * 33_333_333
        host.append(
            clock.host_ns(taken, 10**18 + max(taken, 60 * 33_333_333 + 800_000_000 if n >= 60 else 0))
        )
    np.testing.assert_allclose(np.diff(host), 33_333_333, atol=2)


def test_time_in_a_file_goes_on_where_the_camera_was_restarted() -> None:
    clock = MomentClock(file=True)
    stamps = [100 * NS_PER_S, 101 * NS_PER_S - 1, 5, NS_PER_S]
    times = [clock.at(t, host_time=False) for t in stamps]
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert times[-1] < 4 * NS_PER_S


def test_stamps_of_the_hosts_clock_are_kept() -> None:
    now = time.time_ns()
    shots = [Shot(s.depth, now + n * 1_000_000, s.color) for n, s in enumerate(patterns(8))]
    camera, sensor = plugged(shots, clock="global_time")
    with camera, sensor:
        frames = read(sensor, 7)
    assert [f.host_t_ns for f in frames] == pytest.approx([s.t_ns for s in shots[:7]], abs=1000)

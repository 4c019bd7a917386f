"""LiDAR packets: captures, points that come back, and a live port."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensing import everything, free_port

from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.sensors import Pump, Rig, open_sensor
from gait3dlib.sensors._capture import Capture
from gait3dlib.sensors._order import PacketCounts
from gait3dlib.sensors.livox import Livox
from gait3dlib.simulation import packets
from gait3dlib.simulation.lidar import Sweep
from gait3dlib.simulation.packets import Packet, write_capture
from gait3dlib.types import Frame

RNG = np.random.default_rng(3)


# ---- captures -------------------------------------------------------------------------------------


def cloud(count: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    xyz = RNG.uniform(-20, 20, (count, 3))
    points = np.column_stack([np.round(xyz, 3), RNG.integers(1, 256, count)])
    return points, np.arange(count) * 5e-6


def test_captures_of_both_kinds_give_what_was_written(tmp_path: Path) -> None:
    sent = [
        Packet(i * 0.001, bytes(RNG.integers(0, 256, size, dtype=np.uint8)))
        for i, size in enumerate((1, 1206, 8448, 24832))
    ]
    write_capture(tmp_path / "a.pcap", sent, 2368)
    with Capture(tmp_path / "a.pcap") as capture:
        found = list(capture)
    assert [packet.data for packet in found] == [packet.data for packet in sent]
    assert {(packet.source, packet.port) for packet in found} == {("192.168.1.201", 2368)}
    assert [packet.t_ns - found[0].t_ns for packet in found] == [0, 1_000_000, 2_000_000, 3_000_000]
    (tmp_path / "b.pcapng").write_bytes(as_pcapng((tmp_path / "a.pcap").read_bytes()))
    assert list(Capture(tmp_path / "b.pcapng")) == found


def as_pcapng(raw: bytes) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    nanoseconds = struct.pack("<HHBxxxHH", 9, 1, 9, 0, 0)
    out += block(1, struct.pack("<HHI", 1, 0, 0) + nanoseconds)
    at = 24
    while at < len(raw):
        seconds, micro, size, _ = struct.unpack("<IIII", raw[at : at + 16])
        t_ns = seconds * 10**9 + micro * 1000
        out += block(
            6,
            struct.pack("<IIIII", 0, t_ns >> 32, t_ns & 0xFFFFFFFF, size, size)
            + raw[at + 16 : at + 16 + size],
        )
        at += 16 + size
    return out


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_capture_ends_in_anything_but_a_sentence(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("captures")
    write_capture(folder / "a.pcap", list(packets.livox_packets(*cloud(96 * 20))), 56301)
    raw = (folder / "a.pcap").read_bytes()
    raw = as_pcapng(raw) if data.draw(st.booleans()) else raw
    broken = bytearray(raw[: data.draw(st.integers(0, len(raw)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=20)):
        if broken:
            broken[place] ^= data.draw(st.integers(1, 255))
    (folder / "b.pcap").write_bytes(broken)
    with contextlib.suppress(InputError):
        for frame in everything(Livox(str(folder / "b.pcap"))):
            assert len(frame.data["points"]) == len(frame.data["point_time"])


# ---- Livox ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tolerance"), [(1, 1e-3), (2, 1e-2), (3, 5e-3)])
def test_livox_points_come_back(tmp_path: Path, kind: int, tolerance: float) -> None:
    points, t_s = cloud(96 * 600)
    write_capture(tmp_path / "a.pcap", packets.livox_packets(points, t_s, kind=kind, first=65_400), 56301)
    sensor = Livox(str(tmp_path / "a.pcap"))
    frames = everything(sensor)
    assert sensor.counts == PacketCounts(packets=600)
    assert len(frames) == 3  # 0.288 s
    found = np.concatenate([frame.data["points"] for frame in frames])
    assert np.abs(found - points).max() < tolerance
    when = np.concatenate([frame.data["point_time"] + frame.device_t_ns / 1e9 for frame in frames])
    assert np.abs(when - t_s).max() < 1e-5


def test_livox_check_sums_and_unsure_points(tmp_path: Path) -> None:
    sent = list(packets.livox_packets(*cloud(96 * 40)))
    broken = bytearray(sent[20].data)
    broken[500] ^= 4
    sent[20] = Packet(sent[20].t_s, bytes(broken))
    sent[30:32] = [sent[31], sent[30]]
    motion = struct.pack("<BHHHHBBB12xIQ", 0, 60, 0, 1, 0, 0, 0, 0, 0, 0) + bytes(24)
    sent.insert(10, Packet(0.0, motion))
    sent.insert(35, sent[34])
    del sent[5]
    write_capture(tmp_path / "a.pcap", sent, 56301)
    sensor = Livox(str(tmp_path / "a.pcap"))
    (frame,) = everything(sensor)
    wanted = PacketCounts(packets=39, lost=1, reordered=1, duplicates=1, corrupted=1, other=1)
    assert sensor.counts == wanted
    assert len(frame.data["points"]) == 38 * 96


# ---- Velodyne and Ouster, from packets that we wrote ----------------------------------------------


def sweeps(spec: Any, count: int) -> list[Sweep]:
    """Turns that hit something in a random third of all directions."""
    out = []
    for number in range(count):
        column, ring = np.nonzero(RNG.random((spec.columns, spec.beams)) < 0.33)
        turn = np.deg2rad(180.0 - (column + 0.5) * 360 / spec.columns)
        up = np.deg2rad(np.asarray(spec.elevations_deg))[ring]
        away = RNG.uniform(2, 50, len(column))
        flat = away * np.cos(up)
        xyz = np.stack([flat * np.cos(turn), flat * np.sin(turn), away * np.sin(up)], axis=-1)
        start_s = number / spec.hz
        t_s = start_s + (column + 0.5) / spec.columns / spec.hz
        points = np.column_stack([xyz, RNG.uniform(0, 1, len(column))]).astype(np.float32)
        out.append(Sweep(points, t_s, ring.astype(np.uint8), start_s, np.zeros(len(column), np.int32)))
    return out


def test_velodyne_points_come_back_across_the_hour(tmp_path: Path) -> None:
    pytest.importorskip("velodyne_decoder")
    spec = packets.vlp16()
    made = sweeps(spec, 4)
    sent = list(packets.velodyne_packets(made, spec, start_us=3_599_850_000))
    write_capture(tmp_path / "a.pcap", sent, 2368)
    sensor = open_sensor(f"velodyne:{tmp_path}/a.pcap")
    frames = everything(sensor)
    assert sensor.counts == PacketCounts(packets=len(sent))  # type: ignore[attr-defined]
    stamps = [frame.device_t_ns for frame in frames]
    assert stamps[0] == 3_599_850_000_000
    assert (np.diff(stamps) > 0).all()  # type: ignore[arg-type]
    found = np.concatenate([frame.data["points"] for frame in frames])
    when = np.concatenate([f.data["point_time"] + (f.device_t_ns - stamps[0]) / 1e9 for f in frames])  # type: ignore[operator]
    wanted = np.concatenate([sweep.points for sweep in made])
    at_s = np.concatenate([sweep.t_s for sweep in made])
    used = len(sent) * 24 * 16  # the last firings fill no packet
    assert abs(len(found) - len(wanted)) < 0.01 * used
    # each point has its true one near: 2 mm of range, a firing's turn, the lasers' own heights
    from scipy.spatial import cKDTree

    scaled = np.column_stack([found[:, :3], when * 1000])
    away, nearest = cKDTree(np.column_stack([wanted[:, :3], at_s * 1000])).query(scaled)
    assert np.percentile(away, 99) < 0.25
    ranges = np.linalg.norm(found[:, :3], axis=1) - np.linalg.norm(wanted[nearest, :3], axis=1)
    assert np.percentile(np.abs(ranges), 99) < 0.015


def test_ouster_points_come_back(tmp_path: Path) -> None:
    pytest.importorskip("ouster.sdk.core", exc_type=ImportError)
    spec = packets.os1(32, columns=512)
    spec = type(spec)(spec.elevations_deg, columns=512)
    made = sweeps(spec, 3)
    meta = packets.ouster_metadata(spec)
    (tmp_path / "a.json").write_text(meta)
    write_capture(tmp_path / "a.pcap", packets.ouster_packets(made, spec, meta), 7502)
    sensor = open_sensor(f"ouster:{tmp_path}/a.pcap")
    frames = everything(sensor)
    assert sensor.counts == PacketCounts(packets=96)  # type: ignore[attr-defined]
    assert len(frames) == 3
    half = np.deg2rad(360 / 512 / 2)  # a column is named by where it begins
    turn = np.array([[np.cos(half), -np.sin(half)], [np.sin(half), np.cos(half)]])
    for frame, sweep in zip(frames, made, strict=True):
        wanted = sweep.points.astype(np.float64)
        wanted[:, :2] = wanted[:, :2] @ turn.T
        order = [np.lexsort(np.round(a[:, :3], 1).T) for a in (frame.data["points"], wanted)]
        assert len(order[0]) == len(order[1])
        from scipy.spatial import cKDTree

        away, _ = cKDTree(wanted[:, :3]).query(frame.data["points"][:, :3])
        assert away.max() < 0.01


# ---- a live port ----------------------------------------------------------------------------------


def test_a_port_in_use_and_a_silent_one(tmp_path: Path) -> None:
    port = free_port()
    first, second = Livox(port), Livox(port)
    with first:
        with pytest.raises(SensorError, match=f"UDP port {port} cannot be opened: another program"):
            second.open()
        with pytest.raises(SensorError, match=r"nothing arrived .* check the sensor's power and cable"):
            first.read(0.05)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x" * 99, ("127.0.0.1", port))
            with pytest.raises(SensorError, match="is not of Livox sensors: it holds 1 of 99 bytes"):
                first.read(0.05)
    with pytest.raises(SensorError, match="is not open"):
        first.read(0.05)
    for text, sentence in {
        "livox:99999": "a UDP port is 1 to 65535",
        "livox:nothing.txt": "neither a port nor a file in .pcap",
        "livox:56301,prt=3": "did you mean 'port'",
        "ouster:7502": "need its metadata",
    }.items():
        with pytest.raises(ConfigError, match=sentence):
            open_sensor(text)


def test_a_sensor_that_is_unplugged_comes_back_and_counts_on() -> None:
    port = free_port()
    sent = list(packets.livox_packets(*cloud(96 * 900)))

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for part in (sent[:300], sent[400:]):  # what is sent meanwhile nobody hears
                for packet in part:
                    sock.sendto(packet.data, ("127.0.0.1", port))
                    time.sleep(2e-4)
                time.sleep(1.0)

    sensor = Livox(port)
    with Pump(sensor, timeout_s=0.3, backoff_s=0.05, reconnect=3) as pump:
        thread = threading.Thread(target=send)
        thread.start()
        found = []
        with pytest.raises(SensorError, match="nothing arrived"):
            found += list(iter_into(pump, found))
        thread.join()
    assert pump.stats.reconnects >= 2
    # what was sent while the port was being opened again was heard by nobody, and is no loss of the network's
    assert 300 < sensor.counts.packets <= 800
    assert sensor.counts.lost == 0
    assert sum(len(frame.data["points"]) for frame in found) == sensor.counts.packets * 96


def iter_into(pump: Pump, found: list[Frame]) -> Iterator[Frame]:
    for frame in pump:
        found.append(frame)
    yield from ()


def test_a_slow_consumer_loses_whole_scans_and_is_told(tmp_path: Path) -> None:
    sent = list(packets.livox_packets(*cloud(96 * 300)))
    port = free_port()
    with Pump(Livox(port, scan_s=0.01), queue_size=3, timeout_s=0.4, reconnect=0) as pump:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for packet in sent:
                sock.sendto(packet.data, ("127.0.0.1", port))
                time.sleep(2e-4)
        deadline = time.monotonic() + 20
        while not pump.stats.errors and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pump.stats.frames == 15  # 0.144 s
        assert pump.stats.drops == 12


def test_several_sensors_in_the_order_of_their_times(tmp_path: Path) -> None:
    for name, count in (("a", 500), ("b", 700)):
        write_capture(tmp_path / f"{name}.pcap", packets.livox_packets(*cloud(96 * count)), 56301)
    rig = Rig([Livox(str(tmp_path / "a.pcap"), scan_s=0.03), Livox(str(tmp_path / "b.pcap"), scan_s=0.05)])
    assert set(rig.specs) == {"points", "point_time", "points_2", "point_time_2"}
    with rig as frames:
        found = [(frame.host_t_ns, sorted(frame.data)) for frame in frames]
    assert [t for t, _ in found] == sorted(t for t, _ in found)
    assert sum("points" in names for _, names in found) == 8
    assert sum("points_2" in names for _, names in found) == 7
    assert rig.stats.frames == 15

"""Simulated scans as the packets that real sensors send: Velodyne VLP-16, Ouster OS1, Livox Mid-360.

So all that follows a sensor, from the UDP port to the walk, can be tried without one.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError
from gait3dlib.simulation.lidar import Lidar, Sweep

# VLP-16 manual 63-9243: firings of 16 lasers every 55.296 us, two a block, twelve blocks a packet
FIRING_S = 55.296e-6
FIRINGS = 24
LASERS_DEG = (-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15)
TURN_FIRINGS = 1808  # of a revolution at 600 a minute; so 10.0023 revolutions a second
HOUR_US = 3_600_000_000
PAYLOAD = 1480  # of an IP fragment on Ethernet
LIVOX_POINTS = 96


class Packet(NamedTuple):
    """What a sensor sends, and when (seconds of the scene)."""

    t_s: float
    data: bytes


def vlp16() -> Lidar:
    """A VLP-16 whose columns are its firings."""
    up = tuple(float(angle) for angle in sorted(LASERS_DEG))
    hz = 1 / (TURN_FIRINGS * FIRING_S)
    return Lidar(up, columns=TURN_FIRINGS, hz=hz, max_m=100.0, range_10_percent_m=40.0)


def os1(beams: int = 32, columns: int = 1024) -> Lidar:
    """An Ouster OS1 in its mode of 1,024 columns ten times a second."""
    return Lidar(tuple(np.linspace(-22.5, 22.5, beams).tolist()), columns=columns)


def _grid(sweep: Sweep, spec: Lidar) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Range in metres and intensity 0 to 255, ``[columns, beams]`` each, 0 where nothing came back."""
    column = np.floor((sweep.t_s - sweep.start_s) * spec.hz * spec.columns).astype(int)
    shape = (spec.columns, spec.beams)
    away, bright = np.zeros(shape), np.zeros(shape)
    away[column, sweep.ring] = np.linalg.norm(sweep.points[:, :3].astype(np.float64), axis=1)
    bright[column, sweep.ring] = np.clip(sweep.points[:, 3] * 255, 0, 255)
    return away, bright


# ---- Velodyne -------------------------------------------------------------------------------------


def velodyne_packets(sweeps: Iterable[Sweep], spec: Lidar, *, start_us: int = 0) -> Iterator[Packet]:
    """A VLP-16's data packets (single return, strongest) of successive sweeps of :func:`vlp16`.

    Args:
        sweeps: one after another, without a gap.
        spec: that made them.
        start_us: the sensor's clock at the scene's time 0, microseconds past the hour.

    Raises:
        InputError: the sensor has not a VLP-16's beams.
    """
    if spec.beams != 16:
        raise InputError(f"a VLP-16 has 16 beams, not {spec.beams}")
    order = np.argsort(np.argsort(LASERS_DEG))
    azimuths = (np.arange(spec.columns) + 0.5) * 36_000 / spec.columns + 18_000  # 0 = front, clockwise
    left: list[tuple[float, float, NDArray[np.float64], NDArray[np.float64]]] = []
    for sweep in sweeps:
        away, bright = _grid(sweep, spec)
        for i in range(spec.columns):
            t_s = sweep.start_s + i / spec.columns / spec.hz
            left.append((t_s, azimuths[i], away[i, order], bright[i, order]))
            if len(left) == FIRINGS:
                yield Packet(left[0][0], _velodyne_packet(left, start_us))
                left.clear()


def _velodyne_packet(firings: Sequence[tuple[float, float, Any, Any]], start_us: int) -> bytes:
    out = bytearray()
    for first, second in zip(firings[::2], firings[1::2], strict=True):
        out += struct.pack("<HH", 0xEEFF, round(first[1]) % 36_000)
        returns = np.zeros(32, dtype=[("range", "<u2"), ("intensity", "u1")])
        returns["range"] = np.round(np.concatenate([first[2], second[2]]) / 0.002).clip(0, 65535)
        returns["intensity"] = np.concatenate([first[3], second[3]])
        out += returns.tobytes()
    t_us = (start_us + round(firings[0][0] * 1e6)) % HOUR_US
    return bytes(out) + struct.pack("<IBB", t_us, 0x37, 0x22)


# ---- Ouster ---------------------------------------------------------------------------------------


def ouster_metadata(spec: Lidar, *, port: int = 7502, serial: int = 992200000001) -> str:
    """The metadata (JSON) of an Ouster sensor with these beams and columns, without offsets of its parts."""
    core = require("ouster.sdk.core")
    info = core.SensorInfo.from_default(getattr(core.LidarMode, f"_{spec.columns}x{round(spec.hz)}"))
    data: dict[str, Any] = json.loads(info.to_json_string())
    layout = data["lidar_data_format"]
    layout.update(pixels_per_column=spec.beams, pixel_shift_by_row=[0] * spec.beams)
    layout.update(column_window=[0, spec.columns - 1], udp_profile_lidar="RNG19_RFL8_SIG16_NIR16")
    beams = data["beam_intrinsics"]
    beams["beam_altitude_angles"] = [round(angle, 4) for angle in reversed(spec.elevations_deg)]
    beams["beam_azimuth_angles"] = [0.0] * spec.beams
    beams["lidar_origin_to_beam_origin_mm"] = 0.0
    beams["beam_to_lidar_transform"] = np.eye(4).ravel().tolist()
    half = np.diag([-1.0, -1.0, 1.0, 1.0])
    data["lidar_intrinsics"] = {"lidar_to_sensor_transform": half.ravel().tolist()}
    sensor = data["sensor_info"]
    sensor.update(prod_line=f"OS-1-{spec.beams}", prod_sn=str(serial), initialization_id=5431292)
    data["config_params"].update(udp_port_lidar=port, udp_profile_lidar="RNG19_RFL8_SIG16_NIR16")
    return json.dumps(data)


def ouster_packets(sweeps: Iterable[Sweep], spec: Lidar, metadata: str) -> Iterator[Packet]:
    """An Ouster sensor's lidar packets of successive sweeps, made by ouster-sdk.

    Args:
        sweeps: one after another.
        spec: that made them.
        metadata: of :func:`ouster_metadata`.

    Raises:
        MissingDependency: the ``ouster`` extra is not installed.
    """
    core = require("ouster.sdk.core")
    info = core.SensorInfo(metadata)
    layout = core.PacketFormat(info)
    per_packet = info.format.columns_per_packet
    for number, sweep in enumerate(sweeps):
        away, bright = _grid(sweep, spec)
        frame = core.LidarFrame(info)
        frame.frame_id = number % 65536
        frame.field("RANGE")[:] = np.round(away.T[::-1] * 1000)
        frame.field("REFLECTIVITY")[:] = bright.T[::-1]
        frame.field("SIGNAL")[:] = bright.T[::-1] * 16
        at_s = sweep.start_s + np.arange(spec.columns) / spec.columns / spec.hz
        frame.timestamp[:] = np.round(at_s * 1e9).astype(np.uint64)
        frame.measurement_id[:] = np.arange(spec.columns)
        frame.status[:] = 1
        packets = core.frame_to_packets(frame, layout, info.init_id, int(info.sn))
        for place, packet in enumerate(packets):
            sent_s = float(at_s[min((place + 1) * per_packet, spec.columns) - 1])
            yield Packet(sent_s, packet.buf.tobytes())


# ---- Livox ----------------------------------------------------------------------------------------


def livox_packets(
    points: NDArray[np.floating[Any]],
    t_s: NDArray[np.floating[Any]],
    *,
    kind: int = 1,
    first: int = 0,
    start_ns: int = 0,
) -> Iterator[Packet]:
    """A Livox Mid-360's point packets of points in the order of their times.

    Args:
        points: ``[n, 4]`` x, y, z in metres, intensity 0 to 255.
        t_s: ``[n]``.
        kind: data type: 1 = millimetres in 32 bits, 2 = centimetres in 16 bits, 3 = spherical.
        first: number of the first packet.
        start_ns: the sensor's clock at time 0.
    """
    for number, at in enumerate(range(0, len(points), LIVOX_POINTS)):
        some, times = points[at : at + LIVOX_POINTS], t_s[at : at + LIVOX_POINTS]
        data = _livox_points(some, kind)
        stamp = struct.pack("<Q", start_ns + round(float(times[0]) * 1e9))
        span = round(float(times[-1] - times[0]) * 1e7)
        head = struct.pack(
            "<BHHHHBBB12xI", 0, 36 + len(data), span, len(some), (first + number) % 65536, 0, kind, 0,
            zlib.crc32(stamp + data),
        )  # fmt: skip
        yield Packet(float(times[-1]), head + stamp + data)


def _livox_points(points: NDArray[np.floating[Any]], kind: int) -> bytes:
    shades: list[tuple[str, str]] = [("intensity", "u1"), ("tag", "u1")]
    if kind == 3:
        out = np.zeros(len(points), dtype=[("depth", "<u4"), ("theta", "<u2"), ("phi", "<u2"), *shades])
        away = np.linalg.norm(points[:, :3], axis=1)
        out["depth"] = np.round(away * 1000)
        out["theta"] = np.round(np.rad2deg(np.arccos(points[:, 2] / np.maximum(away, 1e-9))) * 100)
        out["phi"] = np.round(np.rad2deg(np.arctan2(points[:, 1], points[:, 0])) * 100 % 36_000)
    else:
        unit, size = (1000, "<i4") if kind == 1 else (100, "<i2")
        out = np.zeros(len(points), dtype=[("xyz", size, (3,)), *shades])
        out["xyz"] = np.round(points[:, :3] * unit)
    out["intensity"] = points[:, 3].clip(0, 255)
    return out.tobytes()


# ---- captures -------------------------------------------------------------------------------------


def write_capture(
    path: str | Path,
    packets: Iterable[Packet],
    port: int,
    *,
    source: str = "192.168.1.201",
    start_s: float = 1e9,
) -> int:
    """Write packets as a pcap file (Ethernet, IPv4 in fragments where needed, UDP); returns their number."""
    sender = bytes(int(part) for part in source.split("."))
    count = 0
    with Path(path).open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for count, packet in enumerate(packets, 1):
            at_us = round((start_s + packet.t_s) * 1e6)
            data = struct.pack(">HHHH", port, port, 8 + len(packet.data), 0) + packet.data
            for place in range(0, len(data), PAYLOAD):
                part = data[place : place + PAYLOAD]
                more = 0x2000 if place + PAYLOAD < len(data) else 0
                head = struct.pack(
                    ">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), count % 65536, more | place // 8, 64, 17, 0,
                    sender, b"\xff\xff\xff\xff",
                )  # fmt: skip
                frame = b"\xff" * 6 + b"\x60\x76\x88\0\0\0" + b"\x08\0" + head + part
                file.write(struct.pack("<IIII", *divmod(at_us, 1_000_000), len(frame), len(frame)) + frame)
    return count

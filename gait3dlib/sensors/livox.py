"""Livox LiDARs with the second generation's packets (Mid-360, HAP), live or from a capture.

Their format is public and small, so it is decoded here [1]: a header of 36 bytes, then some 96 points in
millimetres, in centimetres, or in spherical coordinates. These sensors do not turn in rounds that could be
cut; a scan is what was measured in a tenth of a second.

[1] Livox, "Livox Mid-360 communication protocol", section "Point cloud & IMU data protocol".
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gait3dlib.sensors._packets import Decoder, Flaw, PacketSensor, Scan
from gait3dlib.types import NS_PER_S

HEAD = 36
IMU = 0
SHADE = [("intensity", "u1"), ("tag", "u1")]
POINT = {  # data type -> what a point looks like
    1: np.dtype([("xyz", "<i4", (3,)), *SHADE]),
    2: np.dtype([("xyz", "<i2", (3,)), *SHADE]),
    3: np.dtype([("depth", "<u4"), ("theta", "<u2"), ("phi", "<u2"), *SHADE]),
}
UNIT_M = {1: 1e-3, 2: 1e-2}
UNSURE = 0b00101010  # tag bits of low confidence: glued to a neighbour, rain or dust, other
SCAN_S = 0.1
NEAR = 20_000  # packets; a number further back was counted anew


class _Head(NamedTuple):
    version: int
    length: int
    span: int  # 0.1 microseconds from the first point to the last
    points: int
    number: int
    frame: int
    kind: int
    clock: int
    check: int
    t_ns: int


class Livox(PacketSensor):
    """A Livox LiDAR: ``livox:56301`` live, ``livox:FILE.pcap`` from a capture.

    Args:
        source: a UDP port (56301 as the Mid-360 is delivered, 57000 the HAP), or the path of a capture.
        host: take packets of this sender only; without it, those of the first one that is heard.
        port: in a capture, the port to listen to; without it, all.
        scan_s: seconds that make a scan.
        mount: a JSON file with the sensor's place in the world, see ``gait3d mount``.
    """

    kind, maker, default_port = "livox", "Livox", 56301

    def __init__(
        self,
        source: str | int | None = None,
        *,
        host: str = "",
        port: int | None = None,
        scan_s: float = SCAN_S,
        mount: str = "",
    ) -> None:
        super().__init__(source, host=host, port=port, mount=mount)
        self._scan_s = scan_s

    def decoder(self) -> Decoder:
        """A decoder for one stream."""
        return _Decoder(round(self._scan_s * NS_PER_S))


class _Decoder(Decoder):
    def __init__(self, scan_ns: int) -> None:
        self._scan_ns = scan_ns
        self._number, self._said, self._t_ns = -1, 0, 0
        self._checked = False  # some firmware leaves the check sum out
        self._held: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
        self._start_ns: int | None = None

    def number(self, data: bytes) -> int | Flaw:
        if len(data) <= HEAD:
            return Flaw.WRONG_SIZE
        head = _head(data)
        if head.kind == IMU and len(data) == HEAD + 24:
            return Flaw.OTHER
        good = head.kind in POINT and head.length == len(data)
        if not good or len(data) != HEAD + head.points * POINT[head.kind].itemsize:
            # a stream that is known does not change its kind; what does is damaged
            return Flaw.CORRUPTED if self._number >= 0 and head.length == len(data) else Flaw.WRONG_SIZE
        right = head.check == zlib.crc32(data[28:])
        if self._checked and not right:
            return Flaw.CORRUPTED
        self._checked |= right
        return self._count(head)

    def _count(self, head: _Head) -> int:
        """The sensor counts to 65535 and then anew; some firmware starts at 0 with each frame."""
        if self._number < 0:
            self._number, self._said, self._t_ns = head.number, head.number, head.t_ns
            return head.number
        step = (head.number - self._said + 32768) % 65536 - 32768
        if step < 0 and (head.t_ns > self._t_ns or -step > NEAR):
            step = 1
        if 0 < step <= NEAR:
            self._number, self._said, self._t_ns = self._number + step, head.number, head.t_ns
            return self._number
        return self._number + step

    def take(self, data: bytes) -> Scan | None:
        head = _head(data)
        done = None
        if self._start_ns is not None and not 0 <= head.t_ns - self._start_ns < self._scan_ns:
            done = self._scan()
        if self._start_ns is None:
            self._start_ns = head.t_ns
        points, kept = _points(data, head)
        times = head.t_ns + np.round(np.linspace(0, head.span * 100, max(head.points, 1))).astype(np.int64)
        self._held.append((points[kept], times[: head.points][kept]))
        return done

    def finish(self) -> Scan | None:
        return self._scan()

    def _scan(self) -> Scan | None:
        held, start_ns = self._held, self._start_ns
        self._held, self._start_ns = [], None
        if start_ns is None or not sum(len(points) for points, _ in held):
            return None
        times = np.concatenate([times for _, times in held])
        since = ((times - start_ns) / NS_PER_S).astype(np.float32)
        return Scan(np.concatenate([points for points, _ in held]), since, start_ns)


def _head(data: bytes) -> _Head:
    version, length, span, points, number, frame, kind, clock = struct.unpack("<BHHHHBBB", data[:12])
    check, t_ns = struct.unpack("<IQ", data[24:36])
    # a damaged time must not overflow what follows
    return _Head(version, length, span, points, number, frame, kind, clock, check, t_ns & (2**62 - 1))


def _points(data: bytes, head: _Head) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The points ``[n, 4]`` of a packet, and which of them are measurements that the sensor trusts."""
    raw = np.frombuffer(data, POINT[head.kind], head.points, HEAD)
    out = np.empty((head.points, 4), np.float32)
    if head.kind == 3:
        away, up, turn = raw["depth"] / 1000, np.deg2rad(raw["theta"] / 100), np.deg2rad(raw["phi"] / 100)
        flat = away * np.sin(up)
        out[:, 0], out[:, 1], out[:, 2] = flat * np.cos(turn), flat * np.sin(turn), away * np.cos(up)
    else:
        out[:, :3] = raw["xyz"] * UNIT_M[head.kind]
    out[:, 3] = raw["intensity"]
    return out, (out[:, :3] != 0).any(axis=1) & ((raw["tag"] & UNSURE) == 0)

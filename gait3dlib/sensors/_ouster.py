"""Packets of Ouster sensors put together to scans by ouster-sdk."""

from __future__ import annotations

from typing import Any

import numpy as np

from gait3dlib.sensors._packets import Decoder, Flaw, Scan

UNCHECKED = (None, 0, 0xDEADBEEF0000C0DE)  # check sums of firmware that writes none
FULL = {"SIGNAL": 16.0, "REFLECTIVITY": 1.0}  # divisors that bring a field to about 0 to 255


class OusterDecoder(Decoder):
    """Makes scans of one Ouster sensor's packets; ``frame`` is the last whole frame as the SDK gives it."""

    def __init__(self, info: Any, core: Any) -> None:
        self.info, self._core = info, core
        self.format = core.PacketFormat(info)
        self._columns = info.format.columns_per_packet
        self._places = _places(info.format)
        self._batcher, self._open = core.FrameBatcher(info), core.LidarFrame(info)
        self._begun = False
        self._cloud = core.XYZLut(info, use_extrinsics=False)
        self._turn, self._last_id = 0, -1
        self.frame: Any = None

    def number(self, data: bytes) -> int | Flaw:
        """See :class:`Decoder`; frame and column number it."""
        packet = self._packet(data)
        if packet is None:
            others = (self.format.imu_packet_size, self.format.zone_packet_size)
            return Flaw.OTHER if len(data) in others and len(data) else Flaw.WRONG_SIZE
        said = self.format.crc(packet.buf)
        if said not in UNCHECKED and said != self.format.calculate_crc(packet.buf):
            return Flaw.CORRUPTED
        if packet.validate(self.info) != self._core.PacketValidationFailure.NONE:
            return Flaw.WRONG_SENSOR
        columns = self.format.packet_header(self._core.ColHeader.MEASUREMENT_ID, packet.buf).astype(int)
        first = int(columns[0])
        if first not in self._places or (np.diff(columns) != 1).any():
            return Flaw.CORRUPTED
        return self._frame_number(packet.frame_id()) * len(self._places) + self._places[first]

    def _packet(self, data: bytes) -> Any:
        if len(data) != self.format.lidar_packet_size:
            return None
        packet = self._core.LidarPacket(self.format)
        packet.buf[:] = np.frombuffer(data, np.uint8)
        return packet

    def _frame_number(self, frame_id: int) -> int:
        """The frame's number, counted on where the sensor's own wraps around."""
        turns = self.format.max_frame_id + 1
        if self._last_id < 0:
            self._last_id = self._turn = frame_id
        step = (frame_id - self._last_id + turns // 2) % turns - turns // 2
        number: int = self._turn + step
        if 0 < step <= 1000:
            self._turn, self._last_id = number, frame_id
        return number

    def take(self, data: bytes) -> Scan | None:
        """See :class:`Decoder`."""
        packet = self._packet(data)
        # a frame that is complete is handed on at its last packet, one with gaps at the next frame's first
        done = self._batcher.batch(packet, self._open)
        self._begun = True
        if not done:
            return None
        self.frame, self._open = self._open, self._core.LidarFrame(self.info)
        self._begun = False
        return self._scan()

    def finish(self) -> Scan | None:
        """See :class:`Decoder`."""
        if not self._begun:
            return None
        self.frame, self._begun = self._open, False
        return self._scan()

    def _scan(self) -> Scan | None:
        return scan_of(self.frame, self._cloud)


def _places(layout: Any) -> dict[int, int]:
    """First column of each packet of a frame -> its place; outside its window the sensor sends none."""
    size, turn = layout.columns_per_packet, layout.columns_per_frame
    start, stop = layout.column_window
    columns = np.arange(turn)
    seen = (columns - start) % turn <= (stop - start) % turn
    firsts = np.unique(columns[seen] // size * size)
    return {int(first): place for place, first in enumerate(firsts)}


def scan_of(frame: Any, cloud: Any) -> Scan | None:
    """The points of one frame of the SDK; None where it has none.

    Args:
        frame: a ``LidarFrame`` (staggered, as the sensor sends it).
        cloud: the sensor's ``XYZLut``.
    """
    ranges = frame.field("RANGE")
    valid = (frame.status & 1) > 0
    hit = (ranges > 0) & valid[None]
    if not hit.any():
        return None
    points = np.empty((int(hit.sum()), 4), np.float32)
    points[:, :3] = cloud(ranges)[hit]
    name = next((name for name in ("REFLECTIVITY", "SIGNAL") if name in frame.fields), None)
    shade = np.zeros(1) if name is None else frame.field(name)[hit] / FULL[name]
    points[:, 3] = np.clip(shade, 0, 255)
    stamps = frame.timestamp.astype(np.int64)
    start = int(stamps[valid].min())
    since = ((stamps - start) / 1e9).astype(np.float32)
    return Scan(points, np.broadcast_to(since, ranges.shape)[hit], start)

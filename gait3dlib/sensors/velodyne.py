"""Velodyne LiDARs, live or from a capture: VLP-16, Puck LITE and Hi-Res, HDL-32E, VLP-32C, VLS-128.

Packets are decoded by velodyne-decoder (extra ``velodyne``). They carry no number, but the time of their
first firing to the microsecond, and firings keep an exact rhythm; so the time tells a packet's place in the
stream (VLP-16 user manual 63-9243, sections 9.3 and 9.4).
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from gait3dlib._optional import require
from gait3dlib.sensors._packets import Decoder, Flaw, PacketSensor, Scan

POSITION_SIZE, BLOCK, BLOCKS = 512, 100, 12
SIZES = (1206, 1212)  # some sensors write six more bytes before the time
BLOCK_FLAGS = (b"\xff\xee", b"\xff\xdd")  # upper and lower block; the latter on HDL-64E and VLS-128
HOUR_US = 3_600_000_000
TURN = 36_000  # of azimuth, in hundredths of a degree
CUT_DEG = 180.0
NEAR = 1000  # packets; a time that is further off may be a damaged one

ModelName = Literal["VLP16", "PuckLite", "PuckHiRes", "HDL32E", "VLP32C", "VLS128"]


class _Model(NamedTuple):
    """What a model's factory byte means: its name, and microseconds a packet covers in single return."""

    name: ModelName
    packet_us: float


# product byte -> model; a block holds two firing cycles of a VLP-16, one of most, a quarter of a VLS-128's
MODELS: dict[int, _Model] = {
    0x22: _Model("VLP16", 24 * 55.296),
    0x24: _Model("PuckHiRes", 24 * 55.296),
    0x21: _Model("HDL32E", 12 * 46.08),
    0x28: _Model("VLP32C", 12 * 55.296),
    0xA1: _Model("VLS128", 3 * 53.3),
}
RETURNS = {0x37: 1, 0x38: 1, 0x39: 2, 0x3B: 2}  # strongest, last, both, both with confidence


class Velodyne(PacketSensor):
    """A Velodyne LiDAR: ``velodyne:2368`` live, ``velodyne:FILE.pcap`` from a capture.

    Args:
        source: a UDP port (2368 as delivered), or the path of a capture.
        host: take packets of this sender only; without it, those of the first one that is heard.
        port: in a capture, the port to listen to; without it, all.
        model: without it, what the packets say.
        cut_deg: the direction in which one scan ends and the next begins, counter-clockwise from the
            sensor's front; choose one in which nobody walks.
        mount: a JSON file with the sensor's place in the world, see ``gait3d mount``.
    """

    kind, maker, default_port = "velodyne", "Velodyne", 2368

    def __init__(
        self,
        source: str | int | None = None,
        *,
        host: str = "",
        port: int | None = None,
        model: ModelName | None = None,
        cut_deg: float = CUT_DEG,
        mount: str = "",
    ) -> None:
        super().__init__(source, host=host, port=port, mount=mount)
        self._model, self._cut_deg = model, cut_deg

    def decoder(self) -> Decoder:
        """A decoder for one stream."""
        return _Decoder(self._model, self._cut_deg)


class _Decoder(Decoder):
    def __init__(self, model: ModelName | None, cut_deg: float) -> None:
        self._package = require("velodyne_decoder")
        self._model, self._cut_rad = model, float(np.deg2rad(cut_deg) % (2 * np.pi))
        self._stream: Any = None
        self._product: tuple[int, int] | None = None
        self._number, self._t_us = 0, 0
        self._hours_us, self._device_us = 0, -1
        self._stamp_s = 0.0

    def number(self, data: bytes) -> int | Flaw:
        if len(data) == POSITION_SIZE:
            return Flaw.OTHER
        if len(data) not in SIZES:
            return Flaw.WRONG_SIZE
        t_us, returns, product = struct.unpack("<IBB", data[-6:])
        blocks = [data[at : at + 2] for at in range(0, BLOCKS * BLOCK, BLOCK)]
        azimuths = [int.from_bytes(data[at + 2 : at + 4], "little") for at in range(0, BLOCKS * BLOCK, BLOCK)]
        whole = all(block in BLOCK_FLAGS for block in blocks) and max(azimuths) < TURN and t_us < HOUR_US
        steps = [(b - a) % TURN for a, b in pairwise(azimuths)]
        if self._product is None:
            if not whole or returns not in RETURNS or (self._model is None and product not in MODELS):
                return Flaw.WRONG_SENSOR
            self._start(returns, product)
        elif (returns, product) != self._product:
            # another sensor is wrong in nothing else; a damaged packet is not believed in this either
            return Flaw.WRONG_SENSOR if whole and returns in RETURNS and product in MODELS else Flaw.CORRUPTED
        if not whole or max(steps) > TURN // 12:
            return Flaw.CORRUPTED
        return self._place(t_us)

    def _start(self, returns: int, product: int) -> None:
        self._product = (returns, product)
        known = {model.name: model for model in MODELS.values()}
        self.model = self._model or MODELS[product].name
        # what the decoder wants to see; of models of one family it sees the first
        self._byte = next((byte for byte, model in MODELS.items() if model.name == self.model), 0x22)
        timing = known.get(self.model, MODELS[0x22])
        self._packet_us = timing.packet_us / RETURNS[returns]
        config = self._package.Config(
            model=getattr(self._package.Model, self.model),
            cut_angle=self._cut_rad,
            timestamp_first_packet=True,
        )
        self._stream = self._package.StreamDecoder(config)

    def _place(self, t_us: int) -> int:
        """The packet's number, from the time since the last one."""
        since = (t_us - self._t_us + HOUR_US // 2) % HOUR_US - HOUR_US // 2
        steps = round(since / self._packet_us)
        number = self._number + steps
        if self._number == 0:
            self._number, self._t_us = 1, t_us
            return 1
        if 0 < steps <= NEAR:
            # counted from the packet before, so that no drift of the sensor's clock adds up
            self._number, self._t_us = number, t_us
        return number

    def take(self, data: bytes) -> Scan | None:
        t_us = struct.unpack("<I", data[-6:-2])[0]
        if self._device_us >= 0 and t_us < self._device_us - HOUR_US // 2:
            self._hours_us += HOUR_US
        self._device_us = t_us
        # the sensor's own time as the decoder's host time: it stays exact under any delay of the network
        stamp_s = (self._hours_us + t_us) / 1e6
        plain = data[: BLOCKS * BLOCK] + data[-6:-1] + bytes([self._byte])
        return self._scan(self._stream.decode(stamp_s, np.frombuffer(plain, np.uint8)))

    def finish(self) -> Scan | None:
        return None if self._stream is None else self._scan(self._stream.finish())

    @staticmethod
    def _scan(decoded: Any) -> Scan | None:
        if decoded is None or not len(decoded[1]):
            return None
        stamp, points = decoded
        points = np.asarray(points, dtype=np.float32)
        return Scan(points[:, :4].copy(), points[:, 4].copy(), round(stamp.host * 1e9))

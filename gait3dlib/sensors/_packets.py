"""What LiDARs that send UDP packets have in common: a port or a capture, packets in order, scans out."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.sensors import _mount, _text
from gait3dlib.sensors._capture import Capture, Datagram
from gait3dlib.sensors._order import PacketCounts, Sequencer
from gait3dlib.sensors._udp import Ear
from gait3dlib.types import STREAM_SPECS, Calibration, EndOfStream, Frame, StreamSpec

CAPTURES = (".pcap", ".pcapng", ".cap")


class Flaw(Enum):
    """Why a packet is not taken in; the names are those of :class:`PacketCounts`."""

    WRONG_SIZE = "wrong_size"
    WRONG_SENSOR = "wrong_sensor"
    CORRUPTED = "corrupted"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Scan:
    """One turn of the sensor (for one that does not turn, a tenth of a second).

    Args:
        points: float32 ``[n, 4]`` x, y, z up, intensity 0 to 255; metres in the sensor's own frame.
        time: float32 ``[n]`` seconds since the scan's first point.
        device_t_ns: the sensor's clock at that point; None where it has none.
    """

    points: NDArray[np.float32]
    time: NDArray[np.float32]
    device_t_ns: int | None


class Decoder(ABC):
    """Makes scans of one sensor's packets."""

    @abstractmethod
    def number(self, data: bytes) -> int | Flaw:
        """The packet's place in the stream, counted up by one a packet, or why it is none of it."""

    @abstractmethod
    def take(self, data: bytes) -> Scan | None:
        """The next packet in order; gives back a scan that it ended."""

    @abstractmethod
    def finish(self) -> Scan | None:
        """The scan that was begun, if any."""


class PacketSensor(ABC):
    """A LiDAR behind a UDP port, or the capture of one.

    Frames hold ``points`` float32 ``[n, 4]`` (x, y, z up, intensity; metres, in the sensor's own frame) and
    ``point_time`` float32 ``[n]`` (seconds since the frame's time stamp). ``host_t_ns`` is when the scan's
    first packet arrived. ``counts`` says what became of every packet.

    Args:
        source: a UDP port, or the path of a capture (.pcap, .pcapng).
        host: take packets of this sender only; without it, those of the first one that is heard.
        port: in a capture, the port to listen to; without it, all.
        mount: a JSON file with the sensor's place in the world, see ``gait3d mount``.
    """

    queue_size = 256  # scans: looking for people may fall behind for a while, and none be lost
    kind: ClassVar[str]  # as on the command line
    maker: ClassVar[str]
    default_port: ClassVar[int]
    files: ClassVar[tuple[str, ...]] = CAPTURES

    def __init__(
        self, source: str | int | None = None, *, host: str = "", port: int | None = None, mount: str = ""
    ) -> None:
        text = str(self.default_port if source is None else source)
        self.listen = int(text) if text.isdigit() else None
        self.path = None if self.listen is not None else Path(text)
        if self.listen is not None and not 0 < self.listen < 65536:
            raise ConfigError(f"{self.kind}: a UDP port is 1 to 65535, not {self.listen}")
        if self.path is not None and self.path.suffix.lower() not in self.files:
            wanted = " or ".join(self.files)
            raise ConfigError(
                f"{self.kind}: {text!r} is neither a port nor a file in {wanted}; "
                f"write {self.kind}:{self.default_port} or {self.kind}:FILE.pcap"
            )
        self.live = self.listen is not None
        self._host, self._port = host, port
        self._extrinsics = _mount.read(mount) if mount else None
        self.counts = PacketCounts()
        self._packets: Iterator[Datagram | None] | None = None
        self._ear: Ear | None = None
        self._begun_ns: int | None = None
        self._closing = contextlib.ExitStack()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what follows the colon: a port or a file, then ``key=value`` pairs, parted by commas."""
        if Path(text).exists():
            whole: Self = _text.build(cls, "", cls.kind, source=text)
            return whole
        first, _, rest = text.partition(",")
        if "=" in first:
            first, rest = "", text
        given = {"source": first} if first else {}
        made: Self = _text.build(cls, rest, cls.kind, **given)
        return made

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like."""
        return {name: STREAM_SPECS[name] for name in ("points", "point_time")}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Where the sensor stands, if a mount was given."""
        if self._extrinsics is None:
            return {}
        return {"points": Calibration(extrinsics=self._extrinsics)}

    @abstractmethod
    def decoder(self) -> Decoder:
        """A new decoder; called on opening."""

    # ---- opening ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Listen to the port, or start at the beginning of the capture.

        Raises:
            SensorError: the port is in use or not allowed.
            InputError: the capture cannot be read.
            MissingDependency: the decoder's package is not installed.
        """
        self.close()
        self._decoder = self.decoder()
        self._order: Sequencer[Datagram] = Sequencer()
        self._before = self.counts if self.live else PacketCounts()  # a sensor that comes back counts on
        self._own, self._ear = PacketCounts(), None
        self._sender: str | None = self._host or None
        self._seen: Counter[tuple[int, int]] = Counter()
        self._starts: deque[int] = deque()
        self._ready: deque[Frame] = deque()
        self._last_ns, self._begun_ns = -1, None
        with contextlib.ExitStack() as stack:
            if self.listen is not None:
                self._ear = stack.enter_context(Ear(self.listen))
                self._packets = iter(self._ear)
            else:
                assert self.path is not None
                self._packets = iter(stack.enter_context(Capture(self.path)))
            self._closing = stack.pop_all()

    def close(self) -> None:
        """Close the port or the file."""
        self._packets = None
        self._closing.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- reading ----------------------------------------------------------------------------------

    def read(self, timeout_s: float) -> Frame:
        """The next scan.

        Raises:
            EndOfStream: the capture is at its end.
            SensorError: the sensor is silent, is another one than expected, or was not opened.
            InputError: the capture holds nothing of this kind of sensor.
        """
        if self._packets is None:
            raise SensorError(f"the {self.maker} sensor is not open; use it in a with statement")
        if self._ear is not None:
            self._ear.timeout_s = timeout_s
        until_s = time.monotonic() + timeout_s
        while not self._ready:
            packet = next(self._packets, None)
            if packet is not None:
                self._take(packet)
                if not self.live or time.monotonic() < until_s:
                    continue
            self._end(timeout_s)
        return self._ready.popleft()

    def _take(self, packet: Datagram) -> None:
        if not self.live and self._port not in (None, packet.port):
            return
        found: int | Flaw = Flaw.WRONG_SENSOR
        if self._sender in (None, packet.source):
            found = self._decoder.number(packet.data)
        if isinstance(found, Flaw):
            if found is not Flaw.OTHER:
                self._seen[packet.port, len(packet.data)] += 1
            self._own = self._own.plus(**{found.value: 1})
        else:
            self._sender = packet.source
            self._own = self._own.plus(packets=1)
            for due in self._order.push(found, packet):
                self._decode(due)
        self._count()

    def _decode(self, packet: Datagram) -> None:
        scan = self._decoder.take(packet.data)
        self._give(scan)
        if scan is not None or self._begun_ns is None:
            self._begun_ns = packet.t_ns

    def _give(self, scan: Scan | None) -> None:
        if scan is None or self._begun_ns is None:
            return
        # a clock that was set back while the sensor ran must not stop the recording
        self._last_ns = max(self._begun_ns, self._last_ns + 1)
        data = {"points": scan.points, "point_time": scan.time}
        self._ready.append(Frame(data, self._last_ns, scan.device_t_ns))

    def _end(self, timeout_s: float) -> None:
        """The capture is read to its end, or the sensor is silent: what is held is all there is."""
        for due in self._order.flush():
            self._decode(due)
        self._count()
        self._give(self._decoder.finish())
        if not self._ready:
            if self.live:
                raise SensorError(self._silence(timeout_s))
            if self._last_ns < 0:
                raise InputError(f"{self.path} holds no scan of {self.maker} sensors: {self._found()}")
            raise EndOfStream

    def _count(self) -> None:
        counts = self._order.counts()
        corrupted = self._own.corrupted + self._order.strays
        # what arrived damaged is missing from the sequence, too, but it was not lost
        counts["lost"] = max(0, counts["lost"] - corrupted)
        own = self._own.plus(
            **counts, corrupted=self._order.strays, overrun=self._ear.overrun if self._ear else 0
        )
        self.counts = self._before.plus(**own.to_dict())

    def _found(self) -> str:
        """What was there instead, and what to do."""
        if not self._seen and not self.counts.other:
            return "it holds no UDP packet that could be one; choose another file"
        most = ", ".join(
            f"{n} of {size} bytes to port {port}" for (port, size), n in self._seen.most_common(3)
        )
        other = f"{self.counts.other} packets of the sensor's other data" if self.counts.other else ""
        remedy = "name the sensor that sent them (gait3d sensors), or its model or metadata"
        return f"it holds {' and '.join(filter(None, (most, other)))}; {remedy}"

    def _silence(self, timeout_s: float) -> str:
        where = f"UDP port {self.listen}"
        if self._seen and not self._own.packets:
            return f"what arrives at {where} is not of {self.maker} sensors: {self._found()}"
        return (
            f"nothing arrived at {where} for {timeout_s:g} s; check the sensor's power and cable, that it "
            "sends to this computer's address and this port, and the firewall"
        )

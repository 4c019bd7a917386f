"""UDP datagrams out of capture files, as tcpdump and Wireshark write them.

Read are pcap (little and big endian, microseconds and nanoseconds) [1] and pcapng [2], with Ethernet (and
VLAN tags), Linux cooked, BSD loopback and raw IP below IPv4 or IPv6. Datagrams that IPv4 cut to fragments
are put together again. A capture may lie: sizes are checked before anything is allocated, and a file that
ends in the middle of a packet ends there.

[1] https://www.ietf.org/archive/id/draft-gharris-opsawg-pcap-01.html
[2] https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gait3dlib.errors import InputError

MAX_RECORD = 2**18  # tcpdump's own limit on the length of a captured packet
MAX_PENDING = 256  # datagrams whose fragments are waited for
PCAP = {  # magic -> byte order, nanoseconds a tick
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
SECTION, INTERFACE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 3, 6
ETHERNET, LOOPBACK, RAW, COOKED, COOKED2 = 1, 0, (12, 14, 101, 228, 229), 113, 276
IPV4, IPV6, VLAN = 0x0800, 0x86DD, (0x8100, 0x88A8, 0x9100)
UDP = 17


class Datagram(NamedTuple):
    """What one UDP packet carried; ``source`` is the sender's address, ``port`` the one it was sent to."""

    t_ns: int
    source: str
    port: int
    data: bytes


class Capture:
    """The datagrams of a capture file, in the file's order; a context manager and an iterator.

    ``incomplete`` counts datagrams of which a fragment was missing, ``truncated`` says whether the file
    ended in the middle of a packet.

    Raises:
        InputError: the file cannot be read or is no capture.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.incomplete, self.truncated = 0, False
        self._pending: dict[tuple[bytes, int], dict[int, tuple[bytes, bool]]] = {}
        try:
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        magic = self._file.read(4)
        if magic in PCAP:
            self._records = self._pcap(*PCAP[magic])
        elif magic == struct.pack("<I", SECTION):
            self._records = self._pcapng()
        else:
            self._file.close()
            raise InputError(
                f"{path} is no capture of packets; record one with: tcpdump -w FILE.pcap udp port PORT"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Datagram]:
        for t_ns, link, frame in self._records:
            packet = _network_layer(link, frame)
            found = None if packet is None else self._transport_layer(packet)
            if found is not None:
                source, port, data = found
                yield Datagram(t_ns, source, port, data)
        self.incomplete += len(self._pending)
        self._pending.clear()

    # ---- records ----------------------------------------------------------------------------------

    def _pcap(self, order: str, tick_ns: int) -> Iterator[tuple[int, int, bytes]]:
        head = self._read(20)
        if head is None:
            return
        link = struct.unpack(order + "HHiIII", head)[5] & 0x0FFFFFFF
        while (head := self._read(16)) is not None:
            seconds, ticks, length, _ = struct.unpack(order + "IIII", head)
            data = self._read(length)
            if data is None:
                return
            yield seconds * 1_000_000_000 + ticks * tick_ns, link, data

    def _pcapng(self) -> Iterator[tuple[int, int, bytes]]:
        order, interfaces, kind = "<", list[tuple[int, int]](), SECTION
        self._file.seek(0)
        while (head := self._read(8)) is not None:
            if head[:4] == struct.pack("<I", SECTION):  # the magic is the same in both orders
                mark = self._read(4)
                if mark is None:
                    return
                order = "<" if mark == struct.pack("<I", 0x1A2B3C4D) else ">"
                length, kind, skip, interfaces = struct.unpack(order + "I", head[4:])[0], SECTION, 12, []
            else:
                (kind, length), skip = struct.unpack(order + "II", head), 8
            body = self._read(length - skip)
            if body is None or length < skip + 4:
                return
            if kind == INTERFACE and len(body) >= 8:
                interfaces.append((struct.unpack(order + "H", body[:2])[0], _tick(body[8:-4], order)))
            elif kind == ENHANCED and len(body) >= 24:
                number, high, low, captured = struct.unpack(order + "IIII", body[:16])
                if number < len(interfaces):
                    link, per_s = interfaces[number]
                    t_ns = ((high << 32) | low) * 1_000_000_000 // per_s
                    yield t_ns, link, body[20 : 20 + captured]

    def _read(self, size: int) -> bytes | None:
        """The next bytes of the file; None where it ends or what it says cannot be."""
        data = self._file.read(size) if 0 <= size <= MAX_RECORD else b""
        if len(data) < size or size < 0:
            self.truncated |= bool(data) or not 0 <= size <= MAX_RECORD or size not in (8, 16, 20)
            return None
        return data

    # ---- layers -----------------------------------------------------------------------------------

    def _transport_layer(self, packet: bytes) -> tuple[str, int, bytes] | None:
        """Sender, port and payload of an IP packet that completes a UDP datagram."""
        version = packet[0] >> 4 if packet else 0
        if version == 6 and len(packet) >= 48 and packet[6] == UDP:
            return _udp(":".join(packet[i : i + 2].hex() for i in range(8, 24, 2)), packet[40:])
        head = (packet[0] & 15) * 4 if packet else 0
        if version != 4 or head < 20 or len(packet) < head or packet[9] != UDP:
            return None
        length, number, place = struct.unpack(">2xHHH", packet[:8])
        data = packet[head : max(length, head) if length else None]
        if length > len(packet):
            self.incomplete += 1  # captured with too small a snap length
            return None
        if place & 0x3FFF:
            joined = self._join((packet[12:20], number), (place & 0x1FFF) * 8, bool(place & 0x2000), data)
            if joined is None:
                return None
            data = joined
        return _udp(".".join(str(byte) for byte in packet[12:16]), data)

    def _join(self, key: tuple[bytes, int], place: int, more: bool, data: bytes) -> bytes | None:
        """The whole datagram when this was its last missing fragment."""
        if place + len(data) > 0xFFFF:
            return None
        parts = self._pending.setdefault(key, {})
        parts[place] = (data, more)
        whole = bytearray()
        for start in sorted(parts):
            part, goes_on = parts[start]
            if start != len(whole):
                break
            whole += part
            if not goes_on:
                del self._pending[key]
                return bytes(whole)
        if len(self._pending) > MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
            self.incomplete += 1
        return None


def _network_layer(link: int, frame: bytes) -> bytes | None:
    """The IP packet in a frame of that link type; None where there is none."""
    if link in RAW:
        return frame
    if link == LOOPBACK:
        return frame[4:]
    if link == COOKED:
        kind, rest = frame[14:16], frame[16:]
    elif link == COOKED2:
        kind, rest = frame[0:2], frame[20:]
    elif link == ETHERNET:
        kind, rest = frame[12:14], frame[14:]
        while int.from_bytes(kind, "big") in VLAN:
            kind, rest = rest[2:4], rest[4:]
    else:
        return None
    return rest if int.from_bytes(kind, "big") in (IPV4, IPV6) else None


def _udp(source: str, data: bytes) -> tuple[str, int, bytes] | None:
    if len(data) < 8:
        return None
    _, port, length, _ = struct.unpack(">HHHH", data[:8])
    return source, port, data[8 : length if 8 <= length <= len(data) else None]


def _tick(options: bytes, order: str) -> int:
    """Ticks a second of a pcapng interface, from its options."""
    while len(options) >= 4:
        code, length = struct.unpack(order + "HH", options[:4])
        if code == 9 and length == 1 and len(options) >= 5:
            power = options[4] & 0x7F
            return int(2 ** min(power, 62) if options[4] & 0x80 else 10 ** min(power, 18))
        if code == 0:
            break
        options = options[4 + (length + 3) // 4 * 4 :]
    return 1_000_000

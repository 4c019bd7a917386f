"""A UDP port that is listened to."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Self

from gait3dlib.errors import SensorError
from gait3dlib.sensors._capture import Datagram

BUFFER_BYTES = 16 * 2**20  # a second of the fastest sensor, where the system allows as much
# Python hands its lock to a waiting thread after 5 ms, and receiving waits for it once a packet: beside a
# thread that computes, 200 packets a second would be the most
SWITCH_S = 2e-4
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35  # the kernel's time of arrival: a busy computer reads late, but does not hear late
SO_RXQ_OVFL = 40  # linux/socket.h: how many datagrams the kernel dropped on this socket


class Ear:
    """An open UDP port; iterating gives what arrives, or None after a silence of ``timeout_s``.

    ``overrun`` counts the datagrams that the system dropped because nobody read them in time.

    Raises:
        SensorError: the port is in use, or not allowed.
    """

    def __init__(self, port: int) -> None:
        self.port, self.timeout_s, self.overrun = port, 1.0, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            with contextlib.suppress(OSError):  # root may have more than the system's limit
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            for option in (SO_RXQ_OVFL, SO_TIMESTAMPNS):
                with contextlib.suppress(OSError):
                    self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
            self._socket.bind(("", port))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            remedy = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                remedy = (
                    f"another program listens to it; find it with: ss -ulpn 'sport = :{port}', and end it"
                )
            elif error.errno == errno.EACCES:
                remedy = "ports below 1024 need root; let the sensor send to a higher one"
            raise SensorError(f"UDP port {port} cannot be opened: {remedy}") from None

    def __iter__(self) -> Iterator[Datagram | None]:
        room = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(16)
        while True:
            try:
                data, extra, _, sender = self._socket.recvmsg(65536, room)
            except BlockingIOError:
                if not select.select([self._socket], [], [], self.timeout_s)[0]:
                    yield None
                continue
            t_ns = 0
            for _, kind, value in extra:
                if kind == SO_RXQ_OVFL and len(value) == 4:
                    self.overrun = struct.unpack("I", value)[0]
                elif kind == SO_TIMESTAMPNS and len(value) == 16:
                    seconds, nanoseconds = struct.unpack("qq", value)
                    t_ns = seconds * 1_000_000_000 + nanoseconds
            yield Datagram(t_ns or time.time_ns(), sender[0], self.port, data)

    def __enter__(self) -> Self:
        _Hurry.begin()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        _Hurry.end()


class _Hurry:
    """The interpreter's switch interval while any port is listened to; as it was, when none is."""

    lock = threading.Lock()
    open_ports = 0
    before_s = 0.0

    @classmethod
    def begin(cls) -> None:
        """One port more."""
        with cls.lock:
            cls.open_ports += 1
            if cls.open_ports == 1:
                cls.before_s = sys.getswitchinterval()
                sys.setswitchinterval(min(cls.before_s, SWITCH_S))

    @classmethod
    def end(cls) -> None:
        """One port less."""
        with cls.lock:
            cls.open_ports -= 1
            if cls.open_ports == 0:
                sys.setswitchinterval(cls.before_s)

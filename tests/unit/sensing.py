"""Sensors that tests read to their end, and ports for them."""

from __future__ import annotations

import socket

from gait3dlib.types import EndOfStream, Frame, Sensor


def everything(sensor: Sensor) -> list[Frame]:
    """All frames of a finite sensor."""
    found = []
    with sensor:
        while True:
            try:
                found.append(sensor.read(1.0))
            except EndOfStream:
                return found


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])

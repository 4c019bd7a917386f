"""What a sensor is, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from gait3dlib.types._streams import Calibration, StreamSpec


@dataclass(frozen=True, eq=False)
class Frame:
    """One reading of a sensor: owned copies of its arrays, by stream name, and when they were taken.

    ``host_t_ns`` is the host's clock on arrival; ``device_t_ns`` the device's own stamp where it has one.
    """

    data: Mapping[str, NDArray[Any]]
    host_t_ns: int
    device_t_ns: int | None = None


@runtime_checkable
class Sensor(Protocol):
    """Anything that yields frames; a context manager. Threads and queues live in the pump, not here."""

    @property
    def specs(self) -> Mapping[str, StreamSpec]: ...
    @property
    def calibration(self) -> Mapping[str, Calibration]: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def read(self, timeout_s: float) -> Frame:
        """The next frame.

        Raises:
            EndOfStream: a finite source is at its end.
            SensorError: nothing came within ``timeout_s``.
        """
        ...

    def __enter__(self) -> Sensor: ...
    def __exit__(self, *exc: object) -> None: ...


class EndOfStream(Exception):
    """A finite source (file, simulated walk) has no more frames."""

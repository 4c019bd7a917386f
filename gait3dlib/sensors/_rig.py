"""Several sensors at once: each with its own pump, clock and place, their frames in the order of arrival."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from gait3dlib.errors import SensorError
from gait3dlib.sensors._pump import Pump, PumpStats
from gait3dlib.types import Calibration, Frame, Sensor, StreamSpec

log = logging.getLogger(__name__)


class Rig:
    """Reads several sensors; a context manager that yields their frames, as :class:`Pump` does for one.

    The first sensor's streams keep their names, those of the second end in ``_2``, and so on. Files are
    merged by their time stamps (``host_t_ns``), live sensors as they come. When a sensor fails for good the
    others go on; the last one's error is raised.

    Args:
        sensors: closed sensors.
        options: for every pump.
    """

    def __init__(self, sensors: Sequence[Sensor], **options: float) -> None:
        if not sensors:
            raise SensorError("a rig needs at least one sensor")
        self._change = threading.Condition(threading.RLock())
        self.pumps = [Pump(sensor, change=self._change, **options) for sensor in sensors]  # type: ignore[arg-type]
        self._stack = ExitStack()
        self._failed: set[int] = set()

    @property
    def live(self) -> bool:
        """Whether any of them is live."""
        return any(pump.live for pump in self.pumps)

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like."""
        found = [(i, item) for i, pump in enumerate(self.pumps) for item in pump.sensor.specs.items()]
        return {_named(name, i): dataclasses.replace(spec, name=_named(name, i)) for i, (name, spec) in found}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Where the sensors stand."""
        found = [(i, item) for i, pump in enumerate(self.pumps) for item in pump.sensor.calibration.items()]
        return {_named(name, i): calibration for i, (name, calibration) in found}

    @property
    def stats(self) -> PumpStats:
        """All pumps' counts together."""
        each = [pump.stats for pump in self.pumps]
        sums = {
            name: sum(getattr(s, name) for s in each) for name in ("frames", "drops", "reconnects", "errors")
        }
        return PumpStats(**sums, last_error=next((s.last_error for s in each if s.last_error), ""))

    @property
    def sensor(self) -> Self:
        """The rig itself, which has the ``specs`` and ``calibration`` of all its sensors."""
        return self

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for pump in self.pumps:
                stack.enter_context(pump)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        while True:
            with self._change:
                self._change.wait_for(self._ready)
                index = self._next()
            try:
                frame = next(self.pumps[index])
            except StopIteration:
                if all(pump.ended for pump in self.pumps):
                    raise
            except SensorError as error:
                if all(pump.ended for pump in self.pumps):
                    raise
                self._failed.add(index)
                log.warning("%s; the other sensors go on", error)
            else:
                data = {_named(name, index): array for name, array in frame.data.items()}
                return dataclasses.replace(frame, data=data)

    def _ready(self) -> bool:
        waiting = [pump for pump in self.pumps if not pump.ended]
        if all(pump.live for pump in waiting):
            return not waiting or any(pump.first is not None for pump in waiting)
        return all(pump.first is not None for pump in waiting if not pump.live)

    def _next(self) -> int:
        """The pump whose next frame is the earliest; one that has ended where none has any."""
        due = [(pump.first.host_t_ns, i) for i, pump in enumerate(self.pumps) if pump.first is not None]
        if due:
            return min(due)[1]
        return next((i for i in range(len(self.pumps)) if i not in self._failed), 0)


def _named(name: str, index: int) -> str:
    return name if index == 0 else f"{name}_{index + 1}"

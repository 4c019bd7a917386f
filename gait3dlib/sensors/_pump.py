"""The pump: the library's only thread, which keeps reading a sensor while its frames are worked on."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import Self

from gait3dlib.errors import SensorError
from gait3dlib.types import EndOfStream, Frame, Sensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PumpStats:
    """What has passed so far.

    frames: read from the sensor; drops: lost because the consumer was slow (live sensors only);
    reconnects: how often the sensor was opened again; errors: how often it failed; last_error: how.
    """

    frames: int = 0
    drops: int = 0
    reconnects: int = 0
    errors: int = 0
    last_error: str = ""


class Pump:
    """Reads a sensor in a thread; a context manager that yields its frames.

    >>> with Pump(sensor) as frames:  # doctest: +SKIP
    ...     for frame in frames:
    ...         print(frame.host_t_ns)

    Entering opens the sensor, leaving closes it. A live sensor (attribute ``live`` is True, the default)
    is never kept waiting: when the queue is full its oldest frame is dropped and counted. When it fails
    it is closed and opened again, after a pause that doubles each time. A file waits for room in the
    queue, so none of its frames is lost, and its errors are final.

    Args:
        sensor: a closed sensor.
        queue_size: frames that may wait for the consumer; by default the sensor's own ``queue_size``, or 64.
        timeout_s: after this much silence a live sensor counts as failed.
        reconnect: how often in a row a live sensor is opened again before its error is raised.
        backoff_s: the first pause before opening again; at most 30 s in the end.
        change: told of every change; several pumps may share one.

    Raises:
        SensorError: while iterating, what the sensor raised and reconnecting did not heal.
    """

    def __init__(
        self,
        sensor: Sensor,
        *,
        queue_size: int | None = None,
        timeout_s: float = 5.0,
        reconnect: int = 5,
        backoff_s: float = 0.5,
        change: threading.Condition | None = None,
    ) -> None:
        self.sensor = sensor
        self.live = bool(getattr(sensor, "live", True))
        wanted = getattr(sensor, "queue_size", 64) if queue_size is None else queue_size
        self._size = max(1, int(wanted))
        self._timeout_s = timeout_s
        self._reconnect = reconnect if self.live else 0
        self._backoff_s = backoff_s
        self._queue: deque[Frame] = deque()
        self._change = change or threading.Condition()
        self._stop = threading.Event()
        self._ended = True
        self._error: BaseException | None = None
        self._stats = PumpStats()
        self._thread: threading.Thread | None = None

    @property
    def stats(self) -> PumpStats:
        """Frames, drops, reconnects and errors so far."""
        with self._change:
            return self._stats

    @property
    def first(self) -> Frame | None:
        """The frame that comes next, if it is there already."""
        with self._change:
            return self._queue[0] if self._queue else None

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""
        with self._change:
            return self._ended and not self._queue

    # ---- the consumer's side ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise SensorError("a pump runs once; make another one")
        self.sensor.open()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="gait3d-pump", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._change:
            self._stop.set()
            self._ended = True
            self._queue.clear()
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(self._timeout_s + 10)
            if self._thread.is_alive():
                # closing a device under a thread that reads it would crash the process
                log.error("the sensor does not return from reading; unplug it")
                return
        self.sensor.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ended)
            if self._queue:
                frame = self._queue.popleft()
                self._change.notify_all()
                return frame
            if self._error is not None:
                raise self._error
        raise StopIteration

    # ---- the thread's side ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._put(self._read())
        except EndOfStream:
            pass
        except BaseException as error:
            # whatever it is, it belongs to the consumer
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _read(self) -> Frame:
        """The next frame, from a sensor that may have to be opened again."""
        attempt = 0
        while True:
            try:
                if attempt:
                    self.sensor.open()
                    self._count(reconnects=1)
                return self.sensor.read(self._timeout_s)
            except SensorError as error:
                self._count(errors=1, last_error=str(error))
                if attempt >= self._reconnect:
                    raise
                attempt += 1
                pause_s = min(30.0, self._backoff_s * 2 ** (attempt - 1))
                log.warning("%s; opening the sensor again in %.1f s", error, pause_s)
                with contextlib.suppress(SensorError):
                    self.sensor.close()
                if self._stop.wait(pause_s):
                    raise EndOfStream from None

    def _put(self, frame: Frame) -> None:
        with self._change:
            drops = 0
            if not self.live:
                self._change.wait_for(lambda: len(self._queue) < self._size or self._stop.is_set())
            elif len(self._queue) >= self._size:
                self._queue.popleft()
                drops = 1
            if self._stop.is_set():
                return
            self._queue.append(frame)
            self._count(frames=1, drops=drops)
            self._change.notify_all()

    def _count(self, last_error: str | None = None, **more: int) -> None:
        with self._change:
            counts = {name: getattr(self._stats, name) + count for name, count in more.items()}
            said = self._stats.last_error if last_error is None else last_error
            self._stats = dataclasses.replace(self._stats, last_error=said, **counts)

"""A stage of the live loop: something that yields, run in a thread, before a queue that cannot grow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, Self, TypeVar

from gait3dlib.errors import SensorError

Item = TypeVar("Item")
PATIENCE_S = 15.0


class Stage(Generic[Item]):
    """Runs an iterable in a thread; a context manager that yields what it yields.

    Args:
        items: what is run.
        name: of the thread.
        size: how many items may wait.
        lossy: when so many wait, the oldest is dropped and counted; otherwise the thread waits for room.
    """

    def __init__(self, items: Iterable[Item], *, name: str, size: int, lossy: bool) -> None:
        self._items, self._size, self._lossy = items, max(1, size), lossy
        self._queue: deque[Item] = deque()
        self._change = threading.Condition()
        self._ended = False
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"gait3d-{name}", daemon=True)
        self.drops = 0
        """Items that were dropped because the consumer was slow."""

    @property
    def waiting(self) -> int:
        """Items that wait for the consumer."""
        with self._change:
            return len(self._queue)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Ends the thread as soon as what it runs yields or ends.

        Raises:
            SensorError: it does neither.
        """
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            raise SensorError(f"{self._thread.name} does not end; unplug the sensor and start again")

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item.

        Raises:
            BaseException: whatever the iterable raised, after its last item.
        """
        item = self.take(None)
        if item is None:
            raise StopIteration
        return item

    @property
    def ended(self) -> bool:
        """Whether no item will come any more, nor an error."""
        with self._change:
            return self._ended and not self._queue and self._error is None

    def take(self, timeout_s: float | None) -> Item | None:
        """The next item, or None where none comes in time or none will come any more.

        Raises:
            BaseException: as iterating does.
        """
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ended, timeout_s)
            if self._queue:
                item = self._queue.popleft()
                self._change.notify_all()
                return item
            if not self._ended:
                return None
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self.put(item):
                    break
        except BaseException as error:
            self._error = error  # it belongs to the consumer
        finally:
            if isinstance(self._items, Generator):
                self._items.close()  # here, in the thread that ran it
            with self._change:
                self._ended = True
                self._change.notify_all()

    def put(self, item: Item) -> bool:
        """Queue an item; False where the stage ends. To be called in its thread only."""
        with self._change:
            if not self._lossy:
                self._change.wait_for(lambda: len(self._queue) < self._size or self._stopping)
            elif len(self._queue) >= self._size:
                self._queue.popleft()
                self.drops += 1
            if self._stopping:
                return False
            self._queue.append(item)
            self._change.notify_all()
            return True

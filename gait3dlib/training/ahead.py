"""Batches made ahead, in the background: the processor that trains should not wait for the one that reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """``make(number)`` for rising numbers, some of them ahead of time, in order, by one thread.

    What is made must depend on nothing but the number: then it is the same with and without the thread.

    Args:
        make: the batch of a number; may not draw from a global random generator.
        stop: the number after the last.
        ahead: how many are made ahead; 0 = each when it is asked for.

    ``waited`` is the time in seconds that was spent waiting for batches.
    """

    def __init__(self, make: Callable[[int], T], *, stop: int, ahead: int) -> None:
        self._make, self._stop, self._ahead = make, stop, ahead
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches") if ahead else None
        self._coming: dict[int, Future[T]] = {}
        self.waited = 0.0

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, number: int) -> T:
        """The batch of that number; an error of ``make`` is raised here."""
        begun = time.perf_counter()
        if self._pool is None:
            made = self._make(number)
        else:
            for coming in range(number, min(number + 1 + self._ahead, self._stop)):
                if coming not in self._coming:
                    self._coming[coming] = self._pool.submit(self._make, coming)
            made = self._coming.pop(number).result()
        self.waited += time.perf_counter() - begun
        return made

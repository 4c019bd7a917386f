"""Ctrl-C and SIGTERM as a wish to end properly."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class StopSignal:
    """A context in which Ctrl-C and SIGTERM set ``asked``; a second one ends at once.

    Whoever works in the context looks at ``asked`` now and then, closes the sensor and finishes what it has:
    so no write to a file is ever cut in two.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again:
            raise KeyboardInterrupt

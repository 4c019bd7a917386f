"""The terminal view of a live loop: who is in view, how it does; rows of answers stay above it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gait3dlib.cli._output import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gait3dlib.live import Live, LiveStats

REFRESH_HZ = 4.0


class Screen:
    """What is drawn below the rows.

    Args:
        title: what runs, such as the sensor's name.
        live: the loop.
        remark: said all the time, such as "uncalibrated".
    """

    def __init__(self, title: str, live: Live, remark: str = "") -> None:
        self.title, self.live, self.remark = clean(title), live, remark
        self.extra: Callable[[], str] = str
        """Gives a line more, such as a recorder's."""
        self.prompt = ""
        self._started_s = time.monotonic()

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        stats = self.live.stats
        took = time.monotonic() - self._started_s
        head = Text.assemble((self.title, "bold"), f"  {took:.0f} s  {stats.fps:.1f} frames a second  ")
        head.append(f"{stats.people} in view", "green" if stats.people else "dim")
        if self.remark:
            head.append(f"  {self.remark}", "yellow")
        lines = [head, Text(losses(stats), "red" if _lost(stats) else "dim"), Text(latency(stats), "dim")]
        lines += [Text(clean(text), "bold") for text in (self.extra(), self.prompt) if text]
        return Group(*lines)

    @contextmanager
    def shown(self) -> Iterator[Screen]:
        """Draw it on stderr where that is a terminal; rows printed meanwhile go above it."""
        from rich.console import Console
        from rich.live import Live as Drawn

        err = Console(stderr=True, markup=False, highlight=False)
        if not err.is_terminal:
            yield self
            return
        both = sys.stdout.isatty()  # a pipe must get its lines itself
        with Drawn(self, console=err, refresh_per_second=REFRESH_HZ, transient=True, redirect_stdout=both):
            yield self


def losses(stats: LiveStats) -> str:
    """Losses in a line; nought is said, too."""
    text = f"lost: {stats.dropped_frames} frames, {stats.dropped_walks} walks, {stats.lost} in the sensor"
    if stats.passed_over:
        text += f"; {stats.passed_over} recorded but not looked at"
    if stats.reconnects or stats.errors:
        text += f"; {stats.reconnects} reconnects, {stats.errors} errors, the last: {clean(stats.last_error)}"
    return text


def latency(stats: LiveStats) -> str:
    """Latencies in a line."""
    p50, p95, p99 = stats.latency_s
    if p50 != p50:
        return "from the end of a walk to its answer: nobody has walked yet"
    return f"from the end of a walk to its answer: p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s"


def _lost(stats: LiveStats) -> bool:
    return bool(stats.dropped_frames or stats.dropped_walks or stats.lost or stats.errors)

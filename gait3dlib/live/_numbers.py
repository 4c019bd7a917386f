"""How the live loop does: frames, losses, latencies."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RATE_S = 2.0
KEPT = 1000  # latencies that are kept


@dataclass(frozen=True)
class LiveStats:
    """What has passed so far.

    Args:
        captured: frames that the sensors gave.
        perceived: of those, looked at by perception.
        fps: frames a second that perception takes in just now.
        dropped_frames: lost because what reads them was slow; the oldest ones.
        passed_over: recorded, but not looked at by perception, because it was slow.
        dropped_walks: lost because recognition was slow; the oldest ones.
        lost: frames or packets that a sensor numbered, but that never arrived.
        reconnects: how often a sensor was opened again.
        errors: how often one failed.
        last_error: how.
        people: in view just now.
        walks: answered, or said why not.
        latency_s: p50, p95 and p99 of the time from a walk's last frame to its answer; NaN before the first.
    """

    captured: int = 0
    perceived: int = 0
    fps: float = 0.0
    dropped_frames: int = 0
    passed_over: int = 0
    dropped_walks: int = 0
    lost: int = 0
    reconnects: int = 0
    errors: int = 0
    last_error: str = ""
    people: int = 0
    walks: int = 0
    latency_s: tuple[float, float, float] = (float("nan"),) * 3

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = dataclasses.asdict(self)
        p50, p95, p99 = plain.pop("latency_s")
        return {**plain, "latency_p50_s": p50, "latency_p95_s": p95, "latency_p99_s": p99}


class Rate:
    """Events a second over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def tick(self) -> None:
        """An event, now."""
        self._times.append(time.monotonic())

    @property
    def per_s(self) -> float:
        """Events a second just now."""
        times = self._times.copy()
        recent = [t for t in times if t > time.monotonic() - RATE_S]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 else 0.0


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99; NaN of nothing."""
    if not values:
        nan = float("nan")
        return nan, nan, nan
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return float(p50), float(p95), float(p99)

"""A device's clock put onto the host's: when a frame was taken, in the host's time.

A frame arrives some milliseconds after it was taken, now sooner, now later, but never before. So the
host's time of arrival minus the device's stamp is the two clocks' offset plus a delay of at least nought.
The straight line that lies below all of these differences and nearest to them is the offset and its drift
[1]; it is an edge of their lower convex hull.

[1] S. B. Moon, P. Skelly, D. Towsley, "Estimation and removal of clock skew from network delay measurements",
    IEEE INFOCOM 1999.
"""

from __future__ import annotations

import time
from collections import deque

from gait3dlib.types import NS_PER_S

BUCKET_NS = NS_PER_S  # of each the least delayed frame is kept
BUCKETS = 120
DRIFT_FROM = 10  # buckets; over less the drift is smaller than the delays' own spread
EARLY_NS = NS_PER_S // 20  # earlier than was ever possible by this much: a clock was set
LATE_NS = NS_PER_S  # later by this much, for PATIENCE frames
PATIENCE = 10
STEP_NS = 10 * NS_PER_S  # between two frames; a longer one that the host did not see is a clock set anew
SAME_CLOCK_NS = 5 * NS_PER_S  # a stamp of the host's own clock is not further off
BACK_NS = NS_PER_S // 4  # streams of one device overtake each other by less
MAX_DRIFT = 1e-3  # quartz stays within 1e-4


class HostClock:
    """Nanoseconds since 1970 as they were when it was made, plus the time since."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Now."""
        return time.monotonic_ns() + self._ahead_ns


class DeviceClock:
    """Turns the stamps of one device into host time; what it gives always rises."""

    def __init__(self) -> None:
        self.resets = -1  # how often a clock was set meanwhile
        self._last_ns: int | None = None
        self._start(0, 0)

    @property
    def drift_ppm(self) -> float:
        """How much faster the host's clock runs than the device's, in millionths; 0 until it is known."""
        return 1e6 * self._slope

    def host_ns(self, device_ns: int, arrival_ns: int) -> int:
        """When the frame with that stamp was taken, by the host's clock.

        Args:
            device_ns: the device's stamp.
            arrival_ns: the host's time on arrival.
        """
        if self.resets < 0 or self._was_set(device_ns, arrival_ns):
            self._start(device_ns, arrival_ns)
        self._seen_ns = (device_ns, arrival_ns)
        since, late = self._relative(device_ns, arrival_ns)
        self._take(since, late)
        taken = arrival_ns - late + round(self._offset_ns + self._slope * since)
        if self._last_ns is not None:
            taken = max(taken, self._last_ns + 1)
        self._last_ns = taken
        return taken

    def _start(self, device_ns: int, arrival_ns: int) -> None:
        self.resets += bool(arrival_ns)
        self._origin = (device_ns, arrival_ns)
        self._seen_ns = (device_ns, arrival_ns)
        self._least: deque[tuple[int, int]] = deque(maxlen=BUCKETS)  # device time, arrival minus device time
        self._bucket, self._late_frames = -1, 0
        self._offset_ns, self._slope = 0.0, 0.0

    def _relative(self, device_ns: int, arrival_ns: int) -> tuple[int, int]:
        since = device_ns - self._origin[0]
        return since, arrival_ns - self._origin[1] - since

    def _was_set(self, device_ns: int, arrival_ns: int) -> bool:
        """Whether the device's clock, or the host's, was set since the frame before."""
        step, passed = device_ns - self._seen_ns[0], arrival_ns - self._seen_ns[1]
        if step < -BACK_NS or step > passed + STEP_NS:
            return True
        since, late = self._relative(device_ns, arrival_ns)
        excess = late - self._offset_ns - self._slope * since
        # a host that was busy finds many frames late, each less than the one before
        self._late_frames = self._late_frames + 1 if excess > LATE_NS else 0
        return excess < -EARLY_NS or self._late_frames > PATIENCE

    def _take(self, since: int, late: int) -> None:
        bucket = since // BUCKET_NS
        if bucket == self._bucket:
            if late < self._least[-1][1]:
                self._least[-1] = (since, late)
                self._fit()
            return
        self._bucket = bucket
        self._least.append((since, late))
        self._fit()

    def _fit(self) -> None:
        points = list(self._least)
        if len(points) < DRIFT_FROM:
            self._slope = 0.0
            self._offset_ns = float(min(late for _, late in points))
            return
        hull: list[tuple[int, int]] = []
        for x, y in points:
            while len(hull) >= 2 and _right_turn(hull[-2], hull[-1], (x, y)):
                hull.pop()
            hull.append((x, y))
        middle = sum(x for x, _ in points) / len(points)
        at = next(i for i in range(1, len(hull)) if hull[i][0] >= middle)
        (x0, y0), (x1, y1) = hull[at - 1], hull[at]
        slope = (y1 - y0) / (x1 - x0)
        if abs(slope) > MAX_DRIFT:
            slope = 0.0
        self._slope, self._offset_ns = slope, y0 - slope * x0


def _right_turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0


class MomentClock:
    """When the moments of a camera were, in time that always rises.

    Args:
        file: time counts from the first moment of a file, and goes on where the camera's clock was set.
    """

    def __init__(self, *, file: bool) -> None:
        self._file, self._device, self._host = file, DeviceClock(), HostClock()
        self._origin_ns: int | None = None
        self._last_ns, self._step_ns = 0, NS_PER_S // 30

    @property
    def drift_ppm(self) -> float:
        """See :attr:`DeviceClock.drift_ppm`."""
        return self._device.drift_ppm

    @property
    def resets(self) -> int:
        """How often a clock was set meanwhile."""
        return max(0, self._device.resets)

    def at(self, t_ns: int, *, host_time: bool) -> int:
        """The time of a moment that has just arrived.

        Args:
            t_ns: the camera's stamp.
            host_time: the stamp is of the host's clock.
        """
        if self._file:
            return self._played(t_ns)
        now = self._host.now_ns()
        if not host_time or abs(t_ns - now) > SAME_CLOCK_NS:
            t_ns = self._device.host_ns(t_ns, now)
        self._last_ns = max(t_ns, self._last_ns + 1)
        return self._last_ns

    def _played(self, t_ns: int) -> int:
        if self._origin_ns is None:
            self._origin_ns = t_ns
            return 0
        step = t_ns - self._origin_ns - self._last_ns
        if step < -BACK_NS:
            self._origin_ns = t_ns - self._last_ns - self._step_ns
        elif 0 < step < NS_PER_S:
            self._step_ns = step
        self._last_ns = max(t_ns - self._origin_ns, self._last_ns + 1)
        return self._last_ns

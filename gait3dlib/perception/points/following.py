"""People followed from scan to scan, and the walks among their ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception.observing import Observer, Refusal, Seen, why_no_walk
from gait3dlib.perception.points.scanning import Scans, Sighting
from gait3dlib.perception.tracking import Track, Tracker, distance_cost
from gait3dlib.types import NS_PER_S, Calibration, Frame, GaitSequence, Meta, Stream

GATE_M = 1.0
NEARER_M = 0.45  # a second cluster this near to somebody tracked is a part of the same
MISSED_S = 1.2  # someone may be hidden for so long
AGILITY = 14.0  # 1.4 m/s^2 at a spread of 0.1 m
STEADY_S = 10.0  # a device's clock that departs further from the host's was set anew

SLOWEST_M_S, FASTEST_M_S = 0.25, 3.5
WINDOW_S = 1.0
MIN_WAY_M = 1.2
MAX_GAP_S = 1.0
MIN_FRAMES = 8
MAX_WALK_S = 60.0
CUT_SHARE = 0.2  # of the frames in which a part of the body must be cut to be said so


class Follower:
    """People in the scans of sensors that share a world; their walks as they end.

    Args:
        streams: names of the streams of points.
        calibration: where the sensors stand, by stream.
        min_seconds: shorter walks are dropped.
        source: kept as ``meta.source``.
        observer: is told who is in view, and of whom no walk came.
    """

    def __init__(
        self,
        streams: Iterable[str],
        calibration: Mapping[str, Calibration] | None = None,
        *,
        min_seconds: float = 0.9,
        source: str = "",
        observer: Observer | None = None,
    ) -> None:
        placed = calibration or {}
        self.scans = {name: Scans(placed.get(name)) for name in streams}
        self.tracker = Tracker(
            distance_cost, GATE_M, max_missed_s=MISSED_S, min_hits=4, agility=AGILITY, duplicate=NEARER_M
        )
        self._min_seconds, self._source = min_seconds, source
        self._observer = observer or Observer()
        self._ways: dict[int, Way] = {}
        self._now_ns: int | None = None

    @property
    def people(self) -> list[Track]:
        """Who is followed just now; ``position`` is x and y in metres."""
        return self.tracker.tracks

    def look(
        self, name: str, points: NDArray[Any], time: NDArray[Any] | None, t_ns: int
    ) -> Iterator[GaitSequence]:
        """Take in one scan; yields the walks that are thereby known to have ended.

        Raises:
            InputError: see :meth:`Scans.look`.
        """
        at_ns = t_ns if self._now_ns is None else max(t_ns, self._now_ns + 1)
        self._now_ns = at_ns
        for ended in self.tracker.predict(at_ns):
            yield from self._end(ended)
        expected = [track.position for track in self.tracker.tracks]
        sightings = self.scans[name].look(points, time, t_ns, expected)
        measured = np.array([sighting.person.xy for sighting in sightings]).reshape(-1, 2)
        given = self.tracker.update(measured)
        seen: dict[int, Seen] = {}
        for sighting, track in zip(sightings, given, strict=True):
            if track is not None:
                yield from self._way(track.number).add(name, sighting)
                seen[track.number] = Seen(sighting.person.xy, points=sighting.person.points)
        self._observer.people(at_ns, seen)
        alive = {track.number for track in self.tracker.alive}
        for number in [number for number in self._ways if number not in alive]:
            yield from self._ways.pop(number).finish()

    def _way(self, number: int) -> Way:
        if number not in self._ways:
            self._ways[number] = Way(number, self._min_seconds, self._source, self._observer)
        return self._ways[number]

    def seen(self, start_ns: int, stop_ns: int) -> dict[int, list[tuple[str, Sighting]]]:
        """What was seen of each person in view within that time, by number of the track."""
        return {number: found for number, way in self._ways.items() if (found := way.seen(start_ns, stop_ns))}

    def finish(self) -> Iterator[GaitSequence]:
        """The scans have ended: yields the walks that ended with them."""
        for number in list(self._ways):
            yield from self._ways.pop(number).finish()

    def _end(self, track: Track) -> Iterator[GaitSequence]:
        way = self._ways.pop(track.number, None)
        if way is not None:
            yield from way.finish()


class Way:
    """Where one person was seen, cut into walks."""

    def __init__(
        self, number: int, min_seconds: float, source: str, observer: Observer | None = None
    ) -> None:
        self._number, self._min_seconds, self._source = number, min_seconds, source
        self._observer = observer or Observer()
        self._answered = False
        self._seen: list[tuple[str, Sighting]] = []

    def seen(self, start_ns: int, stop_ns: int) -> list[tuple[str, Sighting]]:
        """The sightings within that time."""
        return [pair for pair in self._seen if start_ns <= pair[1].t_ns <= stop_ns]

    def add(self, name: str, sighting: Sighting) -> Iterator[GaitSequence]:
        """Take in a sighting; yields the walk that ended before it."""
        if self._seen:
            gap_s = (sighting.t_ns - self._seen[-1][1].t_ns) / NS_PER_S
            long = (sighting.t_ns - self._seen[0][1].t_ns) / NS_PER_S > MAX_WALK_S
            if gap_s > MAX_GAP_S or long:
                yield from self.finish()
        self._seen.append((name, sighting))

    def finish(self) -> Iterator[GaitSequence]:
        """The walks of what was seen so far; then it is forgotten."""
        seen, self._seen = sorted(self._seen, key=lambda pair: pair[1].t_ns), []
        if len(seen) < 3:
            return
        t_s = np.array([sighting.t_ns - seen[0][1].t_ns for _, sighting in seen]) / NS_PER_S
        xy = np.stack([sighting.person.xy for _, sighting in seen])
        for first, last in runs(walking(t_s, xy)):
            walk = self._walk(seen[first:last], xy[first:last])
            if walk is not None:
                self._answered = True
                yield walk
        t_ns = np.array([sighting.t_ns for _, sighting in seen])
        reason = None if self._answered else why_no_walk(t_ns, float(np.linalg.norm(np.ptp(xy, axis=0))))
        if reason is not None:
            self._answered = True
            self._observer.refused(Refusal(self._number, int(t_ns[0]), int(t_ns[-1]), reason))

    def _walk(self, seen: list[tuple[str, Sighting]], xy: NDArray[np.float64]) -> GaitSequence | None:
        seconds = (seen[-1][1].t_ns - seen[0][1].t_ns) / NS_PER_S
        step_s = seconds / max(len(seen) - 1, 1)
        way_m = float(np.linalg.norm(np.ptp(xy, axis=0)))
        if seconds + step_s < self._min_seconds or way_m < MIN_WAY_M or len(seen) < MIN_FRAMES:
            return None
        streams = {name: stream for name in dict(seen) if (stream := stream_of(name, seen)) is not None}
        if not streams:
            return None
        cuts = Counter(part for _, sighting in seen for part in sighting.cut)
        covariates = {"track": str(self._number)}
        parts = sorted(part for part, count in cuts.items() if count >= CUT_SHARE * len(seen))
        if parts:
            covariates["cut"] = " ".join(parts)
        return GaitSequence(streams, meta=Meta(source=self._source, covariates=covariates))


def stream_of(name: str, seen: list[tuple[str, Sighting]]) -> Stream | None:
    """What one sensor saw of a walk."""
    frames, times = [], list[int]()
    for owner, sighting in seen:
        if owner == name and (not times or sighting.t_ns > times[-1]):
            frames.append(sighting.person.points)
            times.append(sighting.t_ns)
    if len(times) < 2:
        return None
    offsets = np.cumsum([0, *(len(frame) for frame in frames)])
    return Stream(np.concatenate(frames), np.array(times, np.int64), "m", offsets=offsets)


def walking(t_s: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """At which of the times ``[n]`` someone at places ``[n, 2]`` is on the way, judged over a second."""
    out = np.zeros(len(t_s), dtype=bool)
    for i, at in enumerate(t_s):
        near = np.abs(t_s - at) <= WINDOW_S / 2
        if near.sum() < 3:
            continue
        since = t_s[near] - t_s[near].mean()
        slope = since @ (xy[near] - xy[near].mean(axis=0)) / max(float(since @ since), 1e-9)
        out[i] = SLOWEST_M_S <= float(np.hypot(*slope)) <= FASTEST_M_S
    return out


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last + 1 of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class SteadyClock:
    """Times of a device on the host's clock: the device's rhythm, the host's hour."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._last_ns: int | None = None

    def at(self, frame: Frame) -> int:
        """The time of a frame in nanoseconds."""
        if frame.device_t_ns is None:
            return frame.host_t_ns
        offset = frame.host_t_ns - frame.device_t_ns
        back = self._last_ns is not None and frame.device_t_ns <= self._last_ns
        self._last_ns = frame.device_t_ns
        if self._offset_ns is None or back or abs(offset - self._offset_ns) > STEADY_S * NS_PER_S:
            self._offset_ns = offset
        return frame.device_t_ns + self._offset_ns


def streams_of_points(names: Iterable[str]) -> list[str]:
    """Those streams that hold clouds of points: ``points``, ``points_2`` and so on."""
    return sorted(name for name in names if name == "points" or name.startswith("points_"))


def checked_points(frame: Frame, name: str) -> NDArray[Any]:
    """The points of a frame.

    Raises:
        InputError: they are none.
    """
    points = np.asarray(frame.data[name])
    if points.ndim != 2 or points.shape[1] != 4 or points.dtype.kind != "f":
        shape = f"{points.dtype} {list(points.shape)}"
        raise InputError(f"{name!r} must be float32 [n, 4] (x, y, z, intensity), not {shape}")
    return points

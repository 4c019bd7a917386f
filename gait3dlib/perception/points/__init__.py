"""People in clouds of points: found by shape, followed by their way, cut into walks; no weights needed.

The sensor must stand still; it may be tilted. The ground is found, heights are measured from it, what stands
still is learned on the fly. A walk's ``points`` are float32 ``[sum N, 4]``: x and y in the world (the level
frame of the sensor where it has no extrinsics), the height above the floor in metres, and intensity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from gait3dlib.perception.observing import Observer
from gait3dlib.perception.points.following import Follower, SteadyClock, checked_points, streams_of_points
from gait3dlib.perception.points.ground import Ground, find_ground
from gait3dlib.perception.points.people import Person
from gait3dlib.perception.points.scanning import Scans, Sighting
from gait3dlib.types import Calibration, Frame, GaitSequence

__all__ = [
    "Follower",
    "Ground",
    "Person",
    "PointWalks",
    "Scans",
    "Sighting",
    "find_ground",
    "walks_in_points",
]


def walks_in_points(
    frames: Iterable[Frame],
    *,
    calibration: Mapping[str, Calibration] | None = None,
    min_seconds: float = 0.9,
    source: str = "",
    progress: Callable[[int], None] | None = None,
    observer: Observer | None = None,
) -> Iterator[GaitSequence]:
    """The walks in the scans of one or several sensors, each as soon as it has ended.

    Streams of points that have extrinsics share one world, and one person seen by several of them is one
    track. Others are followed by themselves. ``meta.covariates["track"]`` numbers the person within the run,
    ``["cut"]`` names what of the body lay outside the sensor's view (head, feet, side) for a good part of it.

    Args:
        frames: in order of time.
        calibration: where the sensors stand, by stream.
        min_seconds: shorter walks are dropped.
        source: kept as ``meta.source``.
        progress: called with the number of frames taken so far.
        observer: is told who is in view, and of whom no walk came.

    Raises:
        InputError: a frame's points have the wrong shape or unit, or no ground is seen.
    """
    point_walks = PointWalks(calibration, min_seconds=min_seconds, source=source, observer=observer)
    for number, frame in enumerate(frames):
        yield from point_walks.take(frame)
        if progress is not None:
            progress(number + 1)
    yield from point_walks.finish()


class PointWalks:
    """The same frame by frame. See :func:`walks_in_points` for the arguments."""

    def __init__(
        self,
        calibration: Mapping[str, Calibration] | None = None,
        *,
        min_seconds: float = 0.9,
        source: str = "",
        observer: Observer | None = None,
    ) -> None:
        self._placed = {name: c for name, c in (calibration or {}).items() if c.extrinsics is not None}
        self._min_seconds, self._source, self._observer = min_seconds, source, observer
        self.followers: dict[str, Follower] = {}
        """Who follows the people of each stream of points."""
        self._clocks: dict[str, SteadyClock] = {}

    def take(self, frame: Frame) -> Iterator[GaitSequence]:
        """The walks that are known to have ended with a frame; one without points is passed over.

        Raises:
            InputError: its points have the wrong shape or unit, or no ground is seen.
        """
        for name in streams_of_points(frame.data):
            if name not in self.followers:
                self._add(name)
            time = frame.data.get(name.replace("points", "point_time", 1))
            at_ns = self._clocks[name].at(frame)
            yield from self.followers[name].look(name, checked_points(frame, name), time, at_ns)

    def finish(self) -> Iterator[GaitSequence]:
        """The walks that end because the frames do."""
        for follower in dict.fromkeys(self.followers.values()):
            yield from follower.finish()

    def _add(self, name: str) -> None:
        """A stream more; those whose places are known share one follower."""
        shared = (held for other, held in self.followers.items() if {name, other} <= self._placed.keys())
        self.followers[name] = next(shared, None) or Follower(
            [], min_seconds=self._min_seconds, source=self._source, observer=self._observer
        )
        self.followers[name].scans[name] = Scans(self._placed.get(name))
        self._clocks[name] = SteadyClock()

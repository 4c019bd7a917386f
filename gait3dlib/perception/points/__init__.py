"""People in clouds of points: found by shape, followed by their way, cut into walks; no weights needed.

The sensor must stand still; it may be tilted. The ground is found, heights are measured from it, what stands
still is learned on the fly. A walk's ``points`` are float32 ``[sum N, 4]``: x and y in the world (the level
frame of the sensor where it has no extrinsics), the height above the floor in metres, and intensity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from gait3dlib.perception.points.following import Follower, SteadyClock, checked_points, streams_of_points
from gait3dlib.perception.points.ground import Ground, find_ground
from gait3dlib.perception.points.people import Person
from gait3dlib.perception.points.scanning import Scans, Sighting
from gait3dlib.types import Calibration, Frame, GaitSequence

__all__ = ["Follower", "Ground", "Person", "Scans", "Sighting", "find_ground", "walks_in_points"]


def walks_in_points(
    frames: Iterable[Frame],
    *,
    calibration: Mapping[str, Calibration] | None = None,
    min_seconds: float = 0.9,
    source: str = "",
    progress: Callable[[int], None] | None = None,
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

    Raises:
        InputError: a frame's points have the wrong shape or unit, or no ground is seen.
    """
    placed = {name: item for name, item in (calibration or {}).items() if item.extrinsics is not None}
    followers: dict[str, Follower] = {}
    clocks: dict[str, SteadyClock] = {}
    for number, frame in enumerate(frames):
        for name in streams_of_points(frame.data):
            if name not in followers:
                together = next(
                    (followers[other] for other in followers if {name, other} <= placed.keys()), None
                )
                followers[name] = together or Follower([], min_seconds=min_seconds, source=source)
                followers[name].scans[name] = Scans(placed.get(name))
                clocks[name] = SteadyClock()
            time = frame.data.get(name.replace("points", "point_time", 1))
            at_ns = clocks[name].at(frame)
            yield from followers[name].look(name, checked_points(frame, name), time, at_ns)
        if progress is not None:
            progress(number + 1)
    for follower in dict.fromkeys(followers.values()):
        yield from follower.finish()

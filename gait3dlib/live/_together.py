"""A depth camera and LiDARs together: one walk a person, with what each of them saw.

The camera's walks lead. When one ends, the person in the scans who was where the camera's person was, over
the same time, lends the LiDAR's points, on the LiDAR's own clock. Where both stand in one world (``--mount``)
places are compared; where they do not, the only person that both see is the same one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from gait3dlib.perception import walks
from gait3dlib.perception.depth import DepthWalks
from gait3dlib.perception.observing import Observer, Refusal, Seen
from gait3dlib.perception.points import Follower, PointWalks, Sighting
from gait3dlib.perception.points.following import stream_of, streams_of_points
from gait3dlib.types import NS_PER_S, Calibration, Frame, GaitSequence, Stream

SAME_M = 0.6  # between a person's places by both sensors; each sees another side of the trunk
FEWEST = 4  # scans in common
OVERLAP = 0.5  # of the camera's walk that the scans must cover
LIDAR_TRACKS = 10_000  # tracks of the LiDAR are numbered from here on

Sightings = list[tuple[str, Sighting]]


def walks_live(
    frames: Iterable[Frame],
    streams: Iterable[str],
    calibration: Mapping[str, Calibration],
    *,
    source: str = "",
    pose: bool = True,
    observer: Observer | None = None,
) -> Iterator[GaitSequence]:
    """The walks in what one or several sensors give; see :func:`gait3dlib.perception.walks`.

    Args:
        frames: in order of time.
        streams: names of the streams that the sensors give.
        calibration: where they stand, by stream.
        source: kept as ``meta.source``.
        pose: take keypoints from colour.
        observer: is told who is in view, and of whom no walk came.
    """
    names = set(streams)
    depth = next((name for name in sorted(names) if name == "depth" or name.startswith("depth_")), None)
    if depth is None or "silhouette" in names or not streams_of_points(names):
        yield from walks(frames, source=source, pose=pose, calibration=calibration, observer=observer)
        return
    with ExitStack() as stack:
        both = _Both(depth, calibration, source, pose, observer or Observer())
        stack.enter_context(both.depth)
        for frame in frames:
            yield from both.take(frame)
        yield from both.finish()


class _Both:
    def __init__(
        self, depth: str, calibration: Mapping[str, Calibration], source: str, pose: bool, observer: Observer
    ) -> None:
        self._ending = depth.removeprefix("depth")  # "_2" where the camera is the second sensor
        cameras = {name: calibration[name + self._ending] for name in ("depth", "color")
                   if name + self._ending in calibration}  # fmt: skip
        self._placed = cameras.get("depth") is not None and cameras["depth"].extrinsics is not None
        self._lidars = {name: c for name, c in calibration.items() if streams_of_points([name])}
        self.depth = DepthWalks(cameras, pose=pose, source=source, observer=observer)
        self._points = PointWalks(self._lidars, source=source, observer=_Renumbered(observer))
        self._taken: set[tuple[int, int]] = set()  # followers and tracks whose points a walk has got

    def take(self, frame: Frame) -> Iterator[GaitSequence]:
        own = {
            name: frame.data[name + self._ending]
            for name in ("depth", "color")
            if name + self._ending in frame.data
        }
        if own:
            for seq in self.depth.take(dataclasses.replace(frame, data=own)):
                yield self._joined(seq)
        yield from self._alone(self._points.take(frame))

    def finish(self) -> Iterator[GaitSequence]:
        for seq in self.depth.finish():
            yield self._joined(seq)
        yield from self._alone(self._points.finish())

    def _alone(self, found: Iterable[GaitSequence]) -> Iterator[GaitSequence]:
        """Walks of those whom only the LiDAR saw."""
        for seq in found:
            track = int(seq.meta.covariates["track"])
            if not any(number == track for _, number in self._taken):
                covariates = {**seq.meta.covariates, "track": str(LIDAR_TRACKS + track)}
                streams = dict(seq.streams)
                if "points" not in streams:  # the LiDAR is the second sensor
                    streams["points"] = streams.pop(min(streams_of_points(streams)))
                meta = dataclasses.replace(seq.meta, covariates=covariates)
                yield dataclasses.replace(seq, streams=streams, meta=meta)

    def _joined(self, seq: GaitSequence) -> GaitSequence:
        """A camera's walk with the LiDAR's points of the same person, where there are any."""
        start_ns, stop_ns = seq.start_ns, seq.start_ns + round(seq.duration_s * NS_PER_S)
        candidates = [
            (follower, number, seen)
            for follower in dict.fromkeys(self._points.followers.values())
            for number, seen in follower.seen(start_ns, stop_ns).items()
            if len(seen) >= FEWEST and seen[-1][1].t_ns - seen[0][1].t_ns >= OVERLAP * (stop_ns - start_ns)
        ]
        chosen = self._same(seq, candidates)
        if chosen is None:
            return seq
        follower, number, seen = chosen
        streams: dict[str, Stream] = dict(seq.streams)
        for name in dict(seen):
            stream = stream_of(name, seen)
            if stream is not None:
                self._taken.add((id(follower), number))
                streams["points"] = stream  # of the last one where there are several
        return dataclasses.replace(seq, streams=streams)

    def _same(
        self, seq: GaitSequence, candidates: list[tuple[Follower, int, Sightings]]
    ) -> tuple[Follower, int, Sightings] | None:
        if not (self._placed and any(c.extrinsics is not None for c in self._lidars.values())):
            return candidates[0] if len(candidates) == 1 else None
        apart = [_apart_m(seq, seen) for _, _, seen in candidates]
        best = int(np.argmin(apart)) if apart else 0
        return candidates[best] if apart and apart[best] < SAME_M else None


def _apart_m(seq: GaitSequence, seen: Sightings) -> float:
    """Median distance of a walk's places by its own points from those in scans, at the scans' times."""
    stream = seq.streams["points"]
    assert stream.offsets is not None
    place: NDArray[np.float64] = np.array(
        [np.median(stream.frame(i)[:, :2], axis=0) for i in range(len(stream))], np.float64
    )
    t_ns = np.array([sighting.t_ns for _, sighting in seen])
    xy = np.stack([sighting.person.xy for _, sighting in seen])
    own = np.stack([np.interp(t_ns, stream.t_ns, place[:, axis]) for axis in (0, 1)], axis=-1)
    return float(np.median(np.linalg.norm(own - xy, axis=1)))


class _Renumbered(Observer):
    """Passes on what is said of the LiDAR's people under numbers that are no camera's."""

    def __init__(self, other: Observer) -> None:
        self._other = other

    def people(self, t_ns: int, people: Mapping[int, Seen], camera: Calibration | None = None) -> None:
        self._other.people(t_ns, {LIDAR_TRACKS + number: seen for number, seen in people.items()}, camera)

    def refused(self, refusal: Refusal) -> None:
        self._other.refused(dataclasses.replace(refusal, track=LIDAR_TRACKS + refusal.track))

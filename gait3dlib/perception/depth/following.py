"""People followed from depth image to depth image on the floor, and the walks among their ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.perception.depth.joints import Posed
from gait3dlib.perception.depth.people import DepthPerson, people_in
from gait3dlib.perception.depth.scene import F32, DepthScene
from gait3dlib.perception.points.following import AGILITY, GATE_M, MISSED_S, NEARER_M, runs, walking
from gait3dlib.perception.tracking import Track, Tracker, distance_cost
from gait3dlib.types import NS_PER_S, GaitSequence, Meta, Stream

MIN_WAY_M = 1.0
MIN_FRAMES = 8
MAX_GAP_S = 1.0
MAX_WALK_S = 60.0
SHARE = (0.75, 1.4)  # of the usual area of the person; less is hidden, more is two
CROWN = 80  # percentile of the crown's changing height; who walks is two or three centimetres shorter


@dataclass(frozen=True, eq=False)
class _Sight:
    t_ns: int
    person: DepthPerson
    keypoints: NDArray[np.float32] | None = None
    joints: NDArray[np.float32] | None = None


class DepthFollower:
    """People in the images of one depth camera that stands still; their walks as they end.

    Args:
        scene: of the camera.
        min_seconds: shorter walks are dropped.
        source: kept as ``meta.source``.
    """

    def __init__(self, scene: DepthScene, *, min_seconds: float = 0.9, source: str = "") -> None:
        self.scene = scene
        self.tracker = Tracker(
            distance_cost, GATE_M, max_missed_s=MISSED_S, min_hits=4, agility=AGILITY, duplicate=NEARER_M
        )
        self.people: dict[int, DepthPerson] = {}
        """Who is in the last image, by number of the track."""
        self._min_seconds, self._source = min_seconds, source
        self._ways: dict[int, list[_Sight]] = {}
        self._held: deque[tuple[int, F32, NDArray[Any] | None]] = deque(maxlen=20)
        self._now_ns: int | None = None

    def look(
        self, depth: F32, color: NDArray[Any] | None, t_ns: int, posed: Posed | None = None
    ) -> Iterator[GaitSequence]:
        """Take in one image in metres; yields the walks that are thereby known to have ended.

        The first half second is held back until the background is known.

        Raises:
            InputError: no floor is seen.
        """
        if self._now_ns is not None and t_ns <= self._now_ns:
            return  # a clock was set back; the next image will be later
        self._now_ns = t_ns
        if not self.scene.known:
            self._held.append((t_ns, depth, color))
            self.scene.learn(depth, t_ns)
            if self.scene.known:
                yield from self._release(posed)
            return
        yield from self._follow(depth, color, t_ns, posed)

    def finish(self, posed: Posed | None = None) -> Iterator[GaitSequence]:
        """The images have ended: yields the walks that ended with them."""
        for number in list(self._ways):
            yield from self._end(number)

    def _release(self, posed: Posed | None) -> Iterator[GaitSequence]:
        while self._held:
            t_ns, depth, color = self._held.popleft()
            yield from self._follow(depth, color, t_ns, posed)

    def _follow(
        self, depth: F32, color: NDArray[Any] | None, t_ns: int, posed: Posed | None
    ) -> Iterator[GaitSequence]:
        for ended in self.tracker.predict(t_ns):
            yield from self._end(ended.number)
        expected = [track.position for track in self.tracker.tracks]
        people = people_in(self.scene, depth, expected)
        given = self.tracker.update(np.array([person.xy for person in people]).reshape(-1, 2))
        self.people = {}
        for person, track in zip(people, given, strict=True):
            if track is not None:
                self.people[track.number] = person
                yield from self._add(track, person, color, t_ns, posed)
        alive = {track.number for track in self.tracker.alive}
        for number in [number for number in self._ways if number not in alive]:
            yield from self._end(number)
        self.scene.look(depth, t_ns)

    def _add(
        self, track: Track, person: DepthPerson, color: NDArray[Any] | None, t_ns: int, posed: Posed | None
    ) -> Iterator[GaitSequence]:
        way = self._ways.setdefault(track.number, [])
        if way:
            gap_s, long_s = ((t_ns - way[i].t_ns) / NS_PER_S for i in (-1, 0))
            if gap_s > MAX_GAP_S or long_s > MAX_WALK_S:
                yield from self._end(track.number)
                way = self._ways.setdefault(track.number, [])
        found = None
        if posed is not None and color is not None and person.whole:
            found = posed.look(self.scene, person, color)
        way.append(_Sight(t_ns, person, *(found or (None, None))))

    def _end(self, number: int) -> Iterator[GaitSequence]:
        """The walks of a way that has ended."""
        seen = self._ways.pop(number, [])
        if len(seen) < 3:
            return
        t_s = np.array([sight.t_ns - seen[0].t_ns for sight in seen]) / NS_PER_S
        xy = np.stack([sight.person.xy for sight in seen])
        area = np.median([sight.person.area_m2 for sight in seen])
        for first, last in runs(walking(t_s, xy)):
            good = [
                sight
                for sight in seen[first:last]
                if sight.person.whole and SHARE[0] <= sight.person.area_m2 / area <= SHARE[1]
            ]
            if len(good) >= MIN_FRAMES and self._long_enough(good):
                yield self._sequence(number, good)

    def _long_enough(self, good: list[_Sight]) -> bool:
        seconds = (good[-1].t_ns - good[0].t_ns) / NS_PER_S
        step_s = seconds / (len(good) - 1)
        way_m = float(np.linalg.norm(np.ptp(np.stack([sight.person.xy for sight in good]), axis=0)))
        return seconds + step_s >= self._min_seconds and way_m >= MIN_WAY_M

    def _sequence(self, number: int, good: list[_Sight]) -> GaitSequence:
        camera = self.scene.placed
        t_ns = np.array([sight.t_ns for sight in good], np.int64)
        boxes = np.stack([sight.person.box for sight in good]).astype(np.float32)
        millimetres = np.stack([np.round(sight.person.depth * 1000) for sight in good]).astype(np.uint16)
        clouds = [sight.person.points for sight in good]
        offsets = np.cumsum([0, *map(len, clouds)])
        silhouettes = np.stack([sight.person.silhouette for sight in good])
        streams = {
            "silhouette": Stream(silhouettes, t_ns, boxes=boxes, calibration=camera),
            "depth": Stream(millimetres, t_ns, "mm", boxes=boxes, calibration=camera),
            "points": Stream(np.concatenate(clouds), t_ns, "m", offsets=offsets, calibration=camera),
        }
        having = [sight for sight in good if sight.keypoints is not None and sight.joints is not None]
        if len(having) >= MIN_FRAMES:
            at_ns = np.array([sight.t_ns for sight in having], np.int64)
            keypoints = np.stack([sight.keypoints for sight in having])  # type: ignore[misc]
            joints = np.stack([sight.joints for sight in having])  # type: ignore[misc]
            streams["keypoints"] = Stream(keypoints, at_ns, "px", layout=Posed.layout, calibration=camera)
            streams["joints"] = Stream(joints.astype(np.float32), at_ns, "m", calibration=camera)
        height = float(np.percentile([sight.person.height_m for sight in good], CROWN))
        covariates = {"track": str(number), "height_m": f"{height:.3f}"}
        return GaitSequence(streams, meta=Meta(source=self._source, covariates=covariates))

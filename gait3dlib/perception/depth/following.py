"""People followed from depth image to depth image on the floor, and the walks among their ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.perception.depth.joints import Posed
from gait3dlib.perception.depth.people import DepthPerson, people_in
from gait3dlib.perception.depth.scene import F32, DepthScene
from gait3dlib.perception.observing import Observer, Refusal, Seen, why_no_walk
from gait3dlib.perception.points.following import AGILITY, GATE_M, MISSED_S, NEARER_M, runs, walking
from gait3dlib.perception.tracking import Track, Tracker, distance_cost
from gait3dlib.types import NS_PER_S, GaitSequence, Meta, Stream

MIN_WAY_M = 1.0
MIN_FRAMES = 8
MAX_GAP_S = 1.0
MAX_WALK_S = 60.0
SHARE = (0.75, 1.4)  # of the usual area of the person; less is hidden, more is two
LEFT_S = 0.3  # cut by the image's border, or gone beyond it, for so long: the walk is over
OUTLOOK_S = 0.3  # over which a box is followed to the border
STILL_S, STILL_M = 0.8, 0.12  # who comes no further in that time stands
STANDS_S = 4.0  # after which it is said of who stands that nothing can be said
CROWN = 80  # percentile of the crown's changing height; who walks is two or three centimetres shorter


@dataclass(frozen=True, eq=False)
class _Sight:
    t_ns: int
    person: DepthPerson
    keypoints: NDArray[np.float32] | None = None
    joints: NDArray[np.float32] | None = None


@dataclass
class _Way:
    """What was seen of a track since its last walk ended."""

    sights: list[_Sight] = field(default_factory=list)
    whole_ns: int | None = None  # when it was last seen whole
    looked_ns: int = 0  # when it was last asked whether the person stands

    def add(self, sight: _Sight) -> None:
        self.sights.append(sight)
        if sight.person.whole:
            self.whole_ns = sight.t_ns

    @property
    def seconds(self) -> float:
        return (self.sights[-1].t_ns - self.sights[0].t_ns) / NS_PER_S


class DepthFollower:
    """People in the images of one depth camera that stands still; their walks as they end.

    Args:
        scene: of the camera.
        min_seconds: shorter walks are dropped.
        source: kept as ``meta.source``.
        observer: is told who is in view, and of whom no walk came.
    """

    def __init__(
        self,
        scene: DepthScene,
        *,
        min_seconds: float = 0.9,
        source: str = "",
        observer: Observer | None = None,
    ) -> None:
        self.scene = scene
        self.tracker = Tracker(
            distance_cost, GATE_M, max_missed_s=MISSED_S, min_hits=4, agility=AGILITY, duplicate=NEARER_M
        )
        self.people: dict[int, DepthPerson] = {}
        """Who is in the last image, by number of the track."""
        self._min_seconds, self._source = min_seconds, source
        self._observer = observer or Observer()
        self._ways: dict[int, _Way] = {}
        self._answered: set[int] = set()  # tracks of whom a walk came, or it was said why none did
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
        self.people, seen = {}, dict[int, Seen]()
        if self._observer.behind():
            posed = None  # of everybody alike, or the second in view would always be the one to go without
        for person, track in zip(people, given, strict=True):
            if track is not None:
                self.people[track.number] = person
                sight = self._sight(person, color, t_ns, posed)
                yield from self._add(track, sight)
                seen[track.number] = Seen(
                    person.xy, person.height_m, person.points, sight.joints, person.extent
                )
        alive = {track.number for track in self.tracker.alive}
        for number, way in list(self._ways.items()):
            if number not in alive or self._is_over(way, t_ns):
                yield from self._end(number)
        self._answered &= alive
        self._observer.people(t_ns, seen, self.scene.placed)
        self.scene.look(depth, t_ns)

    def _sight(
        self, person: DepthPerson, color: NDArray[Any] | None, t_ns: int, posed: Posed | None
    ) -> _Sight:
        found = None
        if posed is not None and color is not None and person.whole:
            found = posed.look(self.scene, person, color)
        return _Sight(t_ns, person, *(found or (None, None)))

    def _add(self, track: Track, sight: _Sight) -> Iterator[GaitSequence]:
        way = self._ways.setdefault(track.number, _Way())
        if way.sights:
            gap_s = (sight.t_ns - way.sights[-1].t_ns) / NS_PER_S
            if gap_s > MAX_GAP_S or way.seconds > MAX_WALK_S:
                yield from self._end(track.number)
                way = self._ways.setdefault(track.number, _Way())
        way.add(sight)

    # ---- where walks end --------------------------------------------------------------------------

    def _is_over(self, way: _Way, t_ns: int) -> bool:
        """Whether the walk is known to have ended, though its person may still be in view or come back."""
        if way.whole_ns is None or way.seconds < self._min_seconds:
            return False
        if t_ns - way.whole_ns > LEFT_S * NS_PER_S and self._leaves(way, t_ns):
            return True
        if t_ns - way.looked_ns < STILL_S / 4 * NS_PER_S:
            return False
        way.looked_ns = t_ns
        recent = [sight for sight in way.sights if t_ns - sight.t_ns <= STILL_S * NS_PER_S]
        before = way.sights[: len(way.sights) - len(recent)]
        if len(recent) < 6 or not before:
            return False
        half = len(recent) // 2
        earlier, later = (
            np.mean([s.person.xy for s in part], axis=0) for part in (recent[:half], recent[half:])
        )
        if np.linalg.norm(later - earlier) > STILL_M:
            return False
        return _way_m(way.sights) >= MIN_WAY_M or way.seconds > STANDS_S

    def _leaves(self, way: _Way, t_ns: int) -> bool:
        """Whether the box was, or by now must be, at the border of the image."""
        last = way.sights[-1]
        if not last.person.whole:
            return True
        since = [sight for sight in way.sights if last.t_ns - sight.t_ns <= OUTLOOK_S * NS_PER_S]
        if len(since) < 2:
            return False
        rate = (last.person.extent - since[0].person.extent) / (last.t_ns - since[0].t_ns)
        x, y, wide, high = last.person.extent + rate * (t_ns - last.t_ns)
        camera = self.scene.camera
        return bool(min(x, y, camera.width - x - wide, camera.height - y - high) < 0)

    def _end(self, number: int) -> Iterator[GaitSequence]:
        """The walks of a way that has ended."""
        seen = self._ways.pop(number, _Way()).sights
        if len(seen) < 3:
            return
        t_ns = np.array([sight.t_ns for sight in seen])
        xy = np.stack([sight.person.xy for sight in seen])
        area = np.median([sight.person.area_m2 for sight in seen])
        usable = np.array(
            [s.person.whole and SHARE[0] <= s.person.area_m2 / area <= SHARE[1] for s in seen], dtype=bool
        )
        for first, last in runs(walking((t_ns - t_ns[0]) / NS_PER_S, xy)):
            good = [seen[i] for i in range(first, last) if usable[i]]
            if len(good) >= MIN_FRAMES and self._long_enough(good):
                self._answered.add(number)
                yield self._sequence(number, good)
        if number not in self._answered:
            self._refuse(number, seen, usable)

    def _refuse(self, number: int, seen: list[_Sight], usable: NDArray[np.bool_]) -> None:
        cut = float(np.mean([not sight.person.whole for sight in seen]))
        t_ns = np.array([sight.t_ns for sight in seen])
        hidden = float(1.0 - usable.mean()) - cut + _missing(t_ns)
        frames = int(usable.sum())
        reason = why_no_walk(t_ns, _way_m(seen), cut=cut, hidden=hidden, frames=frames, fewest=MIN_FRAMES)
        if reason is not None:
            self._answered.add(number)
            self._observer.refused(Refusal(number, int(t_ns[0]), int(t_ns[-1]), reason))

    def _long_enough(self, good: list[_Sight]) -> bool:
        seconds = (good[-1].t_ns - good[0].t_ns) / NS_PER_S
        step_s = seconds / (len(good) - 1)
        return seconds + step_s >= self._min_seconds and _way_m(good) >= MIN_WAY_M

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


def _way_m(sights: list[_Sight]) -> float:
    """How far somebody came, as the diagonal of the way's bounds on the floor."""
    return float(np.linalg.norm(np.ptp(np.stack([sight.person.xy for sight in sights]), axis=0)))


def _missing(t_ns: NDArray[np.int64]) -> float:
    """Share of a way's frames in which nothing was seen, by the usual step between two."""
    steps = np.diff(t_ns)
    return float(max(0.0, 1.0 - len(t_ns) * np.median(steps) / (t_ns[-1] - t_ns[0])))

"""One sensor's scans, one after another: levelled, the background known, people found in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception.points import people
from gait3dlib.perception.points.background import Background
from gait3dlib.perception.points.ground import Floor, Ground, checked, find_ground
from gait3dlib.perception.points.people import REACH_M, Person
from gait3dlib.types import NS_PER_S, Calibration

GROUND_SCANS = 5  # put together to find the ground
GIVE_UP_SCANS = 20
FLOOR_EVERY_S = 10.0
STANDING_EVERY_S = 0.5  # between looks for people who stood there from the start
KNOWN_M = 0.6  # a cluster this near to somebody tracked is that person
HEADROOM_M = 0.12  # of a body that the sensor's field of view cuts
FEET_M = 0.2  # above the floor within it


@dataclass(frozen=True, eq=False)
class Sighting:
    """A person in a scan, in the world that the sensors share.

    Args:
        person: place and points, x and y in that world, z above the floor.
        t_ns: when the person was swept over.
        cut: what of the body lay outside the sensor's view: "head", "feet", "side".
    """

    person: Person
    t_ns: int
    cut: frozenset[str]


class Scans:
    """Takes in the scans of one sensor that stands still.

    Args:
        calibration: where it stands; without it, the world is the sensor's own level frame.
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.ground: Ground | None = None
        extrinsics = None if calibration is None else calibration.extrinsics
        self._to_world: NDArray[np.float64] | None = None
        if extrinsics is not None:
            self._to_world = np.asarray(np.linalg.inv(extrinsics), dtype=np.float64)
        self._origin = np.zeros(2) if self._to_world is None else self._to_world[:2, 3]
        self._first: deque[NDArray[np.float32]] = deque(maxlen=GROUND_SCANS)
        self._background = Background()
        self._floor: Floor | None = None
        self._scans, self._last_ns, self._floor_ns, self._stood_ns = 0, 0, 0, 0
        self._field = np.array([np.inf, -np.inf, np.inf, -np.inf])  # elevation and azimuth seen, degrees

    @property
    def world(self) -> NDArray[np.float64]:
        """``[4, 4]`` from the sensor's frame to the world: level, with the ground at z = 0."""
        if self.ground is None:
            raise InputError("the ground is not known yet; look at some scans first")
        if self._to_world is None:
            return self.ground.matrix
        matrix = self._to_world.copy()
        matrix[2] = self.ground.matrix[2]
        return np.asarray(matrix)

    def look(
        self,
        points: NDArray[np.floating],
        time: NDArray[np.floating] | None,
        t_ns: int,
        tracked: Sequence[NDArray[np.float64]] = (),
    ) -> list[Sighting]:
        """The people in one scan.

        Args:
            points: ``[n, 4]`` x, y, z, intensity in the sensor's frame; rows that are not finite are skipped.
            time: ``[n]`` seconds since ``t_ns``, where the sensor tells.
            t_ns: of the scan.
            tracked: places ``[2]`` at which people are expected.

        Raises:
            InputError: the points are no points or not in metres, or no ground is seen.
        """
        whole = np.asarray(points)
        seen = checked(whole)
        if time is not None and len(seen) < len(whole):
            good = np.isfinite(whole).all(axis=1) & (np.abs(whole[:, :3]).max(axis=1, initial=0) > 0)
            time = np.asarray(time)[good]
        step_s = (t_ns - self._last_ns) / NS_PER_S if self._scans else 0.1
        self._scans, self._last_ns = self._scans + 1, t_ns
        if not len(seen) or not self._grounded(seen):
            return []
        level = self._level(seen, t_ns)
        front = self._background.in_front(seen[:, :3], step_s) & (level[:, 2] > 0.05)
        self._widen_field(seen)
        found = self._found(level, front, t_ns, tracked)
        return [self._sighting(person, seen, time, t_ns) for person in found]

    # ---- the ground -------------------------------------------------------------------------------

    def _grounded(self, seen: NDArray[np.float32]) -> bool:
        """Whether the ground is known by now."""
        if self.ground is not None:
            return True
        self._first.append(seen)
        try:
            xyz = np.concatenate(self._first)
            if self._to_world is None:
                self.ground = find_ground(xyz)
            else:  # in the world, whose z is up
                matrix = self._to_world
                world = xyz[:, :3] @ matrix[:3, :3].T.astype(np.float32)
                self.ground = _within(find_ground(world, max_tilt_deg=15.0), matrix)
        except InputError:
            if self._scans >= GIVE_UP_SCANS:
                raise
            return False
        self._first.clear()
        return True

    def _level(self, seen: NDArray[np.float32], t_ns: int) -> NDArray[np.float32]:
        """Points in the world with their height above the floor as z."""
        world = self.world.astype(np.float32)
        out = seen[:, :4].copy() if seen.shape[1] > 3 else np.column_stack([seen, np.zeros(len(seen))])
        out = out.astype(np.float32)
        out[:, :3] = seen[:, :3] @ world[:3, :3].T + world[:3, 3]
        if self._floor is None or t_ns - self._floor_ns > FLOOR_EVERY_S * NS_PER_S:
            self._floor, self._floor_ns = Floor(out[:, :3] - [*self._origin, 0.0], self._origin), t_ns
        out[:, 2] -= self._floor.at(out[:, :2])
        return out

    # ---- people -----------------------------------------------------------------------------------

    def _found(
        self,
        level: NDArray[np.float32],
        front: NDArray[np.bool_],
        t_ns: int,
        tracked: Sequence[NDArray[np.float64]],
    ) -> list[Person]:
        found: list[Person] = []
        if self._background.known:
            found = self._persons(level, front, tracked, moving=True)
        standing = t_ns - self._stood_ns > STANDING_EVERY_S * NS_PER_S
        if standing or not self._background.known:
            self._stood_ns = t_ns
            rest = np.ones(len(level), dtype=bool)
            for person in found:
                rest[person.rows] = False
            found += self._persons(level, rest & (level[:, 2] > 0.05), tracked, moving=False)
        return found

    def _persons(
        self,
        level: NDArray[np.float32],
        chosen: NDArray[np.bool_],
        tracked: Sequence[NDArray[np.float64]],
        *,
        moving: bool,
    ) -> list[Person]:
        found = []
        floor = people.near_floor(level)
        for cluster in people.clusters(level, chosen, self._origin):
            parts = people.split(level, cluster, tracked)
            if len(parts) == 1:
                parts = people.apart_by_heads(level, cluster)
            for rows in parts:
                near = any(np.linalg.norm(level[rows, :2].mean(axis=0) - at) < KNOWN_M for at in tracked)
                feet_m = self._lowest_seen(level[rows])
                person = people.person_of(
                    level, rows, moving=moving or near, origin=self._origin, feet_m=feet_m
                )
                if person is not None:
                    found.append(people.with_feet(level, person, floor))
        return found

    def _sighting(
        self, person: Person, seen: NDArray[np.float32], time: NDArray[np.floating] | None, t_ns: int
    ) -> Sighting:
        late = 0.0 if time is None else float(np.median(time[person.rows]))
        return Sighting(person, t_ns + round(late * NS_PER_S), self._cut(person, seen))

    # ---- the field of view ------------------------------------------------------------------------

    def _widen_field(self, seen: NDArray[np.float32]) -> None:
        if self._scans > 50 and self._scans % 10:
            return
        xyz = seen[:: max(1, len(seen) // 5000), :3]
        up = np.rad2deg(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
        turn = np.rad2deg(np.arctan2(xyz[:, 1], xyz[:, 0]))
        low, high = self._field[[0, 2]], self._field[[1, 3]]
        self._field[[0, 2]] = np.minimum(low, [up.min(), turn.min()])
        self._field[[1, 3]] = np.maximum(high, [up.max(), turn.max()])

    def _lowest_seen(self, mine: NDArray[np.float32]) -> float:
        """How high the lowest point of a person may be, there where these points are."""
        assert self.ground is not None
        away = float(np.median(np.hypot(*(mine[:, :2] - self._origin).T)))
        border = self.ground.height_m + away * float(np.tan(np.deg2rad(max(self._field[0], -89.0))))
        return max(people.FEET_M, min(border + people.FEET_M / 2, 1.2))

    def _cut(self, person: Person, seen: NDArray[np.float32]) -> frozenset[str]:
        """What of a person lies at the border of what the sensor can see."""
        xyz = seen[person.rows, :3]
        flat = np.hypot(xyz[:, 0], xyz[:, 1])
        up = np.rad2deg(np.arctan2(xyz[:, 2], flat))
        turn = np.rad2deg(np.arctan2(xyz[:, 1], xyz[:, 0]))
        margin = np.rad2deg(HEADROOM_M / max(float(np.median(flat)), 0.3))
        cut = set()
        # in the open nothing may be seen above a head; but where it is cut, the top is as wide as the trunk
        if up.max() > self._field[1] - margin and not people.has_head(person, self._origin):
            cut.add("head")
        if up.min() < self._field[0] + margin and person.points[:, 2].min() > FEET_M:
            cut.add("feet")
        whole_turn = self._field[3] - self._field[2] > 350
        if not whole_turn and (turn.max() > self._field[3] - margin or turn.min() < self._field[2] + margin):
            cut.add("side")
        return frozenset(cut)


def _within(ground: Ground, to_world: NDArray[np.float64]) -> Ground:
    """The ground found in a turned frame, as seen from the sensor's own."""
    turn = np.eye(4)
    turn[:3, :3] = to_world[:3, :3]
    return Ground(ground.matrix @ turn, ground.height_m, ground.tilt_deg, ground.share)


__all__ = ["REACH_M", "Scans", "Sighting"]

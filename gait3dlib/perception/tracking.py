"""Tracks of moving things: constant velocity, and the assignment that costs least.

The state is any vector (a box in an image, a place on the floor), so one tracker serves cameras, depth
and LiDAR; what differs is the cost of calling a measurement a track, and the gate above which it is not.

Each component of the state follows a Kalman filter with constant velocity [1]; measurements are given to
tracks by the Hungarian method [2].

[1] Y. Bar-Shalom, X. R. Li, T. Kirubarajan, *Estimation with Applications to Tracking and Navigation*, 2001.
[2] H. W. Kuhn, "The Hungarian method for the assignment problem", 1955.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gait3dlib.errors import InputError
from gait3dlib.perception.crops import cornered, iou
from gait3dlib.types import NS_PER_S

Floats = NDArray[np.floating[Any]]
Cost = Callable[[Floats, Floats], NDArray[np.float64]]


def box_cost(tracks: Floats, measured: Floats) -> NDArray[np.float64]:
    """Cost between boxes ``[m, 4]`` and ``[n, 4]`` of centre x, centre y, width, height.

    Half the lack of overlap, plus the distance of the centres in heights of the track.
    """
    apart = np.linalg.norm(tracks[:, None, :2] - measured[None, :, :2], axis=-1)
    cost = 0.5 * (1 - iou(cornered(tracks), cornered(measured))) + apart / np.maximum(
        tracks[:, None, 3], 1e-9
    )
    return np.asarray(cost, dtype=np.float64)


def distance_cost(tracks: Floats, measured: Floats) -> NDArray[np.float64]:
    """Euclidean distance between points ``[m, d]`` and ``[n, d]``."""
    return np.asarray(np.linalg.norm(tracks[:, None] - measured[None], axis=-1), dtype=np.float64)


@dataclass
class Track:
    """One tracked thing. ``state`` ``[2, d]`` holds position and velocity (units a second)."""

    number: int
    state: NDArray[np.float64]
    t_ns: int
    seen_ns: int
    hits: int = 1
    alone_ns: int = 0  # when no older track was last as near as a duplicate
    # the filter's uncertainty is the same for all components, in units of the measurement's
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.diag([1.0, 2500.0]))

    @property
    def position(self) -> NDArray[np.float64]:
        """The estimate at ``t_ns``, ``[d]``."""
        return np.asarray(self.state[0])

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Units a second, ``[d]``."""
        return np.asarray(self.state[1])


class Tracker:
    """Keeps tracks over missed measurements and crossings.

    Args:
        cost: of calling measurement j track i, see :func:`box_cost` and :func:`distance_cost`.
        gate: no pair above this cost is made.
        max_missed_s: a track that nothing was given to for longer ends.
        min_hits: a track counts (is listed in :attr:`tracks`) from this many measurements on.
        agility: standard deviation of the acceleration over that of a measurement, in 1 / s^2. Small
            values trust the constant velocity, large ones the measurements.
        duplicate: a measurement left over that costs less than this to a track starts no new one: it is
            a part of what is tracked already. A track that stays this near to an older one ends, too.
        without_velocity: components of the state that keep their value when nothing is measured, such as
            a box's size.
    """

    def __init__(
        self,
        cost: Cost,
        gate: float,
        *,
        max_missed_s: float = 0.5,
        min_hits: int = 3,
        agility: float = 40.0,
        duplicate: float = 0.0,
        without_velocity: tuple[int, ...] = (),
    ) -> None:
        self.cost, self.gate, self.duplicate = cost, gate, duplicate
        self.max_missed_s, self.min_hits, self.agility = max_missed_s, min_hits, agility
        self._tracks: list[Track] = []
        self.without_velocity = list(without_velocity)
        self._born = 0
        self._now_ns = 0

    @property
    def tracks(self) -> list[Track]:
        """The tracks that had enough measurements to count, oldest first."""
        return [track for track in self._tracks if track.hits >= self.min_hits]

    @property
    def alive(self) -> list[Track]:
        """All tracks, also those that do not count yet."""
        return list(self._tracks)

    def predict(self, t_ns: int) -> list[Track]:
        """Move all tracks on to ``t_ns`` and end those missed for too long.

        Returns:
            The tracks that ended, of those that counted.

        Raises:
            InputError: ``t_ns`` is not later than the last time.
        """
        last_ns, self._now_ns = self._now_ns, t_ns
        for track in self._tracks:
            self._advance(track, t_ns)
        ended: list[Track] = []
        kept: list[Track] = []
        for track, doubled in zip(self._tracks, self._doubled(), strict=True):
            missed_s = (t_ns - track.seen_ns) / NS_PER_S
            # what was hardly seen is forgotten sooner, so noise leaves no tracks behind
            patience = self.max_missed_s * min(track.hits / self.min_hits, 1.0)
            # between slow frames much time passes, but nothing was missed
            missed = track.seen_ns < last_ns and missed_s > patience
            (ended if doubled or missed else kept).append(track)
        self._tracks = kept
        return [track for track in ended if track.hits >= self.min_hits]

    def update(self, measured: Floats) -> list[Track | None]:
        """Give measurements ``[n, d]``, taken at the time of :meth:`predict`, to tracks, or start new ones.

        Returns:
            For each measurement its track (whether it counts yet or not), or None for a duplicate.

        Raises:
            InputError: a measurement is not finite, or of another size than the tracks.
        """
        measured = np.asarray(measured, dtype=np.float64)
        size = self._tracks[0].state.shape[1] if self._tracks else measured.shape[-1]
        if measured.ndim != 2 or measured.shape[1] != size or not np.isfinite(measured).all():
            raise InputError(f"measurements must be finite numbers of shape [n, d], with the same d ({size})")
        given: list[Track | None] = [None] * len(measured)
        if len(measured) and self._tracks:
            costs = self.cost(np.stack([track.position for track in self._tracks]), measured)
            # beyond the gate all pairs are equally bad: a pair inside it is never given up for them
            rows, columns = linear_sum_assignment(np.where(costs <= self.gate, costs, 1e3 * (self.gate + 1)))
            for row, column in zip(rows, columns, strict=True):
                if costs[row, column] <= self.gate:
                    given[column] = self._tracks[row]
                    self.correct(self._tracks[row], measured[column])
        for j in np.flatnonzero([track is None for track in given]):
            if not self._is_part(measured[j]):
                given[j] = self._start(measured[j])
        return given

    def correct(self, track: Track, measured: Floats) -> None:
        """One more measurement ``[d]`` for a track, at the track's time."""
        gain = track.covariance[:, 0] / (track.covariance[0, 0] + 1.0)
        track.state = track.state + gain[:, None] * (np.asarray(measured) - track.position)[None]
        track.state[1, self.without_velocity] = 0.0
        track.covariance = track.covariance - np.outer(gain, track.covariance[0])
        if track.seen_ns < track.t_ns:
            track.hits += 1
        track.seen_ns = track.t_ns

    def _advance(self, track: Track, t_ns: int) -> None:
        dt = (t_ns - track.t_ns) / NS_PER_S
        if dt <= 0:
            raise InputError(f"time must run forward, but {t_ns} ns is not after {track.t_ns} ns")
        move = np.array([[1.0, dt], [0.0, 1.0]])
        spread = self.agility**2 * np.array([[dt**4 / 4, dt**3 / 2], [dt**3 / 2, dt**2]])
        track.state = move @ track.state
        track.covariance = move @ track.covariance @ move.T + spread
        track.t_ns = t_ns

    def _is_part(self, measured: Floats) -> bool:
        if not self._tracks or self.duplicate <= 0:
            return False
        positions = np.stack([track.position for track in self._tracks])
        return bool(self.cost(positions, measured[None]).min() < self.duplicate)

    def _doubled(self) -> list[bool]:
        """Whether each track has followed an older one for as long as a track may be missed."""
        if len(self._tracks) < 2 or self.duplicate <= 0:
            return [False] * len(self._tracks)
        positions = np.stack([track.position for track in self._tracks])
        near = np.asarray(np.tril(self.cost(positions, positions) < self.duplicate, -1).any(axis=1))
        for track, close in zip(self._tracks, near, strict=True):
            if not close:
                track.alone_ns = track.t_ns
        return [track.t_ns - track.alone_ns > self.max_missed_s * NS_PER_S for track in self._tracks]

    def _start(self, measured: Floats) -> Track:
        self._born += 1
        state = np.stack([measured, np.zeros_like(measured)])
        track = Track(self._born, state, self._now_ns, self._now_ns, alone_ns=self._now_ns)
        self._tracks.append(track)
        return track

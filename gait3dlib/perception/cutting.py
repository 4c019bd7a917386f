"""Walks cut out of one person's track: on foot, on the way, whole, for about a gait cycle or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.types import NS_PER_S, GaitSequence, Meta, Stream

HALF_WINDOW_S = 0.5  # motion is judged over a second around each frame: about one gait cycle
SLOWEST, FASTEST = 0.2, 3.0  # body heights a second; people walk at 0.4 to 1.2
STEADY = 0.75  # share of the change of size that a straight line must explain to count as approach
UNSTEADY = 0.12  # spread of the size (logarithm) around that line; a walker's is a few per cent
MIN_EXTENT = 0.8  # body heights that a walk must cover: a stride; who dances on the spot does not
MAX_GAP_S = 0.4  # frames in which the person was hidden, cut or bent may be missing for this long
MIN_PRESENT = 0.75  # share of a walk's frames that must be there
MAX_WALK_S = 60.0  # a longer walk is handed over in parts, so memory stays bounded
IDLE_S = 1.5  # who did not walk for this long is looked at now and then only
THIN = 0.75  # an entering or leaving body half hidden shows less than this share of its area


@dataclass(frozen=True)
class Sight:
    """One person in one frame.

    ``centre`` ``[2]`` is a place on the body, in pixels and freed of the camera's motion; ``height_px``
    the height of the box and ``scale_px`` a length on the body that no gesture changes; ``box`` the square
    that the canvas ``silhouette`` ``[128, 128]`` (and ``depth``) shows; ``good`` that the body is whole
    and on its feet, ``clear`` that both feet are seen well.
    """

    t_ns: int
    centre: NDArray[np.float64]
    height_px: float
    scale_px: float
    good: bool
    box: NDArray[np.float64]
    silhouette: NDArray[np.uint8]
    keypoints: NDArray[np.float32] | None = None
    depth: NDArray[Any] | None = None
    clear: bool = True


class WalkCutter:
    """Takes one person's sights in order of time and gives back the walks among them.

    Args:
        start_ns: when the track began.
        focal_px: focal length of the camera, at least roughly: it turns growth into approach.
        min_seconds: shorter walks are dropped.
        layout: of the sights' keypoints.
        meta: goes with every walk.
    """

    def __init__(
        self, start_ns: int, *, focal_px: float, min_seconds: float, layout: str | None, meta: Meta
    ) -> None:
        self._focal_px, self._min_seconds = focal_px, min_seconds
        self.layout, self._meta = layout, meta
        self._recent: list[Sight] = []  # a window of sights; those from _next on are not judged yet
        self._next = 0
        self._walk: list[Sight] = []
        self._active_ns = start_ns

    def idle(self, t_ns: int) -> bool:
        """Whether the person has not walked for a while."""
        return t_ns - self._active_ns > IDLE_S * NS_PER_S

    def add(self, sight: Sight) -> Iterator[GaitSequence]:
        """Take in a sight; yields a walk that is thereby known to have ended."""
        self._recent.append(sight)
        yield from self._judge(sight.t_ns - int(HALF_WINDOW_S * NS_PER_S))
        first = self._recent[self._next].t_ns if self._next < len(self._recent) else sight.t_ns
        stale = sum(s.t_ns < first - HALF_WINDOW_S * NS_PER_S for s in self._recent[: self._next])
        del self._recent[:stale]
        self._next -= stale

    def finish(self) -> Iterator[GaitSequence]:
        """The track has ended: yields the walk that ended with it."""
        if self._recent:
            yield from self._judge(self._recent[-1].t_ns)
        yield from self._close()

    def _judge(self, until_ns: int) -> Iterator[GaitSequence]:
        while self._next < len(self._recent) and self._recent[self._next].t_ns <= until_ns:
            sight = self._recent[self._next]
            self._next += 1
            if self._walk and sight.t_ns - self._walk[-1].t_ns > MAX_GAP_S * NS_PER_S:
                yield from self._close()
            if not self._on_the_way(sight.t_ns):
                yield from self._close()
            elif sight.good:
                self._active_ns = sight.t_ns
                self._walk.append(sight)
                if sight.t_ns - self._walk[0].t_ns > MAX_WALK_S * NS_PER_S:
                    yield from self._close()

    def _on_the_way(self, t_ns: int) -> bool:
        near = [s for s in self._recent if abs(s.t_ns - t_ns) <= HALF_WINDOW_S * NS_PER_S]
        if len(near) < 3:
            return False
        t = np.array([s.t_ns - t_ns for s in near], dtype=np.float64) / NS_PER_S
        height = float(np.median([s.height_px for s in near]))
        sideways, _, _ = _line(t, np.stack([s.centre for s in near]) / height)
        growth, steady, spread = _line(t, np.log([[s.scale_px] for s in near]))
        if spread[0] > UNSTEADY:
            return False
        # a body that grows by a share g a second comes nearer by g times its distance, focal / height
        approach = growth[0] * self._focal_px / height if steady[0] >= STEADY else 0.0
        return bool(SLOWEST <= np.hypot(np.linalg.norm(sideways), approach) <= FASTEST)

    def _close(self) -> Iterator[GaitSequence]:
        walk, self._walk = _trim(self._walk), []
        if len(walk) < 2:
            return
        seconds = (walk[-1].t_ns - walk[0].t_ns) / NS_PER_S
        step_s = float(np.median(np.diff([s.t_ns for s in walk]))) / NS_PER_S
        # the last frame lasts a step too
        long_enough = seconds + step_s >= self._min_seconds - 1e-6
        present = len(walk) * step_s >= MIN_PRESENT * seconds
        if long_enough and present and self._extent(walk) >= MIN_EXTENT:
            yield self._sequence(walk)

    def _extent(self, walk: list[Sight]) -> float:
        height = float(np.median([s.height_px for s in walk]))
        across = np.linalg.norm(np.ptp(np.stack([s.centre for s in walk]), axis=0)) / height
        size = np.log([s.scale_px for s in walk])
        tenth = max(len(walk) // 10, 1)  # means of the ends: one wrong size is no approach
        along = abs(size[:tenth].mean() - size[-tenth:].mean()) * self._focal_px / height
        return float(np.hypot(across, along))

    def _sequence(self, walk: list[Sight]) -> GaitSequence:
        streams = {"silhouette": _stream(walk, "silhouette", "1")}
        if any(s.keypoints is not None for s in walk):
            streams["keypoints"] = _stream(walk, "keypoints", "px", self.layout)
        if any(s.depth is not None for s in walk):
            kind = next(s.depth.dtype.kind for s in walk if s.depth is not None)
            streams["depth"] = _stream(walk, "depth", "mm" if kind == "u" else "m")
        return GaitSequence(streams, meta=self._meta)


def _stream(walk: list[Sight], name: str, units: str, layout: str | None = None) -> Stream:
    having = [s for s in walk if getattr(s, name) is not None]
    return Stream(
        np.stack([getattr(s, name) for s in having]),
        np.array([s.t_ns for s in having], dtype=np.int64),
        units=units,
        layout=layout,
        boxes=np.stack([s.box for s in having]).astype(np.float32),
    )


def _line(
    t: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Straight lines through ``values`` ``[n, d]`` over ``t`` by least squares.

    Returns:
        Their slopes, the share of variance that they explain, and the standard deviation that is left.
    """
    t = t - t.mean()
    values = values - values.mean(axis=0)
    slope = t @ values / max(float(t @ t), 1e-12)
    total = (values**2).sum(axis=0)
    explained = slope**2 * (t @ t) / np.maximum(total, 1e-12)
    left = np.sqrt(((values - np.outer(t, slope)) ** 2).mean(axis=0))
    return slope, explained, left


def _trim(walk: list[Sight]) -> list[Sight]:
    """Without the frames at both ends that show the feet badly, or much less of the body than the others."""
    clear = np.flatnonzero([s.clear for s in walk])
    walk = walk[clear[0] : clear[-1] + 1] if len(clear) else []
    if len(walk) < 3:
        return walk
    area = np.array([np.count_nonzero(s.silhouette) * (s.box[2] / s.scale_px) ** 2 for s in walk])
    whole = np.flatnonzero(area >= THIN * np.median(area))
    return walk[whole[0] : whole[-1] + 1]

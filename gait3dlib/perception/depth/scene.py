"""What a still depth camera sees when nobody is there: a background, pixel by pixel, and the floor.

What is nearer than the background by more than the camera's noise has come in front of it. Noise grows with
the square of the depth, as that of every stereo camera; its size is measured while the background is learned.
Where something farther shows, that is the background; who stands there from the start is found out when
leaving.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception.points.ground import Ground, find_ground
from gait3dlib.types import NS_PER_S, Calibration

F32 = NDArray[np.float32]

START_S, START_FRAMES = 0.5, 15  # watched before anything is said
FLOOR_FRAMES, TRY_EVERY = 90, 15  # in which a floor must show, and how often it is looked for
MARGIN_M, SPREADS = 0.07, 2.5  # nearer than the background by less is the background
NOISE = (0.0005, 0.01)  # least and most noise over depth squared, 1 / m
LOOK_S = 0.1  # between two looks at the background
FARTHER_LOOKS = 3  # in a row that see farther before that is the background
STAYS_S = 30.0  # what stays for so long is background
FLOOD, FLOOD_S = 0.6, 2.0  # so much of the image at once for so long: the camera was moved
FLOOR_REACH_M = 7.0
MOUNTED_M = 0.2  # extrinsics that put the floor this near to z = 0 say where the camera hangs

# from camera axes (x right, y down, z forward) to those of a level sensor (x forward, y left, z up)
TO_LEVEL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def metres(depth: NDArray[Any]) -> F32:
    """Depth in metres, 0 = none; of millimetres where they are whole numbers."""
    if depth.dtype.kind == "u":
        return depth.astype(np.float32) * np.float32(1e-3)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)).astype(np.float32)


class DepthScene:
    """Background and floor of one camera.

    Args:
        camera: with intrinsics; extrinsics that agree with the floor that is seen keep their world, else the
            world is level, with the camera's foot as its origin and its forward direction as x.
    """

    def __init__(self, camera: Calibration) -> None:
        self.camera = camera
        self.ground: Ground | None = None
        self.noise = NOISE[0]
        """Standard deviation of depth over its square, 1 / m."""
        shape = (camera.height, camera.width)
        self._far = np.zeros(shape, np.float32)
        self._front = np.zeros(shape, np.float32)  # what is nearer than this is in front
        self._looks_farther, self._stays = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
        self._start: list[tuple[int, F32]] = []
        self._tried, self._next_try, self._looked_ns, self._flooded_ns = 0, 0, 0, 0
        self.known = False
        """Whether the background and the floor are known."""
        self.world = np.eye(4)
        """``[4, 4]`` from camera points to the world: level, with the floor at z = 0."""

    @property
    def placed(self) -> Calibration:
        """The camera with extrinsics from that world."""
        extrinsics = np.asarray(np.linalg.inv(self.world), dtype=np.float64)
        return dataclasses.replace(self.camera, extrinsics=extrinsics)

    def learn(self, depth: F32, t_ns: int) -> None:
        """Take in an image while the background is not known.

        Raises:
            InputError: no floor is seen for long.
        """
        self._tried += 1
        self._start.append((t_ns, depth))
        del self._start[:-START_FRAMES]
        enough = len(self._start) >= 5 and t_ns - self._start[0][0] >= 0.8 * START_S * NS_PER_S
        if not enough or self._tried < self._next_try:
            return
        self._next_try = self._tried + TRY_EVERY
        stack = np.stack([image for _, image in self._start])
        stack.sort(axis=0)  # none at all comes first
        count = (stack > 0).sum(axis=0)
        seen = count > 0.4 * len(stack)
        middle = _of(stack, count // 2)
        far = np.where(seen, _of(stack, (0.3 * count).astype(int)), np.float32(0))  # than 7 in 10
        steady = count > 0.9 * len(stack)
        self.noise = _noise(stack, middle, steady)
        try:
            self.ground = find_ground(self._cloud(middle, steady))
        except InputError:
            if self._tried >= FLOOR_FRAMES:
                raise
            return
        self.world = self._world(self.ground)
        # of a wall that is seen with noise, the middle; of what was hidden for a while, the farther
        tolerance = self._tolerance(middle)
        self._far = np.where(far - middle > 2 * tolerance, far, middle).astype(np.float32) * seen
        self._refresh()
        self._start.clear()
        self.known = True

    def in_front(
        self, depth: F32, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.bool_]:
        """Which pixels of a part of an image (given as that part) are in front of the background."""
        return np.asarray((depth > 0) & (depth < self._front[rows, columns]))

    def look(self, depth: F32, t_ns: int) -> None:
        """Keep the background up with an image; now and then is enough."""
        passed_s = (t_ns - self._looked_ns) / NS_PER_S
        if 0 <= passed_s < LOOK_S:
            return
        self._looked_ns = t_ns
        valid, away = depth > 0, depth - self._far
        tolerance = self._far - np.where(np.isinf(self._front), self._far, self._front)
        farther = valid & (self._far > 0) & (away > tolerance)
        same = valid & (np.abs(away) <= tolerance)
        self._far[same] += np.float32(0.05) * away[same]
        self._looks_farther[farther] += 1
        self._looks_farther[valid & ~farther] = 0
        found = farther & (self._looks_farther >= FARTHER_LOOKS)
        nearer = valid & ~same & ~farther
        self._stays[nearer] += np.float32(min(max(passed_s, 0.0), 1.0))
        self._stays[same | farther] = 0
        found |= nearer & (self._stays > STAYS_S)
        self._far[found] = depth[found]
        self._looks_farther[found], self._stays[found] = 0, 0
        self._refresh()
        self._watch_for_bumps(float(nearer.mean()), t_ns)

    def _watch_for_bumps(self, share: float, t_ns: int) -> None:
        if share < FLOOD:
            self._flooded_ns = 0
        elif not self._flooded_ns:
            self._flooded_ns = t_ns
        elif t_ns - self._flooded_ns > FLOOD_S * NS_PER_S:
            self.known, self._flooded_ns, self._tried, self._next_try = False, 0, 0, 0

    def _tolerance(self, depth: F32) -> F32:
        margin = np.maximum(np.float32(MARGIN_M), np.float32(SPREADS * self.noise) * depth**2)
        return np.asarray(margin, np.float32)

    def _refresh(self) -> None:
        front = self._far - self._tolerance(self._far)
        self._front = np.where(self._far > 0, front, np.float32(np.inf))

    # ---- geometry ---------------------------------------------------------------------------------

    def points(self, depth: F32, rows: NDArray[Any], columns: NDArray[Any]) -> F32:
        """Pixels with depths ``[n]`` as points ``[n, 4]`` of the world: x, y, height above the floor, 0."""
        rays = self.rays(rows, columns)
        out = np.zeros((len(depth), 4), np.float32)
        world = self.world.astype(np.float32)
        out[:, :3] = (rays * depth[:, None]) @ world[:3, :3].T + world[:3, 3]
        return out

    def rays(self, rows: NDArray[Any], columns: NDArray[Any]) -> F32:
        """Camera points ``[n, 3]`` at depth 1 of pixels; their places may lie between whole numbers."""
        camera = self.camera
        x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)

    def _cloud(self, depth: F32, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        step = max(1, round(self.camera.width / 160))
        near = seen & (depth < FLOOR_REACH_M)
        rows, columns = np.nonzero(near[::step, ::step])
        rows, columns = rows * step, columns * step
        xyz = self.rays(rows, columns) * depth[rows, columns, None]
        return np.asarray(xyz.astype(np.float64) @ TO_LEVEL[:3, :3].T)

    def _world(self, ground: Ground) -> NDArray[np.float64]:
        level = ground.matrix @ TO_LEVEL
        if self.camera.extrinsics is None:
            return np.asarray(level)
        given = np.linalg.inv(self.camera.extrinsics)
        floor = np.linalg.inv(level) @ np.array([[0.0, 2, 2], [0, 1, -1], [0, 0, 0], [1, 1, 1]])
        if np.abs(given @ floor)[2].max() > MOUNTED_M:
            return np.asarray(level)
        given = given.copy()
        given[2] = level[2]
        return np.asarray(given)


def _of(ordered: F32, back: NDArray[np.integer[Any]]) -> F32:
    """Of sorted images ``[n, H, W]`` the ``back``-th from the largest, pixel by pixel."""
    index = len(ordered) - 1 - np.minimum(back, len(ordered) - 1)
    return np.asarray(np.take_along_axis(ordered, index[None], axis=0)[0], np.float32)


def _noise(ordered: F32, middle: F32, steady: NDArray[np.bool_]) -> float:
    """Spread of depth over time, over its square, in 1 / m: of half of the pixels it is smaller."""
    some = steady[::4, ::4]
    if not some.any():
        return NOISE[0]
    held, centre = ordered[:, ::4, ::4][:, some], middle[::4, ::4][some]
    away = np.where(held > 0, np.abs(held - centre), np.float32(0))
    spread = 1.48 * np.median(away, axis=0)
    return float(np.clip(np.median(spread / centre**2), *NOISE))

"""A spinning LiDAR: columns of beams swept through the azimuths, ten times a second.

A revolution sweeps from behind the sensor clockwise, as seen from above, through its front and back to
behind; a point's time is when its azimuth was swept, and the walkers move meanwhile. Points are in the
sensor's own frame: origin at the sensor, z up, x towards its front.

Ranges and accuracies are those of the makers' data sheets (Velodyne VLP-16; Ouster OS1 with 32, 64 and 128
channels). A return's power falls with the square of range and with the cosine of incidence (Lambert), and is
found with a chance of 90 % at normal incidence on a target of 10 % at ``range_10_percent_m``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.rays import F32, RayMesh
from gait3dlib.simulation.scene import F64, Actor, Scene
from gait3dlib.types import NS_PER_S, Stream

SLICE_S = 0.002  # for which a walker's limbs stand still in a revolution; the whole body moves on
FLOOR_ERROR_M = 0.01  # of the ground's height, for a whole walk
LOST = 0.004  # share of returns that are lost anywhere
EDGE_COSINE = 0.02  # surfaces seen at a more grazing angle give no return


@dataclass(frozen=True)
class Lidar:
    """What a sensor can do; :func:`lidar` knows the usual ones.

    Attributes:
        elevations_deg: of the beams, rising.
        columns: azimuth steps of a revolution.
        hz: revolutions a second.
        noise_m: standard deviation of range.
        min_m: nearest range.
        max_m: farthest range.
        range_10_percent_m: where 9 of 10 returns of a target of 10 % reflectivity are found.
    """

    elevations_deg: tuple[float, ...]
    columns: int = 1024
    hz: float = 10.0
    noise_m: float = 0.02
    min_m: float = 0.5
    max_m: float = 120.0
    range_10_percent_m: float = 45.0

    @property
    def beams(self) -> int:
        """How many."""
        return len(self.elevations_deg)


def lidar(beams: int, *, hz: float = 10.0) -> Lidar:
    """The usual sensor with that many beams: 16 = VLP-16, 32, 64, 128 = Ouster OS1.

    Raises:
        InputError: another number of beams.
    """
    if beams not in (16, 32, 64, 128):
        raise InputError(f"there is no LiDAR with {beams} beams here; use 16, 32, 64 or 128")
    if beams == 16:
        up = np.linspace(-15.0, 15.0, 16)
        return Lidar(tuple(up.tolist()), columns=1800, hz=hz, max_m=100.0, range_10_percent_m=40.0)
    return Lidar(tuple(np.linspace(-22.5, 22.5, beams).tolist()), columns=2048, hz=hz)


@dataclass(frozen=True)
class Mount:
    """Where a LiDAR stands, and where its front points (degrees from +x); level."""

    position: tuple[float, float, float]
    yaw_deg: float = 0.0

    @classmethod
    def facing(cls, angle_deg: float, distance_m: float, height_m: float) -> Mount:
        """On a circle about the origin, looking at its middle."""
        angle = np.deg2rad(angle_deg)
        place = (float(distance_m * np.cos(angle)), float(distance_m * np.sin(angle)), height_m)
        return cls(place, angle_deg + 180.0)


@dataclass(frozen=True, eq=False)
class Sweep:
    """One revolution.

    Attributes:
        points: float32 ``[N, 4]`` x, y, z, intensity 0 to 1; by time, then beam.
        t_s: ``[N]`` when each azimuth was swept.
        ring: uint8 ``[N]`` which beam, 0 = lowest.
        start_s: when the revolution began.
        owner: int32 ``[N]`` truth, not for models: number of the actor, or ``GROUND`` or ``THINGS``.
    """

    points: F32 = field(repr=False)
    t_s: F64 = field(repr=False)
    ring: NDArray[np.uint8] = field(repr=False)
    start_s: float
    owner: NDArray[np.int32] = field(repr=False)


class _Returns:
    """Nearest hits so far of all rays ``[columns, beams]`` of a revolution."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.range = np.full(shape, np.inf, np.float32)
        self.cosine = np.zeros(shape, np.float32)
        self.shine = np.zeros(shape, np.float32)
        self.owner = np.zeros(shape, np.int32)

    def nearer(
        self, block: tuple[slice, slice], distance: F32, cosine: F32, shine: F32, owner: NDArray[np.int32]
    ) -> None:
        shape = self.range[block].shape
        parts = [part.reshape(shape) for part in (distance, cosine, shine, owner)]
        closer = parts[0] < self.range[block]
        for held, new in zip((self.range, self.cosine, self.shine, self.owner), parts, strict=True):
            held[block][closer] = new[closer]


class Spinning:
    """A LiDAR in a scene.

    Args:
        scene: what stands and walks there.
        spec: the sensor.
        mount: where it stands.
        everywhere: sweep the whole circle; False = only where actors are, for a person's points.
    """

    def __init__(self, scene: Scene, spec: Lidar, mount: Mount, *, everywhere: bool = True) -> None:
        self.scene, self.spec, self.mount, self.everywhere = scene, spec, mount, everywhere
        self.origin = np.asarray(mount.position, dtype=np.float64)
        turned = 180.0 - (np.arange(spec.columns) + 0.5) * 360.0 / spec.columns  # 180 to -180: clockwise
        self.azimuth = np.deg2rad(turned)
        up = np.deg2rad(np.asarray(spec.elevations_deg))
        flat = np.stack([np.cos(self.azimuth), np.sin(self.azimuth)], axis=-1)
        self.rays = np.empty((spec.columns, spec.beams, 3), np.float32)  # sensor frame
        self.rays[..., :2] = flat[:, None] * np.cos(up)[:, None]
        self.rays[..., 2] = np.sin(up)
        yaw = np.deg2rad(mount.yaw_deg)
        self.turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        self._world = (self.rays @ self.turn.T.astype(np.float32)).reshape(self.rays.shape)

    def sweep(self, rng: np.random.Generator, start_s: float) -> Sweep:
        """One revolution that begins at a scene time."""
        returns = _Returns((self.spec.columns, self.spec.beams))
        seen = np.zeros(returns.range.shape, dtype=bool)
        for number, actor in enumerate(self.scene.actors):
            for block, at_s in self._slices(actor, start_s):
                self._cast(returns, block, number, actor, at_s, start_s)
                seen[block] = True
        if self.everywhere:
            seen[:] = True
        directions = self._world[seen]
        hits, shine = self.scene.still(self.origin, directions)
        nearer = hits.distance < returns.range[seen]
        for held, new in (
            (returns.range, hits.distance),
            (returns.cosine, hits.cosine),
            (returns.shine, shine),
            (returns.owner, hits.face),
        ):
            held[seen] = np.where(nearer, new, held[seen])
        return self._measured(rng, returns, start_s)

    def _slices(self, actor: Actor, start_s: float) -> list[tuple[tuple[slice, slice], float]]:
        """Blocks of columns and beams that can hit an actor, with the time at which they are swept."""
        period = 1.0 / self.spec.hz
        bounds = actor.bounds_between(start_s, start_s + period)
        corners = np.array([[bounds[i, 0], bounds[j, 1], bounds[k, 2]] for i, j, k in np.ndindex(2, 2, 2)])
        local = np.asarray((corners - self.origin) @ self.turn)
        flat = np.hypot(local[:, 0], local[:, 1])
        if flat.min() > self.spec.max_m or not actor.there(np.array([start_s, start_s + period])).any():
            return []
        columns = self._columns(local)
        low, high = self._beams(bounds, flat)
        if high <= low:
            return []
        step = max(1, int(SLICE_S * self.spec.hz * self.spec.columns))
        out = []
        for run in columns:
            for first in range(run.start, run.stop, step):
                last = min(first + step, run.stop)
                at_s = start_s + (first + last) / 2 / self.spec.columns * period
                if actor.there(np.array([at_s]))[0]:
                    out.append(((slice(first, last), slice(low, high)), at_s))
        return out

    def _columns(self, corners: F64) -> list[slice]:
        """Runs of columns in which a box of these corners lies; two where it lies across the seam."""
        count = self.spec.columns
        inside = (corners[:, 0].min() <= 0 <= corners[:, 0].max()) and (
            corners[:, 1].min() <= 0 <= corners[:, 1].max()
        )
        if inside:
            return [slice(0, count)]
        middle = corners[:, :2].mean(axis=0)
        towards = np.arctan2(middle[1], middle[0])
        off = (np.arctan2(corners[:, 1], corners[:, 0]) - towards + np.pi) % (2 * np.pi) - np.pi
        first = int(np.floor((np.pi - towards - off.max()) / (2 * np.pi) * count)) - 1
        last = int(np.ceil((np.pi - towards - off.min()) / (2 * np.pi) * count)) + 1
        runs = [(first + shift, last + shift) for shift in (-count, 0, count)]
        return [slice(max(0, a), min(count, b)) for a, b in runs if min(count, b) > max(0, a)]

    def _beams(self, bounds: F32, flat: F64) -> tuple[int, int]:
        """First and last + 1 beam that can hit the box."""
        gap = np.maximum(np.maximum(bounds[0] - self.origin, self.origin - bounds[1]), 0.0)[:2]
        near, far = max(float(np.hypot(*gap)), 1e-3), float(flat.max())
        heights = bounds[:, 2] - self.origin[2]
        angles = np.rad2deg(np.arctan2(heights[:, None], np.array([near, far])))
        up = np.asarray(self.spec.elevations_deg)
        return int(np.searchsorted(up, angles.min())), int(np.searchsorted(up, angles.max(), side="right"))

    def _cast(
        self,
        returns: _Returns,
        block: tuple[slice, slice],
        number: int,
        actor: Actor,
        at_s: float,
        start_s: float,
    ) -> None:
        posed = actor.at(np.array([at_s, at_s - SLICE_S, at_s + SLICE_S]))
        speed = (posed.joints[2, 0] - posed.joints[1, 0]) / (2 * SLICE_S)
        column = np.arange(block[0].start, block[0].stop)
        late = start_s + (column + 0.5) / self.spec.columns / self.spec.hz - at_s
        # the body moves on: seen from it, the sensor moves back
        origins = self.origin - late[:, None] * speed
        directions = self._world[block]
        beams = directions.shape[1]
        hits = RayMesh(posed.vertices[0], actor.faces).cast(
            np.repeat(origins, beams, axis=0), directions.reshape(-1, 3)
        )
        shine = actor.reflectivity[actor.labels[hits.face]]
        returns.nearer(block, hits.distance, hits.cosine, shine, np.full(hits.face.shape, number, np.int32))

    def _measured(self, rng: np.random.Generator, returns: _Returns, start_s: float) -> Sweep:
        spec = self.spec
        # drawn for all rays, so that one sector's noise does not depend on what stands in another
        luck = rng.random(returns.range.shape, dtype=np.float32)
        noise = rng.standard_normal(returns.range.shape, dtype=np.float32)
        glint = rng.standard_normal(returns.range.shape, dtype=np.float32)
        reach = (spec.range_10_percent_m / np.maximum(returns.range, np.float32(1e-3))) ** 2
        power = (returns.shine / np.float32(0.1)) * returns.cosine * reach
        found = luck < (1 - LOST) * (1 - np.exp(np.log(0.1) * power))
        found &= (returns.cosine > EDGE_COSINE) & (returns.range > spec.min_m) & (returns.range < spec.max_m)
        column, ring = np.nonzero(found)
        measured = returns.range[found] + np.float32(spec.noise_m) * noise[found]
        bright = (returns.shine * np.sqrt(returns.cosine))[found] * (1 + np.float32(0.08) * glint[found])
        points = np.column_stack([self.rays[found] * measured[:, None], bright.clip(0, 1)]).astype(np.float32)
        t_s = start_s + (column + 0.5) / spec.columns / spec.hz
        return Sweep(points, t_s, ring.astype(np.uint8), start_s, returns.owner[found])


def person_points(
    rng: np.random.Generator,
    sweeps: Sequence[Sweep],
    actor: int,
    *,
    height_m: float,
    leak_m: float = 0.05,
) -> Stream | None:
    """One person's points, as a detector of people in point clouds would cut them; None = never seen.

    They are in the level frame of :mod:`gait3dlib.perception.points`: x to the sensor's front and y from its
    foot, z the height above the ground, which the detector knows to some ``FLOOR_ERROR_M``.
    Some points of the ground and of things nearby come along, some of the person's own (mostly at the feet)
    are cut off. A frame's time is the median time of its points; sweeps without the person are left out.

    ``height_m`` is the sensor's above the ground; foreign points are taken in from ``leak_m`` around.
    """
    frames, times = [], []
    lift = np.array([0.0, 0.0, height_m + FLOOR_ERROR_M * rng.standard_normal(), 0.0], np.float32)
    for sweep in sweeps:
        own = sweep.owner == actor
        if own.sum() < 4:
            continue
        points = sweep.points
        low, high = points[own, :3].min(axis=0) - leak_m, points[own, :3].max(axis=0) + leak_m
        near = ((points[:, :3] > low) & (points[:, :3] < high)).all(axis=1) & ~own
        floor = points[own, 2].min() + rng.uniform(0.0, 0.04)
        kept = (own & (points[:, 2] > floor)) | (near & (rng.random(len(points)) < 0.5))
        if kept.sum() < 4:
            continue
        frames.append(points[kept] + lift)
        times.append(round(float(np.median(sweep.t_s[own])) * NS_PER_S))
    if not frames:
        return None
    t_ns = np.maximum.accumulate(np.asarray(times, np.int64) - np.arange(len(times))) + np.arange(len(times))
    offsets = np.cumsum([0, *(len(frame) for frame in frames)])
    return Stream(np.concatenate(frames), t_ns, "m", offsets=offsets)

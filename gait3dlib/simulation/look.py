"""What a pinhole camera sees of one actor in a scene: square crops of true depth, by ray casting."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.camera import camera_position, pixel_rays, project
from gait3dlib.simulation.rays import F32, RayMesh
from gait3dlib.simulation.scene import F64, GROUND, THINGS, Scene
from gait3dlib.types import Calibration

COARSE = 24  # rays across the box of a person, to find which part of it is seen
NEAREST_M = 0.3


@dataclass(frozen=True, eq=False)
class Look:
    """Crops of T frames; nothing in here is noisy yet, so nothing in here is for a model.

    Attributes:
        own: float32 ``[T, n, n]`` depth of the actor where nothing is in front of it, 0 elsewhere.
        full: float32 ``[T, n, n]`` depth of whatever is seen, infinity = nothing.
        carried: bool ``[T, n, n]`` where the actor's seen part is a carried thing.
        boxes: float32 ``[T, 4]`` of the crops.
    """

    own: F32 = field(repr=False)
    full: F32 = field(repr=False)
    carried: NDArray[np.bool_] = field(repr=False)
    boxes: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Extents:
    """Where an actor is in the image, frame by frame.

    Attributes:
        seen: ``[T, 4]`` left, top, right, bottom of the part that is seen, pixels.
        whole: ``[T, 4]`` the same of the whole actor, without what is carried.
        share: ``[T]`` how much of the actor is seen: neither hidden nor outside the image.
    """

    seen: F64
    whole: F64
    share: F64


class Viewer:
    """A camera that looks at one actor of a scene at chosen times.

    Args:
        scene: what is there.
        actor: number of the actor.
        camera: with extrinsics.
        t_s: ``[T]`` scene times.
    """

    def __init__(self, scene: Scene, actor: int, camera: Calibration, t_s: F64) -> None:
        self.scene, self.actor, self.camera, self.t_s = scene, scene.actors[actor], camera, t_s
        self.state = self.actor.at(t_s)
        self.origin = camera_position(camera)
        self.meshes = [RayMesh(vertices, self.actor.faces) for vertices in self.state.vertices]
        # detectors box people, not their umbrellas
        worn = np.unique(self.actor.faces[~self.actor.carried])
        whole = image_extents(camera, self.state.vertices[:, worn])
        self._others = self._near(actor, whole)
        self.extents = self._seen(whole)

    def _near(self, actor: int, whole: F64) -> list[list[RayMesh]]:
        """Other actors' meshes that overlap the actor in the image, frame by frame."""
        out: list[list[RayMesh]] = [[] for _ in self.t_s]
        for number, other in enumerate(self.scene.actors):
            if number == actor or not other.there(self.t_s).any():
                continue
            state = other.at(self.t_s)
            extents = image_extents(self.camera, state.vertices)
            margin = 0.3 * (whole[:, 3] - whole[:, 1])  # crops are larger than the actor
            apart = (extents[:, 0] > whole[:, 2] + margin) | (extents[:, 2] < whole[:, 0] - margin)
            for frame in np.flatnonzero(other.there(self.t_s) & ~apart & np.isfinite(extents[:, 0])):
                out[frame].append(RayMesh(state.vertices[frame], other.faces))
        return out

    def _seen(self, whole: F64) -> Extents:
        seen, share = whole.copy(), np.ones(len(whole))
        for frame in range(len(whole)):
            inside = _clipped(whole[frame], self.camera)
            if inside is None:
                seen[frame], share[frame] = 0.0, 0.0
                continue
            area = np.prod(whole[frame, 2:] - whole[frame, :2])
            cut = float(np.prod(inside[2:] - inside[:2]) / area)
            seen[frame], share[frame] = inside, cut
            if self._others[frame] or self.scene.things:
                seen[frame], visible = self._unhidden(frame, inside)
                share[frame] = cut * visible
        return Extents(seen, whole, share)

    def _unhidden(self, frame: int, inside: F64) -> tuple[F64, float]:
        """Extents of what nothing hides, and its share, from a coarse grid of rays."""
        columns = np.linspace(inside[0], inside[2], COARSE)
        rows = np.linspace(inside[1], inside[3], 2 * COARSE)
        own, other, _ = self.cast(frame, columns, rows)
        clear = own < other
        if not clear.any():
            return inside, 0.0
        at_rows, at_columns = np.flatnonzero(clear.any(axis=1)), np.flatnonzero(clear.any(axis=0))
        if clear.sum() == np.isfinite(own).sum():
            return inside, 1.0
        seen = np.array(
            [columns[at_columns[0]], rows[at_rows[0]], columns[at_columns[-1]], rows[at_rows[-1]]]
        )
        return seen, float(clear.sum() / np.isfinite(own).sum())

    def cast(self, frame: int, columns: F64, rows: F64) -> tuple[F32, F32, NDArray[np.bool_]]:
        """Depths ``[rows, columns]`` of the actor and of what else is there (infinity = nothing), and where
        the actor's is a carried thing; a ray each pair of pixel coordinates."""
        grid = np.meshgrid(columns, rows)
        rays = pixel_rays(self.camera, *grid).reshape(-1, 3)
        shape = grid[0].shape
        hits = self.meshes[frame].cast(self.origin, rays)
        other = self.scene.still(self.origin, rays)[0].distance
        for mesh in self._others[frame]:
            other = np.minimum(other, mesh.cast(self.origin, rays).distance)
        carried = (hits.face >= 0) & self.actor.carried[hits.face]
        return hits.distance.reshape(shape), other.reshape(shape), carried.reshape(shape)

    def crops(self, boxes: NDArray[np.float32], frames: NDArray[np.int64], size: int) -> Look:
        """Crops ``[len(frames), size, size]``; pixel i has its centre at ``x + (i + 0.5) w / size - 0.5``.

        Outside the image nothing is seen.
        """
        own = np.zeros((len(frames), size, size), np.float32)
        full = np.full(own.shape, np.inf, np.float32)
        carried = np.zeros(own.shape, dtype=bool)
        steps = (np.arange(size) + 0.5) / size
        for place, (frame, box) in enumerate(zip(frames, boxes.astype(np.float64), strict=True)):
            columns, rows = box[0] + steps * box[2] - 0.5, box[1] + steps * box[3] - 0.5
            x = np.flatnonzero((columns >= -0.5) & (columns <= self.camera.width - 0.5))
            y = np.flatnonzero((rows >= -0.5) & (rows <= self.camera.height - 0.5))
            if not len(x) or not len(y):
                continue
            at = np.ix_(np.array([place]), y, x)
            mine, other, thing = self.cast(int(frame), columns[x], rows[y])
            clear = mine < other
            own[at] = np.where(clear, mine, np.float32(0))
            full[at] = np.minimum(mine, other)
            carried[at] = clear & thing
        return Look(own, full, carried, boxes)


def image_extents(camera: Calibration, vertices: F32) -> F64:
    """Left, top, right, bottom ``[T, 4]``; infinite where the actor is behind the camera or too near."""
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = project(camera, vertices)
    out = np.concatenate([seen[..., :2].min(axis=1), seen[..., :2].max(axis=1)], axis=1)
    out[seen[..., 2].min(axis=1) < NEAREST_M] = np.inf
    return out


def _clipped(extents: F64, camera: Calibration) -> F64 | None:
    """The part of a rectangle inside the image."""
    if not np.isfinite(extents).all():
        return None
    edge = np.array([camera.width - 1.0, camera.height - 1.0])
    low, high = np.maximum(extents[:2], 0.0), np.minimum(extents[2:], edge)
    return np.concatenate([low, high]) if (low < high).all() else None


def picture(scene: Scene, camera: Calibration, t_s: float) -> tuple[F32, NDArray[np.int32]]:
    """The whole image at one instant: what a depth camera with these intrinsics would measure without error.

    Returns:
        Depth ``[height, width]`` in metres, infinity = nothing, and who or what is seen there: the number of
        an actor, ``GROUND`` or ``THINGS`` (also where nothing is seen).
    """
    grid = np.meshgrid(np.arange(float(camera.width)), np.arange(float(camera.height)))
    rays = pixel_rays(camera, *grid)
    origin = camera_position(camera)
    still = scene.still(origin, rays.reshape(-1, 3))[0]
    depth = still.distance.reshape(rays.shape[:2]).copy()
    owner = np.where(still.face == GROUND, GROUND, THINGS).astype(np.int32).reshape(depth.shape)
    at = np.array([t_s])
    for number, actor in enumerate(scene.actors):
        vertices = actor.at(at).vertices
        extents = image_extents(camera, vertices)[0]
        near = bool(np.isinf(extents).any())  # partly behind the camera: look everywhere
        inside = (
            np.array([0.0, 0.0, camera.width - 1.0, camera.height - 1.0])
            if near
            else _clipped(extents, camera)
        )
        if inside is None or not actor.there(at)[0]:
            continue
        left, top = np.floor(inside[:2]).astype(int)
        right, bottom = np.ceil(inside[2:]).astype(int) + 1
        block = (slice(top, bottom), slice(left, right))
        hits = RayMesh(vertices[0], actor.faces).cast(origin, rays[block].reshape(-1, 3))
        distance = hits.distance.reshape(depth[block].shape)
        nearer = distance < depth[block]
        depth[block][nearer], owner[block][nearer] = distance[nearer], number
    return depth, owner

"""Streams of one person from one view of a scene: pictures, crops, and the errors on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.simulation import noise
from gait3dlib.simulation.camera import camera_position, project
from gait3dlib.simulation.conditions import Condition
from gait3dlib.simulation.estimator import fitted
from gait3dlib.simulation.lidar import Spinning, person_points
from gait3dlib.simulation.look import Extents, Look, Viewer
from gait3dlib.simulation.rays import F32
from gait3dlib.simulation.rig import Rig
from gait3dlib.simulation.scene import F64, Scene, State
from gait3dlib.types import NS_PER_S, Stream

STREAMS = ("silhouette", "keypoints", "depth", "points", "joints")
LEAST_SEEN = 0.35  # of a person, or the detector finds nobody
BLIND_NIGHTS = 0.6  # share of walks at night in which the colour camera finds nobody at all
NIGHT_MISSED, NIGHT_GAIN = 0.5, 3.0
CARRIED_KEPT, CARRIED_PARTLY = 0.6, 0.25  # how often a segmenter keeps a carried thing


class Sight(Protocol):
    """What a camera sees of the person at its own times, such as a :class:`Viewer`."""

    state: State
    extents: Extents

    def crops(self, boxes: NDArray[np.float32], frames: NDArray[np.int64], size: int) -> Look:
        """Crops of some frames."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Crops of the frames in which a camera's detector found the person."""

    t_s: F64
    frames: NDArray[np.int64]
    look: Look
    pixels: F64  # the person's height in each frame


class Observation:
    """One view of one scene; the person looked at is actor 0. Each stream has its own random numbers."""

    def __init__(
        self,
        scene: Scene,
        condition: Condition,
        sensors: Rig,
        rng: np.random.Generator,
        seconds: float,
        size: int,
    ) -> None:
        self.scene, self.condition, self.rig, self.seconds, self.size = (
            scene, condition, sensors, seconds, size,
        )  # fmt: skip
        (self._box, self._silhouette, self._keypoint, self._depth, self._points, self._joint, clock) = (
            rng.spawn(7)
        )
        self.camera_s = sensors.camera_clock.times(clock, seconds)
        self.depth_s = sensors.depth_clock.times(clock, seconds)
        self.lidar_s = sensors.lidar_clock.times(clock, seconds)
        night = condition.night
        self._blind = bool(self._box.random() < BLIND_NIGHTS) and night
        self._missed = NIGHT_MISSED if night else 0.0
        self._gain = NIGHT_GAIN if night else 1.0
        self.height_m = scene.actors[0].walker.shape.height_m

    def streams(self, names: Sequence[str]) -> dict[str, Stream]:
        """The streams asked for; see :func:`observe_conditions`."""
        makers = {
            "silhouette": self._silhouettes,
            "keypoints": self._keypoints,
            "depth": self._depths,
            "points": self._lidar,
            "joints": self._joints,
        }
        made = {name: makers[name]() for name in STREAMS if name in names}
        out = {name: stream for name, stream in made.items() if stream is not None}
        return out or {names[0]: self._nothing(names[0])}

    @cached_property
    def _viewer(self) -> Sight:
        return self._sight(self.camera_s)

    def _sight(self, t_s: F64) -> Sight:
        return Viewer(self.scene, 0, self.rig.camera, t_s)

    def _seen_at(self, picture: Picture, points: F64) -> F32:
        """Depth ``[T, K]`` of what is seen at each point, 0 where nothing is."""
        return _surface(picture.look, points)

    @cached_property
    def _picture(self) -> Picture | None:
        """What the colour camera's detector found."""
        rng = self._box
        seen = self._viewer.extents
        luck = rng.random(len(self.camera_s))
        boxes = noise.jittered_boxes(rng, seen.seen)
        frames = np.flatnonzero((seen.share > LEAST_SEEN) & (luck >= self._missed))
        if self._blind or len(frames) < 2:
            return None
        return self._cut(self._viewer, self.camera_s, frames, boxes[frames], self._side(boxes[frames]))

    def _side(self, boxes: NDArray[np.float32]) -> int:
        """Pixels across a crop before it is scaled: no more than the image has."""
        return int(min(self.size, max(8, round(float(np.median(boxes[:, 2]))))))

    def _cut(
        self, viewer: Sight, t_s: F64, frames: NDArray[np.int64], boxes: NDArray[np.float32], side: int
    ) -> Picture:
        whole = viewer.extents.whole[frames]
        return Picture(t_s[frames], frames, viewer.crops(boxes, frames, side), whole[:, 3] - whole[:, 1])

    def _silhouettes(self) -> Stream | None:
        picture = self._picture
        if picture is None:
            return None
        rng = self._silhouette
        hit = (picture.look.own > 0) & ~_lost_things(rng, picture.look.carried)
        # half a pixel of a 96-pixel crop, or of the image where that is coarser
        edge = noise.EDGE_PX * max(1.0, 96.0 / hit.shape[-1]) * self._gain
        data = noise.noisy_silhouettes(rng, hit, edge_px=edge, defect=noise.DEFECT * self._gain**2)
        return self._stream(picture, _enlarged(data, self.size))

    def _keypoints(self) -> Stream | None:
        picture = self._picture
        if picture is None:
            return None
        points = project(self.rig.camera, self._viewer.state.landmarks[picture.frames])
        surface = self._seen_at(picture, points)
        data = fitted().keypoints(
            self._keypoint,
            points,
            surface,
            pixels=picture.pixels,
            height_m=self.height_m,
            fps=self.condition.fps,
            gain=self._gain,
        )
        outside = (data[..., :2] < 0) | (
            data[..., :2] > [self.rig.camera.width - 1, self.rig.camera.height - 1]
        )
        data[outside.any(axis=-1)] = 0.0
        found = data.any(axis=(1, 2))
        if not found.any():
            return None
        t_ns = _ns(picture.t_s[found])
        return Stream(data[found], t_ns, "px", layout="coco17", calibration=self.rig.camera)

    @cached_property
    def _depth_picture(self) -> Picture | None:
        viewer = self._sight(self.depth_s)
        rng = self._depth.spawn(1)[0]
        boxes = noise.jittered_boxes(rng, viewer.extents.seen)
        frames = np.flatnonzero(viewer.extents.share > LEAST_SEEN)
        if len(frames) < 2:
            return None
        colour = self._picture
        if colour is not None and not self.condition.night:
            # cut with the colour camera's boxes, at the depth camera's own times
            held = colour.look.boxes.astype(np.float64)
            between = [np.interp(self.depth_s, colour.t_s, held[:, k]) for k in range(4)]
            boxes = np.column_stack(between).astype(np.float32)
        native = self.rig.camera.fx / self.rig.depth.focal_px  # a depth pixel in pixels of the image
        side = int(min(self.size, max(8, round(float(np.median(boxes[frames, 2])) / native))))
        return self._cut(viewer, self.depth_s, frames, boxes[frames], side)

    def _depths(self) -> Stream | None:
        picture = self._depth_picture
        if picture is None:
            return None
        rng, look = self._depth, picture.look
        native = self.rig.camera.fx / self.rig.depth.focal_px
        pixel = float(np.median(look.boxes[:, 2])) / look.own.shape[-1] / native
        measured = self.rig.depth.measure(rng, look.full, pixel)
        mask = noise.noisy_silhouettes(rng, look.own > 0) > 0
        data = np.where(mask, measured, np.uint16(0))
        return self._stream(picture, _nearest(data, self.size), "mm")

    def _joints(self) -> Stream | None:
        picture = self._depth_picture
        if picture is None:
            return None
        camera = self.rig.camera
        state = self.scene.actors[0].at(picture.t_s)
        origin = camera_position(camera)
        depth = project(camera, state.joints[:, :1])[:, 0, 2]
        data = fitted().joints(
            self._joint,
            state.joints.astype(np.float64),
            origin=origin,
            depth_rms=depth**2 * self.rig.depth.rms_m(1.0),
            pixels=picture.pixels,
            height_m=self.height_m,
            fps=self.condition.fps,
        )
        forward = camera.extrinsics[2, :2] if camera.extrinsics is not None else np.array([1.0, 0.0])
        forward = forward / np.linalg.norm(forward)
        turn = np.array([[forward[0], forward[1], 0], [-forward[1], forward[0], 0], [0, 0, 1]])
        foot = np.array([origin[0], origin[1], 0.0])
        return Stream(((data - foot) @ turn.T).astype(np.float32), _ns(picture.t_s), "m", calibration=camera)

    def _lidar(self) -> Stream | None:
        sensor = Spinning(self.scene, self.rig.lidar, self.rig.mount, everywhere=False)
        sweeps = [sensor.sweep(self._points, start) for start in self.lidar_s]
        return person_points(self._points, sweeps, 0, height_m=self.rig.mount.position[2])

    def _stream(self, picture: Picture, data: NDArray[np.generic], units: str = "1") -> Stream:
        return Stream(data, _ns(picture.t_s), units, boxes=picture.look.boxes, calibration=self.rig.camera)

    def _nothing(self, name: str) -> Stream:
        """Frames in which nobody was found."""
        crop = (len(self.camera_s), self.size, self.size)
        boxes = np.zeros((len(self.camera_s), 4), np.float32)
        t_ns, camera = _ns(self.camera_s), self.rig.camera
        if name == "silhouette":
            return Stream(np.zeros(crop, np.uint8), t_ns, boxes=boxes, calibration=camera)
        if name == "keypoints":
            empty = np.zeros((len(t_ns), 17, 3), np.float32)
            return Stream(empty, t_ns, "px", layout="coco17", calibration=camera)
        if name == "depth":
            return Stream(np.zeros(crop, np.uint16), t_ns, "mm", boxes=boxes, calibration=camera)
        if name == "joints":
            return Stream(np.full((len(t_ns), 24, 3), np.nan, np.float32), t_ns, "m", calibration=camera)
        offsets = np.zeros(len(self.lidar_s) + 1, np.int64)
        return Stream(np.zeros((0, 4), np.float32), _ns(self.lidar_s), "m", offsets=offsets)


def _ns(t_s: F64) -> NDArray[np.int64]:
    return np.round(t_s * NS_PER_S).astype(np.int64)


def _lost_things(rng: np.random.Generator, carried: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a segmenter leaves carried things out: never, everywhere, or in patches that come and go."""
    luck = rng.random()
    coarse = noise.correlated(rng, (len(carried), 6, 6), 0.9)
    if luck < CARRIED_KEPT:
        return np.zeros(carried.shape, dtype=bool)
    if luck >= CARRIED_KEPT + CARRIED_PARTLY:
        return carried
    scale = carried.shape[-1] / 6
    field = ndimage.zoom(coarse, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    return np.asarray(carried & (field > 0))


def _enlarged(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Masks scaled up to the crop's size, as an image would be."""
    if data.shape[-1] == size:
        return data
    scale = size / data.shape[-1]
    soft = ndimage.zoom(
        (data > 0).astype(np.float32), (1, scale, scale), order=1, grid_mode=True, mode="nearest"
    )
    return np.where(soft > 0.5, np.uint8(255), np.uint8(0))


def _nearest(data: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    """Depth scaled up to the crop's size; never between two pixels."""
    at = ((np.arange(size) + 0.5) * data.shape[-1] / size).astype(int)
    return data[:, at][:, :, at]


def _surface(look: Look, points: F64) -> F32:
    """Depth ``[T, K]`` of what is seen at each point; 0 where nothing is, or outside the crop."""
    size = look.full.shape[-1]
    place = (points[..., :2] - look.boxes[:, None, :2] + 0.5) * (size / look.boxes[:, None, 2:])
    column, row = np.floor(place[..., 0]).astype(int), np.floor(place[..., 1]).astype(int)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    frame = np.arange(len(points))[:, None]
    found = look.full[frame, row.clip(0, size - 1), column.clip(0, size - 1)]
    return np.where(inside & np.isfinite(found), found, np.float32(0.0))

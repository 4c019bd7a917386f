"""A walk seen by cameras: from a walker to the streams that a sensor or an estimator would give.

The walker goes along +x over the ground z = 0 and passes the origin half way in time. A camera stands still
at the angle ``view_deg`` from the walking direction (0 = the walker comes towards it, 90 = it sees the left
side, 180 = from behind) and looks at a point 0.9 m above the origin. So the angle drifts around its
nominal value as the walker passes, as in a corridor; the default distance keeps that within some 15 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.recording import Truth
from gait3dlib.simulation import noise
from gait3dlib.simulation.camera import Scene, look_at, look_in_box, project
from gait3dlib.simulation.walker import Motion, Walker
from gait3dlib.types import NS_PER_S, Calibration, GaitSequence, Meta, Stream

WORLD_VERSION = 1
AIM_HEIGHT_M = 0.9
STREAMS = ("silhouette", "keypoints", "depth")


@dataclass(frozen=True)
class View:
    """Where a camera stands.

    ``distance_m`` is measured on the ground from the middle of the walk; None = twice the way of
    a fast walk (1.6 m/s), at least 5 m. ``turned_deg`` is how far it stands from its nominal angle
    ``view_deg``.
    """

    view_deg: float
    camera_height_m: float = 1.5
    distance_m: float | None = None
    turned_deg: float = 0.0


def observe(
    walker: Walker,
    *,
    seed: int,
    view_deg: float,
    speed: float = 1.0,
    camera_height_m: float = 1.5,
    distance_m: float | None = None,
    fps: float = 30.0,
    seconds: float = 2.0,
    streams: Sequence[str] = ("silhouette", "keypoints"),
    size: int = 96,
    session: str = "",
) -> tuple[GaitSequence, Truth]:
    """One walk seen by one camera; see :func:`observe_views`."""
    view = View(view_deg, camera_height_m, distance_m)
    return observe_views(
        walker,
        [view],
        seed=seed,
        speed=speed,
        fps=fps,
        seconds=seconds,
        streams=streams,
        size=size,
        session=session,
    )[0]


def observe_views(
    walker: Walker,
    views: Sequence[float | View],
    *,
    seed: int,
    speed: float = 1.0,
    fps: float = 30.0,
    seconds: float = 2.0,
    streams: Sequence[str] = ("silhouette", "keypoints"),
    size: int = 96,
    session: str = "",
) -> list[tuple[GaitSequence, Truth]]:
    """One walk seen by several cameras at once.

    Args:
        walker: who walks.
        views: degrees, or where each camera stands.
        seed: another seed is another walk of the same person, with other noise.
        speed: multiple of the person's comfortable speed.
        fps: frames a second.
        seconds: length of the walk.
        streams: of "silhouette", "keypoints" (coco17) and "depth".
        size: pixels of the square crop.
        session: name written to the meta data.

    Returns:
        One (sequence, truth) a view. Silhouette (uint8) and depth (float32, metres) are ``[T, size, size]``
        crops whose ``boxes`` lie in the full image; key points are in pixels of the full image.

    Raises:
        InputError: an unknown stream, or a walk that leaves the image.
        MissingDependency: the ``simulation`` extra is not installed.
    """
    check_asked(views, streams, size)
    walk = PosedWalk(walker, walker.walk(seed=seed, speed=speed, fps=fps, seconds=seconds))
    placed = [view if isinstance(view, View) else View(view) for view in views]
    truth = Truth(
        walker.labels,
        {
            "joints": walk.joints,
            "style": walk.motion.style.vector(),
            "style_of_the_day": walk.motion.style.vector(),
            "shape": walker.body().numbers,
            "phase": walk.motion.phase,
        },
    )
    out = []
    for number, view in enumerate(placed):
        camera = place_camera(view, seconds)
        if not walk.inside(camera):
            raise InputError(
                f"the walk leaves the image at {view.view_deg:g} degrees; "
                "ask for a larger distance or a shorter walk"
            )
        seen = walk.seen_by(camera, walker.rng(2, seed, number), streams, size)
        meta = Meta("simulated", session, view.view_deg, MappingProxyType({"speed": f"{speed:.3f}"}))
        out.append((GaitSequence(seen, walker.subject, meta), truth))
    return out


def check_asked(views: Sequence[float | View], streams: Sequence[str], size: int) -> None:
    """Refuse what no world can show.

    Raises:
        InputError: an unknown stream, no stream, no view, or a crop of an unreasonable size.
    """
    for name in streams:
        if name not in STREAMS:
            raise InputError(f"the simulation has no stream {name!r}{did_you_mean(name, STREAMS)}")
    if not streams or not views or not 8 <= size <= 1024:
        raise InputError("ask for at least one stream and one view, and a crop of 8 to 1024 pixels")


def place_camera(view: View, seconds: float) -> Calibration:
    """The camera of a view. It depends on nothing of the walker: its place must not tell who walks."""
    distance = default_distance_m(seconds) if view.distance_m is None else view.distance_m
    angle = np.deg2rad(view.view_deg + view.turned_deg)
    position = np.array([distance * np.cos(angle), distance * np.sin(angle), view.camera_height_m])
    return look_at(position, np.array([0.0, 0.0, AIM_HEIGHT_M]))


def default_distance_m(seconds: float) -> float:
    """Twice the way of a fast walk of that length, at least 5 m."""
    return max(5.0, 3.2 * seconds)


class PosedWalk:
    """A walk with its skin posed and ready for rays; any number of cameras may look at it."""

    def __init__(self, walker: Walker, motion: Motion) -> None:
        body = walker.body()
        self.motion, self.height_m = motion, walker.shape.height_m
        self.vertices, self.joints = body.pose(motion.rotations, motion.translation)
        self.landmarks = body.landmarks(self.vertices, self.joints)
        self.scenes = [Scene(vertices, body.faces) for vertices in self.vertices]

    def extents(self, camera: Calibration) -> NDArray[np.float64]:
        """Left, top, right and bottom ``[T, 4]`` of the person, in pixels.

        Raises:
            InputError: the walk comes nearer to the camera than 0.3 m, or passes behind it.
        """
        corners = project(camera, self.vertices)
        if corners[..., 2].min() < 0.3:
            raise InputError("the walk runs into the camera; ask for a larger distance or a shorter walk")
        return np.concatenate([corners[..., :2].min(axis=1), corners[..., :2].max(axis=1)], axis=1)

    def inside(self, camera: Calibration) -> bool:
        """Whether the image holds the whole person in all frames."""
        extents = self.extents(camera)
        left, top = extents[:, :2].min(axis=0)
        right, bottom = extents[:, 2:].max(axis=0)
        return bool(left >= 0 and top >= 0 and right < camera.width and bottom < camera.height)

    def seen_by(
        self, camera: Calibration, rng: np.random.Generator, names: Sequence[str], size: int
    ) -> dict[str, Stream]:
        """The streams that detectors would make of this camera's images; see :func:`observe_views`."""
        t_ns = np.round(self.motion.t_s * NS_PER_S).astype(np.int64)
        extents = self.extents(camera)
        boxes = noise.jittered_boxes(rng, extents)
        tight = np.concatenate([extents[:, :2], extents[:, 2:] - extents[:, :2]], axis=1)
        looks = zip(self.scenes, boxes.astype(np.float64), tight, strict=True)
        depth = np.stack([look_in_box(scene, camera, box, size, around) for scene, box, around in looks])
        # each stream has its own noise, so leaving one out changes nothing in the others
        silhouette_rng, keypoint_rng, depth_rng = rng.spawn(3)
        out = {}
        if "silhouette" in names or "depth" in names:
            silhouette = noise.noisy_silhouettes(silhouette_rng, depth > 0)
        if "silhouette" in names:
            out["silhouette"] = Stream(silhouette, t_ns, boxes=boxes, calibration=camera)
        if "keypoints" in names:
            points = project(camera, self.landmarks)
            surface = _sample(depth, boxes, points)
            keypoints = noise.noisy_keypoints(
                keypoint_rng, points, surface, pixels=tight[:, 3], height_m=self.height_m
            )
            _drop_outside(keypoints, camera)
            out["keypoints"] = Stream(keypoints, t_ns, "px", layout="coco17", calibration=camera)
        if "depth" in names:
            data = noise.noisy_depth(depth_rng, depth, silhouette)
            out["depth"] = Stream(data, t_ns, "m", boxes=boxes, calibration=camera)
        return out


def _drop_outside(keypoints: NDArray[np.float32], camera: Calibration) -> None:
    x, y = keypoints[..., 0], keypoints[..., 1]
    keypoints[(x < 0) | (y < 0) | (x > camera.width - 1) | (y > camera.height - 1)] = 0.0


def _sample(
    depth: NDArray[np.float32], boxes: NDArray[np.float32], points: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Depth ``[T, K]`` of the crop's pixel nearest to each point; 0 outside."""
    size = depth.shape[-1]
    place = (points[..., :2] - boxes[:, None, :2] + 0.5) * (size / boxes[:, None, 2:])
    column, row = np.floor(place[..., 0]).astype(int), np.floor(place[..., 1]).astype(int)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    frame = np.arange(len(depth))[:, None]
    found = depth[frame, row.clip(0, size - 1), column.clip(0, size - 1)]
    return np.where(inside, found, np.float32(0.0))

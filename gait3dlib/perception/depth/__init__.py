"""People in depth images: found by shape against what stands still, followed on the floor, cut into walks.

No weights are needed. The camera must stand still and see some floor; it may be tilted. Of each person come
the silhouette, the depth and a cloud of points in metres above the floor; where colour comes along and the
extra ``pose`` is installed, also keypoints (in pixels of the depth image) and joints in three dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, MissingDependency
from gait3dlib.perception.depth.following import DepthFollower
from gait3dlib.perception.depth.joints import Looker, Posed
from gait3dlib.perception.depth.people import DepthPerson, people_in
from gait3dlib.perception.depth.scene import DepthScene, metres
from gait3dlib.perception.observing import Observer
from gait3dlib.perception.points.following import SteadyClock
from gait3dlib.perception.pose import PoseEstimator
from gait3dlib.types import Calibration, Frame, GaitSequence

__all__ = ["DepthFollower", "DepthPerson", "DepthScene", "DepthWalks", "people_in", "walks_in_depth"]

log = logging.getLogger(__name__)

BLIND_FRAMES = 60  # without a single depth, after which that is said


def walks_in_depth(
    frames: Iterable[Frame],
    *,
    calibration: Mapping[str, Calibration] | None = None,
    pose: bool | Looker = True,
    min_seconds: float = 0.9,
    source: str = "",
    progress: Callable[[int], None] | None = None,
    observer: Observer | None = None,
) -> Iterator[GaitSequence]:
    """The walks in the depth images of one camera, each as soon as it has ended.

    Frames hold ``depth`` uint16 millimetres or float32 metres ``[H, W]``, 0 = none, and may hold ``color``.
    ``meta.covariates["track"]`` numbers the person within the run, ``["height_m"]`` is the height measured.

    Args:
        frames: in order of time; those without depth are passed over.
        calibration: of stream "depth", and of "color" where it is another camera beside it.
        pose: take keypoints from colour where there is any and the extra ``pose`` is installed; or what looks
            at people instead, see :class:`~gait3dlib.perception.pose.PoseEstimator`.
        min_seconds: shorter walks are dropped.
        source: kept as ``meta.source``.
        progress: called with the number of frames taken so far.
        observer: is told who is in view, and of whom no walk came.

    Raises:
        InputError: no intrinsics, a frame of another size, no depth at all, or no floor is seen.
    """
    with DepthWalks(
        calibration, pose=pose, min_seconds=min_seconds, source=source, observer=observer
    ) as depth_walks:
        for number, frame in enumerate(frames):
            if progress is not None:
                progress(number + 1)
            yield from depth_walks.take(frame)
        yield from depth_walks.finish()


class DepthWalks:
    """The same frame by frame; a context manager. See :func:`walks_in_depth` for the arguments.

    Raises:
        InputError: no intrinsics.
    """

    def __init__(
        self,
        calibration: Mapping[str, Calibration] | None,
        *,
        pose: bool | Looker = True,
        min_seconds: float = 0.9,
        source: str = "",
        observer: Observer | None = None,
    ) -> None:
        self._cameras = dict(calibration or {})
        if "depth" not in self._cameras or self._cameras["depth"].fx <= 0:
            raise InputError(
                "depth needs its camera's intrinsics; pass calibration={'depth': Calibration(...)}"
            )
        self._scene, self._clock, self._blind = DepthScene(self._cameras["depth"]), SteadyClock(), 0
        self._follower = DepthFollower(self._scene, min_seconds=min_seconds, source=source, observer=observer)
        self._pose, self._stack = pose, ExitStack()
        self._posed: Posed | None = None

    def take(self, frame: Frame) -> Iterator[GaitSequence]:
        """The walks that are known to have ended with a frame; one without depth is passed over.

        Raises:
            InputError: a frame of another size, no depth at all, or no floor is seen.
        """
        if "depth" not in frame.data:
            return
        depth = _checked(frame.data["depth"], self._cameras["depth"])
        self._blind = 0 if depth.any() else self._blind + 1
        if self._blind == BLIND_FRAMES and not self._scene.known:
            raise InputError(
                "the depth images hold no depth at all; uncover the camera, and keep half a metre away"
            )
        color = frame.data.get("color")
        if self._posed is None and color is not None and self._pose is not False:
            self._posed = _posed(self._pose, self._cameras, self._stack)
            self._pose = self._posed is not None
        yield from self._follower.look(depth, color, self._clock.at(frame), self._posed)

    def finish(self) -> Iterator[GaitSequence]:
        """The walks that end because the frames do."""
        yield from self._follower.finish(self._posed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _posed(pose: bool | Looker, cameras: dict[str, Calibration], stack: ExitStack) -> Posed | None:
    """What takes keypoints from colour; None where that cannot be."""
    try:
        looker = stack.enter_context(PoseEstimator()) if isinstance(pose, bool) else pose
    except MissingDependency as error:
        log.warning("walks get no keypoints: %s", error)
        return None
    return Posed(looker, cameras["depth"], cameras.get("color", cameras["depth"]))


def _checked(depth: NDArray[Any], camera: Calibration) -> NDArray[np.float32]:
    """Metres.

    Raises:
        InputError: not an image of that camera.
    """
    if depth.ndim != 2 or depth.dtype.name not in ("uint16", "float32"):
        raise InputError(f"'depth' must be uint16 or float32 [H, W], not {depth.dtype} {list(depth.shape)}")
    if depth.shape != (camera.height, camera.width):
        has, wanted = f"{depth.shape[1]}x{depth.shape[0]}", f"{camera.width}x{camera.height}"
        raise InputError(
            f"a depth image is {has}, but its camera {wanted}; calibrate at the size that is recorded"
        )
    return metres(depth)

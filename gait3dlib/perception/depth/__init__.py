"""People in depth images: found by shape against what stands still, followed on the floor, cut into walks.

No weights are needed. The camera must stand still and see some floor; it may be tilted. Of each person come
the silhouette, the depth and a cloud of points in metres above the floor; where colour comes along and the
extra ``pose`` is installed, also keypoints (in pixels of the depth image) and joints in three dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, MissingDependency
from gait3dlib.perception.depth.following import DepthFollower
from gait3dlib.perception.depth.joints import Looker, Posed
from gait3dlib.perception.depth.people import DepthPerson, people_in
from gait3dlib.perception.depth.scene import DepthScene, metres
from gait3dlib.perception.points.following import SteadyClock
from gait3dlib.perception.pose import PoseEstimator
from gait3dlib.types import Calibration, Frame, GaitSequence

__all__ = ["DepthFollower", "DepthPerson", "DepthScene", "people_in", "walks_in_depth"]

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

    Raises:
        InputError: no intrinsics, a frame of another size, no depth at all, or no floor is seen.
    """
    cameras = dict(calibration or {})
    if "depth" not in cameras or cameras["depth"].fx <= 0:
        raise InputError("depth needs its camera's intrinsics; pass calibration={'depth': Calibration(...)}")
    scene, clock, blind = DepthScene(cameras["depth"]), SteadyClock(), 0
    follower = DepthFollower(scene, min_seconds=min_seconds, source=source)
    with ExitStack() as stack:
        posed: Posed | None = None
        for number, frame in enumerate(frames):
            if progress is not None:
                progress(number + 1)
            if "depth" not in frame.data:
                continue
            depth = _checked(frame.data["depth"], cameras["depth"])
            blind = 0 if depth.any() else blind + 1
            if blind == BLIND_FRAMES and not scene.known:
                raise InputError(
                    "the depth images hold no depth at all; uncover the camera, and keep half a metre away"
                )
            if posed is None and "color" in frame.data and pose is not False:
                posed = _posed(pose, cameras, stack)
                pose = posed is not None
            yield from follower.look(depth, frame.data.get("color"), clock.at(frame), posed)
        yield from follower.finish(posed)


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

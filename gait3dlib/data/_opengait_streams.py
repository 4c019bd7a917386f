"""What a file of an OpenGait data folder holds, told by the shape and the values of its arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.types import NS_PER_S, Stream

# where OpenPose's 18 keypoints keep those of COCO's 17
COCO_OF_OPENPOSE = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
SMPL_VALUES = 85
_LABELS = 31  # body-part labels are small numbers; silhouettes reach 255, or 1
_CLOUD = 256  # from so many rows on an array of triples is a cloud, not keypoints


class NotKept(Exception):
    """Something that a recording has no stream for; the text says what."""


def stream_of(value: Any, rates: Mapping[str, float], fps: float) -> tuple[str, Stream]:
    """The name of a stream and the stream, with times counted from 0.

    Args:
        value: what the file holds: an array, or a list of arrays.
        rates: frames a second of some streams, by name.
        fps: of the others.

    Raises:
        NotKept: the file is sound, but holds nothing that a recording keeps.
        InputError: it holds nothing that is known, or no frame.
    """
    if isinstance(value, list):
        value = _of_list(value)
    if isinstance(value, tuple):  # points and offsets
        points, offsets = value
        return "points", Stream(points, frame_times(len(offsets) - 1, rates.get("points", fps)), "m", offsets)
    if not isinstance(value, np.ndarray):
        raise InputError(f"holds {_kind(value)}, not an array or a list of arrays")
    if not value.size:
        raise InputError(f"holds no frame, but an array {list(value.shape)}")
    name, data, units, layout = _of_array(value)
    if name == "points":
        offsets = np.arange(len(data) + 1, dtype=np.int64) * data.shape[1]
        rows = data.reshape(-1, data.shape[2])
        return stream_of((_cloud(rows), offsets), rates, fps)
    return name, Stream(data, frame_times(len(data), rates.get(name, fps)), units, layout=layout)


def _of_array(array: NDArray[Any]) -> tuple[str, NDArray[Any], str, str | None]:
    """Name, data, units and layout of a stream that is one array."""
    shape, real = array.shape, array.dtype.kind == "f"
    if real and array.ndim == 3 and shape[1] in (17, 18) and shape[2] == 3:
        return "keypoints", _keypoints(array), "px", "coco17"
    if real and array.ndim == 3 and shape[1] >= _CLOUD and shape[2] in (3, 4):
        return "points", array, "m", None
    if real and shape[1:] == (SMPL_VALUES,):
        return "smpl", _finite(array.astype(np.float32)), "m, rad", None
    if array.ndim == 4 and shape[1] == 2:
        raise NotKept("skeleton maps (they are drawn from keypoints)")
    if array.ndim == 4 and 3 in (shape[1], shape[3]):
        raise NotKept("coloured pictures (depth pictures are drawn from points)")
    if array.ndim == 3 and array.dtype.kind in "bu" and array.itemsize == 1:
        return _of_masks(array)
    if real and array.ndim == 1:
        raise NotKept("a number a frame")
    raise InputError(f"holds {array.dtype} {list(shape)}, which is no stream that OpenGait keeps")


def _of_list(values: list[Any]) -> NDArray[Any] | tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames in a list: clouds of any size, or arrays of one shape, which are stacked."""
    if not values:
        raise InputError("holds no frame, but an empty list")
    wrong = next((v for v in values if not isinstance(v, np.ndarray) or v.dtype.kind not in "biuf"), None)
    if wrong is not None:
        raise InputError(f"holds a list with {_kind(wrong)} in it, not a list of arrays")
    if all(v.ndim == 2 and v.shape[1] in (3, 4) and v.dtype.kind == "f" for v in values):
        if {v.shape[0] for v in values} in ({17}, {18}):
            return np.stack([v[:, :3] for v in values])
        clouds = [_cloud(v) for v in values]
        offsets = np.concatenate([[0], np.cumsum([len(cloud) for cloud in clouds])]).astype(np.int64)
        if not offsets[-1]:
            raise InputError("holds clouds without a single point")
        return np.concatenate(clouds), offsets
    if all(v.ndim == 3 for v in values):
        raise NotKept("coloured pictures (depth pictures are drawn from points)")
    if len({v.shape for v in values}) > 1:
        raise NotKept("images of different size")
    return np.stack(values)


def _cloud(points: NDArray[Any]) -> NDArray[np.float32]:
    """float32 ``[N, 4]``; intensity 0 where there is none."""
    cloud = np.zeros((len(points), 4), np.float32)
    cloud[:, : points.shape[1]] = points
    return cloud[np.isfinite(cloud).all(axis=1)]


def on_the_ground(points: Stream) -> Stream:
    """The same points with heights from the ground; OpenGait's files keep them from the sensor.

    The ground is where the lowest point of a frame lies, in the median of the frames.
    """
    assert points.offsets is not None
    filled = points.offsets[:-1][np.diff(points.offsets) > 0]
    ground = np.median(np.minimum.reduceat(points.data[:, 2], filled))
    return dataclasses.replace(points, data=points.data - np.array([0, 0, ground, 0], np.float32))


def _keypoints(array: NDArray[Any]) -> NDArray[np.float32]:
    """float32 ``[T, 17, 3]`` in COCO's order; what is not finite was not seen."""
    points = array.astype(np.float32)
    points = points[:, COCO_OF_OPENPOSE] if points.shape[1] == 18 else points
    return np.where(np.isfinite(points).all(axis=2, keepdims=True), points, np.float32(0))


def _finite(array: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(array).all():
        raise InputError("holds NaN or infinity")
    return array


def _of_masks(array: NDArray[Any]) -> tuple[str, NDArray[np.uint8], str, str | None]:
    """Silhouettes, 255 = body, with the grey edges that resizing left; or labels of body parts, 0 = none."""
    frames = array.astype(np.uint8)
    most = int(frames.max())
    if most == 0:
        raise InputError("holds silhouettes that are black throughout")
    if most == 1:
        return "silhouette", frames * np.uint8(255), "1", None
    return "parsing" if most <= _LABELS else "silhouette", frames, "1", None


def frame_times(frames: int, fps: float) -> NDArray[np.int64]:
    """Nanoseconds from 0 of frames that come evenly."""
    return np.asarray(np.rint(np.arange(frames) * (NS_PER_S / fps)), np.int64)


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"

"""Where the joints and the skin of a simulated walker lie, in the space of its normalised silhouettes.

The space: the unit is the height of a normalised silhouette's picture (64 rows). The first axis goes to the
right and is 0 in the picture's middle column, the second goes down and is 0 in its middle row, the third
leads away from the camera along the ground and is 0 at the pelvis. The axes of the body are those of the
level line of sight, and its scale is that of the picture at the pelvis; so all distances have one scale.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.modalities._base import seconds
from gait3dlib.modalities._mesh_body import JOINTS, VERTICES, Skin
from gait3dlib.recording import Truth
from gait3dlib.types import NS_PER_S, Calibration, GaitSequence, Stream

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
TOLD = 3 * (JOINTS + VERTICES) + 1
"""Numbers told of a frame: places of joints and vertices, and how many metres the unit is."""
_LARGEST = 4.0  # units; what lies farther is not of this silhouette


def told(seq: GaitSequence, t_s: F32, truth: Truth) -> F32 | None:
    """What is true of the frames of a walk's silhouettes at ``t_s``: float32 ``[T, TOLD]``, NaN = unknown.

    None where the walk does not say how its silhouettes were cut from which camera's images, or where its
    truth holds no joints at known times. Without a known shape only the joints are told.
    """
    stream = seq.streams.get("silhouette")
    if stream is None or stream.boxes is None or stream.calibration is None:
        return None
    if stream.calibration.extrinsics is None or not stream.calibration.fx > 0:
        return None
    rows = np.searchsorted(seconds(seq, stream), t_s).clip(0, len(stream) - 1)
    joints = _joints_at(stream, truth)
    if joints is None:
        return None
    joints = joints[rows]
    known = np.isfinite(joints).all(axis=(1, 2))
    points = np.full((len(rows), JOINTS + VERTICES, 3), np.nan)
    points[:, :JOINTS] = joints
    skin = _skin_of(truth)
    if skin is not None and known.any():
        points[known, JOINTS:] = skin.posed(joints[known])
    placed, scale = _in_picture(points, stream, stream.calibration, rows)
    placed[~(np.abs(placed) < _LARGEST)] = np.nan
    out = np.concatenate([placed.reshape(len(rows), -1), scale[:, None]], axis=1)
    return out.astype(np.float32)


def _joints_at(stream: Stream, truth: Truth) -> F64 | None:
    """True joints ``[T, 24, 3]`` at the times of a stream; NaN outside what is told."""
    joints = truth.arrays.get("joints")
    if joints is None or np.shape(joints)[1:] != (JOINTS, 3):
        return None
    held = np.asarray(joints, np.float64)
    times = truth.arrays.get("joints_t_s")
    if times is None:
        return held if len(held) == len(stream) else None
    if len(times) != len(held) or len(times) < 2 or not (np.diff(times) > 0).all():
        return None
    at = stream.t_ns / NS_PER_S
    flat = held.reshape(len(held), -1)
    columns = [np.interp(at, times, column, left=np.nan, right=np.nan) for column in flat.T]
    return np.stack(columns, axis=1).reshape(-1, JOINTS, 3)


def _skin_of(truth: Truth) -> Skin | None:
    numbers = truth.arrays.get("shape")
    try:
        return None if numbers is None else _skin(tuple(float(n) for n in np.asarray(numbers).reshape(-1)))
    except InputError:
        return None


@lru_cache(maxsize=4)  # the walks of one person follow each other
def _skin(numbers: tuple[float, ...]) -> Skin:
    return Skin(np.array(numbers))


def _in_picture(points: F64, stream: Stream, camera: Calibration, rows: NDArray[np.int64]) -> tuple[F64, F64]:
    """Points ``[T, n, 3]`` of the world in the space of the picture, and metres a unit ``[T]``."""
    matrix = np.asarray(camera.extrinsics, np.float64)
    pelvis = points[:, 0]
    seen = pelvis @ matrix[:3, :3].T + matrix[:3, 3]
    depth = np.where(seen[:, 2] > 0.1, seen[:, 2], np.nan)
    column = camera.fx * seen[:, 0] / depth + camera.cx
    row = camera.fy * seen[:, 1] / depth + camera.cy
    assert stream.boxes is not None
    boxes = stream.boxes[rows].astype(np.float64)
    size = stream.data.shape[1]
    pixel = size / np.where(boxes[:, 3] > 0, boxes[:, 3], np.nan)  # of the crop, for one of the image
    top, height, middle = _extents(stream.data[rows])
    units = camera.fy / depth * pixel / height  # for a metre
    across = ((column - boxes[:, 0] + 0.5) * pixel - middle) / height
    down = ((row - boxes[:, 1] + 0.5) * pixel - top) / height - 0.5
    away = pelvis[:, :2] + (matrix[:3, :3].T @ matrix[:3, 3])[:2]  # from below the camera
    away = away / np.linalg.norm(away, axis=1, keepdims=True).clip(1e-9)
    body = points - pelvis[:, None]
    right = body[..., 0] * away[:, None, 1] - body[..., 1] * away[:, None, 0]
    forth = body[..., 0] * away[:, None, 0] + body[..., 1] * away[:, None, 1]
    axes = np.stack([right, -body[..., 2], forth], axis=-1) * units[:, None, None]
    axes[..., 0] += across[:, None]
    axes[..., 1] += down[:, None]
    return axes, 1 / units


def _extents(silhouettes: NDArray[np.uint8]) -> tuple[F64, F64, F64]:
    """First row, height in rows and middle column of silhouettes, as normalising finds them."""
    shown = np.asarray(silhouettes.any(axis=2))
    size = shown.shape[1]
    top = shown.argmax(axis=1).astype(np.float64)
    height = np.where(silhouettes.any(axis=(1, 2)), size - shown[:, ::-1].argmax(axis=1) - top, np.nan)
    passed = silhouettes.sum(axis=1, dtype=np.int64).cumsum(axis=1)
    middle = (2 * passed > passed[:, -1:]).argmax(axis=1) + 0.5
    return top, height, middle

"""Key points of a walk as plain numbers: places about the hips, scores, and where the hips go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.modalities._skeleton_maps import HIPS, MIN_SCORE

F32 = NDArray[np.float32]

ROWS = 18  # the 17 points, then the way of the hips
VALUES = 3 * ROWS
PLACE_GAIN = 2.0  # brings places, in lengths of trunk and legs, to the order of one
USUAL_SCORE = 0.8
FARTHEST = 5.0  # what a broken detection says stops there
_SHOULDERS, _ANKLES = (5, 6), (15, 16)


def key_point_frames(points: F32) -> tuple[F32, NDArray[np.int64]]:
    """A walk's key points without its place and its size in the image.

    The unit is the length of trunk and legs, the median over the walk: so that a stride towards the camera,
    in which the person grows, stays visible. A point that was not found lies at the hips with score 0.

    Args:
        points: ``[T, 17, 3]`` x, y in pixels and score, COCO order; score 0 = not found.

    Returns:
        float32 ``[T', 18, 3]``: places about the middle of the hips and scores; in the last row how far the
        hips lie from their mean place, and 0. And int64 ``[T']``: the frames kept, in which hips were found.
    """
    good = np.isfinite(points).all(axis=(1, 2)) & (points[:, HIPS, 2] >= MIN_SCORE).all(axis=1)
    kept = np.flatnonzero(good)
    found = points[kept].astype(np.float64)
    if not len(kept):
        return np.zeros((0, ROWS, 3), np.float32), kept
    places, scores = found[..., :2], found[..., 2]
    hips = places[:, HIPS].mean(axis=1)
    legs = np.linalg.norm(places[:, _ANKLES].mean(axis=1) - hips, axis=1)
    trunk = np.linalg.norm(places[:, _SHOULDERS].mean(axis=1) - hips, axis=1)
    whole = (scores[:, [*_SHOULDERS, *_ANKLES]] >= MIN_SCORE).all(axis=1)
    unit = float(np.median((legs + trunk)[whole])) if whole.any() else 0.0
    if unit <= 0:
        return np.zeros((0, ROWS, 3), np.float32), kept[:0]
    out = np.zeros((len(kept), ROWS, 3))
    out[:, :17, :2] = PLACE_GAIN * (places - hips[:, None]) / unit
    out[:, :17, 2] = scores - USUAL_SCORE
    out[:, :17][scores < MIN_SCORE, :2] = 0.0
    out[:, 17, :2] = (hips - hips.mean(axis=0)) / unit
    return out.clip(-FARTHEST, FARTHEST).astype(np.float32), kept

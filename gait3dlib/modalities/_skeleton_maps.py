"""Keypoints of one walk drawn as two grey images a frame, limbs and joints (SkeletonGait, AAAI 2024).

The steps and constants are those of OpenGait, so that its checkpoints see what they were trained on:
missing coordinates are filled in from similar frames, the body is scaled to 85 of 128 rows and centred on
the hips, Gaussians are drawn around joints and limbs, and each image is cropped to its rows and resized.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError

CANVAS = 128
BODY_ROWS = 85  # 128 // 1.5: what the joints span on the canvas
NEIGHBOURS = 4
MIN_SCORE = 1e-3
HIPS = (11, 12)
LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4),
    (0, 5), (5, 7), (7, 9), (0, 6), (6, 8), (8, 10),
    (5, 11), (11, 13), (13, 15), (6, 12), (12, 14), (14, 16), (11, 12),
)  # fmt: skip

# Grey steps as 8-bit images keep them: i * (1 / 255) * 255 in floating point falls below i for some i.
_GREY = np.trunc(np.arange(256) * (1 / 255) * 255)
_SHARE = _GREY / 255
_GRID = np.arange(CANVAS, dtype=np.float64)


def skeleton_maps(
    keypoints: NDArray[np.float32] | NDArray[np.float64], sigma: float = 8.0, size: int = 64
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a walk's keypoints as limb and joint maps.

    A joint that no frame shows (x, y and score 0 throughout) is left out. A frame without a body of some
    height, or without a visible limb and joint, is dropped.

    Args:
        keypoints: ``[T, 17, 3]`` x, y in pixels and score, COCO order; x or y of exactly 0 = missing.
        sigma: spread of the Gaussians in pixels of the 128 x 128 canvas.
        size: height and width of the result.

    Returns:
        uint8 ``[T', 2, size, size]``, channel 0 limbs and 1 joints, and int64 ``[T']``: the frames kept.

    Raises:
        InputError: wrong shape, NaN, or a sigma or size that is not positive.
        MissingDependency: OpenCV is not installed.
    """
    points = _check(keypoints, sigma, size)
    seen: NDArray[np.bool_] = np.asarray(points.any(axis=(0, 2)))
    if not seen[list(HIPS)].all():
        return np.zeros((0, 2, size, size), np.uint8), np.empty(0, np.int64)
    points[:, seen] = impute_missing(points[:, seen])
    height = np.ptp(points[:, seen, 1], axis=1)
    kept = np.flatnonzero(height > 1e-6 * np.abs(points[..., :2]).max(axis=(1, 2)))
    points = normalise_keypoints(points[kept], seen)
    maps = np.zeros((len(points), 2, size, size), np.uint8)
    good = np.zeros(len(points), dtype=bool)
    for index, frame in enumerate(points):
        images = [_levels(draw(frame, sigma)) for draw in (draw_limbs, draw_joints)]
        if all(image.any() for image in images):
            maps[index] = [_crop(image, size) for image in images]
            good[index] = maps[index].any(axis=(1, 2)).all()
    return maps[good], kept[good]


def impute_missing(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill coordinates that are exactly 0 from the 4 most similar frames, weighted by 1 / distance.

    Frames are compared by the coordinates both have, root mean square. When a coordinate is 0 in every
    frame nothing is filled in (as in OpenGait).

    Args:
        keypoints: ``[T, K, 3]``; scores stay as they are.

    Returns:
        A copy.
    """
    filled = keypoints.copy()
    rows = keypoints[..., :2].reshape(len(keypoints), -1)
    missing = rows == 0
    if not missing.any() or missing.all(axis=0).any():
        return filled
    values = rows.copy()
    for index in np.flatnonzero(missing.any(axis=1)):
        common = ~(missing | missing[index])
        count = common.sum(axis=1)
        square = ((rows - rows[index]) ** 2 * common).sum(axis=1) / np.maximum(count, 1)
        distance = np.where(count > 0, np.sqrt(square), np.inf)
        for column in np.flatnonzero(missing[index]):
            donors = np.flatnonzero(~missing[:, column])
            values[index, column] = _nearest_mean(rows[donors, column], distance[donors])
    filled[..., :2] = values.reshape(*keypoints.shape[:2], 2)
    return filled


def normalise_keypoints(
    keypoints: NDArray[np.float64], seen: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Centre each frame on the mid-hip and scale it to 85 rows of the 128 x 128 canvas.

    Args:
        keypoints: ``[T, 17, 3]``, each frame with some height.
        seen: bool ``[17]``, the joints that count for the height; all by default.
    """
    out = keypoints.copy()
    xy = keypoints[..., :2]
    xy = xy - (xy[:, HIPS[0], None] + xy[:, HIPS[1], None]) / 2
    height = np.ptp(xy[..., 1] if seen is None else xy[:, seen, 1], axis=1)
    out[..., :2] = xy * (BODY_ROWS / height)[:, None, None] + CANVAS // 2
    return out


def draw_joints(frame: NDArray[np.float64], sigma: float) -> NDArray[np.float32]:
    """The strongest of ``score exp(-d^2 / 2 sigma^2)`` over the joints, d the distance to the joint.

    Args:
        frame: ``[17, 3]`` on the canvas.

    Returns:
        float32 ``[128, 128]``.
    """
    log_map = np.full((CANVAS, CANVAS), -np.inf)
    _put_joints(log_map, frame[frame[:, 2] >= MIN_SCORE], sigma)
    return np.asarray(np.exp(log_map), np.float32)


def draw_limbs(
    frame: NDArray[np.float64], sigma: float, limbs: tuple[tuple[int, int], ...] = LIMBS
) -> NDArray[np.float32]:
    """As :func:`draw_joints` with the distance to the limb's segment and the lower score of its two ends."""
    log_map = np.full((CANVAS, CANVAS), -np.inf)
    start, end = frame[[a for a, _ in limbs]], frame[[b for _, b in limbs]]
    score = np.minimum(start[:, 2], end[:, 2])
    square = ((end[:, :2] - start[:, :2]) ** 2).sum(axis=1)
    drawn, long = score >= MIN_SCORE, square >= 1
    _put_joints(log_map, start[drawn & ~long], sigma)
    some = drawn & long
    _put_limbs(log_map, start[some, :2], end[some, :2], score[some], sigma)
    return np.asarray(np.exp(log_map), np.float32)


# Maps are kept as logarithms while the strongest is looked for: one exp a pixel instead of one a part. What
# depends on a row or a column alone is computed for all parts at once, and a part costs few passes over its
# window.


def _put_joints(log_map: NDArray[np.float64], joints: NDArray[np.float64], sigma: float) -> None:
    fall = -0.5 / sigma**2
    across = fall * (_GRID - joints[:, :1]) ** 2 + np.log(joints[:, 2:])
    down = fall * (_GRID - joints[:, 1:2]) ** 2
    for index, (x, y, _) in enumerate(joints.tolist()):
        rows, columns = _window(y, y, sigma), _window(x, x, sigma)
        view = log_map[rows, columns]
        np.maximum(view, down[index, rows, None] + across[index, columns], out=view)


def _put_limbs(
    log_map: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    score: NDArray[np.float64],
    sigma: float,
) -> None:
    # With the foot of p at a l, n that foot held on the segment, and a, n in units of sigma sqrt(2) / |l|:
    # -|p - n l|^2 / 2 sigma^2 = -|p|^2 / 2 sigma^2 + n (2 a - n).
    fall, limb = -0.5 / sigma**2, end - start
    square = (limb**2).sum(axis=1, keepdims=True)
    length = np.sqrt(-fall * square)
    dx, dy = _GRID - start[:, :1], _GRID - start[:, 1:]
    foot_x, foot_y = dx * (limb[:, :1] / square * length), dy * (limb[:, 1:] / square * length)
    across, down = fall * dx**2 + np.log(score)[:, None], fall * dy**2
    low, high = np.minimum(start, end).tolist(), np.maximum(start, end).tolist()
    for index, most in enumerate(length[:, 0].tolist()):
        columns = _window(low[index][0], high[index][0], sigma)
        rows = _window(low[index][1], high[index][1], sigma)
        view = log_map[rows, columns]
        value = foot_y[index, rows, None] + foot_x[index, columns]
        held = np.maximum(value, 0.0)
        np.minimum(held, most, out=held)
        value += value
        value -= held
        value *= held
        value += across[index, columns]
        value += down[index, rows, None]
        np.maximum(view, value, out=view)


def _window(low: float, high: float, sigma: float) -> slice:
    first = max(int(low - 3 * sigma), 0)
    return slice(first, max(first, min(int(high + 3 * sigma) + 1, CANVAS)))


def _nearest_mean(values: NDArray[np.float64], distance: NDArray[np.float64]) -> float:
    nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
    values, distance = values[nearest], distance[nearest]
    if not np.isfinite(distance).any():  # no frame shares a coordinate with this one
        return float(values.mean())
    weight = (distance == 0).astype(np.float64) if (distance == 0).any() else 1 / distance
    return float(weight @ values / weight.sum())


def _levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Which of 256 steps each value in 0..1 falls into."""
    steps = values * np.float32(256)
    return np.asarray(np.minimum(steps, np.float32(255), out=steps).astype(np.uint8))


def _crop(levels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The rows that hold something and as many columns around the middle, in grey, resized."""
    cv2 = require("cv2")
    rows = np.flatnonzero(levels.any(axis=1))
    half = (rows[-1] + 1 - rows[0]) // 2
    middle = CANVAS // 2
    person = _SHARE.take(levels[rows[0] : rows[-1] + 1, middle - half : middle + half + 1])
    resized = cv2.resize(person, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(resized * 255).astype(np.uint8)


def _check(
    keypoints: NDArray[np.float32] | NDArray[np.float64], sigma: float, size: int
) -> NDArray[np.float64]:
    if keypoints.ndim != 3 or keypoints.shape[1:] != (17, 3):
        raise InputError(
            f"skeleton maps need keypoints [T, 17, 3] in COCO order, not {list(keypoints.shape)}; "
            "map other layouts to coco17 first"
        )
    points = keypoints.astype(np.float64)
    if not np.isfinite(points).all():
        raise InputError("keypoints hold NaN or infinity; mark what was not seen by 0")
    if not (sigma > 0 and size > 0):
        raise InputError(f"sigma and size must be positive, not {sigma} and {size}")
    return points

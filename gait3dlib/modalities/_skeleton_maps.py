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
        images = [_grey(draw(frame, sigma)) for draw in (draw_limbs, draw_joints)]
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
    for x, y, score in frame.tolist():
        if score >= MIN_SCORE:
            _draw_joint(log_map, x, y, score, sigma)
    return np.asarray(np.exp(log_map), np.float32)


def draw_limbs(
    frame: NDArray[np.float64], sigma: float, limbs: tuple[tuple[int, int], ...] = LIMBS
) -> NDArray[np.float32]:
    """As :func:`draw_joints` with the distance to the limb's segment and the lower score of its two ends."""
    log_map = np.full((CANVAS, CANVAS), -np.inf)
    joints = frame.tolist()
    for start, end in limbs:
        (x, y, score), (x_end, y_end, score_end) = joints[start], joints[end]
        if min(score, score_end) < MIN_SCORE:
            continue
        if (x_end - x) ** 2 + (y_end - y) ** 2 < 1:
            _draw_joint(log_map, x, y, score, sigma)
        else:
            _draw_limb(log_map, (x, y), (x_end, y_end), min(score, score_end), sigma)
    return np.asarray(np.exp(log_map), np.float32)


# Maps are kept as logarithms while the strongest is looked for: one exp a pixel instead of one a part.


def _draw_joint(log_map: NDArray[np.float64], x: float, y: float, score: float, sigma: float) -> None:
    columns, rows = _window(x, x, sigma), _window(y, y, sigma)
    if not (len(columns) and len(rows)):
        return
    fall = -0.5 / sigma**2
    log_value = (fall * (rows - y) ** 2)[:, None] + (fall * (columns - x) ** 2 + np.log(score))
    _keep_strongest(log_map, rows, columns, log_value)


def _draw_limb(
    log_map: NDArray[np.float64],
    start: tuple[float, float],
    end: tuple[float, float],
    score: float,
    sigma: float,
) -> None:
    columns = _window(min(start[0], end[0]), max(start[0], end[0]), sigma)
    rows = _window(min(start[1], end[1]), max(start[1], end[1]), sigma)
    if not (len(columns) and len(rows)):
        return
    dx, dy = columns - start[0], (rows - start[1])[:, None]
    limb_x, limb_y = end[0] - start[0], end[1] - start[1]
    square = limb_x**2 + limb_y**2
    along = dx * (limb_x / square) + dy * (limb_y / square)
    nearest = np.clip(along, 0, 1)
    # |p - n l|^2 = |p|^2 + n (n - 2 a) |l|^2 with the foot of p at a l, and n that foot held on the segment
    along *= -2
    along += nearest
    along *= nearest
    along *= square
    along += dx**2 + dy**2
    along *= -0.5 / sigma**2
    along += np.log(score)
    _keep_strongest(log_map, rows, columns, along)


def _window(low: float, high: float, sigma: float) -> NDArray[np.float64]:
    first = max(int(low - 3 * sigma), 0)
    return np.arange(first, max(first, min(int(high + 3 * sigma) + 1, CANVAS)), dtype=np.float64)


def _keep_strongest(
    log_map: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    log_value: NDArray[np.float64],
) -> None:
    top, left = int(rows[0]), int(columns[0])
    view = log_map[top : top + len(rows), left : left + len(columns)]
    np.maximum(view, log_value, out=view)


def _nearest_mean(values: NDArray[np.float64], distance: NDArray[np.float64]) -> float:
    nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
    values, distance = values[nearest], distance[nearest]
    if not np.isfinite(distance).any():  # no frame shares a coordinate with this one
        return float(values.mean())
    weight = (distance == 0).astype(np.float64) if (distance == 0).any() else 1 / distance
    return float(weight @ values / weight.sum())


def _grey(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The 8-bit grey step of each value in 0..1."""
    return np.asarray(_GREY[np.minimum(values * 256, 255).astype(np.uint8)])


def _crop(image: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The rows that hold something and as many columns around the middle, resized."""
    cv2 = require("cv2")
    rows = np.flatnonzero(image.any(axis=1))
    half = (rows[-1] + 1 - rows[0]) // 2
    middle = CANVAS // 2
    person = image[rows[0] : rows[-1] + 1, middle - half : middle + half + 1] / 255
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

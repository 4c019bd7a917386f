"""What detectors and sensors do to the truth: errors of key points, silhouettes, boxes and depth.

Every number in this file is set by hand, to sizes that are usual for current estimators; what was fitted to a
real one is in :mod:`gait3dlib.simulation.estimator`. Nothing that leaves this file is the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from gait3dlib.simulation.estimator import KeypointNoise

F32 = NDArray[np.float32]
Array = NDArray[np.float64]

# how well each COCO point can be placed, relative to the others (the constants of COCO's evaluation)
COCO_SIGMA = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
     0.089, 0.089]
)  # fmt: skip
# how deep a point lies in the body when nothing else is in front of it, metres of a person of 1.7 m
COCO_DEPTH_M = np.array(
    [0.05, 0.05, 0.05, 0.08, 0.08, 0.14, 0.14, 0.10, 0.10, 0.08, 0.08, 0.20, 0.20, 0.13, 0.13, 0.11, 0.11]
)
LEFT_POINTS, RIGHT_POINTS = np.arange(1, 17, 2), np.arange(2, 17, 2)
LEGS = np.array([11, 13, 15])

FRAME_ERROR = 0.09  # per-frame error over (COCO_SIGMA x person's height in pixels)
WALK_ERROR = 0.08  # error that stays for the whole walk, in the same unit
OCCLUDED_FACTOR = 3.0
MISSED, MISSED_OCCLUDED = 0.004, 0.06
SWAPPED = 0.006  # chance that a left-right swap of the legs starts in a frame

EDGE_PX = 0.5  # standard deviation of the silhouette's boundary, pixels of a 96-pixel crop
DEFECT = 0.012  # chance that a hole or blob starts in a frame
DEPTH_ERROR = 0.0012  # depth noise over depth squared, 1 / m (active stereo)


def correlated(rng: np.random.Generator, shape: tuple[int, ...], memory: float = 0.6) -> Array:
    """Normal noise of unit variance, correlated along axis 0 (first-order autoregressive)."""
    noise = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        noise[t] = memory * noise[t - 1] + np.sqrt(1.0 - memory**2) * noise[t]
    return noise


def jittered_boxes(rng: np.random.Generator, extents: Array, margin: float = 1.15) -> F32:
    """Square boxes ``[T, 4]`` (x, y, side, side) around people, as a detector would place them.

    Args:
        rng: the noise.
        extents: ``[T, 4]`` true left, top, right and bottom in pixels.
        margin: side over the person's height.
    """
    width, height = extents[:, 2] - extents[:, 0], extents[:, 3] - extents[:, 1]
    scale = np.exp(rng.normal(0.0, 0.015) + 0.006 * correlated(rng, (len(extents),)))
    shift = rng.normal(0.0, 0.01, 2) + 0.006 * correlated(rng, (len(extents), 2))
    side = np.maximum(margin * height, 1.06 * width) * scale
    middle = (extents[:, :2] + extents[:, 2:]) / 2 + shift * height[:, None]
    return np.column_stack([middle - side[:, None] / 2, side, side]).astype(np.float32)


def noisy_silhouettes(
    rng: np.random.Generator, hit: NDArray[np.bool_], *, edge_px: float = EDGE_PX, defect: float = DEFECT
) -> NDArray[np.uint8]:
    """Silhouettes ``[T, size, size]`` of 0 and 255 with a trembling boundary and rare holes and blobs.

    Args:
        rng: the noise.
        hit: ``[T, size, size]`` where the person is.
        edge_px: standard deviation of the boundary, pixels of a 96-pixel crop.
        defect: chance that a hole or blob starts in a frame.
    """
    frames, size = hit.shape[0], hit.shape[-1]
    unit = size / 96.0
    soft = ndimage.gaussian_filter(hit.astype(np.float32), (0.0, unit, unit), truncate=2.5)
    coarse = max(4, size // 10)
    field = correlated(rng, (frames, coarse, coarse), 0.5).astype(np.float32)
    field = ndimage.zoom(field, (1, size / coarse, size / coarse), order=1, grid_mode=True, mode="nearest")
    # a blurred edge rises by 1 / (sqrt(2 pi) sigma) a pixel, so this moves it by EDGE_PX
    seen = soft + field * np.float32(edge_px * 0.4) > 0.5
    seen &= soft > 0.02
    _defects(rng, seen, soft, defect)
    return np.where(seen, np.uint8(255), np.uint8(0))


def _defects(rng: np.random.Generator, seen: NDArray[np.bool_], soft: F32, defect: float) -> None:
    """Ellipses cut out of, or added to, some frames near the person."""
    frames, size = seen.shape[0], seen.shape[-1]
    rows, columns = np.mgrid[:size, :size]
    for start in np.flatnonzero(rng.random(frames) < defect):
        stop = min(frames, start + int(rng.integers(1, 5)))
        hole = rng.random() < 0.6
        near = np.argwhere(soft[start] > 0.3)
        if not len(near):
            continue
        centre = near[rng.integers(len(near))]
        radii = rng.uniform(0.015, 0.06, 2) * size
        inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1.0
        seen[start:stop, inside] = not hole


def noisy_depth(rng: np.random.Generator, depth: F32, shown: NDArray[np.uint8]) -> F32:
    """Depth ``[T, size, size]`` with range noise; lost where the surface is seen at its edge."""
    noise = rng.standard_normal(depth.shape).astype(np.float32)
    edge = ndimage.grey_dilation(depth, size=(1, 3, 3)) - ndimage.grey_erosion(depth, size=(1, 3, 3)) > 0.3
    lost = edge & (rng.random(depth.shape, dtype=np.float32) < 0.3)
    held = (depth > 0) & (shown > 0) & ~lost
    return np.where(held, depth + DEPTH_ERROR * depth**2 * noise, 0.0).astype(np.float32)


def noisy_keypoints(
    rng: np.random.Generator,
    points: Array,
    depth_at: F32,
    *,
    pixels: Array,
    height_m: float,
    model: KeypointNoise | None = None,
) -> F32:
    """COCO key points as a pose estimator would give them: float32 ``[T, 17, 3]`` of x, y, score.

    Args:
        rng: the noise.
        points: ``[T, 17, 3]`` true columns, rows and depths.
        depth_at: ``[T, 17]`` depth of the surface seen at each point, 0 = none: tells what is hidden.
        pixels: ``[T]`` the person's height in the image.
        height_m: the person's height.
        model: errors that were fitted to a real estimator; None = the ones of this file.
    """
    if model is not None:
        return model.keypoints(rng, points, depth_at, pixels=pixels, height_m=height_m)
    frames = len(points)
    behind = points[..., 2] - depth_at
    hidden = (depth_at > 0) & (behind > COCO_DEPTH_M * height_m / 1.7)
    factor = np.where(hidden, OCCLUDED_FACTOR, 1.0)[..., None]
    unit = (COCO_SIGMA * pixels[:, None])[..., None]
    error = (
        WALK_ERROR * rng.standard_normal((17, 2))
        + FRAME_ERROR * correlated(rng, (frames, 17, 2), 0.5) * factor
    )
    out = np.empty((frames, 17, 3), dtype=np.float32)
    out[..., :2] = points[..., :2] + error * unit
    worse = np.linalg.norm(error, axis=-1) / FRAME_ERROR
    score = np.where(hidden, 0.55, 0.92) - 0.03 * worse + 0.04 * rng.standard_normal((frames, 17))
    out[..., 2] = score.clip(0.05, 0.99)
    _swap_legs(rng, out)
    missed = rng.random((frames, 17)) < np.where(hidden, MISSED_OCCLUDED, MISSED)
    out[missed] = 0.0
    return out


def _swap_legs(rng: np.random.Generator, keypoints: F32) -> None:
    for start in np.flatnonzero(rng.random(len(keypoints)) < SWAPPED):
        run = slice(start, start + int(rng.integers(1, 4)))
        keypoints[run, np.r_[LEGS, LEGS + 1]] = keypoints[run, np.r_[LEGS + 1, LEGS]]

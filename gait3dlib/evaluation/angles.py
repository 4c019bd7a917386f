"""The plain baseline of key points: directions of limbs in the image, as Fourier series over the stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F32
from gait3dlib.evaluation.scores import similarity

# limbs by their ends in COCO's order: arms, legs, shoulders, hips, both sides of the trunk
LIMBS = (
    (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
    (5, 6), (11, 12), (5, 11), (6, 12),
)  # fmt: skip
HARMONICS = 3
STRIDES_HZ = np.arange(0.6, 1.41, 0.02)
LEAST_FRAMES = 10
LEAST_SPREAD = 0.01  # half a degree: what differs by less between people is rounding


def keypoint_fourier(keypoints: NDArray[Any], t_s: NDArray[Any]) -> F32 | None:
    """What a walk looks like to its key points, whoever holds the camera: float32 ``[97]``.

    The direction of each of 12 limbs in the image (a unit vector: size and place count nothing) is fitted
    with a Fourier series of 3 harmonics of the stride, whose frequency is the one that fits best. Kept are
    the means and, so that no stride must be found, the amplitudes; and the frequency in strides a second.

    Args:
        keypoints: ``[T, 17, 3]``, COCO's points: x, y, score; 0 = not found.
        t_s: ``[T]`` seconds.

    Returns:
        None where fewer than ten frames show a limb.

    Raises:
        InputError: another shape.
    """
    points = np.asarray(keypoints, np.float64)
    times = np.asarray(t_s, np.float64)
    if points.ndim != 3 or points.shape[1:] != (17, 3) or times.shape != (len(points),):
        raise InputError(f"key points must be [T, 17, 3] with T times, not {list(points.shape)}")
    found = points[..., 2] > 0
    directions = np.empty((len(points), 2 * len(LIMBS)))
    for limb, (a, b) in enumerate(LIMBS):
        rows = np.flatnonzero(found[:, a] & found[:, b])
        if len(rows) < LEAST_FRAMES:
            return None
        along = points[rows, b, :2] - points[rows, a, :2]
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        for axis in (0, 1):
            directions[:, 2 * limb + axis] = np.interp(times, times[rows], along[:, axis])
    fits = [_fitted(directions, times, hertz) for hertz in STRIDES_HZ]
    best = int(np.argmin([error for error, _ in fits]))
    terms = fits[best][1]
    amplitudes = np.hypot(terms[1 : 1 + HARMONICS], terms[1 + HARMONICS :])
    return np.concatenate([terms[0], amplitudes.ravel(), STRIDES_HZ[best : best + 1]]).astype(np.float32)


def keypoint_scores(probe: Sequence[F32 | None], gallery: Sequence[F32 | None]) -> F32:
    """Nearest-neighbour scores of the baseline: minus the distance of standardised features.

    Args:
        probe: one :func:`keypoint_fourier` a walk.
        gallery: the same; their spread over the gallery is the unit of each feature.

    Returns:
        float32 ``[probes, gallery]``, larger = more alike; a walk without features is like nobody.

    Raises:
        InputError: fewer than two gallery walks have features.
    """
    known = [np.array([f is not None for f in side], dtype=bool) for side in (probe, gallery)]
    enrolled = np.array([f for f in gallery if f is not None])
    if len(enrolled) < 2:
        raise InputError("key points of at least two gallery walks are needed for their baseline")
    centre, spread = enrolled.mean(axis=0), np.maximum(enrolled.std(axis=0), LEAST_SPREAD)
    sides = ([centre if f is None else f for f in side] for side in (probe, gallery))
    a, b = ((np.array(side).reshape(-1, len(centre)) - centre) / spread for side in sides)
    scores = similarity(a.astype(np.float32), b.astype(np.float32), metric="euclidean")
    nobody = scores.min(initial=0.0) - 1.0
    scores[~known[0]] = nobody
    scores[:, ~known[1]] = nobody
    return scores


def _fitted(values: NDArray[Any], t_s: NDArray[Any], hertz: float) -> tuple[float, NDArray[Any]]:
    """Squared error, and terms ``[1 + 2 HARMONICS, C]``, of the series that fits best."""
    angle = 2 * np.pi * hertz * t_s[:, None] * np.arange(1, HARMONICS + 1)
    waves = np.concatenate([np.ones((len(t_s), 1)), np.cos(angle), np.sin(angle)], axis=1)
    # a little penalty: of less than a stride the harmonics look alike
    system = waves.T @ waves + 1e-2 * np.diag([0.0] + [1.0] * (2 * HARMONICS))
    terms = np.linalg.solve(system, waves.T @ values)
    return float(np.square(values - waves @ terms).sum()), terms

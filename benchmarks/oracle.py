"""The oracle of simulated benchmarks: the true parameters of a walk, seen through the sensor's noise.

What a perfect estimator could know of one walk before a camera that gives no metric scale:

* movement: the style of the day, exactly, whatever was worn. People vary from day to day, so it is not the
  same in two walks of a person;
* build: the outline of the undressed body at rest, from the front and from the side, as widths over stature
  at 28 heights, and the lengths of its segments over stature. Outlines err by what remains of the trembling
  of a silhouette's edge (half a pixel of a 96-pixel crop, `gait3dlib.simulation.noise`) after the mean over
  the frames; segments by the lasting error of the key points at their ends (as fitted to a real estimator).
  What the world was told (age, sex, mass, the axes of the shape space) is not in it.

Identity: the nearest neighbour under the covariance within people (Mahalanobis). Age, body-mass index and
sex: a kernel ridge regression fitted on 1,000 other people of the benchmark's training range, parameters
chosen by cross-validation over people. It sees no clothes, no obstacle and no bad camera, so under bad
circumstances nothing can reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import Body, ShapedBody
from gait3dlib.errors import InputError
from gait3dlib.simulation import noise
from gait3dlib.simulation.estimator import fitted
from gait3dlib.simulation.walker import MotionSource, sample_walker
from gait3dlib.types import Labels

Array = NDArray[np.float64]
PERSON_PX = 96 / 1.15  # of a person in a crop of 96 pixels (`noise.jittered_boxes`)
EDGE_MEMORY = 0.5  # of the silhouette's edge from frame to frame
HEIGHT_ERROR = 0.01  # of a sensor that measures in metres
PLANES = np.concatenate([np.linspace(0.05, 0.74, 24), np.linspace(0.88, 0.97, 4)])
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of the kernel, standard deviations of a feature
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
ARM_JOINTS = slice(16, 24)
# segment -> the ends in SMPL's joints, and the COCO points that see them
SEGMENTS = {
    "thigh": ((1, 4), (11, 13)), "shank": ((4, 7), (13, 15)), "upper arm": ((16, 18), (5, 7)),
    "forearm": ((18, 20), (7, 9)), "shoulders": ((16, 17), (5, 6)), "hips": ((1, 2), (11, 12)),
    "trunk": ((1, 16), (11, 5)), "head": ((12, 15), (5, 3)),
}  # fmt: skip


def build(body: ShapedBody) -> Array:
    """Widths front and side ``[28 * 2]`` and segment lengths ``[8]``, all over stature, without error."""
    arms = body.weights[:, ARM_JOINTS].sum(axis=1) > 0.5
    corners = body.vertices[body.faces[~arms[body.faces].any(axis=1)]].astype(np.float64)
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    low, high = edges[:, 0, 2], edges[:, 1, 2]
    widths = []
    for plane in PLANES * body.height_m:
        crossing = edges[(low < plane) != (high < plane)]
        share = (plane - crossing[:, 0, 2]) / (crossing[:, 1, 2] - crossing[:, 0, 2])
        points = crossing[:, 0] + share[:, None] * (crossing[:, 1] - crossing[:, 0])
        widths += [np.ptp(points[:, 1]), np.ptp(points[:, 0])]
    lengths = [np.linalg.norm(body.joints[b] - body.joints[a]) for (a, b), _ in SEGMENTS.values()]
    return np.array([*widths, *lengths]) / body.height_m


def build_error(frames: int) -> Array:
    """Standard deviations of :func:`build` ``[64]`` as a camera sees it in so many frames."""
    left = (1 + EDGE_MEMORY) / (1 - EDGE_MEMORY) / frames  # variance of a mean of correlated errors
    width = np.sqrt(2 * left) * noise.EDGE_PX / PERSON_PX
    ends = fitted().bias_sd
    lengths = [np.hypot(ends[a], ends[b]) for _, (a, b) in SEGMENTS.values()]
    return np.array([*[width] * (2 * len(PLANES)), *lengths])


@dataclass(frozen=True)
class Known:
    """What the oracle knows of walks: build ``[n, 64]`` with errors, movement ``[n, s]``, noisy height."""

    build: Array
    movement: Array
    height_m: Array

    def features(self, what: str) -> Array:
        """The columns of "movement", "build", "both", or "both and height"."""
        parts = {"movement": [self.movement], "build": [self.build]}
        parts["both"] = [self.build, self.movement]
        parts["both and height"] = [*parts["both"], np.log(self.height_m)[:, None]]
        return np.concatenate(parts[what], axis=1)


def known(shapes: Array, movement: Array, frames: int, seed: int) -> Known:
    """Of walks with these true shape numbers ``[n, 10]`` and styles of the day ``[n, s]``."""
    body, rng = Body.load("low"), np.random.default_rng([seed, 77])
    distinct, whose = np.unique(shapes, axis=0, return_inverse=True)
    bodies = [body.from_numbers(shape) for shape in distinct]
    builds = np.array([build(one) for one in bodies])[whose]
    heights = np.array([one.height_m for one in bodies])[whose]
    seen = builds + build_error(frames) * rng.standard_normal(builds.shape)
    return Known(seen, movement, heights * (1 + HEIGHT_ERROR * rng.standard_normal(len(heights))))


def scores(features: Array, people: NDArray[np.str_], gallery: NDArray[np.int64]) -> Array:
    """Minus the Mahalanobis distance ``[n, gallery]`` under the covariance within people."""
    _, person = np.unique(people, return_inverse=True)
    count = np.bincount(person)
    mean = np.array([np.bincount(person, column) for column in features.T]).T / count[:, None]
    residual = features - mean[person]
    free = len(features) - len(count)
    if free < 2 * features.shape[1]:
        raise InputError("too few walks a person for the oracle's covariance; record more sessions")
    # directions in which nobody varies (rounding) must not count for everything
    spread = np.maximum(features.std(axis=0), 1e-9)
    covariance = (residual / spread).T @ (residual / spread) / free + 1e-6 * np.eye(features.shape[1])
    white = np.linalg.solve(np.linalg.cholesky(covariance), (features / spread).T).T
    return np.asarray(-np.sqrt(_squared(white, white[gallery])))


def training_people(
    seed: int, first: int, people: int, motion: MotionSource, frames: int, days: int = 1
) -> tuple[Known, list[Labels]]:
    """People of the training range, each on several days, without rendering anybody."""
    shapes, styles, labels = [], [], []
    for index in range(first, first + people):
        walker = sample_walker(seed, index, motion)
        for day in range(days):
            shapes.append(walker.body().numbers)
            styles.append(walker.style.vary(walker.rng(20, day)).vector())
            labels.append(walker.labels)
    return known(np.array(shapes, np.float64), np.array(styles), frames, seed), labels


class KernelRidge:
    """Regression with a Gaussian kernel; each target's width and penalty by cross-validation over people.

    Args:
        features: ``[n, d]``.
        targets: ``[n, m]``.
        group: ``[n]`` whose walk each row is.
    """

    def __init__(self, features: Array, targets: Array, group: NDArray[np.int64]) -> None:
        self.centre, self.spread = features.mean(axis=0), features.std(axis=0) + 1e-12
        self.rows, self.offset = self._scaled(features), targets.mean(axis=0)
        away = _squared(self.rows, self.rows) / self.rows.shape[1]
        left = targets - self.offset
        errors = np.array([_cross_validated(np.exp(-away / (2 * w**2)), left, group) for w in WIDTHS])
        self.weights, self.widths = np.empty_like(left), []
        for target in range(left.shape[1]):
            width, penalty = np.unravel_index(errors[..., target].argmin(), errors.shape[:2])
            self.widths.append(WIDTHS[width])
            kernel = np.exp(-away / (2 * WIDTHS[width] ** 2)) + PENALTIES[penalty] * np.eye(len(left))
            self.weights[:, target] = np.linalg.solve(kernel, left[:, target])
        self.cross_validated_mae = errors.min(axis=(0, 1))

    def predict(self, features: Array) -> Array:
        """``[n, m]``."""
        away = _squared(self._scaled(features), self.rows) / self.rows.shape[1]
        columns = [np.exp(-away / (2 * w**2)) @ self.weights[:, k] for k, w in enumerate(self.widths)]
        return np.asarray(self.offset + np.stack(columns, axis=1))

    def _scaled(self, features: Array) -> Array:
        return np.asarray((features - self.centre) / self.spread)


def _cross_validated(kernel: Array, targets: Array, group: NDArray[np.int64]) -> Array:
    """Mean absolute errors ``[penalties, m]`` in four folds of people."""
    errors = np.zeros((len(PENALTIES), targets.shape[1]))
    for fold in range(4):
        out = group % 4 == fold
        values, vectors = np.linalg.eigh(kernel[np.ix_(~out, ~out)])
        inner, across = vectors.T @ targets[~out], kernel[np.ix_(out, ~out)] @ vectors
        for row, penalty in enumerate(PENALTIES):
            guess = across @ (inner / (values + penalty)[:, None])
            errors[row] += np.abs(guess - targets[out]).sum(axis=0) / len(targets)
    return errors


def _squared(a: Array, b: Array) -> Array:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(squared, 0.0))

"""Errors of a pose estimator, as they were measured: ``tools/fit_noise.py`` writes the numbers.

What is measured is mediapipe's BlazePose, as this package's perception uses it, on renders whose key points
are known, and on one real video; the file names its sources. Every error is a fraction of the person's height
in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.body import JOINT_NAMES
from gait3dlib.simulation import noise
from gait3dlib.simulation.noise import COCO_DEPTH_M, F32, Array, correlated

FILE = "keypoint_noise.yaml"
FITTED_FPS = 30.0
LIFTED_M = 0.02  # how much deeper or less deep in the body a joint is taken to lie, for a whole walk
# joint of SMPL's layout -> COCO's points whose mean it is; hands and feet err as wrists and ankles do. An
# estimator of 33 points has no spine and no collars: unknown.
FROM_COCO: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"pelvis": (11, 12), "neck": (5, 6), "head": (3, 4)}
    | {
        f"{side}_{name}": (first + k,)
        for k, side in enumerate(("left", "right"))
        for name, first in (
            ("hip", 11), ("knee", 13), ("ankle", 15), ("foot", 15),
            ("shoulder", 5), ("elbow", 7), ("wrist", 9), ("hand", 9),
        )
    }
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class KeypointNoise:
    """Errors over the person's height in pixels, for COCO's 17 points.

    Attributes:
        bias_down: ``[17]`` mean error downwards: the estimator's hip is not the body's hip joint.
        bias_sd: ``[17]`` error that stays for a walk, along each axis.
        jitter_sd: ``[17]`` error that changes from frame to frame, along each axis, of large people.
        memory: correlation of that error with the one 1/30 s before.
        hidden_factor: how much larger it is for a point behind something.
        legs_crossed: share of frames in which left and right leg are exchanged, seen from the side.
        height_px: ``[S]`` heights at which the next two were measured.
        size_factor: ``[S]`` how much larger it is for people of that height.
        missed: ``[S]`` share of frames without any person.
        score_shown: mean and spread of the score of points in sight.
        score_hidden: the same of hidden points.
    """

    bias_down: Array
    bias_sd: Array
    jitter_sd: Array
    memory: float
    hidden_factor: float
    legs_crossed: float
    height_px: Array
    size_factor: Array
    missed: Array
    score_shown: tuple[float, float]
    score_hidden: tuple[float, float]

    def keypoints(
        self,
        rng: np.random.Generator,
        points: Array,
        depth_at: F32,
        *,
        pixels: Array,
        height_m: float,
        fps: float = FITTED_FPS,
        gain: float = 1.0,
    ) -> F32:
        """Key points as the estimator would give them: float32 ``[T, 17, 3]``; a missed frame is all 0.

        Args:
            rng: the noise.
            points: ``[T, 17, 3]`` true columns, rows and depths.
            depth_at: ``[T, 17]`` depth of the surface seen at each point, 0 = none.
            pixels: ``[T]`` the person's height in the image.
            height_m: the person's height.
            fps: frames a second: at a lower rate errors remember less.
            gain: multiple of the trembling, for pictures worse than those it was measured on.
        """
        frames = len(points)
        behind = points[..., 2] - depth_at
        hidden = (depth_at > 0) & (behind > COCO_DEPTH_M * height_m / 1.7)
        size = np.interp(np.log(pixels), np.log(self.height_px), self.size_factor)[:, None]
        tremble = self.jitter_sd * size * np.where(hidden, self.hidden_factor, 1.0) * gain
        steady = self.bias_sd[:, None] * rng.standard_normal((17, 2))
        steady[:, 1] += self.bias_down
        memory = float(np.clip(self.memory, 0.0, 0.98)) ** (FITTED_FPS / fps)
        error = steady + tremble[..., None] * correlated(rng, (frames, 17, 2), memory)
        out = np.empty((frames, 17, 3), dtype=np.float32)
        out[..., :2] = points[..., :2] + error * pixels[:, None, None]
        mean, spread = (
            np.where(hidden, b, a) for a, b in zip(self.score_shown, self.score_hidden, strict=True)
        )
        out[..., 2] = (mean + spread * rng.standard_normal((frames, 17))).clip(0.01, 0.999)
        _cross_legs(rng, out, points, pixels, self.legs_crossed)
        lost = rng.random(frames) < np.interp(np.log(pixels), np.log(self.height_px), self.missed)
        out[lost] = 0.0
        return out

    def joints(
        self,
        rng: np.random.Generator,
        joints: Array,
        *,
        origin: Array,
        depth_rms: Array,
        pixels: Array,
        height_m: float,
        fps: float = FITTED_FPS,
    ) -> F32:
        """Joints in space, as 2-D points lifted by a depth camera would give them: float32 ``[T, 24, 3]``.

        Across the line of sight a joint errs as its key point does, along it as the depth camera does, with
        an offset of the body's own depth that stays for the walk. The points of the estimator have no spine
        and no collars: NaN.

        Args:
            rng: the noise.
            joints: ``[T, 24, 3]`` true, metres.
            origin: ``[3]`` where the camera stands.
            depth_rms: ``[T]`` error of the depth camera at the person, metres.
            pixels: ``[T]`` the person's height in the image.
            height_m: the person's height.
            fps: frames a second.
        """
        frames = len(joints)
        size = np.interp(np.log(pixels), np.log(self.height_px), self.size_factor)
        memory = float(np.clip(self.memory, 0.0, 0.98)) ** (FITTED_FPS / fps)
        sight = joints - origin
        sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
        out = np.full(joints.shape, np.nan, dtype=np.float32)
        for index, name in enumerate(JOINT_NAMES):
            places = FROM_COCO.get(name)
            steady, moving = rng.standard_normal((2, 3)), correlated(rng, (frames, 3), memory)
            along = rng.standard_normal(frames)
            if places is None:
                continue
            share = height_m / np.sqrt(len(places))  # the mean of two points errs less
            flat = self.bias_sd[list(places)].mean() * steady[0]
            flat = flat + self.jitter_sd[list(places)].mean() * size[:, None] * moving
            depth = LIFTED_M * steady[1, 0] + depth_rms / 3.0 * along  # some ten pixels are averaged
            across = flat * share
            across -= np.sum(across * sight[:, index], axis=-1, keepdims=True) * sight[:, index]
            error = across + depth[:, None] * sight[:, index]
            error[:, 2] -= self.bias_down[list(places)].mean() * height_m
            out[:, index] = joints[:, index] + error
        return out


def _cross_legs(rng: np.random.Generator, keypoints: F32, points: Array, pixels: Array, share: float) -> None:
    """Exchange the legs in that share of the frames in which one hip lies before the other."""
    sideways = np.abs(points[:, 11, 0] - points[:, 12, 0]) < 0.05 * pixels
    crossed = sideways & (rng.random(len(points)) < share)
    left, right = noise.LEGS, noise.LEGS + 1
    keypoints[np.ix_(crossed, np.r_[left, right])] = keypoints[np.ix_(crossed, np.r_[right, left])]


@cache
def fitted() -> KeypointNoise:
    """The shipped fit."""
    return read(asset(FILE).read_text(encoding="utf-8"))


def read(text: str) -> KeypointNoise:
    """A fit from the text of its file.

    What was measured on a real video is trusted more than renders: trembling is scaled by the ratio of both,
    where the file has it.
    """
    held: dict[str, Any] = yaml.safe_load(text)
    # where hardly anybody was found, people err as at the nearest height at which they were
    known = [pair for pair in zip(held["height_px"], held["size_factor"], strict=True) if pair[1] is not None]
    real = max(1.0, float(held.get("video", {}).get("real_over_rendered", 1.0)))

    def numbers(name: str) -> NDArray[np.float64]:
        return np.asarray(held[name], dtype=np.float64)

    return KeypointNoise(
        numbers("bias_down"),
        numbers("bias_sd"),
        numbers("jitter_sd") * real,
        float(held["memory"]),
        max(1.0, float(held["hidden_factor"])),
        float(held["legs_crossed"]),
        numbers("height_px"),
        np.interp(numbers("height_px"), [h for h, _ in known], [f for _, f in known]),
        numbers("missed"),
        (float(held["score_shown"][0]), float(held["score_shown"][1])),
        (float(held["score_hidden"][0]), float(held["score_hidden"][1])),
    )

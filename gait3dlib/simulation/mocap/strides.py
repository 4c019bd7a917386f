"""Cutting a walk into strides: from one heel strike to the next of the same foot.

Events come from the feet's places alone, as in Zeni, Richards and Higginson (Gait Posture 27, 2008): a heel
strikes where the foot is furthest ahead of the pelvis, along the way of the walk, or a moment later: the
force plates of biomechZoo's trials say by ``STRIKE_AFTER_S``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from gait3dlib.simulation.mocap.capture import Capture
from gait3dlib.simulation.mocap.inverse import rotation_matrix, rotation_vector
from gait3dlib.simulation.posture import about

Array = NDArray[np.float64]
SAMPLES = 100  # of a stride
SMOOTH_S = 0.02  # noise below this time is no event
STRIKE_AFTER_S = 0.027
LONGEST_S, SHORTEST_S = 2.2, 0.6
TURN_DEG = 20.0  # a straight stride turns less
RISE_OF_LEG = 0.05  # and ends at the height where it began
GRAVITY = 9.81


@dataclass(frozen=True, eq=False)
class Stride:
    """One stride along +x, made periodic; phase 0 is the left heel strike.

    Attributes:
        rotations: ``[SAMPLES, 24, 3, 3]``, local; the pelvis against the walking direction.
        sway: ``[SAMPLES, 3]`` the pelvis' place about steady motion: ahead, left, up; leg lengths.
        stride_m: way of the stride.
        stride_s: time of the stride.
        leg_m: hip to ankle.
    """

    rotations: Array
    sway: Array
    stride_m: float
    stride_s: float
    leg_m: float

    @property
    def froude_speed(self) -> float:
        """Speed over the root of gravity and leg length; walkers of all sizes walk alike at the same one."""
        return self.stride_m / self.stride_s / float(np.sqrt(GRAVITY * self.leg_m))


def heel_strikes(capture: Capture) -> list[tuple[float, int]]:
    """(seconds since the first frame, foot) in time's order; foot 0 is the left."""
    return [(frame / capture.fps + STRIKE_AFTER_S, foot) for frame, foot in _furthest(capture)]


def _furthest(capture: Capture) -> list[tuple[int, int]]:
    """(frame, foot) where a foot is furthest ahead."""
    joints = capture.joints()
    way = gaussian_filter1d(capture.pelvis[:, :2], 0.25 * capture.fps, axis=0, mode="nearest")
    ahead = np.gradient(way, axis=0)
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    out = []
    for foot in (0, 1):
        reach = np.sum((joints[:, 7 + foot, :2] - capture.pelvis[:, :2]) * ahead, axis=1)
        reach = gaussian_filter1d(reach, SMOOTH_S * capture.fps)
        peaks, _ = find_peaks(reach, distance=SHORTEST_S * capture.fps, prominence=0.25 * capture.leg_m)
        out += [(int(frame), foot) for frame in peaks]
    return sorted(out)


def straight_strides(capture: Capture) -> list[Stride]:
    """All strides of a walk that go straight and level; those of left and right foot overlap."""
    strikes = _furthest(capture)
    out = []
    for start, foot in strikes:
        later = [frame for frame, other in strikes if other == foot and frame > start]
        between = [frame for frame, other in strikes if other != foot and start < frame]
        if not later or not between or between[0] >= later[0]:
            continue
        if not SHORTEST_S <= (later[0] - start) / capture.fps <= LONGEST_S:
            continue
        left = start if foot == 0 else between[0]
        stride = _stride(capture, start, later[0], left)
        if stride is not None:
            out.append(stride)
    return out


def _stride(capture: Capture, start: int, stop: int, left: int) -> Stride | None:
    pelvis, leg = capture.pelvis, capture.leg_m
    way = pelvis[stop] - pelvis[start]
    heading = np.arctan2(way[1], way[0])
    window = capture.rotations[start : stop + 1]
    facing = window[:, 0, :2, 0].mean(axis=0)
    first, last = (window[part, 0, :2, 0].mean(axis=0) for part in (slice(0, 3), slice(-3, None)))
    turn = np.arctan2(first[0] * last[1] - first[1] * last[0], first @ last)
    askew = np.arctan2(np.sin(d := np.arctan2(facing[1], facing[0]) - heading), np.cos(d))
    if max(abs(turn), abs(askew)) > np.deg2rad(TURN_DEG) or abs(way[2]) > RISE_OF_LEG * leg:
        return None
    along = about(2, np.array(-np.rad2deg(heading)))
    turned = window.copy()
    turned[:, 0] = along @ turned[:, 0]
    phase = (np.arange(SAMPLES) / SAMPLES) * (stop - start)
    local = _resampled(turned, phase)
    places = (pelvis[start : stop + 1] - pelvis[start]) @ along.T / leg
    frames = np.arange(stop - start + 1)
    steady = places - np.linspace(0.0, 1.0, len(places))[:, None] * places[-1]
    sway = np.stack([np.interp(phase, frames, steady[:, axis]) for axis in range(3)], axis=1)
    seconds = (stop - start) / capture.fps
    shift = -round(((left - start) / (stop - start) + STRIKE_AFTER_S / seconds) * SAMPLES)
    return Stride(
        np.roll(local, shift, axis=0),
        np.roll(sway, shift, axis=0) - sway.mean(axis=0),
        float(np.hypot(way[0], way[1])),
        seconds,
        leg,
    )


def _resampled(rotations: Array, place: Array) -> Array:
    """Rotations at fractional frames, what the last differs from the first spread over the stride."""
    middle = _mean_rotation(rotations)
    vectors = rotation_vector(middle.swapaxes(-1, -2) @ rotations)
    last = len(rotations) - 1
    vectors -= (np.arange(last + 1) / last - 0.5)[:, None, None] * (vectors[-1] - vectors[0])
    low = np.minimum(place.astype(int), last - 1)
    share = (place - low)[:, None, None]
    return middle @ rotation_matrix(vectors[low] * (1.0 - share) + vectors[low + 1] * share)


def _mean_rotation(rotations: Array) -> Array:
    """Chordal mean over the first axis: ``[n, ..., 3, 3]`` to ``[..., 3, 3]``."""
    left, _, right = np.linalg.svd(rotations.mean(axis=0))
    left[..., 2] *= np.linalg.det(left @ right)[..., None]
    return np.asarray(left @ right)


mean_rotation = _mean_rotation

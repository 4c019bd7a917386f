"""An active stereo depth camera of the D435's kind.

It measures disparity, focal length x baseline / z, with an error of ``subpixel`` pixels; so the error of
depth grows with z squared (Keselman et al., Intel RealSense stereoscopic depth cameras, CVPR workshops 2017;
Intel's tuning guide: RMS = z^2 x subpixel / (focal x baseline)). The defaults give 2 % at 4 m.

Disparity comes in steps of 1/32 pixel, depth in millimetres. What the right imager cannot see behind
something nearer has no depth (a shadow at its left edge), nor has much of what lies along other edges of
depth; some pixels there get a depth between the two. It brings its own infrared light: night changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtri

from gait3dlib.simulation.rays import F32

DISPARITY_STEP_PX = 1 / 32
EDGE_SHARE = 0.06  # a step of depth to the next pixel, over the depth, that is an edge
EDGE_LOST, EDGE_MIXED = 0.35, 0.25
LOST = 0.002  # patches without texture or with glare, share of pixels


@dataclass(frozen=True)
class DepthCamera:
    """Numbers of a stereo pair; the defaults are a D435 at 848 x 480.

    Attributes:
        focal_px: of the left imager, which is the reference.
        baseline_m: between the imagers.
        subpixel: standard deviation of disparity, pixels.
        window_px: the matching window: errors nearer to each other than that are alike.
        min_m: nearest depth.
        max_m: farthest depth.
    """

    focal_px: float = 447.0
    baseline_m: float = 0.05
    subpixel: float = 0.112
    window_px: float = 5.0
    min_m: float = 0.28
    max_m: float = 10.0

    @property
    def reach_px_m(self) -> float:
        """Focal length times baseline: disparity is this over depth."""
        return self.focal_px * self.baseline_m

    def rms_m(self, depth_m: float) -> float:
        """Standard deviation of depth."""
        return depth_m**2 * self.subpixel / self.reach_px_m

    def measure(self, rng: np.random.Generator, depth: F32, pixel: float) -> NDArray[np.uint16]:
        """What it gives for true depths.

        Args:
            rng: the noise.
            depth: ``[T, h, w]`` metres along the optical axis; 0 or infinity = nothing there.
            pixel: size of these pixels in the camera's own ones.

        Returns:
            Millimetres, 0 = none.
        """
        there = (depth > 0) & np.isfinite(depth)
        disparity = np.where(there, self.reach_px_m / np.where(there, depth, 1.0), 0.0).astype(np.float32)
        lost = self._shadow(disparity, pixel) | (_patches(rng, depth.shape, pixel) > ndtri(1 - LOST))
        disparity, torn = _at_edges(rng, disparity)
        lost |= torn
        noisy = disparity + np.float32(self.subpixel) * self._error(rng, depth.shape, pixel)
        noisy = np.round(noisy / DISPARITY_STEP_PX) * DISPARITY_STEP_PX
        measured = self.reach_px_m / np.maximum(noisy, DISPARITY_STEP_PX)
        held = there & ~lost & (measured >= self.min_m) & (measured <= self.max_m)
        return np.where(held, np.round(measured * 1000), 0).astype(np.uint16)

    def _shadow(self, disparity: F32, pixel: float) -> NDArray[np.bool_]:
        """Seen by the left imager only: something to the right of it lands left of it in the right image."""
        column = np.arange(disparity.shape[-1], dtype=np.float32) * np.float32(pixel)
        right = column - disparity
        least = np.minimum.accumulate(right[..., ::-1], axis=-1)[..., ::-1]
        hidden = np.zeros(disparity.shape, dtype=bool)
        # half a pixel: rounding of a surface that is seen by both is no shadow
        hidden[..., :-1] = least[..., 1:] < right[..., :-1] - np.float32(0.5)
        return hidden

    def _error(self, rng: np.random.Generator, shape: tuple[int, ...], pixel: float) -> F32:
        """Noise of unit variance, alike within the matching window."""
        noise = rng.standard_normal(shape, dtype=np.float32)
        width = self.window_px / np.sqrt(12) / pixel  # a box of that width has this standard deviation
        if width < 0.3:
            return noise
        smooth = ndimage.gaussian_filter(noise, (0.0, width, width), truncate=3.0, mode="wrap")
        return np.asarray(smooth / _rms_of_gaussian(float(width)), np.float32)


def _rms_of_gaussian(width: float) -> float:
    """What a two-dimensional Gaussian filter leaves of white noise."""
    reach = int(3.0 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return float(np.sum((kernel / kernel.sum()) ** 2))


def _at_edges(rng: np.random.Generator, disparity: F32) -> tuple[F32, NDArray[np.bool_]]:
    """Disparities, some along edges lying between those of both sides, and which are lost there."""
    near = ndimage.maximum_filter(disparity, (1, 3, 3))
    far = ndimage.minimum_filter(disparity, (1, 3, 3))
    edge = (disparity > 0) & (near - far > EDGE_SHARE * near)
    luck = rng.random(disparity.shape, dtype=np.float32)
    share = rng.random(disparity.shape, dtype=np.float32)
    mixed = edge & (luck > 1 - EDGE_MIXED) & (far > 0)
    return np.where(mixed, far + share * (near - far), disparity), edge & (luck < EDGE_LOST)


def _patches(rng: np.random.Generator, shape: tuple[int, ...], pixel: float) -> F32:
    width = max(0.5, 3.0 / pixel)
    noise = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, (0.0, width, width), truncate=2.0, mode="wrap")
    return np.asarray(smooth / smooth.std(), np.float32)

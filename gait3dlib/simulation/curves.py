"""Joint angles of normal walking over one gait cycle, as Fourier series.

The key points below were read off the normal adult curves of Winter (The Biomechanics and Motor Control
of Human Gait, 1991) and Perry (Gait Analysis: Normal and Pathological Function, 1992) for legs and pelvis,
Murray, Sepic and Barnard (Phys Ther 47, 1967) for the arms, and Krebs et al. (J Orthop Res 10, 1992) for
the trunk. A periodic monotone cubic goes through them; its discrete Fourier transform, cut after
``HARMONICS`` terms, is the curve. Phases count from 0 to 1, 0 = heel strike of the same side.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

HARMONICS = 10
SAMPLES = 200

# percent of the cycle -> degrees
KEY_POINTS: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        # thigh against pelvis, flexion positive
        "hip_flexion": (
            (0, 30), (10, 25), (20, 15), (30, 5), (40, -4), (50, -10), (55, -9), (60, -2),
            (70, 17), (80, 29), (86, 33), (93, 32),
        ),
        # leg towards the middle positive
        "hip_adduction": (
            (0, -1), (6, 2), (14, 5), (30, 3.5), (42, 2.5), (50, 0), (58, -4), (64, -5.5), (75, -4), (90, -2),
        ),
        "knee_flexion": (
            (0, 4), (5, 10), (14, 18), (25, 12.5), (34, 6), (40, 4), (45, 5.5), (50, 10), (55, 21), (60, 37),
            (66, 54), (72, 60), (78, 54), (84, 38), (90, 17), (94, 6), (97, 2.5),
        ),
        # sole against the ground, toes up positive; with hip and knee it gives the published ankle curve
        "foot_pitch": (
            (0, 20), (3, 13), (6, 5), (9, 0.5), (12, 0), (30, 0), (37, -3), (44, -11), (50, -24), (55, -40),
            (60, -58), (64, -66), (68, -64), (74, -48), (80, -26), (86, -3), (91, 13), (95, 20), (98, 21.5),
        ),
        "toe_extension": (
            (0, 4), (5, 1), (9, 0), (34, 0), (42, 8), (48, 18), (54, 28), (60, 30), (66, 14), (72, 4),
            (80, 3),
        ),
        # pelvis: this side up, this side forward, forward tilt about its mean
        "pelvis_obliquity": (
            (0, 0.5), (5, 3), (12, 4.2), (20, 3.4), (30, 2), (40, 1), (50, -0.5), (55, -3), (62, -4.2),
            (70, -3.4), (80, -2), (90, -1),
        ),
        "pelvis_rotation": ((0, 5), (12, 3.8), (25, 0), (38, -3.8), (50, -5), (62, -3.8), (75, 0), (88, 3.8)),
        "pelvis_tilt": ((0, 0.3), (12, -0.8), (35, 0.8), (50, 0.3), (62, -0.8), (85, 0.8)),
        # thorax in the world: this side forward, lean to this side, forward lean about its mean
        "trunk_rotation": ((0, -4), (25, 0), (50, 4), (75, 0)),
        "trunk_sway": ((0, -0.2), (15, 0.9), (25, 1), (38, 0.7), (50, 0.2), (65, -0.9), (75, -1), (88, -0.7)),
        "trunk_lean": ((0, 1), (15, -0.6), (30, -1), (50, 1), (65, -0.6), (80, -1)),
        "shoulder_flexion": (
            (0, -18), (10, -16.5), (25, -6), (40, 7), (50, 11), (57, 10), (66, 5), (78, -6), (90, -15.5),
        ),
        "elbow_flexion": ((0, 17), (12, 17), (28, 25), (42, 36), (52, 40), (62, 36), (76, 25), (90, 18)),
    }
)  # fmt: skip


@cache
def coefficients(name: str) -> NDArray[np.complex128]:
    """Fourier coefficients ``[HARMONICS + 1]`` of a curve, degrees; the first is its mean.

    The curve is ``Re sum_k c_k exp(2 pi i k phase)``.
    """
    points = KEY_POINTS[name]
    percent = np.array([p for p, _ in points])
    degrees = np.array([d for _, d in points])
    around = PchipInterpolator(np.concatenate([percent - 100, percent, percent + 100]), np.tile(degrees, 3))
    spectrum = np.fft.rfft(around(np.arange(SAMPLES) * (100 / SAMPLES))) / SAMPLES
    spectrum[1:] *= 2
    return spectrum[: HARMONICS + 1]


def curve(name: str, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees at each phase (0 to 1, any shape; periodic)."""
    c = coefficients(name)
    order = np.arange(len(c))
    return (np.exp(2j * np.pi * phase[..., None] * order) @ c).real  # type: ignore[no-any-return]


def mean(name: str) -> float:
    """Mean of a curve over the cycle, degrees."""
    return float(coefficients(name)[0].real)


def swing(name: str, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve without its mean, degrees."""
    return curve(name, phase) - mean(name)

"""Zero-phase low-pass filtering and differentiation of sampled motion in one step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gait3dlib.errors import InputError

CUTOFF_HZ = 6.0  # usual for joint centres of walking adults (Winter, 2009, chapter 3)
REFERENCE_HEIGHT_M = 1.7
# a filter that runs forward and backward halves the amplitude where one pass has its -3 dB
_TWO_PASSES = (math.sqrt(2) - 1) ** 0.25
_TREND = 3  # a cubic holds free fall and steady walking exactly


def scaled_cutoff(height_m: float) -> float:
    """The default cut-off frequency in hertz of a person of that height.

    Movements of similar bodies scale with ``sqrt(g / height)`` (Froude similarity), and so does the cut-off;
    without that, dimensionless results would depend on size.
    """
    return CUTOFF_HZ * math.sqrt(REFERENCE_HEIGHT_M / height_m)


def shortest(cutoff_hz: float, fps: float) -> int:
    """Frames a recording must have at least: three time constants of the filter, and a cubic's five."""
    return max(math.ceil(3 * fps / (2 * math.pi * cutoff_hz)) + 1, 5)


def low_pass(signal: Tensor, fps: float, cutoff_hz: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """A signal without its fast part, and its first and second time derivatives.

    Second-order Butterworth forward and backward, hence without delay: what passes is ``1 / (1 + (f/fc)^4)``.
    The signal is split into a cubic in time, which passes untouched, and a sine series, in which the filter
    and the derivatives are products. Linear in the signal, so rotating or moving the world does the same to
    the results, and gradients flow.

    Args:
        signal: ``[T, ...]``, no NaN.
        fps: frames a second.
        cutoff_hz: -3 dB after both passes; None differentiates without filtering.

    Returns:
        Value, first and second derivative, each ``[T, ...]``.

    Raises:
        InputError: fewer frames than :func:`shortest` says.
    """
    frames = len(signal)
    least = 5 if cutoff_hz is None else shortest(cutoff_hz, fps)
    if frames < least:
        raise InputError(
            f"{frames} frames at {fps:g} a second are too few to filter and differentiate; "
            f"give at least {least}"
        )
    flat = signal.reshape(frames, -1)
    trend, trend_1, trend_2 = _trend(flat, fps)
    rest = flat - trend
    # what is left is made to vanish at both ends, so that its odd continuation has no jump
    ramp = torch.linspace(0, 1, frames, dtype=flat.dtype)[:, None]
    line = rest[:1] * (1 - ramp) + rest[-1:] * ramp
    slope = (rest[-1:] - rest[:1]) * (fps / (frames - 1))
    value, first, second = _sine_series(rest - line, fps, cutoff_hz)
    shape = signal.shape
    return (
        (trend + line + value).reshape(shape),
        (trend_1 + slope + first).reshape(shape),
        (trend_2 + second).reshape(shape),
    )


def _trend(flat: Tensor, fps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The least-squares cubic of each column, with its derivatives."""
    frames = len(flat)
    t = torch.linspace(-1, 1, frames, dtype=flat.dtype)
    rate = 2 * fps / (frames - 1)  # d t / d seconds
    power = torch.arange(_TREND + 1, dtype=flat.dtype)
    basis = t[:, None] ** power
    # the normal matrix is 4 x 4 and well conditioned on [-1, 1]
    factors = torch.linalg.solve(basis.T @ basis, basis.T @ flat)
    lower = torch.cat([torch.zeros(frames, 1, dtype=flat.dtype), basis[:, :-1]], 1)
    lowest = torch.cat([torch.zeros(frames, 2, dtype=flat.dtype), basis[:, :-2]], 1)
    first = (power * lower) @ factors
    second = (power * (power - 1) * lowest) @ factors
    return basis @ factors, first * rate, second * rate**2


def _sine_series(flat: Tensor, fps: float, cutoff_hz: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Filter and derivatives of columns that vanish at both ends, through their odd continuation."""
    frames = len(flat)
    period = 2 * (frames - 1)
    odd = torch.cat([flat, -flat[1:-1].flip(0)])
    spectrum = torch.fft.rfft(odd, dim=0)
    hertz = torch.fft.rfftfreq(period, 1 / fps, dtype=flat.dtype)
    passed = torch.ones_like(hertz)
    if cutoff_hz is not None:
        passed = 1 / (1 + (hertz * _TWO_PASSES / cutoff_hz) ** 4)
    omega = 2 * math.pi * hertz
    kept = spectrum * passed[:, None]
    back = [
        torch.fft.irfft(kept * factor[:, None], n=period, dim=0)[:frames]
        for factor in (torch.ones_like(omega) + 0j, 1j * omega, -(omega**2) + 0j)
    ]
    return back[0], back[1], back[2]

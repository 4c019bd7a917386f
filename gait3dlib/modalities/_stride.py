"""The stride in a walk: how fast legs swing, where in the cycle a walk begins, and its Fourier series.

Seen from any side, a walk repeats; what tells people apart is the mean posture, and how far and when every
joint swings (Troje, J Vision 2, 2002).
"""

from __future__ import annotations

import torch

from gait3dlib.body import JOINT_NAMES

SLOWEST_HZ, FASTEST_HZ, RATES = 0.55, 1.5, 60  # of strides; half to three times those of steps
HARMONICS = 3
RIDGE = 0.3  # steps of the clock that say nothing: holds back series of walks shorter than a stride
FIGURES = 1 + 2 * HARMONICS  # of a coordinate: its mean, then cosines, then sines

_LEGS = tuple(
    (JOINT_NAMES.index(f"left_{name}"), JOINT_NAMES.index(f"right_{name}"), weight)
    for name, weight in (("ankle", 1.0), ("knee", 0.5))
)


def stride_series(
    poses: torch.Tensor, known: torch.Tensor, step_s: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fourier series of every coordinate, counted from where the left leg is farthest ahead.

    The rate of strides is the one that explains most of how the legs swing along x (least squares over
    :data:`RATES` rates); no gradient goes through it.

    Args:
        poses: ``[b, steps, 24, 3]``, x where the walk goes.
        known: bool ``[b, steps]``.
        step_s: time between two steps.

    Returns:
        ``[b, 72 FIGURES]`` and the strides a second ``[b]``; both 0 where nothing is known.
    """
    t_s = step_s * torch.arange(known.shape[1], device=poses.device, dtype=poses.dtype)
    weight = known.to(poses.dtype)
    with torch.no_grad():
        hertz, phase = _swing(poses, weight, t_s)
    angle = 2 * torch.pi * hertz[:, None] * t_s + phase[:, None]
    turns = angle[..., None] * torch.arange(1, HARMONICS + 1, device=poses.device)
    waves = torch.cat([torch.ones_like(angle)[..., None], turns.cos(), turns.sin()], dim=2)
    held = waves * weight[..., None]
    square = held.transpose(1, 2) @ waves
    little = torch.full((FIGURES,), RIDGE, dtype=poses.dtype, device=poses.device)
    little[0] = 1e-3
    series = torch.linalg.solve(square + little.diag(), held.transpose(1, 2) @ poses.flatten(2))
    some = known.any(dim=1)
    return series.flatten(1) * some[:, None], hertz * some


def _swing(poses: torch.Tensor, weight: torch.Tensor, t_s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Strides a second ``[b]``, and the phase at the first step ``[b]``."""
    apart = sum(w * (poses[:, :, left, 0] - poses[:, :, right, 0]) for left, right, w in _LEGS)
    assert isinstance(apart, torch.Tensor)
    rates = torch.linspace(SLOWEST_HZ, FASTEST_HZ, RATES, device=poses.device, dtype=poses.dtype)
    angle = 2 * torch.pi * rates[:, None] * t_s
    waves = torch.stack([torch.ones_like(angle), angle.cos(), angle.sin()], dim=2)  # [rates, steps, 3]
    square = torch.einsum("bt,rti,rtj->brij", weight, waves, waves)
    seen = torch.einsum("bt,rti->bri", weight * apart, waves)
    fit = torch.linalg.solve(square + 1e-4 * torch.eye(3, dtype=poses.dtype, device=poses.device), seen)
    best = (fit * seen).sum(dim=2).argmax(dim=1)
    cosine, sine = fit[torch.arange(len(best), device=best.device), best, 1:].unbind(dim=1)
    return rates[best], torch.atan2(-sine, cosine)

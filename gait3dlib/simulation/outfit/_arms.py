"""How arms and trunk hold what is carried.

Carried loads take the arm's swing away (Murray et al., Phys Ther 47, 1967 for the free swing). A load on the
back bends the trunk forwards, one in front backwards (Kinoshita, Ergonomics 28, 1985).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.curves import swing
from gait3dlib.simulation.outfit._cut import Outfit
from gait3dlib.simulation.outfit._motion import heading
from gait3dlib.simulation.posture import about

F64 = NDArray[np.float64]
SPINE = ((3, 0.3), (6, 0.35), (9, 0.35))


@dataclass(frozen=True)
class _Hold:
    """An arm against the upright trunk, degrees: forwards, outwards, turned inwards, elbow; and its swing."""

    flexion: float
    abduction: float
    inward: float
    elbow: float
    swing: float = 0.0


def carry(rotations: NDArray[np.floating[Any]], outfit: Outfit, phase: NDArray[np.floating[Any]]) -> F64:
    """A walk's rotations with the arms that hold what the outfit carries.

    Args:
        rotations: ``[T, 24, 3, 3]``, each joint relative to its parent.
        outfit: what is worn and carried.
        phase: ``[T]`` cycles since the left heel strike.

    Returns:
        New rotations ``[T, 24, 3, 3]``; legs and pelvis are unchanged.

    Raises:
        InputError: an array has another shape.
    """
    out = np.array(rotations, np.float64)
    cycles = np.asarray(phase, np.float64)
    if out.ndim != 4 or out.shape[1:] != (24, 3, 3) or cycles.shape != (len(out),):
        raise InputError(
            f"carry needs rotations [T, 24, 3, 3] and phase [T], not {out.shape} and {cycles.shape}"
        )
    rng = outfit.rng(3)
    lean, vary = rng.uniform(0.5, 1.0), rng.standard_normal(4).clip(-2, 2)
    if outfit.clothes == "coat":
        _lift_arms(out, 8.0)
    if outfit.carried == "backpack":
        _lean(out, 6.0 * lean)
    elif outfit.carried == "box":
        _lean(out, -4.0 * lean)
        hold = _Hold(14 + 4 * vary[0], 8 + 2 * vary[1], -4 + 4 * vary[2], 82 + 5 * vary[3])
        for side in (0, 1):
            _hold(out, side, replace(hold, swing=0.06), cycles)
    elif outfit.carried == "bag":
        hold = _Hold(-2 + 2 * vary[0], 9 + 2 * vary[1], 4 * vary[2], 8 + 3 * vary[3], swing=0.3)
        _hold(out, outfit.side, hold, cycles)
    elif outfit.carried == "umbrella":
        hold = _Hold(24 + 5 * vary[0], 8 + 3 * vary[1], 22 + 6 * vary[2], 112 + 6 * vary[3], swing=0.08)
        _hold(out, outfit.side, hold, cycles)
    return out


def _lift_arms(out: F64, degrees: float) -> None:
    """A thick coat keeps the arms off the trunk."""
    for side, sign in ((0, 1.0), (1, -1.0)):
        out[:, 16 + side] = about(0, np.array(sign * degrees)) @ out[:, 16 + side]


def _lean(out: F64, degrees: float) -> None:
    """Bend the trunk forwards; the head stays level."""
    for joint, share in SPINE:
        out[:, joint] = out[:, joint] @ about(1, np.array(degrees * share))
    out[:, 12] = about(1, np.array(-degrees)) @ out[:, 12]


def _hold(out: F64, side: int, hold: _Hold, phase: F64) -> None:
    """Put one arm into a hold, against the upright trunk: a load hangs straight however the trunk leans."""
    sign = 1.0 - 2.0 * side
    thorax = out[:, 0] @ out[:, 3] @ out[:, 6] @ out[:, 9]
    own = phase + 0.5 * side
    flexion = hold.flexion + hold.swing * swing("shoulder_flexion", own)
    elbow = hold.elbow + hold.swing * swing("elbow_flexion", own)
    down = np.array(-sign * (90.0 - hold.abduction))
    arm = about(1, -flexion) @ about(0, down) @ about(1, np.array(hold.inward))
    out[:, 13 + side] = np.eye(3)
    out[:, 16 + side] = thorax.transpose(0, 2, 1) @ heading(thorax) @ arm
    out[:, 18 + side] = about(2, -sign * elbow)
    out[:, 20 + side] = np.eye(3)
    out[:, 22 + side] = np.eye(3)

"""A body as ten numbers: the shape part of the `smpl` stream in the layout ``free_body``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gait3dlib.body._layouts import PARENTS
from gait3dlib.body._skinning import F32, F64, Floats
from gait3dlib.errors import InputError

SHAPE_NAMES: tuple[str, ...] = (
    "maturity", "female", "muscle", "weight", "stature", "proportions",
    "thigh", "shank", "upper_arm", "forearm",
)  # fmt: skip
"""What the ten shape numbers of the layout ``free_body`` are.

The first six are the axes of the shape space: maturity (0.16 = three years, 1/3 = eight, 2/3 = sixteen,
0.77 = eighteen, 1 = very old), female (0 = man, 1 = woman), and muscle, weight, stature and proportions, each
0 to 1; weight may reach 1.2. The last four are natural logarithms of how much longer the thighs, shanks,
upper arms and forearms are than the shape space has them; 0 = as there. None has a unit.
"""

AXES = 6
MAX_STRETCH = 0.25
_LOWEST = np.array([0.16, 0.0, 0.0, 0.0, 0.0, 0.0, *[-MAX_STRETCH] * 4])
_HIGHEST = np.array([1.0, 1.0, 1.0, 1.2, 1.0, 1.0, *[MAX_STRETCH] * 4])
# the joints at which the stretched bones begin; each bone ends at the joint's child
STRETCHED: tuple[tuple[int, int], ...] = ((1, 2), (4, 5), (16, 17), (18, 19))


def check_numbers(numbers: Floats | Sequence[float]) -> F64:
    """The ten numbers as float64 [10].

    Raises:
        InputError: not ten, or outside the shape space.
    """
    found = np.asarray(numbers, np.float64)
    if found.shape != (len(SHAPE_NAMES),):
        raise InputError(f"a body has {len(SHAPE_NAMES)} shape numbers, not an array of shape {found.shape}")
    for name, value, low, high in zip(SHAPE_NAMES, found, _LOWEST, _HIGHEST, strict=True):
        if not low - 1e-6 <= value <= high + 1e-6:  # False for NaN, too
            raise InputError(f"shape number {name!r} must be {low:g} to {high:g}, not {value:g}")
    return found.clip(_LOWEST, _HIGHEST)


def stretched(bind: F32, joints: F64, weights: F32, logs: Floats) -> tuple[F32, F64]:
    """Vertices [V, 3] and joints [24, 3] of the bind pose with longer or shorter limb bones.

    Skin follows its bones: along a stretched bone it is stretched, beyond it moves with it.
    """
    moved, matrices = joints.copy(), np.tile(np.eye(3), (24, 1, 1))
    for starts, log in zip(STRETCHED, logs, strict=True):
        for start in starts:
            along = joints[PARENTS.index(start)] - joints[start]
            along = along / np.linalg.norm(along)
            matrices[start] += np.expm1(log) * np.outer(along, along)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        moved[joint] = moved[parent] + matrices[parent] @ (joints[joint] - joints[parent])
    shift = moved - np.einsum("jab,jb->ja", matrices, joints)
    blended = weights @ np.concatenate([matrices.reshape(24, 9), shift], axis=1).astype(np.float32)
    turned = (blended[:, :9].reshape(-1, 3, 3) @ bind[:, :, None])[:, :, 0]
    return np.asarray(turned + blended[:, 9:], np.float32), moved

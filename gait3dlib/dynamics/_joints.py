"""Joints as they come in: what must be there, what can be filled, and whether they are metres at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES
from gait3dlib.errors import InputError

F64 = NDArray[np.float64]
_J = {name: index for index, name in enumerate(JOINT_NAMES)}
NEEDED: tuple[str, ...] = tuple(
    f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot") for side in ("left", "right")
)
LEG_SHARE = 0.491  # of stature from hip to ankle (Winter, 2009, figure 4.1)
SMALLEST_M, TALLEST_M = 0.4, 2.8
LONGEST_GAP_S = 0.2
# along the trunk from mid-hip to neck
_SPINE = {"spine1": 0.2, "spine2": 0.45, "spine3": 0.65, "left_collar": 0.92, "right_collar": 0.92}
# shares of stature (Winter, 2009, figure 4.1)
_TRUNK, _HALF_SHOULDERS, _HEAD, _UPPER_ARM, _FOREARM, _HAND = 0.30, 0.129, 0.08, 0.186, 0.146, 0.05


def stature(joints: F64) -> float:
    """Height of the person in metres from the length of the legs; joints ``[T, 24, 3]``."""
    legs = []
    for side in ("left", "right"):
        hip, knee, ankle = (joints[:, _J[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        thigh, shank = np.linalg.norm(hip - knee, axis=-1), np.linalg.norm(knee - ankle, axis=-1)
        legs.append(np.nanmedian(thigh) + np.nanmedian(shank))
    return float(np.mean(legs)) / LEG_SHARE


def checked(
    joints: NDArray[np.floating[Any]], fps: float, height_m: float | None
) -> tuple[F64, NDArray[np.bool_], NDArray[np.bool_]]:
    """Joints without gaps, which joints were seen, and in which frames all of those were.

    Gaps of up to :data:`LONGEST_GAP_S` are filled in time; a joint with longer ones counts as not seen, and
    is put where bodies have it, so that its mass is somewhere.

    Returns:
        float64 ``[T, 24, 3]``, bool ``[24]``, bool ``[T]``.

    Raises:
        InputError: the shape is wrong, a joint of the legs is missing, or the size is no person's.
    """
    found = np.array(joints, np.float64)
    if found.ndim != 3 or found.shape[1:] != (24, 3):
        raise InputError(f"joints must be [frames, 24, 3] in SMPL's order, not {list(found.shape)}")
    if np.isinf(found).any():
        raise InputError("joints hold infinity; mark what was not seen by NaN")
    gone = np.asarray(np.isnan(found).any(axis=-1))
    longest = math.floor(LONGEST_GAP_S * fps)
    seen = np.array([_longest_run(gone[:, j]) <= longest and not gone[:, j].all() for j in range(24)])
    seen[0] = True  # the middle of the hips, where nothing else is known
    missing = [name for name in NEEDED if not seen[_J[name]]]
    if missing:
        raise InputError(
            f"inverse dynamics needs the joints of both legs, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing for more than {LONGEST_GAP_S:g} s; "
            "fit the body first (gait3d derive --stream smpl) or cut the walk"
        )
    for j in np.flatnonzero(seen)[1:]:
        _bridge(found[:, j], gone[:, j])
    found[:, 0] = np.where(gone[:, :1], (found[:, 1] + found[:, 2]) / 2, found[:, 0])
    whole = np.asarray(~gone[:, seen][:, 1:].any(axis=1))
    check_size(found, height_m)
    _fill(found, seen, stature(found) if height_m is None else height_m)
    return found, seen, whole


def check_size(joints: F64, height_m: float | None) -> None:
    """Refuse what is not a person's size in metres, with the likely reason.

    Raises:
        InputError: too small or large, or far from the stated height.
    """
    size = stature(joints)
    if SMALLEST_M * 1000 <= size <= TALLEST_M * 1000:
        raise InputError(
            f"the legs belong to a person of {size:.0f} m; the joints seem to be in mm: divide them by 1000"
        )
    if SMALLEST_M * 100 <= size <= TALLEST_M * 100:
        raise InputError(
            f"the legs belong to a person of {size:.0f} m; the joints seem to be in cm: divide them by 100"
        )
    if not SMALLEST_M <= size <= TALLEST_M:
        raise InputError(f"the legs belong to a person of {size:.3g} m; joints must be in metres")
    if height_m is not None and not 0.7 < size / height_m < 1.4:
        raise InputError(
            f"the legs belong to a person of {size:.2f} m, but height is {height_m:g}; both must be in metres"
        )


def _longest_run(gone: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gone.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _bridge(track: F64, gone: NDArray[np.bool_]) -> None:
    """Fill short gaps along straight lines in time; before the first and after the last by holding."""
    if not gone.any():
        return
    t = np.arange(len(track))
    for axis in range(3):
        track[gone, axis] = np.interp(t[gone], t[~gone], track[~gone, axis])


def _fill(joints: F64, seen: NDArray[np.bool_], height: float) -> None:
    """Put joints that were not seen where a standing body has them."""

    def at(name: str) -> F64:
        return joints[:, _J[name]]

    def lacks(name: str) -> bool:
        return not seen[_J[name]]

    def put(name: str, place: F64) -> None:
        if lacks(name):
            joints[:, _J[name]] = place

    hips = (at("left_hip") + at("right_hip")) / 2
    left = at("left_hip") - at("right_hip")
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    if lacks("left_shoulder") or lacks("right_shoulder"):
        put("neck", hips + np.array([0.0, 0.0, _TRUNK * height]))
    else:
        put("neck", (at("left_shoulder") + at("right_shoulder")) / 2)
    trunk = at("neck") - hips
    up = trunk / np.linalg.norm(trunk, axis=-1, keepdims=True)
    for name, share in _SPINE.items():
        put(name, hips + share * trunk)
    put("head", at("neck") + _HEAD * height * up)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        put(f"{side}_shoulder", at("neck") + sign * _HALF_SHOULDERS * height * left - 0.03 * height * up)
        put(f"{side}_elbow", at(f"{side}_shoulder") - _UPPER_ARM * height * up)
        put(f"{side}_wrist", at(f"{side}_elbow") - _FOREARM * height * up)
        fore = at(f"{side}_wrist") - at(f"{side}_elbow")
        put(
            f"{side}_hand",
            at(f"{side}_wrist") + _HAND * height * fore / np.linalg.norm(fore, axis=-1, keepdims=True),
        )

"""What no walk can be, said before a fit begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, NoEvidence

F64 = NDArray[np.float64]
MIN_FRAMES, MAX_FRAMES = 8, 3000
MIN_JOINTS = 6
TALLEST_M, SHORTEST_M = 2.6, 0.4  # of what the joints of one person may span


def check_frames(t_s: F64) -> None:
    """Raise InputError for a walk that is too short or too long to be fitted as one."""
    if len(t_s) < MIN_FRAMES:
        raise InputError(f"a body fit needs at least {MIN_FRAMES} frames, and this walk has {len(t_s)}")
    if len(t_s) > MAX_FRAMES:
        raise InputError(
            f"a walk of {len(t_s)} frames is too long to be fitted as one; "
            f"take up to {MAX_FRAMES} frames of it"
        )


def check_joints(joints: F64) -> None:
    """Raise for joints [T, 24, 3] that no standing person in metres, z up, can have.

    Raises:
        InputError: another shape, infinity, another unit, or another axis up.
        NoEvidence: all or nearly all are NaN.
    """
    if joints.ndim != 3 or joints.shape[1:] != (24, 3):
        raise InputError(f"joints must be [frames, 24, 3] in SMPL's order, not {joints.shape}")
    if np.isinf(joints).any():
        raise InputError("joints hold infinity; mark what is not known by NaN")
    known = np.isfinite(joints).all(axis=-1)
    if (found := int(known.any(axis=0).sum())) < MIN_JOINTS:
        raise NoEvidence(
            f"a body fit needs at least {MIN_JOINTS} of the 24 joints somewhere in the walk, "
            f"and {found} are known"
        )
    enough = joints[known.sum(axis=1) >= MIN_JOINTS]
    if not len(enough):
        raise NoEvidence(f"no frame of the walk has {MIN_JOINTS} known joints")
    spans = np.nanmax(enough, axis=1) - np.nanmin(enough, axis=1)
    size = float(np.median(spans.max(axis=1)))
    if size > TALLEST_M:
        unit, factor = ("millimetres", 1000) if size > 250 else ("centimetres", 100)
        raise InputError(
            f"the joints of one frame span {size:.1f} m, more than a person; "
            f"if they are in {unit}, divide them by {factor}"
        )
    if size < SHORTEST_M:
        raise InputError(
            f"the joints of one frame span {size:.3f} m, less than a person; give them in metres"
        )
    _check_upright(enough)


def _check_upright(joints: F64) -> None:
    high, low = joints[:, [12, 15, 16, 17]], joints[:, [4, 5, 7, 8]]
    with np.errstate(all="ignore"):
        if not (np.isfinite(high).any() and np.isfinite(low).any()):
            return
        up = np.nanmedian(high.reshape(-1, 3), axis=0) - np.nanmedian(low.reshape(-1, 3), axis=0)
    # over the whole walk, so that the way walked cancels
    if up[2] < 0.5 * np.abs(up).max():
        raise InputError(
            "shoulders do not lie above knees along z; turn the joints so that z points up "
            "(a BVH file has y up)"
        )


def check_points(frames: list[F64], name: str) -> None:
    """Raise InputError for points [n, 3] of frames that span more than a person, or hold NaN."""
    full = [points for points in frames if len(points)]
    if not all(np.isfinite(points).all() for points in full):
        raise InputError(f"{name} hold NaN or infinity; leave out what was not seen")
    spans = [float((np.quantile(p, 0.98, axis=0) - np.quantile(p, 0.02, axis=0)).max()) for p in full]
    size = float(np.median(spans))
    if size > TALLEST_M:
        unit = "; if they are in millimetres, divide them by 1000" if size > 250 else ""
        raise InputError(
            f"the {name} of one frame span {size:.1f} m, more than one person; cut the person out first{unit}"
        )

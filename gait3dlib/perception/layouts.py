"""The order of keypoints: every layout can be read as the 17 keypoints of COCO."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean

# For each COCO keypoint (nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before
# right) its place in the other layout.
COCO17_FROM: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "coco17": tuple(range(17)),
        "blazepose33": (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28),
        "openpose18": (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10),
    }
)
COUNTS: Mapping[str, int] = MappingProxyType({"coco17": 17, "blazepose33": 33, "openpose18": 18})


def coco17(keypoints: NDArray[np.float32], layout: str) -> NDArray[np.float32]:
    """Keypoints of any 2-D layout in the order of COCO.

    Args:
        keypoints: ``[T, K, C]``, for instance x, y in pixels and a score.
        layout: "coco17", "blazepose33" or "openpose18" (whose neck is left out).

    Returns:
        ``[T, 17, C]``, a copy.

    Raises:
        InputError: no such layout, or K is not its number of keypoints.
    """
    if layout not in COCO17_FROM:
        raise InputError(f"no keypoint layout {layout!r} maps to coco17{did_you_mean(layout, COCO17_FROM)}")
    keypoints = np.asarray(keypoints)
    if keypoints.ndim != 3 or keypoints.shape[1] != COUNTS[layout]:
        raise InputError(
            f"keypoints of layout {layout!r} must have shape [T, {COUNTS[layout]}, C], "
            f"not {list(keypoints.shape)}"
        )
    mapped: NDArray[np.float32] = keypoints[:, list(COCO17_FROM[layout])]
    return mapped

"""The plain baseline beside every figure: the gait energy image and its nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F32
from gait3dlib.evaluation.scores import similarity


def gait_energy_image(silhouettes: NDArray[Any]) -> F32:
    """Mean of size-normalised, centred silhouettes (Han and Bhanu, TPAMI 2006).

    Args:
        silhouettes: ``[T, H, W]``, usually 64 x 44: uint8 with 0 or 255, bool, or floats in 0 to 1. Frames
            in which nobody is seen are left out.

    Returns:
        float32 ``[H, W]`` in 0 to 1.

    Raises:
        InputError: wrong dtype or shape, floats outside 0 to 1, or nobody is seen in any frame.
    """
    frames = np.asarray(silhouettes)
    if frames.ndim != 3 or not (frames.dtype in (np.uint8, np.bool_) or frames.dtype.kind == "f"):
        raise InputError(
            "silhouettes must be uint8, bool or float of shape [T, H, W], "
            f"not {frames.dtype} of shape {list(frames.shape)}"
        )
    seen = frames.any(axis=(1, 2))
    if not seen.any():
        raise InputError("nobody is seen in any frame, so there is no gait energy image")
    if frames.dtype.kind == "f" and not (frames.min() >= 0.0 and frames.max() <= 1.0):
        raise InputError("float silhouettes must lie in 0 to 1")
    full = 255.0 if frames.dtype == np.uint8 else 1.0
    image: F32 = (frames[seen].mean(axis=0, dtype=np.float64) / full).astype(np.float32)
    return image


def energy_image_scores(probe: Sequence[NDArray[Any]], gallery: Sequence[NDArray[Any]]) -> F32:
    """Nearest-neighbour scores of the baseline: minus the Euclidean distance of gait energy images.

    Args:
        probe: one ``[T, H, W]`` a walk, all of one H and W.
        gallery: the same.

    Returns:
        float32 ``[probes, gallery]``, larger = more alike.

    Raises:
        InputError: no walk, or images of different sizes.
    """
    return similarity(_flat(probe), _flat(gallery), metric="euclidean")


def _flat(walks: Sequence[NDArray[Any]]) -> F32:
    images = [gait_energy_image(walk) for walk in walks]
    if not images or len({image.shape for image in images}) > 1:
        raise InputError("energy images need at least one walk, and the same height and width for all")
    return np.stack([image.ravel() for image in images])

"""Silhouettes of one walk, brought to one height and centred, as OpenGait and CCPG prepare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError

CUT_COLUMNS = 10  # off each side, for every 64 columns of width


@dataclass(frozen=True)
class Placement:
    """How one frame goes into the picture: its rows, how wide they become, and the column that comes first.

    What is registered with a silhouette is brought beside it by the same placement.
    """

    top: int
    bottom: int
    width: int
    left: int
    size: int

    def apply(self, image: NDArray[Any], interpolation: int) -> NDArray[Any]:
        """``[H, W]`` -> ``[size, size]``; ``interpolation`` is OpenCV's number."""
        person = np.ascontiguousarray(image[self.top : self.bottom])
        scaled = require("cv2").resize(person, (self.width, self.size), interpolation=interpolation)
        return _window(scaled, self.left, self.size)


def normalise_silhouettes(
    frames: NDArray[np.uint8],
    size: int = 64,
    *,
    min_sum: int = 10_000,
    interpolation: Literal["cubic", "area"] = "cubic",
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Crop each silhouette to its rows, scale it to ``size`` rows and centre it on its median column.

    ``interpolation="cubic"`` is what OpenGait does for most data sets, ``"area"`` with ``min_sum=0`` what
    it does for CCPG.

    Args:
        frames: uint8 ``[T, H, W]``, 0 or 255.
        size: height and width of the result, even.
        min_sum: frames whose pixels sum to this or less (40 white pixels) are dropped.
        interpolation: how pixels are resized.

    Returns:
        uint8 ``[T', size, size]``, and int64 ``[T']``: which frames were kept.

    Raises:
        InputError: wrong dtype or shape, or white is 1 instead of 255.
        MissingDependency: OpenCV is not installed.
    """
    _check(frames, size)
    cv2 = require("cv2")
    how = {"cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}[interpolation]
    sums = frames.sum(axis=(1, 2), dtype=np.int64)
    kept = np.flatnonzero(sums > max(min_sum, 0))
    out = np.zeros((len(kept), size, size), np.uint8)
    good = np.ones(len(kept), dtype=bool)
    for slot, index in enumerate(kept):
        placed = place_silhouette(frames[index], size, how)
        good[slot] = placed is not None
        if placed is not None:
            out[slot] = placed[1]
    return out[good], kept[good]


def place_silhouette(
    frame: NDArray[np.uint8], size: int, interpolation: int
) -> tuple[Placement, NDArray[np.uint8]] | None:
    """Where a silhouette ``[H, W]`` that is not empty goes, and it at that place ``[size, size]``.

    None where nothing is left of it.
    """
    rows = np.flatnonzero(frame.any(axis=1))
    person = frame[rows[0] : rows[-1] + 1]
    width = size * person.shape[1] // person.shape[0]
    if width < 1:  # a single bright column of a very narrow image
        return None
    cv2 = require("cv2")
    scaled = cv2.resize(np.ascontiguousarray(person), (width, size), interpolation=interpolation)
    if not scaled.any():
        return None
    # centred on the first column at which more than half of the brightness is passed
    passed = scaled.sum(axis=0, dtype=np.int64).cumsum()
    left = int(np.argmax(2 * passed > passed[-1])) - size // 2
    placement = Placement(int(rows[0]), int(rows[-1]) + 1, width, left, size)
    return placement, _window(scaled, left, size)


def cut_sides(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Leave out the sides, where nobody walks: 10 columns off each side for every 64, so 64 become 44.

    Args:
        x: ``[..., H, W]``.

    Returns:
        A view ``[..., H, W - 20 (W // 64)]``.
    """
    cut = x.shape[-1] // 64 * CUT_COLUMNS
    return x[..., cut : x.shape[-1] - cut]


def _window(scaled: NDArray[Any], left: int, size: int) -> NDArray[Any]:
    """``size`` columns from ``left`` on, with nothing beside the picture."""
    half = size // 2
    if left <= 0 or left + size >= scaled.shape[1]:
        scaled = np.pad(scaled, ((0, 0), (half, half)))
        left += half
    return scaled[:, left : left + size]


def _check(frames: NDArray[np.uint8], size: int) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape[1:]:
        raise InputError(
            f"silhouettes must be uint8 [T, H, W], 0 or 255, not {frames.dtype} {list(frames.shape)}"
        )
    if frames.size and 0 < frames.max() < 2:
        raise InputError("silhouettes must hold 0 or 255, not 0 or 1; multiply them by 255")
    if size < 2 or size % 2:
        raise InputError(f"size must be an even number of pixels, not {size}")

"""Whether the camera stands still, and how far the picture has moved if it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.types import NS_PER_S

WIDTH = 320  # pixels across the picture in which motion is looked for
GRID = (3, 4)  # rows and columns of cells that vote
TEXTURE = 4.0  # grey levels (standard deviation) below which a cell has nothing to hold on to
STEP_PX = 0.6  # a median shift below this is noise of the estimate
KEY_S = 0.3  # how often the picture that shifts are measured from is renewed


class CameraMotion:
    """Shift of the whole picture, by phase correlation in the cells of a grid.

    A person moves a few cells, the camera moves nearly all of them: the picture counts as moved when most
    cells with texture, and at least a third of all cells, agree on a shift. Zoom, roll and parallax are
    read as the shift that fits best.
    """

    def __init__(self) -> None:
        self._key: NDArray[np.float32] | None = None
        self._key_ns = 0
        self._key_pan: NDArray[np.float64] = np.zeros(2)
        self.pan: NDArray[np.float64] = np.zeros(2)
        """How far the picture's content has moved since the start, x and y in pixels of the full image."""
        self.moved_ns: int | None = None
        """When the picture was last seen to move; None = it never did."""

    def still(self, t_ns: int, seconds: float) -> bool:
        """Whether the camera has stood still for the last ``seconds``."""
        return self.moved_ns is None or t_ns - self.moved_ns > seconds * NS_PER_S

    def step(self, image: NDArray[np.uint8], t_ns: int) -> None:
        """Take in the next frame, ``[H, W, 3]``."""
        cv2 = require("cv2")
        scale = min(1.0, WIDTH / image.shape[1])
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._key is None:
            self._key, self._key_ns = grey, t_ns
            return
        shift = _shift(self._key, grey)
        if shift is not None:
            self.moved_ns = t_ns
            self.pan = self._key_pan + shift / scale
        if shift is not None or t_ns - self._key_ns >= KEY_S * NS_PER_S:
            self._key, self._key_ns, self._key_pan = grey, t_ns, self.pan


def _shift(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The shift that the cells agree on; None where the picture as a whole stands still."""
    shifts = np.array([found for pair in _cells(before, after) if (found := _cell_shift(*pair)) is not None])
    if not len(shifts):
        return None
    middle = np.median(shifts, axis=0)
    agree = int((np.linalg.norm(shifts - middle, axis=1) < 1.5).sum())
    moved = bool(np.linalg.norm(middle) > STEP_PX)
    if moved and agree > len(shifts) / 2 and agree >= GRID[0] * GRID[1] / 3:
        return np.asarray(middle, dtype=np.float64)
    return None


def _cells(*images: NDArray[np.float32]) -> list[tuple[NDArray[np.float32], ...]]:
    height, width = images[0].shape[0] // GRID[0], images[0].shape[1] // GRID[1]
    return [
        tuple(image[r * height : (r + 1) * height, c * width : (c + 1) * width] for image in images)
        for r in range(GRID[0])
        for c in range(GRID[1])
    ]


def _cell_shift(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[Any] | None:
    cv2 = require("cv2")
    if min(before.shape) < 16 or min(before.std(), after.std()) < TEXTURE:
        return None
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    shift, response = cv2.phaseCorrelate(np.ascontiguousarray(before), np.ascontiguousarray(after), window)
    # a weak peak means that nothing in the cell moved as one: new content, or leaves in the wind
    return np.array(shift) if response > 0.05 else np.zeros(2)

"""Boxes and crops, numpy only. A box is x, y, width, height in pixels of the full image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
CANVAS = 128  # side of the square canvas that a person is drawn on, in pixels


def iou(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over union of the boxes ``a`` ``[m, 4]`` with the boxes ``b`` ``[n, 4]``: ``[m, n]``."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:4], b[None, :, :2] + b[None, :, 2:4])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = np.prod(a[:, None, 2:4], axis=-1) + np.prod(b[None, :, 2:4], axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def centred(boxes: Floats) -> NDArray[np.float64]:
    """Boxes ``[..., 4]`` as centre x, centre y, width, height."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[..., :2] + boxes[..., 2:] / 2, boxes[..., 2:]], axis=-1)


def cornered(boxes: Floats) -> NDArray[np.float64]:
    """The inverse of :func:`centred`."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., 2:]], axis=-1)


def square(box: Floats, margin: float) -> tuple[int, int, int]:
    """The square x, y, side (whole pixels) around a box's centre; side = margin times its longer side."""
    side = max(round(margin * float(max(box[2], box[3]))), 2)
    x, y = (round(float(box[i] + box[i + 2] / 2 - side / 2)) for i in (0, 1))
    return x, y, side


def mask_box(mask: NDArray[Any]) -> NDArray[np.float64] | None:
    """The box around the non-zero pixels of a mask ``[H, W]``; None where there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    x, y = columns[0], rows[0]
    return np.array([x, y, columns[-1] + 1 - x, rows[-1] + 1 - y], dtype=np.float64)


def cut(image: NDArray[Any], place: tuple[int, int, int]) -> NDArray[Any]:
    """The square ``place`` of an image ``[H, W, ...]``; what lies outside the image is 0."""
    x, y, side = place
    out = np.zeros((side, side, *image.shape[2:]), dtype=image.dtype)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + side, image.shape[1]), min(y + side, image.shape[0])
    if right > left and bottom > top:
        out[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return out


def shrink(image: NDArray[Any], size: int) -> NDArray[np.float32]:
    """A square image ``[s, s]`` as ``[size, size]``: linear interpolation, averaged where it shrinks."""
    weights = _weights(image.shape[0], size)
    return np.asarray(weights @ image.astype(np.float32) @ weights.T, dtype=np.float32)


def mask_canvas(mask: NDArray[Any], place: tuple[int, int, int], size: int = CANVAS) -> NDArray[np.uint8]:
    """A mask's square ``place`` as a canvas ``[size, size]`` of 0 and 255."""
    share = shrink(cut(mask > 0, place), size)
    return np.where(share >= 0.5, 255, 0).astype(np.uint8)


def nearest_canvas(image: NDArray[Any], place: tuple[int, int, int], size: int = CANVAS) -> NDArray[Any]:
    """An image's square ``place`` as ``[size, size]``, nearest pixel: depths are never mixed."""
    patch = cut(image, place)
    index = np.minimum(((np.arange(size) + 0.5) * place[2] / size).astype(int), place[2] - 1)
    picked: NDArray[Any] = patch[np.ix_(index, index)]
    return picked


def _weights(source: int, size: int) -> NDArray[np.float32]:
    """Rows of triangle weights, each summing to 1: output pixel from input pixels, centres aligned."""
    step = source / size
    centre = (np.arange(size) + 0.5) * step - 0.5
    distance = np.abs(np.arange(source)[None, :] - np.clip(centre, 0, source - 1)[:, None])
    weights = np.clip(1 - distance / max(step, 1.0), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

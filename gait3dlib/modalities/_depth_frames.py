"""Depth of one walk as pictures beside its silhouettes: what of the body lies nearer, and what farther.

A sensor's depth is metric: a pixel says how far it lies before or behind the person's median, in metres, so
distance does not matter and thickness does. An estimator's depth is known up to scale and shift (Ranftl et
al., MiDaS, TPAMI 2022), so it is measured in spreads of the person's own pixels instead (DepthGait, Li et
al., ACM MM 2025). Both are taken anew in every frame. A pixel without depth is not known, and never 0 m.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib._optional import require
from gait3dlib.errors import InputError
from gait3dlib.modalities._silhouettes import Placement, cut_sides, place_silhouette
from gait3dlib.types import Stream, align

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIZE = 64
REACH_M = 0.5  # before and behind the median; a stride and a swinging arm reach farther by little
THICK_M = 0.75  # what lies farther from the median is not the person
SPREADS = 3.8  # interquartile ranges that stand for REACH_M: a simulated walker's is 0.13 m on average
GROWN = 0.06  # of a body's height: a sensor's depth has its own edges, and its own instant
LEAST = 20  # pixels with depth, or a frame says nothing
LEAST_SUM = 10_000  # as silhouettes: 40 white pixels
STEPS = 32767  # of relief to either side; 0 stands for "not known"
WHOLE = 0.9  # of a crop: so much depth is no person cut out


def depth_frames(
    silhouette: Stream, depth: Stream, tolerance_s: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of the instants that both streams show.

    Args:
        silhouette: uint8 ``[T, H, W]``, 0 or 255.
        depth: ``[T', H', W']`` in mm, m, or 1 (relative); 0 = none. Boxes say how both lie to each other;
            without any, their frames are of one size.
        tolerance_s: how far apart the two may lie in time.

    Returns:
        uint8 ``[n, 3, 64, 44]``: the silhouette as :func:`normalise_silhouettes` makes it, high and low byte
        of the relief (see :func:`unpack`); and int64 ``[n]``, the frames of ``silhouette`` they are of.

    Raises:
        InputError: nothing says how the two streams lie to each other.
        MissingDependency: OpenCV is not installed.
    """
    _check_registered(silhouette, depth)
    pairs = align({"silhouette": silhouette, "depth": depth}, tolerance_s)
    pictures: list[NDArray[np.uint8]] = []
    kept: list[int] = []
    for at, beside in zip(pairs["silhouette"], pairs["depth"], strict=True):
        frame = silhouette.frame(int(at))
        if (kept and kept[-1] == at) or frame.sum(dtype=np.int64) <= LEAST_SUM:
            continue
        z = onto(depth, int(beside), silhouette, int(at))
        found = None if z is None else _picture(frame, z, depth.units)
        if found is not None:
            pictures.append(found)
            kept.append(int(at))
    shape = (len(kept), 3, *cut_sides(np.empty((SIZE, SIZE), np.uint8)).shape)
    return np.array(pictures, np.uint8).reshape(shape), np.array(kept, np.int64)


def onto(source: Stream, index: int, target: Stream, at: int) -> NDArray[Any] | None:
    """Frame ``index`` of one stream on the pixels of frame ``at`` of another, nearest pixel; 0 outside.

    None where a box has no size.
    """
    image, shape = source.frame(index), target.frame(at).shape[:2]
    if source.boxes is None or target.boxes is None:
        return image
    from_, to = source.boxes[index].astype(np.float64), target.boxes[at].astype(np.float64)
    if not (np.isfinite(from_).all() and np.isfinite(to).all() and min(*from_[2:], *to[2:]) > 0):
        return None
    out = np.zeros((*shape, *image.shape[2:]), image.dtype)
    places = []
    for axis, pixels in ((1, shape[0]), (0, shape[1])):
        middle = to[axis] + (np.arange(pixels) + 0.5) * to[axis + 2] / pixels
        places.append(np.floor((middle - from_[axis]) * image.shape[1 - axis] / from_[axis + 2]))
    rows, columns = places
    y = np.flatnonzero((rows >= 0) & (rows < image.shape[0]))
    x = np.flatnonzero((columns >= 0) & (columns < image.shape[1]))
    out[np.ix_(y, x)] = image[np.ix_(rows[y].astype(int), columns[x].astype(int))]
    return out


def relief(body: Mask, z: F64, units: str) -> tuple[F64, Mask] | None:
    """How far each pixel lies before (-) or behind (+) the median of the person's pixels, in -1..1.

    Args:
        body: bool ``[H, W]``, the silhouette.
        z: ``[H, W]``, 0 = none.
        units: "mm" or "m": 1 is :data:`REACH_M`; "1": 1 is as many interquartile ranges as a walker's have.

    Returns:
        Relief, 0 where it is not known, and where it is; None where too little is.
    """
    inside = body & (z != 0) if units == "1" else body & (z > 0)
    if inside.sum() < LEAST:
        return None
    # the difference first, then the scale: so an offset of whole millimetres leaves no trace at all
    away = z - np.median(z[inside])
    if units == "1":
        known = inside
        low, high = np.percentile(away[inside], [25, 75])
        reach = SPREADS * (high - low)
    else:
        metre = 1e3 if units == "mm" else 1.0
        rows = np.flatnonzero(body.any(axis=1))
        grown = ndimage.maximum_filter(body, size=2 * round(GROWN * (rows[-1] + 1 - rows[0])) + 1)
        known = grown & (z > 0) & (np.abs(away) < THICK_M * metre)
        reach = REACH_M * metre
    if known.sum() < LEAST:
        return None
    scaled = np.clip(away / reach, -1, 1) if reach > 0 else np.zeros_like(away)
    return np.where(known, scaled, 0.0), known


def silhouette_of(depth: Stream) -> Stream | None:
    """The outline of a person who was cut out of depth images; None where nobody was cut out.

    Pixels that the sensor lost within the body and along its edge are closed, small parts are left out.
    """
    if depth.units == "1":
        return None  # an estimator has a depth for everything
    metre = 1e3 if depth.units == "mm" else 1.0
    out = np.zeros(depth.data.shape, np.uint8)
    for index in range(len(depth)):
        z = depth.frame(index)
        there = z > 0
        if not there.any() or there.mean() > WHOLE:
            continue
        there &= np.abs(z - np.median(z[there]).astype(np.float64)) < THICK_M * metre
        padded = ndimage.binary_closing(np.pad(there, 2), np.ones((3, 3)), iterations=2)[2:-2, 2:-2]
        labels, _ = ndimage.label(padded, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        parts = np.flatnonzero(sizes >= 0.05 * sizes.max(initial=0)) + 1
        out[index][np.isin(labels, parts)] = 255
    if not out.any():
        return None
    return Stream(out, depth.t_ns, boxes=depth.boxes, calibration=depth.calibration)


def pack(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Relief in -1..1 and where it is known, each ``[..., 1, H, W]``, -> two bytes, uint8 ``[..., 2, H, W]``.

    Eight bits would round an estimator's values to other steps when they come scaled and shifted.
    """
    code = torch.where(known, (values * STEPS).round().int() + (STEPS + 1), 0)
    return torch.cat([code >> 8, code & 255], dim=-3).to(torch.uint8)


def unpack(frames: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames uint8 ``[..., 3, H, W]`` -> silhouette in 0..1, relief (0 where not known), and 1 where it is;
    each ``[..., 1, H, W]``."""
    silhouette, high, low = (frames.to(dtype).narrow(-3, channel, 1) for channel in range(3))
    code = 256 * high + low
    known = (code > 0).to(dtype)
    return silhouette / 255, known * (code - (STEPS + 1)) / STEPS, known


def _picture(frame: NDArray[np.uint8], z: NDArray[Any], units: str) -> NDArray[np.uint8] | None:
    cv2 = require("cv2")
    placed = place_silhouette(frame, SIZE, cv2.INTER_CUBIC)
    found = relief(frame > 127, z.astype(np.float64), units)
    if placed is None or found is None:
        return None
    placement, silhouette = placed
    values, known = _resized(*found, placement)
    if not known.any():
        return None
    packed = pack(torch.from_numpy(values[None]), torch.from_numpy(known[None])).numpy()
    return cut_sides(np.concatenate([silhouette[None], packed]))


def _resized(values: F64, known: Mask, placement: Placement) -> tuple[F64, Mask]:
    """Means over what is known; a pixel is known where half of it is."""
    cv2 = require("cv2")
    shrinks = placement.bottom - placement.top > SIZE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    share = placement.apply(known.astype(np.float64), how)
    total = placement.apply(values, how)
    held = share >= 0.5
    return np.clip(total / np.where(held, share, 1.0), -1, 1), held


def _check_registered(silhouette: Stream, depth: Stream) -> None:
    if silhouette.boxes is not None and depth.boxes is not None:
        return
    if silhouette.boxes is None and depth.boxes is None and silhouette.data.shape[1:] == depth.data.shape[1:]:
        return
    raise InputError(
        "depth and silhouette cannot be laid over each other; give both their boxes in the full image, or "
        "neither and frames of one size"
    )

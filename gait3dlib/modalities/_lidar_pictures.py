"""Pictures of the points that a LiDAR sees of a walker: ranges in metres, and the coloured ones of LidarGait.

:func:`range_picture` is what our own models read. :func:`jet_picture` redraws what OpenGait's LidarGait
checkpoints were trained on (Shen et al., CVPR 2023): points as dots of a colour map, then enlarged.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

Channel = Literal["range", "height", "intensity"]
BEAM_DEG = (0.19188, 0.2)  # between two columns and two rows of SUSTech1K's sensor

# the panorama in which the coloured pictures are drawn: angles to units, units to pixels
_U0, _V0 = 938.09, 125.0
_PIXELS_A_UNIT = 0.77
_ROWS, _COLUMNS = 154, 1444
_DOT_RADIUS = 100 / 72 / 2  # a dot of one point (1/72 inch) across, at 100 pixels an inch
_PHASES, _FINE = 32, 16
_MIN_SUM = 10_000
_CUBIC = -0.75


class RangePicture(NamedTuple):
    """What a LiDAR sees of a walker, as a picture.

    values: float32 ``[channels, size, size]``, 0 = nothing there. A pixel looks along the azimuth
    ``azimuth_rad - (column + 0.5) step_rad`` (to the left is positive) and the elevation
    ``elevation_rad - (row + 0.5) step_rad``.
    """

    values: NDArray[np.float32]
    azimuth_rad: float
    elevation_rad: float
    step_rad: float


def range_picture(
    points: NDArray[Any],
    size: int = 64,
    *,
    channels: Sequence[Channel] = ("range",),
    beam_deg: tuple[float, float] = BEAM_DEG,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> RangePicture | None:
    """The walker as the sensor sees them: ``size`` rows from head to foot, centred on the median column.

    Every point fills the pixels whose middle its beam covers, at least the one that it falls into; where
    several do, the nearest point is seen. Pixels are square in angle.

    Args:
        points: ``[N, 3 or more]`` x, y, z (up) in metres, then intensity; of one person.
        size: height and width of the picture.
        channels: "range" is the distance in metres, "height" metres above the lowest point.
        beam_deg: angle between two neighbouring beams, horizontally and vertically.
        origin: where the sensor stands.

    Returns:
        The picture; None where there is no point.

    Raises:
        InputError: wrong shape, NaN, an unknown channel, or one that the points do not have.
    """
    held = _checked(points, channels, beam_deg, size)
    seen = held[:, :3] - np.asarray(origin, np.float64)
    distance = np.linalg.norm(seen, axis=1)
    held, seen, distance = held[distance > 0], seen[distance > 0], distance[distance > 0]
    if not len(held):
        return None
    azimuth = np.arctan2(seen[:, 1], seen[:, 0])
    middle = np.arctan2(np.sin(azimuth).sum(), np.cos(azimuth).sum())
    aside = (azimuth - middle + np.pi) % (2 * np.pi) - np.pi  # no jump where the circle closes
    elevation = np.arctan2(seen[:, 2], np.hypot(seen[:, 0], seen[:, 1]))
    wide, high = np.radians(beam_deg)
    top = float(elevation.max() + high / 2)
    step = float(top - (elevation.min() - high / 2)) / size
    left = float(np.median(aside)) + size / 2 * step
    rows, columns = (top - elevation) / step, (left - aside) / step
    pixel, owner = _covered(rows, columns, high / step / 2, wide / step / 2, size)
    order = np.argsort(-distance[owner], kind="stable")  # of several values for one pixel the last one stays
    layers = {
        "range": distance,
        "height": held[:, 2] - held[:, 2].min(),
        "intensity": held[:, 3] if held.shape[1] > 3 else distance,
    }
    values = np.zeros((len(channels), size * size), np.float32)
    for value, name in zip(values, channels, strict=True):
        value[pixel[order]] = layers[name][owner[order]]
    shape = (len(channels), size, size)
    return RangePicture(values.reshape(shape), float(middle) + left, top, step)


def jet_picture(points: NDArray[Any], size: int = 64) -> NDArray[np.uint8] | None:
    """The picture that LidarGait's checkpoints know: ground distance in the colours of *jet*, as dots.

    A dot a point on a black panorama of 154 x 1444 pixels, in the order of the points; rows from the first to
    the one before the last that hold something, enlarged to ``size`` (bicubic), and ``size`` columns around
    the median of brightness. As in OpenGait a window that touches an edge of the panorama is moved by half
    its size; what then lies outside is black.

    Args:
        points: ``[N, 3 or more]`` x, y, z (up) in metres around the sensor; of one person.
        size: height and width of the picture, even.

    Returns:
        uint8 ``[3, size, size]``, red, green, blue; None where hardly anything is seen.

    Raises:
        InputError: wrong shape, NaN, or an odd size.
    """
    held = _checked(points, ("range",), BEAM_DEG, size)
    if size % 2:
        raise InputError(f"size must be an even number of pixels, not {size}")
    if not len(held):
        return None
    image, first = _panorama(held)
    if image.sum(dtype=np.int64) <= _MIN_SUM:
        return None
    rows = np.flatnonzero(image.any(axis=(1, 2)))
    person = image[rows[0] : rows[-1]]  # without the last row, as OpenGait cuts it
    if not len(person):
        return None
    scaled, start, width = _enlarged(person, first, size)
    passed = scaled.sum(axis=(0, 2), dtype=np.int64).cumsum()
    left = start + int(np.argmax(2 * passed > passed[-1])) - size // 2
    if left <= 0 or left + size >= width:
        left += size // 2
    out = np.zeros((size, size, 3), np.uint8)
    low, high = max(left, start), min(left + size, start + scaled.shape[1])
    if high > low:
        out[:, low - left : high - left] = scaled[:, low - start : high - start]
    return np.ascontiguousarray(out.transpose(2, 0, 1))


def jet(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The colours of MATLAB's *jet* for values in 0..1: uint8 ``[..., 3]``, in 256 steps."""
    return _jet_table()[np.minimum(values * 256, 255).astype(np.int64)]


@functools.cache
def _jet_table() -> NDArray[np.uint8]:
    step = 255 * np.linspace(0, 1, 256)  # not quite whole: what lies halfway between two levels is rounded so
    corners = (
        ((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
        ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
        ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0)),
    )
    table = np.empty((256, 3), np.uint8)
    for color, (places, levels) in zip(table.T, corners, strict=True):
        x, y = 255 * np.array(places), np.array(levels)
        above = np.searchsorted(x, step).clip(1, len(x) - 1)
        share = (step - x[above - 1]) / (x[above] - x[above - 1])
        color[:] = np.floor(255 * (share * (y[above] - y[above - 1]) + y[above - 1]) + 0.5)
    return table


def _covered(
    rows: NDArray[np.float64], columns: NDArray[np.float64], high: float, wide: float, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which pixels each point fills: the flat index of a pixel and the point, one entry a pair."""
    (top, tall), (left, broad) = _span(rows, high), _span(columns, wide)
    y = top[:, None] + np.arange(tall.max())
    x = left[:, None] + np.arange(broad.max())
    inside_y = (np.arange(tall.max()) < tall[:, None]) & (y >= 0) & (y < size)
    inside_x = (np.arange(broad.max()) < broad[:, None]) & (x >= 0) & (x < size)
    owner, row, column = np.nonzero(inside_y[:, :, None] & inside_x[:, None, :])
    return y[owner, row] * size + x[owner, column], owner


def _span(at: NDArray[np.float64], half: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first pixel whose middle lies within ``half`` of a place, and how many do; at least its own."""
    own = np.floor(at)
    first = np.minimum(np.ceil(at - half - 0.5), own)
    last = np.maximum(np.floor(at + half - 0.5), own)
    return first.astype(np.int64), (last - first + 1).astype(np.int64)


# ---- the coloured picture ---------------------------------------------------------------------------


def _panorama(points: NDArray[np.float64]) -> tuple[NDArray[np.uint8], int]:
    """The columns of the panorama that hold dots, and some black ones beside; and the first one's number."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    ground = np.hypot(x, y)
    column = (np.degrees(np.arctan2(y, -x)) / BEAM_DEG[0] + _U0) * _PIXELS_A_UNIT
    row = _ROWS - (np.degrees(np.arctan2(z, ground)) / BEAM_DEG[1] + _V0) * _PIXELS_A_UNIT
    spread = np.ptp(ground)
    color = jet((ground.max() - ground) / spread if spread > 0 else np.zeros(len(ground)))
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    dots = _dots()[((row - top) * _PHASES).astype(np.int64), ((column - left) * _PHASES).astype(np.int64)]
    first = max(0, int(left.min()) - 6)
    width = max(min(_COLUMNS, int(left.max()) + 7) - first, 1)
    rows = (top[:, None] + np.arange(-1, 2))[:, :, None]
    columns = (left[:, None] + np.arange(-1, 2))[:, None, :] - first
    drawn = (dots > 0) & (rows >= 0) & (rows < _ROWS) & (columns >= 0) & (columns < width)
    owner = np.nonzero(drawn)[0]
    image = np.zeros((_ROWS * width, 3))
    _paint(image, (rows * width + columns)[drawn], dots[drawn], color[owner].astype(np.float64))
    return np.rint(image).astype(np.uint8).reshape(_ROWS, width, 3), first


def _paint(
    image: NDArray[np.float64],
    pixel: NDArray[np.int64],
    cover: NDArray[np.float64],
    color: NDArray[np.float64],
) -> None:
    """Lay colours over pixels in the given order, each covering a share of what is there."""
    order = np.argsort(pixel, kind="stable")
    ordered = pixel[order]
    fresh = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    layer = np.arange(len(ordered)) - np.repeat(fresh, np.diff(np.r_[fresh, len(ordered)]))
    # first what lies lowest in every pixel, then the next layer: in each layer a pixel comes once
    by_layer = order[np.argsort(layer, kind="stable")]
    for some in np.split(by_layer, np.cumsum(np.bincount(layer))[:-1]):
        at = pixel[some]
        image[at] += cover[some, None] * (color[some] - image[at])


@functools.cache
def _dots() -> NDArray[np.float64]:
    """The share of each of 3 x 3 pixels that a dot covers whose centre lies in the middle one, by its place
    there: ``[_PHASES, _PHASES, 3, 3]`` (vertical, horizontal)."""
    fine = (np.arange(3 * _FINE) + 0.5) / _FINE - 1
    centre = (np.arange(_PHASES) + 0.5) / _PHASES
    square = (fine[None] - centre[:, None]) ** 2
    inside = square[:, None, :, None] + square[None, :, None, :] <= _DOT_RADIUS**2
    return np.asarray(inside.reshape(_PHASES, _PHASES, 3, _FINE, 3, _FINE).mean(axis=(3, 5)))


def _enlarged(person: NDArray[np.uint8], first: int, size: int) -> tuple[NDArray[np.uint8], int, int]:
    """The part of the panorama that holds dots, resized to ``size`` rows; the number of its first column, and
    how many columns the whole panorama has at that size."""
    height, drawn = person.shape[:2]
    width = max(size * _COLUMNS // height, 1)
    place, weight = _cubic(_COLUMNS, width)
    low, high = first, first + drawn
    whole = ((place >= low) | (low == 0)) & ((place + 3 < high) | (high == _COLUMNS))
    start = int(np.argmax(whole))
    place, weight = place[whole], weight[whole]
    if not len(place):
        return np.zeros((size, 1, 3), np.uint8), start, width
    taps = np.clip(place[:, None] + np.arange(4), 0, _COLUMNS - 1) - first
    wide = np.einsum("hwkc,wk->hwc", person[:, taps].astype(np.float64), weight)
    place, weight = _cubic(height, size)
    taps = np.clip(place[:, None] + np.arange(4), 0, height - 1)
    scaled = np.einsum("skwc,sk->swc", wide[taps], weight)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8), start, width


def _cubic(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cubic convolution (Keys, 1981) with a = -0.75: the first of four neighbours of each new pixel, and
    their weights ``[after, 4]``."""
    at = (np.arange(after) + 0.5) * (before / after) - 0.5
    place = np.floor(at)
    t = at - place
    a = _CUBIC
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    weight = np.stack([far, *near, 1 - far - near[0] - near[1]], axis=1)
    return place.astype(np.int64) - 1, weight


def _checked(
    points: NDArray[Any], channels: Sequence[str], beam_deg: tuple[float, float], size: int
) -> NDArray[np.float64]:
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind != "f":
        raise InputError(
            "points must be floating point [N, 3 or more], x, y, z first, "
            f"not {points.dtype} {list(points.shape)}"
        )
    if not np.isfinite(points).all():
        raise InputError("points hold NaN or infinity; leave such points out")
    unknown = [name for name in channels if name not in get_args(Channel)]
    if unknown or not channels:
        raise InputError(f"channels must be of {', '.join(get_args(Channel))}, not {unknown or 'none'}")
    if "intensity" in channels and points.shape[1] < 4:
        raise InputError("these points have no intensity; leave the channel out")
    if size < 2 or min(beam_deg) <= 0:
        raise InputError(f"size and beam_deg must be positive, not {size} and {beam_deg}")
    return points.astype(np.float64)

"""Pictures and bodies as text: sprite sheets (PNG) and quantised meshes (base64) that fit inside a page."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

MAX_FRAMES = 40
MAX_PIXELS = 96  # a side of one frame
ASPECT = 44 / 64  # width / height of a stage on the page
BODY_BYTES = 280_000
BODY_FRAMES = 16


@dataclass(frozen=True)
class Body:
    """A walking cycle as base64 int16 ``[frames, V, 3]``, in steps of ``step`` metres."""

    vertices: str
    frames: int
    step: float


def evenly(frames: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` frame numbers, evenly spread over a loop of ``frames``."""
    return np.arange(min(frames, most)) * frames // min(frames, most)


def sheet(frames: NDArray[np.uint8]) -> tuple[str, int]:
    """Frames side by side as a PNG whose opacity is the brightness.

    Args:
        frames: uint8 ``[T, H, W]``.

    Returns:
        A data URI, and the number of frames in it.

    Raises:
        InputError: wrong dtype or shape, or no frame.
    """
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        raise InputError(
            f"pictures for a report must be uint8 [T, H, W], not {frames.dtype} {list(frames.shape)}"
        )
    stride = -(-max(frames.shape[1:]) // MAX_PIXELS)
    frames = frames[evenly(len(frames), MAX_FRAMES), ::stride, ::stride]
    _, height, width = frames.shape
    rows, columns = max(0, round(width / ASPECT) - height), max(0, round(height * ASPECT) - width)
    left = columns // 2 + 1  # an empty column on each side keeps neighbours apart when the sheet is scaled
    frames = np.pad(frames, ((0, 0), (rows // 2, rows - rows // 2), (left, columns - columns // 2 + 1)))
    row = frames.transpose(1, 0, 2).reshape(frames.shape[1], -1)
    return "data:image/png;base64," + _base64(_png(row)), len(frames)


def body(vertices: NDArray[np.float32]) -> Body:
    """A cycle of a body, brought to stand on the floor and walk on the spot.

    Args:
        vertices: ``[T, V, 3]`` metres, z up; one cycle whose end leads to its start.

    Raises:
        InputError: wrong shape, NaN, or larger than 100 m.
    """
    if vertices.ndim != 3 or vertices.shape[2] != 3 or 0 in vertices.shape:
        raise InputError(f"body vertices must be [T, V, 3] in metres, not {list(vertices.shape)}")
    most = int(np.clip(BODY_BYTES // (6 * vertices.shape[1]), 2, BODY_FRAMES))
    frames = vertices[evenly(len(vertices), most)].astype(np.float64)
    frames[..., :2] -= frames[..., :2].mean(axis=1, keepdims=True)
    frames[..., 2] -= frames[..., 2].min()
    extent = np.abs(frames).max()
    if not extent < 100:  # also true for NaN
        raise InputError("body vertices must be finite and in metres")
    step = max(float(extent), 1e-3) / 32767
    return Body(_base64(np.round(frames / step).astype("<i2").tobytes()), len(frames), step)


def faces(triangles: NDArray[np.int32], vertices: int) -> str:
    """Triangles ``[F, 3]`` as base64 uint32.

    Raises:
        InputError: wrong shape, or a triangle names a vertex that is not there.
    """
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise InputError(f"body faces must be integers [F, 3], not {triangles.dtype} {list(triangles.shape)}")
    if triangles.size and not (triangles.min() >= 0 and triangles.max() < vertices):
        raise InputError(f"a body face names a vertex beyond the {vertices} there are")
    return _base64(triangles.astype("<u4").tobytes())


def _png(image: NDArray[np.uint8]) -> bytes:
    """An indexed PNG, uint8 ``[H, W]``: every colour is white and value v has opacity v."""
    height, width = image.shape
    above = np.vstack([np.zeros((1, width), np.uint8), image[:-1]])
    lines = np.hstack([np.full((height, 1), 2, np.uint8), image - above])  # filter 2: less the row above
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", b"\xff" * 768),
        (b"tRNS", bytes(range(256))),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

"""Files that hold one cloud of points each: PCD and PLY, in text and in binary.

Read are PCD 0.7 (``ascii``, ``binary``, ``binary_compressed``) [1] and PLY 1.0 (``ascii`` and both binary
orders; vertices with scalar properties) [2]. Of the fields x, y, z and intensity (or reflectivity) are kept.

[1] https://pointclouds.org/documentation/tutorials/pcd_file_format.html
[2] G. Turk, "The PLY polygon file format", Stanford, 1994.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

MAX_POINTS = 20_000_000
MAX_HEAD = 2**16
SHADES = ("intensity", "intensities", "reflectivity", "i", "scalar_intensity", "scalar_Intensity")
PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4",
    "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


def read_cloud(path: Path) -> NDArray[np.float32]:
    """The points ``[n, 4]`` of a file, x, y, z, intensity (0 where it has none).

    Raises:
        InputError: it cannot be read, or holds no points.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        table = _pcd(raw) if path.suffix.lower() == ".pcd" else _ply(raw)
        names = table.dtype.names or ()
        shade = next((name for name in SHADES if name in names), None)
        columns = [table[name] for name in "xyz"]
        columns.append(np.zeros(len(table)) if shade is None else table[shade])
        return np.stack([column.astype(np.float32) for column in columns], axis=-1)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        why = str(error).strip("'\"") or type(error).__name__
        raise InputError(f"{path} is no cloud of points that can be read ({why}); save it again") from None


def _pcd(raw: bytes) -> NDArray[Any]:
    place = raw.find(b"DATA ", 0, MAX_HEAD)
    stop = raw.find(b"\n", place)
    if place < 0 or stop < 0:
        raise ValueError("there is no DATA line")
    lines = [line.split() for line in raw[:place].decode("latin-1").splitlines() if not line.startswith("#")]
    head = {words[0]: words[1:] for words in lines if words}
    names, kinds, sizes = head["FIELDS"], head["TYPE"], [int(size) for size in head["SIZE"]]
    counts = [int(count) for count in head.get("COUNT", ["1"] * len(names))]
    total = int(head["POINTS"][0]) if "POINTS" in head else int(head["WIDTH"][0]) * int(head["HEIGHT"][0])
    fields = []
    for number, (name, kind, size, count) in enumerate(zip(names, kinds, sizes, counts, strict=True)):
        # fields of one name, such as padding, would make a table impossible
        unique = f"{name}.{number}" if name in names[:number] else name
        fields.append(
            (unique, f"<{kind.lower()}{size}", (count,)) if count != 1 else (unique, f"<{kind.lower()}{size}")
        )
    dtype = np.dtype(fields)
    _check(total)
    how, body = raw[place + 5 : stop].strip(), raw[stop + 1 :]
    if how == b"ascii":
        return _text(body, dtype, total)
    if how == b"binary":
        return _binary(body, dtype, total)
    if how != b"binary_compressed":
        raise ValueError(f"its data is {how.decode('latin-1')!r}")
    packed, plain = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    if plain != total * dtype.itemsize or packed > len(body) - 8:
        raise ValueError("its sizes do not agree")
    data = _lzf(body[8 : 8 + packed], plain)
    out, at = np.zeros(total, dtype), 0
    for name in dtype.names or ():  # field after field
        part = dtype[name]
        out[name] = np.frombuffer(data, part.base, total * part.itemsize // part.base.itemsize, at).reshape(
            out[name].shape
        )
        at += total * part.itemsize
    return out


def _ply(raw: bytes) -> NDArray[Any]:
    stop = raw.find(b"end_header", 0, MAX_HEAD)
    if not raw.startswith(b"ply") or stop < 0:
        raise ValueError("there is no header")
    body = raw[raw.index(b"\n", stop) + 1 :]
    kind, total, element, fields = "", 0, "", list[tuple[str, str]]()
    for words in (line.split() for line in raw[:stop].decode("latin-1").splitlines()):
        if words[:1] == ["format"]:
            kind = words[1]
        elif words[:1] == ["element"]:
            if not element and words[1] != "vertex":
                raise ValueError("its first element is not the vertices")
            element = words[1]
            total = int(words[2]) if element == "vertex" else total
        elif words[:1] == ["property"] and element == "vertex":
            fields.append((words[2], PLY_TYPES[words[1]]))
    _check(total)
    if kind == "ascii":
        return _text(body, np.dtype(fields), total)
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}[kind]
    return _binary(body, np.dtype([(name, order + size) for name, size in fields]), total)


def _check(total: int) -> None:
    if not 0 <= total <= MAX_POINTS:
        raise ValueError(f"it says that it holds {total} points; at most {MAX_POINTS} are read")


def _binary(body: bytes, dtype: np.dtype[Any], total: int) -> NDArray[Any]:
    if len(body) < total * dtype.itemsize:
        raise ValueError(f"it ends after {len(body) // max(dtype.itemsize, 1)} of {total} points")
    return np.frombuffer(body, dtype, total)


def _text(body: bytes, dtype: np.dtype[Any], total: int) -> NDArray[Any]:
    names = dtype.names or ()
    widths = [int(np.prod(dtype[name].shape, dtype=int)) for name in names]
    values = np.array(body.split()[: total * sum(widths)], dtype=np.float64)
    if len(values) < total * sum(widths):
        raise ValueError(f"it ends after {len(values) // max(sum(widths), 1)} of {total} points")
    rows, out, at = values.reshape(total, sum(widths)), np.zeros(total, dtype), 0
    for name, width in zip(names, widths, strict=True):
        out[name] = rows[:, at : at + width].reshape(out[name].shape)
        at += width
    return out


def _lzf(data: bytes, size: int) -> bytes:
    """What Marc Lehmann's LZF packed: runs as they are, and copies of what came before."""
    out, at = bytearray(), 0
    while at < len(data) and len(out) < size:
        control, at = data[at], at + 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length, at = length + data[at], at + 1
        start, at = len(out) - ((control & 31) << 8) - data[at] - 1, at + 1
        if start < 0:
            raise ValueError("its compressed data is damaged")
        for step in range(length + 2):  # a copy may reach into itself
            out.append(out[start + step])
    if len(out) != size:
        raise ValueError("its compressed data is damaged")
    return bytes(out)

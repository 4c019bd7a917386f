"""What the steps of a pickle make: arrays over the bytes of the file, and inert descriptions of all else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

MAX_DIMENSIONS = 8

_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_OBJECTS = re.compile(r"\|?O8?")


@dataclass(eq=False)
class Record:
    """An object of a class that is not ours, as the file describes it: inert, its class was never loaded."""

    name: str
    args: Any = ()
    state: Any = None


@dataclass(frozen=True)
class Name:
    """A function or class that the file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Dtype:
    """The type of an array's elements; its byte order comes by a later step."""

    text: str

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self.text)

    @property
    def of_objects(self) -> bool:
        return _OBJECTS.fullmatch(self.text) is not None


@dataclass(eq=False)
class Unfilled:
    """An array whose shape and bytes come by a later step; ``slots`` is where the memo holds it."""

    slots: list[int]


class Maker:
    """Makes arrays, and keeps account of the bytes that are copied for them."""

    def __init__(self, size: int, where: str) -> None:
        self.where = where
        # a few steps copy bytes; a file cannot ask for the same copy again and again
        self.budget = 4 * size + 1024

    def array(self, shape: Any, dtype: Dtype, fortran: Any, raw: Any) -> NDArray[Any] | list[Any]:
        """An array over the bytes of the file, or the list that an array of objects holds."""
        if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
            raise ValueError("no shape")
        if dtype.of_objects:
            if type(raw) is not list or list(shape) != [len(raw)]:
                raise InputError(f"{self.where} is refused: it holds an array of objects, not of numbers")
            return raw
        if isinstance(raw, str):  # Python 2 wrote bytes as text
            self.spend(len(raw))
            raw = raw.encode("latin-1")
        kind = dtype.resolve()
        if not isinstance(raw, (bytes, bytearray)) or math.prod(shape) * kind.itemsize != len(raw):
            raise ValueError("the bytes do not fill the shape")
        stored = np.dtype(np.uint8) if kind.kind == "b" else kind
        array: NDArray[Any] = np.ndarray(tuple(shape), stored, raw, order="F" if fortran else "C")
        if kind.kind == "b":  # any byte but 0 is true, where NumPy would trust the file
            self.spend(array.size)
            return np.asarray(array != 0)
        if not kind.isnative:
            self.spend(len(raw))
            return array.astype(kind.newbyteorder("="))
        return array

    def spend(self, count: int) -> None:
        """Account for bytes that a step copies."""
        self.budget -= count
        if self.budget < 0:
            raise InputError(f"{self.where} is refused: it copies the same bytes again and again")


def _empty_array(maker: Maker, args: Any) -> Unfilled:
    if not (isinstance(args[0], Name) and args[0].name == "ndarray"):
        raise InputError(f"{maker.where} is refused: it holds an array of a class of its own")
    return Unfilled([])


def _dtype(maker: Maker, args: Any) -> Dtype:
    text = args[0]
    if not isinstance(text, str) or not (_NUMBERS.fullmatch(text) or _OBJECTS.fullmatch(text)):
        raise InputError(f"{maker.where} is refused: it holds an array of {str(text)[:40]!r}, not of numbers")
    return Dtype(text)


def _scalar(maker: Maker, args: Any) -> Any:
    values = maker.array((1,), args[0], False, args[1])
    if isinstance(values, list):
        raise TypeError("a scalar is a number")
    return values[0].item()


def _array_of_buffer(maker: Maker, args: Any) -> NDArray[Any] | list[Any]:
    raw, dtype, shape, order, *axes = args
    array = maker.array(shape, dtype, order == "F", raw)
    if order == "K" and axes and axes[0] is not None and not isinstance(array, list):
        return array.transpose(axes[0])
    return array


def _encoded(maker: Maker, args: Any) -> bytes:
    text, encoding = args
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes are written as latin-1")
    maker.spend(len(text))
    return str.encode(text, "latin-1")


def _no_bytes(maker: Maker, args: Any) -> bytes:
    if args != ():
        raise ValueError("only empty bytes are written so")
    return b""


def _not_called(maker: Maker, args: Any) -> Any:
    raise TypeError("a class is named, not called")


def _old_object(maker: Maker, args: Any) -> Record:
    return Record(args[0].name)


KNOWN: dict[tuple[str, str], Callable[[Maker, Any], Any]] = {
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    # how Python 2 made objects; the class itself is a record, or the file is refused before
    ("copy_reg", "_reconstructor"): _old_object,
    ("copyreg", "_reconstructor"): _old_object,
    ("__builtin__", "object"): _not_called,
    ("builtins", "object"): _not_called,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_of_buffer),
        )
    },
}

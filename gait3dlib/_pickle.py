"""Pickles from outside, read without running them.

A pickle is a program for a small machine with a stack. This reader follows the steps that make numbers, text,
lists, tuples, dicts and NumPy arrays. The functions and classes that a file names are compared with a short
list and are never imported or called, so nothing in the file can run. What a step makes is bounded by the
bytes that the file holds.
"""

from __future__ import annotations

import math
import os
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

MAX_BYTES = 2 * 2**30
MAX_STEPS = 20_000_000
MAX_DIMENSIONS = 8

_VALUES = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    }
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IDLE = frozenset({"PROTO", "FRAME"})
# what a machine that is fed nonsense trips over
_NONSENSE = (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)
# what the reader of steps says when the file ends before its time
_SHORT = ("exhausted", "remain", "not enough", "no newline")
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_OBJECTS = re.compile(r"\|?O8?")


@dataclass(eq=False)
class Record:
    """An object of a class that is not ours, as the file describes it: inert, its class was never loaded."""

    name: str
    args: Any = ()
    state: Any = None


def read_pickle(path: str | os.PathLike[str], *, records: bool = False) -> Any:
    """Read a pickle of numbers, text, lists, tuples, dicts and arrays of numbers.

    Arrays are read-only where they share the file's bytes; a one-dimensional array of objects is a list.

    Args:
        path: the file.
        records: keep objects of other classes as :class:`Record`; by default they are refused.

    Raises:
        InputError: the file names anything else, is truncated or damaged, or is larger than 2 GiB.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise InputError(f"{path} has {size} bytes; at most {MAX_BYTES} are read, so split it")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return loads(data, str(path), records=records)


def loads(data: bytes, where: str = "the pickle", *, records: bool = False) -> Any:
    """As :func:`read_pickle`, of bytes in memory; ``where`` names them in errors."""
    if len(data) > MAX_BYTES:
        raise InputError(f"{where} has {len(data)} bytes; at most {MAX_BYTES} are read, so split it")
    machine = _Machine(len(data), where, records)
    try:
        value = machine.run(data)
    except InputError:
        raise
    except _NONSENSE as error:
        why = "is truncated" if any(word in str(error) for word in _SHORT) else "is damaged or no pickle"
        raise InputError(f"{where} {why}; copy it again from its source") from None
    _check_plain(value, where, records)
    return value


@dataclass(frozen=True)
class _Name:
    """A function or class that the file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class _Dtype:
    """The type of an array's elements; its byte order comes by a later step."""

    text: str

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self.text)

    @property
    def of_objects(self) -> bool:
        return _OBJECTS.fullmatch(self.text) is not None


@dataclass(eq=False)
class _Unfilled:
    """An array whose shape and bytes come by a later step; ``slots`` is where the memo holds it."""

    slots: list[int]


class _Machine:
    """The stack, the memo, and what the steps do to them."""

    def __init__(self, size: int, where: str, records: bool) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.where, self.records = where, records
        # a few steps copy bytes; a file cannot ask for the same copy again and again
        self.budget = 4 * size + 1024
        self.steps: dict[str, Callable[[Any], None]] = {
            "MARK": lambda arg: self.marks.append(len(self.stack)),
            "POP": self._pop,
            "POP_MARK": lambda arg: self.stack.__delitem__(slice(self.marks.pop(), None)),
            "DUP": lambda arg: self.stack.append(self.stack[-1]),
            "LIST": lambda arg: self.stack.append(self._since_mark()),
            "TUPLE": lambda arg: self.stack.append(tuple(self._since_mark())),
            "DICT": lambda arg: self.stack.append(_pairs(self._since_mark())),
            "APPEND": lambda arg: self._extend([self.stack.pop()]),
            "APPENDS": lambda arg: self._extend(self._since_mark()),
            "SETITEM": lambda arg: self._update([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda arg: self._update(self._since_mark()),
            "PUT": self._put,
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda arg: self._put(len(self.memo)),
            "GET": self._get,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "GLOBAL": lambda arg: self._name(*arg.split(" ", 1)),
            "STACK_GLOBAL": lambda arg: self._name(self.stack.pop(-2), self.stack.pop()),
            "REDUCE": self._reduce,
            "NEWOBJ": self._reduce,
            "BUILD": self._build,
        }

    def run(self, data: bytes) -> Any:
        """Follow all steps; what is left on the stack."""
        stack = self.stack
        for count, (code, arg, _) in enumerate(pickletools.genops(data)):
            name = code.name
            if count > MAX_STEPS:
                raise InputError(f"{self.where} takes more than {MAX_STEPS} steps; split it")
            if name in _VALUES:
                stack.append(arg)
            elif name in _EMPTY:
                stack.append(_EMPTY[name]())
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                taken = _TUPLES[name]
                stack[-taken:] = [tuple(stack[len(stack) - taken :])]
            elif name == "STOP":
                break
            elif name not in _IDLE:
                if name not in self.steps:
                    raise InputError(
                        f"{self.where} is refused: the step {name} makes more than numbers and arrays"
                    )
                self.steps[name](arg)
        return stack.pop()

    def _pop(self, arg: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError("only a list is appended to")
        self.stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise TypeError("only a dict has items")
        self.stack[-1].update(_pairs(values))

    def _put(self, index: int) -> None:
        value = self.stack[-1]
        if isinstance(value, _Unfilled):
            value.slots.append(index)
        self.memo[index] = value

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _name(self, module: str, name: str) -> None:
        named = _Name(module, name)
        if (module, name) in _KNOWN:
            self.stack.append(named)
        elif self.records:
            self.stack.append(Record(str(named)))
        else:
            raise InputError(
                f"{self.where} is refused: it names {str(named)[:80]!r}, and only lists and arrays of "
                "numbers are read from pickles"
            )

    def _reduce(self, arg: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Record):
            self.stack.append(Record(function.name, args))
        else:
            self.stack.append(_KNOWN[function.module, function.name](self, args))

    def _build(self, arg: Any) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, _Dtype):
            order = state[1]
            if order not in ("<", ">", "|", "="):
                raise ValueError("no byte order")
            if not made.of_objects and order != "|":
                made.text = order + made.text.lstrip("<>|=")
        elif isinstance(made, _Unfilled):
            array = self.array(*state[-4:])
            for slot in made.slots:
                self.memo[slot] = array
            self.stack[-1] = array
        elif isinstance(made, Record):
            made.state = state
        else:
            raise TypeError("nothing else is built up")

    def array(self, shape: Any, dtype: _Dtype, fortran: Any, raw: Any) -> NDArray[Any] | list[Any]:
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


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _empty_array(machine: _Machine, args: Any) -> _Unfilled:
    if not (isinstance(args[0], _Name) and args[0].name == "ndarray"):
        raise InputError(f"{machine.where} is refused: it holds an array of a class of its own")
    return _Unfilled([])


def _dtype(machine: _Machine, args: Any) -> _Dtype:
    text = args[0]
    if not isinstance(text, str) or not (_NUMBERS.fullmatch(text) or _OBJECTS.fullmatch(text)):
        raise InputError(
            f"{machine.where} is refused: it holds an array of {str(text)[:40]!r}, not of numbers"
        )
    return _Dtype(text)


def _scalar(machine: _Machine, args: Any) -> Any:
    values = machine.array((1,), args[0], False, args[1])
    if isinstance(values, list):
        raise TypeError("a scalar is a number")
    return values[0].item()


def _array_of_buffer(machine: _Machine, args: Any) -> NDArray[Any] | list[Any]:
    raw, dtype, shape, order, *axes = args
    array = machine.array(shape, dtype, order == "F", raw)
    if order == "K" and axes and axes[0] is not None and not isinstance(array, list):
        return array.transpose(axes[0])
    return array


def _encoded(machine: _Machine, args: Any) -> bytes:
    text, encoding = args
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes are written as latin-1")
    machine.spend(len(text))
    return str.encode(text, "latin-1")


def _no_bytes(machine: _Machine, args: Any) -> bytes:
    if args != ():
        raise ValueError("only empty bytes are written so")
    return b""


def _not_called(machine: _Machine, args: Any) -> Any:
    raise TypeError("a class is named, not called")


def _old_object(machine: _Machine, args: Any) -> Record:
    return Record(args[0].name)


_KNOWN: dict[tuple[str, str], Callable[[_Machine, Any], Any]] = {
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


def _check_plain(value: Any, where: str, records: bool) -> None:
    """Refuse what was left half made, or stands for a function."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        if isinstance(item, (list, tuple, dict)):
            seen.add(id(item))
            todo += [*item, *item.values()] if isinstance(item, dict) else item
        elif isinstance(item, Record) and records:
            seen.add(id(item))
            todo += [item.args, item.state]
        elif not isinstance(item, (np.ndarray, int, float, str, bytes, bytearray, type(None))):
            raise InputError(f"{where} is damaged; copy it again from its source")

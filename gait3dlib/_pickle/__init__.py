"""Pickles from outside, read without running them.

A pickle is a program for a small machine with a stack. This reader follows the steps that make numbers, text,
lists, tuples, dicts and NumPy arrays. The functions and classes that a file names are compared with a short
list and are never imported or called, so nothing in the file can run. What a step makes is bounded by the
bytes that the file holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib._pickle._machine import Machine
from gait3dlib._pickle._made import Record
from gait3dlib.errors import InputError

__all__ = ["Record", "loads", "read_pickle"]

MAX_BYTES = 2 * 2**30

# what a machine that is fed nonsense trips over
_NONSENSE = (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)
# what the reader of steps says when the file ends before its time
_SHORT = ("exhausted", "remain", "not enough", "no newline")


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
    machine = Machine(len(data), where, records)
    try:
        value = machine.run(data)
    except InputError:
        raise
    except _NONSENSE as error:
        why = "is truncated" if any(word in str(error) for word in _SHORT) else "is damaged or no pickle"
        raise InputError(f"{where} {why}; copy it again from its source") from None
    _check_plain(value, where, records)
    return value


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

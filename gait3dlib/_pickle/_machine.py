"""The small machine that a pickle is a program for: a stack, a memo, and the steps that change them."""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

from gait3dlib._pickle._made import KNOWN, Dtype, Maker, Name, Record, Unfilled
from gait3dlib.errors import InputError

MAX_STEPS = 20_000_000

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


class Machine:
    """The stack, the memo, and what the steps do to them."""

    def __init__(self, size: int, where: str, records: bool) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.where, self.records = where, records
        self.maker = Maker(size, where)
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
        if isinstance(value, Unfilled):
            value.slots.append(index)
        self.memo[index] = value

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _name(self, module: str, name: str) -> None:
        named = Name(module, name)
        if (module, name) in KNOWN:
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
            self.stack.append(KNOWN[function.module, function.name](self.maker, args))

    def _build(self, arg: Any) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, Dtype):
            order = state[1]
            if order not in ("<", ">", "|", "="):
                raise ValueError("no byte order")
            if not made.of_objects and order != "|":
                made.text = order + made.text.lstrip("<>|=")
        elif isinstance(made, Unfilled):
            array = self.maker.array(*state[-4:])
            for slot in made.slots:
                self.memo[slot] = array
            self.stack[-1] = array
        elif isinstance(made, Record):
            made.state = state
        else:
            raise TypeError("nothing else is built up")


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))

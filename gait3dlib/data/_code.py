"""What code makes a modality's samples: samples that other code made are not the same samples."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_STEPS = ("sample", "prepare", "derive")
# the nouns and the checks around them change no number
_ASIDE = tuple(f"gait3dlib.{name}" for name in ("types", "errors", "config", "_optional", "registry"))


@cache
def code_digest(modality: type) -> str:
    """A digest of the code that prepares samples, of all functions and constants that it uses.

    Comments, docstrings and the layout of the source do not count, nor does the encoder. What a function
    finds by name at run time only, such as another component, is not followed.
    """
    ours = ("gait3dlib", modality.__module__.partition(".")[0])
    parts: dict[str, str] = {}
    todo: list[tuple[Any, type | None]] = [(getattr(modality, step), modality) for step in _STEPS]
    while todo:
        value, owner = todo.pop()
        value = inspect.unwrap(value)
        name = f"{value.__module__}.{value.__qualname__}"
        package = value.__module__.partition(".")[0]
        if name in parts or package not in ours or value.__module__.startswith(_ASIDE):
            continue
        parts[name] = _meaning(value)
        if isinstance(value, type):
            # those of a dataclass that nobody wrote have no source, and follow from its fields
            written = [v for v in vars(value).values() if isinstance(v, FunctionType) and _tree(v)]
            todo += [(v, value) for v in written]
        elif isinstance(value, FunctionType):
            for used, held in _used(value, owner):
                if isinstance(held, (FunctionType, type)) or hasattr(held, "__wrapped__"):
                    todo.append((held, owner if owner and used in dir(owner) else None))
                else:
                    parts[f"{name}:{used}"] = _constant(held)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def _used(function: FunctionType, owner: type | None) -> Iterator[tuple[str, Any]]:
    """What a function names: globals, what it imports, methods of its class, members of our modules."""
    names = set(_names(function.__code__))
    held = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for module in [
        v for v in held.values() if isinstance(v, ModuleType) and v.__name__.startswith("gait3dlib")
    ]:
        held |= {name: getattr(module, name) for name in names if hasattr(module, name)}
    for module, name in _imported(function):
        held[name] = getattr(module, name)
    if owner is not None:
        held |= {n: getattr(owner, n) for n in names if isinstance(getattr(owner, n, None), FunctionType)}
    yield from sorted(held.items())


def _constant(value: Any) -> str:
    """The value of a constant, the same in any process; nothing of what is no plain value."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (set, frozenset)):
        return f"set{sorted(map(_constant, value))}"
    if isinstance(value, (tuple, list)):
        return f"list{[_constant(inner) for inner in value]}"
    if isinstance(value, dict):
        return f"dict{[(_constant(k), _constant(v)) for k, v in value.items()]}"
    return repr(value) if isinstance(value, (bool, int, float, str, bytes, type(None))) else ""


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _imported(function: FunctionType) -> Iterator[tuple[ModuleType, str]]:
    for node in ast.walk(_tree(function) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gait3dlib"):
            module = importlib.import_module(str(node.module))
            yield from ((module, alias.name) for alias in node.names if hasattr(module, alias.name))


def _meaning(value: Any) -> str:
    """The source without comments and docstrings; the byte code where there is no source."""
    tree = _tree(value)
    if tree is None:
        return value.__code__.co_code.hex() if isinstance(value, FunctionType) else repr(value)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                del body[0]
    return ast.dump(tree)


@cache
def _tree(value: Any) -> ast.Module | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, SyntaxError):
        return None

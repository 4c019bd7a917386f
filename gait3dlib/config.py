"""Configs: the annotated keyword constructor is the schema.

A config is plain YAML (safe loader: it can build nothing but numbers, strings, lists and mappings).
:func:`build` checks a mapping against the signature of a class or function with pydantic, reports every
problem at once with "did you mean", and only then calls it. There is no second Config class to keep in step.

>>> class Encoder:
...     def __init__(self, *, width: int = 16, norm: str = "batch") -> None:
...         self.width = width
>>> build(Encoder, {"width": 24}, "modalities.silhouette").width
24
>>> build(Encoder, {"widht": 24}, "modalities.silhouette")
Traceback (most recent call last):
gait3dlib.errors.ConfigError: modalities.silhouette.widht: unknown key; did you mean 'width'?
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from gait3dlib.errors import ConfigError, did_you_mean

T = TypeVar("T")

# what a keyword may say of its range
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]

_RULES = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_MAX_DEPTH = 50
_MAX_BYTES = 1_000_000  # a config is a page of text; anything larger is a mistake or an attack


def check(target: Callable[..., Any], values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The keyword arguments of ``target``, checked and converted, defaults filled in.

    Raises:
        ConfigError: unknown keys, missing ones and wrong types, all in one message.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or 'config'}: must be a mapping of settings, not {type(values).__name__}")
    parameters = _parameters(target)
    problems = [
        f"{_dot(where, str(key))}: unknown key{did_you_mean(str(key), parameters)}"
        for key in values
        if key not in parameters
    ]
    made_by = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(made_by, include_extras=True)
    checked = {}
    for name, parameter in parameters.items():
        if name not in values:
            if parameter.default is parameter.empty:
                problems.append(f"{_dot(where, name)}: missing")
            else:
                checked[name] = parameter.default
            continue
        try:
            checked[name] = _validate(hints.get(name, Any), values[name])
        except ValidationError as error:
            problems += [
                f"{_dot(where, name, *map(str, e['loc']))}: {e['msg'].lower()}, not {e['input']!r}"
                for e in error.errors(include_url=False)
            ]
    if problems:
        raise ConfigError("; ".join(problems))
    return checked


def build(target: Callable[..., T], values: Mapping[str, Any], where: str = "") -> T:
    """Call ``target`` with checked keyword arguments; raises :class:`ConfigError` before anything runs."""
    return target(**check(target, values, where))


def read(path: Path | str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read a YAML config and apply ``--set`` overrides such as ``fusion.dim=128``.

    Raises:
        ConfigError: the file is missing, too large, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes; a config is a page of YAML")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not safe YAML: {error}") from error
    config = _plain_yaml(text, str(path))
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: must hold a mapping of settings")
    for text in overrides:
        _override(config, text)
    return config


def write(path: Path | str, config: Mapping[str, Any]) -> None:
    """Write a config as YAML, keys in their own order."""
    Path(path).write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")


def _override(config: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text!r}: write it as section.key=value, such as fusion.dim=128")
    *sections, last = key.split(".")
    place = config
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise ConfigError(f"--set {text!r}: {section!r} is a value, not a section")
    place[last] = _plain_yaml(value, f"--set {text!r}")


def _plain_yaml(text: str, where: str) -> Any:
    """Numbers, strings, lists and mappings; no tag that makes anything else.

    Aliases are refused too: a few of them, nested, stand for gigabytes; and deep nesting, which takes hours.
    """
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise ConfigError(f"{where}: write values out; YAML aliases such as *name are not read")
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > _MAX_DEPTH:
                raise ConfigError(f"{where}: not safe YAML: nested more than {_MAX_DEPTH} deep")
        return yaml.safe_load(text)
    except ConfigError:
        raise
    except Exception as error:  # a wrong date or a deep nesting passes PyYAML's own error by
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where}: not safe YAML: {reason}") from error


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in named
    }


def _validate(annotation: Any, value: Any) -> Any:
    try:
        adapter = TypeAdapter(annotation, config=_RULES)
    except Exception:  # pydantic refuses a config for types that carry their own
        adapter = TypeAdapter(annotation)
    return adapter.validate_python(value)


def _dot(*parts: str) -> str:
    return ".".join(part for part in parts if part)

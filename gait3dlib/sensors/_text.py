"""Sensors described by a short text: ``key=value`` pairs, parted by commas."""

from __future__ import annotations

from typing import Any

import yaml

from gait3dlib import config
from gait3dlib.errors import ConfigError


def build(sensor: Any, text: str, name: str, **given: object) -> Any:
    """A sensor from the pairs in ``text`` and what is given already.

    Raises:
        ConfigError: no pairs, an unknown key, or a value of the wrong type.
    """
    return config.build(sensor, {**given, **pairs(text, name)}, name)


def pairs(text: str, name: str) -> dict[str, object]:
    """``a=1,b=x`` as a dictionary; values are read as YAML."""
    values: dict[str, object] = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{name}: {pair!r} is not key=value; write it like {name}:seed=3,walkers=4")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"{name}: the value of {key.strip()!r} cannot be read: {value!r}") from None
    return values

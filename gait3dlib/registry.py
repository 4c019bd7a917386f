"""Components by name: the file's name is the component's name, plugins come by entry point.

A component called ``skeleton_map`` of kind ``modality`` is the class ``SkeletonMap`` in
``gait3dlib/modalities/skeleton_map.py``, or what another distribution offers as entry point
``skeleton_map`` of the group ``gait3dlib.modalities``. Listing names imports nothing.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from gait3dlib.errors import MissingDependency, UnknownComponent, did_you_mean

# kind -> package that holds one file a component, and entry-point group
KINDS = {
    "modality": "gait3dlib.modalities",
    "sensor": "gait3dlib.sensors",
    "fusion": "gait3dlib.fusion.kinds",
}


def names(kind: str) -> list[str]:
    """All component names of a kind, sorted: shipped ones and plugins."""
    package = _package(kind)
    return sorted(_shipped(package) | set(_plugins(package)))


def get(kind: str, name: str) -> Any:
    """The class of a component; a plugin cannot take the name of a shipped one.

    Raises:
        UnknownComponent: no component of that kind has that name, or the plugin of that name is broken.
        MissingDependency: the component's own imports need an extra.
    """
    package = _package(kind)
    if name in _shipped(package):
        return getattr(importlib.import_module(f"{package}.{name}"), class_name(name))
    if name not in (plugins := _plugins(package)):
        raise UnknownComponent(f"unknown {kind} {name!r}{did_you_mean(name, names(kind))}")
    try:
        return plugins[name].load()
    except MissingDependency:
        raise
    except (ImportError, AttributeError) as error:
        raise UnknownComponent(
            f"the plugin {plugins[name].value} for {kind} {name!r} cannot be loaded ({error}); "
            "install what it needs, or remove it"
        ) from error


def class_name(name: str) -> str:
    """The class that a component file must define: ``skeleton_map`` -> ``SkeletonMap``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _shipped(package: str) -> set[str]:
    folder = Path(__file__).resolve().parent / package.removeprefix("gait3dlib.").replace(".", "/")
    return {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}


@cache
def _plugins(package: str) -> dict[str, EntryPoint]:
    # cached: reading the metadata of every installed distribution takes a tenth of a second
    return {point.name: point for point in entry_points(group=package)}


def _package(kind: str) -> str:
    if kind not in KINDS:
        raise UnknownComponent(f"unknown kind of component {kind!r}{did_you_mean(kind, KINDS)}")
    return KINDS[kind]

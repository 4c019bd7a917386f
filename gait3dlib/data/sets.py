"""One door to all data: a folder of our recordings, or a public data set where it lies.

>>> open_data("walkers")                                              # doctest: +SKIP
>>> open_data("casia_b", root="/data/CASIA-B-pkl", split="train")     # doctest: +SKIP
>>> open_data({"casia_b": {"root": "/data/CASIA-B-pkl"}})             # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gait3dlib.config import check
from gait3dlib.data.layouts import LAYOUTS
from gait3dlib.data.opengait_set import OpenGaitSet
from gait3dlib.data.recordings import WalkFolder, WalkSet
from gait3dlib.errors import ConfigError, UnknownComponent, did_you_mean

RECORDINGS = "recordings"
Data = Path | str | Mapping[str, Any]


def names() -> list[str]:
    """The data sets that can be opened."""
    return sorted([*LAYOUTS, RECORDINGS])


def open_data(data: Data, *, root: Path | str | None = None, **settings: Any) -> WalkSet:
    """The walks of a data set, whatever its layout.

    Args:
        data: a folder of recordings; or the name of a data set, with ``root``; or, as a config has it, a name
            with its settings: ``{"casia_b": {"root": DIR}}``.
        root: where the data set of that name lies.
        settings: of :class:`~gait3dlib.data.opengait_set.OpenGaitSet`, such as ``split="train"``; they come
            before what a config says. A folder of recordings has no partition: of it, every split is all.

    Raises:
        UnknownComponent: there is no such data set; says "did you mean".
        ConfigError: unknown settings, or none where some are needed.
        InputError: no walk can be read there.
    """
    name, asked = _named(data, root)
    asked = {**asked, **settings}
    if name == RECORDINGS:
        known = check(_recordings, {k: v for k, v in asked.items() if k not in ("split", "progress")}, name)
        return WalkFolder(Path(known["root"]))
    if name not in LAYOUTS:
        raise UnknownComponent(f"there is no data set {name!r}{did_you_mean(name, names())}")
    checked = check(OpenGaitSet, {"name": name, **asked}, name)
    return OpenGaitSet(**checked)


def plain(data: Data) -> str | dict[str, Any]:
    """``data`` as a config file keeps it."""
    if not isinstance(data, Mapping):
        return str(data)
    return {
        k: {n: str(v) if isinstance(v, Path) else v for n, v in (s or {}).items()} for k, s in data.items()
    }


def _named(data: Data, root: Path | str | None) -> tuple[str, dict[str, Any]]:
    if isinstance(data, Mapping):
        if len(data) != 1 or not isinstance(next(iter(data.values())) or {}, Mapping):
            raise ConfigError("data: name one data set with its settings, such as {casia_b: {root: DIR}}")
        ((name, settings),) = data.items()
        return name, {**(settings or {}), **({"root": root} if root is not None else {})}
    if root is not None:
        return str(data), {"root": root}
    if str(data) in LAYOUTS and not Path(data).is_dir():
        raise ConfigError(f"data: {data} is the name of a data set; say where it lies with its root")
    return RECORDINGS, {"root": data}


def _recordings(root: Path) -> None:
    """The settings of a folder of recordings."""

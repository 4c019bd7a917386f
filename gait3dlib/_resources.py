"""Where the files that ship with the package lie: assets, weights, configs and data cards."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """A file of ``gait3dlib/_assets``."""
    return _PACKAGE / "_assets" / name


def weights_folder() -> Path:
    """The folder of the default weights."""
    return _PACKAGE / "_weights"


def shipped(folder: str) -> Path:
    """``configs``, ``data_cards`` or ``benchmarks``: in the wheel, or at the top of a checkout."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder

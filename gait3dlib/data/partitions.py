"""Who is trained on and who is tested: OpenGait's partition files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gait3dlib.errors import InputError

MAX_BYTES = 64 * 2**20  # the largest known partition has a few hundred kilobytes

_KEYS = {"TRAIN_SET": "train", "TEST_SET": "test", "PROBE_SET": "probe", "GALLERY_SET": "gallery"}


@dataclass(frozen=True)
class Partition:
    """Names of people to train on and to test on; probe and gallery: walks by ``SUBJECT-TYPE-VIEW``."""

    train: frozenset[str]
    test: frozenset[str]
    probe: frozenset[str] = field(default_factory=frozenset)
    gallery: frozenset[str] = field(default_factory=frozenset)


def read_partition(path: Path | str) -> Partition:
    """Read ``{"TRAIN_SET": [...], "TEST_SET": [...], "PROBE_SET": [...], "GALLERY_SET": [...]}``.

    The last two may be missing.

    Raises:
        InputError: it is no such file, is larger than 64 MiB, or somebody is in both sets.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    if size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES} bytes; give a partition file of OpenGait")
    try:
        held = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON; give a partition file of OpenGait") from None
    lists = {ours: _names(held, theirs, path) for theirs, ours in _KEYS.items()}
    both = lists["train"] & lists["test"]
    if both:
        raise InputError(f"{path}: {min(both)!r} is in TRAIN_SET and in TEST_SET; leave it in one of them")
    return Partition(**lists)


def find_partition(root: Path) -> Path | None:
    """The one partition file that lies in a folder, if there is exactly one."""
    found = []
    for path in sorted(root.glob("*.json")):
        try:
            read_partition(path)
        except InputError:
            continue
        found.append(path)
    return found[0] if len(found) == 1 else None


def _names(held: Any, key: str, path: Path) -> frozenset[str]:
    if not isinstance(held, dict):
        raise InputError(f"{path} holds no TRAIN_SET and TEST_SET; give a partition file of OpenGait")
    names = held.get(key, [] if key in ("PROBE_SET", "GALLERY_SET") else None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {key} must be a list of names; give a partition file of OpenGait")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: {key} holds {twice!r} twice; leave it in once")
    return frozenset(names)

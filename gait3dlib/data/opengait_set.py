"""A public data set in OpenGait's layout, read where it lies."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gait3dlib.data._index import Listing, list_subjects, read_index
from gait3dlib.data._prepared import Progress, Source
from gait3dlib.data._subject import Silhouettes, Subject
from gait3dlib.data.layouts import LAYOUTS, Layout
from gait3dlib.data.opengait_folder import Hole
from gait3dlib.data.partitions import Partition, find_partition, read_partition
from gait3dlib.data.recordings import Walk, WalkSet
from gait3dlib.errors import ConfigError, InputError

Split = Literal["all", "train", "test"]


@dataclass
class Findings:
    """What the index of a data set says.

    read: subjects that were read anew, not taken from an earlier index. streams: how many walks have each.
    left_out: how many files hold something that is not read, by what it is. holes: what is missing, cannot
    be read, or disagrees with the rest of its walk.
    """

    index: Path
    subjects: int = 0
    walks: int = 0
    read: int = 0
    streams: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    holes: list[Hole] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "index": str(self.index),
            "subjects": self.subjects,
            "walks": self.walks,
            "read": self.read,
            "streams": dict(self.streams),
            "left_out": dict(self.left_out),
            "holes": [{"path": str(hole.path), "reason": hole.reason} for hole in self.holes],
        }


class OpenGaitSet(WalkSet):
    """A data set that lies as OpenGait keeps it, read in place: nothing is converted or copied.

    The first time, every file is read once and what is in it is kept in an index; later only what changed.
    Walks with holes are left in where another stream of them can be read: a modality that needs the missing
    stream is absent there, as it is in a recording.

    Args:
        name: a key of :data:`~gait3dlib.data.layouts.LAYOUTS`.
        root: ``SUBJECT/TYPE/VIEW/*.pkl``, or a folder with several such folders, one a modality.
        split: "train" or "test" people of the partition, or all.
        partition: OpenGait's JSON file; by default the only one that lies in ``root``.
        silhouettes: "parsing": made of the labels of body parts, even where silhouettes are stored.
        fps: frames a second of cameras; by default the data set's.
        lidar_fps: frames a second of point clouds; by default the data set's.
        cache: folder for the index and prepared samples; by default ``.prepared`` in ``root``, or where that
            cannot be written, in the user's cache folder.
        progress: told of subjects indexed, and of all that must be.

    Raises:
        ConfigError: no such data set, or a split without a partition.
        InputError: no folder, or no walk in it that can be read.
    """

    def __init__(
        self,
        name: str,
        root: Path | str,
        *,
        split: Split = "all",
        partition: Path | str | None = None,
        silhouettes: Silhouettes = "stored",
        fps: float | None = None,
        lidar_fps: float | None = None,
        cache: Path | str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name, self.root, self.silhouettes = name, Path(root), silhouettes
        self.layout = _with_rates(LAYOUTS[name], fps, lidar_fps)
        if not self.root.is_dir():
            raise InputError(
                f"there is no folder {self.root}; give the folder that holds {self.layout.title}"
            )
        self._cache = _cache_folder(self.root, cache)
        listings = list_subjects(self.root, self.layout)
        kept = self._cache / f"index-{name}-{_tag(self.layout)}.jsonl"
        found, read = read_index(self.root, kept, self.layout, listings, progress)
        self._held = {
            x.subject: Subject(self.root, self.layout, silhouettes, x, found[x.subject]) for x in listings
        }
        self.findings = Findings(kept, read=read)
        everybody = [walk for subject in self._held.values() for walk in subject.walks()]
        if not everybody:
            raise InputError(_nothing(self.root, listings, self._held))
        self.partition = self._read_partition(partition, [x.subject for x in listings])
        self.walks = self._of_split(everybody, split)
        self._report(listings, everybody)

    def cache(self) -> Path:
        """The folder of the index and of prepared samples."""
        return self._cache

    def source(self, path: Path) -> Source:
        """A subject."""
        return self._held[path.name]

    def _read_partition(self, given: Path | str | None, subjects: list[str]) -> Partition | None:
        path = Path(given) if given is not None else find_partition(self.root)
        if path is not None:
            return read_partition(path)
        last = self.layout.train_up_to
        if last is None or not all(name.isdecimal() for name in subjects):
            return None
        train = frozenset(name for name in subjects if int(name) <= last)
        return Partition(train, frozenset(subjects) - train)

    def _of_split(self, walks: list[Walk], split: Split) -> list[Walk]:
        if split == "all":
            return walks
        if self.partition is None:
            raise ConfigError(
                f"partition: {self.layout.title} is split by a partition file of OpenGait; name it, "
                f"or put it into {self.root} as the only .json"
            )
        people = self.partition.train if split == "train" else self.partition.test
        some = [walk for walk in walks if walk.subject in people]
        if not some:
            raise InputError(f"{self.root} holds nobody of the {split} people of the partition file")
        return some

    def _report(self, listings: list[Listing], walks: list[Walk]) -> None:
        found = self.findings
        found.subjects = len({walk.subject for walk in walks})
        found.walks = len(walks)
        found.streams = Counter(name for held in self._held.values() for s in held.streams for name in s)
        for listing in listings:
            found.holes += [Hole(self.root / path, reason) for path, reason in listing.holes]
            held = self._held[listing.subject]
            found.left_out += held.left_out
            found.holes += held.holes(set(found.streams))
        named = self.partition.train | self.partition.test if self.partition else frozenset()
        there = {x.subject for x in listings}
        found.holes += [
            Hole(self.root / name, "is in the partition, not here") for name in sorted(named - there)
        ]


def _with_rates(layout: Layout, fps: float | None, lidar_fps: float | None) -> Layout:
    rates = (fps or layout.fps, lidar_fps or layout.lidar_fps)
    if not all(rate > 0 for rate in rates):
        raise ConfigError(f"fps: frames a second must be positive, not {rates[0]:g} and {rates[1]:g}")
    return dataclasses.replace(layout, fps=rates[0], lidar_fps=rates[1])


def _cache_folder(root: Path, asked: Path | str | None) -> Path:
    if asked is not None:
        return Path(asked)
    beside = root / ".prepared"
    if os.access(beside if beside.exists() else root, os.W_OK):
        return beside
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return home / "gait3dlib" / f"{root.name}-{place}"


def _tag(layout: Layout) -> str:
    return hashlib.sha256(repr(sorted(layout.files.items())).encode()).hexdigest()[:8]


def _nothing(root: Path, listings: list[Listing], held: Mapping[str, Subject]) -> str:
    holes = [f"{root / p}: {why}" for x in listings for p, why in x.holes]
    holes += [f"{hole.path}: {hole.reason}" for subject in held.values() for hole in subject.holes(set())]
    first = f"; the first problem: {holes[0]}" if holes else ""
    return f"{root} holds no walk that can be read; OpenGait keeps SUBJECT/TYPE/VIEW/*.pkl{first}"

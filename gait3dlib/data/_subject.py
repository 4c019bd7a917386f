"""A subject of a data set in OpenGait's layout: which walks there are, what is missing, and their streams."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gait3dlib.data._index import Found, Listing, read_stream
from gait3dlib.data._opengait_streams import NotKept
from gait3dlib.data.layouts import Layout
from gait3dlib.data.opengait_folder import Hole
from gait3dlib.data.recordings import Walk
from gait3dlib.errors import InputError
from gait3dlib.types import GaitSequence, Labels, Meta, Stream

Silhouettes = Literal["stored", "parsing"]


@dataclass(frozen=True)
class Subject:
    """The walks of a subject, by type and view."""

    root: Path
    layout: Layout
    silhouettes: Silhouettes
    listing: Listing
    found: list[Found]

    @property
    def _views(self) -> list[tuple[str, str]]:
        """Types and views of which at least one stream can be read."""
        return list(self._files)

    @property
    def _files(self) -> dict[tuple[str, str], dict[str, int]]:
        """Of each walk that can be read, which file holds which stream; the first by name."""
        walks: dict[tuple[str, str], dict[str, int]] = {}
        for number, (file, found) in enumerate(zip(self.listing.files, self.found, strict=True)):
            if found.stream:
                walks.setdefault((file.type, file.view), {}).setdefault(found.stream, number)
        return walks

    @property
    def streams(self) -> list[tuple[str, ...]]:
        """The streams of every walk; silhouettes that are made of the parsing count."""
        return [
            tuple(dict.fromkeys([*files, *(["silhouette"] if "parsing" in files else [])]))
            for files in self._files.values()
        ]

    @property
    def left_out(self) -> Counter[str]:
        chosen = {number for files in self._files.values() for number in files.values()}
        told = [
            f.left_out or f"another file of {f.stream}"
            for number, f in enumerate(self.found)
            if number not in chosen and not f.hole
        ]
        return Counter(told)

    def walks(self) -> Iterator[Walk]:
        """What is known of every walk."""
        folder, name = self.root / self.listing.subject, self.listing.subject
        for index, (kind, view) in enumerate(self._views):
            angle = self.layout.view_deg(view)
            yield Walk(folder, index, name, kind, angle, Labels(), view, {"view": view})

    def holes(self, expected: set[str]) -> Iterator[Hole]:
        """What cannot be read, is missing beside what other walks have, or has another length."""
        for file, found in zip(self.listing.files, self.found, strict=True):
            if found.hole:
                yield Hole(self.root / file.path, found.hole)
        for (kind, view), files in self._files.items():
            folder = self.root / self.listing.subject / kind / view
            has = {*files, *(["silhouette"] if "parsing" in files else [])}
            if missing := sorted(expected - has):
                yield Hole(folder, f"has no {' and no '.join(missing)}")
            if unequal := self._unequal({name: self.found[number].frames for name, number in files.items()}):
                yield Hole(folder, unequal)

    def _unequal(self, frames: Mapping[str, int]) -> str:
        """What disagrees on how long the walk lasts, by more than a frame where the rates differ."""
        rates = {n: self.layout.lidar_fps if n == "points" else self.layout.fps for n in frames}
        seconds = {name: count / rates[name] for name, count in frames.items()}
        slack = 0.0 if len(set(rates.values())) == 1 else 2 / min(rates.values())
        if max(seconds.values()) - min(seconds.values()) <= slack + 1e-9:
            return ""
        told = ", ".join(f"{name} {count} frames" for name, count in sorted(frames.items()))
        return f"its streams have different lengths: {told}"

    # ---- as the source of prepared samples --------------------------------------------------------

    @property
    def prepared(self) -> str:
        settings = (self.silhouettes, self.layout.fps, self.layout.lidar_fps, self.listing.stamp)
        return f"{self.listing.subject}-{hashlib.sha256(repr(settings).encode()).hexdigest()[:16]}.npz"

    @property
    def size(self) -> int:
        both = zip(self.listing.files, self.found, strict=True)
        return sum(file.size for file, found in both if found.stream)

    def fresh(self, kept: Path) -> bool:
        """The name tells: it holds the stamp of the files and the settings."""
        return kept.exists()

    def sequences(self, streams: frozenset[str]) -> Iterator[GaitSequence | None]:
        """Every walk, with those of the streams that it has."""
        for (kind, view), files in self._files.items():
            wanted = {name: number for name, number in files.items() if name in streams}
            of_parsing = "parsing" in files and (self.silhouettes == "parsing" or "silhouette" not in files)
            if "silhouette" in streams and of_parsing:
                wanted.pop("silhouette", None)
                wanted["parsing"] = files["parsing"]
            held = {name: self._read(number) for name, number in wanted.items()}
            if "silhouette" in streams and of_parsing:
                held["silhouette"] = _outline(held["parsing"])
            meta = Meta(self.layout.title, kind, self.layout.view_deg(view), {"view": view})
            yield GaitSequence(held, self.listing.subject, meta) if held else None

    def _read(self, number: int) -> Stream:
        file, found = self.listing.files[number], self.found[number]
        try:
            name, stream = read_stream(self.root, file, self.layout)
        except (InputError, NotKept) as error:
            name, reason = "", str(error)
        else:
            reason = f"holds {len(stream)} frames of {name}"
        if name != found.stream or len(stream) != found.frames:
            raise InputError(
                f"{self.root / file.path} was changed while it was in use ({reason}); start again"
            )
        return stream


def _outline(parsing: Stream) -> Stream:
    return Stream(np.where(parsing.data > 0, 255, 0).astype(np.uint8), parsing.t_ns)

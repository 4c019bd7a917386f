"""What lies in a folder that OpenGait made: listed at every start, read once, and kept in a file.

The index has one line of JSON a subject, appended as soon as the subject has been read, so an interrupted run
goes on where it stopped. A subject of whom any file has another size or time than the index says is read
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gait3dlib._pickle import read_pickle
from gait3dlib.data._opengait_streams import NotKept, on_the_ground, stream_of
from gait3dlib.data._prepared import Progress, in_processes
from gait3dlib.data.layouts import Layout
from gait3dlib.errors import InputError
from gait3dlib.types import Stream

VERSION = 1
SMALL_BYTES = 64 * 2**20  # a process is not worth starting for less to be read


@dataclass(frozen=True)
class File:
    """A pickle: where it lies below the root, whose walk it is of, and by what a change is noticed."""

    path: str
    type: str
    view: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """What is there of a subject, unread; holes are folders without anything inside."""

    subject: str
    files: tuple[File, ...]
    holes: tuple[tuple[str, str], ...]

    @property
    def stamp(self) -> str:
        """The same as long as no file was changed."""
        return hashlib.sha256(json.dumps([asdict(f) for f in self.files]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """What reading a file told: the stream and its frames, or why there is none.

    left_out: sound, but nothing that is read. hole: cannot be read.
    """

    stream: str = ""
    frames: int = 0
    left_out: str = ""
    hole: str = ""


def list_subjects(root: Path, layout: Layout) -> list[Listing]:
    """Everybody in ``root/SUBJECT/TYPE/VIEW/*.pkl``, or in several such folders side by side in ``root``.

    Files may also lie in folders of the view that the layout names.
    """
    found: dict[str, tuple[list[File], list[tuple[str, str]]]] = {}
    for base in _bases(root, layout):
        for subject in folders(base):
            files, holes = found.setdefault(subject.name, ([], []))
            kinds = folders(subject)
            if not kinds:
                holes.append((_below(subject, root), "has no folder inside; OpenGait keeps TYPE/VIEW/*.pkl"))
            for kind in kinds:
                _list_type(kind, root, layout, files, holes)
    return [
        Listing(subject, tuple(sorted(files, key=lambda f: (f.type, f.view, f.path))), tuple(holes))
        for subject, (files, holes) in sorted(found.items())
    ]


def _list_type(
    kind: Path, root: Path, layout: Layout, files: list[File], holes: list[tuple[str, str]]
) -> None:
    views = folders(kind)
    if not views:
        holes.append((_below(kind, root), "has no folder inside; OpenGait keeps VIEW/*.pkl"))
    for view in views:
        paths = [path for place in (view, *(view / n for n in layout.deeper)) for path in place.glob("*.pkl")]
        if not paths:
            holes.append((_below(view, root), "has no .pkl file"))
        for path in paths:
            stat = path.stat()
            files.append(File(_below(path, root), kind.name, view.name, stat.st_size, stat.st_mtime_ns))


def folders(folder: Path) -> list[Path]:
    """The folders inside, sorted, without hidden ones.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None


def _bases(root: Path, layout: Layout) -> list[Path]:
    """The folders that hold subjects: the root, or those in it where files lie a folder deeper."""
    trail = _trail(root)
    inside = len(trail) - (bool(trail) and trail[-1].name in layout.deeper)
    return folders(root) if inside == 4 else [root]


def _trail(root: Path, most: int = 5) -> list[Path]:
    """The folders from the root, without it, to the first pickle that is found."""
    todo: list[list[Path]] = [[folder] for folder in reversed(folders(root))]
    while todo:
        trail = todo.pop()
        if next(trail[-1].glob("*.pkl"), None) is not None:
            return trail
        if len(trail) < most:
            todo += [[*trail, inner] for inner in reversed(folders(trail[-1]))]
    return []


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


# ---- reading --------------------------------------------------------------------------------------


def read_stream(root: Path, file: File, layout: Layout) -> tuple[str, Stream]:
    """A file's stream; points stand on the ground.

    Raises:
        NotKept: it is sound, but holds nothing that is read.
        InputError: it cannot be read, or holds another stream than its name says.
    """
    path = root / file.path
    promised = layout.stream(path.name)
    name, stream = stream_of(read_pickle(path), {"points": layout.lidar_fps}, layout.fps)
    if promised is not None and name != promised:
        raise InputError(f"holds {name}, but its name says {promised}")
    return name, on_the_ground(stream) if name == "points" else stream


def _read_subject(task: tuple[Path, Layout, Listing]) -> list[Found]:
    root, layout, listing = task
    named = {(f.type, f.view) for f in listing.files if layout.stream(Path(f.path).name)}
    found = []
    for file in listing.files:
        if (file.type, file.view) in named and layout.stream(Path(file.path).name) is None:
            found.append(Found(left_out="another kind, by its name"))
            continue
        try:
            name, stream = read_stream(root, file, layout)
        except NotKept as error:
            found.append(Found(left_out=str(error)))
        except InputError as error:
            found.append(Found(hole=str(error).removeprefix(f"{root / file.path} ")))
        else:
            found.append(Found(name, len(stream)))
    return found


def read_index(
    root: Path, kept: Path, layout: Layout, listings: Sequence[Listing], progress: Progress | None = None
) -> tuple[dict[str, list[Found]], int]:
    """What is in every subject's files, in the order of its listing; and how many subjects were read anew."""
    known = _load(kept, layout)
    todo = [x for x in listings if known.get(x.subject, ("", []))[0] != x.stamp]
    size = sum(file.size for listing in todo for file in listing.files)
    jobs = None if size > SMALL_BYTES else 1
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as lines:
        if lines.tell() == 0:
            lines.write(json.dumps(_head(layout)) + "\n")
        read = in_processes(_read_subject, [(root, layout, listing) for listing in todo], jobs)
        for done, (listing, found) in enumerate(zip(todo, read, strict=True), start=1):
            row = {"subject": listing.subject, "stamp": listing.stamp, "files": [asdict(f) for f in found]}
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            known[listing.subject] = listing.stamp, found
            if progress is not None:
                progress(done, len(todo))
    return {listing.subject: known[listing.subject][1] for listing in listings}, len(todo)


def _head(layout: Layout) -> dict[str, Any]:
    return {"gait3dlib index": VERSION, "files": dict(layout.files)}


def _load(kept: Path, layout: Layout) -> dict[str, tuple[str, list[Found]]]:
    """The lines of an index that can be read; one of another version or layout is thrown away."""
    if not kept.exists():
        return {}
    with kept.open(encoding="utf-8", errors="replace") as lines:
        head = _line(next(lines, ""), lambda row: row)
        if head != _head(layout):
            kept.unlink()
            return {}
        rows = [_line(line, _row) for line in lines]
    return {subject: (stamp, found) for subject, stamp, found in filter(None, rows)}


def _line(text: str, make: Callable[[Any], Any]) -> Any:
    try:
        return make(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # cut off when a run was interrupted: that subject is read again


def _row(row: Mapping[str, Any]) -> tuple[str, str, list[Found]]:
    found = [
        Found(str(f["stream"]), int(f["frames"]), str(f["left_out"]), str(f["hole"])) for f in row["files"]
    ]
    return str(row["subject"]), str(row["stamp"]), found

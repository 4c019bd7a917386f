"""A data folder of OpenGait, converted into our recordings.

OpenGait keeps ``root/SUBJECT/TYPE/VIEW/*.pkl``, one array or list of arrays a file, without times. What a
file holds is told by its content, not by its name. Pickles are read by :mod:`gait3dlib._pickle`, which runs
nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gait3dlib._pickle import read_pickle
from gait3dlib.data._opengait_streams import NotKept, stream_of
from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import save
from gait3dlib.types import GaitSequence, Meta, Stream

Progress = Callable[[int, int], None]

# the largest part of a view's name that is an angle: "090", "45", "000-far"
_DEGREES = re.compile(r"(\d{1,3})(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Hole:
    """A file or folder that should hold a walk and does not."""

    path: Path
    reason: str


@dataclass
class Conversion:
    """What came of a folder.

    out: where the recordings lie; subjects, walks: how many were written; already: subjects whose recording
    was there before and was kept; streams: how many walks have each; left_out: how many files hold something
    that a recording does not keep, by what it is; holes: what could not be read.
    """

    out: Path
    subjects: int = 0
    walks: int = 0
    already: int = 0
    streams: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    holes: list[Hole] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "out": str(self.out),
            "subjects": self.subjects,
            "walks": self.walks,
            "already": self.already,
            "streams": dict(self.streams),
            "left_out": dict(self.left_out),
            "holes": [{"path": str(hole.path), "reason": hole.reason} for hole in self.holes],
        }


def convert(
    root: Path | str,
    out: Path | str,
    *,
    files: str = "*",
    fps: float = 25.0,
    lidar_fps: float = 10.0,
    progress: Progress | None = None,
) -> Conversion:
    """Write one recording a subject, one walk a view.

    The subject is the name of the first folder, the session that of the second; a view that is called by an
    angle gives ``view_deg``, and its name is kept as the covariate ``view``. Where several files of a view
    hold the same kind of stream, the first by name is taken. A subject whose recording is there already is
    passed over, so an interrupted run goes on where it stopped. What cannot be read is noted and passed over.

    Args:
        root: OpenGait's folder.
        out: folder for the recordings ``SUBJECT.h5``; it is made.
        files: which files of a view to read, such as ``*sync*``.
        fps: frames a second of what cameras saw.
        lidar_fps: frames a second of point clouds.
        progress: called with subjects done, and all.

    Raises:
        InputError: a frame rate that is not positive, or a folder in which no walk was found.
        RecordingError: a recording cannot be written.
    """
    root, out = Path(root), Path(out)
    if not (fps > 0 and lidar_fps > 0):
        raise InputError(f"frames a second must be positive, not {fps:g} and {lidar_fps:g}")
    if not root.is_dir():
        raise InputError(f"there is no folder {root}")
    subjects = _folders(root)
    found = Conversion(out)
    reader = _Reader(root, files, {"points": lidar_fps}, fps, found)
    out.mkdir(parents=True, exist_ok=True)
    for done, subject in enumerate(subjects, start=1):
        path = out / f"{subject.name}.h5"
        if path.exists():
            found.already += 1
        else:
            _write(path, subject, list(reader.walks(subject)), found)
        if progress is not None:
            progress(done, len(subjects))
    if not found.walks and not found.already:
        first = f"; the first problem: {found.holes[0].path}: {found.holes[0].reason}" if found.holes else ""
        raise InputError(
            f"{root} holds no walk that can be converted; OpenGait keeps SUBJECT/TYPE/VIEW/*.pkl{first}"
        )
    return found


def _write(path: Path, subject: Path, walks: list[GaitSequence], found: Conversion) -> None:
    if not walks:
        if not any(hole.path.is_relative_to(subject) for hole in found.holes):
            found.holes.append(Hole(subject, "holds nothing that a recording keeps"))
        return
    try:
        save(path, *walks)
    except RecordingError:  # a full disk is no hole in the data
        raise
    except InputError as error:
        found.holes.append(Hole(subject, str(error)))
        return
    found.subjects += 1
    found.walks += len(walks)
    found.streams.update(name for walk in walks for name in walk.streams)


class _Reader:
    """Reads the walks of a subject, and notes what it passes over."""

    def __init__(
        self, root: Path, files: str, rates: dict[str, float], fps: float, found: Conversion
    ) -> None:
        self.root, self.files, self.rates, self.fps, self.found = root, files, rates, fps, found

    def walks(self, subject: Path) -> Iterator[GaitSequence]:
        """All walks of a subject, sorted by session and view."""
        for session in self._inside(subject):
            for view in self._inside(session):
                walk = self._walk(subject, session, view)
                if walk is not None:
                    yield walk

    def _inside(self, folder: Path) -> list[Path]:
        try:
            folders = _folders(folder)
        except OSError as error:
            self._hole(folder, f"cannot be read: {error.strerror or error}")
            return []
        if not folders:
            self._hole(folder, "has no folder inside; OpenGait keeps SUBJECT/TYPE/VIEW/*.pkl")
        return folders

    def _walk(self, subject: Path, session: Path, view: Path) -> GaitSequence | None:
        paths = sorted(p for p in view.glob("*.pkl") if fnmatch.fnmatch(p.name, self.files))
        streams: dict[str, Stream] = {}
        for path in paths:
            try:
                name, stream = stream_of(read_pickle(path), self.rates, self.fps)
            except NotKept as error:
                self.found.left_out[str(error)] += 1
            except InputError as error:
                self._hole(path, str(error).removeprefix(f"{path} "))
            else:
                if name == "parsing":
                    self.found.left_out["labels of body parts"] += 1
                elif name in streams:
                    self.found.left_out[f"another file of {name}"] += 1
                else:
                    streams[name] = stream
        if not paths:
            self._hole(view, "has no .pkl file" + ("" if self.files == "*" else f" like {self.files}"))
        if not streams:
            return None
        degrees = _DEGREES.match(view.name)
        meta = Meta(
            source=str(view.relative_to(self.root.parent)),
            session=session.name,
            view_deg=float(degrees[1]) if degrees and int(degrees[1]) < 360 else None,
            covariates={"view": view.name},
        )
        return GaitSequence(streams, subject.name, meta)

    def _hole(self, path: Path, reason: str) -> None:
        self.found.holes.append(Hole(path, reason))


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))

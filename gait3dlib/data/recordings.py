"""A folder of our own recordings as a data set: an index of walks, and samples prepared once per modality."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib.data._prepared import Progress, Source, prepare_all
from gait3dlib.errors import InputError
from gait3dlib.modalities import Sample
from gait3dlib.recording import open_recording
from gait3dlib.types import GaitSequence, Labels


@dataclass(frozen=True)
class Walk:
    """Where one walk lies, and what is known of it for training and for scoring (never for a model).

    path: the recording, or the folder of the subject; index: which walk of it. session: the session, or what
    OpenGait calls the type (``nm-01``). view: the name of the view; without one, its degrees, such as 090.
    """

    path: Path
    index: int
    subject: str
    session: str
    view_deg: float | None
    labels: Labels
    view: str = ""
    covariates: Mapping[str, str] = field(default_factory=dict, hash=False)


class WalkSet(ABC):
    """Walks of a data set: what training and evaluation ask of one, however it lies on the disk.

    root: where it lies. walks: one entry a walk, in a fixed order.
    """

    root: Path
    walks: list[Walk]

    def __len__(self) -> int:
        return len(self.walks)

    @property
    def subjects(self) -> list[str]:
        """Everybody, sorted."""
        return sorted({walk.subject for walk in self.walks})

    def select(self, walks: Iterable[int]) -> Self:
        """The same data set with those of its walks only, by their index."""
        some = copy.copy(self)
        some.walks = [self.walks[i] for i in walks]
        return some

    @abstractmethod
    def cache(self) -> Path:
        """The folder in which prepared samples are kept."""

    @abstractmethod
    def source(self, path: Path) -> Source:
        """What holds the walks that share a :attr:`Walk.path`."""

    def truths(self, name: str) -> NDArray[np.float32]:
        """What a simulator kept under ``name`` for every walk, flattened: ``[walks, n]``.

        Raises:
            InputError: no simulator made this data set.
        """
        raise InputError(f"{self.root}: {name!r} cannot be learnt: no simulator made this data set")

    def prepare(
        self,
        modality: str,
        settings: dict[str, Any] | None = None,
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> list[Sample | None]:
        """The samples of every walk for a modality, in the order of :attr:`walks`.

        They are made once, by several processes, and kept in :meth:`cache`; a later call reads them. A walk
        that lacks the modality gives None.

        Raises:
            ConfigError: no such modality, or settings that it does not have.
            InputError: what was kept is damaged.
        """
        sources = {path: self.source(path) for path in sorted({walk.path for walk in self.walks})}
        samples = prepare_all(self.cache(), sources, modality, settings or {}, jobs, progress)
        return [samples[walk.path][walk.index] for walk in self.walks]


class WalkFolder(WalkSet):
    """All walks of the ``.h5`` recordings in a folder.

    Args:
        root: folder with recordings, such as ``gait3d simulate`` writes.

    Raises:
        InputError: no recording, or a walk without a subject.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        paths = sorted(self.root.glob("*.h5"))
        if not paths:
            raise InputError(
                f"{self.root}: no .h5 recording here; make some with: gait3d simulate --out {self.root}"
            )
        self.walks: list[Walk] = [walk for path in paths for walk in _index(path)]

    def cache(self) -> Path:
        """Beside the recordings, in ``.prepared``."""
        return self.root / ".prepared"

    def source(self, path: Path) -> Source:
        """A recording."""
        return _Recorded(path)

    def truths(self, name: str) -> NDArray[np.float32]:
        """What the simulator kept under ``name`` for every walk, flattened: ``[walks, n]``.

        For training and for scoring only: no stream holds it, so no model sees it. A walk without it is NaN.

        Raises:
            InputError: no walk has it, or walks have it in different sizes.
        """
        held: dict[tuple[Path, int], NDArray[np.float32] | None] = {}
        for path in sorted({walk.path for walk in self.walks}):
            with open_recording(path) as recording:
                for index in range(len(recording.walks)):
                    truth = recording.truth(index)
                    array = None if truth is None else truth.arrays.get(name)
                    held[path, index] = None if array is None else np.asarray(array, np.float32).reshape(-1)
        rows = [held[walk.path, walk.index] for walk in self.walks]
        sizes = {len(array) for array in rows if array is not None}
        if len(sizes) != 1:
            found = "walks hold it in different sizes" if sizes else "no walk holds it"
            raise InputError(f"{self.root}: {name!r} cannot be learnt: {found}; take it out of traits")
        unknown = np.full(sizes.pop(), np.nan, np.float32)
        return np.stack([unknown if array is None else array for array in rows])


def _index(path: Path) -> Iterator[Walk]:
    with open_recording(path) as recording:
        for index, info in enumerate(recording.walks):
            if info.subject is None:
                raise InputError(
                    f"{path}: walk {index} has no subject; a training set needs one for every walk"
                )
            labels = recording.labels(index)
            meta = info.meta
            degrees = "" if meta.view_deg is None else f"{meta.view_deg:03g}"
            view = meta.covariates.get("view", degrees)
            known = dict(meta.covariates)
            yield Walk(path, index, info.subject, meta.session, meta.view_deg, labels, view, known)


@dataclass(frozen=True)
class _Recorded:
    """The walks of a recording."""

    path: Path

    @property
    def prepared(self) -> str:
        return f"{self.path.stem}.npz"

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def fresh(self, kept: Path) -> bool:
        """Whether the recording is older than what was made of it; a copy may bring an old time of change."""
        source = self.path.stat()
        return kept.exists() and kept.stat().st_mtime_ns >= max(source.st_mtime_ns, source.st_ctime_ns)

    def sequences(self, streams: frozenset[str]) -> Iterator[GaitSequence | None]:
        """All walks, whatever their streams: a recording reads nothing before it is asked for."""
        with open_recording(self.path) as recording:
            for index in range(len(recording.walks)):
                yield recording.sequence(index)

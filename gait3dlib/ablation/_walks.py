"""The walks of an ablation: what is known of each, its samples, and its streams if needed again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gait3dlib.data.recordings import Walk, WalkFolder, WalkSet
from gait3dlib.errors import InputError
from gait3dlib.modalities import Modality, Sample
from gait3dlib.types import STREAM_SPECS, GaitSequence, Labels

MOST_LEVELS = 32  # a covariate of more values is a number, or a name of its own for each walk
_NO_COVARIATES = ("track",)


@dataclass(frozen=True)
class Known:
    """What is known of one walk; nothing of it reaches a model."""

    subject: str
    session: str
    view_deg: float | None
    labels: Labels
    covariates: Mapping[str, str] = field(default_factory=dict)


class Walks(ABC):
    """Walks of people who are known."""

    name: str
    known: list[Known]

    @abstractmethod
    def samples(self, name: str, modality: Modality) -> list[Sample | None]:
        """The prepared sample of every walk."""

    @abstractmethod
    def sequences(self, rows: Sequence[int]) -> Iterator[tuple[int, GaitSequence | None]]:
        """The streams of some walks, in any order."""


class GivenWalks(Walks):
    """Sequences in memory, with the labels of their meta.

    Raises:
        InputError: none, or one that says nobody's name.
    """

    def __init__(self, sequences: Sequence[GaitSequence]) -> None:
        if not sequences:
            raise InputError("an ablation needs walks; none was given")
        self.name, self.held, self.known = "sequences", list(sequences), []
        for index, seq in enumerate(self.held):
            if seq.subject is None:
                raise InputError(f"walk {index} has no subject; an ablation needs to know who walks")
            meta = seq.meta
            self.known.append(
                Known(seq.subject, meta.session, meta.view_deg, meta.labels or Labels(), meta.covariates)
            )

    def samples(self, name: str, modality: Modality) -> list[Sample | None]:
        """Prepared here and now."""
        return [modality.sample(seq) for seq in self.held]

    def sequences(self, rows: Sequence[int]) -> Iterator[tuple[int, GaitSequence | None]]:
        """As they were given."""
        return ((row, self.held[row]) for row in rows)


class StoredWalks(Walks):
    """A data set on the disk; its samples are prepared once and kept beside it."""

    def __init__(self, walks: WalkSet) -> None:
        self.name, self.set = str(walks.root), walks
        self.known = [Known(w.subject, w.session, w.view_deg, w.labels, w.covariates) for w in walks.walks]

    def samples(self, name: str, modality: Modality) -> list[Sample | None]:
        """From what was prepared, or prepared now."""
        return self.set.prepare(name, dict(vars(modality)))

    def sequences(self, rows: Sequence[int]) -> Iterator[tuple[int, GaitSequence | None]]:
        """Read file by file."""
        asked: dict[Path, dict[int, int]] = {}
        for row in rows:
            walk: Walk = self.set.walks[row]
            asked.setdefault(walk.path, {})[walk.index] = row
        for path, wanted in asked.items():
            for index, seq in enumerate(self.set.source(path).sequences(frozenset(STREAM_SPECS))):
                if index in wanted:
                    yield wanted[index], seq


def walks_of(given: Sequence[GaitSequence] | WalkSet | Path | str) -> Walks:
    """Walks, however they were given."""
    if isinstance(given, WalkSet):
        return StoredWalks(given)
    if isinstance(given, (str, Path)):
        return StoredWalks(WalkFolder(Path(given)))
    return GivenWalks(given)


def levels_of(
    known: Sequence[Known], rows: Sequence[int], asked: Sequence[str] | None
) -> dict[str, dict[str, list[int]]]:
    """Covariate -> value -> positions in ``rows``; by default every covariate that varies over few values,
    most of them of more than one person.

    Raises:
        InputError: no walk has a covariate that was asked for.
    """
    told = [_told(known[row]) for row in rows]
    have = sorted({name for walk in told for name in walk})
    for name in asked or ():
        if name not in have:
            listed = ", ".join(have) or "none"
            raise InputError(f"no walk has the covariate {name!r}; the walks have: {listed}")
    found: dict[str, dict[str, list[int]]] = {}
    for name in have if asked is None else asked:
        values = sorted({walk[name] for walk in told if name in walk})
        held = {value: [i for i, walk in enumerate(told) if walk.get(name) == value] for value in values}
        people = [len({known[rows[i]].subject for i in places}) for places in held.values()]
        few = 1 < len(values) <= MOST_LEVELS and np.median(people) > 1
        if asked is not None or (few and name not in _NO_COVARIATES):
            found[name] = held
    return found


def _told(known: Known) -> dict[str, str]:
    view = {} if known.view_deg is None else {"view_deg": f"{known.view_deg:03.0f}"}
    return {**view, **known.covariates}


def streams_used(samples: Mapping[str, Sequence[Sample | None]]) -> dict[str, dict[str, int]]:
    """Modality -> the streams it was made from -> in how many walks; "absent" where there was nothing."""
    return {
        name: dict(Counter("absent" if s is None else " + ".join(s.used) for s in held).most_common())
        for name, held in samples.items()
    }

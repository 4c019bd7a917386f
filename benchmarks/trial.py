"""The walks of a frozen benchmark's test as a trial: who is enrolled, who is searched for, in which cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.data.recordings import Walk, WalkFolder
from gait3dlib.errors import InputError
from gait3dlib.evaluation import PeopleBootstrap, exclude_views, open_set_searches, rank
from gait3dlib.evaluation.openset import fnir_with_intervals
from gait3dlib.recording import open_recording
from gait3dlib.simulation.benchmark import GALLERY_SESSION
from gait3dlib.simulation.frozen import Benchmark

Array = NDArray[np.float64]
FPIR = 0.01
SEVERAL, ONE = "several views", "one view"


@dataclass(frozen=True, eq=False)
class Trial:
    """Walks ``n``, in the order of the folder.

    Attributes:
        rules: the benchmark.
        folder: all recordings.
        chosen: ``[n]`` rows of the folder that take part.
        people: ``[n]`` whose.
        views: ``[n]`` nominal, degrees.
        cells: ``[n]``.
        sessions: ``[n]``.
        gallery: indices of gallery walks.
        probe: indices of the searches for who is enrolled.
        impostor: indices of the searches for who is not.
        truth: what the simulator knew: "shape" and "style_of_the_day" ``[n, k]``; empty where it did not.
    """

    rules: Benchmark
    folder: WalkFolder
    chosen: NDArray[np.int64]
    people: NDArray[np.str_]
    views: Array
    cells: NDArray[np.str_]
    sessions: NDArray[np.str_]
    gallery: NDArray[np.int64]
    probe: NDArray[np.int64]
    impostor: NDArray[np.int64]
    truth: dict[str, Array]

    @property
    def walks(self) -> list[Walk]:
        """What is known of each walk."""
        return [self.folder.walks[i] for i in self.chosen]

    def cells_of(self, name: str) -> tuple[str, ...]:
        """The cells behind the name of a row: a cell, a group, or "all"."""
        return self.rules.cells if name == "all" else self.rules.groups.get(name, (name,))

    def rows(self) -> list[str]:
        """Names of the rows: the headline, all, and every cell that has probes."""
        there = set(self.cells[self.probe].tolist())
        groups = [name for name, cells in self.rules.groups.items() if there & set(cells)]
        return [*groups, "all", *(cell for cell in self.rules.cells if cell in there)]

    def probes_of(self, row: str) -> NDArray[np.int64]:
        """Probes of a row."""
        return np.asarray(self.probe[np.isin(self.cells[self.probe], self.cells_of(row))])

    def impostors_of(self, row: str) -> NDArray[np.int64]:
        """One search a stranger: in other clothes where the row is about clothes, else in ``normal``."""
        clothed = any(set(self.cells_of(row)) <= set(cells) for cells in self.rules.groups.values())
        normal = self.cells[self.impostor] == "normal"
        return np.asarray(self.impostor[~normal if clothed else normal])

    def identification(
        self, scores: NDArray[Any], row: str, which: str, seed: int, replicates: int = 1000
    ) -> dict[str, Any]:
        """Rank-1 and FNIR of a score matrix ``[n, gallery]`` in one row, with intervals over people.

        Args:
            scores: similarities of all walks with the gallery.
            row: a name of :meth:`rows`.
            which: gallery, "one view" or "several views".
            seed: of the bootstrap.
            replicates: of the bootstrap.
        """
        columns = np.arange(len(self.gallery))
        if which == ONE:
            columns = np.flatnonzero(self.views[self.gallery] == self.rules.one_view)
        gallery = self.gallery[columns]
        probe, strangers = self.probes_of(row), self.impostors_of(row)
        both = np.concatenate([probe, strangers])
        least = self.rules.least_nominal_deg
        exclude = exclude_views(self.views[both], self.views[gallery], least)
        held = scores[np.ix_(both, columns)]
        names, enrolled = self.people[both].tolist(), self.people[gallery].tolist()
        found = rank(held[: len(probe)], names[: len(probe)], enrolled, exclude[: len(probe)])
        counted = found.counted("skip")
        boot = PeopleBootstrap.of(self.people[probe][counted].tolist(), replicates, seed)
        hits = found.hits(1)[counted].astype(np.float64)
        searches = open_set_searches(held, names, enrolled, exclude)
        numbers = np.unique(self.people[both], return_inverse=True)[1].astype(np.int64)
        missed = fnir_with_intervals(searches, numbers, [FPIR], replicates, seed)[FPIR].fnir
        return {
            "gallery": which,
            "row": row,
            "people": boot.people,
            "probes": int(counted.sum()),
            "impostor_searches": len(searches.nonmated),
            "chance": found.chance(1),
            "rank1": boot.rate(float(hits.mean()), boot.means(hits)).to_dict(),
            "fnir": missed.to_dict(),
        }


def read(root: Path, rules: Benchmark, people: int | None = None) -> Trial:
    """The trial of a folder that holds the benchmark's test, and its impostors if there shall be any.

    Args:
        root: recordings as ``gait3d simulate --benchmark`` writes them; of other people too.
        rules: the benchmark.
        people: how many are enrolled; as many as the benchmark says by default.

    Raises:
        InputError: nobody has a gallery session.
    """
    folder = WalkFolder(root)
    sessions = np.array([walk.session for walk in folder.walks])
    subjects = np.array([walk.subject for walk in folder.walks])
    known = sorted(set(subjects[sessions == GALLERY_SESSION].tolist()))
    if not known:
        raise InputError(
            f"{root}: nobody has a session {GALLERY_SESSION!r}; make the folder with: "
            f"gait3d simulate --benchmark world_v1 --split test --out {root}"
        )
    enrolled = known[: people or rules.scored]
    left_out = np.isin(subjects, known[len(enrolled) :])
    chosen = np.flatnonzero(~left_out)
    cells, truth = _told(folder, chosen)
    mine, in_gallery = np.isin(subjects[chosen], enrolled), sessions[chosen] == GALLERY_SESSION
    views = [folder.walks[i].view_deg for i in chosen]
    return Trial(
        rules, folder, chosen, subjects[chosen],
        np.array([np.nan if v is None else v for v in views]), cells, sessions[chosen],
        np.flatnonzero(mine & in_gallery), np.flatnonzero(mine & ~in_gallery), np.flatnonzero(~mine), truth,
    )  # fmt: skip


def floor(scores: NDArray[Any], unseen: NDArray[np.bool_], gallery: NDArray[np.int64]) -> NDArray[Any]:
    """Scores ``[n, gallery]`` in which walks without evidence are like nobody."""
    low = scores.min() - 1.0
    scores[unseen] = low
    scores[:, unseen[gallery]] = low
    return scores


def _told(folder: WalkFolder, chosen: NDArray[np.int64]) -> tuple[NDArray[np.str_], dict[str, Array]]:
    """Cells, and what was true, of the chosen walks."""
    cells: dict[tuple[Path, int], str] = {}
    truths: dict[tuple[Path, int], Any] = {}
    for path in sorted({folder.walks[i].path for i in chosen}):
        with open_recording(path) as recording:
            for index, info in enumerate(recording.walks):
                cells[path, index] = info.meta.covariates.get("cell", "normal")
                truths[path, index] = recording.truth(index)
    keys = [(folder.walks[i].path, folder.walks[i].index) for i in chosen]
    truth = {}
    for name in ("shape", "style_of_the_day"):
        held = [None if truths[key] is None else truths[key].arrays.get(name) for key in keys]
        sizes = {None if array is None else array.shape for array in held}
        if len(sizes) == 1 and None not in sizes:
            truth[name] = np.array(held, np.float64)
    return np.array([cells[key] for key in keys]), truth

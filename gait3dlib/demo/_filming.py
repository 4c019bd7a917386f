"""Who walks when, seen from where, and the recordings that this becomes."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gait3dlib._processes import starting_workers
from gait3dlib.recording import save
from gait3dlib.simulation import Condition, Walker, observe_conditions, sample_walker
from gait3dlib.simulation.conditions import draw

# pseudonyms that say nothing about a person
BIRDS = (
    "wren", "heron", "kestrel", "plover", "swift", "teal", "dunlin", "linnet", "osprey", "pipit", "rook",
    "siskin", "avocet", "bittern", "crane", "dipper", "egret", "finch", "grebe", "hobby", "ibis", "jay",
    "knot", "lark",
)  # fmt: skip
# Enrolled in one walk before five cameras, and seen again from the other side
ENROL_VIEWS_DEG = (0.0, 45.0, 90.0, 135.0, 180.0)
RETURN_VIEWS_DEG = (210.0, 240.0, 270.0, 300.0, 315.0, 330.0)  # at least 30 degrees from each of the five
ENROL_SEED, RETURN_SEED = 1, 2  # another day: another variation of the style, other noise
SECONDS, FPS = 3.0, 15.0
STREAMS = ("silhouette", "keypoints")


@dataclass(frozen=True)
class Shot:
    """One walk to be seen by one or more cameras, and the recording it becomes."""

    path: Path
    seed: int  # of the population
    index: int  # in the population
    subject: str
    walk_seed: int
    views_deg: tuple[float, ...]
    named: bool

    @property
    def walker(self) -> Walker:
        """Who walks: drawn again from the population, so that processes can share a shot."""
        return dataclasses.replace(sample_walker(self.seed, self.index, "prior"), subject=self.subject)

    @property
    def conditions(self) -> list[Condition]:
        """How each camera sees it; the speed is the same before all of them."""
        rng = self.walker.rng(11, self.walk_seed)
        drawn = [draw("normal", rng, view_deg=view, fps=FPS) for view in self.views_deg]
        return [dataclasses.replace(one, outfit=drawn[0].outfit, speed=drawn[0].speed) for one in drawn]


def plan(out: Path, seed: int, people: int, strangers: int) -> tuple[list[Shot], list[Shot]]:
    """Who walks when, and from where they are seen; in the corridor in an order drawn by chance."""
    rng = np.random.default_rng([seed, people, strangers])
    names = [*BIRDS[:people], *(f"stranger-{i + 1}" for i in range(strangers))]
    first = [
        Shot(out / "enrolled" / f"{name}.h5", seed, i, name, ENROL_SEED, ENROL_VIEWS_DEG, True)
        for i, name in enumerate(names[:people])
    ]
    again = []
    for number, i in enumerate(rng.permutation(len(names)).tolist()):
        path = out / "corridor" / f"walk-{number + 1:02d}.h5"
        view = RETURN_VIEWS_DEG[number % len(RETURN_VIEWS_DEG)]
        again.append(Shot(path, seed, i, names[i], RETURN_SEED, (view,), False))
    return first, again


def film(shots: Sequence[Shot], jobs: int | None) -> Iterator[Shot]:
    """The shots, in order, each when its recording is there."""
    jobs = min(jobs or os.cpu_count() or 1, len(shots))
    if jobs == 1:
        for shot in shots:
            _shoot(shot)
            yield shot
        return
    # spawned, because embree and BLAS keep threads that a fork would lose
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            with starting_workers():
                waiting = [pool.submit(_shoot, shot) for shot in shots]
            for shot, future in zip(shots, waiting, strict=True):
                future.result()
                yield shot
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _shoot(shot: Shot) -> None:
    """One recording. Who came back is in nobody's recording: only ``/truth`` knows the labels."""
    pairs = observe_conditions(
        shot.walker,
        shot.conditions,
        seed=shot.walk_seed,
        seconds=SECONDS,
        streams=STREAMS,
        session=str(shot.walk_seed),
    )
    seqs = [seq if shot.named else dataclasses.replace(seq, subject=None) for seq, _ in pairs]
    save(shot.path, *seqs, truths=[truth for _, truth in pairs])

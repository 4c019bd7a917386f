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
from gait3dlib.simulation import Walker, observe, sample_walker

# pseudonyms that say nothing about a person
BIRDS = (
    "wren", "heron", "kestrel", "plover", "swift", "teal", "dunlin", "linnet", "osprey", "pipit", "rook",
    "siskin", "avocet", "bittern", "crane", "dipper", "egret", "finch", "grebe", "hobby", "ibis", "jay",
    "knot", "lark",
)  # fmt: skip
ENROL_VIEW_DEG = 90.0
RETURN_VIEWS_DEG = (30.0, 45.0, 60.0, 120.0, 135.0, 150.0)  # at least 30 degrees from the first
RETURN_SPEEDS = (0.9, 1.1)
ENROL_SEED, RETURN_SEED = 1, 2  # another day: another variation of the style, other noise
SECONDS, FPS = 3.0, 15.0


@dataclass(frozen=True)
class Shot:
    """One walk to be seen by a camera, and the recording it becomes."""

    path: Path
    seed: int  # of the population
    index: int  # in the population
    subject: str
    walk_seed: int
    view_deg: float
    speed: float
    named: bool

    @property
    def walker(self) -> Walker:
        """Who walks: drawn again from the population, so that processes can share a shot."""
        return dataclasses.replace(sample_walker(self.seed, self.index), subject=self.subject)


def plan(out: Path, seed: int, people: int, strangers: int) -> tuple[list[Shot], list[Shot]]:
    """Who walks when, and from where they are seen; in the corridor in an order drawn by chance."""
    rng = np.random.default_rng([seed, people, strangers])
    names = [*BIRDS[:people], *(f"stranger-{i + 1}" for i in range(strangers))]
    first = [
        Shot(out / "enrolled" / f"{name}.h5", seed, i, name, ENROL_SEED, ENROL_VIEW_DEG, 1.0, True)
        for i, name in enumerate(names[:people])
    ]
    again = []
    for number, i in enumerate(rng.permutation(len(names)).tolist()):
        path = out / "corridor" / f"walk-{number + 1:02d}.h5"
        view = RETURN_VIEWS_DEG[number % len(RETURN_VIEWS_DEG)]
        speed = RETURN_SPEEDS[int(rng.integers(len(RETURN_SPEEDS)))]
        again.append(Shot(path, seed, i, names[i], RETURN_SEED, view, speed, False))
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
    session = str(shot.walk_seed)
    seq, truth = observe(
        shot.walker,
        seed=shot.walk_seed,
        view_deg=shot.view_deg,
        speed=shot.speed,
        seconds=SECONDS,
        fps=FPS,
        session=session,
    )
    save(shot.path, seq if shot.named else dataclasses.replace(seq, subject=None), truths=[truth])

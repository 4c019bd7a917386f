"""A folder of our own recordings as a data set: an index of walks, and samples prepared once per modality."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gait3dlib import registry
from gait3dlib._processes import starting_workers
from gait3dlib.config import build
from gait3dlib.errors import InputError
from gait3dlib.modalities import Sample
from gait3dlib.recording import open_recording
from gait3dlib.types import Labels

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Walk:
    """Where one walk lies, and what is known of it for training and for scoring (never for a model)."""

    path: Path
    index: int
    subject: str
    session: str
    view_deg: float | None
    labels: Labels


class WalkFolder:
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

    def __len__(self) -> int:
        return len(self.walks)

    @property
    def subjects(self) -> list[str]:
        """Everybody, sorted."""
        return sorted({walk.subject for walk in self.walks})

    def truths(self, name: str) -> NDArray[np.float32]:
        """What the simulator kept under ``name`` for every walk, flattened: ``[walks, n]``.

        For training and for scoring only: no stream holds it, so no model sees it. A walk without it is NaN.

        Raises:
            InputError: no walk has it, or walks have it in different sizes.
        """
        held: list[NDArray[np.float32] | None] = []
        for path in sorted({walk.path for walk in self.walks}):
            with open_recording(path) as recording:
                for index in range(len(recording.walks)):
                    truth = recording.truth(index)
                    array = None if truth is None else truth.arrays.get(name)
                    held.append(None if array is None else np.asarray(array, np.float32).reshape(-1))
        sizes = {len(array) for array in held if array is not None}
        if len(sizes) != 1:
            found = "walks hold it in different sizes" if sizes else "no walk holds it"
            raise InputError(f"{self.root}: {name!r} cannot be learnt: {found}; take it out of traits")
        unknown = np.full(sizes.pop(), np.nan, np.float32)
        return np.stack([unknown if array is None else array for array in held])

    def prepare(
        self,
        modality: str,
        settings: dict[str, Any] | None = None,
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> list[Sample | None]:
        """The samples of every walk for a modality, in the order of :attr:`walks`.

        They are made once, by several processes, and kept beside the recordings in ``.prepared``; a later
        call reads them. A walk that lacks the modality gives None.

        Raises:
            ConfigError: no such modality, or settings that it does not have.
            InputError: what was kept is damaged.
        """
        settings = settings or {}
        build(registry.get("modality", modality), settings, f"modalities.{modality}")
        paths = sorted({walk.path for walk in self.walks})
        tag = hashlib.sha256(json.dumps([modality, settings], sort_keys=True).encode()).hexdigest()[:12]
        cache = self.root / ".prepared" / f"{modality}-{tag}"
        cache.mkdir(parents=True, exist_ok=True)
        work = [(path, cache / f"{path.stem}.npz", modality, settings) for path in paths]
        todo = [task for task in work if not _fresh(task[0], task[1])]
        for done, _ in enumerate(_map(_prepare_file, todo, jobs), start=1):
            if progress is not None:
                progress(done, len(todo))
        samples: dict[tuple[Path, int], Sample | None] = {}
        for path, cached, _, _ in work:
            for index, sample in enumerate(_read_samples(cached)):
                samples[path, index] = sample
        return [samples[walk.path, walk.index] for walk in self.walks]


def _index(path: Path) -> Iterator[Walk]:
    with open_recording(path) as recording:
        for index, info in enumerate(recording.walks):
            if info.subject is None:
                raise InputError(
                    f"{path}: walk {index} has no subject; a training set needs one for every walk"
                )
            labels = recording.labels(index)
            yield Walk(path, index, info.subject, info.meta.session, info.meta.view_deg, labels)


def _prepare_file(task: tuple[Path, Path, str, dict[str, Any]]) -> None:
    path, cached, name, settings = task
    modality = build(registry.get("modality", name), settings, f"modalities.{name}")
    arrays: dict[str, Any] = {}
    with open_recording(path) as recording:
        arrays["walks"] = np.array(len(recording.walks))
        for index in range(len(recording.walks)):
            sample = modality.sample(recording.sequence(index))
            if sample is not None:
                arrays[f"frames{index}"] = sample.frames
                arrays[f"t_s{index}"] = sample.t_s
                arrays[f"used{index}"] = np.array(sample.used)
    partial = cached.with_suffix(f".{os.getpid()}.part.npz")  # two runs may prepare at once
    np.savez_compressed(partial, **arrays)
    os.replace(partial, cached)


def _read_samples(cached: Path) -> list[Sample | None]:
    try:
        with np.load(cached, allow_pickle=False) as arrays:
            return [
                Sample(arrays[f"frames{i}"], arrays[f"t_s{i}"], tuple(map(str, arrays[f"used{i}"])))
                if f"frames{i}" in arrays
                else None
                for i in range(int(arrays["walks"]))
            ]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(f"{cached} is damaged ({error}); delete {cached.parent} and start again") from error


def _fresh(path: Path, cached: Path) -> bool:
    """Whether the recording is older than what was made of it; a copy may bring an old time of change."""
    source = path.stat()
    return cached.exists() and cached.stat().st_mtime_ns >= max(source.st_mtime_ns, source.st_ctime_ns)


def _map(function: Callable[[Any], None], tasks: Sequence[Any], jobs: int | None) -> Iterator[None]:
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or len(tasks) < 2:
        yield from map(function, tasks)
        return
    # spawn: forking a process that runs torch's threads can hang
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            with starting_workers():
                done = pool.map(function, tasks, chunksize=2)
            yield from done
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

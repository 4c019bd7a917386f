"""Samples of walks, prepared once by several processes and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zipfile import BadZipFile

import numpy as np

from gait3dlib import registry
from gait3dlib._processes import starting_workers
from gait3dlib.config import build
from gait3dlib.data._code import code_digest
from gait3dlib.errors import InputError
from gait3dlib.modalities import Sample
from gait3dlib.types import GaitSequence

SMALL_BYTES = 8 * 2**20  # a process is not worth starting for less

Progress = Callable[[int, int], None]
A = TypeVar("A")
B = TypeVar("B")


class Source(Protocol):
    """The walks that lie in one place, such as a recording; it travels to another process."""

    @property
    def prepared(self) -> str:
        """File name of what is made of it."""
        ...

    @property
    def size(self) -> int:
        """How many bytes its walks are."""
        ...

    def fresh(self, kept: Path) -> bool:
        """Whether what was made of it is still true of it."""
        ...

    def sequences(self, streams: frozenset[str]) -> Iterator[GaitSequence | None]:
        """Its walks, with those streams at least; None where a walk has none of them."""
        ...


def prepare_all(
    cache: Path,
    sources: Mapping[Path, Source],
    modality: str,
    settings: dict[str, Any],
    jobs: int | None,
    progress: Progress | None,
) -> dict[Path, list[Sample | None]]:
    """The samples of every source for a modality, made where they are not there yet.

    Raises:
        ConfigError: no such modality, or settings that it does not have.
        InputError: what was kept is damaged.
    """
    build(registry.get("modality", modality), settings, f"modalities.{modality}")
    tag = hashlib.sha256(json.dumps([modality, settings], sort_keys=True).encode()).hexdigest()[:12]
    # what other code made is made again
    code = code_digest(registry.get("modality", modality))[:8]
    folder = cache / f"{modality}-{tag}-{code}"
    folder.mkdir(parents=True, exist_ok=True)
    work = [(source, folder / source.prepared, modality, settings) for source in sources.values()]
    todo = [task for task in work if not task[0].fresh(task[1])]
    if jobs is None and sum(source.size for source, *_ in todo) < SMALL_BYTES:
        jobs = 1
    for done, _ in enumerate(in_processes(_prepare, todo, jobs), start=1):
        if progress is not None:
            progress(done, len(todo))
    return {place: _read(kept) for place, (_, kept, _, _) in zip(sources, work, strict=True)}


def in_processes(function: Callable[[A], B], tasks: Sequence[A], jobs: int | None) -> Iterator[B]:
    """``function`` of every task, in their order, in ``jobs`` processes (one a core by default)."""
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


def _prepare(task: tuple[Source, Path, str, dict[str, Any]]) -> None:
    source, kept, name, settings = task
    modality = build(registry.get("modality", name), settings, f"modalities.{name}")
    wanted = frozenset([spec.name for spec in modality.streams] + list(modality.derives_from))
    arrays: dict[str, Any] = {}
    count = 0
    for index, sequence in enumerate(source.sequences(wanted)):
        count = index + 1
        sample = None if sequence is None else modality.sample(sequence)
        if sample is not None:
            arrays[f"frames{index}"] = sample.frames
            arrays[f"t_s{index}"] = sample.t_s
            arrays[f"used{index}"] = np.array(sample.used)
    arrays["walks"] = np.array(count)
    partial = kept.with_suffix(f".{os.getpid()}.part.npz")  # two runs may prepare at once
    np.savez_compressed(partial, **arrays)
    os.replace(partial, kept)


def _read(kept: Path) -> list[Sample | None]:
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return [
                Sample(arrays[f"frames{i}"], arrays[f"t_s{i}"], tuple(map(str, arrays[f"used{i}"])))
                if f"frames{i}" in arrays
                else None
                for i in range(int(arrays["walks"]))
            ]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(f"{kept} is damaged ({error}); delete {kept.parent} and start again") from error

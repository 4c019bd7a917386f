"""Data sets of simulated walks: one recording a walker, made on all cores, resumable.

The same seed gives the same streams whatever the number of processes.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from gait3dlib._processes import starting_workers
from gait3dlib.errors import InputError
from gait3dlib.recording import Truth, save
from gait3dlib.simulation import observation, observing
from gait3dlib.simulation.conditions import Condition, check_cells, draw
from gait3dlib.simulation.walker import MotionSource, Walker, frame_count, sample_walker, subject_name
from gait3dlib.simulation.world import (
    STREAMS,
    WORLD_VERSION,
    View,
    check_asked,
    default_distance_m,
    observe_views,
)
from gait3dlib.types import GaitSequence

MANIFEST = "manifest.json"
# how sessions and cameras differ; part of the world's version
SPEED_RANGE = (0.88, 1.12)
CAMERA_HEIGHT_M = (1.0, 2.0)
DISTANCE_FACTOR = (1.0, 1.5)
VIEW_JITTER_DEG = 4.0


def simulate(
    out: Path,
    *,
    walkers: int,
    seed: int,
    first: int = 0,
    sessions: int = 3,
    views: Sequence[float] = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0),
    seconds: float = 2.0,
    fps: float = 15.0,
    streams: Sequence[str] = ("silhouette", "keypoints"),
    size: int = 96,
    cells: Sequence[str] = (),
    motion: MotionSource = "prior",
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one recording a walker: each of ``sessions`` walks seen from each of ``views``.

    A session has its own speed (0.88 to 1.12 of the comfortable one), style of the day and cameras (height,
    distance and angle vary about the nominal view). Recordings that are there already are kept, so an
    interrupted call continues.

    Args:
        out: folder; made when missing. Holds ``manifest.json`` and ``SUBJECT.h5`` files.
        walkers: how many.
        seed: of the population and all noise.
        first: index of the first walker; other indices are other people.
        sessions: walks a walker.
        views: degrees between walking direction and camera.
        seconds: length of a walk.
        fps: frames a second.
        streams: of "silhouette", "keypoints" and "depth"; with ``cells`` also "points" and "joints".
        size: pixels of the square crop.
        cells: covariates of :data:`~gait3dlib.simulation.conditions.CELLS`: each gets ``sessions`` walks from
            each view, and a scene with a depth camera and a LiDAR. Asked for points or joints, "normal".
        motion: "prior" = learnt from real walks, in a scene; "style" = set by hand.
        jobs: processes; None = one a core.
        progress: called with (done, all) walkers after each.

    Returns:
        The recordings, by index.

    Raises:
        InputError: a count below one, what no walk can be, or a folder that holds a data set made with
            other parameters.
    """
    if walkers < 1 or sessions < 1 or first < 0 or seed < 0:
        raise InputError("a data set needs at least one walker and one session; first and seed count from 0")
    if not cells and (motion != "style" or {"points", "joints"} & set(streams)):
        cells = ("normal",)
    if cells:
        observing.check_streams(streams, size)
    check_asked(views, STREAMS if cells else streams, size)
    frame_count(fps, seconds)
    parameters: dict[str, Any] = {
        "world_version": WORLD_VERSION,
        "seed": seed,
        "sessions": sessions,
        "views": [float(v) for v in views],
        "seconds": seconds,
        "fps": fps,
        "streams": [name for name in STREAMS if name in streams],
        "size": size,
    }
    if cells:
        parameters |= {
            "world_version": observing.SCENE_VERSION,
            "streams": [name for name in observation.STREAMS if name in streams],
            "cells": list(check_cells(tuple(cells))),
        }
    if motion != "style":
        parameters["motion"] = motion
    out = Path(out)
    claim(out, parameters)
    paths = [out / f"{subject_name(seed, index, motion)}.h5" for index in range(first, first + walkers)]
    todo = [first + i for i, path in enumerate(paths) if not path.exists()]
    make_missing(partial(_make, out, parameters), todo, walkers, jobs, progress)
    return paths


def claim(out: Path, parameters: dict[str, Any]) -> None:
    """Write the manifest, or check that the one that is there asks for the same."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / MANIFEST
    if path.exists():
        try:
            held = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path} cannot be read ({error}); choose another folder") from error
        names = {**parameters, "cells": None, "motion": None}  # what is not there is said by its absence
        differs = [k for k in names if not isinstance(held, dict) or held.get(k) != parameters.get(k)]
        if differs:
            raise InputError(
                f"{out} holds a data set made with another {', '.join(differs)}; choose another folder"
            )
        return
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(parameters, indent=1) + "\n")
    temporary.replace(path)


def make_missing(
    make: Callable[[int], None],
    todo: Sequence[int],
    people: int,
    jobs: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Call ``make`` for those of a data set's ``people`` that are not there yet, and say how far it is."""
    done = people - len(todo)
    if progress is not None:
        progress(done, people)
    for _ in on_all_cores(make, todo, min(jobs or os.cpu_count() or 1, max(1, len(todo)))):
        done += 1
        if progress is not None:
            progress(done, people)


def on_all_cores(make: Callable[[int], None], todo: Sequence[int], jobs: int) -> Iterator[int]:
    """Call ``make`` for each index, in ``jobs`` processes; yields each index when it is done."""
    if jobs == 1:
        for index in todo:
            make(index)
            yield index
        return
    # spawned, because embree and BLAS keep threads that a fork would lose
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            with starting_workers():
                waiting = {pool.submit(make, index): index for index in todo}
            for future in as_completed(waiting):
                future.result()
                yield waiting[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make(out: Path, parameters: dict[str, Any], index: int) -> None:
    """One walker's recording."""
    walker = sample_walker(parameters["seed"], index, parameters.get("motion", "style"))
    pairs = _in_cells(walker, parameters) if "cells" in parameters else _in_views(walker, parameters)
    save(out / f"{walker.subject}.h5", *(s for s, _ in pairs), truths=[t for _, t in pairs])


def _in_cells(walker: Walker, parameters: dict[str, Any]) -> list[tuple[GaitSequence, Truth]]:
    """Each session of each cell is a walk of its own, seen from all views at once."""
    pairs: list[tuple[GaitSequence, Truth]] = []
    for cell in parameters["cells"]:
        for session in range(parameters["sessions"]):
            # by name: neither the order of the cells nor a new one changes a walk
            seed = zlib.crc32(f"{parameters['seed']}/{cell}/{session}".encode())
            rng = walker.rng(7, seed)
            views = [draw(cell, rng, view_deg=view, fps=parameters["fps"]) for view in parameters["views"]]
            one: list[Condition] = [
                dataclasses.replace(view, outfit=views[0].outfit, speed=views[0].speed) for view in views
            ]
            pairs += observing.observe_conditions(
                walker,
                one,
                seed=seed,
                seconds=parameters["seconds"],
                streams=parameters["streams"],
                size=parameters["size"],
                session=f"{cell}-{session:02d}",
            )
    return pairs


def _in_views(walker: Walker, parameters: dict[str, Any]) -> list[tuple[GaitSequence, Truth]]:
    """The first world: cameras alone, no covariates."""
    pairs: list[tuple[GaitSequence, Truth]] = []
    for session in range(parameters["sessions"]):
        rng = walker.rng(3, parameters["seed"], session)
        speed = float(rng.uniform(*SPEED_RANGE))
        views = [
            View(
                view,
                camera_height_m=float(rng.uniform(*CAMERA_HEIGHT_M)),
                distance_m=default_distance_m(parameters["seconds"]) * float(rng.uniform(*DISTANCE_FACTOR)),
                turned_deg=float(rng.uniform(-VIEW_JITTER_DEG, VIEW_JITTER_DEG)),
            )
            for view in parameters["views"]
        ]
        pairs += observe_views(
            walker,
            views,
            seed=parameters["seed"] * 1000 + session,
            speed=speed,
            fps=parameters["fps"],
            seconds=parameters["seconds"],
            streams=parameters["streams"],
            size=parameters["size"],
            session=f"{session:02d}",
        )
    return pairs

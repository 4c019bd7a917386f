"""Frozen benchmarks: data sets of simulated walks that a file defines down to the last byte.

A split of :class:`~gait3dlib.simulation.frozen.Benchmark` is written like any other data set, one recording
a person, by all cores, resumable. Streams can be added later: those that are there keep their bytes.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.simulation import observation, observing
from gait3dlib.simulation.conditions import Condition, draw
from gait3dlib.simulation.dataset import claim, make_missing
from gait3dlib.simulation.frozen import Benchmark, Split, digest, load
from gait3dlib.simulation.walker import Walker, sample_walker, subject_name
from gait3dlib.types import GaitSequence, Stream

GALLERY_SESSION = "0-gallery"
Pair = tuple[GaitSequence, Truth]


def simulate_split(
    name: str | Path,
    split: str,
    out: Path,
    *,
    streams: Sequence[str] = (),
    people: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one recording a person of a split; what is there already is kept, so a call can be repeated.

    Several splits may share a folder. Recordings that lack some of the streams get them added; the others
    keep their bytes.

    Args:
        name: a shipped benchmark, or a YAML file.
        split: of the benchmark.
        out: folder; made when missing.
        streams: the benchmark's own by default.
        people: only the first so many of the split.
        jobs: processes; None = one a core.
        progress: called with (done, all) people after each.

    Returns:
        The recordings, by person.

    Raises:
        ConfigError: no such benchmark, or one of another world.
        InputError: no such split or stream, or a folder that holds another data set.
    """
    rules = load(name)
    if split not in rules.splits:
        raise InputError(f"{name} has no split {split!r}{did_you_mean(split, rules.splits)}")
    asked = [s for s in observation.STREAMS if s in (streams or rules.streams)]
    observing.check_streams(streams or rules.streams, rules.size)
    some = rules.splits[split]
    people = min(people or some.people, some.people)
    out = Path(out)
    claim(out, {"benchmark": Path(name).stem, "sha256": digest(name)})
    indices = range(some.first, some.first + people)
    paths = [out / f"{subject_name(rules.seed, index, rules.motion)}.h5" for index in indices]
    todo = [i for i, path in zip(indices, paths, strict=True) if set(asked) - _held(path)]
    make_missing(partial(_make, out, name, split, asked), todo, people, jobs, progress)
    return paths


def walks_of(rules: Benchmark, split: Split, walker: Walker, streams: Sequence[str]) -> Iterator[Pair]:
    """Every walk of a person in a split, in a fixed order: gallery, probes, random walks."""
    if split.gallery:
        rng = walker.rng(8, 0)
        views = [_condition(rules, "normal", rng, view) for view in rules.gallery_views]
        # one walk: the same speed and clothes before all cameras
        same = [dataclasses.replace(v, outfit=views[0].outfit, speed=views[0].speed) for v in views]
        yield from _observed(rules, walker, same, 0, streams, GALLERY_SESSION)
    for probe in split.probes:
        # by name: neither the order of the probes nor a new one changes a walk
        seed = zlib.crc32(probe.encode())
        rng = walker.rng(9, seed)
        cell = str(rng.choice(rules.groups.get(probe, (probe,))))
        one = _condition(rules, cell, rng, float(rng.choice(rules.probe_views)))
        yield from _observed(rules, walker, [one], seed, streams, f"1-{probe}")
    others = [cell for cell in rules.cells if cell != "normal"]
    for number in range(split.walks):
        rng = walker.rng(10, number)
        cell = "normal" if rng.random() < rules.normal_share else str(rng.choice(others))
        view = rules.raster_deg * int(rng.integers(round(360.0 / rules.raster_deg)))
        beside = float(rng.uniform(-0.5, 0.5)) * rules.raster_deg
        speed = float(rng.uniform(*rules.random_speed))
        one = draw(cell, rng, view_deg=view, turned_deg=beside, speed=speed, fps=rules.fps)
        yield from _observed(rules, walker, [one], 2**32 + number, streams, f"{number:02d}")


def _condition(rules: Benchmark, cell: str, rng: np.random.Generator, view: float) -> Condition:
    beside = float(rng.uniform(-rules.jitter_deg, rules.jitter_deg))
    return draw(cell, rng, view_deg=view, turned_deg=beside, fps=rules.fps)


def _observed(
    rules: Benchmark, walker: Walker, some: list[Condition], seed: int, streams: Sequence[str], session: str
) -> list[Pair]:
    return observing.observe_conditions(
        walker, some, seed=seed, seconds=rules.seconds, streams=streams, size=rules.size, session=session
    )


def _make(out: Path, name: str | Path, split: str, asked: Sequence[str], index: int) -> None:
    """One person's recording, or the streams that it lacks."""
    rules = load(name)
    walker = sample_walker(rules.seed, index, rules.motion)
    path = out / f"{walker.subject}.h5"
    held = _held(path)
    pairs = list(walks_of(rules, rules.splits[split], walker, [name for name in asked if name not in held]))
    before: Sequence[GaitSequence | None] = [None] * len(pairs)
    if held:
        with open_recording(path) as recording:
            before = [recording.sequence(i) for i in range(len(recording.walks))]
    whole = [_joined(old, new) for old, (new, _) in zip(before, pairs, strict=True)]
    save(path, *whole, truths=[observing.thinned(truth) for _, truth in pairs])


def _joined(old: GaitSequence | None, new: GaitSequence) -> GaitSequence:
    """A walk with the streams of both; one in which nobody was found stays only where there is no other."""
    streams = {**(old.streams if old is not None else {}), **new.streams}
    found = {name: streams[name] for name in observation.STREAMS if name in streams and _found(streams[name])}
    if not found:
        name = next(name for name in observation.STREAMS if name in streams)
        found = {name: streams[name]}
    return GaitSequence(found, new.subject, new.meta)


def _found(stream: Stream) -> bool:
    return bool(np.nan_to_num(stream.data).any()) if stream.data.size else False


def _held(path: Path) -> set[str]:
    """Streams that a recording has in any of its walks."""
    if not path.exists():
        return set()
    with open_recording(path) as recording:
        return {name for info in recording.walks for name in info.streams}

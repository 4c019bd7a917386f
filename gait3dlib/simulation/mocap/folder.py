"""Real walks in a folder laid out like the real data: ``cmu/<subject>/*.bvh`` and ``biomechzoo/*.npz``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap.bvh import read_bvh
from gait3dlib.simulation.mocap.capture import Capture, fit
from gait3dlib.simulation.mocap.measured import measured_bvh, measured_trial, standing_pitch
from gait3dlib.simulation.mocap.trials import read_trial

SPLIT = Path(__file__).resolve().parent.parent / "real_people.yaml"
LONGEST_FRAMES = 2400  # longer motions (CMU 03_03, 03_04: 38 s) are many walks over uneven ground


@dataclass(frozen=True)
class Person:
    """Someone whose walks were measured: ``source`` is "cmu" or "biomechzoo"."""

    source: str
    name: str

    def __str__(self) -> str:
        return f"{self.source}-{self.name}"


@dataclass(frozen=True, eq=False)
class RealWalk:
    """One recording of one person."""

    person: Person
    trial: str
    capture: Capture


@dataclass(frozen=True)
class Split:
    """Who shaped the prior. Anybody else is kept out."""

    prior: frozenset[Person]
    kept_out: frozenset[Person]


def split(path: Path = SPLIT) -> Split:
    """The split that ships with the package.

    Raises:
        InputError: somebody stands on both sides.
    """
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    sides = {side: _people(table[side]) for side in ("prior", "kept_out")}
    if both := sides["prior"] & sides["kept_out"]:
        raise InputError(f"{min(map(str, both))} is both in the prior and kept out; decide in {path.name}")
    return Split(sides["prior"], sides["kept_out"])


def _people(table: Mapping[str, list[str]]) -> frozenset[Person]:
    return frozenset(Person(source, str(name)) for source, names in table.items() for name in names)


def real_walks(
    data: Path | str, wanted: Callable[[Person], bool] = lambda person: True
) -> Iterator[RealWalk]:
    """Read and fit the walks of a folder, one after another.

    Args:
        data: holds ``cmu`` and ``biomechzoo``, or one of them.
        wanted: whose walks.

    Raises:
        InputError: neither folder is there, or a file cannot be read.
    """
    data = Path(data)
    if not any((data / name).is_dir() for name in ("cmu", "biomechzoo")):
        raise InputError(f"{data} holds no folder 'cmu' or 'biomechzoo'; name the folder of real walks")
    for path in sorted(data.glob("cmu/*/*.bvh")):
        person = Person("cmu", path.parent.name)
        if wanted(person) and len((motion := read_bvh(path)).positions) <= LONGEST_FRAMES:
            yield RealWalk(person, path.stem, fit(measured_bvh(motion)))
    standing = {path.name.split("_")[0]: path for path in data.glob("biomechzoo/*_Static_*.npz")}
    for path in sorted(data.glob("biomechzoo/*.npz")):
        child = path.name.split("_")[0]
        person = Person("biomechzoo", child)
        if "_Static_" in path.name or not wanted(person):
            continue
        pitch = standing_pitch(read_trial(standing[child])) if child in standing else None
        yield RealWalk(person, path.stem.split("_", 1)[1], fit(measured_trial(read_trial(path), pitch)))

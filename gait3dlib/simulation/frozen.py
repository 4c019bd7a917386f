"""The schema of a frozen benchmark: who walks, how often, and under which circumstances.

``benchmarks/world_v1.yaml`` is one; its comments explain each name.
:mod:`gait3dlib.simulation.benchmark` makes its data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib import _resources, config
from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.simulation import conditions, observing
from gait3dlib.simulation.walker import MotionSource, frame_count

FROZEN_ASSETS = ("body.npz", "prior.npz", "keypoint_noise.yaml")


class Split:
    """Some people of the population, and what each of them walks.

    Args:
        first: index of the first person.
        people: how many.
        walks: random walks of each.
        gallery: whether each has a gallery session.
        probes: cells, or groups of cells, with one walk each.
    """

    def __init__(
        self,
        *,
        first: config.Natural,
        people: config.Count,
        walks: config.Natural = 0,
        gallery: bool = False,
        probes: Sequence[str] = (),
    ) -> None:
        self.first, self.people, self.walks, self.gallery = first, people, walks, gallery
        self.probes = tuple(probes)


class Benchmark:
    """What a benchmark file says; its comments explain each name.

    Raises:
        ConfigError: another world than this library's, no such cell, or splits that share people.
    """

    def __init__(
        self,
        *,
        version: config.Count,
        world: config.Count,
        motion: MotionSource,
        fingerprint: str,
        seed: config.Natural,
        seconds: config.Positive,
        fps: config.Positive,
        size: config.Count,
        streams: Sequence[str],
        gallery_views: Sequence[float],
        one_view: float,
        min_degrees: config.NotNegative,
        jitter_deg: config.NotNegative,
        raster_deg: config.Positive,
        normal_share: config.Share,
        random_speed: tuple[float, float],
        cells: Sequence[str],
        groups: dict[str, Sequence[str]],
        splits: dict[str, dict[str, Any]],
        scored: config.Count,
    ) -> None:
        self.version, self.motion, self.seed, self.fingerprint = version, motion, seed, fingerprint
        self.seconds, self.fps, self.size, self.streams = seconds, fps, size, tuple(streams)
        self.gallery_views, self.one_view = tuple(gallery_views), one_view
        self.min_degrees, self.jitter_deg, self.raster_deg = min_degrees, jitter_deg, raster_deg
        self.normal_share, self.random_speed = normal_share, random_speed
        self.cells, self.scored = conditions.check_cells(list(cells)), scored
        self.groups = {name: conditions.check_cells(list(held)) for name, held in groups.items()}
        self.splits = {name: config.build(Split, held, f"splits.{name}") for name, held in splits.items()}
        self._check(world)

    @property
    def least_nominal_deg(self) -> float:
        """Between the nominal views of a probe and a gallery walk: so the true ones keep ``min_degrees``."""
        return self.min_degrees + 2 * self.jitter_deg

    @property
    def probe_views(self) -> list[float]:
        """Views of the raster from which a probe is seen: far enough from the gallery of one view."""
        raster = np.arange(0.0, 360.0, self.raster_deg)
        away = np.abs((raster - self.one_view + 180.0) % 360.0 - 180.0)
        return [float(view) for view in raster[away >= self.least_nominal_deg]]

    def _check(self, world: int) -> None:
        if world != observing.SCENE_VERSION:
            raise ConfigError(f"world: this library simulates version {observing.SCENE_VERSION}, not {world}")
        frame_count(self.fps, self.seconds)
        observing.check_streams(self.streams, self.size)
        ranges = sorted((s.first, s.first + s.people, name) for name, s in self.splits.items())
        for (_, stop, name), (start, _, other) in pairwise(ranges):
            if start < stop:
                raise ConfigError(f"splits: {name} and {other} share people; nobody may be in two of them")
        for name, split in self.splits.items():
            for probe in split.probes:
                if probe not in (*self.cells, *self.groups):
                    raise ConfigError(
                        f"splits.{name}.probes: {probe!r} is no cell{did_you_mean(probe, self.cells)}"
                    )
        if not self.probe_views:
            raise ConfigError("min_degrees: no view of the raster is so far from one_view")


def load(name: str | Path) -> Benchmark:
    """A benchmark by the name of a shipped file ("world_v1") or the path of a YAML file.

    Raises:
        ConfigError: no such benchmark, unknown keys, wrong values, or a library whose bodies, gait prior,
            noise or covariates are not those that the benchmark was frozen with.
    """
    found = config.build(Benchmark, config.read(file_of(name)), Path(name).stem)
    if found.fingerprint and found.fingerprint != fingerprint():
        raise ConfigError(
            f"{name} was frozen with another body, gait prior, noise or covariates (its fingerprint is "
            f"{found.fingerprint}, this library's {fingerprint()}); install the release that it came with"
        )
    return found


def file_of(name: str | Path) -> Path:
    """Where a benchmark's file lies.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    if path.suffix == ".yaml":
        return path
    shipped = {p.stem: p for p in _resources.shipped("benchmarks").glob("*.yaml")}
    if str(name) not in shipped:
        raise ConfigError(f"there is no benchmark {str(name)!r}{did_you_mean(str(name), shipped)}")
    return shipped[str(name)]


def fingerprint() -> str:
    """Sixteen hex digits of what a benchmark rests on beside its own file: data files and covariate cells."""
    digest = hashlib.sha256()
    for name in FROZEN_ASSETS:
        digest.update(hashlib.sha256(_resources.asset(name).read_bytes()).digest())
    cells = {name: dict(held) for name, held in conditions.CELLS.items()}
    digest.update(json.dumps([cells, dict(conditions._NORMAL)], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def digest(name: str | Path) -> str:
    """Of what a benchmark's file says, not of its comments."""
    said = json.dumps(config.read(file_of(name)), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]

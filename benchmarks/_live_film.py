"""Films for the live benchmarks: people who pass a depth camera, alone and in pairs; rendered once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.software_camera import Shot, corridor_shots
from gait3dlib.simulation.things import wall
from gait3dlib.types import Calibration

LANES_M = (-0.3, 0.7)  # one metre apart; the camera is 4.2 m away
HALF_WAY_M = 3.4  # in and out of the image
GAP_S = 1.6  # nobody in view: longer than a track is remembered
WALLS = [wall((-6, 2.6), (6, 2.6))]
POPULATION = 40_000  # plus the seed: populations of their own


@dataclass(frozen=True)
class Passing:
    """One person's way through the scene."""

    person: int
    lane_m: float
    turned: bool
    day: int
    start_s: float = 0.0


@dataclass(frozen=True)
class Track:
    """Where somebody truly was: seconds of the film and x, y in metres."""

    person: int
    t_s: NDArray[np.float64]
    xy: NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """How a film is taken."""

    fps: int = 15
    width: int = 424
    color: bool = False
    cache: Path = Path()

    def __str__(self) -> str:
        return f"{self.width}x{self.fps}{'c' if self.color else ''}"


# ---- who walks when ------------------------------------------------------------------------------------


def enrolments(people: int) -> list[list[Passing]]:
    """Segments of the film: each person alone, to the right and back."""
    return [
        [Passing(i, 0.0, False, 1), Passing(i, 0.0, True, 1, start_s=way_s(i) + GAP_S)] for i in range(people)
    ]


def way_s(person: int) -> float:
    """Longest time that a way takes; who walks faster is out of view earlier."""
    return 6.0


def returns(people: int, strangers: int, seed: int) -> list[list[Passing]]:
    """Everybody on another day in a random order: two pairs, then two alone, and so on."""
    rng = np.random.default_rng([seed, 3])
    order = rng.permutation(people + strangers).tolist()
    out: list[list[Passing]] = []
    while order:
        pair = len(order) > 1 and len(out) % 3 != 2
        turned = bool(rng.integers(2))
        some = [order.pop() for _ in range(2 if pair else 1)]
        lanes = LANES_M if pair else (0.0,)
        out.append(
            [
                Passing(who, lane, turned if i == 0 else not turned, 2, start_s=float(rng.uniform(0, 0.4)))
                for i, (who, lane) in enumerate(zip(some, lanes, strict=True))
            ]
        )
    return out


def strangers(count: int) -> list[list[Passing]]:
    """Others who pass once, alone; nobody of them is enrolled, nor comes back."""
    return [[Passing(1000 + i, 0.0, bool(i % 2), 1)] for i in range(count)]


def view(width: int) -> Calibration:
    height = {424: 240, 640: 480}[width]
    return look_at(
        np.array([0.0, -4.2, 1.3]), np.array([0.0, 0, 0.95]), width=width, height=height, field_of_view_deg=70
    )


# ---- the film --------------------------------------------------------------------------------------------


def filmed(
    asked: Quality, film: list[list[Passing]], camera: Calibration, seed: int
) -> tuple[list[list[Shot]], list[list[Track]]]:
    """Shots and true ways of every segment, from the cache where they are there."""
    shots, tracks = [], []
    for number, segment in enumerate(film):
        name = "-".join(f"{p.person}.{p.day}.{p.lane_m}.{p.turned:d}.{p.start_s:.3f}" for p in segment)
        path = asked.cache / f"seed{seed}" / f"{asked}-{number:02d}-{name}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, **rendered(asked, segment, camera, seed, number))
        with np.load(path, allow_pickle=False) as held:
            color = held["color"] if "color" in held else [None] * len(held["depth"])
            t_ns = [round(i * 1e9 / asked.fps) for i in range(len(held["depth"]))]
            depth = held["depth"]
            shots.append([Shot(d, t, c) for d, t, c in zip(depth, t_ns, color, strict=True)])
            ways = held["ways"]
            t_s = np.arange(ways.shape[1]) / asked.fps
            tracks.append([Track(p.person, t_s, w) for p, w in zip(segment, ways, strict=True)])
    return shots, tracks


def rendered(
    asked: Quality, segment: list[Passing], camera: Calibration, seed: int, number: int
) -> dict[str, NDArray[np.generic]]:
    """Depth, pictures and true ways (NaN where not there) of a segment, with nobody at its end."""
    actors = [acted(passing, seed) for passing in segment]
    seconds = max(actor.stop_s for actor in actors) + GAP_S
    shots = list(
        corridor_shots(
            Scene(actors, WALLS), camera, seconds=seconds, fps=asked.fps, seed=seed * 1000 + number,
            color=asked.color,
        )
    )  # fmt: skip
    t_s = np.arange(len(shots)) / asked.fps
    ways = [np.where(a.there(t_s)[:, None], a.at(t_s).joints[:, 0, :2], np.nan) for a in actors]
    out: dict[str, NDArray[np.generic]] = {
        "depth": np.stack([s.depth for s in shots]),
        "ways": np.stack(ways),
    }
    if asked.color:
        out["color"] = np.stack([s.color for s in shots if s.color is not None])
    return out


def acted(passing: Passing, seed: int) -> Actor:
    walker = sample_walker(POPULATION + seed, passing.person)
    return Actor.walking(
        walker,
        seed=passing.day * 100 + passing.person * 2 + passing.turned,
        seconds=min(2 * HALF_WAY_M / walker.speed_m_s, way_s(passing.person)),
        y_m=passing.lane_m,
        heading_deg=180.0 if passing.turned else 0.0,
        start_s=passing.start_s + 0.3,
    )


def in_a_row(segments: list[list[Shot]], fps: int) -> Iterator[Shot]:
    """Shots of all segments with stamps that go on; first a second of an empty corridor."""
    empty = segments[0][-fps:]
    for number, shot in enumerate([*empty, *(shot for segment in segments for shot in segment)]):
        yield Shot(shot.depth, round(number * 1e9 / fps) + 10**9, shot.color)

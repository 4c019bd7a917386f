"""A corridor that two LiDARs send as true packets over UDP: everything counted, three people kept apart."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gait3dlib.simulation import packets
from gait3dlib.simulation.lidar import Sweep


@pytest.fixture(scope="module")
def loopback() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "lidar_loopback.py"
    spec = importlib.util.spec_from_file_location("lidar_loopback", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lidar_loopback"] = module
    spec.loader.exec_module(module)
    return module


class Figure:
    """A walker of upright cylinders: two legs that swing, a trunk, a head; tells where it is, as an actor."""

    def __init__(self, start: tuple[float, float], velocity: tuple[float, float]) -> None:
        self.start, self.velocity = np.array(start), np.array(velocity)

    def at(self, t_s: np.ndarray) -> SimpleNamespace:  # type: ignore[type-arg]
        place = self.start + self.velocity * float(t_s[0])
        return SimpleNamespace(joints=np.append(place, 0.9).reshape(1, 1, 3))

    def cylinders(self, t_s: float) -> list[tuple[np.ndarray, float, float, float]]:  # type: ignore[type-arg]
        place = self.start + self.velocity * t_s
        step = 0.28 * np.sin(2 * np.pi * t_s / 1.1) * self.velocity / np.linalg.norm(self.velocity)
        legs = [(place + step * side, 0.09, 0.0, 0.85) for side in (1, -1)]
        return [*legs, (place, 0.2, 0.8, 1.45), (place, 0.1, 1.45, 1.72)]


def ranges(figures: list[Figure], origin: Any, flat: Any, rise: Any, t_s: float) -> Any:
    """What rays meet, along the ground ``[columns, beams]``: the floor, two walls, or a figure."""
    with np.errstate(divide="ignore"):
        away = np.where(rise < 0, -origin[2] / rise, 90.0) + np.zeros((len(flat), 1))
        for wall in (-9.0, 9.0):
            reach = ((wall - origin[1]) / flat[:, 1])[:, None]
            away = np.where((reach > 0) & (reach < away), reach, away)
    for centre, radius, low, high in (c for figure in figures for c in figure.cylinders(t_s)):
        to = centre - origin[:2]
        along = flat @ to
        inside = radius**2 - (to @ to - along**2)
        hit = np.where((inside > 0) & (along > 0), along - np.sqrt(np.maximum(inside, 0)), 99.0)[:, None]
        z = origin[2] + hit * rise
        away = np.where((z >= low) & (z <= high) & (hit < away), hit, away)
    return away


def seen(figures: list[Figure], spec: Any, mount: Any, seconds: float) -> list[Sweep]:
    """Sweeps of a spinning sensor; a turn sees one instant."""
    turn = np.pi - 2 * np.pi * (np.arange(spec.columns) + 0.5) / spec.columns
    rise, yaw = np.tan(np.deg2rad(np.asarray(spec.elevations_deg))), np.deg2rad(mount.yaw_deg)
    flat = np.stack([np.cos(turn + yaw), np.sin(turn + yaw)], axis=-1)
    rng, out = np.random.default_rng(0), []
    for number in range(int(seconds * spec.hz)):
        start_s = number / spec.hz
        away = ranges(figures, np.asarray(mount.position), flat, rise, start_s + 0.5 / spec.hz)
        away = away + rng.normal(0, 0.01, away.shape)
        c, ring = np.nonzero((away < 60) & (rng.random(away.shape) > 0.01))
        reach = away[c, ring]
        xyz = np.stack([reach * np.cos(turn[c]), reach * np.sin(turn[c]), reach * rise[ring]], axis=-1)
        points = np.column_stack([xyz, np.full(len(c), 0.4)]).astype(np.float32)
        t_s = start_s + (c + 0.5) / spec.columns / spec.hz
        out.append(Sweep(points, t_s, ring.astype(np.uint8), start_s, np.zeros(len(c), np.int32)))
    return out


@pytest.mark.parametrize(
    ("name", "package"), [("velodyne", "velodyne_decoder"), ("ouster", "ouster.sdk.core")]
)
def test_a_corridor_over_udp(
    loopback: ModuleType, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package, exc_type=ImportError)
    monkeypatch.setattr(loopback, "SILENCE_S", 1.0)
    figures = [Figure((-3, 0.4), (1.3, 0)), Figure((3, -0.5), (-1.2, 0)), Figure((0.8, -3), (0.2, 1.2))]
    corridor, mount, seconds = SimpleNamespace(actors=figures), loopback.MOUNTS[name], 4.0
    if name == "velodyne":
        spec, metadata = packets.vlp16(), ""
        sent = list(packets.velodyne_packets(seen(figures, spec, mount, seconds), spec))
    else:
        spec = packets.os1()
        metadata = packets.ouster_metadata(spec)
        sent = list(packets.ouster_packets(seen(figures, spec, mount, seconds), spec, metadata))
    clean = loopback.receive(name, sent, loopback.Network(), metadata, corridor)
    assert clean.counts["packets"] == clean.sent
    assert clean.recorded == {"velodyne": 41, "ouster": 40}[name]  # a Velodyne's scans begin behind it
    assert clean.counted
    assert clean.followed, clean.owners
    harmed, done = loopback.harmed(sent, 1)
    bad = loopback.receive(name, harmed, done, metadata, corridor)
    assert bad.done.lost > 100
    assert min(bad.done.reordered, bad.done.corrupted) > 0
    assert bad.counted, (bad.counts, bad.done)
    assert bad.followed, bad.owners

"""Shapes with closed forms, as actors of a scene."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.outfit import Outfit
from gait3dlib.simulation.scene import STATE_HZ, Actor, State

F64 = NDArray[np.float64]


def ball(centre: F64, radius: float, rings: int = 150) -> tuple[F64, NDArray[np.int64]]:
    """A polyhedron of the ball's mean radius."""
    sectors = 2 * rings
    theta = np.linspace(0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, sectors, endpoint=False)[None]
    z = np.broadcast_to(np.cos(theta), (rings + 1, sectors))
    unit = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), z], -1).reshape(-1, 3)
    i, j = np.mgrid[:rings, :sectors]
    a, b = i * sectors + j, i * sectors + (j + 1) % sectors
    faces = np.concatenate([np.stack([a, b, a + sectors], -1), np.stack([b, b + sectors, a + sectors], -1)])
    return centre + radius * unit, faces.reshape(-1, 3)


def moving(
    vertices: F64,
    faces: NDArray[Any],
    velocity: F64 | None = None,
    *,
    seconds: float = 2.0,
    shine: float = 1.0,
) -> Actor:
    """A rigid shape that stands at its vertices at time 0 and moves on; it is there a second before, too."""
    t_s = np.arange(round((seconds + 1.0) * STATE_HZ) + 1) / STATE_HZ
    way = (t_s - 1.0)[:, None] * (np.zeros(3) if velocity is None else velocity)
    joints = np.repeat(vertices.mean(axis=0)[None, None] + way[:, None], 24, axis=1)
    tape = State(
        (vertices + way[:, None]).astype(np.float32),
        joints.astype(np.float32),
        joints[:, :17].astype(np.float32),
    )
    motion: Any = SimpleNamespace(t_s=t_s)
    nobody: Any = None
    labels = np.zeros(len(faces), np.uint8)
    return Actor(
        nobody, motion, Outfit(), -1.0, faces.astype(np.int32), labels, tape, np.full(3, shine, np.float32)
    )


def ball_distance(origin: F64, rays: F64, centre: F64, radius: float) -> F64:
    """Nearer root of |o + t d - c|^2 = r^2; infinity where the ray misses."""
    away = origin - centre
    a, b = np.sum(rays**2, -1), np.sum(rays * away, -1)
    root = b**2 - a * (np.sum(away**2, -1) - radius**2)
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


def cylinder_distance(origin: F64, rays: F64, x: float, y: float, radius: float, height: float) -> F64:
    """First hit of an upright cylinder's side, seen from outside and below its top."""
    away = origin[:2] - np.array([x, y])
    a, b = np.sum(rays[..., :2] ** 2, -1), np.sum(rays[..., :2] * away, -1)
    root = b**2 - a * (away @ away - radius**2)
    t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    z = origin[2] + np.where(np.isfinite(t), t, 0.0) * rays[..., 2]
    return np.where((z >= 0) & (z <= height), t, np.inf)

"""Rays against triangles, through embree.

Embree builds a mesh's tree on all cores and waits for the slowest. A walker's mesh is built anew in each
frame and is small: one thread takes 2 to 6 ms, and on a busy machine some 0.2 s less than two. So embree is
started with one thread; who has many walks to render starts a process a core.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require

F32 = NDArray[np.float32]
FAR = np.float32(1e6)  # embree says 1e37 of a ray that hits nothing


@cache
def embree() -> tuple[Any, Any]:
    """Embree's scenes and meshes: the modules ``rtcore_scene`` and ``mesh_construction``.

    Raises:
        MissingDependency: the ``simulation`` extra is not installed.
    """
    core, mesh = require("embreex.rtcore_scene"), require("embreex.mesh_construction")
    if not hasattr(os, "sched_setaffinity"):
        return core, mesh
    # its scheduler counts the cores it may use once, when the first scene is made
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        core.EmbreeScene()
    finally:
        os.sched_setaffinity(0, allowed)
    return core, mesh


@dataclass(frozen=True, eq=False)
class Hits:
    """What each of N rays met first.

    Attributes:
        distance: float32 ``[N]``, in lengths of the ray's direction; infinity = nothing.
        face: int32 ``[N]``, -1 = nothing.
        cosine: float32 ``[N]``, of the angle between ray and surface normal: 1 = head on, 0 = grazing.
    """

    distance: F32
    face: NDArray[np.int32]
    cosine: F32


class RayMesh:
    """A mesh to cast rays at.

    Args:
        vertices: ``[V, 3]`` metres.
        faces: int ``[F, 3]``.

    Raises:
        MissingDependency: the ``simulation`` extra is not installed.
    """

    def __init__(self, vertices: NDArray[np.floating[Any]], faces: NDArray[np.integer[Any]]) -> None:
        core, mesh = embree()
        # single precision: near the origin it resolves micrometres
        self._shift = np.asarray(vertices, dtype=np.float64).mean(axis=0)
        self._scene = core.EmbreeScene()
        places = np.ascontiguousarray(vertices - self._shift, dtype=np.float32)
        self._mesh = mesh.TriangleMesh(self._scene, places, np.ascontiguousarray(faces, dtype=np.int32))

    def cast(self, origins: NDArray[np.floating[Any]], directions: F32) -> Hits:
        """The first hit of each ray.

        Args:
            origins: ``[3]`` of all rays, or ``[N, 3]``.
            directions: ``[N, 3]``, of any length.
        """
        starts, rays = self._rays(origins, directions)
        found = self._scene.run(starts, rays, output=True)
        face = found["primID"]
        normal = found["Ng"]
        length = np.linalg.norm(normal, axis=1) * np.linalg.norm(rays, axis=1)
        cosine = np.abs(np.einsum("ni,ni->n", normal, rays)) / np.maximum(length, np.float32(1e-20))
        hit = face >= 0
        return Hits(
            np.where(hit, found["tfar"], np.float32(np.inf)), face, np.where(hit, cosine, np.float32(0))
        )

    def distance(self, origins: NDArray[np.floating[Any]], directions: F32) -> F32:
        """How far each ray goes, float32 ``[N]`` as in :class:`Hits`; faster where nothing else is asked."""
        distance = self._scene.run(*self._rays(origins, directions), query="DISTANCE")
        return np.where(distance < FAR, distance, np.float32(np.inf))

    def _rays(self, origins: NDArray[np.floating[Any]], directions: F32) -> tuple[F32, F32]:
        starts = (np.asarray(origins, dtype=np.float64) - self._shift).astype(np.float32)
        starts = np.ascontiguousarray(np.broadcast_to(starts, directions.shape))
        return starts, np.ascontiguousarray(directions, dtype=np.float32)

"""New vertices along seams: the skin's triangles are large, and cloth ends at a clean edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import ShapedBody

F64 = NDArray[np.float64]
Faces = NDArray[np.int32]
NEAR_M = 5e-4


def seamed(body: ShapedBody, axis: int, levels: list[float]) -> ShapedBody:
    """The body with its triangles cut where the skin at rest passes through planes.

    The surface stays where it is and stays closed. New vertices come after the old ones.

    Args:
        body: whose skin.
        axis: the planes are at right angles to x (0), y (1) or z (2) of the rest pose.
        levels: where, in metres.
    """
    bind, rest, weights = (a.astype(np.float64) for a in (body.bind_vertices, body.vertices, body.weights))
    faces = body.faces
    for level in levels:
        above = rest[:, axis] - level
        # a vertex on the plane would make triangles without area
        above = np.where(np.abs(above) < NEAR_M, NEAR_M, above)
        faces, edges = _split(faces, above > 0)
        share = (above[edges[:, 0]] / (above[edges[:, 0]] - above[edges[:, 1]]))[:, None]
        bind, rest, weights = (
            np.concatenate([a, a[edges[:, 0]] + share * (a[edges[:, 1]] - a[edges[:, 0]])])
            for a in (bind, rest, weights)
        )
    arrays = [a.astype(np.float32) for a in (bind, rest, weights)]
    for array in (*arrays, faces):
        array.flags.writeable = False
    return replace(body, bind_vertices=arrays[0], vertices=arrays[1], weights=arrays[2], faces=faces)


def _split(faces: Faces, above: NDArray[np.bool_]) -> tuple[Faces, NDArray[np.int32]]:
    """Triangles after the cut, and the edges ``[n, 2]`` whose new vertices follow the old ones."""
    side = above[faces]
    count = side.sum(axis=1)
    crossing = (count == 1) | (count == 2)
    crossed = faces[crossing]
    # the corner that is alone on its side comes first
    lone = np.argmax(side[crossing] == (count[crossing] == 1)[:, None], axis=1)
    a, b, c = (np.take_along_axis(crossed, ((lone + k) % 3)[:, None], axis=1)[:, 0] for k in range(3))
    pairs = np.sort(np.concatenate([np.stack([a, b], 1), np.stack([a, c], 1)]), axis=1)
    edges, place = np.unique(pairs, axis=0, return_inverse=True)
    first, second = np.split(len(above) + place.reshape(-1), 2)
    new = [np.stack(t, axis=1) for t in ((a, first, second), (first, b, c), (first, c, second))]
    return np.concatenate([faces[~crossing], *new]).astype(np.int32), edges

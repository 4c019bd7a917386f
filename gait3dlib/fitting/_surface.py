"""The skin as evidence: points on it, and outlines of its silhouette.

Partners are found between minimisations, as in the iterative closest point method (Besl and McKay, IEEE PAMI
14, 1992; Chen and Medioni, 1992, for the distance to the tangent plane).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from gait3dlib.fitting._body import Posed, Skin, TorchBody
from gait3dlib.fitting._camera import Camera
from gait3dlib.fitting._terms import loss

F64 = NDArray[np.float64]
POINTS = 128  # of each frame, at most
GATES_M = (0.30, 0.15, 0.10, 0.08)  # farther points have no partner, by round
TURN_M = 0.10  # metres that a unit's difference of normals counts


class _SkinTerm:
    """Evidence whose partners on the skin are looked for between minimisations."""

    free: tuple[Tensor, ...] = ()
    _skin: Skin | None = None

    @property
    def ready(self) -> bool:
        """Whether partners have been found."""
        return self._skin is not None


class PointTerm(_SkinTerm):
    """Points on the skin.

    Args:
        rows: int [N], the fit's frames of its N frames.
        points: a frame's points [n, 3] each, metres.
        eye: [3], where they were seen from; None = from anywhere.
        share: weight of a frame.
        rng: draws which points are used.
    """

    LEAST, MOST = 0.004, 0.04  # metres, of a point's spread

    def __init__(
        self,
        rows: NDArray[np.int64],
        points: list[F64],
        eye: F64 | None,
        share: float,
        rng: np.random.Generator,
    ) -> None:
        self.rows, self.eye, self.share, self.round = torch.as_tensor(rows), eye, share, 0
        self.points, self.real = _some(points, 3, rng)
        self.spread = 0.02

    def energy(self, posed: Posed, robust: bool) -> Tensor:
        """Of points off the tangent planes of their partners, and a little of those far from them."""
        if self._skin is None:
            return posed.joints.new_zeros(())
        off = posed.skin(self._skin) - self._points
        across = (off * self._normals).sum(-1).square()
        along = off.square().sum(-1)
        squared = (across + 0.02 * along) / self.spread**2
        # neighbouring points err together, so a frame's points count as a quarter of their number
        return self.share / 4 * (loss(squared, robust) * self._held).sum()

    def look(self, posed: Posed) -> None:
        """Find every point's nearest vertex that can be seen."""
        vertices, normals = posed.surface(self.rows)
        gate = GATES_M[min(self.round, len(GATES_M) - 1)]
        self.round += 1
        index = np.zeros(self.real.shape, np.int64)
        held = self.real.copy()
        for i in range(len(self.rows)):
            seen = np.arange(len(vertices[i]))
            if self.eye is not None:
                seen = np.flatnonzero(((self.eye - vertices[i]) * normals[i]).sum(-1) > 0)
            far, near = cKDTree(vertices[i][seen]).query(self.points[i])
            index[i] = seen[near]
            held[i] &= far < gate
        chosen = np.take_along_axis(normals, index[..., None], axis=1)
        places = np.take_along_axis(vertices, index[..., None], axis=1)
        off = np.abs(((places - self.points) * chosen).sum(-1))[held]
        if len(off):
            self.spread = float(np.clip(np.median(off) / 0.674, self.LEAST, self.MOST))
        self._points, self._normals = torch.as_tensor(self.points), torch.as_tensor(chosen)
        self._held = torch.as_tensor(held, dtype=torch.float64)
        self._skin = posed.body.skin_of(torch.as_tensor(index), self.rows)


class OutlineTerm(_SkinTerm):
    """Outlines of silhouettes.

    Args:
        camera: the view.
        rows: int [N], the fit's frames of its N frames.
        outlines: a frame's outline pixels and their outward normals [n, 4] each, in the full image.
        pixel: size of the silhouette's own pixels in the full image.
        share: weight of a frame.
        rng: draws which pixels are used.
    """

    def __init__(
        self, camera: Camera, rows: NDArray[np.int64], outlines: list[F64], pixel: float, share: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.camera, self.rows, self.share, self.round = camera, torch.as_tensor(rows), share, 0
        self.pixel = self.spread = pixel
        self.outlines, self.real = _some(outlines, 4, rng)

    def energy(self, posed: Posed, robust: bool) -> Tensor:
        """Of rims drawn inside or outside of the outline."""
        if self._skin is None:
            return posed.joints.new_zeros(())
        off = self.camera.project(posed.skin(self._skin)) - self._pixels
        squared = (off * self._normals).sum(-1).square() / self.spread**2
        return self.share / 4 * (loss(squared, robust) * self._held).sum()

    def look(self, posed: Posed) -> None:
        """Find every outline pixel's nearest rim that faces as it does."""
        vertices, normals = posed.surface(self.rows)
        gate = GATES_M[min(self.round, len(GATES_M) - 1)]
        self.round += 1
        index = np.zeros(self.real.shape, np.int64)
        held = self.real.copy()
        for i in range(len(self.rows)):
            rim = _rim(posed.body, vertices[i], self.camera.position)
            scale = self.camera.focal.mean() / max(0.3, float(self.camera.depth(vertices[i].mean(axis=0))))
            drawn = self.camera.project(torch.as_tensor(vertices[i][rim])).numpy()
            facing = normals[i][rim] @ self.camera.rotation[:2].T
            facing /= np.linalg.norm(facing, axis=-1, keepdims=True) + 1e-9
            tree = cKDTree(np.concatenate([drawn, facing * TURN_M * scale], axis=1))
            wanted = self.outlines[i].copy()
            wanted[:, 2:] *= TURN_M * scale
            far, near = tree.query(wanted)
            index[i] = rim[near]
            held[i] &= far < gate * scale
        self._pixels = torch.as_tensor(self.outlines[..., :2].copy())
        self._normals = torch.as_tensor(self.outlines[..., 2:].copy())
        self._held = torch.as_tensor(held, dtype=torch.float64)
        self._skin = posed.body.skin_of(torch.as_tensor(index), self.rows)
        with torch.no_grad():
            off = (
                (self.camera.project(posed.skin(self._skin)) - self._pixels).mul(self._normals).sum(-1).abs()
            )
            if held.any():
                self.spread = float(
                    (off[self._held > 0].median() / 0.674).clamp(0.4 * self.pixel, 4 * self.pixel)
                )


def _some(frames: list[F64], width: int, rng: np.random.Generator) -> tuple[F64, NDArray[np.bool_]]:
    """At most :data:`POINTS` of each frame's ``[n, width]``, and which of the places they fill."""
    drawn = np.zeros((len(frames), POINTS, width))
    real = np.zeros((len(frames), POINTS), bool)
    for i, found in enumerate(frames):
        kept = rng.permutation(len(found))[:POINTS]
        drawn[i, : len(kept)], real[i, : len(kept)] = found[kept], True
    return drawn, real


def _rim(body: TorchBody, vertices: F64, eye: F64) -> NDArray[np.int64]:
    """Vertices [n] between faces that are seen from the front and from behind."""
    corner = vertices[body.faces.numpy()]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    front = ((eye - corner[:, 0]) * area).sum(axis=1) > 0
    turns = front[body.beside[:, 0]] != front[body.beside[:, 1]]
    return np.unique(body.edges[turns])


def outline(mask: NDArray[np.bool_], box: F64, outwards: float = 0.0) -> F64:
    """Pixels between person and background, and their outward normals: [n, 4] in the full image.

    Args:
        mask: [H, W], True = person.
        box: x, y, width, height of the mask in the full image; a pixel's centre lies half a pixel in.
        outwards: pixels of the mask by which the outline lies outside of it.
    """
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(mask.astype(np.float64), 1.5)
    down, right = np.gradient(soft)
    across = np.argwhere(mask[:, 1:] != mask[:, :-1]) + np.array([0.0, 0.5])
    upright = np.argwhere(mask[1:] != mask[:-1]) + np.array([0.5, 0.0])
    places = np.concatenate([across, upright])
    low = np.floor(places).astype(int)
    high = np.ceil(places).astype(int)
    slope = [(g[low[:, 0], low[:, 1]] + g[high[:, 0], high[:, 1]]) / 2 for g in (right, down)]
    step = np.array([box[2] / mask.shape[1], box[3] / mask.shape[0]])
    # normals turn with the inverse of the scale
    normals = -np.stack(slope, axis=1) / step
    size = np.linalg.norm(normals, axis=1, keepdims=True)
    pixels = box[:2] + (places[:, ::-1] + 0.5) * step - 0.5
    normals = normals / np.maximum(size, 1e-12)
    found = np.concatenate([pixels + normals * step * outwards, normals], axis=1)
    return np.asarray(found[size[:, 0] > 1e-3])

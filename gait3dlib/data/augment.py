"""Augmentation of image-like samples: one draw a sequence, the same for all its frames and channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from gait3dlib.config import NotNegative, Share, build
from gait3dlib.data._warps import erased, perspective, turned
from gait3dlib.data.augment_depth import DepthAugment
from gait3dlib.data.augment_joints import JointAugment
from gait3dlib.data.augment_lidar import LidarAugment
from gait3dlib.modalities._base import Frames


class Augment:
    """Flip, small rotation, scale and shift, thicker or thinner edges, a covered rectangle.

    Every probability and range is a keyword, so that it is part of the config. OpenGait's own augmentation is
    ``flip``, ``perspective`` and ``turn`` at 0.2 each and nothing else; for GaitBase on CASIA-B ``turn`` and
    ``erase`` at 0.3.

    Args:
        flip: probability of mirroring left and right.
        affine: probability of an affine jitter.
        rotate_deg: largest rotation.
        scale: largest relative change of size, per axis.
        shift: largest shift as a share of the height.
        edges: probability of growing or shrinking bright regions by one pixel (segmentation error).
        cover: probability of a covered rectangle (occlusion), a tenth to a quarter of the height.
        perspective: probability that the corners of the picture are moved in.
        perspective_px: by how many pixels at most, for every 64 of height.
        turn: probability of a rotation about OpenGait's centre, see :func:`~gait3dlib.data._warps.turned`.
        turn_deg: the largest such rotation.
        erase: probability of a black rectangle of 5 to 20 % of the picture.
        points: settings of :class:`~gait3dlib.data.augment_lidar.LidarAugment`, for frames that are points.
        depth: settings of :class:`~gait3dlib.data.augment_depth.DepthAugment`, for frames that hold depth.
        joints: settings of :class:`~gait3dlib.data.augment_joints.JointAugment`, for frames that are joints.
    """

    def __init__(
        self,
        *,
        flip: Share = 0.5,
        affine: Share = 0.6,
        rotate_deg: NotNegative = 6.0,
        scale: Share = 0.08,
        shift: Share = 0.04,
        edges: Share = 0.4,
        cover: Share = 0.2,
        perspective: Share = 0.0,
        perspective_px: NotNegative = 9.0,
        turn: Share = 0.0,
        turn_deg: NotNegative = 10.0,
        erase: Share = 0.0,
        points: dict[str, Any] | None = None,
        depth: dict[str, Any] | None = None,
        joints: dict[str, Any] | None = None,
    ) -> None:
        self.points: LidarAugment = build(LidarAugment, points or {}, "augment.points")
        self.depth: DepthAugment = build(DepthAugment, depth or {}, "augment.depth")
        self.joints: JointAugment = build(JointAugment, joints or {}, "augment.joints")
        self.perspective, self.perspective_px = perspective, perspective_px
        self.turn, self.turn_deg, self.erase = turn, turn_deg, erase
        self.flip, self.affine, self.edges, self.cover = flip, affine, edges, cover
        self.rotate_deg, self.scale, self.shift = rotate_deg, scale, shift

    def __call__(
        self,
        frames: torch.Tensor,
        generator: torch.Generator,
        kind: Frames = "images",
    ) -> torch.Tensor:
        """uint8 ``[b, T, c, h, w]`` -> uint8 of the same shape; what is no image comes back as it is.

        ``kind`` is what the modality says of its frames: a walker's points are changed as points, joints as
        an estimator errs; depth and silhouette are moved as one picture, and depth gets a sensor's errors.
        """
        if kind == "points":
            return self.points(frames, generator)
        if kind == "depth":
            return self.depth(frames, generator, self._moved)
        if kind == "joints":
            return self.joints(frames, generator)
        if frames.dtype != torch.uint8 or frames.ndim != 5:
            return frames
        x = self._moved(frames.float(), generator, slice(None))
        return x.round().clamp(0, 255).to(torch.uint8)

    def _moved(self, frames: torch.Tensor, generator: torch.Generator, outlines: slice) -> torch.Tensor:
        """One draw a walk for all channels of ``[b, T, c, h, w]``; ``outlines`` have edges that may grow."""
        b, t, c, h, w = frames.shape
        x = frames.reshape(b, t * c, h, w)
        # nothing is drawn for what is never done: the draws of a run do not depend on new keywords
        if self.perspective:
            chosen = _chance(b, self.perspective, generator)
            x = torch.where(chosen, perspective(x, self.perspective_px, generator), x)
        # only what was chosen is computed: half of a training step would go into pictures thrown away
        rows = _chance(b, self.flip, generator).flatten()
        x = x.index_put((rows,), x[rows].flip(3))
        rows, theta = self._jitter(b, h, w, generator)
        if rows.any():
            grid = functional.affine_grid(theta, [len(theta), 1, h, w], align_corners=False)
            x = x.index_put((rows,), functional.grid_sample(x[rows], grid, align_corners=False))
        grow, outwards = (_chance(b, share, generator).flatten() for share in (self.edges, 0.5))
        edged = x.view(b, t, c, h, w)[:, :, outlines]
        for rows, sign in ((grow & outwards, 1.0), (grow & ~outwards, -1.0)):
            if rows.any():
                edged[rows] = sign * _thicker(sign * edged[rows])
        x = x.masked_fill(self._covered(b, h, w, generator), 0)
        if self.turn:
            chosen = _chance(b, self.turn, generator)
            x = torch.where(chosen, turned(x, self.turn_deg, generator), x)
        if self.erase:
            chosen = _chance(b, self.erase, generator)
            x = torch.where(chosen, erased(x, generator), x)
        return x.reshape(b, t, c, h, w)

    def _jitter(
        self, b: int, h: int, w: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """bool ``[b]``, who is moved, and ``[n, 2, 3]``, how those are."""
        moved = _chance(b, self.affine, generator).flatten()
        draw = torch.rand(b, 5, generator=generator)[moved] * 2 - 1
        angle = draw[:, 0] * math.radians(self.rotate_deg)
        wide, high = 1 + draw[:, 1] * self.scale, 1 + draw[:, 2] * self.scale
        aspect = h / w
        theta = torch.zeros(len(draw), 2, 3)
        theta[:, 0, 0] = angle.cos() * wide
        theta[:, 0, 1] = -angle.sin() * aspect
        theta[:, 1, 0] = angle.sin() / aspect
        theta[:, 1, 1] = angle.cos() * high
        theta[:, 0, 2] = draw[:, 3] * 2 * self.shift * aspect
        theta[:, 1, 2] = draw[:, 4] * 2 * self.shift
        return moved, theta

    def _covered(self, b: int, h: int, w: int, generator: torch.Generator) -> torch.Tensor:
        draw = torch.rand(b, 4, generator=generator)
        high, wide = (0.1 + 0.15 * draw[:, 0]) * h, (0.2 + 0.5 * draw[:, 1]) * w
        top, left = draw[:, 2] * (h - high), draw[:, 3] * (w - wide)
        rows, columns = torch.arange(h).view(1, h, 1), torch.arange(w).view(1, 1, w)
        inside = (
            (rows >= top.view(b, 1, 1))
            & (rows < (top + high).view(b, 1, 1))
            & (columns >= left.view(b, 1, 1))
            & (columns < (left + wide).view(b, 1, 1))
        )
        return (inside & _chance(b, self.cover, generator).view(b, 1, 1))[:, None]


def _chance(b: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(b, generator=generator) < probability).view(b, 1, 1, 1)


def _thicker(x: torch.Tensor) -> torch.Tensor:
    """The largest of each pixel ``[n, ..., h, w]`` and its eight neighbours."""
    flat = x.flatten(0, -3)
    return functional.max_pool2d(functional.max_pool2d(flat, (3, 1), 1, (1, 0)), (1, 3), 1, (0, 1)).view_as(x)

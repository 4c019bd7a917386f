"""What teaches Mesh-Gait where the body is: joints, markers and skin of simulated walkers.

The mesh is mixed from the points with shares that depend on how confident each point is (Ma et al., "3D human
mesh estimation from virtual markers", CVPR 2023). It exists while training alone; no encoder holds it.
"""

from __future__ import annotations

import torch
from torch import nn

from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._mesh_body import (
    JOINTS,
    POINTS,
    VERTICES,
    coarse_mesh,
    skin_from_points,
)
from gait3dlib.modalities._mesh_encoder import MeshEncoder, which_are_pictures
from gait3dlib.modalities._mesh_volume import COLUMNS, DEEP, ROWS, Heat
from gait3dlib.types import Tokens

# of the losses, and between which shares of the training they come in: the skin follows the points, and
# lengths along it say nothing before there is a skin
POINT_WEIGHT, MESH_WEIGHT, EDGE_WEIGHT, CONFIDENCE_WEIGHT = 10.0, 2.0, 2.0, 0.02
MESH_RAMP, EDGE_RAMP, CONFIDENCE_RAMP = (0.05, 0.3), (0.2, 0.5), (0.05, 0.3)


class MeshSupervisor(nn.Module):
    """Losses of what a simulator told of every frame, see :mod:`~gait3dlib.modalities._mesh_truth`."""

    def __init__(self) -> None:
        super().__init__()
        mesh = coarse_mesh()
        self.rows: torch.Tensor
        self.edges: torch.Tensor
        self.mirror: torch.Tensor
        self.mirror_vertices: torch.Tensor
        self.register_buffer("rows", torch.from_numpy(mesh.markers), persistent=False)
        self.register_buffer("edges", torch.from_numpy(mesh.edges), persistent=False)
        self.register_buffer("mirror", torch.from_numpy(mesh.mirror[:JOINTS]), persistent=False)
        self.register_buffer("mirror_vertices", torch.from_numpy(mesh.mirror_vertices), persistent=False)
        self.shares = nn.Parameter(torch.from_numpy(skin_from_points()).float())
        self.adapt = nn.Linear(POINTS, VERTICES * POINTS)
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)

    def forward(
        self, encoder: MeshEncoder, batch: Batch, told: torch.Tensor, share: float
    ) -> tuple[Tokens, dict[str, torch.Tensor]]:
        """Tokens, and losses by name.

        Half of the walks are seen in a mirror: then left is right in what is told of them, too. An
        augmentation could not do that, so it should not flip.

        Args:
            encoder: what is trained.
            batch: of its modality.
            told: ``[b, T, 553]``, NaN = not known.
            share: of the training that is done, 0 to 1.
        """
        turned = torch.rand(len(batch), device=told.device) < 0.5
        batch = Batch(_mirrored(batch.frames, turned), batch.lengths, batch.t_s)
        seen = encoder.look(batch)
        frames, owner = Batch(told, batch.lengths, batch.t_s).real_frames()
        if seen.heat is None:
            return seen.tokens, {}
        joints, vertices = self._truth(frames[seen.pictures], turned[owner[seen.pictures]])
        points = torch.cat([joints, vertices[:, self.rows]], dim=1)
        with torch.autocast(told.device.type, enabled=False):
            return seen.tokens, self.losses(seen.heat, points, vertices, share)

    def losses(
        self, heat: Heat, points: torch.Tensor, vertices: torch.Tensor, share: float
    ) -> dict[str, torch.Tensor]:
        """Args: points ``[N, 48, 3]`` and vertices ``[N, 160, 3]`` that are true, NaN = unknown."""
        half = points.new_tensor([COLUMNS / ROWS, 1.0, DEEP]) / 2
        reached = torch.where((points.abs() <= half).all(dim=2, keepdim=True), points, torch.nan)
        confidence = heat.confidence()
        mesh = self.mesh(heat.points, confidence)
        ends, wanted = (x[:, self.edges] for x in (mesh, vertices))
        lengths, true_lengths = (
            (x[:, :, 0] - x[:, :, 1]).square().sum(-1).add(1e-8).sqrt() for x in (ends, wanted)
        )
        sure = -confidence.clamp(min=1e-6).log()[..., None]
        return {
            "points": POINT_WEIGHT * _masked(heat.points - reached),
            "mesh": _ramp(share, MESH_RAMP) * MESH_WEIGHT * _masked(mesh - vertices),
            "edges": _ramp(share, EDGE_RAMP) * EDGE_WEIGHT * _masked(lengths - true_lengths),
            "confidence": _ramp(share, CONFIDENCE_RAMP)
            * CONFIDENCE_WEIGHT
            * _masked(torch.where(reached[..., :1].isnan(), torch.nan, sure)),
        }

    def mesh(self, points: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        """Vertices ``[N, 160, 3]`` from points ``[N, 48, 3]``; each is a mix whose shares sum to 1."""
        change = self.adapt(confidence.detach()).view(-1, VERTICES, POINTS)
        shares = self.shares + change - change.mean(dim=2, keepdim=True)
        middle = points[:, :1]
        mixed: torch.Tensor = shares @ (points - middle) + middle
        return mixed

    def _truth(self, told: torch.Tensor, turned: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints ``[N, 24, 3]`` and vertices ``[N, 160, 3]``, mirrored where a walk is."""
        places = told[:, : 3 * (JOINTS + VERTICES)].reshape(len(told), -1, 3)
        joints, vertices = places[:, :JOINTS], places[:, JOINTS:]
        flip = places.new_tensor([-1.0, 1.0, 1.0])
        across = turned[:, None, None]
        joints = torch.where(across, joints[:, self.mirror] * flip, joints)
        swapped = vertices[:, self.mirror_vertices] * flip
        return joints, torch.where(across, swapped, vertices)


def _mirrored(frames: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """Pictures of the chosen walks, left and right exchanged; poses stay."""
    if frames.ndim != 5:
        return frames
    first = which_are_pictures(frames[:, 0])
    return torch.where((turned & first).view(-1, 1, 1, 1, 1), frames.flip(4), frames)


def _masked(error: torch.Tensor) -> torch.Tensor:
    """Mean absolute error over what is known; 0 with a graph where nothing is."""
    known = ~error.isnan()
    total = torch.where(known, error, error.new_zeros(())).abs().sum()
    return total / known.sum().clamp(min=1)


def _ramp(share: float, between: tuple[float, float]) -> float:
    start, stop = between
    return min(max((share - start) / (stop - start), 0.0), 1.0)

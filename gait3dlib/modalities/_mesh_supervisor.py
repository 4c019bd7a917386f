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
from gait3dlib.modalities._mesh_volume import COLUMNS, DEEP, ROWS, WIDE, Heat, hats
from gait3dlib.types import Tokens

# of the losses, and between which shares of the training they come in: the skin follows the points, and
# lengths along it say nothing before there is a skin
POINT_WEIGHT, HEAT_WEIGHT, MESH_WEIGHT, EDGE_WEIGHT = 10.0, 0.1, 2.0, 2.0
MESH_RAMP, EDGE_RAMP = (0.05, 0.3), (0.2, 0.5)


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
        half = points.new_tensor([WIDE, 1.0, DEEP]) / 2
        inside = (points.abs() <= half).all(dim=2, keepdim=True)
        reached = torch.where(inside, points, torch.nan)
        mesh = self.mesh(heat.points, heat.confidence())
        lengths, true_lengths = (_lengths(x[:, self.edges]) for x in (mesh, vertices))
        return {
            "points": POINT_WEIGHT * _masked(heat.points - reached),
            "heat": HEAT_WEIGHT * _masked(_surprise(heat, reached)),
            "mesh": _ramp(share, MESH_RAMP) * MESH_WEIGHT * _masked(mesh - vertices),
            "edges": _ramp(share, EDGE_RAMP) * EDGE_WEIGHT * _masked(lengths - true_lengths),
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


def _surprise(heat: Heat, true: torch.Tensor) -> torch.Tensor:
    """``[N, 48]`` nats by which both views of the heat miss where the points are; NaN = unknown."""
    depth = heat.side.shape[3]
    right, down, away = true.nan_to_num().unbind(dim=2)
    rows = hats(down, 1.0, ROWS)[..., None]
    front = rows * hats(right, WIDE, COLUMNS)[..., None, :]
    side = rows * hats(away, DEEP, depth)[..., None, :]
    seen = ((heat.front, front), (heat.side, side))
    total = -torch.stack([(w * (h + 1e-8).log()).sum(dim=(2, 3)) for h, w in seen]).sum(dim=0)
    return torch.where(true[..., 0].isnan(), torch.nan, total)


def _lengths(ends: torch.Tensor) -> torch.Tensor:
    """``[N, E]`` from ``[N, E, 2, 3]``."""
    return ((ends[:, :, 0] - ends[:, :, 1]).square().sum(dim=2) + 1e-8).sqrt()


def _masked(error: torch.Tensor) -> torch.Tensor:
    """Mean absolute error over what is known; 0 with a graph where nothing is."""
    known = ~error.isnan()
    total = torch.where(known, error, error.new_zeros(())).abs().sum()
    return total / known.sum().clamp(min=1)


def _ramp(share: float, between: tuple[float, float]) -> float:
    start, stop = between
    return min(max((share - start) / (stop - start), 0.0), 1.0)

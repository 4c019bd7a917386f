"""Mesh-Gait: tokens of body strips and of the body's shape, from silhouettes or from a fitted body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from gait3dlib.body import PARENTS
from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._mesh_body import POINTS
from gait3dlib.modalities._mesh_poses import SHAPE, VALUES, PoseNetwork
from gait3dlib.modalities._mesh_volume import Heat, HeatVolume
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.types import Tokens

Source = Literal["either", "silhouette", "smpl"]
BONES = len(PARENTS) - 1
_LONG = 4.0  # brings lengths of bones, in heights of the picture, to the order of one


@dataclass(frozen=True)
class Seen:
    """What the encoder saw of a batch: its tokens, and the heat of every frame that is a picture.

    ``pictures [sum T]`` says which of all real frames those are.
    """

    tokens: Tokens
    heat: Heat | None
    pictures: torch.Tensor


class MeshEncoder(nn.Module):
    """A batch of silhouettes, of fitted bodies, or of both -> a token a body strip and one of the shape.

    Whatever a walk was made from, its tokens mean the same and lie in the same places.

    Args:
        dim: size of a token.
        source: what is read: silhouettes, the `smpl` stream, or whichever a walk has.
        width: channels of the first stage of the trunk, which is that of the strip encoder.
        strips: divides 16.
        depth: slices of the volumes.
        pose_width: features of a joint.
    """

    def __init__(
        self, dim: int, source: Source, width: int, strips: int, depth: int, pose_width: int
    ) -> None:
        super().__init__()
        self.pictures = None if source == "smpl" else PictureStrips(dim, width, strips, depth)
        self.poses = None if source == "silhouette" else PoseStrips(dim, pose_width, strips)
        height = torch.cat([1 - (torch.arange(strips) + 0.5) / strips, torch.tensor([torch.nan])])
        self.height: torch.Tensor
        self.register_buffer("height", height, persistent=False)
        # what centres the tokens, set when training ends (see absorb)
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.register_buffer("scale", torch.ones(strips + 1, dim))
        self.register_buffer("offset", torch.zeros(strips + 1, dim))

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, strips + 1, dim]``; walks without the modality get zeros and ``real`` False."""
        return self.look(batch).tokens

    def look(self, batch: Batch) -> Seen:
        """The tokens of a batch, and the heat in which they see the body."""
        frames, owner = batch.real_frames()
        drawn = which_are_pictures(frames)
        values = self.offset.new_zeros(len(batch), *self.offset.shape)
        heat = None
        every = frames.dtype == torch.uint8  # as all are where no walk has a fitted body
        if self.pictures is not None and (every or drawn.any()):
            rows = slice(None) if every else drawn
            made, heat = self.pictures(frames[rows], owner[rows], len(batch))
            values = values + made
        if self.poses is not None:
            poses = frames[~drawn].flatten(1)[:, :VALUES].to(values.dtype)
            values = values + self.poses(poses, owner[~drawn], len(batch))
        real = batch.present[:, None].expand(-1, values.shape[1])
        values = (values * self.scale + self.offset) * real[..., None]
        t_s = torch.full(real.shape, torch.nan, device=values.device)
        return Seen(Tokens(values, real, self.height, t_s), heat, drawn)

    def adopt(self, name: str, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Begin with the trunk of the strip encoder of silhouettes; False where that is not what is given."""
        if name != "silhouette" or self.pictures is None:
            return False
        mine = self.pictures.trunk.state_dict()
        given = {f"trunk.{key}": value.shape for key, value in mine.items()}
        if any(key not in tensors or tensors[key].shape != shape for key, shape in given.items()):
            return False
        self.pictures.trunk.load_state_dict({key: tensors[f"trunk.{key}"] for key in mine})
        return True

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder.

        Raises:
            ValueError: the norm keeps no running statistics.
        """
        scale, shift = (part.view_as(self.offset) for part in scale_and_shift(norm))
        with torch.no_grad():
            self.offset.mul_(scale).add_(shift)
            self.scale.mul_(scale)


def which_are_pictures(frames: torch.Tensor) -> torch.Tensor:
    """bool ``[N]``: pictures; the others are poses. In a mixed batch poses end in a negative pixel."""
    if frames.ndim != 4:
        return torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
    return frames[:, 0, -1, -1] >= 0


class PictureStrips(nn.Module):
    """Silhouettes -> strips of what the picture shows, and of the heat seen from the front and the side.

    All three have the rows of the silhouette, so a strip is the same part of the body in each. The token of
    the shape is made from the lengths of the bones that the heat stands for.
    """

    def __init__(self, dim: int, width: int, strips: int, depth: int) -> None:
        super().__init__()
        self.strips = strips
        self.trunk = StripEncoder(1, 1, width, strips).trunk
        views = max(1, width // 2)
        self.heat = HeatVolume(4 * width, 2 * width, depth)
        self.front, self.side = _view(views), _view(views)
        pooled = 2 * (4 * width + 2 * views)
        self.project = nn.Parameter(torch.randn(strips, pooled, dim) * pooled**-0.5)
        self.shape = nn.Linear(2 * BONES, dim)
        self.parents: torch.Tensor
        self.register_buffer("parents", torch.tensor(PARENTS[1:]), persistent=False)

    def forward(self, frames: torch.Tensor, owner: torch.Tensor, walks: int) -> tuple[torch.Tensor, Heat]:
        """Frames ``[N, 1, 64, 44]`` and the walk of each -> ``[walks, strips + 1, dim]``, and the heat."""
        dtype = self.project.dtype
        x = frames.to(dtype).div(255).contiguous(memory_format=torch.channels_last)
        maps = self.trunk(x)
        heat: Heat = self.heat(maps)
        views = [maps, self.front(heat.front), self.side(heat.side)]
        # pooled in the parameters' own precision: sums over many frames lose too much in bfloat16
        strips = torch.cat([self._strips_of(view).to(dtype) for view in views], dim=2)
        out = torch.einsum("bsc,scd->bsd", over_time(strips, owner, walks), self.project)
        bones = heat.points[:, 1 : BONES + 1] - heat.points[:, self.parents]
        lengths = _LONG * (bones.square().sum(dim=2) + 1e-8).sqrt()
        shape = self.shape(over_time(lengths[:, None], owner, walks)).to(dtype)
        return torch.cat([out, shape * _there(owner, walks, dtype)], dim=1), heat

    def _strips_of(self, maps: torch.Tensor) -> torch.Tensor:
        n, c, h, w = maps.shape
        bins = maps.reshape(n, c, self.strips, h // self.strips * w)
        return (bins.mean(dim=3) + bins.amax(dim=3)).transpose(1, 2)  # [N, strips, c]


class PoseStrips(nn.Module):
    """Poses of a fitted body -> strips of how the joints turn, and the token of its shape."""

    def __init__(self, dim: int, width: int, strips: int) -> None:
        super().__init__()
        self.network = PoseNetwork(width, strips)
        self.project = nn.Parameter(torch.randn(strips, 4 * width, dim) * (4 * width) ** -0.5)
        self.shape = nn.Sequential(nn.Linear(VALUES - SHAPE.start, 48), nn.ReLU(), nn.Linear(48, dim))

    def forward(self, frames: torch.Tensor, owner: torch.Tensor, walks: int) -> torch.Tensor:
        """Frames ``[N, 165]`` and the walk of each -> ``[walks, strips + 1, dim]``; others get zeros."""
        dtype = self.project.dtype
        pooled = over_time(self.network(frames, owner).to(dtype), owner, walks)
        strips = torch.einsum("bsc,scd->bsd", pooled, self.project)
        # one shape a walk: the mean over its frames, which all say the same
        mean = over_time(frames[:, None, SHAPE.start :], owner, walks)[..., VALUES - SHAPE.start :]
        shape = self.shape(mean).to(dtype)
        return torch.cat([strips, shape * _there(owner, walks, dtype)], dim=1)


def over_time(values: torch.Tensor, owner: torch.Tensor, walks: int) -> torch.Tensor:
    """Largest and mean value over the frames of every walk: ``[N, n, c]`` -> ``[walks, n, 2 c]``."""
    shape = (walks, *values.shape[1:])
    index = owner.view(-1, 1, 1).expand_as(values)
    most = values.new_zeros(shape).scatter_reduce(0, index, values, "amax", include_self=False)
    count = values.new_zeros(walks).index_add(0, owner, values.new_ones(len(owner))).clamp(min=1)
    mean = values.new_zeros(shape).index_add(0, owner, values) / count.view(-1, 1, 1)
    return torch.cat([most, mean], dim=2)


def _there(owner: torch.Tensor, walks: int, dtype: torch.dtype) -> torch.Tensor:
    """``[walks, 1, 1]``: 1 for a walk that has a frame, else 0."""
    return torch.zeros(walks, 1, 1, dtype=dtype, device=owner.device).index_fill(0, owner, 1)


def _view(width: int) -> nn.Module:
    """Of the heat, from one side; heat is thin where it is spread, so it is normed before it is mixed."""
    return nn.Sequential(
        nn.BatchNorm2d(POINTS),
        nn.Conv2d(POINTS, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )

"""Encoders as plain tensors in, plain tensors out: no ragged indexing, which ONNX has no good words for.

Frames past a length go through the layers that look at single frames, and are masked where frames meet. Each
form is compared with the encoder itself before a file of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gait3dlib.modalities import Batch
from gait3dlib.modalities._body_graph import BodyGraphEncoder
from gait3dlib.modalities._forces import GROUND
from gait3dlib.modalities._image_networks import NetworkEncoder
from gait3dlib.modalities._lidar_points import PointEncoder
from gait3dlib.modalities._lidar_range import RangeViewEncoder, depth_pictures
from gait3dlib.modalities._lidar_sparse import SparseEncoder
from gait3dlib.modalities._mesh_encoder import _LONG, BONES, MeshEncoder
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.types import Tokens

Tensors = tuple[torch.Tensor, ...]


def real_frames(frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """bool ``[b, T]``: which frames are of the walk."""
    steps = torch.arange(frames.shape[1], device=frames.device)
    return steps[None, :] < lengths[:, None]


def pooled(maps: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Maximum and mean over the known frames: ``[b, T, n, c]``, ``[b, T, n]`` -> ``[b, n, 2 c]``."""
    most = maps.masked_fill(~known[..., None], torch.finfo(maps.dtype).min).amax(dim=1)
    count = known.sum(dim=1)
    most = most.masked_fill((count == 0)[..., None], 0.0)
    total = maps.masked_fill(~known[..., None], 0.0).sum(dim=1)
    return torch.cat([most, total / count.clamp(min=1)[..., None].to(maps.dtype)], dim=2)


class DenseStrips(nn.Module):
    """A :class:`~gait3dlib.modalities._strips.StripEncoder` of images, or of what a LiDAR sees."""

    def __init__(self, encoder: StripEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.from_points = isinstance(encoder, RangeViewEncoder)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> Tensors:
        """Frames ``[b, T, ...]``, lengths ``[b]`` -> values ``[b, strips, dim]``, real, t_s."""
        encoder, real = self.encoder, real_frames(frames, lengths)
        x = frames.flatten(0, 1)
        x = depth_pictures(x) if self.from_points else encoder._pictures(x)
        maps = encoder._strips_of_frames(encoder.trunk(x))
        maps = maps.view(*frames.shape[:2], *maps.shape[1:])
        known = real[..., None].expand(-1, -1, encoder.strips)
        values = torch.einsum("bsc,scd->bsd", pooled(maps, known), encoder.project) + encoder.offset
        there = (lengths > 0)[:, None].expand(-1, encoder.strips)
        return values * there[..., None], there, torch.full_like(values[..., 0], torch.nan)


class DenseGraph(nn.Module):
    """A :class:`~gait3dlib.modalities._body_graph.BodyGraphEncoder` whose graph is a matrix product."""

    def __init__(self, encoder: BodyGraphEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> Tensors:
        """Frames ``[b, T, 26, 15]``, lengths ``[b]`` -> values ``[b, n, dim]``, real, t_s."""
        encoder, real = self.encoder, real_frames(frames, lengths)
        walk = torch.arange(frames.shape[0])[:, None].expand(-1, frames.shape[1])
        # what lies past a length belongs to nobody, so that the last frames of a walk do not look at it
        owner = walk.masked_fill(~real, -1).flatten()
        x = frames.flatten(0, 1)
        values, known = encoder._body(x[:, : GROUND.start], owner)
        if encoder.forces:
            on_ground, borne = encoder._ground(x[:, GROUND], owner)
            values, known = torch.cat([values, on_ground], 1), torch.cat([known, borne], 1)
        values = values.view(*frames.shape[:2], *values.shape[1:])
        known = known.view(*frames.shape[:2], known.shape[1]) & real[..., None]
        there = known.any(dim=1)
        out = torch.einsum("bnc,ncd->bnd", pooled(values, known), encoder.project) + encoder.offset
        out = out.masked_fill(~there[..., None], 0.0)
        return out, there, torch.full_like(out[..., 0], torch.nan)


class DenseMesh(nn.Module):
    """A :class:`~gait3dlib.modalities._mesh_encoder.MeshEncoder` on silhouettes, not on fitted bodies."""

    def __init__(self, encoder: MeshEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> Tensors:
        """Frames ``[b, T, 1, 64, 44]``, lengths ``[b]`` -> values ``[b, strips + 1, dim]``, real, t_s."""
        encoder, real = self.encoder, real_frames(frames, lengths)
        pictures = encoder.pictures
        assert pictures is not None
        dtype, strips = pictures.project.dtype, pictures.strips
        maps = pictures.trunk(frames.flatten(0, 1).to(dtype).div(255))
        heat = pictures.heat(maps)
        views = [maps, pictures.front(heat.front), pictures.side(heat.side)]
        seen = torch.cat([pictures._strips_of(view).to(dtype) for view in views], dim=2)
        bones = heat.points[:, 1 : BONES + 1] - heat.points[:, pictures.parents]
        long = _LONG * (bones.square().sum(dim=2) + 1e-8).sqrt()
        over_strips = pooled(
            seen.view(*frames.shape[:2], *seen.shape[1:]), real[..., None].expand(-1, -1, strips)
        )
        over_bones = pooled(long.view(*frames.shape[:2], 1, BONES), real[..., None])
        values = torch.einsum("bsc,scd->bsd", over_strips, pictures.project)
        values = torch.cat([values, pictures.shape(over_bones).to(dtype)], dim=1)
        there = (lengths > 0)[:, None].expand(-1, strips + 1)
        values = (values * encoder.scale + encoder.offset) * there[..., None]
        return values, there, torch.full_like(values[..., 0], torch.nan)


class DenseNetwork(nn.Module):
    """A published network, one walk at a time: layers along time see no padding then."""

    def __init__(self, encoder: NetworkEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: torch.Tensor) -> Tensors:
        """Frames ``[1, T, channels, 64, 44]`` -> values ``[1, parts, dim]``, real, t_s."""
        encoder = self.encoder
        x = frames.to(encoder.offset.dtype).div(255)
        values = encoder.network(x).transpose(1, 2) * encoder.scale + encoder.offset
        return (
            values,
            torch.ones_like(values[..., 0], dtype=torch.bool),
            torch.full_like(values[..., 0], torch.nan),
        )


@dataclass(frozen=True)
class Dense:
    """A dense form, and whether it takes several walks of different length at once."""

    module: nn.Module
    many: bool


def dense_form(encoder: nn.Module) -> Dense | str:
    """The dense form of an encoder, or why it has none."""
    if isinstance(encoder, MeshEncoder) and encoder.pictures is None:
        return "a mesh encoder of fitted bodies has no dense form here; train mesh with source: silhouette"
    for kind, make, many in _FORMS:
        if isinstance(encoder, kind):
            graph = encoder if kind is BodyGraphEncoder else None
            if graph is not None and any(getattr(b.tree, "_passing", None) for b in graph.body):  # type: ignore[union-attr]
                return "torch-geometric passes its messages; set graph to dense, which gives the same numbers"
            return Dense(make(encoder).eval(), many)
    for other, reason in _NONE.items():
        if isinstance(encoder, other):
            return reason
    return f"its encoder {type(encoder).__name__} has no dense form here"


_FORMS: tuple[tuple[type[nn.Module], Callable[[Any], nn.Module], bool], ...] = (
    (StripEncoder, DenseStrips, True),
    (BodyGraphEncoder, DenseGraph, True),
    (MeshEncoder, DenseMesh, True),
    (NetworkEncoder, DenseNetwork, False),
)
_NONE: dict[type[nn.Module], str] = {
    SparseEncoder: "sparse convolutions have no counterpart in ONNX; train lidar with encoder: range_view",
    PointEncoder: "farthest points and nearest neighbours are chosen step by step, which ONNX cannot say; "
    "train lidar with encoder: range_view",
}


class FusionOnly(nn.Module):
    """Fusion and task heads on tokens of every modality, as plain tensors.

    Args:
        model: whose fusion it is.
        heights: of the tokens of every modality, in the order of the inputs.
    """

    def __init__(self, model: nn.Module, heights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.model, self.names = model, list(heights)
        for name, height in heights.items():
            self.register_buffer(f"height_{name}", height.clone(), persistent=False)

    def forward(self, *tensors: torch.Tensor) -> Tensors:
        """values, real, t_s of each modality in turn -> embedding, then the tasks that the model has."""
        tokens = {
            name: Tokens(
                tensors[3 * i], tensors[3 * i + 1], getattr(self, f"height_{name}"), tensors[3 * i + 2]
            )
            for i, name in enumerate(self.names)
        }
        said = self.model.fuse(tokens)  # type: ignore[operator]
        return tuple(value for value in vars(said).values() if value is not None)


def by_encoder(encoder: nn.Module, frames: torch.Tensor, lengths: torch.Tensor) -> Tokens:
    """What the encoder itself says: what a file is compared with."""
    t_s = torch.zeros(frames.shape[:2])
    tokens: Tokens = encoder(Batch(frames, lengths, t_s))
    return tokens

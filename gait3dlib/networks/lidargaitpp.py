"""LidarGait++ (Shen et al., CVPR 2025): point clouds of a walker through PointNet++, pooled by height."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Positive
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.networks._parts import PartHead, TrainOutputs, initialise, need_classes
from gait3dlib.networks._points import farthest_points, nearest_points, pool_heights, take
from gait3dlib.networks._walks import Lengths, walk_lengths

VALUES = 4  # x, y, z in units of the body, and the height in metres
FRAMES_AT_ONCE = 32
WIDTHS = ((32, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 256))


class PointLayer(nn.Module):
    """A linear map, its batch norm, and ReLU, of every point by itself."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias; outside of training the norm is part of them."""
        weight, bias, norm = self.linear.weight, self.linear.bias, self.norm
        if norm.training or norm.running_mean is None or norm.running_var is None:
            return weight, bias
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return weight * scale[:, None], (bias - norm.running_mean) * scale + norm.bias

    def finish(self, y: torch.Tensor) -> torch.Tensor:
        """What follows the map: the norm, where it is no part of it, and ReLU."""
        if self.norm.training:
            y = self.norm(y.flatten(0, -2)).view_as(y)
        return functional.relu(y, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., inputs]`` -> ``[..., outputs]``."""
        return self.finish(functional.linear(x, *self.weights()))


class PointLevel(nn.Module):
    """Layers on groups of neighbours, or on the points themselves where there is no grouping.

    Args:
        features: channels that the points have before, besides their four values.
        widths: channels of the layers.
        samples: points that are kept, None = all, each a group of its own.
        neighbours: points of a group.
        radius: what offsets from the centre of a group are divided by.
    """

    def __init__(
        self, features: int, widths: Sequence[int], samples: int | None, neighbours: int, radius: float
    ) -> None:
        super().__init__()
        inputs = [VALUES + features, *widths]
        self.layers = nn.ModuleList(PointLayer(inputs[i], inputs[i + 1]) for i in range(len(widths)))
        self.samples, self.neighbours, self.radius = samples, neighbours, radius

    def forward(
        self, points: torch.Tensor, features: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points ``[frames, p, 4]``, features ``[frames, p, c]`` -> those of the points that are kept."""
        if self.samples is None:
            return points, self._layers(points, features, None)
        xyz = points[..., :3]
        centres = take(points, farthest_points(xyz, self.samples))
        group = nearest_points(centres[..., :3], xyz, self.neighbours)
        offsets = (take(points, group) - centres[:, :, None]) / self.radius
        return centres, self._layers(offsets, features, group).amax(dim=2)

    def _layers(
        self, places: torch.Tensor, features: torch.Tensor | None, group: torch.Tensor | None
    ) -> torch.Tensor:
        first = self.layers[0]
        assert isinstance(first, PointLayer)
        weight, bias = first.weights()
        x = functional.linear(places.to(weight.dtype), weight[:, :VALUES], bias)
        if features is not None:
            # a linear map of a sum is a sum: each point is mapped once, not once a group that it is in
            mapped = functional.linear(features, weight[:, VALUES:])
            x = x + (mapped if group is None else take(mapped, group))
        x = first.finish(x)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


class LidarGaitPP(nn.Module):
    """Point sets ``[n, s, p, 4]`` -> one vector a slice of height.

    The four values of a point are x, y, z of the frame's cloud, centred on its mean and divided by its
    largest distance from there, and the height above its lowest point in metres. Farthest-point sampling
    starts at point 0, so the same points always give the same embedding.

    Args:
        samples: points kept by each of the first three levels; the last level keeps all that are left.
        neighbours: points of a group, of all levels or of each of the three.
        radii: what offsets are divided by at each of the three levels; nothing is cut off there.
        widths: channels of the layers of the four levels.
        bins: counts of slices of height.
        top_m: where the highest slice ends, in metres.
        embedding: channels of a part of the embedding.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not three or four of something, or ``neck`` without ``classes``.
    """

    head: PartHead

    def __init__(
        self,
        *,
        samples: Sequence[Count] = (512, 256, 128),
        neighbours: Count | Sequence[Count] = 32,
        radii: Sequence[Positive] = (0.1, 0.2, 0.4),
        widths: Sequence[Sequence[Count]] = WIDTHS,
        bins: Sequence[Count] = (1, 2, 4, 8, 16),
        top_m: Positive = 2.0,
        embedding: Count = 256,
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        need_classes(neck, classes)
        super().__init__()
        groups = [neighbours] * 3 if isinstance(neighbours, int) else list(neighbours)
        counts = len(samples), len(groups), len(radii), len(widths)
        if counts != (3, 3, 3, 4) or not all(widths) or not bins:
            raise ConfigError(
                "samples, neighbours and radii must name 3 levels and widths 4, "
                f"not {counts[0]}, {counts[1]}, {counts[2]} and {counts[3]}"
            )
        before = [0, *(level[-1] for level in widths)]
        kept: list[int | None] = [*samples, None]
        self.levels = nn.ModuleList(
            PointLevel(before[i], widths[i], kept[i], [*groups, 0][i], [*radii, 1.0][i]) for i in range(4)
        )
        self.bins, self.top_m, self.neck = tuple(bins), top_m, neck
        # every level must find as many points as it samples, and as many neighbours as it groups
        self.least = max(samples[0], groups[0])
        if any(samples[i] > samples[i - 1] or groups[i] > samples[i - 1] for i in (1, 2)):
            raise ConfigError(
                f"samples {list(samples)} must not grow from level to level, and a level groups at most "
                f"as many points as the one before keeps, not {groups}"
            )
        self.head = PartHead(sum(bins), widths[-1][-1], embedding, classes)
        initialise(self)

    def forward(self, points: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        """``[n, s, p, 4]`` -> ``[n, c, parts]``, the lowest slice of each count first.

        What lies past a length is never read, and every walk comes out as if it were alone.

        Raises:
            InputError: the input has the wrong type or shape, too few points, NaN, or a walk has no frame.
        """
        out: torch.Tensor = self.head(self.slices(points, lengths), neck=self.neck)
        return out

    def train_outputs(self, points: torch.Tensor, lengths: Lengths = None) -> TrainOutputs:
        """Embedding and class logits, for the losses; raises as :meth:`forward` does."""
        return self.head.train_outputs(self.slices(points, lengths))

    def slices(self, points: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        """What the head reads: ``[n, widths[3][-1], parts]``; raises as :meth:`forward` does."""
        self._check(points)
        held = walk_lengths(points, lengths)
        real = torch.cat([walk[:length] for walk, length in zip(points, held, strict=True)])
        if not real.isfinite().all():
            raise InputError("points hold NaN or infinity; leave such points out")
        # who is near whom is found in single precision at least
        real = real.to(torch.promote_types(next(self.parameters()).dtype, torch.float32))
        # without batch statistics frames know nothing of each other, and need not lie in memory together
        chunk = len(real) if self.training else FRAMES_AT_ONCE
        pooled = torch.cat([self._frames(real[i : i + chunk]) for i in range(0, len(real), chunk)])
        return torch.stack([walk.amax(dim=0) for walk in torch.split(pooled, held)])

    def _frames(self, points: torch.Tensor) -> torch.Tensor:
        """``[frames, p, 4]`` -> ``[frames, c, parts]``."""
        features = None
        for level in self.levels:
            points, features = level(points, features)
        assert features is not None
        return pool_heights(features, points[..., 3], self.bins, self.top_m)

    def _check(self, points: torch.Tensor) -> None:
        if points.ndim != 4 or points.shape[3] != VALUES or not points.is_floating_point():
            raise InputError(
                f"LidarGaitPP reads floating point [walks, frames, points, {VALUES}]: x, y, z centred and "
                f"scaled, and the height in metres; not {points.dtype} {list(points.shape)}"
            )
        if points.shape[2] < self.least:
            raise InputError(
                f"LidarGaitPP needs at least {self.least} points a frame, not {points.shape[2]}; "
                "draw points again with replacement, or build it with fewer samples and neighbours"
            )

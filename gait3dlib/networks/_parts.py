"""What the networks have in common: strips of the body, one linear map a part, the neck, starting weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.errors import ConfigError
from gait3dlib.networks._cosines import part_cosines
from gait3dlib.networks._walks import Lengths, Size, check_images, walk_lengths

SILHOUETTES: tuple[Size, ...] = ((64, 44), (128, 88))
ROWS = SILHOUETTES[0][0]


class TrainOutputs(NamedTuple):
    """What the losses need: embedding ``[n, c, parts]`` for the triplet, logits ``[n, classes, parts]`` for
    the cross-entropy (None where the network has no classes)."""

    embedding: torch.Tensor
    logits: torch.Tensor | None


def pool_strips(maps: torch.Tensor, bins: Sequence[int]) -> torch.Tensor:
    """Mean + maximum over equal row strips, for every count of strips, side by side.

    Fu et al., Horizontal Pyramid Matching, AAAI 2019. The count of strips must divide the rows.

    Args:
        maps: ``[n, c, h, w]``.
        bins: counts of strips.

    Returns:
        ``[n, c, sum(bins)]``.
    """
    pooled = []
    for count in bins:
        strips = maps.reshape(*maps.shape[:2], count, -1)
        pooled.append(strips.mean(dim=3) + strips.amax(dim=3))
    return torch.cat(pooled, dim=2)


def strip_heights(count: int) -> list[float]:
    """The middle of each of so many strips, from the head (nearly 1) to the feet (nearly 0)."""
    return [1 - (index + 0.5) / count for index in range(count)]


class PartLinear(nn.Module):
    """One matrix a body part, without bias: ``[n, inputs, parts]`` -> ``[n, outputs, parts]``."""

    def __init__(self, parts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(parts, inputs, outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, inputs, parts]`` -> ``[n, outputs, parts]``."""
        return torch.einsum("nip,pio->nop", x, self.weight)


class Neck(nn.Module):
    """BNNeck (Luo et al., CVPR workshops 2019): batch norm, unit length, cosine with every class.

    ``[n, c, parts]`` -> the normalised feature ``[n, c, parts]`` and logits ``[n, classes, parts]``.
    """

    def __init__(self, parts: int, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * parts)
        self.classes = nn.Parameter(torch.empty(parts, channels, classes))
        nn.init.xavier_uniform_(self.classes)

    def feature(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, c, parts]``, every part of unit length."""
        return functional.normalize(self.norm(x.flatten(1)).view_as(x), dim=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The normalised feature and the cosines."""
        feature = self.feature(x)
        return feature, part_cosines(feature, self.classes)


class PartHead(nn.Module):
    """A linear map a part and, where there are classes, a neck behind it."""

    def __init__(self, parts: int, inputs: int, outputs: int, classes: int | None = None) -> None:
        super().__init__()
        self.linear = PartLinear(parts, inputs, outputs)
        self.neck = Neck(parts, outputs, classes) if classes else None

    def forward(self, pooled: torch.Tensor, *, neck: bool = False) -> torch.Tensor:
        """``[n, inputs, parts]`` -> the embedding, or with ``neck`` the normalised feature after it."""
        embedding: torch.Tensor = self.linear(pooled)
        return self.neck.feature(embedding) if neck and self.neck is not None else embedding

    def train_outputs(self, pooled: torch.Tensor) -> TrainOutputs:
        """Embedding and logits."""
        embedding = self.linear(pooled)
        return TrainOutputs(embedding, None if self.neck is None else self.neck(embedding)[1])


class ImageNetwork(nn.Module, ABC):
    """A network from the frames of a walk to one vector a body part.

    ``network(x, lengths)``: x floating point ``[n, s, channels, h, w]`` in 0..1, lengths the frames of each
    walk (all ``s`` by default); what lies past a length is never read, and every walk comes out as if it
    were alone, in eval mode to the last bit. Returns ``[n, c, parts]``: the embedding before the neck, or,
    with ``neck=True``, the normalised feature after it. :meth:`train_outputs` gives what the losses need.
    """

    sizes: ClassVar[tuple[Size, ...]] = SILHOUETTES
    bins: tuple[int, ...]
    head: PartHead

    def __init__(self, channels: int, *, neck: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.neck = neck

    @property
    def heights(self) -> list[float]:
        """The middle of each part, from 0 (feet) to 1 (head)."""
        return [height for count in self.bins for height in strip_heights(count)]

    @abstractmethod
    def strips(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """What the head reads: ``[n, inputs, parts]``."""

    def forward(self, x: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        """``[n, s, channels, h, w]`` -> ``[n, c, parts]``.

        Raises:
            InputError: the input has the wrong type, shape, size or range, or a walk has no frame.
        """
        x, held = self.checked(x, lengths)
        if self.training:  # one batch, whose statistics the norms need
            return self._answer(x, held)
        # walk by walk: libraries of kernels round differently for batches of different size
        return torch.cat([self._answer(walk[None], [n]) for walk, n in zip(x, held, strict=True)])

    def train_outputs(self, x: torch.Tensor, lengths: Lengths = None) -> TrainOutputs:
        """Embedding and class logits, for the losses; raises as :meth:`forward` does."""
        return self.head.train_outputs(self.strips(*self.checked(x, lengths)))

    def _answer(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        out: torch.Tensor = self.head(self.strips(x, lengths), neck=self.neck)
        return out

    def checked(self, x: torch.Tensor, lengths: Lengths) -> tuple[torch.Tensor, list[int]]:
        """The input in the precision of the weights, and the length of each walk."""
        check_images(x, type(self).__name__, self.channels, self.sizes)
        held = walk_lengths(x, lengths)
        return x.to(next(self.parameters()).dtype), held


def need_classes(neck: bool, classes: int | None) -> None:
    """Refuse a neck that is not there.

    Raises:
        ConfigError: ``neck`` without ``classes``.
    """
    if neck and not classes:
        raise ConfigError("neck: the feature after the neck needs a network with classes; give classes too")


def check_strips(counts: Sequence[int], rows: int, name: str = "bins") -> tuple[int, ...]:
    """The counts of strips, each of which must divide the rows that frames of 64 rows come to.

    Raises:
        ConfigError: none, or one that does not.
    """
    if not counts or any(rows % count for count in counts):
        raise ConfigError(f"{name}: every count of strips must divide {rows}, not {list(counts)}")
    return tuple(counts)


def initialise(network: nn.Module) -> None:
    """OpenGait's starting weights: Xavier uniform, biases 0, batch norms N(1, 0.02)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            groups = 1 if isinstance(layer, nn.Linear) else layer.groups
            for weight in layer.weight.detach().chunk(groups):
                nn.init.xavier_uniform_(weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)

"""SMPLGait (Zheng et al., CVPR 2022): silhouettes, their feature maps turned by what the body model says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.networks._parts import PartHead, TrainOutputs, initialise, need_classes, pool_strips
from gait3dlib.networks._walks import Lengths, check_images, end_to_end, walk_lengths

SIDE = 16  # rows of the last feature map, and both sides of the matrix that turns it
SIZES = ((64, 44),)
SMPL_VALUES = 85  # camera 3, pose 72, shape 10


class PlainTrunk(nn.Sequential):
    """Two convolutions, halving, two, halving, two; no norm, leaky ReLU (Chao et al., GaitSet, AAAI 2019)."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for stage, width in enumerate(widths):
            if stage:
                layers.append(nn.MaxPool2d(2))
            size = 3 if stage else 5
            layers += [nn.Conv2d(channels, width, size, 1, size // 2, bias=False), nn.LeakyReLU(inplace=True)]
            layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.LeakyReLU(inplace=True)]
            channels = width
        super().__init__(*layers)


class BodyMatrix(nn.Module):
    """SMPL parameters of a frame to a 16 x 16 matrix, near the identity where they say nothing.

    Linear maps with batch norms and ReLU, and dropout before the second and the third norm.
    """

    def __init__(self, values: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        sizes = [values, *hidden, SIDE * SIDE]
        self.linears = nn.ModuleList(nn.Linear(sizes[i], sizes[i + 1]) for i in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.dropout = nn.Dropout(dropout)

    def forward(self, smpl: torch.Tensor) -> torch.Tensor:
        """``[frames, values]`` -> ``[frames, 16, 16]``."""
        x = smpl
        for index, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            x = linear(x)
            x = functional.relu(norm(self.dropout(x) if index else x))
        return x.view(-1, SIDE, SIDE) + torch.eye(SIDE, dtype=x.dtype, device=x.device)


class SMPLGait(nn.Module):
    """Silhouettes ``[n, s, 1, 64, 44]`` and SMPL parameters ``[n, s, 85]`` -> one vector a body strip.

    Each frame's feature map, filled up to a square by empty columns at its right, is multiplied from the
    right by a matrix that is made of the frame's SMPL parameters (camera 3, pose 72, shape 10); then
    maximum over time and strips.

    Args:
        channels: image channels of a frame.
        widths: channels of the three stages.
        smpl_values: parameters of a frame.
        hidden: widths of the two hidden layers that read them.
        dropout: share of hidden values left out in training.
        embedding: channels of a part of the embedding.
        bins: counts of strips; each divides 16.
        classes: people to tell apart in training, None for no neck.
        neck: answer with the normalised feature after the neck.

    Raises:
        ConfigError: not three widths and two hidden ones, or ``neck`` without ``classes``.
    """

    head: PartHead

    def __init__(
        self,
        *,
        channels: Count = 1,
        widths: Sequence[Count] = (64, 128, 256),
        smpl_values: Count = SMPL_VALUES,
        hidden: Sequence[Count] = (128, 256),
        dropout: Share = 0.2,
        embedding: Count = 256,
        bins: Sequence[Count] = (16, 8, 4, 2, 1),
        classes: Count | None = None,
        neck: bool = False,
    ) -> None:
        need_classes(neck, classes)
        super().__init__()
        if (len(widths), len(hidden)) != (3, 2):
            raise ConfigError(f"widths must name 3 stages and hidden 2, not {len(widths)} and {len(hidden)}")
        if not bins or any(SIDE % count for count in bins):
            raise ConfigError(f"bins: every count of strips must divide {SIDE}, not {list(bins)}")
        self.channels, self.smpl_values = channels, smpl_values
        self.bins, self.neck = tuple(bins), neck
        self.trunk = PlainTrunk(channels, widths)
        self.matrix = BodyMatrix(smpl_values, hidden, dropout)
        self.head = PartHead(sum(bins), widths[-1], embedding, classes)
        initialise(self)

    def forward(self, silhouettes: torch.Tensor, smpl: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        """``[n, s, channels, 64, 44]`` in 0..1 and ``[n, s, smpl_values]`` -> ``[n, c, parts]``.

        What lies past a length is never read, and every walk comes out as if it were alone.

        Raises:
            InputError: an input has the wrong type, shape, size or range, or a walk has no frame.
        """
        out: torch.Tensor = self.head(self.strips(silhouettes, smpl, lengths), neck=self.neck)
        return out

    def train_outputs(
        self, silhouettes: torch.Tensor, smpl: torch.Tensor, lengths: Lengths = None
    ) -> TrainOutputs:
        """Embedding and class logits, for the losses; raises as :meth:`forward` does."""
        return self.head.train_outputs(self.strips(silhouettes, smpl, lengths))

    def strips(self, silhouettes: torch.Tensor, smpl: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        """What the head reads: ``[n, widths[2], parts]``; raises as :meth:`forward` does."""
        check_images(silhouettes, "SMPLGait", self.channels, SIZES)
        held = walk_lengths(silhouettes, lengths)
        wanted = (*silhouettes.shape[:2], self.smpl_values)
        if smpl.shape != wanted or not smpl.is_floating_point():
            raise InputError(
                f"SMPLGait reads floating point SMPL parameters {list(wanted)} with these silhouettes, "
                f"not {smpl.dtype} {list(smpl.shape)}"
            )
        bodies = torch.cat([walk[:length] for walk, length in zip(smpl, held, strict=True)])
        if not bodies.isfinite().all():
            raise InputError("SMPL parameters hold NaN or infinity; leave such frames out")
        dtype = next(self.parameters()).dtype
        run = end_to_end(silhouettes.to(dtype), held)
        maps = self.trunk(run.frames)
        square = functional.pad(maps, (0, SIDE - maps.shape[3]))
        turned = square @ self.matrix(bodies.to(dtype))[:, None]
        return pool_strips(run.most(turned), self.bins)

"""GaitGL (Lin et al., ICCV 2021): volumes seen as a whole and strip by strip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count
from gait3dlib.errors import ConfigError
from gait3dlib.networks._parts import (
    ImageNetwork,
    PartHead,
    PartLinear,
    TrainOutputs,
    check_strips,
    initialise,
    need_classes,
    strip_heights,
)
from gait3dlib.networks._walks import Run, blank, end_to_end

CLIP = 3  # frames that the network first joins into one
_LEAST = 1e-6  # below it a feature counts for nothing in the generalised mean


class NormHead(nn.Module):
    """A linear map a part, one batch norm for all parts, and plain products with the classes.

    The embedding is what the norm gives; the triplet loss is taken there too.
    """

    def __init__(self, parts: int, inputs: int, outputs: int, classes: int | None) -> None:
        super().__init__()
        self.linear = PartLinear(parts, inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)
        self.classes = PartLinear(parts, outputs, classes) if classes else None

    def forward(self, pooled: torch.Tensor, *, neck: bool = False) -> torch.Tensor:
        """``[n, inputs, parts]`` -> ``[n, outputs, parts]``."""
        out: torch.Tensor = self.norm(self.linear(pooled))
        return out

    def train_outputs(self, pooled: torch.Tensor) -> TrainOutputs:
        """Embedding and logits."""
        embedding = self(pooled)
        return TrainOutputs(embedding, None if self.classes is None else self.classes(embedding))


class GlobalLocal(nn.Module):
    """A convolution of the whole volume and another within each row strip.

    They are added, or, with ``stacked``, put one below the other: twice the rows.
    """

    def __init__(self, inputs: int, outputs: int, strips: int, *, stacked: bool = False) -> None:
        super().__init__()
        self.whole = nn.Conv3d(inputs, outputs, 3, 1, 1, bias=False)
        self.local = nn.Conv3d(inputs, outputs, 3, 1, 1, bias=False)
        self.strips = strips
        self.stacked = stacked

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[n, inputs, t, h, w]``, gaps blank -> ``[n, outputs, t, h or 2h, w]``, gaps blank."""
        parts = torch.unflatten(x, 3, (self.strips, -1)).movedim(3, 1).flatten(0, 1)
        local = torch.unflatten(self.local(parts), 0, (len(x), self.strips)).movedim(1, 3).flatten(3, 4)
        whole = self.whole(x)
        if self.stacked:
            return blank(functional.leaky_relu(torch.cat([whole, local], dim=3), inplace=True), keep)
        return blank(functional.leaky_relu(whole) + functional.leaky_relu(local), keep)


class VolumeTrunk(nn.Module):
    """Convolutions of volumes, three frames joined into one, then three stages of :class:`GlobalLocal`."""

    def __init__(
        self, channels: int, stem: Sequence[int], stages: Sequence[Sequence[int]], strips: int
    ) -> None:
        super().__init__()
        inputs = [channels, *stem]
        self.stem = nn.ModuleList(
            nn.Conv3d(inputs[i], width, 3, 1, 1, bias=False) for i, width in enumerate(stem)
        )
        self.clip = nn.Conv3d(stem[-1], stem[-1], (CLIP, 1, 1), (CLIP, 1, 1), bias=False)
        self.stages = nn.ModuleList()
        wide = stem[-1]
        for index, widths in enumerate(stages):
            blocks = nn.ModuleList()
            for step, width in enumerate(widths):
                last = index == len(stages) - 1 and step == len(widths) - 1
                blocks.append(GlobalLocal(wide, width, strips, stacked=last))
                wide = width
            # a stage of one block is that block
            self.stages.append(blocks if len(blocks) > 1 else blocks[0])

    def forward(
        self, x: torch.Tensor, keep: torch.Tensor | None = None, keep_clips: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``[n, channels, t, h, w]`` -> ``[n, stages[-1][-1], t // 3, h, w / 2]``."""
        for conv in self.stem:
            x = blank(functional.leaky_relu(conv(x), inplace=True), keep)
        x = blank(functional.leaky_relu(self.clip(x), inplace=True), keep_clips)
        for index, stage in enumerate(self.stages):
            if index == 1:
                x = functional.max_pool3d(x, (1, 2, 2))
            for block in stage if isinstance(stage, nn.ModuleList) else [stage]:
                x = block(x, keep_clips)
        return x


class GaitGL(ImageNetwork):
    """Volumes convolved as a whole and strip by strip; every row of the last map is a part.

    Args:
        channels: image channels of a frame.
        stem: channels of the convolutions before three frames become one.
        stages: channels of the blocks of the three stages; the map is halved after the first.
        strips: row strips of the local convolutions.
        embedding: channels of a part of the embedding.
        parts: rows of a frame, each of which becomes a part.
        classes: people to tell apart in training.
        separate_neck: a BNNeck behind the linear map, as in OpenGait's GREW variant, instead of a batch
            norm before the embedding. Needs classes.
        neck: answer with the normalised feature after that neck.

    Raises:
        ConfigError: not three stages, strips that do not divide the rows, or a neck that is not there.
    """

    head: PartHead | NormHead  # type: ignore[assignment]

    def __init__(
        self,
        *,
        channels: Count = 1,
        stem: Sequence[Count] = (32,),
        stages: Sequence[Sequence[Count]] = ((64,), (128,), (128,)),
        strips: Count = 8,
        embedding: Count = 128,
        parts: Count = 64,
        classes: Count | None = None,
        separate_neck: bool = False,
        neck: bool = False,
    ) -> None:
        need_classes(neck or separate_neck, classes)
        if neck and not separate_neck:
            raise ConfigError("neck: this GaitGL has none, its embedding is normed already; use neck=False")
        if len(stages) != 3 or not (stem and all(stages)):
            raise ConfigError(f"stages must name 3 stages with a block or more each, not {stages}")
        check_strips([strips], parts // 2, "strips")
        super().__init__(channels, neck=neck)
        self.sizes = ((parts, parts * 44 // 64),)  # type: ignore[misc]
        self.trunk = VolumeTrunk(channels, stem, stages, strips)
        self.exponent = nn.Parameter(torch.full((1,), 6.5))
        head = PartHead if separate_neck else NormHead
        self.head = head(parts, stages[-1][-1], embedding, classes)
        initialise(self)

    @property
    def heights(self) -> list[float]:
        """The middle of each part; those of the whole map, then those of its strips."""
        return strip_heights(self.sizes[0][0] // 2) * 2

    def strips(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """``[n, s, channels, h, w]`` -> ``[n, stages[-1][-1], parts]``."""
        x, lengths = _long_enough(x, lengths)
        run = end_to_end(x, lengths, gap=1, multiple=CLIP)
        volumes = torch.unflatten(run.frames, 0, (run.runs, -1)).transpose(1, 2)
        spans, keep = _clips(run)
        maps = self.trunk(volumes, run.keep, keep)
        if run.keep is None:
            most = maps.amax(dim=2)
        else:
            most = torch.stack([maps[0, :, start:stop].amax(dim=1) for start, stop in spans])
        # the generalised mean of a row
        pooled: torch.Tensor = most.clamp(min=_LEAST).pow(self.exponent).mean(dim=3)
        return pooled.pow(1 / self.exponent)


def _long_enough(x: torch.Tensor, lengths: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Walks of one frame three times, of two frames twice: [a, b] becomes [a, b, a, b]."""
    held = [length * {1: 3, 2: 2}.get(length, 1) for length in lengths]
    if held == list(lengths):
        return x, held
    out = x.new_zeros(len(x), max(held), *x.shape[2:])
    for row, walk, length, wanted in zip(out, x, lengths, held, strict=True):
        row[:wanted] = walk[:length].repeat(wanted // length, 1, 1, 1)
    return out, held


def _clips(run: Run) -> tuple[list[tuple[int, int]], torch.Tensor | None]:
    """Where each walk lies once three frames have become one, and what is no gap then."""
    spans = [(start // CLIP, start // CLIP + (stop - start) // CLIP) for start, stop in run.spans]
    if run.keep is None:
        return spans, None
    keep = run.keep.new_zeros(len(run.keep) // CLIP)
    for start, stop in spans:
        keep[start:stop] = 1
    return spans, keep

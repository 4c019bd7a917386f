"""The trunks of fused convolutions, and the same in int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self

import torch
from torch import nn

from gait3dlib.errors import ConfigError
from gait3dlib.networks._blocks import PseudoVolumeBlock, VolumeBlock
from gait3dlib.networks._fused import Fused, Levels, Quantised, channels_last
from gait3dlib.networks.deepgaitv2 import Attention, DeepTrunk, TwoStreamTrunk
from gait3dlib.networks.gaitbase import FrameTrunk

Ranges = Mapping[nn.Module, Levels]
IMAGE = Levels(1 / 255, 0)  # 8-bit pictures come through exactly


class Block(nn.Module):
    """A residual block of frames or volumes: its convolutions, of one kind or another."""

    def __init__(
        self,
        first: nn.Module,
        second: nn.Module,
        skip: nn.Module | None,
        time: nn.Module | None,
        *,
        volumes: bool = False,
    ) -> None:
        super().__init__()
        self.first, self.second, self.skip, self.time, self.volumes = first, second, skip, time, volumes

    @classmethod
    def of(cls, block: Any, dtype: torch.dtype) -> Self:
        """Fused, from a block that was trained."""
        return cls(
            Fused(block.first, dtype=dtype),
            Fused(block.second, dtype=dtype),
            None if block.skip is None else Fused(block.skip, relu=False, dtype=dtype),
            Fused(block.time, dtype=dtype) if isinstance(block, PseudoVolumeBlock) else None,
            volumes=isinstance(block, VolumeBlock),
        )

    def quantised(self, reads: Levels, found: Ranges) -> tuple[Block, Levels]:
        """In int8, and the levels of its output."""
        first, time, skip = Quantised(self.first, reads, found[self.first]), None, None
        inner, adds = first.gives, reads
        if self.time is not None:
            time = Quantised(self.time, inner, found[self.time], inner)
            inner = time.gives
        if self.skip is not None:
            skip = Quantised(self.skip, reads, found[self.skip])
            adds = skip.gives
        second = Quantised(self.second, inner, found[self.second], adds)
        return Block(first, second, skip, time), second.gives

    def forward(self, x: torch.Tensor, runs: int) -> torch.Tensor:
        """``[runs * t, inputs, h, w]`` -> ``[runs * t, outputs, h / stride, w / stride]``."""
        if self.volumes:
            x = torch.unflatten(x, 0, (runs, -1)).transpose(1, 2)
        y: torch.Tensor = self.first(x)
        if self.time is not None:  # as in TimeConvNorm
            n, c, h, w = y.shape
            image = y.permute(0, 2, 3, 1).reshape(runs, n // runs, h * w, c).permute(0, 3, 1, 2)
            y = self.time(image, image).permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)
        skip = x if self.skip is None else self.skip(x)
        y = self.second(y, skip)
        return y.transpose(1, 2).flatten(0, 1) if self.volumes else y


class Stream(nn.Module):
    """A stem, or none, and blocks; ``reads`` and ``gives`` are the levels at both ends, None if not int8."""

    def __init__(
        self, stem: nn.Module | None, blocks: list[Block], reads: Levels | None, gives: Levels | None
    ) -> None:
        super().__init__()
        self.stem, self.blocks = stem, nn.ModuleList(blocks)
        self.reads, self.gives = reads, gives

    @classmethod
    def of(cls, stem: Any, stages: Iterable[Any], dtype: torch.dtype) -> Self:
        """Fused, from what was trained."""
        blocks = [Block.of(block, dtype) for stage in stages for block in stage]
        return cls(None if stem is None else Fused(stem, dtype=dtype), blocks, None, None)

    def quantised(self, reads: Levels, found: Ranges) -> Stream:
        """In int8."""
        stem, at, blocks = None, reads, []
        if self.stem is not None:
            stem = Quantised(self.stem, reads, found[self.stem])
            at = stem.gives
        for block in self.blocks:
            assert isinstance(block, Block)
            made, at = block.quantised(at, found)
            blocks.append(made)
        return Stream(stem, blocks, reads, at)

    def forward(self, x: torch.Tensor, runs: int) -> torch.Tensor:
        """Floating point in and out: ``[runs * t, c, h, w]``."""
        if self.reads is not None:
            x = self.reads.coded(x)
        if self.stem is not None:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x, runs)
        return x if self.gives is None else self.gives.real(x)


class Frozen(nn.Module):
    """A trunk that stays where it was made, as it was made: its weights are laid out for one chip."""

    def _apply(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError(
            "a fast network stays as it was made; move or convert the network, then make it fast"
        )

    def state_dict(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: folded weights are no checkpoint."""
        raise ConfigError("a fast network cannot be saved; save the network that it was made from")

    def train(self, mode: bool = True) -> Self:
        """Eval mode only."""
        if mode:
            raise ConfigError("a fast network cannot be trained; train the network that it was made from")
        return super().train(mode)


class FastTrunk(Frozen):
    """One stream: GaitBase, LidarGait, DeepGaitV2, SkeletonGait."""

    def __init__(self, stream: Stream, dtype: torch.dtype) -> None:
        super().__init__()
        self.stream, self.dtype = stream, dtype

    @classmethod
    def of(cls, trunk: FrameTrunk | DeepTrunk, dtype: torch.dtype) -> Self:
        """Fused, from a trunk that was trained."""
        stages = list(trunk.stages) if isinstance(trunk, FrameTrunk) else [trunk.first, *trunk.stages]
        return cls(Stream.of(trunk.stem, stages, dtype), dtype)

    def quantised(self, found: Ranges) -> FastTrunk:
        """In int8."""
        return FastTrunk(self.stream.quantised(IMAGE, found), self.dtype)

    @torch.no_grad()
    def forward(self, frames: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, channels, h, w]`` -> ``[runs * t, widths[3], h / 4, w / 4]``, without gaps."""
        out: torch.Tensor = self.stream(frames.to(self.dtype), runs)
        return out.float()


class FusedAttention(nn.Module):
    """:class:`Attention` of fused convolutions; in float32 where the streams around it are int8."""

    def __init__(self, attention: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.squeeze = Fused(attention.squeeze, dtype=dtype)
        self.mix = Fused(attention.mix, dtype=dtype)
        self.expand = attention.expand.to(dtype)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Two maps ``[n, width, h, w]`` -> one."""
        scores = self.expand(self.mix(self.squeeze(channels_last(torch.cat([a, b], dim=1)))))
        scores = torch.unflatten(scores, 1, (2, -1)).softmax(dim=1)
        return channels_last(a * scores[:, 0] + b * scores[:, 1])


class FastTwoStreamTrunk(Frozen):
    """Two streams joined by attention: SkeletonGait++."""

    def __init__(
        self,
        silhouette: Stream,
        skeleton: Stream,
        attention: FusedAttention,
        joined: Stream,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.silhouette, self.skeleton, self.attention, self.joined = silhouette, skeleton, attention, joined
        self.dtype = dtype

    @classmethod
    def of(cls, trunk: TwoStreamTrunk, dtype: torch.dtype) -> Self:
        """Fused, from a trunk that was trained."""
        return cls(
            Stream.of(trunk.silhouette_stem, [trunk.silhouette_first], dtype),
            Stream.of(trunk.map_stem, [trunk.map_first], dtype),
            FusedAttention(trunk.attention, dtype),
            Stream.of(None, trunk.stages, dtype),
            dtype,
        )

    def quantised(self, found: Ranges) -> FastTwoStreamTrunk:
        """In int8, but for the attention."""
        return FastTwoStreamTrunk(
            self.silhouette.quantised(IMAGE, found),
            self.skeleton.quantised(IMAGE, found),
            self.attention,
            self.joined.quantised(found[self.attention], found),
            self.dtype,
        )

    @torch.no_grad()
    def forward(self, frames: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, 3, h, w]`` -> ``[runs * t, widths[3], h / 4, w / 4]``, without gaps."""
        frames = frames.to(self.dtype)
        maps = self.skeleton(channels_last(frames[:, :2]), runs)
        silhouettes = self.silhouette(channels_last(frames[:, 2:]), runs)
        out: torch.Tensor = self.joined(self.attention(silhouettes, maps), runs)
        return out.float()

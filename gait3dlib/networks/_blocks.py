"""Residual blocks on frames, on frames with a look along time, and on volumes.

Frames are ``[runs * t, c, h, w]``, ``runs`` stretches of ``t`` frames each (see :class:`Run`); volumes are
``[runs, c, t, h, w]``. ``keep`` ``[t]`` marks the gaps between walks by 0.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.networks._walks import blank, normed


class PixelConv(nn.Conv2d):
    """A 1x1 convolution of frames without bias.

    oneDNN's gradient of a 1x1 kernel with a stride writes past its memory where there are few channels (torch
    2.13, channels last), so the pixels in between are left out beforehand. A mean over one pixel does that
    exactly, and its gradient is one pass where that of a slice is two.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, inputs, h, w]`` -> ``[n, outputs, h / stride, w / stride]``."""
        if self.stride != (1, 1):
            x = functional.avg_pool2d(x, 1, self.stride)
        return functional.conv2d(x, self.weight)


class ConvNorm(nn.Module):
    """A convolution of frames without bias, and its batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = (
            PixelConv(inputs, outputs, stride)
            if kernel == 1
            else nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[n, inputs, h, w]`` -> ``[n, outputs, h / stride, w / stride]``."""
        return normed(self.norm, self.conv(x), keep)


class TimeConvNorm(nn.Module):
    """A convolution along time alone, over three frames, and its batch norm.

    It is a (3, 1, 1) kernel on a volume, computed as a (3, 1) kernel on an image of time by pixels: with
    channels last the two lie alike in memory, and frames need not be turned into volumes and back.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (3, 1), 1, (1, 0), bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor, runs: int, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, c, h, w]`` -> the same shape; gaps must be blank."""
        n, c, h, w = x.shape
        image = x.permute(0, 2, 3, 1).reshape(runs, n // runs, h * w, c).permute(0, 3, 1, 2)
        mixed = self.conv(image).permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return normed(self.norm, mixed, keep)


class VolumeConvNorm(nn.Module):
    """A convolution of volumes without bias, and its batch norm; the stride is spatial."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), kernel // 2, bias=False)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs, inputs, t, h, w]``, gaps blank -> ``[runs, outputs, t, h / stride, w / stride]``."""
        return normed(self.norm, self.conv(x), keep)


class FrameBlock(nn.Module):
    """Two 3x3 convolutions of single frames and a skip (He et al., CVPR 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs)
        self.skip = ConvNorm(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, inputs, h, w]`` -> ``[runs * t, outputs, h / stride, w / stride]``."""
        y = functional.relu(self.first(x, keep), inplace=True)
        skip = x if self.skip is None else self.skip(x, keep)
        return functional.relu(self.second(y, keep).add_(skip), inplace=True)


class PseudoVolumeBlock(nn.Module):
    """A frame block with a look at the frames before and after between its two convolutions.

    Pseudo-3D (Qiu et al., ICCV 2017) as in DeepGaitV2 (Fan et al., 2023).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.time = TimeConvNorm(outputs)
        self.second = ConvNorm(outputs, outputs)
        self.skip = ConvNorm(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, inputs, h, w]`` -> ``[runs * t, outputs, h / stride, w / stride]``."""
        y = blank(functional.relu(self.first(x, keep), inplace=True), keep)
        y = functional.relu(self.time(y, runs, keep).add_(y), inplace=True)
        skip = x if self.skip is None else self.skip(x, keep)
        return functional.relu(self.second(y, keep).add_(skip), inplace=True)


class VolumeBlock(nn.Module):
    """Two 3x3x3 convolutions and a skip, on volumes that are folded into frames outside of it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = VolumeConvNorm(inputs, outputs, 3, stride)
        self.second = VolumeConvNorm(outputs, outputs)
        self.skip = VolumeConvNorm(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, inputs, h, w]`` -> ``[runs * t, outputs, h / stride, w / stride]``."""
        x = blank(torch.unflatten(x, 0, (runs, -1)).transpose(1, 2), keep)
        y = blank(functional.relu(self.first(x, keep), inplace=True), keep)
        skip = x if self.skip is None else self.skip(x, keep)
        y = functional.relu(self.second(y, keep).add_(skip), inplace=True)
        return y.transpose(1, 2).flatten(0, 1)


class Stage(nn.ModuleList):
    """Blocks one after the other; only the first one changes width and size."""

    def __init__(
        self, block: type[nn.Module], inputs: int, outputs: int, depth: int, stride: int = 1
    ) -> None:
        first = block(inputs, outputs, stride)
        super().__init__([first, *(block(outputs, outputs, 1) for _ in range(depth - 1))])

    def forward(self, x: torch.Tensor, runs: int = 1, keep: torch.Tensor | None = None) -> torch.Tensor:
        """``[runs * t, inputs, h, w]`` -> ``[runs * t, outputs, h / stride, w / stride]``."""
        for block in self:
            x = block(x, runs, keep)
        return x

"""Convolutions with their batch norm folded in and what follows them fused: float32, bfloat16 and int8.

Each does, in one pass over memory, ``relu(conv(x) + bias + add)``, on channels-last maps, by oneDNN's kernels
with weights laid out beforehand (the operators that torch's own compiler emits for CPUs, called directly, so
that no input size is frozen and nothing is compiled). Where oneDNN is not, torch's plain convolution does it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.networks._blocks import ConvNorm, TimeConvNorm, VolumeConvNorm

UNSIGNED = 255  # the largest uint8
SIGNED = 127  # the largest int8; -128 is left out, so that weights are symmetric


class Levels(NamedTuple):
    """What a uint8 stands for: ``(value - zero) * scale``."""

    scale: float
    zero: int

    @staticmethod
    def spanning(low: float, high: float) -> Levels:
        """The finest that hold this range; a range from 0 keeps all 255 steps."""
        if low >= 0:
            return Levels(max(high, 1e-12) / UNSIGNED, 0)
        return Levels(max(-low, high, 1e-12) / SIGNED, SIGNED + 1)

    def coded(self, x: torch.Tensor) -> torch.Tensor:
        """Real numbers to uint8."""
        return (x / self.scale + self.zero).round_().clamp_(0, UNSIGNED).to(torch.uint8)

    def real(self, x: torch.Tensor) -> torch.Tensor:
        """uint8 to real numbers."""
        return (x.float() - self.zero) * self.scale


def folded(layer: ConvNorm | TimeConvNorm | VolumeConvNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the one convolution that equals a convolution and its batch norm in eval mode.

    Computed in float64: ``w * gamma / sqrt(var + eps)`` and ``beta - mean * gamma / sqrt(var + eps)``.
    """
    norm = layer.norm
    assert norm.running_var is not None and norm.running_mean is not None
    weight = layer.conv.weight.detach().double()
    gain = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    return weight * gain.view(-1, *[1] * (weight.ndim - 1)), bias


class Fused(nn.Module):
    """A convolution, its batch norm, an optional addition and ReLU, in float32 or bfloat16."""

    def __init__(
        self, layer: ConvNorm | TimeConvNorm | VolumeConvNorm, *, relu: bool = True, dtype: torch.dtype
    ) -> None:
        super().__init__()
        weight, bias = folded(layer)
        self.exact, self.relu = (weight, bias), relu
        self.stride = list(layer.conv.stride)
        self.padding = [int(side) for side in layer.conv.padding]
        self.ones = [1] * len(self.stride)
        self.weight, self.bias = channels_last(weight.to(dtype)), bias.to(dtype)
        here = weight.ndim == 4 and weight.device.type == "cpu"
        self.packed = here and bool(torch._C._has_mkldnn)
        if self.packed:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.weight = pack(self.weight, self.padding, self.stride, self.ones, 1)

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        """``relu(conv(x) + bias + add)``, or without the ReLU; channels last in and out."""
        if not self.packed:
            return self._plain(x, add)
        run = torch.ops.mkldnn._convolution_pointwise
        how = (self.weight, self.bias, self.padding, self.stride, self.ones, 1)
        out: torch.Tensor
        if add is None:
            out = run(x, *how, "relu" if self.relu else "none", [], "")
        else:
            out = run(x, add, *how, "add", 1.0, "relu" if self.relu else None, [], "")
        return out

    def _plain(self, x: torch.Tensor, add: torch.Tensor | None) -> torch.Tensor:
        convolve = functional.conv3d if self.weight.ndim == 5 else functional.conv2d
        out = convolve(x, self.weight, self.bias, self.stride, self.padding)
        if add is not None:
            out += add
        return out.relu_() if self.relu else out


class Quantised(nn.Module):
    """The same on uint8 maps with int8 weights, one scale an output channel; sums are held in int32.

    Args:
        fused: the convolution of frames, in float32.
        reads: levels of its input.
        gives: levels of its output; with a zero at 0 they end at 0 by themselves, as a ReLU does.
        adds: levels of what is added to it.
    """

    def __init__(self, fused: nn.Module, reads: Levels, gives: Levels, adds: Levels | None = None) -> None:
        super().__init__()
        assert isinstance(fused, Fused)
        weight, bias = fused.exact
        scale = (weight.abs().flatten(1).amax(dim=1).clamp_min(1e-12) / SIGNED).float()
        codes = (weight / scale.double().view(-1, 1, 1, 1)).round().clamp(-SIGNED, SIGNED).to(torch.int8)
        self.reads, self.gives, self.adds, self.relu = reads, gives, adds, fused.relu
        where = (fused.stride, fused.padding, fused.ones, 1)
        packed = torch.ops.onednn.qconv_prepack(codes, scale, *reads, *where, None)
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        self.how = (packed, scale, zeros)
        self.where = (bias.float(), *where)

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 channels last in and out; ``add`` is written over, unless it is ``x``."""
        run, out = torch.ops.onednn.qconv2d_pointwise, (*self.gives, torch.uint8)
        after = "relu" if self.relu else "none"
        answer: torch.Tensor
        if add is None or self.adds is None:
            answer = run(x, *self.reads, *self.how, *self.where, *out, after, [], "")
        else:
            held = add.clone() if add is x else add
            answer = run.binary(
                x, *self.reads, *self.how, held, *self.where, *out, *self.adds, "sum", 1.0, after, [], ""
            )
        return answer


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Frames or volumes with their channels side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)

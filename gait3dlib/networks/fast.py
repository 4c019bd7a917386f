"""The same network, several times faster: for answering, not for training.

::

    quick = fast(network, "bfloat16")
    embedding = quick(silhouettes, lengths)

Batch norms are folded into their convolutions, each convolution does its addition and ReLU in the same pass,
and weights are laid out for the chip beforehand. Walks of any length go in and come out as if alone, as
before.
"""

from __future__ import annotations

import copy
import platform
from typing import Literal, TypeVar, get_args

import torch
from torch import nn

from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.networks._blocks import VolumeBlock
from gait3dlib.networks._fast_trunks import FastTrunk, FastTwoStreamTrunk, FusedAttention
from gait3dlib.networks._fused import Fused, Levels
from gait3dlib.networks._parts import ImageNetwork
from gait3dlib.networks.deepgaitv2 import DeepTrunk, TwoStreamTrunk
from gait3dlib.networks.gaitbase import FrameTrunk

__all__ = ["Precision", "fast"]

Precision = Literal["float32", "bfloat16", "int8"]
Network = TypeVar("Network", bound=nn.Module)
TRUNKS = (FrameTrunk, DeepTrunk, TwoStreamTrunk)


def fast(
    network: Network, precision: Precision = "float32", calibration: torch.Tensor | None = None
) -> Network:
    """A copy of a network that answers the same, faster; the network itself stays as it is.

    Args:
        network: ``GaitBase``, ``LidarGait``, ``DeepGaitV2``, ``SkeletonGait`` or ``SkeletonGaitPP``.
        precision: ``float32``, the same to rounding; ``bfloat16``; or ``int8``, 8-bit maps and weights
            after training: one scale a map, one an output channel of the weights (Jacob et al., CVPR 2018).
            What lies behind the trunk stays in float32.
        calibration: walks ``[n, s, channels, h, w]`` in 0..1 that tell int8 how large every map gets; the
            more like those to come, the better. Drawn figures by default. Not read for other precisions.

    Raises:
        ConfigError: there is no such precision, the network has no fast form, or the machine has no
            arithmetic of that precision.
        InputError: the calibration walks do not fit the network.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision: {precision!r} is none{did_you_mean(precision, get_args(Precision))}")
    if not isinstance(network, ImageNetwork) or not isinstance(getattr(network, "trunk", None), TRUNKS):
        raise ConfigError(f"{type(network).__name__} has no fast form; use it as it is, without a precision")
    _need_arithmetic(network, precision)
    quick = copy.deepcopy(network).float().eval().requires_grad_(False)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    trunk = _fused(quick.trunk, dtype)
    quick.trunk = trunk
    if precision == "int8":
        walks = figures(quick.channels, quick.sizes[0]) if calibration is None else calibration
        quick.trunk = trunk.quantised(_observed(quick, walks))
    return quick


def figures(channels: int, size: tuple[int, int], frames: int = 8) -> torch.Tensor:
    """Drawn walkers to calibrate with, ``[2, frames, channels, h, w]``: filled ones and shaded ones.

    A head, a trunk and two legs that swing through one cycle; the shaded walker's brightness changes over
    the picture, another way in every channel, as it does in depth pictures and skeleton maps.
    """
    h, w = size
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(-0.5, 0.5, w) * w / h, indexing="ij")
    shapes = []
    for frame in range(frames):
        swing = 0.22 * torch.sin(torch.tensor(2 * torch.pi * frame / frames))
        head = (x**2 + (y - 0.09) ** 2) < 0.07**2
        trunk = (x / 0.12) ** 2 + ((y - 0.35) / 0.2) ** 2 < 1
        below = (y > 0.45) & (y < 0.98)
        legs = [below & ((x - side * swing * (y - 0.45) / 0.5).abs() < 0.06) for side in (-1, 1)]
        shapes.append(head | trunk | legs[0] | legs[1])
    filled = torch.stack(shapes).float()[:, None].expand(-1, channels, -1, -1)
    shades = torch.stack([0.6 + 0.4 * torch.sin(9 * y + 7 * x + 2 * channel) for channel in range(channels)])
    return torch.stack([filled, filled * shades])


def _fused(trunk: object, dtype: torch.dtype) -> FastTrunk | FastTwoStreamTrunk:
    if isinstance(trunk, TwoStreamTrunk):
        return FastTwoStreamTrunk.of(trunk, dtype)
    assert isinstance(trunk, FrameTrunk | DeepTrunk)
    return FastTrunk.of(trunk, dtype)


def _observed(network: nn.Module, walks: torch.Tensor) -> dict[nn.Module, Levels]:
    """How large the output of every convolution gets."""
    found: dict[nn.Module, tuple[float, float]] = {}

    def note(module: nn.Module, _: object, out: torch.Tensor) -> None:
        low, high = (float(value) for value in out.aminmax())
        before = found.get(module, (0.0, 0.0))
        found[module] = min(before[0], low), max(before[1], high)

    seen = [module for module in network.modules() if isinstance(module, Fused | FusedAttention)]
    hooks = [module.register_forward_hook(note) for module in seen]
    try:
        network(walks)
    finally:
        for hook in hooks:
            hook.remove()
    return {module: Levels.spanning(*span) for module, span in found.items()}


def _need_arithmetic(network: ImageNetwork, precision: Precision) -> None:
    """Refuse what the machine would only emulate.

    Raises:
        ConfigError: the chip, or this build of torch, has no arithmetic of that precision.
    """
    device = next(network.parameters()).device.type
    if precision == "float32" or (precision == "bfloat16" and device != "cpu"):
        return
    if precision == "bfloat16":
        if not _has("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            raise ConfigError("precision: this chip has no bfloat16 arithmetic; use float32")
        return
    if device != "cpu":
        raise ConfigError(f"precision: int8 runs on the CPU, and the network is on {device}; use bfloat16")
    if not _has("_is_vnni_supported") or not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        raise ConfigError("precision: this chip or torch has no fast int8 arithmetic; use float32")
    if any(isinstance(module, VolumeBlock) for module in network.modules()):
        raise ConfigError("precision: torch has no fused int8 convolution of volumes; use bfloat16")


def _has(*marks: str) -> bool:
    """Whether torch finds one of these in the chip; chips other than x86 are told by oneDNN."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return marks[0] != "_is_vnni_supported" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return any(getattr(torch.cpu, mark, bool)() for mark in marks)

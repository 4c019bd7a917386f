"""Published networks as encoders: a modality of images may take one by name instead of the strip encoder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from gait3dlib.config import build, check
from gait3dlib.errors import ConfigError
from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.modalities._pose_supervisor import SeesPoses
from gait3dlib.modalities._stride_strips import StrideStrips
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.networks import (
    DeepGaitV2,
    GaitBase,
    GaitGL,
    GaitPart,
    GaitSet,
    ImageNetwork,
    SkeletonGait,
    SkeletonGaitPP,
)
from gait3dlib.types import Tokens

NETWORKS: Mapping[str, type[ImageNetwork]] = {
    "deepgaitv2": DeepGaitV2,
    "gaitbase": GaitBase,
    "gaitgl": GaitGL,
    "gaitpart": GaitPart,
    "gaitset": GaitSet,
    "skeletongait": SkeletonGait,
    "skeletongait_pp": SkeletonGaitPP,
}
STRIPS: Mapping[str, type[StripEncoder | StrideStrips]] = {
    "strips": StripEncoder,
    "motion": MotionStrips,
    "stride": StrideStrips,
}
_SETS = ("gaitbase", "gaitset", "strips")  # to these a walk is a set of frames
_DECIDED = ("channels", "embedding", "classes", "separate_neck", "neck")  # by the modality


class NetworkEncoder(nn.Module):
    """Frames ``[b, T, channels, 64, 44]`` uint8 -> one token a part of the network's embedding.

    Args:
        network: its embedding has as many channels as a token.
        dim: size of a token.
    """

    def __init__(self, network: ImageNetwork, dim: int) -> None:
        super().__init__()
        self.network = network
        height = torch.tensor(network.heights)
        self.register_buffer("height", height, persistent=False)
        # what centres the tokens, set when training ends (see absorb)
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.register_buffer("scale", torch.ones(len(height), dim))
        self.register_buffer("offset", torch.zeros(len(height), dim))

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, parts, dim]``; walks without the modality get zeros and ``real`` False."""
        present = batch.present
        values = self.offset.new_zeros(len(batch), *self.offset.shape)
        if present.any():
            frames = batch.frames[present].to(values.dtype).div(255)
            embedding = self.network(frames, batch.lengths[present]).transpose(1, 2).to(values.dtype)
            values = values.index_put((present,), embedding * self.scale + self.offset)
        real = present[:, None].expand(-1, values.shape[1])
        height: torch.Tensor = self.height  # type: ignore[assignment]
        return Tokens(values, real, height, torch.full(real.shape, torch.nan, device=values.device))

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder, as :meth:`StripEncoder.absorb`."""
        scale, shift = (part.view_as(self.offset) for part in scale_and_shift(norm))
        with torch.no_grad():
            self.offset.mul_(scale).add_(shift)
            self.scale.mul_(scale)


class ImageModality(SeesPoses):
    """A modality of images 64 x 44 with the settings ``encoder``, ``width``, ``strips`` and ``network``.

    ``encoder`` names the network; ``width`` and ``strips`` are of the strip encoder, ``network`` holds the
    keywords of any other.
    """

    channels: ClassVar[int]
    ours: ClassVar[tuple[str, ...]] = tuple(STRIPS)  # encoders that `width` and `strips` are of
    width: int
    strips: int
    network: dict[str, Any] | None

    def choose(self, encoder: str, width: int, strips: int, network: dict[str, Any] | None) -> None:
        """Keep the settings of the encoder.

        Raises:
            ConfigError: settings of an encoder that was not chosen, or that the chosen one has not.
        """
        # the setting has the name that users write; as a property the method of the same name comes first
        vars(self)["encoder"] = encoder
        self.width, self.strips, self.network = width, strips, None
        if encoder in self.ours:
            if network is not None:
                raise ConfigError(f"network: {encoder!r} has width and strips; choose another encoder")
            return
        self.network = None if network is None else check_network(encoder, network)
        defaults = inspect.signature(type(self)).parameters
        for name, value in (("width", width), ("strips", strips)):
            if value != defaults[name].default:
                raise ConfigError(f"{name}: of the strip encoder; give those of {encoder!r} in network")

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether the encoder looks along time."""
        flat = (self.network or {}).get("mode") == "2d"
        return vars(self)["encoder"] not in _SETS and not flat

    @property
    def encoder(self) -> Callable[[int], nn.Module]:
        """The chosen encoder, to be called with the size of a token."""
        return self._build

    def _build(self, dim: int) -> nn.Module:
        chosen = vars(self)["encoder"]
        if chosen in STRIPS:
            return STRIPS[chosen](self.channels, dim, self.width, self.strips)
        return network_encoder(chosen, self.network or {}, self.channels, dim)


def check_network(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keywords of a network before anything runs; returns them as JSON would give them back.

    Raises:
        ConfigError: unknown, of the wrong type, or decided by the modality.
    """
    for key in settings:
        if key in _DECIDED:
            raise ConfigError(f"network.{key}: decided by the modality; leave it out")
    checked = check(NETWORKS[name], settings, "network")
    # one spelling, in one order: caches and fingerprints are made from it
    plain: dict[str, Any] = json.loads(json.dumps({key: checked[key] for key in sorted(settings)}))
    return plain


def network_encoder(name: str, settings: Mapping[str, Any], channels: int, dim: int) -> NetworkEncoder:
    """A network by name, for images of so many channels, with tokens of size ``dim``."""
    made = NETWORKS[name]
    given = {**settings, "embedding": dim}
    if "channels" in inspect.signature(made).parameters:
        given["channels"] = channels
    return NetworkEncoder(build(made, given, "network"), dim)

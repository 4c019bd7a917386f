"""The ``depth`` modality: how far each part of the walker lies before or behind the others; and the outline.

Seen from the front, a silhouette cannot tell a belly or a stoop; depth can. It reads a depth sensor, or
relative depth that an estimator made from colour: :func:`with_estimated_depth`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from torch import nn

from gait3dlib.config import Count, NotNegative, build, check
from gait3dlib.errors import ConfigError
from gait3dlib.modalities._base import Frames, Sample, seconds
from gait3dlib.modalities._depth_estimator import DepthEstimator, OnnxDepth, with_estimated_depth
from gait3dlib.modalities._depth_frames import depth_frames, silhouette_of
from gait3dlib.modalities._depth_network import DepthEncoder, DepthTrunk
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._picture_paths import DepthPatches
from gait3dlib.modalities._pose_supervisor import SeesPoses
from gait3dlib.types import STREAM_SPECS, GaitSequence, Stream

__all__ = ["Depth", "DepthEstimator", "OnnxDepth", "with_estimated_depth"]

WIDTH = 192  # channels of "paths"


class Depth(SeesPoses):
    """Depth and silhouette, registered by their boxes, 64 x 44.

    Depth in millimetres or metres is a sensor's: each pixel's distance to the person's median, in metres.
    Depth in units "1" is an estimator's: its scale and shift mean nothing, larger is farther. Where a walk
    has no silhouettes they are made from depth in which the person was cut out.

    Args:
        encoder: "branches", one for each of the two and one that draws on both (DepthGait); or "paths", the
            pose over time.
        width: channels of "paths".
        strips: body strips, one token each, and divides 16; tokens of "paths".
        network: of "branches", keywords of :class:`~gait3dlib.modalities._depth_network.DepthTrunk`; small
            by default.
        tolerance_s: how far apart depth and silhouette of one instant may lie.
    """

    streams = (STREAM_SPECS["silhouette"], STREAM_SPECS["depth"])
    derives_from = ("depth",)
    frames_are: ClassVar[Frames] = "depth"

    def __init__(
        self,
        *,
        encoder: Literal["branches", "paths"] = "branches",
        width: Count = WIDTH,
        strips: Count = 16,
        network: dict[str, Any] | None = None,
        tolerance_s: NotNegative = 0.06,
    ) -> None:
        # the setting has the name that users write; as a property the method of the same name comes first
        vars(self)["encoder"] = encoder
        self.width = width
        self.strips = strips
        self.network = None
        if encoder == "branches" and width != WIDTH:
            raise ConfigError('width: of "paths"; "branches" has widths in network')
        if network is not None:
            if encoder == "paths":
                raise ConfigError('network: of branches; "paths" has width and strips')
            check(DepthTrunk, network, "network")
            self.network = {key: _plain(network[key]) for key in sorted(network)}
        self.tolerance_s = tolerance_s

    def derive(self, seq: GaitSequence) -> Stream | None:
        """Silhouettes from depth in which the person was cut out."""
        return silhouette_of(seq.streams["depth"]) if "depth" in seq.streams else None

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 3, 64, 44]``: silhouette, and relief in two bytes; other instants are left out.

        Raises:
            InputError: nothing says how depth and silhouette lie to each other.
        """
        silhouette = seq.streams["silhouette"]
        frames, kept = depth_frames(silhouette, seq.streams["depth"], self.tolerance_s)
        if not len(kept):
            return None
        return Sample(frames, seconds(seq, silhouette)[kept], ("silhouette", "depth"))

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether the encoder looks along time; to "branches" a walk is a set of frames."""
        return bool(vars(self)["encoder"] == "paths")

    @property
    def encoder(self) -> Callable[[int], nn.Module]:
        """The chosen encoder, to be called with the size of a token."""
        return self._build

    def _build(self, dim: int) -> nn.Module:
        if self.ordered:
            return PathEncoder(self.width, dim, self.width, self.strips, DepthPatches(self.width))
        settings = check(DepthTrunk, self.network or {}, "network")
        trunk = build(DepthTrunk, self.network or {}, "network")
        return DepthEncoder(dim, self.strips, trunk, settings["widths"][-1])


def _plain(value: Any) -> Any:
    """One spelling, as JSON would give it back: caches and fingerprints are made from it."""
    return list(value) if isinstance(value, tuple) else value

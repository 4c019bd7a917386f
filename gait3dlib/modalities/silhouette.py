"""The ``silhouette`` modality: the outline of the walker, size-normalised, frame by frame."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from gait3dlib.config import Count
from gait3dlib.modalities._base import Sample, seconds
from gait3dlib.modalities._image_networks import STRIPS, ImageModality
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._picture_paths import Patches
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.types import STREAM_SPECS, GaitSequence


class Silhouette(ImageModality):
    """Silhouettes normalised to 64 x 44 (the field's convention), encoded strip by strip.

    Args:
        encoder: "strips", a set of frames; "motion", the same with an eye for movement; "paths", the pose
            over time; "stride", both of these; or a published network (see :mod:`gait3dlib.networks`).
        width: channels of the first stage of "strips", "motion" and "stride", of all stages of "paths".
        strips: body strips of these, one token each; divides 16. Tokens of "paths".
        network: keywords of a published network, such as its widths and depths.
    """

    streams = (STREAM_SPECS["silhouette"],)
    channels = 1
    ours = (*STRIPS, "paths")

    def __init__(
        self,
        *,
        encoder: Literal[
            "strips", "motion", "stride", "paths", "gaitbase", "deepgaitv2", "gaitset", "gaitpart", "gaitgl"
        ] = "strips",
        width: Count = 24,
        strips: Count = 16,
        network: dict[str, Any] | None = None,
    ) -> None:
        self.choose(encoder, width, strips, network)

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 1, 64, 44]``; frames that show almost nobody are left out."""
        stream = seq.streams["silhouette"]
        frames, kept = normalise_silhouettes(stream.data)
        if not len(kept):
            return None
        return Sample(cut_sides(frames)[:, None], seconds(seq, stream)[kept], ("silhouette",))

    def _build(self, dim: int) -> nn.Module:
        if vars(self)["encoder"] != "paths":
            return super()._build(dim)
        return PathEncoder(
            self.width, dim, self.width, self.strips, Patches(self.channels, self.width, self.width)
        )

"""The ``silhouette`` modality: the outline of the walker, size-normalised, frame by frame."""

from __future__ import annotations

from typing import Any, Literal

from gait3dlib.config import Count
from gait3dlib.modalities._base import Sample, seconds
from gait3dlib.modalities._image_networks import ImageModality
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.types import STREAM_SPECS, GaitSequence


class Silhouette(ImageModality):
    """Silhouettes normalised to 64 x 44 (the field's convention), encoded strip by strip.

    Args:
        encoder: "strips", a set of frames; "motion", the same with an eye for movement; "stride", with one
            for the pose as well; or a published network (see :mod:`gait3dlib.networks`).
        width: channels of the first stage of the first three.
        strips: body strips of the first three, one token each; divides 16.
        network: keywords of a published network, such as its widths and depths.
    """

    streams = (STREAM_SPECS["silhouette"],)
    channels = 1

    def __init__(
        self,
        *,
        encoder: Literal[
            "strips", "motion", "stride", "gaitbase", "deepgaitv2", "gaitset", "gaitpart", "gaitgl"
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

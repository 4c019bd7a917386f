"""The ``silhouette`` modality: the outline of the walker, size-normalised, frame by frame."""

from __future__ import annotations

from torch import nn

from gait3dlib.config import Count
from gait3dlib.modalities._base import Modality, Sample, seconds
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.types import STREAM_SPECS, GaitSequence


class Silhouette(Modality):
    """Silhouettes normalised to 64 x 44 (the field's convention), encoded strip by strip.

    Args:
        width: channels of the encoder's first stage.
        strips: body strips, one token each; divides 16.
    """

    streams = (STREAM_SPECS["silhouette"],)

    def __init__(self, *, width: Count = 24, strips: Count = 16) -> None:
        self.width = width
        self.strips = strips

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 1, 64, 44]``; frames that show almost nobody are left out."""
        stream = seq.streams["silhouette"]
        frames, kept = normalise_silhouettes(stream.data)
        if not len(kept):
            return None
        return Sample(cut_sides(frames)[:, None], seconds(seq, stream)[kept], ("silhouette",))

    def encoder(self, dim: int) -> nn.Module:
        """A :class:`StripEncoder` on one channel."""
        return StripEncoder(1, dim, self.width, self.strips)

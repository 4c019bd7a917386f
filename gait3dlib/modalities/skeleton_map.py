"""The ``skeleton_map`` modality: keypoints drawn as Gaussian maps of limbs and joints.

Fan et al., SkeletonGait, AAAI 2024: what clothes hide from a silhouette, a skeleton may still show.
"""

from __future__ import annotations

from torch import nn

from gait3dlib.config import Count, Positive
from gait3dlib.modalities._base import Modality, Sample, seconds
from gait3dlib.modalities._silhouettes import cut_sides
from gait3dlib.modalities._skeleton_maps import skeleton_maps
from gait3dlib.modalities._strips import StripEncoder
from gait3dlib.perception.layouts import coco17
from gait3dlib.types import STREAM_SPECS, GaitSequence


class SkeletonMap(Modality):
    """Skeleton maps of 2 x 64 x 44 (limbs, joints), encoded strip by strip.

    Args:
        width: channels of the encoder's first stage.
        strips: body strips, one token each; divides 16.
        sigma: spread of the Gaussians in pixels of the 128 x 128 canvas.
    """

    streams = (STREAM_SPECS["keypoints"],)

    def __init__(self, *, width: Count = 24, strips: Count = 16, sigma: Positive = 8.0) -> None:
        self.width = width
        self.strips = strips
        self.sigma = sigma

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 2, 64, 44]``; frames without a usable skeleton are left out."""
        stream = seq.streams["keypoints"]
        maps, kept = skeleton_maps(coco17(stream.data, stream.layout or ""), sigma=self.sigma)
        if not len(kept):
            return None
        return Sample(cut_sides(maps), seconds(seq, stream)[kept], ("keypoints",))

    def encoder(self, dim: int) -> nn.Module:
        """A :class:`StripEncoder` on two channels."""
        return StripEncoder(2, dim, self.width, self.strips)

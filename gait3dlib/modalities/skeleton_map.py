"""The ``skeleton_map`` modality: keypoints drawn as Gaussian maps of limbs and joints.

Fan et al., SkeletonGait, AAAI 2024: what clothes hide from a silhouette, a skeleton may still show.
"""

from __future__ import annotations

from typing import Any, Literal

from gait3dlib.config import Count, Positive
from gait3dlib.modalities._base import Sample, seconds
from gait3dlib.modalities._image_networks import ImageModality
from gait3dlib.modalities._silhouettes import cut_sides
from gait3dlib.modalities._skeleton_maps import skeleton_maps
from gait3dlib.perception.layouts import coco17
from gait3dlib.types import STREAM_SPECS, GaitSequence


class SkeletonMap(ImageModality):
    """Skeleton maps of 2 x 64 x 44 (limbs, joints), encoded strip by strip.

    Args:
        encoder: "strips", a set of frames; "motion", the same with an eye for movement; or a published
            network (see :mod:`gait3dlib.networks`).
        width: channels of the first stage of "strips" and "motion".
        strips: body strips of "strips" and "motion", one token each; divides 16.
        network: keywords of a published network, such as its widths and depths.
        sigma: spread of the Gaussians in pixels of the 128 x 128 canvas.
    """

    streams = (STREAM_SPECS["keypoints"],)
    channels = 2

    def __init__(
        self,
        *,
        encoder: Literal[
            "strips", "motion", "skeletongait", "gaitbase", "gaitset", "gaitpart", "gaitgl"
        ] = "strips",
        width: Count = 24,
        strips: Count = 16,
        network: dict[str, Any] | None = None,
        sigma: Positive = 8.0,
    ) -> None:
        self.choose(encoder, width, strips, network)
        self.sigma = sigma

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 2, 64, 44]``; frames without a usable skeleton are left out."""
        stream = seq.streams["keypoints"]
        maps, kept = skeleton_maps(coco17(stream.data, stream.layout or ""), sigma=self.sigma)
        if not len(kept):
            return None
        return Sample(cut_sides(maps), seconds(seq, stream)[kept], ("keypoints",))

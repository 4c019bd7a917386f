"""The ``skeleton_map`` modality: keypoints drawn as Gaussian maps of limbs and joints, or as they are.

Fan et al., SkeletonGait, AAAI 2024: what clothes hide from a silhouette, a skeleton may still show.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from gait3dlib.config import Count, Positive
from gait3dlib.modalities._base import Frames, Sample, seconds
from gait3dlib.modalities._image_networks import STRIPS, ImageModality
from gait3dlib.modalities._key_points import VALUES, key_point_frames
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._silhouettes import cut_sides
from gait3dlib.modalities._skeleton_maps import skeleton_maps
from gait3dlib.perception.layouts import coco17
from gait3dlib.types import STREAM_SPECS, GaitSequence


class SkeletonMap(ImageModality):
    """Skeleton maps of 2 x 64 x 44 (limbs, joints), encoded strip by strip.

    Args:
        encoder: "strips", a set of maps; "motion", the same with an eye for movement; "stride", with one for
            the pose as well; a published network (see :mod:`gait3dlib.networks`); or "paths", which draws no
            maps but reads where the points go.
        width: channels of the first stage of "strips", "motion" and "stride", of all stages of "paths".
        strips: body strips of these, one token each; divides 16. Tokens of "paths".
        network: keywords of a published network, such as its widths and depths.
        sigma: spread of the Gaussians in pixels of the 128 x 128 canvas.
    """

    streams = (STREAM_SPECS["keypoints"],)
    channels = 2
    ours = (*STRIPS, "paths")

    def __init__(
        self,
        *,
        encoder: Literal[
            "strips", "motion", "stride", "paths", "skeletongait", "gaitbase", "gaitset", "gaitpart", "gaitgl"
        ] = "strips",
        width: Count = 24,
        strips: Count = 16,
        network: dict[str, Any] | None = None,
        sigma: Positive = 8.0,
    ) -> None:
        self.choose(encoder, width, strips, network)
        self.sigma = sigma

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 2, 64, 44]``, for "paths" float32 ``[T, 18, 3]``; frames without a usable skeleton are
        left out."""
        stream = seq.streams["keypoints"]
        if self._paths:
            frames, found = key_point_frames(coco17(stream.data, stream.layout or ""))
            return Sample(frames, seconds(seq, stream)[found], ("keypoints",)) if len(found) else None
        maps, kept = skeleton_maps(coco17(stream.data, stream.layout or ""), sigma=self.sigma)
        if not len(kept):
            return None
        return Sample(cut_sides(maps), seconds(seq, stream)[kept], ("keypoints",))

    @property
    def frames_are(self) -> Frames:  # type: ignore[override]
        """Pictures, or joints."""
        return "joints" if self._paths else "images"

    def _build(self, dim: int) -> nn.Module:
        return PathEncoder(VALUES, dim, self.width, self.strips) if self._paths else super()._build(dim)

    @property
    def _paths(self) -> bool:
        return bool(vars(self)["encoder"] == "paths")

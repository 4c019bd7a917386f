"""The ``skeleton_silhouette`` modality: skeleton maps and silhouettes of the same instants, in one encoder.

SkeletonGait++ (Fan et al., AAAI 2024) weighs the two against each other pixel by pixel, before anything looks
along time. The modalities ``silhouette`` and ``skeleton_map`` meet later, in the fusion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gait3dlib.config import NotNegative, Positive
from gait3dlib.modalities._base import Modality, Sample, seconds
from gait3dlib.modalities._image_networks import check_network, network_encoder
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.modalities._skeleton_maps import skeleton_maps
from gait3dlib.perception.layouts import coco17
from gait3dlib.types import STREAM_SPECS, GaitSequence, align

# a quarter of the published widths, and one block a stage: within the size of a shipped encoder
_SMALL = {"widths": [16, 32, 64, 128], "depths": [1, 1, 1, 1]}


class SkeletonSilhouette(Modality):
    """Limbs, joints and silhouette, 3 x 64 x 44, encoded by SkeletonGait++.

    Args:
        network: keywords of :class:`gait3dlib.networks.SkeletonGaitPP`; a small one by default.
        sigma: spread of the Gaussians in pixels of the 128 x 128 canvas.
        tolerance_s: how far apart keypoints and silhouette of one instant may lie.
    """

    streams = (STREAM_SPECS["keypoints"], STREAM_SPECS["silhouette"])
    ordered = True

    def __init__(
        self,
        *,
        network: dict[str, Any] | None = None,
        sigma: Positive = 8.0,
        tolerance_s: NotNegative = 0.02,
    ) -> None:
        self.network = None if network is None else check_network("skeletongait_pp", network)
        self.sigma = sigma
        self.tolerance_s = tolerance_s

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """uint8 ``[T, 3, 64, 44]``; instants without a usable skeleton and silhouette are left out."""
        keypoints, silhouette = seq.streams["keypoints"], seq.streams["silhouette"]
        pairs = align({"keypoints": keypoints, "silhouette": silhouette}, self.tolerance_s)
        maps, drawn = skeleton_maps(coco17(keypoints.data, keypoints.layout or ""), sigma=self.sigma)
        frames, seen = normalise_silhouettes(silhouette.data)
        # where each frame of the streams lies among those that were usable, or -1
        of_map, of_frame = _places(drawn, len(keypoints)), _places(seen, len(silhouette))
        first, second = of_map[pairs["keypoints"]], of_frame[pairs["silhouette"]]
        usable = (first >= 0) & (second >= 0)
        usable[1:] &= np.diff(pairs["keypoints"]) > 0  # one instant of keypoints, once
        if not usable.any():
            return None
        images = np.concatenate([maps[first[usable]], frames[second[usable]][:, None]], axis=1)
        t_s = seconds(seq, keypoints)[pairs["keypoints"][usable]]
        return Sample(cut_sides(images), t_s, ("keypoints", "silhouette"))

    def encoder(self, dim: int) -> nn.Module:
        """SkeletonGait++ on three channels."""
        return network_encoder("skeletongait_pp", _SMALL if self.network is None else self.network, 3, dim)


def _places(kept: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    places = np.full(count, -1, np.int64)
    places[kept] = np.arange(len(kept))
    return places

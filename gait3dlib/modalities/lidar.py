"""The ``lidar`` modality: a walker's points, in metres, by day and by night."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import nn

from gait3dlib.config import Count, Positive
from gait3dlib.modalities._base import Frames, Sample, seconds
from gait3dlib.modalities._lidar_paths import PointPictures
from gait3dlib.modalities._lidar_points import PointEncoder
from gait3dlib.modalities._lidar_range import RangeViewEncoder
from gait3dlib.modalities._lidar_sparse import SparseEncoder
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._point_frames import point_frames
from gait3dlib.modalities._pose_supervisor import SeesPoses
from gait3dlib.types import STREAM_SPECS, GaitSequence


class Lidar(SeesPoses):
    """Points in the walker's own frame, encoded by slices of metric height.

    Intensity is left out: it tells the cloth and the sensor, not the walk.

    Args:
        encoder: "sparse" convolves cells of space and time, "points" groups neighbours (LidarGait++),
            "range_view" draws what the sensor sees (LidarGait), "paths" sees the pose over time.
        points: of a frame; more are thinned out evenly, fewer are repeated.
        width: channels of the encoder's first stage.
        strips: slices of height from the ground to 2 m, one token each; divides 16 for "range_view".
            Tokens of "paths", which are of the whole body.
        voxel_m: side of a cell of "sparse".
    """

    streams = (STREAM_SPECS["points"],)
    frames_are: ClassVar[Frames] = "points"

    def __init__(
        self,
        *,
        encoder: Literal["sparse", "points", "range_view", "paths"] = "sparse",
        points: Count = 256,
        width: Count = 24,
        strips: Count = 16,
        voxel_m: Positive = 0.0625,
    ) -> None:
        # the setting has the name that users write; as a property the method of the same name comes first
        vars(self)["encoder"] = encoder
        self.points = points
        self.width = width
        self.strips = strips
        self.voxel_m = voxel_m

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether the encoder looks along time; to "points" and "range_view" a walk is a set of frames."""
        return vars(self)["encoder"] in ("sparse", "paths")

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """float32 ``[T, 1 + points, 3]``: the sensor's place, then points; frames with too few are left out.

        Raises:
            InputError: the points are not in metres.
        """
        stream = seq.streams["points"]
        assert stream.offsets is not None
        t_s = seconds(seq, stream)
        frames, kept = point_frames(stream.data, stream.offsets, t_s, self.points)
        return Sample(frames, t_s[kept], ("points",)) if len(kept) else None

    @property
    def encoder(self) -> Callable[[int], nn.Module]:
        """The chosen encoder, to be called with the size of a token."""
        return self._build

    def _build(self, dim: int) -> nn.Module:
        chosen = vars(self)["encoder"]
        if chosen == "points":
            return PointEncoder(dim, self.points, self.width, self.strips)
        if chosen == "range_view":
            return RangeViewEncoder(dim, self.width, self.strips)
        if chosen == "paths":
            front = PointPictures(self.width)
            return PathEncoder(self.width, dim, self.width, self.strips, front)
        return SparseEncoder(dim, self.voxel_m, self.width, self.strips)

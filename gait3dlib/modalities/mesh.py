"""The ``mesh`` modality: how the body turns its joints, and of what shape it is.

From a fitted body (the stream `smpl`) where a walk has one. From silhouettes alone where it has none:
Mesh-Gait (Wang et al., arXiv 2510.10406) sees joints and markers of the body as heat in space, and learns to
from the bodies of simulated walkers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gait3dlib.config import Count
from gait3dlib.modalities._base import Batch, Modality, Sample, seconds
from gait3dlib.modalities._mesh_encoder import MeshEncoder, Source
from gait3dlib.modalities._mesh_poses import VALUES, pose_frames
from gait3dlib.modalities._mesh_supervisor import MeshSupervisor
from gait3dlib.modalities._mesh_truth import told
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.recording import Truth
from gait3dlib.types import NS_PER_S, STREAM_SPECS, GaitSequence


class Mesh(Modality):
    """Poses and shape of a fitted body, or what silhouettes tell of them.

    Args:
        source: "silhouette" or "smpl", the one stream that is read; or "either": the `smpl` stream where a
            walk has one (``gait3d derive --stream smpl``), else its silhouettes. An encoder must have been
            trained on what it reads.
        width: channels of the first stage of the silhouettes' trunk.
        strips: body strips, one token each, and one more for the shape; divides 16.
        depth: slices of the volumes in which joints and markers are found.
        pose_width: features of a joint of a fitted body.
    """

    streams = (STREAM_SPECS["smpl"],)
    derives_from = ("silhouette",)

    def __init__(
        self,
        *,
        source: Source = "either",
        width: Count = 24,
        strips: Count = 16,
        depth: Count = 8,
        pose_width: Count = 24,
    ) -> None:
        self.source: Source = source
        self.width, self.strips, self.depth, self.pose_width = width, strips, depth, pose_width

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether the encoder looks along time: at fitted bodies it does, at silhouettes it does not."""
        return self.source != "silhouette"

    def sample(self, seq: GaitSequence) -> Sample | None:
        """The prepared sample, or None when the walk holds nothing that is read."""
        return self.prepare(seq)

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """float32 ``[T, 165]`` of a fitted body at 30 Hz, or uint8 ``[T, 1, 64, 44]`` of silhouettes."""
        if self.source != "silhouette" and "smpl" in seq.streams:
            frames, t_ns = pose_frames(seq.streams["smpl"])
            return Sample(frames, ((t_ns - seq.start_ns) / NS_PER_S).astype(np.float32), ("smpl",))
        if self.source != "smpl" and "silhouette" in seq.streams:
            stream = seq.streams["silhouette"]
            pictures, kept = normalise_silhouettes(stream.data)
            if len(kept):
                return Sample(cut_sides(pictures)[:, None], seconds(seq, stream)[kept], ("silhouette",))
        return None

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Pad to the longest. Where some walks are silhouettes and others fitted bodies, all become pictures
        of float32, and a fitted body fills the first of its pixels and leaves the others negative."""
        if len({s.frames.shape[1:] for s in samples if s is not None}) < 2:
            return super().collate(samples)
        return super().collate([None if s is None else _as_picture(s) for s in samples])

    def encoder(self, dim: int) -> nn.Module:
        """A :class:`~gait3dlib.modalities._mesh_encoder.MeshEncoder`."""
        return MeshEncoder(dim, self.source, self.width, self.strips, self.depth, self.pose_width)

    def supervisor(self) -> nn.Module | None:
        """Joints, markers and mesh of simulated walkers; nothing of it is needed after training."""
        return None if self.source == "smpl" else MeshSupervisor()

    def told(self, seq: GaitSequence, t_s: NDArray[np.float32], truth: Truth) -> NDArray[np.float32] | None:
        """See :func:`~gait3dlib.modalities._mesh_truth.told`; of a fitted body there is nothing to tell."""
        if self.source == "smpl" or (self.source == "either" and "smpl" in seq.streams):
            return None
        return told(seq, t_s, truth)


def _as_picture(sample: Sample) -> Sample:
    frames = sample.frames.astype(np.float32)
    if frames.ndim == 2:
        picture = np.full((len(frames), 64 * 44), -1, np.float32)
        picture[:, :VALUES] = frames
        frames = picture.reshape(-1, 1, 64, 44)
    return Sample(frames, sample.t_s, sample.used)

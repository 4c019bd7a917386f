"""The ``force`` modality: how somebody's joints move, and the forces that move them.

Two people may have the same bones and the same mean pose and differ in when and how hard they push off. That
is hardly to be seen, but it stands in the second derivative of the motion. Graph and time are convolved as in
ST-GCN (Yan et al., AAAI 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from torch import nn

from gait3dlib.body import Body
from gait3dlib.config import Count, Positive
from gait3dlib.modalities._base import Frames, Sample
from gait3dlib.modalities._body_graph import BodyGraphEncoder
from gait3dlib.modalities._forces import CHANNELS, ROWS, Motion, drawn, even_motion, forces_of, sampled
from gait3dlib.modalities._paths import PathEncoder
from gait3dlib.modalities._pose_supervisor import SeesPoses
from gait3dlib.types import NS_PER_S, STREAM_SPECS, GaitSequence, Stream

F64 = np.typing.NDArray[np.float64]
LOADS = ("force", "ground_reaction")
TOKENS = 8  # of "paths"


class Force(SeesPoses):
    """Places, bones, forces, moments and powers of the 24 joints, and the reaction of the ground.

    It reads `joints`; where a walk has none that tell hips, knees, ankles and feet, the joints of its `smpl`
    stream (``gait3d derive --stream smpl``). Forces are those of the streams `force` and `ground_reaction`
    where the walk has both, and else follow by :func:`gait3dlib.dynamics.inverse_dynamics`. All is drawn in
    the heading of the pelvis, so where a walk goes to changes nothing.

    Args:
        channels: "all"; or "joints", the same network without what says of forces.
        encoder: "tree", graph convolutions along the bones; or "paths", all joints at once over time.
        width: features of a joint, or channels of "paths".
        cutoff_hz: of the low-pass before differentiation. 3 Hz brings forces from the trembling joints of a
            depth camera nearest to the true ones; for a motion-capture laboratory 6 is usual.
        graph: "dense", a matrix product; or "geometric", torch-geometric's message passing (extra `force`).
            Both give the same numbers; for 24 joints the product is faster and needs no other package. Of
            "tree" only.
    """

    streams = (STREAM_SPECS["joints"],)
    derives_from = ("smpl",)
    ordered = True

    def __init__(
        self,
        *,
        channels: Literal["all", "joints"] = "all",
        encoder: Literal["tree", "paths"] = "tree",
        width: Count = 32,
        cutoff_hz: Positive = 3.0,
        graph: Literal["dense", "geometric"] = "dense",
    ) -> None:
        # the setting has the name that users write; as a property the method of the same name comes first
        vars(self)["encoder"] = encoder
        self.channels = channels
        self.width = width
        self.cutoff_hz = cutoff_hz
        self.graph = graph

    def derive(self, seq: GaitSequence) -> Stream | None:
        """The joints of a body that was fitted before; None where there is none, or one of SMPL's own."""
        stream = seq.streams.get("smpl")
        if stream is None or stream.layout == "smpl":
            return None
        numbers = np.median(stream.data[:, 75:].astype(np.float64), axis=0)
        body = Body.load("low").from_numbers(numbers)
        joints = body.pose_joints(stream.data[:, 3:75].reshape(-1, 24, 3), stream.data[:, :3])
        return Stream(joints, stream.t_ns, "m")

    def sample(self, seq: GaitSequence) -> Sample | None:
        """As every modality's; joints that do not tell the legs count as missing where a body was fitted."""
        joints = seq.streams.get("joints")
        if joints is not None and "smpl" in seq.streams and even_motion(joints) is None:
            seq = seq.without("joints")
        return super().sample(seq)

    def prepare(self, seq: GaitSequence) -> Sample | None:
        """float32 ``[T, 26, 15]`` at 30 Hz, see :func:`~gait3dlib.modalities._forces.drawn`.

        Raises:
            InputError: the joints are not of a person's size in metres.
        """
        motion = even_motion(seq.streams["joints"])
        if motion is None:
            return None
        used, loads = ["joints"], None
        if self.channels == "all":
            loads = _given(seq, motion)
            if loads is not None:
                used += LOADS
            else:
                loads = forces_of(motion, self.cutoff_hz)
        frames, t_ns = drawn(motion, loads)
        return Sample(frames, ((t_ns - seq.start_ns) / NS_PER_S).astype(np.float32), tuple(used))

    @property
    def encoder(self) -> Callable[[int], nn.Module]:
        """The chosen encoder, to be called with the size of a token."""
        return self._build

    @property
    def frames_are(self) -> Frames:  # type: ignore[override]
        """Of "paths" joints, which training moves; of the tree numbers that it leaves as they are."""
        return "joints" if self.sees_poses else "images"

    def _build(self, dim: int) -> nn.Module:
        if self.sees_poses:
            return PathEncoder(ROWS * CHANNELS, dim, self.width, TOKENS)
        return BodyGraphEncoder(dim, self.width, forces=self.channels == "all", graph=self.graph)


def _given(seq: GaitSequence, motion: Motion) -> tuple[F64, F64] | None:
    """The loads that the walk holds, at the times of its motion; None where it does not hold both."""
    if any(name not in seq.streams or len(seq.streams[name]) < 2 for name in LOADS):
        return None
    held = [seq.streams[name] for name in LOADS]
    force, ground = (sampled(motion.t_ns, s.t_ns.astype(np.float64), s.data.astype(np.float64)) for s in held)
    return force, ground

"""One person's body: rest mesh, joints, and the poses they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body._layouts import PARENTS
from gait3dlib.body._skinning import (
    F32,
    F64,
    forward_kinematics,
    frame_rotation,
    from_axis_angle,
    local_coordinates,
    shortest_rotation,
    skin,
    unit,
)
from gait3dlib.errors import InputError

if TYPE_CHECKING:
    from gait3dlib.body._solver import BodyShape

COCO_NAMES: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""The 17 key points of COCO, in its order."""

# joints of SMPL's layout that are COCO's points 5 to 16
_COCO_JOINTS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
_DOWN = np.array([0.0, 0.0, -1.0])


def t_pose_rotations(bind: F64) -> F64:
    """World rotations [24, 3, 3] that bring a body from its bind pose to the T-pose.

    `bind` [24, 3] are the joints in the pose in which the mesh was sculpted: arms half lowered,
    elbows bent, legs slightly apart. The elbow's bend shows where its hinge lies; the hinge becomes
    vertical, so that in the T-pose the forearm swings forward and the palm faces down. Spine, neck,
    head and collars stay as they are; feet keep their flat soles.
    """
    rotations = np.tile(np.eye(3), (24, 1, 1))
    for side in (0, 1):
        hip, knee, ankle = (bind[j + side] for j in (1, 4, 7))
        rotations[1 + side] = shortest_rotation(knee - hip, _DOWN)
        rotations[4 + side] = shortest_rotation(ankle - knee, _DOWN)
        shoulder, elbow, wrist, hand = (bind[j + side] for j in (16, 18, 20, 22))
        upper, fore = unit(elbow - shoulder), unit(wrist - elbow)
        hinge = unit(np.cross(upper, fore))
        out = np.array([0.0, 1.0 - 2.0 * side, 0.0])
        turned = np.array([0.0, 0.0, 2.0 * side - 1.0])
        rotations[16 + side] = frame_rotation((upper, hinge), (out, turned))
        forearm = frame_rotation((fore, hinge), (out, turned))
        rotations[18 + side] = forearm
        straight = shortest_rotation(forearm @ (hand - wrist), out) @ forearm
        rotations[20 + side] = rotations[22 + side] = straight
    return rotations


def t_pose_joints(bind: F64, rotations: F64) -> F64:
    """Joints [24, 3] in the T-pose, the pelvis joint kept in place."""
    joints = bind.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            joints[joint] = joints[parent] + rotations[parent] @ (bind[joint] - bind[parent])
    return joints


@dataclass(frozen=True, eq=False)
class ShapedBody:
    """One person's body; made by :meth:`gait3dlib.body.Body.shape`.

    Attributes:
        vertices: float32 [V, 3], the skin at rest (T-pose).
        joints: float64 [24, 3], the joints at rest.
        faces: int32 [F, 3], outward.
        shape: what was asked for.
        muscle: the muscle that was used, 0 to 1; it departs from the asked one where the mass could
            not be reached otherwise.
        volume_m3: of the full mesh at rest, in both levels of detail.
        height_m: of the full mesh at rest, in both levels of detail.
        mass_kg: volume times :data:`~gait3dlib.body.DENSITY_KG_M3`.
        bind_vertices: float32 [V, 3], the skin in the pose in which it was sculpted.
        bind_joints: float64 [24, 3], the joints in that pose.
        bind_rotations: float64 [24, 3, 3], from that pose to the T-pose, about each joint.
        weights: float32 [V, 24], how much of each joint's motion a vertex follows; rows sum to 1.
        landmark_index: [5, 3], the vertices around nose, left and right eye, left and right ear.
        landmark_weights: float32 [5, 3], their shares.
        numbers: float64 [10], the body as a point of the shape space; see
            :data:`gait3dlib.body.SHAPE_NAMES` and :meth:`gait3dlib.body.Body.from_numbers`.

    Skinning starts from the bind pose, not from the T-pose: walking arms hang far from a T and near
    the bind pose, so the shoulders keep their volume.
    """

    vertices: F32 = field(repr=False)
    joints: F64 = field(repr=False)
    faces: NDArray[np.int32] = field(repr=False)
    shape: BodyShape
    muscle: float
    volume_m3: float
    height_m: float
    mass_kg: float
    bind_vertices: F32 = field(repr=False)
    bind_joints: F64 = field(repr=False)
    bind_rotations: F64 = field(repr=False)
    weights: F32 = field(repr=False)
    landmark_index: NDArray[np.int64] = field(repr=False)
    landmark_weights: F32 = field(repr=False)
    numbers: F64 = field(repr=False)

    @property
    def bmi(self) -> float:
        """Body-mass index in kg/m2."""
        return self.mass_kg / self.height_m**2

    @cached_property
    def _local(self) -> F32:
        return local_coordinates(self.bind_vertices, self.bind_joints, self.bind_rotations, self.weights)

    @cached_property
    def _offsets(self) -> F64:
        offsets: F64 = self.joints - self.joints[list(PARENTS)]
        offsets[0] = self.joints[0]
        return offsets

    def _frames(
        self, rotations: NDArray[np.floating[Any]], translation: NDArray[np.floating[Any]]
    ) -> tuple[F64, F64]:
        turns = np.asarray(rotations, np.float64)
        if turns.shape[1:] == (24, 3):
            turns = from_axis_angle(turns)
        if turns.ndim != 4 or turns.shape[1:] != (24, 3, 3):
            raise InputError(f"rotations must be [frames, 24, 3] or [frames, 24, 3, 3], not {turns.shape}")
        root = np.asarray(translation, np.float64)
        if root.shape != (len(turns), 3):
            raise InputError(f"translation must be [{len(turns)}, 3], not {root.shape}")
        return forward_kinematics(turns, self._offsets, root + self._offsets[0], PARENTS)

    def frames(
        self, rotations: NDArray[np.floating[Any]], translation: NDArray[np.floating[Any]]
    ) -> tuple[F64, F64]:
        """World rotations [T, 24, 3, 3] and positions [T, 24, 3] of :meth:`pose`, in float64."""
        return self._frames(rotations, translation)

    def pose(
        self, rotations: NDArray[np.floating[Any]], translation: NDArray[np.floating[Any]]
    ) -> tuple[F32, F32]:
        """The skin and the joints in every frame of a motion.

        Args:
            rotations: [T, 24, 3, 3], or axis-angle [T, 24, 3] in radians; each joint relative to its
                parent as in SMPL (the pelvis: to the world), zero being the T-pose.
            translation: [T, 3] in metres, added to the rest position; the pelvis turns in place.

        Returns:
            vertices float32 [T, V, 3] and joints float32 [T, 24, 3], in metres.

        Raises:
            InputError: an array has another shape.
        """
        turned, positions = self._frames(rotations, translation)
        return skin(self._local, turned, positions), positions.astype(np.float32)

    def pose_joints(
        self, rotations: NDArray[np.floating[Any]], translation: NDArray[np.floating[Any]]
    ) -> F32:
        """The joints of :meth:`pose` alone, float32 [T, 24, 3]: a fraction of the work."""
        return self._frames(rotations, translation)[1].astype(np.float32)

    def landmarks(self, vertices: NDArray[np.floating[Any]], joints: NDArray[np.floating[Any]]) -> F32:
        """COCO's 17 key points in 3-D, float32 [T, 17, 3], in the order of :data:`COCO_NAMES`.

        Nose, eyes and ears are points on the skin; the others are joints.

        Args:
            vertices: [T, V, 3] and
            joints: [T, 24, 3], both from :meth:`pose`.
        """
        points = np.empty((len(joints), 17, 3), np.float32)
        corners = vertices[:, self.landmark_index]  # [T, 5, 3 corners, 3]
        points[:, :5] = (corners * self.landmark_weights[:, :, None]).sum(axis=2)
        points[:, 5:] = joints[:, list(_COCO_JOINTS)]
        return points

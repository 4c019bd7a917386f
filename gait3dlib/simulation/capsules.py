"""A body of capsules about the bones: what hides a key point, without a mesh.

A capsule is what lies within a radius of a bone. Seen from afar it covers the pixels within that radius of
the bone in the image, and its front is round: enough to say which points lie behind an arm, a leg or the
trunk.
"""

from __future__ import annotations

import numpy as np

from gait3dlib.body import JOINT_NAMES, BodyShape
from gait3dlib.simulation.rays import F32
from gait3dlib.simulation.scene import F64

_SIDES = ("left", "right")
CAPSULES: tuple[tuple[str, str, float], ...] = (
    ("ears", "ears", 0.085), ("neck", "ears", 0.075), ("pelvis", "spine3", 0.14),
    ("left_shoulder", "right_shoulder", 0.08), ("left_hip", "right_hip", 0.115),
    *((f"{side}_hip", f"{side}_shoulder", 0.057) for side in _SIDES),
    *((f"{side}_hip", f"{side}_knee", 0.068) for side in _SIDES),
    *((f"{side}_knee", f"{side}_ankle", 0.043) for side in _SIDES),
    *((f"{side}_ankle", f"{side}_foot", 0.036) for side in _SIDES),
    *((f"{side}_shoulder", f"{side}_elbow", 0.068) for side in _SIDES),
    *((f"{side}_elbow", f"{side}_wrist", 0.028) for side in _SIDES),
    *((f"{side}_wrist", f"{side}_hand", 0.028) for side in _SIDES),
)  # fmt: skip
"""From, to, and radius in metres of a person of 1.75 m and 70 kg; "ears" is the middle between both.

The radii were chosen so that they hide what the meshes of 24 simulated people hide, seen from 120 cameras.
"""

_PLACE = {name: k for k, name in enumerate((*JOINT_NAMES, "ears"))}
_START, _STOP = (
    np.array([_PLACE[name] for name in names]) for names in list(zip(*CAPSULES, strict=True))[:2]
)


def bones_of(joints: F32, landmarks: F32) -> F32:
    """Joints and the middle of the ears ``[T, 25, 3]``, of joints ``[T, 24, 3]`` and COCO's points."""
    return np.concatenate([joints, landmarks[:, 3:5].mean(axis=1, keepdims=True)], axis=1)


def thickness(shape: BodyShape) -> float:
    """Multiple of the radii: who is twice as heavy at the same height has twice the cross-section."""
    return float(np.sqrt(shape.mass_kg / shape.height_m / 40.0))


def surface(bones: F64, points: F64, focal_px: float, thick: float) -> F32:
    """Depth ``[T, K]`` of the nearest capsule that covers each point in the image, 0 where none does.

    Args:
        bones: ``[T, 25, 3]`` columns, rows and depths of :func:`bones_of`.
        points: ``[T, K, 3]`` the same of the points.
        focal_px: of the camera.
        thick: multiple of the capsules' radii.
    """
    radius = np.array([r for *_, r in CAPSULES]) * thick
    start, along = bones[:, None, _START], (bones[:, _STOP] - bones[:, _START])[:, None]
    off = points[:, :, None, :2] - start[..., :2]  # [T, K, capsules, 2]
    length = np.maximum((along[..., :2] ** 2).sum(axis=-1), 1e-9)
    share = ((off * along[..., :2]).sum(axis=-1) / length).clip(0.0, 1.0)
    depth = start[..., 2] + share * along[..., 2]
    apart = ((off - share[..., None] * along[..., :2]) ** 2).sum(axis=-1) * (depth / focal_px) ** 2
    left = radius**2 - apart
    front = np.where(left > 0, depth - np.sqrt(np.maximum(left, 0.0)), np.inf).min(axis=-1)
    return np.where(np.isfinite(front), front, 0.0).astype(np.float32)

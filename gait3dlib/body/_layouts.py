"""Other skeletons in the 24 joints of SMPL's layout: one table a layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, did_you_mean

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee",
    "spine2", "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot",
    "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
"""The 24 joints of SMPL's layout, in its order."""

PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip
"""Each joint's parent by its place in JOINT_NAMES; -1 for the pelvis."""

MIRROR: tuple[int, ...] = (
    0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22,
)  # fmt: skip
"""The joint on the other side of the body; the middle joints are their own mirror."""

PLUG_IN_GAIT: tuple[str, ...] = (
    "LHJC", "RHJC", "LFEO", "RFEO", "LTIO", "RTIO", "LTOE", "RTOE", "C7", "HEDO",
    "LCLO", "RCLO", "LHUO", "RHUO", "LRAO", "RRAO", "LHNO", "RHNO",
)  # fmt: skip
"""The points of the layout ``plug_in_gait``, in its order: joint centres as that model writes them to C3D."""

_Table = tuple[int, dict[str, tuple[int, ...]]]


def _sided(**pairs: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """`hip=(11, 12)` as the two rows left_hip and right_hip."""
    return {
        f"{side}_{name}": (pair[i],)
        for name, pair in pairs.items()
        for i, side in enumerate(("left", "right"))
    }


# Layout: (number of its points, joint -> the points whose mean it is). What a layout lacks is left out.
# The head joint of SMPL is where the skull sits on the neck, between the ears.
LAYOUTS: dict[str, _Table] = {
    "coco17": (
        17,
        {"pelvis": (11, 12), "neck": (5, 6), "head": (3, 4)}
        | _sided(shoulder=(5, 6), elbow=(7, 8), wrist=(9, 10))
        | _sided(hip=(11, 12), knee=(13, 14), ankle=(15, 16)),
    ),
    "blazepose33": (
        33,
        {"pelvis": (23, 24), "neck": (11, 12), "head": (7, 8)}
        | {"left_hand": (17, 19), "right_hand": (18, 20)}  # knuckles of the little and index finger
        | _sided(shoulder=(11, 12), elbow=(13, 14), wrist=(15, 16))
        | _sided(hip=(23, 24), knee=(25, 26), ankle=(27, 28), foot=(31, 32)),
    ),
    # Kinect for Xbox 360, `NUI_SKELETON_POSITION_INDEX`
    "kinect20": (
        20,
        {"pelvis": (0,), "spine1": (1,), "neck": (2,), "head": (3,)}
        | _sided(shoulder=(4, 8), elbow=(5, 9), wrist=(6, 10), hand=(7, 11))
        | _sided(hip=(12, 16), knee=(13, 17), ankle=(14, 18), foot=(15, 19)),
    ),
    # Kinect for Xbox One, `JointType`; its SpineShoulder (20) has no counterpart in SMPL
    "kinect25": (
        25,
        {"pelvis": (0,), "spine2": (1,), "neck": (2,), "head": (3,)}
        | _sided(shoulder=(4, 8), elbow=(5, 9), wrist=(6, 10), hand=(7, 11))
        | _sided(hip=(12, 16), knee=(13, 17), ankle=(14, 18), foot=(15, 19)),
    ),
    # The 31 joints of the CMU motions as BVH, in file order, without the end sites. LowerBack lies
    # on Hips, and Neck and both collars lie on Spine1, so these have no place of their own.
    "cmu": (
        31,
        {"pelvis": (0,), "spine1": (12,), "spine3": (13,), "neck": (15,), "head": (16,)}
        | _sided(shoulder=(18, 25), elbow=(19, 26), wrist=(20, 27), hand=(22, 29))
        | _sided(hip=(2, 7), knee=(3, 8), ankle=(4, 9), foot=(5, 10)),
    ),
    # Joint centres that Plug-in Gait computes from markers (the biomechZoo trials have them), in the order of
    # PLUG_IN_GAIT. The toe is a marker on the skin; C7 is the spine of the neck's lowest vertebra.
    "plug_in_gait": (
        18,
        {"pelvis": (0, 1), "neck": (8,), "head": (9,)}
        | _sided(hip=(0, 1), knee=(2, 3), ankle=(4, 5), foot=(6, 7))
        | _sided(shoulder=(10, 11), elbow=(12, 13), wrist=(14, 15), hand=(16, 17)),
    ),
}


def to_smpl24(xyz: NDArray[np.floating[Any]], layout: str) -> NDArray[np.float32]:
    """Points of another skeleton as the 24 joints of SMPL's layout, in the same axes and units.

    A joint that the layout lacks is NaN, and so is one with a NaN among its points.

    ============  ==========  =============  ===========  ===========  ===========
    joint         coco17      blazepose33    kinect20     kinect25     cmu (BVH)
    ============  ==========  =============  ===========  ===========  ===========
    pelvis        mid-hip     mid-hip        HipCenter    SpineBase    Hips
    hips          hips        hips           Hip*         Hip*         *UpLeg
    spine1                                   Spine                     Spine
    knees         knees       knees          Knee*        Knee*        *Leg
    spine2                                                SpineMid
    ankles        ankles      ankles         Ankle*       Ankle*       *Foot
    spine3                                                             Spine1
    feet                      foot index     Foot*        Foot*        *ToeBase
    neck          mid-        mid-shoulder   Shoulder-    Neck         Neck1
                  shoulder                   Center
    collars
    head          mid-ear     mid-ear        Head         Head         Head
    shoulders     shoulders   shoulders      Shoulder*    Shoulder*    *Arm
    elbows        elbows      elbows         Elbow*       Elbow*       *ForeArm
    wrists        wrists      wrists         Wrist*       Wrist*       *Hand
    hands                     mid of little  Hand*        Hand*        *HandIndex1
                              and index
    ============  ==========  =============  ===========  ===========  ===========

    ``plug_in_gait`` has pelvis (mid-hip), hips, knees, ankles, feet (the toe marker), neck (C7), head,
    shoulders, elbows, wrists and hands; :data:`PLUG_IN_GAIT` names its points.

    A Kinect's head is the middle of the head, a few centimetres above SMPL's.

    Args:
        xyz: [T, K, 3], float.
        layout: ``coco17``, ``blazepose33``, ``kinect20``, ``kinect25``, ``cmu`` or ``plug_in_gait``.

    Returns:
        float32 [T, 24, 3].

    Raises:
        InputError: an unknown layout, or a shape that is not the layout's.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no skeleton layout {layout!r}{did_you_mean(layout, LAYOUTS)}")
    count, table = LAYOUTS[layout]
    points = np.asarray(xyz)
    if points.ndim != 3 or points.shape[1:] != (count, 3):
        raise InputError(f"layout {layout!r} needs [frames, {count}, 3], not {points.shape}")
    joints = np.full((len(points), len(JOINT_NAMES), 3), np.nan, np.float32)
    for name, rows in table.items():
        joints[:, JOINT_NAMES.index(name)] = points[:, list(rows)].mean(axis=1)
    return joints

"""What a recording says about SMPL's joints: places and orientations, z up, metres; NaN = nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap.bvh import Bvh
from gait3dlib.simulation.mocap.trials import MarkerTrial
from gait3dlib.simulation.posture import about

Array = NDArray[np.float64]
CMU_UNIT_M = 0.056444  # metres a unit of the CMU motions as BVH
CMU_AXES = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # their x left, y up, z forward
BENT = 0.25  # sine of the least bend (15 degrees) at which an elbow shows its hinge

CMU_PLACES = {
    1: "LeftUpLeg", 2: "RightUpLeg", 4: "LeftLeg", 5: "RightLeg", 7: "LeftFoot", 8: "RightFoot",
    10: "LeftToeBase", 11: "RightToeBase", 16: "LeftArm", 17: "RightArm", 18: "LeftForeArm",
    19: "RightForeArm", 20: "LeftHand", 21: "RightHand",
}  # fmt: skip
CMU_SEGMENTS = {
    0: "Hips", 1: "LeftUpLeg", 2: "RightUpLeg", 4: "LeftLeg", 5: "RightLeg", 7: "LeftFoot", 8: "RightFoot",
    9: "Spine1", 15: "Head",
}  # fmt: skip
# joint centres of Plug-in Gait (O = origin of a segment), L or R in front
TRIAL_PLACES = {1: "HJC", 4: "FEO", 7: "TIO", 10: "TOE", 16: "CLO", 18: "HUO", 20: "RAO"}
# its segments: points a unit ahead (A), to the left (L) and proximal (P) of O
TRIAL_SEGMENTS = {0: "PEL", 9: "TRX", 15: "HED"}
TRIAL_SIDED = {1: "FE", 4: "TI", 7: "FO"}
FOOT_AXES = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # of the foot, A is up and P back
HEAD_TURN_DEG = 60.0  # a head turned further from the thorax is a swapped marker
STANDING_PITCH = {0: 9.0, 9: 5.0, 15: 0.0}  # degrees, of a trial without a standing one of the same person


@dataclass(frozen=True, eq=False)
class Measured:
    """A recording in terms of SMPL's joints.

    Attributes:
        positions: ``[T, 24, 3]`` metres, z up.
        orientations: ``[T, 24, 3, 3]`` of the segments, identity in the T-pose facing +x.
        fps: frames a second.
    """

    positions: Array
    orientations: Array
    fps: float

    def every(self, step: int) -> Measured:
        """Each ``step``-th frame."""
        return Measured(self.positions[::step], self.orientations[::step], self.fps / step)


def measured_bvh(motion: Bvh, unit_m: float = CMU_UNIT_M) -> Measured:
    """A CMU motion as BVH, whose first frame is a T-pose; that frame is left out.

    Raises:
        InputError: a joint is missing, or the first frame is no T-pose.
    """
    places = {name: i for i, name in enumerate(motion.names)}
    if missing := sorted({*CMU_PLACES.values(), *CMU_SEGMENTS.values()} - places.keys()):
        raise InputError(f"the motion lacks the joint {missing[0]!r}; only CMU's skeleton can be read")
    positions = np.full((len(motion.positions), 24, 3), np.nan)
    for joint, name in CMU_PLACES.items():
        positions[:, joint] = motion.positions[:, places[name]] @ CMU_AXES.T * unit_m
    _check_t_pose(positions[0])
    orientations = np.full((len(positions), 24, 3, 3), np.nan)
    for joint, name in CMU_SEGMENTS.items():
        turned = motion.rotations[:, places[name]]
        orientations[:, joint] = CMU_AXES @ turned @ turned[0].T @ CMU_AXES.T
    _arms(positions, orientations)
    return Measured(positions[1:], orientations[1:], motion.fps)


def _check_t_pose(joints: Array) -> None:
    arm, leg = joints[20] - joints[16], joints[7] - joints[1]
    if arm[1] < 0.9 * np.linalg.norm(arm) or -leg[2] < 0.9 * np.linalg.norm(leg):
        raise InputError("the motion's first frame is no T-pose facing forward; put one in front")


def standing_pitch(standing: MarkerTrial) -> dict[int, float]:
    """Forward pitch in degrees of pelvis and thorax as Plug-in Gait draws them in quiet standing.

    The head's is taken as it is: children look about while they stand.
    """
    out = dict(STANDING_PITCH)
    for joint in (0, 9):
        ahead = _axes(standing, TRIAL_SEGMENTS[joint])[:, 2, 0]
        if np.isfinite(ahead).any():
            out[joint] = float(-np.rad2deg(np.arcsin(np.nanmedian(ahead))))
    return out


def measured_trial(trial: MarkerTrial, pitch: dict[int, float] | None = None) -> Measured:
    """A trial with Plug-in Gait's joint centres and segments.

    Args:
        trial: the person walking.
        pitch: from :func:`standing_pitch`; what is level in standing is level in the T-pose.

    Raises:
        InputError: the trial lacks the hips or the pelvis.
    """
    positions = np.full((len(trial), 24, 3), np.nan)
    orientations = np.full((len(trial), 24, 3, 3), np.nan)
    for joint, segment in TRIAL_SEGMENTS.items():
        level = about(1, np.array(-(STANDING_PITCH if pitch is None else pitch)[joint]))
        orientations[:, joint] = _axes(trial, segment) @ level
    away = np.einsum("tij,tij->t", orientations[:, 9], orientations[:, 15])  # trace: 1 + 2 cos(angle)
    orientations[~(away > 1 + 2 * np.cos(np.deg2rad(HEAD_TURN_DEG))), 15] = np.nan
    for side, letter in enumerate("LR"):
        for joint, label in TRIAL_PLACES.items():
            positions[:, joint + side] = trial.get(letter + label)
        for joint, segment in TRIAL_SIDED.items():
            rest = FOOT_AXES if joint == 7 else np.eye(3)
            orientations[:, joint + side] = _axes(trial, letter + segment) @ rest.T
    if np.isnan(positions[:, 1:3]).all() or np.isnan(orientations[:, 0]).all():
        raise InputError(
            "the trial lacks hip joint centres or the pelvis; it must hold Plug-in Gait's output"
        )
    whole = ~np.isnan(positions[:, [1, 2, 4, 5, 7, 8]]).any(axis=(1, 2))
    whole &= ~np.isnan(orientations[:, 0]).any(axis=(1, 2))
    first, last = np.flatnonzero(whole)[[0, -1]]
    kept = slice(first, last + 1)
    _arms(positions, orientations)
    return Measured(_filled(positions[kept]), orientations[kept], trial.fps)


def _axes(trial: MarkerTrial, segment: str) -> Array:
    """Columns ahead, left and up ``[T, 3, 3]`` of a segment; NaN where it was not seen."""
    origin = trial.get(segment + "O")
    ahead, up = trial.get(segment + "A") - origin, trial.get(segment + "P") - origin
    if segment == "TRX":  # the thorax alone is drawn upside down
        up = -up
    up = up / np.linalg.norm(up, axis=1, keepdims=True)
    left = np.cross(up, ahead)
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    return np.stack([np.cross(left, up), left, up], axis=2)


def _filled(positions: Array) -> Array:
    """Short gaps in the places of hips and legs, bridged by straight lines."""
    out = positions.copy()
    at = np.arange(len(out))
    for joint in (1, 2, 4, 5, 7, 8):
        seen = ~np.isnan(out[:, joint]).any(axis=1)
        for axis in range(3):
            out[:, joint, axis] = np.interp(at, at[seen], out[seen, joint, axis])
    return out


def _arms(positions: Array, orientations: Array) -> None:
    """Orientations of upper arms and forearms: their directions, and the hinge that a bent elbow shows."""
    for side, out in ((0, 1.0), (1, -1.0)):
        shoulder, elbow, wrist = (positions[:, joint + side] for joint in (16, 18, 20))
        upper, fore = elbow - shoulder, wrist - elbow
        upper = upper / np.linalg.norm(upper, axis=1, keepdims=True)
        fore = fore / np.linalg.norm(fore, axis=1, keepdims=True)
        hinge = np.cross(fore, upper)
        sine = np.linalg.norm(hinge, axis=1, keepdims=True)
        hinge = np.where(sine > BENT, hinge / np.maximum(sine, 1e-9), np.nan)
        # in the T-pose both segments point outwards, and the hinge up (left arm) or down (right arm)
        for joint, along in ((16, upper), (18, fore)):
            axes = np.stack([out * np.cross(along, hinge) * out, out * along, out * hinge], axis=2)
            orientations[:, joint + side] = axes

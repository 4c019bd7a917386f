"""From a style and phases of the gait cycle to the local rotations of SMPL's 24 joints.

Axes: x forward, y left, z up; zero rotations are a T-pose facing +x. Angles are degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.curves import curve, mean, swing
from gait3dlib.simulation.style import GaitStyle

Array = NDArray[np.float64]
LEFT, RIGHT = 1.0, -1.0
STANDING_TILT = 10.0  # published hip angles are against a pelvis that tilts by this much in standing
REFERENCE_SPEED = 1.35  # m/s of the published curves


def about(axis: int, degrees: Array) -> Array:
    """Rotations ``[..., 3, 3]`` by ``degrees`` (right-handed) about x (0), y (1) or z (2)."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*np.shape(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., j, i], matrix[..., i, j] = s, -s
    return matrix


def joint_rotations(style: GaitStyle, phase: Array, *, stride_gain: float, pace: float) -> Array:
    """Local rotations ``[T, 24, 3, 3]`` before the feet are put on the ground.

    Args:
        style: whose walk.
        phase: ``[T]`` cycles; at whole numbers the left heel strikes.
        stride_gain: amplitude of the hips' swing, 1 = the published curve.
        pace: speed over ``REFERENCE_SPEED``; faster walking swings arms and trunk more.
    """
    out = np.tile(np.eye(3), (len(phase), 24, 1, 1))
    pelvis = _pelvis(style, phase, pace)
    out[:, 0] = about(2, pelvis[2]) @ about(0, pelvis[0]) @ about(1, pelvis[1])
    spine = _upper_body(style, phase, pace, pelvis, out)
    for side, first in ((LEFT, 0), (RIGHT, 1)):
        own = phase if side == LEFT else phase + 0.5
        _leg(style, own, side, first, stride_gain, pace, pelvis[2], out)
        _arm(style, own, side, first, pace, spine, out)
    return out


def foot_orientation(
    style: GaitStyle, phase: Array, side: float, *, stride_gain: float, rest_yaw: float
) -> Array:
    """Rotations ``[T, 3, 3]`` of a foot in the world, flat in mid stance.

    ``phase`` is the side's own; ``rest_yaw`` how far the foot of the T-pose points outwards already.
    """
    pitch = curve("foot_pitch", phase - _push_off(style, phase))
    shrink = 0.35 + 0.65 * stride_gain
    pitch = pitch * shrink * np.where(pitch > 0, style.heel_strike_gain, style.push_off_gain)
    yaw = style.toe_out + side * style.toe_out_asymmetry / 2 - rest_yaw
    return about(2, np.full_like(phase, side * yaw)) @ about(1, -pitch)


def _push_off(style: GaitStyle, phase: Array) -> Array:
    """Delay of the foot's motion around push-off: cycles, 0 in the rest of the cycle."""
    around = (phase - 0.55 + 0.5) % 1.0 - 0.5
    return style.push_off_lag * np.exp(-((around / 0.12) ** 2))


def _pelvis(style: GaitStyle, phase: Array, pace: float) -> Array:
    """Roll, pitch and yaw ``[3, T]`` of the pelvis in the world."""
    roll = style.pelvis_obliquity_gain * curve("pelvis_obliquity", phase)
    pitch = style.pelvis_tilt + curve("pelvis_tilt", phase)
    yaw = -style.pelvis_rotation_gain * pace * curve("pelvis_rotation", phase)
    return np.stack([roll, pitch, yaw])


def _upper_body(style: GaitStyle, phase: Array, pace: float, pelvis: Array, out: Array) -> Array:
    """Set spine, neck and head; returns roll, pitch and yaw ``[3, T]`` of the thorax against the pelvis."""
    late = phase - style.trunk_lag
    thorax = np.stack(
        [
            -style.trunk_roll - style.trunk_sway * curve("trunk_sway", late),
            style.trunk_lean + style.head_bob_gain * curve("trunk_lean", late),
            -style.trunk_rotation_gain * pace * curve("trunk_rotation", late),
        ]
    )
    relative = thorax - pelvis
    for joint, share, bend in ((3, 0.3, -0.15), (6, 0.35, 0.55), (9, 0.35, 0.6)):
        roll, pitch, yaw = relative * share
        out[:, joint] = about(2, yaw) @ about(0, roll) @ about(1, pitch + bend * style.kyphosis)
    # the head is held level: it gives back what the trunk does, but for its own mean posture
    roll = 0.85 * (thorax[0] + style.trunk_roll) + 0.5 * style.trunk_roll - style.head_roll
    pitch = style.head_pitch - thorax[1] + 0.6 * (thorax[1] - style.trunk_lean)
    yaw = -0.85 * thorax[2]
    carried = style.kyphosis  # a bent back pushes the neck forward and the head looks up again
    out[:, 12] = about(2, yaw / 2) @ about(0, -roll / 2) @ about(1, pitch / 2 - 0.2 * carried)
    out[:, 15] = about(2, yaw / 2) @ about(0, -roll / 2) @ about(1, pitch / 2 - 0.65 * carried)
    relative[1] += style.kyphosis
    return relative


def _leg(
    style: GaitStyle, phase: Array, side: float, first: int, gain: float, pace: float, yaw: Array, out: Array
) -> None:
    phase = phase - side * style.leg_lag / 2
    own = 1.0 + side * style.leg_asymmetry
    flexion = mean("hip_flexion") - STANDING_TILT + gain * own * swing("hip_flexion", phase)
    knee = curve("knee_flexion", phase)
    stance = np.exp(-(((((phase - 0.16) + 0.5) % 1.0 - 0.5) / 0.1) ** 2))
    swinging = np.exp(-(((((phase - 0.73) + 0.5) % 1.0 - 0.5) / 0.15) ** 2))
    knee = knee * (1.0 + (style.knee_stance_gain * pace**0.5 - 1.0) * stance)
    knee = knee * (1.0 + (style.knee_swing_gain * own * (0.6 + 0.4 * gain) - 1.0) * swinging)
    knee = knee + style.knee_offset
    # what a person's pelvis tilts more than the average, forwards or sideways, the hips give back
    flexion = flexion + style.pelvis_tilt
    adduction = curve("hip_adduction", phase)
    adduction = adduction + (style.pelvis_obliquity_gain - 1.0) * curve("pelvis_obliquity", phase)
    # the thigh keeps its direction over the ground while the pelvis turns above it
    outward = 0.4 * style.toe_out + style.knee_out
    turn = side * outward - yaw
    hip, knee_joint = 1 + first, 4 + first
    # half of the mean knee bend goes to the hip, so that the feet stay below the body
    out[:, hip] = about(1, -flexion - style.knee_offset / 2) @ about(0, -side * adduction) @ about(2, turn)
    out[:, knee_joint] = about(1, knee)
    out[:, 10 + first] = about(1, -curve("toe_extension", phase - _push_off(style, phase)))


def _arm(
    style: GaitStyle, phase: Array, side: float, first: int, pace: float, spine: Array, out: Array
) -> None:
    phase = phase - style.arm_lag
    swing_gain = style.arm_swing_gain * (1.0 + side * style.arm_swing_asymmetry) * pace
    swing_gain = swing_gain / (1.0 + 0.4 * max(0.0, swing_gain - 1.0))  # nobody swings through the roof
    # a leaning trunk does not carry hanging arms with it
    hanging = np.mean(spine[1])
    flexion = (
        mean("shoulder_flexion")
        + hanging
        + style.shoulder_offset
        + swing_gain * swing("shoulder_flexion", phase)
    )
    down = 90.0 - style.shoulder_abduction - side * style.trunk_roll
    elbow = mean("elbow_flexion") + style.elbow_offset + side * style.elbow_asymmetry / 2
    # a wide arm swing bends the elbow more, but not in proportion
    elbow = elbow + style.elbow_swing_gain * swing_gain**0.5 * swing("elbow_flexion", phase)
    ones = np.ones_like(phase)
    lift = side * style.shoulder_height
    protraction = -side * 0.15 * (flexion - np.mean(flexion))
    out[:, 13 + first] = about(2, protraction) @ about(0, lift * ones)
    # arm_rotation turns the arm about its own axis (+y of the T-pose), inwards positive
    inward = style.arm_rotation * ones
    out[:, 16 + first] = (
        about(1, -flexion) @ about(0, -side * (down + style.shoulder_height) * ones) @ about(1, inward)
    )
    out[:, 18 + first] = about(2, -side * np.maximum(elbow, 2.0))
    out[:, 20 + first] = about(0, -side * style.wrist_flexion * ones)

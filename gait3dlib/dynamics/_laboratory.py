"""OpenSim's walking adult as a trial: from markers alone, or with the model's own joint centres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gait3dlib.dynamics._opensim import TO_Z_UP, Markers, Table, read_storage, read_trc
from gait3dlib.dynamics._osim import read_osim
from gait3dlib.dynamics._trials import F64, MotionTrial, between_markers
from gait3dlib.errors import InputError

_SIDES = (("left", "L", "l", "1_"), ("right", "R", "r", ""))
_BALL = 0.68
# about the axis that points left: + = hip extensor, knee flexor, plantarflexor; made extensor for all three
_EXTENSOR = {"hip": ("hip_flexion_{s}_moment", -1.0), "knee": ("knee_angle_{s}_moment", 1.0),
             "ankle": ("ankle_angle_{s}_moment", -1.0)}  # fmt: skip


def read_opensim_walk(folder: str | Path, *, model: bool = False) -> MotionTrial:
    """The walking trial in a folder of OpenSim's example models (``Gait2354_Simbody``, ``Gait2392_Simbody``).

    Args:
        folder: with ``subject01_static.trc``, ``subject01_walk1.trc``, ``subject01_walk1_grf.mot``,
            ``subject01_walk1_ik.mot`` and ``OutputReference``.
        model: take hips, knees and ankles from the model in the poses of its inverse kinematics, not from
            markers.

    Returns:
        The trial; ``published`` holds ``moment/left_hip`` and so on ``[T]`` in N m/kg, extension +, NaN
        outside of OpenSim's result; ``axis/left_hip`` ``[T, 3]``, about which that moment acts.

    Raises:
        InputError: a file is missing or unreadable.
    """
    folder = Path(folder)
    static, walk = read_trc(folder / "subject01_static.trc"), read_trc(folder / "subject01_walk1.trc")
    kinematics = read_storage(folder / "subject01_walk1_ik.mot")
    own = read_osim(folder / "OutputReference" / "subject01_simbody.osim", kinematics)
    result = read_storage(_only(folder / "OutputReference" / "ResultsInverseDynamics"))
    centres = joints_of_markers(walk, static)
    rows = np.arange(len(walk.time_s))
    if model:
        rows = np.flatnonzero(
            (walk.time_s > kinematics.time_s[0] - 1e-3) & (walk.time_s < kinematics.time_s[-1] + 1e-3)
        )
        for side, _, s, _ in _SIDES:
            for part, joint in (("hip", "hip"), ("knee", "knee"), ("ankle", "ankle"), ("foot", "mtp")):
                centres[f"{side}_{part}"] = _at(own.centre[f"{joint}_{s}"], kinematics, walk.time_s)
    joints = between_markers(len(walk.time_s), centres)[rows]
    time_s = walk.time_s[rows]
    published = {}
    for side, _, s, _ in _SIDES:
        for part, (column, sign) in _EXTENSOR.items():
            published[f"moment/{side}_{part}"] = sign * result.at(column.format(s=s), time_s) / own.mass_kg
            right = _at(own.axis[f"{part}_{s}"], kinematics, time_s)
            published[f"axis/{side}_{part}"] = sign * right
    fps = float((len(time_s) - 1) / (time_s[-1] - time_s[0]))  # each time is rounded to milliseconds
    plates = _forces(read_storage(folder / "subject01_walk1_grf.mot"), time_s)
    return MotionTrial(joints, fps, own.mass_kg, None, plates, published, float(time_s[0]))


def _only(folder: Path) -> Path:
    found = sorted(folder.glob("*.sto"))
    if len(found) != 1:
        raise InputError(f"{folder} must hold one .sto file, not {len(found)}")
    return found[0]


def _at(track: F64, kinematics: Table, time_s: F64) -> F64:
    """A point or direction of the model at other times; NaN outside."""
    columns = {str(i): track[:, i] for i in range(3)}
    table = Table(columns, kinematics.time_s, degrees=False)
    return np.stack([table.at(str(i), time_s) for i in range(3)], -1)


def _forces(table: Table, time_s: F64) -> F64:
    """Plates ``[T, 2, 9]`` at the markers' times, each the mean over one of their frames."""
    step = float(np.median(np.diff(time_s)))
    count = max(round(step / float(np.median(np.diff(table.time_s)))), 1)
    shifts = (np.arange(count) - (count - 1) / 2) * (step / count)
    out = np.zeros((len(time_s), 2, 9))
    for foot, (_, _, _, prefix) in enumerate(_SIDES):
        for part, (kind, at) in enumerate((("force", "v"), ("force", "p"), ("torque", ""))):
            for axis, letter in enumerate("xyz"):
                name = f"{prefix}ground_{kind}_{at}{letter}"
                inside = [np.clip(time_s + shift, table.time_s[0], table.time_s[-1]) for shift in shifts]
                out[:, foot, 3 * part + axis] = np.mean([table.at(name, t) for t in inside], axis=0)
    turned = out.reshape(len(time_s), 2, 3, 3) @ TO_Z_UP.T
    return np.asarray(turned.reshape(len(time_s), 2, 9))


def joints_of_markers(walk: Markers, static: Markers) -> dict[str, F64]:
    """Joint centres from a marker set in which knees and ankles are marked in a static trial only.

    Shank and foot clusters carry the centres of knee and ankle from the static to the walking trial (least
    squares, Kabsch 1976). Hips by the regression of Harrington et al., J Biomech 40 (2007).
    """
    found: dict[str, F64] = {"neck": (walk["R.Acromium"] + walk["L.Acromium"]) / 2}
    temples = (walk["R.Temple"] + walk["L.Temple"]) / 2
    found["head"] = temples
    hips = _harrington(walk)
    for side, s, _, _ in _SIDES:
        found[f"{side}_hip"] = hips[side]
        shank = tuple(f"{s}.Shank.{part}" for part in ("Upper", "Front", "Rear"))
        knee = _middle(static, f"{s}.Knee.Lat", f"{s}.Knee.Med")
        ankle = _middle(static, f"{s}.Ankle.Lat", f"{s}.Ankle.Med")
        foot = tuple(f"{s}.{part}" for part in ("Heel", "Midfoot.Sup", "Midfoot.Lat"))
        # the skin slides least over the segment below
        found[f"{side}_knee"] = _carry(static, walk, shank, knee)
        found[f"{side}_ankle"] = _carry(static, walk, foot, ankle)
        found[f"{side}_foot"] = _carry(static, walk, foot, _ball(static, s))
        found[f"{side}_shoulder"] = walk[f"{s}.Acromium"] - np.array([0.0, 0.0, 0.04])
        found[f"{side}_elbow"] = walk[f"{s}.Elbow"]
        found[f"{side}_wrist"] = (walk[f"{s}.Wrist.Med"] + walk[f"{s}.Wrist.Lat"]) / 2
    return found


def _middle(markers: Markers, *names: str) -> F64:
    return np.asarray(np.nanmean([np.nanmean(markers[name], axis=0) for name in names], axis=0))


def _ball(static: Markers, s: str) -> F64:
    """Between the heads of the first and fifth metatarsals, at 68 % of the foot; the toe markers lie on the
    toes."""
    heel, tip = _middle(static, f"{s}.Heel"), _middle(static, f"{s}.Toe.Tip")
    ball = heel + _BALL * (tip - heel)
    ball[2] = _middle(static, f"{s}.Toe.Lat", f"{s}.Toe.Med")[2]
    return ball


def _carry(static: Markers, walk: Markers, cluster: tuple[str, ...], point: F64) -> F64:
    """A point that moves rigidly with a cluster of markers, ``[T, 3]``."""
    rest = np.stack([np.nanmean(static[name], axis=0) for name in cluster])
    now = np.stack([walk[name] for name in cluster], axis=1)
    middle, centre = rest.mean(axis=0), now.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("ka,tkb->tab", rest - middle, now - centre))
    flip = np.tile(np.eye(3), (len(now), 1, 1))
    flip[:, 2, 2] = np.sign(np.linalg.det(u @ vt))
    turn = (u @ flip @ vt).transpose(0, 2, 1)
    return np.asarray(centre[:, 0] + turn @ (point - middle))


def _harrington(walk: Markers) -> dict[str, F64]:
    """Hip centres from the pelvis's markers: x = -0.24 depth - 9.9 mm, and so on, from the middle of the
    ASIS."""
    right, left, back = walk["R.ASIS"], walk["L.ASIS"], walk["V.Sacral"]
    front = (right + left) / 2
    aside = left - right
    width = np.linalg.norm(aside, axis=-1, keepdims=True)
    aside = aside / width
    ahead = front - back
    depth = np.linalg.norm(ahead, axis=-1, keepdims=True)
    ahead = ahead - (ahead * aside).sum(-1, keepdims=True) * aside
    ahead = ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)
    up = np.cross(ahead, aside)
    base = front - (0.24 * depth + 0.0099) * ahead - (0.30 * width + 0.0109) * up
    return {
        name: base + sign * (0.33 * width + 0.0073) * aside for name, sign in (("left", 1), ("right", -1))
    }

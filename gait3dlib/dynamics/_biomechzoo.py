"""Trials of the biomechZoo sample study: joint centres, two force plates, published moments.

The study ships as c3d files; each was turned into one ``.npz`` with ``labels``, ``points_mm``, ``analog`` and
the plates' corners. The labels are those of Vicon's Plug-in Gait and the Oxford foot model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.dynamics._trials import F64, MotionTrial, between_markers, joint, read_archive
from gait3dlib.errors import InputError

_ARRAYS = (
    "labels", "points_mm", "rate", "analog_labels", "analog", "analog_rate",
    "fp_corners", "fp_origin", "mass_kg", "height_m",
)  # fmt: skip
# joint -> the markers whose mean it is, best first; {s} is the side
_SIDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "hip": (("{s}HJC",),),
    "knee": (("{s}FEO",),),
    "ankle": (("{s}TIO",),),
    "foot": (("{s}D1M0", "{s}D5M"), ("{s}TOE",)),
    "shoulder": (("{s}CLO",), ("{s}SHO",)),
    "elbow": (("{s}HUO",), ("{s}ELB",)),
    "wrist": (("{s}RAO",), ("{s}WRA", "{s}WRB")),
    "hand": (("{s}HNO",), ("{s}FIN",)),
}
_MIDDLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "neck": (("C7", "CLAV"), ("LSHO", "RSHO")),
    "head": (("HEDO",), ("LFHD", "RFHD", "LBHD", "RBHD")),
}
LOADED_N = 10.0  # a plate that bears less is taken for empty
IN_FOOT_M = 0.13  # centres of pressure lie 3 to 8 cm from the middle of the foot that stands there
SURE_SWING_S = 0.12  # no swing is shorter, so right before and after a step on a plate the foot bears nothing


def read_biomechzoo(path: str | Path) -> MotionTrial:
    """One trial of the biomechZoo sample study.

    ``published`` holds ``moment/left_knee`` and so on ``[T]``: the study's internal moments in N m/kg,
    extension + (ankle: plantarflexion); and ``axis/left_knee`` ``[T, 3]``, about which that moment acts.

    Raises:
        InputError: the file is unreadable or lacks arrays or markers that joints are made of.
    """
    arrays = read_archive(path, _ARRAYS)
    points = arrays["points_mm"].astype(np.float64) / 1000
    markers = _Markers({str(name): i for i, name in enumerate(arrays["labels"])}, points, str(path))
    names = {f"{word}_{part}": tuple(tuple(m.format(s=s) for m in group) for group in groups)
             for word, s in (("left", "L"), ("right", "R")) for part, groups in _SIDED.items()}  # fmt: skip
    found = {name: markers.centre(groups) for name, groups in (names | _MIDDLE).items()}
    joints = between_markers(len(points), found)
    fps = float(arrays["rate"])
    return MotionTrial(
        joints,
        fps,
        mass_kg=float(arrays["mass_kg"]),
        height_m=float(arrays["height_m"]),
        ground_reaction=_plates(arrays, joints, fps),
        published=_published(markers),
    )


@dataclass(frozen=True)
class _Markers:
    index: dict[str, int]
    points: F64
    path: str

    def centre(self, groups: tuple[tuple[str, ...], ...]) -> F64:
        """The mean of the first group of markers that is there and seen in every frame."""
        best: F64 | None = None
        for group in groups:
            if not all(name in self.index for name in group):
                continue
            mean = self.points[:, [self.index[name] for name in group]].mean(axis=1)
            if np.isfinite(mean).all():
                return np.asarray(mean)
            best = mean if best is None else best
        if best is None:
            raise InputError(f"{self.path} has none of the markers {' or '.join(map('+'.join, groups))}")
        return best


def _published(markers: _Markers) -> dict[str, F64]:
    """The study's flexion moments, and the axes of the distal segments that they are about."""
    found: dict[str, F64] = {}
    for word, s in (("left", "L"), ("right", "R")):
        for part, (segment, sign) in _DISTAL.items():
            label = f"{s}{part.capitalize()}Moment"
            names = (label, f"{s}{segment}L", f"{s}{segment}O")
            if not all(name in markers.index for name in names):
                continue
            moment, tip, origin = (markers.points[:, markers.index[name]] for name in names)
            left = tip - origin
            # all values were divided by 1000 as if they were millimetres; these are N mm per kg
            found[f"moment/{word}_{part}"] = moment[:, 0]
            found[f"axis/{word}_{part}"] = sign * left / np.linalg.norm(left, axis=-1, keepdims=True)
    return found


# the segment below each joint, and the sign of extension about the axis that points left
_DISTAL = {"ankle": ("FO", 1.0), "knee": ("TI", -1.0), "hip": ("FE", 1.0)}


def _plates(arrays: dict[str, NDArray[Any]], joints: F64, fps: float) -> F64:
    """``[T, 2, 9]``: what the two plates measured, given to the foot that stood there."""
    analog = arrays["analog"].astype(np.float64)
    every = float(arrays["analog_rate"]) / fps
    order = [str(name) for name in arrays["analog_labels"]]
    out = np.full((len(joints), 2, 9), np.nan)
    feet = np.stack(
        [(joints[:, joint(f"{s}_ankle")] + joints[:, joint(f"{s}_foot")]) / 2 for s in ("left", "right")], 1
    )
    for plate in (0, 1):
        columns = [order.index(f"{axis}{plate + 1}") for axis in ("Fx", "Fy", "Fz", "Mx", "My", "Mz")]
        smooth = ndimage.uniform_filter1d(analog[:, columns], max(round(every), 1), axis=0)
        at = np.clip((np.arange(len(joints)) * every).round().astype(int), 0, len(smooth) - 1)
        load = _in_world(smooth[at], arrays["fp_corners"][plate], float(arrays["fp_origin"][plate][2]))
        _give(load, feet, out, round(SURE_SWING_S * fps))
    return out


def _in_world(wrench: F64, corners: NDArray[Any], depth_mm: float) -> F64:
    """Force, point of action and free moment ``[T, 9]`` of a plate with z down and its sensor below the
    top."""
    corner = corners.astype(np.float64)
    x = corner[0] - corner[1]
    x /= np.linalg.norm(x)
    y = corner[0] - corner[3]
    y /= np.linalg.norm(y)
    turn = np.stack([x, y, np.cross(x, y)], 1)
    force, moment = wrench[:, :3], wrench[:, 3:] / 1000
    depth = depth_mm / 1000
    with np.errstate(divide="ignore", invalid="ignore"):
        px = -(moment[:, 1] + depth * force[:, 0]) / force[:, 2]
        py = (moment[:, 0] - depth * force[:, 1]) / force[:, 2]
    free = moment[:, 2] - (px * force[:, 1] - py * force[:, 0])
    local = np.stack([px, py, np.zeros_like(px)], 1)
    twist = np.stack([np.zeros_like(free), np.zeros_like(free), free], 1)
    return np.concatenate([force @ turn.T, corner.mean(0) / 1000 + local @ turn.T, twist @ turn.T], 1)


def _give(load: F64, feet: F64, out: F64, margin: int) -> None:
    """Write a plate's loaded intervals into the rows of the foot whose middle they lie at."""
    runs, count = ndimage.label(load[:, 2] > LOADED_N)
    for run in range(1, count + 1):
        rows = np.flatnonzero(runs == run)
        gap = np.linalg.norm(load[rows, None, 3:5] - feet[rows, :, :2], axis=-1)
        weight = load[rows, 2] / load[rows, 2].sum()
        gap = (gap * weight[:, None]).sum(0)
        foot = int(gap.argmin())
        if gap[foot] > IN_FOOT_M or len(rows) < 5:
            continue
        for quiet in (range(rows[0] - margin, rows[0]), range(rows[-1] + 1, rows[-1] + 1 + margin)):
            inside = [row for row in quiet if 0 <= row < len(out) and np.isnan(out[row, foot, 0])]
            out[inside, foot] = 0.0
        out[rows, foot] = load[rows]

"""What the segments of a body weigh: de Leva's table on joints, or a body's own mesh.

P. de Leva, "Adjustments to Zatsiorsky-Seluyanov's segment inertia parameters", J Biomech 29 (1996), table 4;
here the mean of its women and men, as dimensionless results should not hang on a label. The foot's centre and
radius are Winter's (Biomechanics and Motor Control of Human Movement, 2009, table 4.1), which are stated
between ankle and ball as joints are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES

F64 = NDArray[np.float64]
_J = {name: index for index, name in enumerate(JOINT_NAMES)}


@dataclass(frozen=True)
class Segment:
    """One rigid part: which joint carries it, where it lies between points, what it weighs.

    ``start`` and ``end`` are means of joints; ``centre`` is the share of the way from start to end; the radii
    of gyration are shares of that distance.
    """

    joint: str
    start: tuple[str, ...]
    end: tuple[str, ...]
    mass: float
    centre: float
    across: float
    along: float


_HIPS = ("left_hip", "right_hip")
# the trunk from mid-hip to the neck (CERV), in de Leva's three parts; its radii as shares of that whole
# length
_TRUNK = (
    Segment("pelvis", _HIPS, ("neck",), 0.11820, 0.122, 0.145, 0.158),
    Segment("spine1", _HIPS, ("neck",), 0.15490, 0.458, 0.150, 0.161),
    Segment("spine3", _HIPS, ("neck",), 0.15705, 0.804, 0.157, 0.170),
)
_LIMBS = (
    ("hip", "hip", "knee", 0.14470, 0.3854, 0.3480, 0.1555),
    ("knee", "knee", "ankle", 0.04570, 0.4374, 0.2605, 0.0980),
    ("ankle", "ankle", "foot", 0.01330, 0.5000, 0.4750, 0.2400),
    ("shoulder", "shoulder", "elbow", 0.02630, 0.5763, 0.2730, 0.1530),
    ("elbow", "elbow", "wrist", 0.01500, 0.4567, 0.2648, 0.1075),
    ("wrist", "wrist", "hand", 0.00585, 0.7687, 0.5315, 0.3680),
)


@lru_cache(maxsize=1)
def segments() -> tuple[Segment, ...]:
    """All 16 segments; their masses add to 1."""
    made = list(_TRUNK)
    # head and neck: SMPL's head joint lies between the ears, where de Leva's centre of the head is
    made.append(Segment("head", ("neck",), ("head",), 0.06810, 1.0, 0.62, 0.52))
    for side in ("left", "right"):
        for joint, start, end, mass, centre, across, along in _LIMBS:
            names = (f"{side}_{joint}", (f"{side}_{start}",), (f"{side}_{end}",))
            made.append(Segment(*names, mass, centre, across, along))
    total = sum(segment.mass for segment in made)
    return tuple(Segment(s.joint, s.start, s.end, s.mass / total, s.centre, s.across, s.along) for s in made)


@lru_cache(maxsize=1)
def point_matrices() -> tuple[F64, F64, F64]:
    """Start, end and centre of every joint's segment as means of joints: three ``[24, 24]``.

    A joint that carries no segment starts, ends and has its centre at itself.
    """
    start, end = np.eye(24), np.eye(24)
    centre = np.eye(24)
    for segment in segments():
        row = _J[segment.joint]
        start[row] = end[row] = 0.0
        start[row, [_J[name] for name in segment.start]] = 1 / len(segment.start)
        end[row, [_J[name] for name in segment.end]] = 1 / len(segment.end)
        centre[row] = (1 - segment.centre) * start[row] + segment.centre * end[row]
    return start, end, centre


def table_mass() -> F64:
    """Mass of each joint's segment as a share of the body's, ``[24]``."""
    mass = np.zeros(24)
    for segment in segments():
        mass[_J[segment.joint]] = segment.mass
    return mass


def table_inertia(lengths: F64, mass: F64) -> F64:
    """Inertia ``[24, 3, 3]`` about each centre of mass, the third axis along the segment.

    Args:
        lengths: ``[24]`` from start to end, metres.
        mass: ``[24]`` kilograms (or shares of the body's mass).
    """
    inertia = np.zeros((24, 3, 3))
    for segment in segments():
        row = _J[segment.joint]
        across, along = segment.across * lengths[row], segment.along * lengths[row]
        inertia[row] = mass[row] * np.diag([across**2, across**2, along**2])
    return inertia

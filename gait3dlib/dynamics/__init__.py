"""Inverse dynamics: from the motion of a body to the forces that move it.

>>> from gait3dlib.dynamics import inverse_dynamics
>>> found = inverse_dynamics(joints, fps=100.0)                     # doctest: +SKIP
>>> found.moment[:, 4]                     # left knee, over m g h    # doctest: +SKIP
>>> found.si(mass_kg=70).moment_nm[:, 4]   # newton metres           # doctest: +SKIP
"""

from gait3dlib.dynamics._biomechzoo import read_biomechzoo
from gait3dlib.dynamics._dynamics import inverse_dynamics
from gait3dlib.dynamics._estimators import read_imdy, read_physpt
from gait3dlib.dynamics._laboratory import read_opensim_walk
from gait3dlib.dynamics._opensim import Markers, Table, read_storage, read_trc
from gait3dlib.dynamics._osim import ModelMotion, read_osim
from gait3dlib.dynamics._result import Dynamics, ForcesSI
from gait3dlib.dynamics._steps import measured_steps
from gait3dlib.dynamics._tree import (
    ExternalLoad,
    RigidTree,
    SegmentMotion,
    joint_powers,
    joint_wrenches,
    mechanical_energy,
    move_tree,
)
from gait3dlib.dynamics._trials import MotionTrial
from gait3dlib.dynamics._walking import MeasuredStep, WalkingReaction, fit_reaction

__all__ = [
    "Dynamics",
    "ExternalLoad",
    "ForcesSI",
    "Markers",
    "MeasuredStep",
    "ModelMotion",
    "MotionTrial",
    "RigidTree",
    "SegmentMotion",
    "Table",
    "WalkingReaction",
    "fit_reaction",
    "inverse_dynamics",
    "joint_powers",
    "joint_wrenches",
    "measured_steps",
    "mechanical_energy",
    "move_tree",
    "read_biomechzoo",
    "read_imdy",
    "read_opensim_walk",
    "read_osim",
    "read_physpt",
    "read_storage",
    "read_trc",
]

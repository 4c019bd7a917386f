"""Simulated walkers: drawn from published norms, walking, seen by cameras.

>>> from gait3dlib.simulation import observe, sample_walker
>>> walk, truth = observe(sample_walker(seed=1, index=0), seed=1, view_deg=90)
>>> walk.streams["silhouette"].data.shape
(60, 96, 96)
"""

from gait3dlib.simulation.bare import observe_bare, simulate_bare
from gait3dlib.simulation.conditions import CELLS, Condition
from gait3dlib.simulation.dataset import simulate
from gait3dlib.simulation.observing import observe_conditions
from gait3dlib.simulation.style import GaitStyle
from gait3dlib.simulation.walker import Motion, Walker, sample_walker
from gait3dlib.simulation.world import WORLD_VERSION, View, observe, observe_views

__all__ = [
    "CELLS",
    "WORLD_VERSION",
    "Condition",
    "GaitStyle",
    "Motion",
    "View",
    "Walker",
    "observe",
    "observe_bare",
    "observe_conditions",
    "observe_views",
    "sample_walker",
    "simulate",
    "simulate_bare",
]

"""Fit the parametric body to what a walk holds: one shape, a smooth motion, over the whole walk at once.

``fit_body(gait3dlib.load("walk.h5"))`` gives a :class:`BodyFit`: its ``stream`` is the ``smpl`` stream of the
walk, its ``shape`` says age, height and mass of the body that was found.
"""

from gait3dlib.fitting._fit import BodyFit, fit_body, fit_joints

__all__ = ["BodyFit", "fit_body", "fit_joints"]

"""Fit the parametric body to what a walk holds: one shape, a smooth motion, over the whole walk at once.

>>> from gait3dlib.fitting import fit_joints
>>> fit = fit_joints(joints, t_ns)              # [T, 24, 3] in metres, NaN = not known
>>> fit.stream.data.shape, fit.shape.height_m
((60, 85), 1.71)
"""

from gait3dlib.fitting._fit import BodyFit, fit_joints

__all__ = ["BodyFit", "fit_joints"]

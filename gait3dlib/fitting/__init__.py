"""Fit the parametric body to what a walk holds: one shape, a smooth motion, over the whole walk at once.

>>> from gait3dlib.fitting import fit_body
>>> fit = fit_body(gait3dlib.load("walk.h5"))
>>> fit.stream.data.shape, fit.shape.height_m
((60, 85), 1.71)
"""

from gait3dlib.fitting._fit import BodyFit, fit_body, fit_joints

__all__ = ["BodyFit", "fit_body", "fit_joints"]

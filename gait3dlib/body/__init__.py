"""A free parametric body in SMPL's layout of 24 joints.

Axes: x forward, y left, z up; metres, radians, kilograms. At rest the body stands in a T-pose and
faces +x: arms along +y (left) and -y (right) with the palms down, legs along -z, the lowest point
of the soles at z = 0 and the pelvis joint over x = y = 0. All joint frames are world-aligned
there, so zero rotations are the T-pose.

>>> import numpy as np
>>> from gait3dlib.body import Body, BodyShape
>>> person = Body.load().shape(BodyShape(35, "female", height_m=1.65, mass_kg=62))
>>> vertices, joints = person.pose(np.zeros((1, 24, 3)), np.zeros((1, 3)))
>>> vertices.shape, joints.shape
((1, 6002, 3), (1, 24, 3))
"""

from gait3dlib.body._layouts import JOINT_NAMES, LAYOUTS, MIRROR, PARENTS, PLUG_IN_GAIT, to_smpl24
from gait3dlib.body._numbers import SHAPE_NAMES
from gait3dlib.body._shape import Body
from gait3dlib.body._shaped import COCO_NAMES, ShapedBody
from gait3dlib.body._smpl import SmplBody, SmplPerson
from gait3dlib.body._solver import DENSITY_KG_M3, BodyShape

__all__ = [
    "COCO_NAMES",
    "DENSITY_KG_M3",
    "JOINT_NAMES",
    "LAYOUTS",
    "MIRROR",
    "PARENTS",
    "PLUG_IN_GAIT",
    "SHAPE_NAMES",
    "Body",
    "BodyShape",
    "ShapedBody",
    "SmplBody",
    "SmplPerson",
    "to_smpl24",
]

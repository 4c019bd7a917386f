"""What a walker wears and carries: coat, skirt, loose trousers, bag, backpack, box, umbrella.

>>> import numpy as np
>>> from gait3dlib.body import Body, BodyShape
>>> from gait3dlib.simulation.outfit import Outfit, dress
>>> body = Body.load("low").shape(BodyShape(35, "female", height_m=1.65, mass_kg=62))
>>> dressed = dress(body, Outfit("coat", "bag", seed=1))
>>> still = np.tile(np.eye(3), (2, 24, 1, 1))
>>> vertices, joints, landmarks = dressed.pose(still, np.zeros((2, 3)), np.array([0.0, 0.1]))
>>> bool(vertices.shape[1] > body.vertices.shape[0]), joints.shape
(True, (2, 24, 3))
"""

from gait3dlib.simulation.outfit._arms import carry
from gait3dlib.simulation.outfit._cut import CARRIED, CLOTHES, Carried, Clothes, Outfit
from gait3dlib.simulation.outfit._dressed import CARRIED_LABEL, CLOTHES_LABEL, SKIN_LABEL, Dressed, dress

__all__ = [
    "CARRIED",
    "CARRIED_LABEL",
    "CLOTHES",
    "CLOTHES_LABEL",
    "SKIN_LABEL",
    "Carried",
    "Clothes",
    "Dressed",
    "Outfit",
    "carry",
    "dress",
]

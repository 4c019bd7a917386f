"""A simulated corridor with a noisy stereo camera, two people who cross in its view; rendered once."""

from __future__ import annotations

from functools import cache

import numpy as np

from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.software_camera import Shot, corridor_shots
from gait3dlib.simulation.things import box, wall
from gait3dlib.types import Frame

FPS, SECONDS = 10.0, 4.6
CAMERA = look_at(
    np.array([0.0, -4.2, 1.3]), np.array([0.0, 0.0, 0.95]), width=424, height=240, field_of_view_deg=70
)
NEAR_Y, FAR_Y = -0.3, 0.7


@cache
def make_corridor() -> Scene:
    """The first walks along +x, the second the other way behind; they hide each other half way."""
    ways = [(0, NEAR_Y, 0.0, 0.0), (3, FAR_Y, 180.0, 0.1)]
    actors = [
        Actor.walking(
            sample_walker(5, who),
            seed=who,
            seconds=SECONDS - 0.8,
            start_s=0.8,
            x_m=x,
            y_m=y,
            heading_deg=turn,
        )
        for who, y, turn, x in ways
    ]
    things = [wall((-6, 2.6), (6, 2.6)), box(2.2, 1.8, length_m=0.6, width_m=0.6, height_m=1.0)]
    return Scene(actors, things)


@cache
def made_shots() -> tuple[Shot, ...]:
    """What the camera takes in the corridor."""
    return tuple(corridor_shots(make_corridor(), CAMERA, seconds=SECONDS, fps=FPS, seed=1))


def frames_of(shots: list[Shot]) -> list[Frame]:
    return [Frame({"depth": shot.depth}, shot.t_ns) for shot in shots]

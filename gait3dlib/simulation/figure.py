"""Walkers that differ from front to back and in nothing else: belly and stoop on one average body.

A planted factor: seen from the front no outline shows it, but for what perspective gives away (a head 10 cm
nearer to a camera 4 m away is 2.5 % larger); depth does. Everybody walks on the spot as the average person
walks, each time as on another day, at a stated distance from a D435.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import BodyShape
from gait3dlib.errors import InputError
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.conditions import Condition
from gait3dlib.simulation.depth_camera import DepthCamera
from gait3dlib.simulation.lidar import Mount, lidar
from gait3dlib.simulation.observation import Observation
from gait3dlib.simulation.rig import LIDAR_HZ, Rig
from gait3dlib.simulation.scene import Actor, Clock, Scene, State
from gait3dlib.simulation.style import GaitStyle
from gait3dlib.simulation.walker import Walker
from gait3dlib.types import GaitSequence, Labels, Meta

F64 = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
BELLY_M, STOOP_M = (0.0, 0.20), (-0.04, 0.20)  # how far the front, and the neck, are moved forward
BELLY_AT, STOOP_FROM = (0.55, 0.66), (0.52, 0.68)  # shares of the stature
BELLY_HIGH, BELLY_WIDE = 0.06, 0.09  # spread of the belly, shares of the stature
NECK = 0.82
WIDTH, HEIGHT, FIELD_OF_VIEW_DEG = 848, 480, 87.0  # of a D435's depth
WALKS = 24  # days of the average person that everybody's walks are drawn from


@dataclass(frozen=True)
class Figure:
    """How a body departs from the average one, along the direction of its walk only.

    Attributes:
        belly_m: how far the belly stands out.
        belly_at: its height, as a share of the stature.
        stoop_m: how far neck, head and arms lie before the hips.
        stoop_from: where the stoop begins, as a share of the stature.
    """

    belly_m: float = 0.0
    belly_at: float = 0.6
    stoop_m: float = 0.0
    stoop_from: float = 0.6

    def forward(self, rest: Floats, height_m: float) -> F64:
        """How far points ``[N, 3]`` of a body at rest (T-pose, facing +x, on the ground) go forward, m."""
        x, y, z = (np.asarray(rest[:, axis], np.float64) / height_m for axis in range(3))
        bend = np.clip((z - self.stoop_from) / (NECK - self.stoop_from), 0, 1)
        front = np.clip(x / 0.06, 0, 1)
        bump = np.exp(-0.5 * (((z - self.belly_at) / BELLY_HIGH) ** 2 + (y / BELLY_WIDE) ** 2))
        return self.stoop_m * bend**1.5 + self.belly_m * front * bump


def draw_figure(seed: int, index: int) -> Figure:
    """The ``index``-th figure of the population ``seed``."""
    rng = np.random.default_rng([seed, index, 31])
    ranges = (BELLY_M, BELLY_AT, STOOP_M, STOOP_FROM)
    return Figure(*(float(rng.uniform(*span)) for span in ranges))


def observe_figure(
    figure: Figure,
    *,
    seed: int,
    distance_m: float,
    subject: str | None = None,
    session: str = "",
    seconds: float = 2.0,
    fps: float = 10.0,
    size: int = 96,
    camera: DepthCamera | None = None,
) -> GaitSequence:
    """One walk on the spot, seen from the front: streams ``silhouette`` and ``depth`` (mm).

    Args:
        figure: who walks.
        seed: of the day, the camera's height and the noise.
        distance_m: from the camera; 1.8 at least, or the body does not fit into the picture.
        subject: name of the walker.
        session: name written to the meta data.
        seconds: length.
        fps: frames a second.
        size: pixels of the square crops.
        camera: the depth camera's numbers; a D435's by default.

    Raises:
        InputError: nearer than the camera sees a whole body.
        MissingDependency: the ``simulation`` extra is not installed.
    """
    if not 1.8 <= distance_m <= 10:
        raise InputError(f"distance_m: 1.8 to 10 metres, not {distance_m:g}")
    rng = np.random.default_rng([seed, 32])
    actor = _in_figure(_day(int(rng.integers(WALKS)), seconds), figure)
    position = np.array([distance_m, 0.0, rng.uniform(0.9, 1.2)])
    sees = look_at(
        position, np.array([0.0, 0.0, 0.88]), width=WIDTH, height=HEIGHT, field_of_view_deg=FIELD_OF_VIEW_DEG
    )
    clock = Clock(fps)
    rig = Rig(
        sees,
        camera or DepthCamera(),
        lidar(64, hz=LIDAR_HZ),
        Mount.facing(0.0, distance_m, 1.5),
        clock,
        clock,
        Clock(LIDAR_HZ),
    )
    condition = Condition(view_deg=0.0, fps=fps)  # where the sensors stand is said by the rig
    scene = Scene([actor], ground=False)
    seen = Observation(scene, condition, rig, rng, seconds, size).streams(("silhouette", "depth"))
    return GaitSequence(seen, subject, Meta("simulated", session))


def average_walker() -> Walker:
    """The one body and manner that all figures share."""
    shape = BodyShape(35.0, "male", 1.72, 70.0, 0.5, 0.5)
    return Walker("average", Labels(35.0, "male", 1.72, 70.0), shape, GaitStyle())


@lru_cache(maxsize=WALKS)
def _day(number: int, seconds: float) -> Actor:
    """The average person walks on the spot."""
    actor = Actor.walking(average_walker(), seed=number, seconds=seconds)
    x = actor.tape.joints[:, 0, 0].astype(np.float64)
    way = np.polyval(np.polyfit(actor.motion.t_s, x, 1), actor.motion.t_s)
    back = -way[:, None]
    return _moved(actor, back, back, back)


def _in_figure(actor: Actor, figure: Figure) -> Actor:
    """The same walk in another body; moved forward is what the walk moves, wherever it is turned to."""
    body = actor.walker.body()
    skin = figure.forward(body.vertices, body.height_m)
    joints = figure.forward(body.joints, body.height_m)
    # key points: nose, eyes and ears go with the head, the others are joints; none of them is asked for
    return _moved(actor, skin[None], joints[None], np.zeros((1, actor.tape.landmarks.shape[1])))


def _moved(actor: Actor, skin: Floats, joints: Floats, landmarks: Floats) -> Actor:
    """Forward, along the way, by metres ``[T or 1, N or 1]``."""
    parts = []
    for part, step in zip(
        (actor.tape.vertices, actor.tape.joints, actor.tape.landmarks), (skin, joints, landmarks), strict=True
    ):
        moved = part.copy()
        moved[..., 0] += step.astype(np.float32)
        parts.append(moved)
    return dataclasses.replace(actor, tape=State(*parts))

"""Where cameras, LiDARs and obstacles stand for a condition. Nothing here depends on who walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.conditions import Condition
from gait3dlib.simulation.depth_camera import DepthCamera
from gait3dlib.simulation.lidar import Lidar, Mount, lidar
from gait3dlib.simulation.scene import Actor, Clock
from gait3dlib.simulation.things import Thing, box, pole, wall
from gait3dlib.simulation.walker import sample_walker
from gait3dlib.types import Calibration

AIM_HEIGHT_M = 0.9
NOMINAL_HEIGHT_M = 1.7
FIELD_OF_VIEW_DEG = 60.0
PASSERS_BY = 977  # the population that crosses other people's walks; nobody of it is in a data set
LIDAR_HZ = 10.0


@dataclass(frozen=True)
class Rig:
    """The sensors of one view, each with its own clock.

    Attributes:
        camera: colour camera; the depth camera is aligned to it.
        depth: the depth camera's numbers.
        lidar: the LiDAR's numbers.
        mount: where it stands.
        camera_clock: of silhouettes and key points.
        depth_clock: of depth and joints.
        lidar_clock: when revolutions begin.
    """

    camera: Calibration
    depth: DepthCamera
    lidar: Lidar
    mount: Mount
    camera_clock: Clock
    depth_clock: Clock
    lidar_clock: Clock


def place(condition: Condition, rng: np.random.Generator, seconds: float) -> Rig:
    """The sensors of a condition; ``rng`` draws the offsets of their clocks.

    A walk longer than two seconds is seen from farther away in proportion, so that it stays in the image.
    """
    stretch = max(1.0, seconds / 2.0)
    offsets = rng.random(3) * np.array([1 / condition.fps, 1 / condition.fps, 1 / LIDAR_HZ])
    return Rig(
        camera_of(condition, stretch),
        DepthCamera(),
        lidar(condition.beams, hz=LIDAR_HZ),
        Mount.facing(
            condition.view_deg + condition.turned_deg,
            condition.lidar_distance_m * stretch,
            condition.lidar_height_m,
        ),
        Clock(condition.fps, float(offsets[0]), 0.001),
        Clock(condition.fps, float(offsets[1]), 0.0005),
        Clock(LIDAR_HZ, float(offsets[2]), 0.0002),
    )


def camera_of(condition: Condition, stretch: float = 1.0) -> Calibration:
    """An image in which a person of 1.7 m at the middle of the walk is ``height_px`` tall."""
    distance = condition.distance_m * stretch
    angle = np.deg2rad(condition.view_deg + condition.turned_deg)
    position = np.array([distance * np.cos(angle), distance * np.sin(angle), condition.camera_height_m])
    aim = AIM_HEIGHT_M + distance * np.tan(np.deg2rad(condition.tilt_deg))
    focal = condition.height_px * distance / NOMINAL_HEIGHT_M
    width = round(2 * focal * np.tan(np.deg2rad(FIELD_OF_VIEW_DEG) / 2))
    return look_at(
        position,
        np.array([0.0, 0.0, aim]),
        width=width,
        height=round(0.75 * width),
        field_of_view_deg=FIELD_OF_VIEW_DEG,
    )


def things_of(condition: Condition, rng: np.random.Generator, seconds: float) -> list[Thing]:
    """What stands between the camera and the way."""
    if condition.occlusion not in ("pole", "wall", "furniture"):
        return []
    angle = np.deg2rad(condition.view_deg + condition.turned_deg)
    towards, across = _directions(float(angle))
    near, far = _free_strip(condition, seconds)

    def spot(side: float) -> NDArray[np.float64]:
        return towards * rng.uniform(near + 0.1 * (far - near), near + 0.6 * (far - near)) + across * side

    def top(place: NDArray[np.float64], hidden_m: float) -> float:
        """How high something there must be to hide a walker up to ``hidden_m`` at the middle of the way."""
        share = float(place @ towards) / (condition.distance_m * max(1.0, seconds / 2.0))
        return max(0.1, hidden_m + (condition.camera_height_m - hidden_m) * share)

    if condition.occlusion == "pole":
        x, y = spot(rng.uniform(-0.4, 0.4))
        return [pole(x, y, radius_m=float(rng.uniform(0.04, 0.12)))]
    if condition.occlusion == "wall":
        # one end within the view: the legs are hidden on a part of the way
        end, side = spot(rng.uniform(-0.3, 0.3)), rng.choice((-1.0, 1.0))
        other = end + across * side * 6.0
        return [wall((end[0], end[1]), (other[0], other[1]), height_m=top(end, float(rng.uniform(0.3, 0.8))))]
    out = []
    for side in (-0.8, 0.6):
        middle = spot(side + rng.uniform(-0.4, 0.4))
        length, width, hidden = rng.uniform((0.4, 0.4, 0.3), (1.1, 0.6, 0.8))
        made = box(
            float(middle[0]),
            float(middle[1]),
            length_m=length,
            width_m=width,
            height_m=top(middle, hidden),
            turned_deg=float(rng.uniform(0, 180)),
            name="furniture",
        )
        out.append(made)
    return out


def people_of(condition: Condition, rng: np.random.Generator, seconds: float) -> list[Actor]:
    """Who else walks by: somebody crosses between camera and walker, somebody may pass behind."""
    if condition.occlusion != "people":
        return []
    angle = float(np.deg2rad(condition.view_deg + condition.turned_deg))
    towards, across = _directions(angle)
    out = []
    for number in range(int(rng.integers(1, 3))):
        ahead = rng.uniform(0.8, 1.3) * (1.0 if number == 0 else -1.0)
        if abs(towards[0]) > 0.8:  # along the way there is no room in front: they pass beside
            middle = across * rng.choice((-1.0, 1.0)) * rng.uniform(0.55, 0.8)
        else:
            middle = towards * ahead + np.array([rng.uniform(-0.5, 0.5), 0.0])
        walker = sample_walker(PASSERS_BY, int(rng.integers(400)))
        heading = float(rng.choice((0.0, 180.0)) + rng.uniform(-8, 8))
        out.append(
            Actor.walking(
                walker,
                seed=int(rng.integers(2**31)),
                seconds=seconds,
                speed=float(rng.uniform(0.8, 1.2)),
                x_m=float(middle[0]),
                y_m=float(middle[1]),
                heading_deg=heading,
            )
        )
    return out


def _directions(angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """On the ground from the middle of the walk to the camera, and to the left of that."""
    towards = np.array([np.cos(angle), np.sin(angle)])
    return towards, np.array([-towards[1], towards[0]])


def _free_strip(condition: Condition, seconds: float) -> tuple[float, float]:
    """Nearest and farthest place before the camera that no walker's way runs through."""
    angle = np.deg2rad(condition.view_deg + condition.turned_deg)
    near = abs(np.cos(angle)) * (seconds + 0.3) + 0.5
    far = condition.distance_m * max(1.0, seconds / 2.0) - 0.8
    return float(near), float(max(far, near + 0.3))

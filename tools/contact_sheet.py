"""Contact sheets of simulated people: shaded pictures by ray casting.

    python tools/contact_sheet.py bodies bodies.png     # child to old, thin to heavy, both sexes
    python tools/contact_sheet.py outfits outfits.png   # one walk with everything worn and carried
    python tools/contact_sheet.py world world.png       # all of them in one scene, seen from above

Skin is light, clothes are blue, what is carried is red: the labels of the mesh. ``--seed`` draws other
people, walks and cuts. Needs the extras ``simulation`` and ``video``.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.body import BodyShape, ShapedBody
from gait3dlib.simulation.camera import camera_position, look_at, pixel_rays
from gait3dlib.simulation.outfit import Carried, Clothes, Outfit, carry, dress
from gait3dlib.simulation.style import sample_style
from gait3dlib.simulation.walker import Walker
from gait3dlib.types import Calibration, Labels

Pixels = NDArray[np.uint8]
COLOURS = np.array([[196, 168, 146], [104, 132, 190], [186, 100, 72], [205, 205, 202]], float)
GROUND, WHITE = 3, 245.0
SHADES = 20  # few, so that the picture compresses
SUN = np.array([0.45, 0.55, 0.7])  # to the right of, towards and above the camera
CREASE = 0.6  # cosine; a sharper edge is shaded as one

PEOPLE: tuple[tuple[float, Literal["female", "male"], float, float], ...] = (
    (5, "female", 1.08, 17.0), (9, "male", 1.33, 29.0), (13, "female", 1.55, 60.0),
    (22, "female", 1.70, 49.0), (30, "male", 1.78, 76.0), (28, "male", 1.92, 68.0),
    (45, "female", 1.62, 86.0), (50, "male", 1.74, 116.0), (78, "female", 1.54, 52.0),
    (84, "male", 1.66, 74.0),
)  # fmt: skip
OUTFITS: tuple[tuple[Clothes, Carried], ...] = (
    ("plain", "none"), ("coat", "none"), ("skirt", "none"), ("loose_trousers", "none"),
    ("plain", "bag"), ("plain", "backpack"), ("plain", "box"), ("plain", "umbrella"),
    ("coat", "backpack"), ("skirt", "umbrella"),
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """Triangles to look at: vertices ``[V, 3]`` in metres, faces ``[F, 3]``, labels ``[F]``."""

    vertices: NDArray[np.floating[Any]]
    faces: NDArray[np.integer[Any]]
    labels: NDArray[np.integer[Any]]

    def moved(self, x: float, y: float, yaw_deg: float = 0.0) -> Model:
        c, s = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        return dataclasses.replace(self, vertices=self.vertices @ turn + [x, y, 0.0])


def together(models: Sequence[Model]) -> Model:
    starts = np.cumsum([0, *(len(m.vertices) for m in models[:-1])])
    faces = np.concatenate([m.faces + start for m, start in zip(models, starts, strict=True)])
    vertices = np.concatenate([m.vertices for m in models])
    return Model(vertices, faces, np.concatenate([m.labels for m in models]))


def ground(half_m: float) -> Model:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half_m
    return Model(corners, np.array([[0, 1, 2], [0, 2, 3]]), np.full(2, GROUND))


def render(model: Model, camera: Calibration) -> Pixels:
    """A picture ``[H, W, 3]`` (blue, green, red): Lambert's law, one sun, its shadows."""
    scene = require("embreex.rtcore_scene").EmbreeScene()
    corners = np.ascontiguousarray(model.vertices[model.faces], np.float32)
    require("embreex.mesh_construction").TriangleMesh(scene, corners)
    columns, rows = np.meshgrid(np.arange(float(camera.width)), np.arange(float(camera.height)))
    rays = np.ascontiguousarray(pixel_rays(camera, columns, rows).reshape(-1, 3))
    start = np.tile(camera_position(camera).astype(np.float32), (len(rays), 1))
    face = scene.run(start, rays, query="INTERSECT")
    hit = np.flatnonzero(face >= 0)
    far = scene.run(start[hit], rays[hit], query="DISTANCE")
    points = start[hit] + far[:, None] * rays[hit]
    normals = smooth_normals(model, face[hit], points.astype(float))
    normals *= -np.sign(np.sum(normals * rays[hit], axis=1))[:, None]
    right, ahead = rays[-1] - rays[0], rays.mean(axis=0)
    right, ahead = (np.array([v[0], v[1], 0.0]) / np.hypot(v[0], v[1]) for v in (right, ahead))
    towards = SUN[0] * right - SUN[1] * ahead + [0.0, 0.0, SUN[2]]
    sun = np.tile((towards / np.linalg.norm(towards)).astype(np.float32), (len(hit), 1))
    lit = scene.run(points + 0.01 * normals.astype(np.float32), sun, query="INTERSECT") < 0
    shade = 0.5 + 0.14 * normals[:, 2] + 0.36 * lit * np.maximum(np.sum(normals * sun, axis=1), 0.0)
    shade = np.round(shade * SHADES) / SHADES
    picture = np.full((len(rays), 3), WHITE)
    picture[hit] = COLOURS[model.labels[face[hit]]] * shade[:, None] * 1.1
    shape = (camera.height, camera.width, 3)
    return picture.reshape(shape)[..., ::-1].clip(0, 255).astype(np.uint8)


def smooth_normals(
    model: Model, face: NDArray[np.integer[Any]], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Normals ``[n, 3]`` at points on triangles, mixed from the corners' by area (Phong)."""
    triangle = model.vertices[model.faces]
    area = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    ends = model.faces.ravel()
    count = len(model.vertices)
    total = [np.bincount(ends, np.repeat(a, 3), count).astype(np.float64) for a in area.T]
    corner = np.stack(total, axis=1)
    corner = corner / np.maximum(np.linalg.norm(corner, axis=1, keepdims=True), 1e-12)
    a, b, c = (triangle[face, k] for k in range(3))
    shares = np.stack(
        [np.linalg.norm(np.cross(u - points, v - points), axis=1) for u, v in ((b, c), (c, a), (a, b))], 1
    )
    mixed = np.einsum("nk,nki->ni", shares, corner[model.faces[face]])
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    flat = area[face] / np.maximum(np.linalg.norm(area[face], axis=1, keepdims=True), 1e-12)
    nearest = np.einsum("nki,ni->nk", corner[model.faces[face]], flat).min(axis=1, keepdims=True)
    smooth = nearest > CREASE
    return np.asarray(np.where(smooth, mixed, flat))


def picture(model: Model, view_deg: float, height_m: float, *, size: tuple[int, int]) -> Pixels:
    """A model from an angle to its walking direction, from far away."""
    middle = np.array([0.0, 0.0, 0.5 * height_m])
    angle = np.deg2rad(view_deg)
    place = middle + 9.0 * np.array([np.cos(angle), np.sin(angle), 0.12])
    wide = np.rad2deg(2 * np.arctan(0.56 * height_m * size[0] / size[1] / 9.0))
    camera = look_at(place, middle, width=size[0], height=size[1], field_of_view_deg=wide)
    return render(together([model, ground(30.0)]), camera)


def walker(shape: BodyShape, seed: int) -> Walker:
    """Somebody of that shape, with a walk of their own."""
    rng, labels = (
        np.random.default_rng(seed),
        Labels(shape.age_years, shape.gender, shape.height_m, shape.mass_kg),
    )
    bmi = shape.mass_kg / shape.height_m**2
    style = sample_style(
        rng, age_years=shape.age_years, gender=shape.gender, height_m=shape.height_m, bmi=bmi
    )
    return Walker(f"sheet-{seed}", labels, shape, style)


def at_rest(body: ShapedBody) -> Model:
    """Standing with the arms lowered."""
    arms = np.zeros((1, 24, 3))
    arms[0, 16, 0], arms[0, 17, 0] = -1.2, 1.2
    vertices = body.pose(arms, np.zeros((1, 3)))[0][0]
    return Model(vertices, body.faces, np.zeros(len(body.faces), int))


def walking(
    who: Walker, outfit: Outfit, seed: int, frames: Sequence[int], detail: Any = "full"
) -> list[Model]:
    """Some frames of a walk in an outfit, over the origin."""
    motion = who.walk(seed=seed, seconds=1.4)
    dressed = dress(who.body(detail), outfit)
    rotations = carry(motion.rotations, outfit, motion.phase)
    place = motion.translation - [1.0, 0.0, 0.0] * motion.translation
    vertices, _, _ = dressed.pose(rotations, place, motion.t_s)
    return [Model(vertices[i], dressed.faces, dressed.labels) for i in frames]


def bodies(seed: int) -> Pixels:
    """Each body from the front, from the side, and in two frames of a walk."""
    columns = []
    for number, person in enumerate(PEOPLE):
        who = walker(BodyShape(*person), seed + number)
        body, height = who.body("full"), 1.98
        models = [at_rest(body), at_rest(body), *walking(who, Outfit(), seed, (12, 22))]
        views = (0.0, 90.0, 90.0, 35.0)
        shots = [picture(m, v, height, size=(118, 206)) for m, v in zip(models, views, strict=True)]
        columns.append(np.vstack(shots))
    return np.hstack(columns)


def outfits(seed: int) -> Pixels:
    """One walk in every outfit, from the side, the front, behind and at angles."""
    who = walker(BodyShape(30, "female", 1.68, 64.0), seed)
    columns = []
    for number, (clothes, carried) in enumerate(OUTFITS):
        models = walking(who, Outfit(clothes, carried, seed + number), seed, (8, 16, 24, 30))
        views = (90.0, 0.0, 225.0, 50.0)
        shots = [picture(m, v, 2.05, size=(138, 225)) for m, v in zip(models, views, strict=True)]
        columns.append(np.vstack(shots))
    return np.hstack(columns)


def world(seed: int) -> Pixels:
    """Everybody in one scene, one outfit each, from above."""
    models = [ground(40.0)]
    for number, (person, (clothes, carried)) in enumerate(zip(PEOPLE, OUTFITS, strict=True)):
        outfit = Outfit(clothes, carried, seed + number)
        (model,) = walking(walker(BodyShape(*person), seed + number), outfit, seed, (10 + number,))
        row, column = divmod(number, 5)
        models.append(
            model.moved(1.9 * row - 0.9, 1.3 * (column - 2) + 0.4 * row, 12.0 * ((number * 7) % 5 - 2))
        )
    camera = look_at(
        np.array([8.0, 4.2, 4.6]), np.array([0.4, 0.1, 0.6]), width=1000, height=470, field_of_view_deg=48.0
    )
    return render(together(models), camera)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sheets = {"bodies": bodies, "outfits": outfits, "world": world}
    parser.add_argument("sheet", choices=sorted(sheets))
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    made = sheets[options.sheet](options.seed)
    if not cv2.imwrite(str(options.out), made, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        parser.error(f"cannot write {options.out}; give a path that ends in .png")


if __name__ == "__main__":
    main()

"""The simulated camera: balls, walls and projections in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from shapes import ball

from gait3dlib.errors import InputError
from gait3dlib.simulation.camera import Scene, camera_position, look_at, look_in_box, pixel_rays, project


def test_a_ball_is_seen_where_geometry_says() -> None:
    centre, radius = np.array([0.3, -0.4, 1.1]), 0.35
    camera = look_at(np.array([3.0, 2.0, 1.8]), np.array([0.0, 0.0, 1.0]), width=160, height=120)
    x, y = np.meshgrid(np.arange(160.0), np.arange(120.0))
    depth = Scene(*ball(centre, radius, rings=120)).depth(camera, x, y)

    # the nearer root of |o + t d - c|^2 = r^2, rays scaled to depth
    rays = pixel_rays(camera, x, y).astype(np.float64)
    away = camera_position(camera) - centre
    a, b = np.sum(rays**2, -1), np.sum(rays * away, -1)
    inside = b**2 - a * (away @ away - radius**2)
    true = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0)
    wrong = (depth > 0) != (true > 0)
    outline = (true > 0) ^ ndimage.binary_erosion(true > 0)
    assert wrong.sum() <= 0.02 * outline.sum()  # 0.02 pixels of mean error along the outline
    # the polyhedron lies inside the ball, most at grazing rays
    both = ndimage.binary_erosion(true > 0, iterations=2)
    assert np.abs(depth - true)[both].max() < 1.5e-3


def test_a_wall_has_the_depth_of_its_plane_and_no_ray_leaves_the_image() -> None:
    camera = look_at(np.array([0.0, 0.0, 1.0]), np.array([5.0, 0.0, 1.0]), width=100, height=80)
    corners = np.array([[4.0, -9.0, -9.0], [4.0, 9.0, -9.0], [4.0, 9.0, 9.0], [4.0, -9.0, 9.0]])
    wall = Scene(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    x, y = np.meshgrid(np.arange(100.0), np.arange(80.0))
    np.testing.assert_allclose(wall.depth(camera, x, y), 4.0, rtol=1e-5)
    everywhere = np.array([-1e3, -1e3, 2e3, 2e3])
    crop = look_in_box(wall, camera, np.array([-50.0, -10.0, 100.0, 100.0]), 50, everywhere)
    assert (crop[:, :25] == 0).all()
    assert (crop[:5] == 0).all()
    assert (crop[5:45, 25:] > 0).all()
    assert (crop[45:] == 0).all()
    part = look_in_box(wall, camera, np.array([0.0, 0.0, 80.0, 80.0]), 40, np.array([20.0, 20.0, 30.0, 30.0]))
    assert 0 < (part > 0).sum() < 18**2


def test_projection_and_rays_are_inverse() -> None:
    rng = np.random.default_rng(1)
    camera = look_at(np.array([4.0, 3.0, 2.0]), np.array([0.0, 0.0, 0.9]))
    points = rng.uniform(-1, 1, (50, 3))
    seen = project(camera, points)
    back = camera_position(camera) + pixel_rays(camera, seen[:, 0], seen[:, 1]) * seen[:, 2:]
    np.testing.assert_allclose(back, points, atol=1e-5)
    np.testing.assert_allclose(project(camera, np.array([[0.0, 0.0, 0.9]]))[0, :2], [639.5, 479.5])
    higher = project(camera, points + np.array([0, 0, 0.1]))
    assert (higher[:, 1] < seen[:, 1]).all()  # rows count downwards
    with pytest.raises(InputError, match="straight above"):
        look_at(np.zeros(3), np.array([0.0, 0.0, 1.0]))
    with pytest.raises(InputError, match="extrinsics"):
        project(dataclasses.replace(camera, extrinsics=None), points)

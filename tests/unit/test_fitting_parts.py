"""Parts of the body fit: shape numbers, the torch body, rotations, splines, cameras, outlines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait3dlib.body import SHAPE_NAMES, Body, BodyShape
from gait3dlib.errors import InputError
from gait3dlib.fitting._body import TorchBody
from gait3dlib.fitting._camera import Camera, triangulate
from gait3dlib.fitting._motion import SmoothMotion, exp_map, log_map, spline_basis
from gait3dlib.fitting._surface import outline
from gait3dlib.simulation.camera import look_at, project

NUMBERS = np.array([0.7, 0.8, 0.3, 0.9, 0.4, 0.2, 0.05, -0.04, 0.08, -0.06])


# the shape numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("detail", ["full", "low"])
def test_shape_numbers_rebuild_a_body_exactly(detail: str) -> None:
    body = Body.load(detail)  # type: ignore[arg-type]
    person = body.shape(BodyShape(40, "female", 1.66, 70))
    again = body.from_numbers(person.numbers)
    assert len(SHAPE_NAMES) == len(person.numbers) == 10
    assert np.array_equal(again.vertices, person.vertices)
    assert np.array_equal(again.joints, person.joints)
    assert (again.height_m, again.mass_kg) == (person.height_m, person.mass_kg)
    assert again.shape.gender == "female"
    assert again.shape.age_years == pytest.approx(40)


def test_limb_numbers_are_logarithms_of_lengths() -> None:
    numbers = NUMBERS.copy()
    numbers[6:] = 0.0
    plain, longer = (Body.load().from_numbers(n).joints for n in (numbers, NUMBERS))
    for bone, log in zip(((1, 4), (4, 7), (16, 18), (18, 20)), NUMBERS[6:], strict=True):
        a, b = bone
        ratio = np.linalg.norm(longer[b] - longer[a]) / np.linalg.norm(plain[b] - plain[a])
        assert np.log(ratio) == pytest.approx(log, abs=1e-9)
    assert np.linalg.norm(longer[10] - longer[7]) == pytest.approx(np.linalg.norm(plain[10] - plain[7]))


@pytest.mark.parametrize("wrong", [NUMBERS[:9], NUMBERS + np.nan, np.r_[2.0, NUMBERS[1:]]])
def test_senseless_shape_numbers_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="shape number"):
        Body.load().from_numbers(wrong)


# the differentiable body -----------------------------------------------------------------------------------


def test_torch_body_is_the_numpy_body() -> None:
    rng = np.random.default_rng(0)
    rotations, translation = rng.normal(0, 0.4, (3, 24, 3)), rng.normal(0, 1, (3, 3))
    person = Body.load().from_numbers(NUMBERS)
    vertices, joints = person.pose(rotations, translation)
    body = TorchBody(Body.load())
    body.settle(NUMBERS)
    local = exp_map(torch.as_tensor(rotations))
    posed = body.pose(torch.tensor(NUMBERS), local, torch.as_tensor(translation + person.joints[0]))
    assert np.abs(posed.joints.numpy() - joints).max() < 1e-6
    index = torch.arange(0, 6002, 7)
    assert np.abs(posed.skin(body.skin_of(index)).numpy() - vertices[:, ::7]).max() < 2e-5
    own = torch.tensor([[5, 9], [77, 4000]])
    chosen = posed.skin(body.skin_of(own, torch.tensor([2, 0]))).numpy()
    assert np.abs(chosen - vertices[[[2], [0]], own.numpy()]).max() < 2e-5
    placed, normals = posed.surface(torch.tensor([1]))
    assert np.abs(placed[0] - vertices[1]).max() < 2e-5
    # outward: a step along the normals makes the body bigger
    assert (normals[0] * (vertices[1] - vertices[1].mean(axis=0))).sum(axis=-1).mean() > 0


def test_gradients_are_finite_differences() -> None:
    body = TorchBody(Body.load())
    body.settle(NUMBERS)
    rng = np.random.default_rng(1)
    turned, pelvis = torch.tensor(rng.normal(0, 0.3, (1, 24, 3))), torch.zeros(1, 3, dtype=torch.float64)
    index = torch.tensor([[10, 2000, 5000]])

    def reach(numbers: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        posed = body.pose(numbers, exp_map(vector), pelvis)
        return posed.skin(body.skin_of(index, torch.tensor([0]))).square().sum() + posed.joints.sum()

    numbers = torch.tensor(NUMBERS, requires_grad=True)
    turned.requires_grad_(True)
    grads = torch.autograd.grad(reach(numbers, turned), (numbers, turned))
    for which, size in ((0, 1e-3), (1, 1e-4)):
        way = torch.tensor(rng.normal(0, 1, grads[which].shape))
        ends = []
        for sign in (1, -1):
            moved = [numbers.detach(), turned.detach()]
            moved[which] = moved[which] + sign * size * way
            ends.append(float(reach(*moved)))
        assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(float((grads[which] * way).sum()), rel=2e-3)


# rotations and splines -------------------------------------------------------------------------------------


def test_exponential_and_logarithm_are_scipys() -> None:
    vectors = np.random.default_rng(2).normal(0, 1, (50, 3))
    vectors[0] = 0.0
    matrices = exp_map(torch.as_tensor(vectors)).numpy()
    assert np.abs(matrices - Rotation.from_rotvec(vectors).as_matrix()).max() < 1e-12
    assert np.abs(Rotation.from_rotvec(log_map(matrices)).as_matrix() - matrices).max() < 1e-12


def test_splines_hold_cubics_and_sum_to_one() -> None:
    t_s = np.sort(np.random.default_rng(3).random(90)) * 2.0
    basis = spline_basis(t_s)
    assert np.abs(basis.sum(axis=1) - 1).max() < 1e-12
    cubic = 1 + t_s - 2 * t_s**2 + 0.7 * t_s**3
    fitted = basis @ np.linalg.lstsq(basis, cubic, rcond=None)[0]
    assert np.abs(fitted - cubic).max() < 1e-9


def test_a_walker_may_turn_around_more_than_once() -> None:
    t_s = np.arange(60) / 20
    local = np.tile(np.eye(3), (60, 24, 1, 1))
    local[:, 0] = Rotation.from_euler("z", 3.5 * t_s[:, None]).as_matrix()
    motion = SmoothMotion(t_s, local, np.zeros((60, 3)))
    assert np.abs(motion.poses(motion.start)[0].numpy()[8:-8] - local[8:-8]).max() < 0.02


# cameras and outlines --------------------------------------------------------------------------------------


def test_camera_draws_as_the_simulator_and_lifts_back() -> None:
    calibration = look_at(np.array([4.0, 3.0, 1.4]), np.array([0.0, 0.0, 0.9]))
    points = np.random.default_rng(5).normal(0, 0.5, (20, 3))
    camera, drawn = Camera.of(calibration), project(calibration, points)
    assert np.abs(camera.project(torch.as_tensor(points)).numpy() - drawn[:, :2]).max() < 1e-9
    assert np.abs(camera.lift(drawn[:, :2], drawn[:, 2]) - points).max() < 1e-9
    assert np.abs(camera.depth(camera.position[None])) < 1e-12


def test_two_views_give_the_points_back() -> None:
    points = np.random.default_rng(6).normal(0, 0.5, (7, 24, 3))
    cameras = [Camera.of(look_at(np.array([4.0, y, 1.4]), np.zeros(3))) for y in (3.0, -2.0)]
    pixels = [camera.project(torch.as_tensor(points)).numpy() for camera in cameras]
    weights = [np.ones((7, 24)), np.ones((7, 24))]
    weights[1][3, 5] = 0.0
    found = triangulate(cameras, pixels, weights)
    assert np.isnan(found[3, 5]).all()
    found[3, 5] = points[3, 5]
    assert np.abs(found - points).max() < 1e-6


def test_outline_of_a_disc_is_its_circle() -> None:
    row, column = np.mgrid[:80, :60]
    radius, middle = 22.3, np.array([30.2, 41.7])
    mask = (column - middle[0]) ** 2 + (row - middle[1]) ** 2 < radius**2
    box = np.array([100.0, 50.0, 120.0, 160.0])  # two pixels of the image a pixel of the mask
    found = outline(mask, box)
    centre = box[:2] + (middle + 0.5) * 2 - 0.5
    away = found[:, :2] - centre
    distance = np.linalg.norm(away, axis=1)
    assert distance.mean() == pytest.approx(2 * radius, abs=0.15)
    assert np.abs(distance - 2 * radius).max() < 1.5
    assert (away / distance[:, None] * found[:, 2:]).sum(axis=1).min() > 0.97

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import time

import numpy as np
import pytest

from gait3dlib._resources import asset
from gait3dlib.body import (
    COCO_NAMES,
    DENSITY_KG_M3,
    JOINT_NAMES,
    LAYOUTS,
    MIRROR,
    PARENTS,
    Body,
    BodyShape,
    ShapedBody,
    to_smpl24,
)
from gait3dlib.body._skinning import from_axis_angle, mesh_volume, shortest_rotation
from gait3dlib.errors import InputError

JOINT = {name: i for i, name in enumerate(JOINT_NAMES)}
COCO = {name: i for i, name in enumerate(COCO_NAMES)}
PEOPLE = {
    "girl": BodyShape(4, "female", 1.02, 16),
    "boy": BodyShape(10, "male", 1.38, 32),
    "woman": BodyShape(30, "female", 1.65, 60),
    "man": BodyShape(30, "male", 1.78, 78),
    "heavy": BodyShape(50, "female", 1.60, 92),
    "thin": BodyShape(80, "male", 1.72, 52, muscle=0.2, proportions=0.8),
}


@pytest.fixture(scope="module")
def people() -> dict[str, ShapedBody]:
    return {name: Body.load().shape(shape) for name, shape in PEOPLE.items()}


@pytest.fixture(scope="module")
def man(people: dict[str, ShapedBody]) -> ShapedBody:
    return people["man"]


@pytest.fixture(scope="module")
def motion() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.4, (4, 24, 3)), rng.normal(0, 1, (4, 3))


def measured_mass(body: ShapedBody) -> float:
    return mesh_volume(body.vertices, body.faces) * DENSITY_KG_M3


# The shape space ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gender", ["female", "male"])
@pytest.mark.parametrize(
    ("age", "heights", "bmis"),
    [(4, (0.95, 1.12), (13.5, 18)), (11, (1.30, 1.55), (14.5, 26)), (35, (1.50, 1.95), (17, 23, 27, 36))],
)
def test_mesh_has_the_stated_height_and_mass(age, gender, heights, bmis):
    for height, bmi, muscle in itertools.product(heights, bmis, (0.2, 0.8)):
        shape = BodyShape(age, gender, height, bmi * height**2, muscle=muscle)
        body = Body.load().shape(shape)
        assert np.ptp(body.vertices[:, 2]) == pytest.approx(height, rel=1e-4)
        assert measured_mass(body) == pytest.approx(shape.mass_kg, rel=1e-4)
        assert body.bmi == pytest.approx(bmi, rel=3e-4)
        assert body.volume_m3 * DENSITY_KG_M3 == body.mass_kg


def test_stated_muscle_is_kept_where_it_reaches_the_mass_and_shows():
    slack, strong = (
        Body.load().shape(BodyShape(30, "male", 1.78, 73, muscle=m, proportions=0.5)) for m in (0.3, 0.5)
    )
    assert (slack.muscle, strong.muscle) == (0.3, 0.5)
    assert np.abs(slack.vertices - strong.vertices).max() > 0.005
    assert Body.load().shape(BodyShape(30, "male", 1.78, 100)).muscle < 0.5  # gave way


@pytest.mark.parametrize("mass", [20, 300])
def test_unreachable_mass_names_the_range_that_is_reachable(mass):
    body = Body.load()
    low, high = body.mass_range(35, "female", 1.65)
    with pytest.raises(InputError, match=rf"{low:.1f} to {high:.1f} kg"):
        body.shape(BodyShape(35, "female", 1.65, mass))
    for edge in (low * 1.001, high * 0.999):
        assert measured_mass(body.shape(BodyShape(35, "female", 1.65, edge))) == pytest.approx(edge, rel=1e-3)


def test_unreachable_height_names_the_range_that_is_reachable():
    low, high = Body.load().height_range(6, "male")
    with pytest.raises(InputError, match=f"{low:.2f} to {high:.2f} m"):
        Body.load().shape(BodyShape(6, "male", 1.9, 60))
    with pytest.raises(InputError, match="out of reach"):
        Body.load().mass_range(6, "male", 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gender": "other"}, {"age_years": 1}, {"height_m": float("nan")}, {"mass_kg": -3},
        {"muscle": 1.2}, {"proportions": -0.1},
    ],
)  # fmt: skip
def test_senseless_labels_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        dataclasses.replace(PEOPLE["man"], **wrong)


def test_children_are_not_small_adults(people):
    def head_share(body):
        return 1 - body.joints[JOINT["neck"], 2] / body.height_m

    assert head_share(people["girl"]) > 1.15 * head_share(people["woman"])


# The rest pose and the mesh -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PEOPLE)
def test_rest_is_a_t_pose_on_the_ground_facing_forward(people, name):
    body, at = people[name], lambda joint: people[name].joints[JOINT[joint]]
    assert body.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(at("pelvis")[:2], 0, atol=1e-9)
    for side, sign in (("left", 1), ("right", -1)):
        arm = np.array([at(f"{side}_{j}") for j in ("shoulder", "elbow", "wrist", "hand")])
        assert np.ptp(arm[:, [0, 2]], axis=0).max() < 1e-9
        assert (np.diff(arm[:, 1]) * sign > 0).all()
        leg = np.array([at(f"{side}_{j}") for j in ("hip", "knee", "ankle")])
        assert np.ptp(leg[:, :2], axis=0).max() < 1e-9
        assert (np.diff(leg[:, 2]) < 0).all()
        assert at(f"{side}_foot")[0] > at(f"{side}_ankle")[0]
    spine = [at(j)[2] for j in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
    assert sorted(spine) == spine


@pytest.mark.parametrize("detail", ["full", "low"])
def test_mesh_is_closed_and_its_faces_look_outward(detail):
    body = Body.load(detail)
    edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)  # no direction twice
    assert all((b, a) in directed for a, b in directed)  # and every edge in both
    shaped = body.shape(PEOPLE["man"])
    assert mesh_volume(shaped.vertices, shaped.faces) > 0
    assert len(shaped.vertices) - len(directed) // 2 + len(body.faces) == 2  # one skin without handles
    np.testing.assert_allclose(body.weights.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["girl", "heavy"])
def test_low_detail_has_the_same_joints_and_nearly_the_same_volume(people, motion, name):
    full, low = people[name], Body.load("low").shape(PEOPLE[name])
    assert len(low.vertices) < 2000 < len(full.vertices)
    np.testing.assert_array_equal(low.pose_joints(*motion), full.pose_joints(*motion))
    assert mesh_volume(low.vertices, low.faces) == pytest.approx(full.volume_m3, rel=0.005)
    np.testing.assert_allclose(low.vertices.min(axis=0), full.vertices.min(axis=0), atol=0.01)
    np.testing.assert_allclose(low.vertices.max(axis=0), full.vertices.max(axis=0), atol=0.01)
    rest = (np.zeros((1, 24, 3)), np.zeros((1, 3)))
    landmarks = [body.landmarks(*body.pose(*rest)) for body in (low, full)]
    np.testing.assert_allclose(*landmarks, atol=0.01)


def test_a_body_is_symmetric_but_for_the_mesh(man):
    np.testing.assert_allclose(man.joints[list(MIRROR)] * [1, -1, 1], man.joints, atol=1e-6)


def test_a_body_cannot_be_changed(man):
    with pytest.raises(dataclasses.FrozenInstanceError):
        man.height_m = 2.0
    for array in (man.vertices, man.joints, man.faces, man.weights, man.bind_vertices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


# Posing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PEOPLE)
def test_zero_rotations_are_the_rest_pose(people, name):
    body = people[name]
    vertices, joints = body.pose(np.zeros((2, 24, 3)), np.array([[0, 0, 0], [1, 2, 3]]))
    assert vertices.dtype == joints.dtype == np.float32
    np.testing.assert_allclose(vertices[0], body.vertices, atol=2e-6)
    np.testing.assert_allclose(joints[0], body.joints, atol=1e-6)
    np.testing.assert_allclose(vertices[1], body.vertices + np.array([1, 2, 3]), atol=2e-6)


def literal_skinning(body: ShapedBody, rotations: np.ndarray, translation: np.ndarray):
    """The definition, one vertex and one joint at a time: bind pose -> T-pose -> pose."""
    world, places = [], []
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            world.append(rotations[0])
            places.append(body.joints[0] + translation)
        else:
            world.append(world[parent] @ rotations[joint])
            places.append(places[parent] + world[parent] @ (body.joints[joint] - body.joints[parent]))
    picked = range(0, len(body.bind_vertices), 150)
    skinned = []
    for v in picked:
        point = np.zeros(3)
        for j in range(24):
            in_joint = body.bind_rotations[j] @ (body.bind_vertices[v] - body.bind_joints[j])
            point += body.weights[v, j] * (world[j] @ in_joint + places[j])
        skinned.append(point)
    return list(picked), np.array(skinned), np.array(places)


def test_pose_equals_literal_linear_blend_skinning(man, motion):
    rotations, translation = from_axis_angle(motion[0]), motion[1]
    vertices, joints = man.pose(rotations, translation)
    for frame in range(len(rotations)):
        picked, expected, places = literal_skinning(man, rotations[frame], translation[frame])
        np.testing.assert_allclose(vertices[frame, picked], expected, atol=5e-6)
        np.testing.assert_allclose(joints[frame], places, atol=1e-6)


def test_axis_angle_and_matrices_are_the_same_motion(man, motion):
    angles, translation = motion
    for one, other in zip(
        man.pose(angles, translation), man.pose(from_axis_angle(angles), translation), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(man.pose(angles, translation)[1], man.pose_joints(angles, translation))


def test_frames_do_not_see_each_other(man, motion):
    angles, translation = motion
    together = man.pose(angles, translation)[0]
    alone = man.pose(angles[2:3], translation[2:3])[0]
    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)


def test_turning_the_pelvis_turns_everything_and_nothing_else(man, motion):
    rotations, translation = from_axis_angle(motion[0]), motion[1]
    turn = from_axis_angle(np.array([0.3, -0.2, 1.1]))
    turned = rotations.copy()
    turned[:, 0] = turn @ rotations[:, 0]
    pelvis = man.joints[0]
    for before, after in zip(
        man.pose(rotations, 0 * translation), man.pose(turned, translation), strict=True
    ):
        expected = (before - pelvis) @ turn.T + pelvis + translation[:, None]
        np.testing.assert_allclose(after, expected, atol=5e-6)


def test_mirrored_pose_gives_mirrored_joints(man, motion):
    angles, translation = motion
    # a reflection at y = 0 keeps the y part of an axial vector and flips the others
    mirrored = man.pose_joints(angles[:, list(MIRROR)] * [-1, 1, -1], translation * [1, -1, 1])
    expected = man.pose_joints(angles, translation)[:, list(MIRROR)] * [1, -1, 1]
    np.testing.assert_allclose(mirrored, expected, atol=1e-5)


@pytest.mark.parametrize("name", PEOPLE)
def test_raised_arms_reach_up_and_lowered_arms_hang(people, name):
    body = people[name]
    angles = np.zeros((2, 24, 3))
    for frame, degrees in enumerate((85, -85)):
        angles[frame, JOINT["left_shoulder"], 0] = np.radians(degrees)
        angles[frame, JOINT["right_shoulder"], 0] = -np.radians(degrees)
    vertices, joints = body.pose(angles, np.zeros((2, 3)))
    assert (joints[0, -2:, 2] > body.height_m).all()
    assert vertices[0, :, 2].max() > 1.1 * body.height_m
    assert (joints[1, -2:, 2] < 0.6 * body.height_m).all()
    assert np.ptp(vertices[1, :, 1]) < 0.6 * body.height_m


def test_a_bent_knee_keeps_its_flesh(people):
    for body in people.values():
        angles = np.zeros((1, 24, 3))
        angles[0, [JOINT["left_knee"], JOINT["right_knee"]], 1] = np.radians(60)
        angles[0, [JOINT["left_hip"], JOINT["right_hip"]], 1] = -np.radians(30)
        vertices, joints = body.pose(angles, np.zeros((1, 3)))
        assert joints[0, JOINT["left_ankle"], 0] < joints[0, JOINT["left_knee"], 0]
        assert joints[0, JOINT["left_knee"], 0] > joints[0, JOINT["left_hip"], 0]
        assert mesh_volume(vertices[0], body.faces) > 0.98 * body.volume_m3


@pytest.mark.parametrize(
    ("rotations", "translation"),
    [((3, 23, 3), (3, 3)), ((3, 24, 4), (3, 3)), ((24, 3), (1, 3)), ((3, 24, 3), (2, 3)), ((3, 24, 3), (3,))],
)
def test_wrong_shapes_are_refused(man, rotations, translation):
    with pytest.raises(InputError, match="must be"):
        man.pose(np.zeros(rotations), np.zeros(translation))


def test_no_frames_are_no_frames(man):
    vertices, joints = man.pose(np.zeros((0, 24, 3)), np.zeros((0, 3)))
    assert vertices.shape == (0, len(man.vertices), 3)
    assert joints.shape == (0, 24, 3)


# Rotations ------------------------------------------------------------------------------------------------


def test_axis_angle_is_right_handed_and_exact_at_zero():
    turn = from_axis_angle(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_array_equal(from_axis_angle(np.zeros(3)), np.eye(3))
    many = from_axis_angle(np.random.default_rng(0).normal(0, 2, (50, 3)))
    np.testing.assert_allclose(many @ many.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)
    np.testing.assert_array_equal(shortest_rotation(np.ones(3), np.ones(3)), np.eye(3))


# Landmarks and layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("detail", ["full", "low"])
@pytest.mark.parametrize("name", PEOPLE)
def test_landmarks_lie_where_their_names_say(detail, name):
    body = Body.load(detail).shape(PEOPLE[name])
    vertices, joints = body.pose(np.zeros((1, 24, 3)), np.zeros((1, 3)))
    points = body.landmarks(vertices, joints)
    assert points.shape == (1, 17, 3)
    assert points.dtype == np.float32
    at = {name: points[0, i] for name, i in COCO.items()}
    for name, point in at.items():
        if name != "nose":
            assert (point[1] > 0.01) if name.startswith("left") else (point[1] < -0.01), name
    assert at["nose"][0] > at["left_eye"][0] > at["left_ear"][0]
    assert at["left_eye"][2] > at["nose"][2] > joints[0, JOINT["neck"], 2]
    assert abs(at["nose"][1]) < 0.006
    np.testing.assert_array_equal(at["left_knee"], joints[0, JOINT["left_knee"]])


def test_landmarks_follow_the_head(man):
    angles = np.zeros((2, 24, 3))
    angles[1, JOINT["head"], 2] = np.radians(40)  # look to the left
    points = man.landmarks(*man.pose(angles, np.zeros((2, 3))))
    assert points[1, 0, 1] > points[0, 0, 1] + 0.03
    np.testing.assert_allclose(points[0, 5:], points[1, 5:], atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_fill_the_joints_they_have_and_leave_nan(layout):
    count, table = LAYOUTS[layout]
    points = np.random.default_rng(1).normal(size=(5, count, 3)).astype(np.float32)
    joints = to_smpl24(points, layout)
    assert joints.shape == (5, 24, 3)
    assert joints.dtype == np.float32
    for i, name in enumerate(JOINT_NAMES):
        if name in table:
            np.testing.assert_allclose(joints[:, i], points[:, table[name]].mean(axis=1), rtol=1e-6)
        else:
            assert np.isnan(joints[:, i]).all()
    for name in table:  # what is on one side is on the other, and from other points
        if name.startswith("left_"):
            assert set(table[name]).isdisjoint(table[name.replace("left", "right")])


def test_coco_landmarks_come_back_as_the_joints_they_were(man, motion):
    vertices, joints = man.pose(*motion)
    back = to_smpl24(man.landmarks(vertices, joints), "coco17")
    same = [i for i, name in enumerate(JOINT_NAMES) if name in LAYOUTS["coco17"][1] and "_" in name]
    assert len(same) == 12
    np.testing.assert_allclose(back[:, same], joints[:, same], atol=1e-6)


def test_a_missing_point_is_a_missing_joint():
    points = np.zeros((1, 17, 3))
    points[0, 11] = np.nan
    joints = to_smpl24(points, "coco17")
    assert np.isnan(joints[0, [JOINT["left_hip"], JOINT["pelvis"]]]).all()
    assert np.isfinite(joints[0, JOINT["right_hip"]]).all()


def test_unknown_layouts_and_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="did you mean 'coco17'"):
        to_smpl24(np.zeros((1, 17, 3)), "coco_17")
    with pytest.raises(InputError, match=r"\[frames, 25, 3\]"):
        to_smpl24(np.zeros((1, 24, 3)), "kinect25")


# Size and speed -------------------------------------------------------------------------------------------


def test_the_asset_is_small_loads_fast_and_holds_no_code():
    assert asset("body.npz").stat().st_size < 4e6
    with np.load(asset("body.npz"), allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "iuf" for name in archive.files)
    start = time.process_time()
    from gait3dlib.body import _shape

    _shape._load.__wrapped__("full")
    assert time.process_time() - start < 1
    assert Body.load() is Body.load("full")
    with pytest.raises(InputError, match="detail"):
        Body.load("medium")


def test_thirty_frames_are_posed_in_a_fraction_of_a_second(man):
    angles, translation = np.zeros((30, 24, 3)), np.zeros((30, 3))
    man.pose(angles, translation)
    start = time.process_time()
    man.pose(angles, translation)
    assert time.process_time() - start < 0.1


def test_the_body_needs_no_torch():
    code = "import sys, gait3dlib.body as b; b.Body.load(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""People in depth: two people who cross in the view of a noisy stereo camera."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("embreex")

from depth_corridor import CAMERA, FAR_Y, FPS, NEAR_Y, frames_of, made_shots, make_corridor
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception import walks
from gait3dlib.perception.crops import cut
from gait3dlib.perception.depth import DepthFollower, DepthScene, people_in
from gait3dlib.perception.depth.joints import INSIDE_M, Posed
from gait3dlib.perception.depth.scene import metres
from gait3dlib.perception.observing import Observer
from gait3dlib.perception.pose import Body
from gait3dlib.simulation.look import picture
from gait3dlib.simulation.scene import Scene
from gait3dlib.simulation.software_camera import Shot, corridor_shots
from gait3dlib.types import Frame, GaitSequence


@pytest.fixture(scope="module")
def corridor() -> Scene:
    return make_corridor()


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return list(made_shots())


@pytest.fixture(scope="module")
def found(shots: list[Shot]) -> list[GaitSequence]:
    return list(walks(frames_of(shots), calibration={"depth": CAMERA}))


def places(seq: GaitSequence) -> NDArray[np.float64]:
    """Where the person is in each frame, ``[T, 2]``."""
    points = seq.streams["points"]
    return np.stack([np.median(points.frame(i)[:, :2], axis=0) for i in range(len(points))])


# ---- two people ----------------------------------------------------------------------------------------


def test_two_who_cross_are_two_walks_and_keep_their_numbers(found: list[GaitSequence]) -> None:
    assert len(found) == 2
    assert len({seq.meta.covariates["track"] for seq in found}) == 2
    ways = [places(seq) for seq in found]
    for way in ways:
        lane = NEAR_Y if abs(way[:, 1].mean() - NEAR_Y) < abs(way[:, 1].mean() - FAR_Y) else FAR_Y
        assert np.abs(way[:, 1] - lane).max() < 0.35, (
            "stays in its lane: nobody takes over the other's number"
        )
        steps = np.diff(way[:, 0]) * (1 if lane == NEAR_Y else -1)
        assert steps.min() > -0.1, "goes on in its direction"
        assert np.ptp(way[:, 0]) > 3.0
    assert {bool(way[-1, 0] > way[0, 0]) for way in ways} == {True, False}


def test_heights_are_within_three_centimetres(corridor: Scene, found: list[GaitSequence]) -> None:
    for seq in found:
        actor = corridor.actors[0 if places(seq)[:, 1].mean() < 0.2 else 1]
        t_s = seq.streams["depth"].t_ns / 1e9
        crown = np.percentile(actor.at(t_s).vertices[..., 2].max(axis=1), 80)
        measured = float(seq.meta.covariates["height_m"])
        assert measured == pytest.approx(crown, abs=0.03)
        assert 0.0 < actor.walker.shape.height_m - measured < 0.07, "who walks is a little shorter"


def test_silhouettes_are_the_people(corridor: Scene, found: list[GaitSequence]) -> None:
    shares = []
    for seq in found:
        number = 0 if places(seq)[:, 1].mean() < 0.2 else 1
        stream = seq.streams["silhouette"]
        assert stream.boxes is not None
        for i in range(4, len(stream), 12):
            _, owner = picture(corridor, CAMERA, float(stream.t_ns[i]) / 1e9)
            x, y, side = (int(v) for v in stream.boxes[i, :3])
            true = cut(owner == number, (x, y, side))
            at = ((np.arange(side) + 0.5) * 128 / side).astype(int)
            mine = stream.data[i][np.ix_(at, at)] > 0
            shares.append((mine & true).sum() / (mine | true).sum())
    assert len(shares) >= 4
    # people are 100 pixels tall here, and the camera loses a third of what lies along an outline
    assert np.mean(shares) > 0.82
    assert min(shares) > 0.7


def test_depth_is_registered_and_points_are_where_it_says(found: list[GaitSequence]) -> None:
    for seq in found:
        depth, silhouette, points = (seq.streams[name] for name in ("depth", "silhouette", "points"))
        assert depth.boxes is not None
        np.testing.assert_array_equal(depth.boxes, silhouette.boxes)
        assert depth.data.dtype == np.uint16
        on = silhouette.data > 0
        assert (depth.data[on] > 0).mean() > 0.9
        assert (depth.data[~on] > 0).mean() < 0.02
        camera = depth.calibration
        assert camera is not None
        assert camera.extrinsics is not None
        i = len(depth) // 3
        rows, columns = np.nonzero(depth.data[i])
        x, y, side = depth.boxes[i, :3]
        z = depth.data[i][rows, columns] / 1000
        u, v = x + (columns + 0.5) * side / 128 - 0.5, y + (rows + 0.5) * side / 128 - 0.5
        eye = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z, np.ones_like(z)])
        world = (np.linalg.inv(camera.extrinsics) @ eye)[:3].T
        cloud = points.frame(i)
        np.testing.assert_allclose(np.median(world, axis=0), np.median(cloud[:, :3], axis=0), atol=0.05)
        assert cloud[:, 2].min() > -0.1


def test_a_camera_that_hangs_nowhere_known_gives_a_level_world(shots: list[Shot]) -> None:
    scene = DepthScene(dataclasses.replace(CAMERA, extrinsics=None))
    follower = DepthFollower(scene)
    for shot in shots[:22]:
        list(follower.look(metres(shot.depth), None, shot.t_ns))
    assert scene.ground is not None
    assert scene.ground.height_m == pytest.approx(1.3, abs=0.02)
    assert scene.ground.tilt_deg == pytest.approx(np.rad2deg(np.arctan2(0.35, 4.2)), abs=0.4)
    assert len(follower.people) == 2
    ahead = sorted(person.xy[0] for person in follower.people.values())
    assert ahead == pytest.approx([4.2 + NEAR_Y, 4.2 + FAR_Y], abs=0.25)


def test_an_empty_corridor_holds_nobody(corridor: Scene) -> None:
    empty = Scene([], corridor.things)
    still = list(corridor_shots(empty, CAMERA, seconds=1.5, fps=FPS, seed=2, color=False))
    assert not list(walks(frames_of(still), calibration={"depth": CAMERA}))
    scene = DepthScene(CAMERA)
    follower = DepthFollower(scene)
    for shot in still:
        list(follower.look(metres(shot.depth), None, shot.t_ns))
    assert scene.known
    assert not follower.people
    assert not people_in(scene, metres(still[-1].depth))


def test_who_stands_there_from_the_start_is_found_when_leaving(shots: list[Shot]) -> None:
    """The film begins in the middle of the walk, so both are in the background at first."""
    late = list(walks(frames_of(shots[18:]), calibration={"depth": CAMERA}))
    assert len(late) == 2
    assert all(seq.duration_s > 1.5 for seq in late)


# ---- colour --------------------------------------------------------------------------------------------


class Marks:
    """Finds keypoints where they were put."""

    def __init__(self, keypoints: NDArray[np.float32]) -> None:
        self.keypoints, self.boxes = keypoints, list[NDArray[np.float64]]()

    def look(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> Body | None:
        self.boxes.append(box)
        return Body(self.keypoints, np.ones((384, 384), bool), (0, 0, 384), box)


def test_keypoints_are_lifted_from_a_camera_beside(shots: list[Shot]) -> None:
    """Keypoints on known points of a flat body come back as those points, a little deeper: closed form."""
    scene = DepthScene(CAMERA)
    follower = DepthFollower(scene)
    for shot in shots[:20]:
        list(follower.look(metres(shot.depth), None, shot.t_ns))
    person = max(follower.people.values(), key=lambda one: one.area_m2)
    rows, columns, z = person.pixels
    z = np.full_like(z, 3.9)
    person = dataclasses.replace(person, pixels=(rows, columns, z))
    beside = np.eye(4)
    beside[:3, 3] = [0.06, 0.01, 0.0]
    assert CAMERA.extrinsics is not None
    color = dataclasses.replace(CAMERA, width=640, height=480, fx=500.0, fy=505.0, cx=319.0, cy=241.0)
    color = dataclasses.replace(color, extrinsics=beside @ CAMERA.extrinsics)
    chosen = np.linspace(0, len(z) - 1, 33).astype(int)
    eye = scene.rays(rows[chosen], columns[chosen]) * z[chosen, None]
    moved = eye + beside[:3, 3]
    marks = np.column_stack(
        [500 * moved[:, 0] / moved[:, 2] + 319, 505 * moved[:, 1] / moved[:, 2] + 241, np.ones(33)]
    ).astype(np.float32)
    marks[15, 2] = 0.1  # a wrist that is not seen
    found = Posed(Marks(marks), CAMERA, color).look(scene, person, np.zeros((480, 640, 3), np.uint8))
    assert found is not None
    keypoints, joints = found
    apart = np.hypot(keypoints[:, 0] - columns[chosen], keypoints[:, 1] - rows[chosen])
    assert apart.max() < 0.01, "in pixels of the depth image"
    deeper = eye * (1 + INSIDE_M[:, None] / np.linalg.norm(eye, axis=1, keepdims=True))
    world = deeper @ scene.world[:3, :3].T + scene.world[:3, 3]
    # SMPL's hips, knees, ankles and elbows are these of BlazePose's
    same = {1: 23, 2: 24, 4: 25, 5: 26, 7: 27, 8: 28, 18: 13, 19: 14, 21: 16}
    np.testing.assert_allclose(joints[list(same)], world[list(same.values())], atol=1e-3)
    assert np.isnan(joints[20]).all(), "the wrist was not seen"


def test_colour_gives_keypoints_and_joints_to_a_walk(shots: list[Shot]) -> None:
    frames = [Frame({"depth": s.depth, "color": s.color}, s.t_ns) for s in shots if s.color is not None]
    marks = np.tile(np.array([[200.0, 120.0, 0.9]], np.float32), (33, 1))
    from gait3dlib.perception.depth import walks_in_depth

    cameras = {"depth": CAMERA, "color": CAMERA}
    made = list(walks_in_depth(frames, calibration=cameras, pose=Marks(marks)))
    assert len(made) == 2
    for seq in made:
        assert seq.streams["keypoints"].data.shape[1:] == (33, 3)
        assert seq.streams["joints"].data.shape[1:] == (24, 3)
        assert len(seq.streams["keypoints"]) <= len(seq.streams["depth"])


class Hurried(Observer):
    """Behind in ``late`` of three frames."""

    def __init__(self, late: int) -> None:
        self.late, self.asked = late, 0

    def behind(self) -> bool:
        self.asked += 1
        return self.asked % 3 < self.late


def test_who_is_behind_leaves_keypoints_out_and_follows_people_all_the_same(shots: list[Shot]) -> None:
    from gait3dlib.perception.depth import walks_in_depth

    frames = [Frame({"depth": s.depth, "color": s.color}, s.t_ns) for s in shots if s.color is not None]
    marks = Marks(np.tile(np.array([[200.0, 120.0, 0.9]], np.float32), (33, 1)))
    cameras = {"depth": CAMERA, "color": CAMERA}
    held = {}
    for late in (0, 1, 3):
        made = list(walks_in_depth(frames, calibration=cameras, pose=marks, observer=Hurried(late)))
        assert len(made) == 2
        held[late] = [
            (len(seq.streams["depth"]), len(seq.streams["keypoints"]) if "keypoints" in seq.streams else 0)
            for seq in made
        ]
    for (depth, every), (also, some), (likewise, none) in zip(held[0], held[1], held[3], strict=True):
        assert depth == also == likewise
        assert 0.5 * every < some < 0.85 * every, "two of three frames"
        assert none == 0


# ---- what goes wrong -----------------------------------------------------------------------------------


def test_wrong_input_is_said(shots: list[Shot]) -> None:
    with pytest.raises(InputError, match="intrinsics"):
        list(walks(frames_of(shots[:2])))
    small = dataclasses.replace(CAMERA, width=640)
    with pytest.raises(InputError, match=r"424x240.*640x240"):
        list(walks(frames_of(shots[:2]), calibration={"depth": small}))
    dark = [Frame({"depth": np.zeros((240, 424), np.uint16)}, n * 10**8) for n in range(70)]
    with pytest.raises(InputError, match="hold no depth at all"):
        list(walks(dark, calibration={"depth": CAMERA}))
    blank = [Frame({"depth": np.full((240, 424), 2000, np.uint16)}, n * 10**8) for n in range(100)]
    with pytest.raises(InputError, match="no ground is seen"):
        list(walks(blank, calibration={"depth": dataclasses.replace(CAMERA, extrinsics=None)}))
    odd = [Frame({"depth": np.zeros((240, 424), np.float64)}, 0)]
    with pytest.raises(InputError, match="uint16 or float32"):
        list(walks(odd, calibration={"depth": CAMERA}))

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from shapes import ball, ball_distance, cylinder_distance, moving

from gait3dlib.errors import InputError
from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import camera_position, look_at, pixel_rays, project
from gait3dlib.simulation.depth_camera import DepthCamera
from gait3dlib.simulation.look import Look, Viewer, picture
from gait3dlib.simulation.outfit import CARRIED_LABEL, Outfit
from gait3dlib.simulation.scene import GROUND, MARGIN_S, THINGS, Actor, Clock, Scene
from gait3dlib.simulation.things import box, merged, pole, wall

CAMERA = look_at(np.array([4.0, 1.0, 1.6]), np.array([0.0, 0.0, 1.0]), width=640, height=480)


def one_crop(scene: Scene, box_px: list[float], size: int, actor: int = 0) -> Look:
    viewer = Viewer(scene, actor, CAMERA, np.array([0.0]))
    return viewer.crops(np.array([box_px], np.float32), np.array([0]), size)


def crop_rays(box_px: list[float], size: int) -> NDArray[np.float64]:
    steps = (np.arange(size) + 0.5) / size
    columns, rows = box_px[0] + steps * box_px[2] - 0.5, box_px[1] + steps * box_px[3] - 0.5
    return pixel_rays(CAMERA, *np.meshgrid(columns, rows)).astype(np.float64)


def outline(mask: NDArray[np.bool_]) -> int:
    return int((mask ^ ndimage.binary_erosion(mask)).sum())


# Analytic shapes ----------------------------------------------------------------------------------------


def test_a_ball_in_a_crop_is_where_geometry_says() -> None:
    centre, radius = np.array([0.1, -0.2, 1.1]), 0.4
    place, size = [251.3, 143.7, 170.5, 170.5], 128
    look = one_crop(Scene([moving(*ball(centre, radius))], ground=False), place, size)
    true = ball_distance(camera_position(CAMERA), crop_rays(place, size), centre, radius)
    wrong = (look.own[0] > 0) != np.isfinite(true)
    assert wrong.sum() <= 0.02 * outline(np.isfinite(true))  # 0.02 pixels of mean error along the outline
    inside = ndimage.binary_erosion(np.isfinite(true), iterations=2)
    assert np.abs(look.own[0] - true)[inside].max() < 1.5e-3
    assert 0.2 * size**2 < inside.sum() < 0.9 * size**2


def test_pole_ground_and_wall_have_the_depths_of_cylinder_and_planes() -> None:
    post, back = pole(0.5, 0.2, radius_m=0.1, height_m=1.5), wall((-3.0, -9.0), (-3.0, 9.0), height_m=9.0)
    far = moving(*ball(np.array([0.0, 0.0, -50.0]), 0.1, rings=8))
    place, size = [100.0, 60.0, 400.0, 400.0], 200
    look = one_crop(Scene([far], [post, back]), place, size)
    origin, rays = camera_position(CAMERA), crop_rays(place, size)
    ground = np.where(rays[..., 2] < 0, origin[2] / -rays[..., 2], np.inf)
    plane = (-2.95 - origin[0]) / rays[..., 0]
    side = cylinder_distance(origin, rays, 0.5, 0.2, 0.1, 1.5)
    true = np.minimum(np.minimum(ground, plane), side)
    wrong = np.abs(look.full[0] - true) > 2e-3
    assert wrong.sum() <= 0.1 * outline(np.isfinite(side) & (side <= true))  # 48 sides: 0.1 pixels at most
    assert (np.isfinite(side) & (side < ground) & (side < plane)).sum() > 1000
    assert (look.own == 0).all()


def test_silhouette_and_depth_have_the_same_edges_and_occluders_cut_them() -> None:
    person = moving(*ball(np.array([0.0, 0.0, 1.0]), 0.4))
    post = pole(0.8, 0.2, radius_m=0.08)
    place = [220.0, 140.0, 200.0, 200.0]
    free = one_crop(Scene([person]), place, 100)
    cut = one_crop(Scene([person], [post]), place, 100)
    seen, held = free.own[0] > 0, cut.own[0] > 0
    depth = np.minimum(free.full[0], 99.0)
    step = ndimage.grey_dilation(depth, (3, 3)) - depth > 0.5
    edge = seen ^ ndimage.binary_erosion(seen, np.ones((3, 3)))
    upper = np.arange(100)[:, None] < 60  # lower down the ground lies close behind
    assert (edge & upper & ~step).sum() == 0
    side = cylinder_distance(camera_position(CAMERA), crop_rays(place, 100), 0.8, 0.2, 0.08, 3.0)
    hidden = seen & np.isfinite(side)
    assert hidden.sum() > 300
    assert ((seen & ~held) ^ hidden).sum() <= 0.2 * outline(hidden)
    viewer = Viewer(Scene([person], [post]), 0, CAMERA, np.array([0.0]))
    assert viewer.extents.share[0] == pytest.approx(1 - hidden.sum() / seen.sum(), abs=0.06)


def test_nearer_people_hide_farther_ones_whoever_is_asked_for() -> None:
    near, far = ball(np.array([1.0, 0.3, 1.0]), 0.3), ball(np.array([-0.5, 0.0, 1.0]), 0.3)
    scene = Scene([moving(*near), moving(*far)])
    place = [220.0, 140.0, 200.0, 200.0]
    first, second = (one_crop(scene, place, 100, actor) for actor in (0, 1))
    np.testing.assert_array_equal(first.full, second.full)
    assert not ((first.own > 0) & (second.own > 0)).any()
    alone = one_crop(Scene([moving(*far)]), place, 100)
    assert 0 < (second.own > 0).sum() < (alone.own > 0).sum()


def test_what_lies_outside_the_image_is_not_seen() -> None:
    scene = Scene([moving(*ball(np.array([0.0, 0.0, 1.0]), 0.5))])
    look = one_crop(scene, [-50.0, 200.0, 100.0, 100.0], 50)
    assert np.isinf(look.full[0, :, :24]).all()
    assert np.isfinite(look.full[0, 30:, 26:]).any()
    beside = look_at(np.array([4.0, 0.0, 1.0]), np.array([4.0, 9.0, 1.0]))
    assert Viewer(scene, 0, beside, np.array([0.0])).extents.share[0] == 0


# Depth camera -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metres", [1.0, 2.0, 4.0, 6.0])
def test_depth_error_grows_with_the_square_of_distance(metres: float) -> None:
    camera = DepthCamera()
    flat = np.full((4, 120, 120), metres, np.float32)
    got = camera.measure(np.random.default_rng(0), flat, 1.0)
    assert got.dtype == np.uint16
    held = got[got > 0] / 1000.0
    assert len(held) > 0.97 * flat.size
    # the steps of disparity add a twelfth of their square
    step = camera.reach_px_m / metres**2  # pixels a metre
    wanted = metres**2 * np.hypot(0.112, 1 / 32 / np.sqrt(12)) / camera.reach_px_m
    assert held.std() == pytest.approx(wanted, rel=0.08)
    assert held.mean() == pytest.approx(metres, rel=0.004)
    assert len(np.unique(held)) < 8 * held.std() * step * 32 + 8


def test_the_default_depth_camera_has_two_percent_at_four_metres() -> None:
    assert DepthCamera().rms_m(4.0) == pytest.approx(0.08, rel=0.01)


def test_depth_errors_are_alike_within_the_matching_window() -> None:
    got = DepthCamera().measure(np.random.default_rng(1), np.full((2, 150, 150), 3.0, np.float32), 1.0)
    error = got.astype(np.float64) - 3000
    error[got == 0] = 0

    def alike(shift: int) -> float:
        return float((error[..., shift:] * error[..., :-shift]).mean() / (error**2).mean())

    assert alike(1) > 0.7
    assert abs(alike(12)) < 0.1


def test_the_right_imager_cannot_see_behind_the_left_edge() -> None:
    camera = DepthCamera(subpixel=0.0)
    depth = np.full((1, 60, 200), 4.0, np.float32)
    depth[:, :, 100:140] = 1.0
    got = camera.measure(np.random.default_rng(2), depth, 1.0)[0]
    width = camera.reach_px_m * (1 / 1.0 - 1 / 4.0)
    lost = (got == 0).mean(axis=0) > 0.9
    assert lost[:100].sum() == pytest.approx(width, abs=1.6)
    assert lost[99 - int(width) + 1 : 99].all()
    assert not lost[100:].any()


def test_out_of_range_and_nothing_give_no_depth() -> None:
    depth = np.stack([np.full((30, 30), metres, np.float32) for metres in (0.0, np.inf, 0.2, 14.0, 2.0)])
    got = DepthCamera().measure(np.random.default_rng(3), depth, 1.0)
    assert [int((frame > 0).any()) for frame in got] == [0, 0, 0, 0, 1]


# Walkers and clocks -------------------------------------------------------------------------------------


def test_actors_stand_where_and_when_they_were_placed() -> None:
    walker = sample_walker(5, 1)
    actor = Actor.walking(walker, seed=1, seconds=1.5, x_m=2.0, y_m=-1.0, heading_deg=120.0, start_s=0.7)
    middle = actor.at(np.array([0.7 + 0.75])).joints[0, 0]
    assert middle[:2] == pytest.approx([2.0, -1.0], abs=0.12)  # the pelvis sways about the way
    ends = actor.at(np.array([0.7, 2.2])).joints[:, 0, :2]
    way = ends[1] - ends[0]
    assert np.rad2deg(np.arctan2(way[1], way[0])) == pytest.approx(120.0, abs=6.0)
    assert np.linalg.norm(way) == pytest.approx(1.5 * actor.motion.style.speed_m_s, rel=0.1)
    assert actor.there(np.array([0.7 - MARGIN_S, 0.7 - 2 * MARGIN_S, 2.2, 3.0])).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_between_two_states_the_skin_is_where_posing_would_put_it() -> None:
    walker = sample_walker(5, 2)
    actor = Actor.walking(walker, seed=1, seconds=1.0)
    motion = walker.walk(seed=1, fps=240.0, seconds=1.0 + 2 * MARGIN_S)
    vertices, joints = walker.body().pose(motion.rotations, motion.translation)
    between = actor.at(motion.t_s[1:200:2] - MARGIN_S)
    # the walk at twice the rate samples the same curve; its middle may differ by half a frame's way
    offset = (between.joints - joints[1:200:2])[:, 0].mean(axis=0)
    assert np.abs(offset).max() < 0.01
    error = np.linalg.norm(between.vertices - vertices[1:200:2] - offset, axis=-1)
    assert np.quantile(error, 0.95) < 1e-3
    assert error.max() < 0.01  # feet stop within one sample where they strike the ground


def test_carried_things_are_faces_of_their_own() -> None:
    actor = Actor.walking(sample_walker(5, 1), seed=1, seconds=0.5, outfit=Outfit("coat", "backpack", 3))
    assert 0 < (actor.labels == CARRIED_LABEL).sum() < len(actor.faces)
    assert actor.carried.sum() == (actor.labels == CARRIED_LABEL).sum()
    assert actor.faces.max() < actor.tape.vertices.shape[1]


def test_bounds_hold_the_whole_actor() -> None:
    actor = Actor.walking(sample_walker(5, 3), seed=1, seconds=1.0)
    times = np.linspace(0.2, 0.5, 40)
    low, high = actor.bounds_between(0.2, 0.5)
    vertices = actor.at(times).vertices
    assert (vertices >= low - 1e-6).all()
    assert (vertices <= high + 1e-6).all()


def test_clocks_run_on_their_own() -> None:
    rng = np.random.default_rng(0)
    plain = Clock(30.0, 0.01).times(rng, 2.0)
    np.testing.assert_allclose(plain, 0.01 + np.arange(60) / 30.0, atol=1e-9)
    shaky = Clock(10.0, 0.0, jitter_s=0.5).times(rng, 2.0)
    assert (np.diff(shaky) > 0.05).all()
    assert shaky.min() >= 0
    for bad in (Clock(0.0), Clock(30.0, 5.0), Clock(30.0, -1.0)):
        with pytest.raises(InputError):
            bad.times(rng, 2.0)


def test_things_are_closed_and_refuse_no_size() -> None:
    for thing in (
        pole(0, 0),
        box(1, 2, length_m=1, width_m=0.5, height_m=0.7, turned_deg=30),
        wall((0, 0), (2, 1)),
    ):
        a, b, c = (thing.vertices[thing.faces[:, k]] for k in range(3))
        volume = np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6
        assert volume > 0  # outward and closed
        edges = np.sort(
            np.concatenate([thing.faces[:, [0, 1]], thing.faces[:, [1, 2]], thing.faces[:, [2, 0]]]), axis=1
        )
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
        assert thing.vertices[:, 2].min() == 0
    assert pole(0, 0, radius_m=0.5, height_m=2.0).vertices[:, 2].max() == 2.0
    vertices, faces, shine = merged((pole(0, 0), box(1, 0, length_m=1, width_m=1, height_m=1)))
    assert faces.max() == len(vertices) - 1
    assert len(shine) == len(faces)
    for call in (
        lambda: pole(0, 0, radius_m=0.0),
        lambda: wall((1, 1), (1, 1)),
        lambda: Scene([], ground=False),
    ):
        with pytest.raises(InputError):
            call()


def test_projected_surface_points_have_the_depth_of_the_crop() -> None:
    walker = sample_walker(5, 1)
    actor = Actor.walking(walker, seed=1, seconds=0.5)
    viewer = Viewer(Scene([actor]), 0, CAMERA, np.array([0.2]))
    left, top, _, bottom = viewer.extents.whole[0]
    place = [left - 4, top - 4, bottom - top + 8, bottom - top + 8]
    size = 256
    look = viewer.crops(np.array([place], np.float32), np.array([0]), size)
    seen = project(CAMERA, viewer.state.vertices[0])
    column = ((seen[:, 0] - place[0] + 0.5) * size / place[2] - 0.5).round().astype(int)
    row = ((seen[:, 1] - place[1] + 0.5) * size / place[3] - 0.5).round().astype(int)
    held = look.own[0][row.clip(0, size - 1), column.clip(0, size - 1)]
    front = (held > 0) & (np.abs(held - seen[:, 2]) < 0.015)
    assert front.sum() > 0.3 * len(seen)  # some half of the skin faces the camera
    rays = pixel_rays(CAMERA, seen[:, 0], seen[:, 1])
    exact = viewer.meshes[0].cast(viewer.origin, rays).distance
    # a ray to a point under the skin meets the skin before
    corners = viewer.state.vertices[0][actor.faces]
    normals = np.zeros_like(viewer.state.vertices[0])
    for k in range(3):
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        np.add.at(normals, actor.faces[:, k], flat)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    under = project(CAMERA, viewer.state.vertices[0] - 0.003 * normals)
    before = viewer.meshes[0].cast(viewer.origin, pixel_rays(CAMERA, under[:, 0], under[:, 1])).distance
    assert (before < under[:, 2]).mean() > 0.995
    visible = np.abs(exact - seen[:, 2]) < 1e-3
    assert np.quantile(np.abs(held - exact)[visible & (held > 0)], 0.9) < 0.02  # half a pixel beside


def test_the_whole_picture_agrees_with_crops_and_knows_who_is_where() -> None:
    scene = Scene(
        [moving(*ball(np.array([1.0, 0.3, 1.0]), 0.3)), moving(*ball(np.array([-0.5, 0.0, 1.0]), 0.3))],
        [pole(0.2, -0.6)],
    )
    depth, owner = picture(scene, CAMERA, 0.0)
    assert depth.shape == owner.shape == (480, 640)
    for actor in (0, 1):
        look = one_crop(scene, [220.0, 140.0, 200.0, 200.0], 200, actor)
        block = (slice(140, 340), slice(220, 420))
        np.testing.assert_array_equal(owner[block] == actor, look.own[0] > 0)
        np.testing.assert_allclose(depth[block], look.full[0], rtol=1e-5)
    assert set(np.unique(owner)) == {GROUND, THINGS, 0, 1}
    later, who = picture(scene, CAMERA, 9.0)  # both are gone
    assert set(np.unique(who)) == {GROUND, THINGS}
    assert (later >= depth).all()
    close = look_at(np.array([0.0, 0.0, 1.0]), np.array([3.0, 0.0, 1.0]), width=64, height=48)
    around = picture(Scene([moving(*ball(np.array([0.0, 0.0, 1.0]), 0.5))]), close, 0.0)
    assert (around[1] == 0).all()  # a camera inside a ball sees nothing else

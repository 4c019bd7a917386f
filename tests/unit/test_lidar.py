from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from shapes import ball, moving

from gait3dlib.errors import InputError
from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import look_at, project
from gait3dlib.simulation.lidar import Lidar, Mount, Spinning, Sweep, lidar, person_points
from gait3dlib.simulation.look import Viewer
from gait3dlib.simulation.scene import GROUND, THINGS, Actor, Scene
from gait3dlib.simulation.things import pole, wall

QUIET = dataclasses.replace(lidar(64), noise_m=0.0, range_10_percent_m=1e4)


def quiet_sweep(scene: Scene, mount: Mount, start_s: float = 0.0, *, everywhere: bool = True) -> Sweep:
    return Spinning(scene, QUIET, mount, everywhere=everywhere).sweep(np.random.default_rng(0), start_s)


def world(sweep: Sweep, mount: Mount) -> np.ndarray:
    yaw = np.deg2rad(mount.yaw_deg)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return np.asarray(sweep.points[:, :3] @ turn.T + np.array(mount.position))


def test_ground_wall_and_pole_are_where_they_stand() -> None:
    mount = Mount((1.0, -2.0, 1.7), yaw_deg=40.0)
    scene = Scene([], [wall((-5, 6), (8, 6)), pole(3.0, 1.0, radius_m=0.2)])
    sweep = quiet_sweep(scene, mount)
    points = world(sweep, mount)
    ground = sweep.owner == GROUND
    assert np.abs(points[ground, 2]).max() < 2e-4
    front = (sweep.owner == THINGS) & (points[:, 1] > 4)
    assert np.abs(points[front, 1] - 5.95).max() < 1e-3
    post = (sweep.owner == THINGS) & (points[:, 1] < 4)
    away = np.hypot(points[post, 0] - 3.0, points[post, 1] - 1.0)
    assert np.abs(away - 0.2).max() < 1e-3
    assert min(ground.sum(), front.sum(), post.sum()) > 100
    assert set(np.unique(sweep.owner)) == {GROUND, THINGS}


@pytest.mark.parametrize(("beams", "view"), [(16, 30.0), (32, 45.0), (64, 45.0), (128, 45.0)])
def test_beams_span_the_sensors_field_of_view(beams: int, view: float) -> None:
    spec = lidar(beams)
    assert spec.beams == beams
    assert np.ptp(spec.elevations_deg) == pytest.approx(view)
    mount = Mount((0.0, 0.0, 1.5))
    corners = [(-4, -4), (4, -4), (4, 4), (-4, 4), (-4, -4)]
    room = [wall(a, b, height_m=6) for a, b in pairwise(corners)]
    sweep = Spinning(Scene([], room), spec, mount).sweep(np.random.default_rng(0), 0.0)
    assert set(np.unique(sweep.ring)) == set(range(beams))
    up = np.rad2deg(np.arctan2(sweep.points[:, 2], np.hypot(*sweep.points[:, :2].T)))
    np.testing.assert_allclose(up, np.asarray(spec.elevations_deg)[sweep.ring], atol=1e-3)
    assert len(sweep.points) > 0.98 * beams * spec.columns
    with pytest.raises(InputError, match="beams"):
        lidar(beams + 1)


def test_every_point_was_on_the_moving_ball_when_its_azimuth_was_swept() -> None:
    centre, radius, velocity = np.array([5.0, 0.3, 1.5]), 0.5, np.array([1.0, 3.0, 0.0])
    mount = Mount((0.0, 0.0, 1.5))
    actor = moving(*ball(centre, radius), velocity)
    sweep = quiet_sweep(Scene([actor], ground=False), mount, start_s=0.4)
    points, t_s = world(sweep, mount), sweep.t_s
    assert len(points) > 300
    away = np.linalg.norm(points - centre - t_s[:, None] * velocity, axis=1)
    assert np.abs(away - radius).max() < 1e-3
    # the time is that of the azimuth: clockwise from behind
    azimuth = np.arctan2(sweep.points[:, 1], sweep.points[:, 0])
    np.testing.assert_allclose(t_s, 0.4 + (np.pi - azimuth) / (2 * np.pi) * 0.1, atol=1e-6)
    assert (np.diff(t_s) >= 0).all()
    # had the ball stood still during the sweep, it would be elsewhere
    stiff = np.linalg.norm(points - centre - 0.4 * velocity, axis=1)
    assert np.abs(stiff - radius).max() > 0.05


def test_who_walks_behind_the_sensor_is_swept_on_both_sides_of_the_seam() -> None:
    mount = Mount((0.0, 0.0, 1.5))
    scene = Scene([moving(*ball(np.array([-3.0, 0.0, 1.5]), 0.5))], ground=False)
    sweep = quiet_sweep(scene, mount)
    assert (sweep.t_s < 0.01).sum() == pytest.approx((sweep.t_s > 0.09).sum(), rel=0.1)
    around = quiet_sweep(Scene([moving(*ball(np.zeros(3), 9.0))], ground=False), mount)
    assert len(around.points) > 0.99 * QUIET.columns * QUIET.beams


def test_sectors_give_the_points_that_a_whole_sweep_gives() -> None:
    mount = Mount.facing(70.0, 6.0, 1.6)
    walkers = [
        Actor.walking(sample_walker(5, 1), seed=1, seconds=1.0),
        Actor.walking(sample_walker(5, 2), seed=1, seconds=1.0, heading_deg=180.0, y_m=0.7),
    ]
    scene = Scene(walkers, [pole(1.0, 1.5)])
    sweeps = [
        Spinning(scene, lidar(64), mount, everywhere=all_round).sweep(np.random.default_rng(3), 0.3)
        for all_round in (True, False)
    ]
    for actor in (0, 1):
        whole, part = (s.points[s.owner == actor] for s in sweeps)
        assert len(whole) > 60
        np.testing.assert_array_equal(whole, part)
    assert len(sweeps[1].points) < 0.3 * len(sweeps[0].points)


def test_points_lie_on_the_depth_picture_of_the_same_instant() -> None:
    actor = Actor.walking(sample_walker(5, 1), seed=1, seconds=1.0)
    scene = Scene([actor])
    mount = Mount.facing(90.0, 5.0, 1.2)
    sweep = quiet_sweep(scene, mount, start_s=0.45)
    own = sweep.owner == 0
    points, at_s = world(sweep, mount)[own], float(np.median(sweep.t_s[own]))
    camera = look_at(np.array(mount.position), np.array([0.0, 0.0, 0.9]), width=1280, height=960)
    viewer = Viewer(scene, 0, camera, np.array([at_s]))
    seen = project(camera, points)
    depth = np.array([viewer.cast(0, np.array([x]), np.array([y]))[0][0, 0] for x, y, _ in seen])
    hit = np.isfinite(depth)
    assert hit.mean() > 0.97  # an outline may have moved by a millimetre meanwhile
    assert np.median(np.abs(depth[hit] - seen[hit, 2])) < 1e-3
    assert np.quantile(np.abs(depth[hit] - seen[hit, 2]), 0.95) < 8e-3


def test_range_noise_and_lost_returns() -> None:
    mount = Mount((0.0, 0.0, 1.5))
    spec = Lidar((0.0, 0.5, 1.0), columns=4096)

    def share(distance: float, shine: float) -> tuple[float, float]:
        shell = moving(*ball(np.array([0.0, 0.0, 1.5]), distance, rings=60), shine=shine)
        sweep = Spinning(Scene([shell], ground=False), spec, mount).sweep(np.random.default_rng(1), 0.0)
        ranges = np.linalg.norm(sweep.points[:, :3].astype(np.float64), axis=1)
        return len(ranges) / (3 * 4096), float(ranges.std()) if len(ranges) else 0.0

    near, spread = share(10.0, 0.5)
    assert near == pytest.approx(0.996, abs=0.004)
    assert spread == pytest.approx(0.02, rel=0.1)
    assert share(45.0, 0.1)[0] == pytest.approx(0.9 * 0.996, abs=0.015)
    assert share(90.0, 0.1)[0] < 0.5
    assert share(130.0, 1.0)[0] == 0  # out of range


def test_grazing_surfaces_return_less() -> None:
    spec = dataclasses.replace(lidar(64), columns=512, range_10_percent_m=12.0)
    sweep = Spinning(Scene([]), spec, Mount((0.0, 0.0, 1.5))).sweep(np.random.default_rng(1), 0.0)
    found = np.bincount(sweep.ring, minlength=64)
    assert (found[:8] > 500).all()
    assert (found[25:32] < 100).all()  # 2 degrees below the horizon, 40 m away
    assert (found[32:] == 0).all()


def test_a_persons_points_are_a_stream_with_errors_and_own_times() -> None:
    scene = Scene([Actor.walking(sample_walker(5, 1), seed=1, seconds=1.0)])
    mount = Mount.facing(45.0, 7.0, 1.6)

    def stream() -> object:
        rng = np.random.default_rng(5)
        sensor = Spinning(scene, lidar(64), mount, everywhere=False)
        return person_points(rng, [sensor.sweep(rng, 0.1 * k) for k in range(10)], 0, height_m=1.6)

    first, again = stream(), stream()
    assert first.data.tobytes() == again.data.tobytes()  # type: ignore[attr-defined]
    assert len(first) == 10  # type: ignore[arg-type]
    assert np.diff(first.t_ns).min() > 0.09e9  # type: ignore[attr-defined]
    assert (first.data[:, 0] > 4).all()  # type: ignore[attr-defined]
    assert ((first.data[:, 3] >= 0) & (first.data[:, 3] <= 1)).all()  # type: ignore[attr-defined]
    height = first.data[:, 2]  # type: ignore[attr-defined]
    assert -0.05 < np.quantile(height, 0.02) < 0.15
    assert np.quantile(height, 0.99) == pytest.approx(sample_walker(5, 1).shape.height_m, abs=0.12)
    nobody = Spinning(Scene([]), lidar(16), mount).sweep(np.random.default_rng(0), 0.0)
    assert person_points(np.random.default_rng(0), [nobody], 0, height_m=1.6) is None

"""People in points: ground, background, shape, tracks, walks, where sensors stand, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait3dlib.errors import InputError
from gait3dlib.perception import walks
from gait3dlib.perception.points import Scans, find_ground, walks_in_points
from gait3dlib.perception.points.background import LEARN_SCANS, Background
from gait3dlib.perception.points.following import SteadyClock
from gait3dlib.perception.points.mounting import align_ways, mounts, rigid
from gait3dlib.perception.points.people import apart_by_heads, clusters, person_of, split
from gait3dlib.recording import RecordingWriter, open_recording
from gait3dlib.types import STREAM_SPECS, Calibration, Frame, Stream

HEIGHT_M = 1.4


def turned(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:  # type: ignore[type-arg]
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("zyx", [yaw_deg, pitch_deg, roll_deg], degrees=True).as_matrix())


def floor(rng: np.random.Generator, count: int = 4000, reach: float = 14.0) -> np.ndarray:  # type: ignore[type-arg]
    xy = rng.uniform(-reach, reach, (count, 2))
    xy = xy[np.hypot(*xy.T) > 1.0]
    return np.column_stack([xy, rng.normal(0, 0.01, len(xy))])


def figure(
    rng: np.random.Generator, x: float, y: float, height: float = 1.75, count: int = 260
) -> np.ndarray:  # type: ignore[type-arg]
    """The outline of a person: two legs, a trunk, a head; elliptic cylinders."""
    parts = ((0.0, 0.47, 0.16, 0.12, 0.35), (0.47, 0.83, 0.21, 0.15, 0.45), (0.87, 1.0, 0.09, 0.09, 0.2))
    out = []
    for low, high, wide, deep, share in parts:
        n = int(count * share)
        angle = rng.uniform(0, 2 * np.pi, n)
        z = rng.uniform(low, high, n) * height
        out.append(np.column_stack([x + deep * np.cos(angle), y + wide * np.sin(angle), z]))
    out.append(np.array([[x, y, height], [x + 0.01, y, height]]))
    return np.concatenate(out)


def scan(
    rng: np.random.Generator, *people: tuple[float, float], turn: Any = None, extra: Any = None
) -> np.ndarray:  # type: ignore[type-arg]
    """A scan in the frame of a sensor that stands at the origin, ``HEIGHT_M`` above the floor, turned."""
    parts = [floor(rng), *(figure(rng, x, y) for x, y in people)]
    parts += [] if extra is None else [extra]
    xyz = np.concatenate(parts) - [0, 0, HEIGHT_M]
    xyz = xyz if turn is None else xyz @ turn  # world to sensor is the transpose
    return np.column_stack([xyz, rng.uniform(0, 255, len(xyz))]).astype(np.float32)


def frames(paths: list[Any], seconds: float, hz: float = 10.0, **how: Any) -> list[Frame]:
    rng = np.random.default_rng(5)
    out = []
    for i in range(int(seconds * hz)):
        here = [path(i / hz) for path in paths]
        points = scan(rng, *[place for place in here if place is not None], **how)
        out.append(Frame({"points": points}, round((100 + i / hz) * 1e9)))
    return out


# ---- ground ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.floats(-25, 25), st.floats(-25, 25), st.floats(-180, 180), st.integers(0, 1000))
def test_a_tilted_sensor_is_levelled(pitch: float, roll: float, yaw: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wall = np.column_stack([rng.uniform(-8, 8, 1500), np.full(1500, 9.0), rng.uniform(0, 4, 1500)])
    turn = turned(yaw, pitch, roll)
    ground = find_ground(scan(rng, (4, 1), (-3, 5), turn=turn, extra=wall))
    assert ground.height_m == pytest.approx(HEIGHT_M, abs=0.02)
    up = ground.matrix[:3, :3] @ (turn.T @ [0, 0, 1])
    assert np.rad2deg(np.arccos(np.clip(up[2], -1, 1))) < 0.3
    assert ground.tilt_deg == pytest.approx(np.rad2deg(np.arccos(turn[2, 2])), abs=0.3)
    level = ground.level(scan(rng, turn=turn)[:, :3])
    assert np.abs(np.median(level[:, 2])) < 0.01


def test_no_ground_is_said_to_be_none() -> None:
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(-8, 8, 3000), np.full(3000, 4.0), rng.uniform(0, 3, 3000)])
    strip = np.column_stack([rng.uniform(1, 9, 900), rng.uniform(-0.1, 0.1, 900), np.full(900, -1.4)])
    for points in (wall, strip, rng.normal(0, 5, (3000, 3)) * [1, 1, 0.5], np.zeros((0, 4)), wall[:2]):
        with pytest.raises(InputError, match="no ground is seen; mount the sensor so"):
            find_ground(points)
    with pytest.raises(InputError, match="no ground is seen"):
        list(
            walks_in_points(
                Frame({"points": np.column_stack([wall, wall[:, 0]]).astype(np.float32)}, i)
                for i in range(1, 40)
            )
        )


# ---- people ---------------------------------------------------------------------------------------


def test_people_who_stand_still_are_found_by_their_shape() -> None:
    rng = np.random.default_rng(1)
    board = np.column_stack([np.full(300, 5.0), rng.uniform(-4.4, -3.6, 300), rng.uniform(0, 1.7, 300)])
    post = np.column_stack(
        [-4 + rng.normal(0, 0.05, 200), 4 + rng.normal(0, 0.05, 200), rng.uniform(0, 1.9, 200)]
    )
    bush = rng.uniform(-0.6, 0.6, (400, 3)) * [1, 1, 1.3] + [-5, -5, 0.7]
    bush = bush[bush[:, 2] > 0]
    places = [(4.0, 2.0), (-3.0, 6.0), (2.0, -6.0)]
    points = scan(rng, *places, extra=np.concatenate([board, post, bush]))
    found = Scans().look(points, None, 10**9)
    assert len(found) == 3
    for sighting, place in zip(
        sorted(found, key=lambda s: s.person.xy[1]), sorted(places, key=lambda p: p[1]), strict=True
    ):
        assert np.linalg.norm(sighting.person.xy - place) < 0.1
        assert sighting.person.height_m == pytest.approx(1.75, abs=0.06)
        assert sighting.person.points[:, 2].min() < 0.15


def test_two_side_by_side_are_two() -> None:
    rng = np.random.default_rng(2)
    pair = np.column_stack(
        [np.concatenate([figure(rng, 5, 0), figure(rng, 5, 0.5)]), np.zeros(2 * len(figure(rng, 5, 0)))]
    )
    pair = pair.astype(np.float32)
    (cluster,) = clusters(pair, np.ones(len(pair), dtype=bool))
    parts = apart_by_heads(pair, cluster)
    assert [round(float(pair[rows, 1].mean()), 1) for rows in parts] in ([0.0, 0.5], [0.5, 0.0])
    assert len(apart_by_heads(pair, cluster[pair[cluster, 1] < 0.22])) == 1
    tracked = [np.array([5.0, 0.0]), np.array([5.0, 0.5])]
    by_tracks = split(pair, cluster, tracked)
    assert [round(float(pair[rows, 1].mean()), 1) for rows in by_tracks] == [0.0, 0.5]
    assert person_of(pair, cluster[:4], moving=True) is None


def test_what_stands_still_becomes_background_and_what_comes_before_it_does_not() -> None:
    rng = np.random.default_rng(3)
    wall = np.column_stack([np.full(4000, 8.0), rng.uniform(-6, 6, 4000), rng.uniform(-1, 2, 4000)])
    background = Background()
    for _ in range(3 * LEARN_SCANS):
        background.in_front(wall + rng.normal(0, 0.02, wall.shape), 0.1)
    assert background.known
    person = figure(rng, 5, 0) - [0, 0, 1]
    front = background.in_front(np.concatenate([wall, person]), 0.1)
    assert front[: len(wall)].mean() < 0.02
    assert front[len(wall) :].mean() > 0.9


# ---- walks ----------------------------------------------------------------------------------------


def test_three_who_cross_are_three_walks_in_metric_height() -> None:
    ways = [lambda t: (-5 + 1.3 * t, 4.0), lambda t: (5 - 1.2 * t, 4.9), lambda t: (0.3, 8.0 - 1.1 * t)]
    found = list(walks(frames(ways, 6.5, turn=turned(20, 8, -5)), source="here"))
    assert len(found) == 3
    assert len({walk.meta.covariates["track"] for walk in found}) == 3
    for walk in found:
        stream = walk.streams["points"]
        assert stream.data.dtype == np.float32
        assert len(stream) > 50
        assert walk.duration_s > 5
        tops = [stream.frame(i)[:, 2].max() for i in range(len(stream))]
        assert np.median(tops) == pytest.approx(1.75, abs=0.05)
        assert walk.meta.source == "here"
        places = np.array([np.median(stream.frame(i)[:, :2], axis=0) for i in range(len(stream))])
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        assert steps.max() < 0.45  # a switch would be a leap, or turn the way round
        way = np.diff(places[:: len(places) // 4], axis=0)
        assert (way @ way[0] > 0).all()


def test_who_stands_or_sways_does_not_walk() -> None:
    sway = frames([lambda t: (4 + 0.1 * np.sin(t), 0.0)], 4.0)
    assert list(walks_in_points(sway)) == []


def test_a_hidden_walker_is_the_same_one_afterwards() -> None:
    way = frames([lambda t: None if 2.5 < t < 3.3 else (-5 + 1.3 * t, 4.0)], 6.0)
    (walk,) = walks_in_points(way)
    assert walk.duration_s > 5


def test_two_sensors_that_share_a_world_see_one_walker_once() -> None:
    one = frames([lambda t: (-4 + 1.2 * t, 3.0)], 5.0)
    other = np.eye(4)
    other[:3, :3], other[:3, 3] = turned(90).T, [0.0, 0.0, -HEIGHT_M]
    first = np.eye(4)
    first[2, 3] = -HEIGHT_M
    both = []
    for i, frame in enumerate(one):
        points = frame.data["points"].copy()
        points[:, :3] = points[:, :3] @ turned(90)
        both += [frame, Frame({"points_2": points}, frame.host_t_ns + 40_000_000 + i % 3)]
    places = {"points": Calibration(extrinsics=first), "points_2": Calibration(extrinsics=other)}
    (walk,) = walks_in_points(both, calibration=places)
    assert set(walk.streams) == {"points", "points_2"}
    for stream in walk.streams.values():
        np.testing.assert_allclose(stream.data[:, 1].mean(), 3.0, atol=0.1)
    assert len(list(walks_in_points(both))) == 2  # without places each looks for itself


# ---- bad input ------------------------------------------------------------------------------------


def test_bad_points_are_said_to_be_bad() -> None:
    rng = np.random.default_rng(4)
    good = scan(rng, (4, 0))
    for points, sentence in (
        (good * 1000, "seem to be in millimetres; divide x, y and z by 1000"),
        (good[:, :3], "must be float32"),
        (good.astype(np.int32), "must be float32"),
        (good[0], "must be float32"),
    ):
        with pytest.raises(InputError, match=sentence):
            list(walks_in_points([Frame({"points": points}, 1)]))


def test_empty_scans_and_points_that_are_not_finite_stop_nothing() -> None:
    taken = frames([lambda t: (-4 + 1.2 * t, 3.0)], 5.0)
    rng = np.random.default_rng(6)
    for i, frame in enumerate(taken):
        points = frame.data["points"].copy()
        points[rng.random(len(points)) < 0.1, rng.integers(0, 4)] = rng.choice([np.nan, np.inf])
        if i % 7 == 3:
            points = points[:0] if i % 2 else np.full((20, 4), np.nan, np.float32)
        taken[i] = Frame({"points": points}, frame.host_t_ns)
    (walk,) = walks_in_points(taken)
    assert np.isfinite(walk.streams["points"].data).all()
    assert walk.duration_s > 4
    assert (
        list(walks_in_points(Frame({"points": np.zeros((0, 4), np.float32)}, i) for i in range(1, 50))) == []
    )


@pytest.mark.parametrize(
    ("part", "keep"), [("head", lambda up, turn: up < 4), ("feet", lambda up, turn: up > -12)]
)
def test_a_walker_cut_by_the_field_of_view_is_flagged(part: str, keep: Any) -> None:
    taken = []
    for frame in frames([lambda t: (-4 + 1.4 * t, 3.0)], 5.0):
        points = frame.data["points"]
        flat = np.hypot(points[:, 0], points[:, 1])
        up, turn = (
            np.rad2deg(np.arctan2(points[:, 2], flat)),
            np.rad2deg(np.arctan2(points[:, 1], points[:, 0])),
        )
        taken.append(Frame({"points": points[keep(up, turn) | (flat > 6.5)]}, frame.host_t_ns))
    # the far part of the scene would widen the field, so it is cut as well
    taken = [Frame({"points": f.data["points"][keep(*angles(f.data["points"]))]}, f.host_t_ns) for f in taken]
    (walk,) = walks_in_points(taken)
    assert part in walk.meta.covariates["cut"]


def angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    flat = np.hypot(points[:, 0], points[:, 1])
    return np.rad2deg(np.arctan2(points[:, 2], flat)), np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))


def test_whole_walkers_are_not_flagged() -> None:
    (walk,) = walks_in_points(frames([lambda t: (-5 + 1.3 * t, 7.0)], 6.0))
    assert "cut" not in walk.meta.covariates


def test_a_device_clock_that_is_set_anew_does_not_stop_time() -> None:
    clock = SteadyClock()
    host = [round((50 + i * 0.1) * 1e9) + 7_000_000 * (i % 2) for i in range(20)]
    device = [round((i % 10) * 0.1e9) for i in range(20)]
    times = [clock.at(Frame({}, h, d)) for h, d in zip(host, device, strict=True)]
    assert (np.diff(times) > 0.05e9).all()
    assert np.abs(np.array(times) - host).max() < 0.02e9


# ---- where sensors stand --------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-20, 20), st.floats(-20, 20), st.integers(0, 99))
def test_a_rigid_motion_is_found_again(angle: float, x: float, y: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = rng.normal(0, 3, (12, 2))
    found, shift = rigid(places, places @ turn.T + [x, y])
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_allclose(shift, [x, y], atol=1e-8)


def test_the_lag_between_two_clocks_is_found() -> None:
    t = np.arange(0, 6, 0.1)
    way = np.column_stack([t, 1.2 * t - 3, np.sin(t)])
    turn = turned(40)[:2, :2]
    later = t[3:50] + 0.04
    seen = np.column_stack([np.interp(later, t, way[:, 1]), np.interp(later, t, way[:, 2])])
    other = np.column_stack([later - 0.24, (seen - [1.0, 2.0]) @ turn])
    fit = align_ways([way], [other])
    assert fit.lag_s == pytest.approx(0.24, abs=0.021)
    np.testing.assert_allclose(fit.matrix[:2, :2], turn, atol=0.02)
    np.testing.assert_allclose(fit.matrix[:2, 3], [1.0, 2.0], atol=0.06)
    with pytest.raises(InputError, match="no walker was seen by both"):
        align_ways([way], [other + np.array([100, 0, 0])])


def test_mounts_from_a_recorded_walk(tmp_path: Path) -> None:
    def bent(t: float) -> tuple[float, float]:
        return -4 + 1.2 * t, 3.0 + np.sin(1.2 * t)

    seen = frames([bent], 6.0, turn=turned(0, 6, 3))
    truth = np.eye(4)
    truth[:3, :3], truth[:3, 3] = turned(70, -4, 8), [2.0, 7.5, 0.3]  # second sensor's frame to the first's
    back = np.linalg.inv(truth)
    specs = dict.fromkeys(("points", "points_2"), STREAM_SPECS["points"])
    with RecordingWriter(tmp_path / "a.h5", specs) as writer:
        for frame in seen:
            points = frame.data["points"].copy()
            writer.append("points", points, frame.host_t_ns)
            points[:, :3] = points[:, :3] @ back[:3, :3].T.astype(np.float32) + back[:3, 3].astype(np.float32)
            writer.append("points_2", points, frame.host_t_ns)
    with open_recording(tmp_path / "a.h5") as recording:
        found = mounts({name: recording.streams[name] for name in recording.streams})
    between = found["points"] @ np.linalg.inv(found["points_2"])
    assert np.rad2deg(np.arccos(np.clip((np.trace(between[:3, :3] @ truth[:3, :3].T) - 1) / 2, -1, 1))) < 1.5
    np.testing.assert_allclose(between[:3, 3], truth[:3, 3], atol=0.15)
    alone = Stream(np.zeros((2, 4), np.float32), np.array([1, 2]), "m", offsets=np.array([0, 1, 2]))
    with pytest.raises(InputError, match="record two or more at once"):
        mounts({"points": alone})

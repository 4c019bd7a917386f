"""Live people in depth and points: when walks end, reasons, a camera and a LiDAR together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("embreex")

from depth_corridor import CAMERA, FAR_Y, FPS, NEAR_Y, frames_of, made_shots, make_corridor
from numpy.typing import NDArray

from gait3dlib.live._together import LIDAR_TRACKS, walks_live
from gait3dlib.perception.depth import DepthWalks
from gait3dlib.perception.depth.following import DepthFollower, _Sight, _Way
from gait3dlib.perception.depth.people import DepthPerson
from gait3dlib.perception.depth.scene import DepthScene
from gait3dlib.perception.observing import Observer, Refusal, Seen
from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.software_camera import Shot, corridor_shots
from gait3dlib.simulation.things import wall
from gait3dlib.types import Calibration, Frame, GaitSequence

NS = 10**9


class Notes(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.seen: list[tuple[int, dict[int, Seen]]] = []
        self.camera: Calibration | None = None

    def people(self, t_ns: int, people: Mapping[int, Seen], camera: Calibration | None = None) -> None:
        self.seen.append((t_ns, dict(people)))
        self.camera = camera or self.camera

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


def shown(shots: list[Shot], notes: Notes | None = None) -> list[tuple[int, GaitSequence]]:
    """The walks in shots of the corridor, each with the time at which it was known."""
    out = []
    with DepthWalks({"depth": CAMERA}, pose=False, observer=notes) as walks:
        last_ns = 0
        for shot in shots:
            last_ns = shot.t_ns
            out += [(last_ns, seq) for seq in walks.take(Frame({"depth": shot.depth}, last_ns))]
        out += [(last_ns, seq) for seq in walks.finish()]
    return out


# ---- walks end when they are over ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaving() -> list[Shot]:
    """One who walks out of the image, and four seconds of nobody."""
    walker = sample_walker(5, 0)
    actor = Actor.walking(walker, seed=0, seconds=7.0 / walker.speed_m_s, start_s=0.8)
    scene = Scene([actor], [wall((-6, 2.6), (6, 2.6))])
    return list(corridor_shots(scene, CAMERA, seconds=actor.stop_s + 3.0, fps=FPS, seed=3, color=False))


def test_a_walk_out_of_the_image_is_known_within_half_a_second(leaving: list[Shot]) -> None:
    ((known_ns, seq),) = shown(leaving)
    last_ns = int(seq.streams["depth"].t_ns[-1])
    assert 0 < (known_ns - last_ns) / NS <= 0.5
    assert seq.duration_s > 2.0
    ends = seq.streams["depth"].boxes
    assert ends is not None
    assert ends[-1, 0] + ends[-1, 2] > 0.8 * CAMERA.width, "up to the border"


def test_the_observer_is_told_who_is_where(leaving: list[Shot]) -> None:
    notes = Notes()
    shown(leaving, notes)
    assert notes.refusals == []
    assert max(len(people) for _, people in notes.seen) == 1
    ways = [seen.xy for _, people in notes.seen for seen in people.values()]
    assert ways[0][0] < -1.5
    assert ways[-1][0] > 1.5
    assert max(abs(xy[1]) for xy in ways) < 0.35
    assert notes.seen[-1][1] == {}
    assert notes.camera is not None
    assert notes.camera.extrinsics is not None


def person_at(x_m: float, *, whole: bool = True, left_px: float = 200.0) -> DepthPerson:
    empty = np.zeros((2, 2))
    return DepthPerson(
        np.array([x_m, 0.0]), 1.7, 4.0, 0.5, whole, np.zeros(4), empty.astype(np.uint8), empty,
        np.zeros((1, 4), np.float32), np.array([left_px, 50.0, 60.0, 150.0]),
        (np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.float32)),
    )  # fmt: skip


def way_of(xs: NDArray[np.float64], fps: float = 30.0, whole: bool = True) -> tuple[_Way, int]:
    way = _Way()
    for i, x in enumerate(xs):
        way.add(_Sight(round(i / fps * NS), person_at(float(x), whole=whole, left_px=200 + 5 * float(x))))
    return way, round(len(xs) / fps * NS)


@pytest.fixture
def follower() -> DepthFollower:
    return DepthFollower(DepthScene(CAMERA))


def test_who_stops_has_ended_the_walk(follower: DepthFollower) -> None:
    walked = np.linspace(0, 3, 75)
    rng = np.random.default_rng(0)
    for still, over in ((5, False), (30, True)):
        xs = np.concatenate([walked, 3 + rng.normal(0, 0.03, still)])
        assert follower._is_over(*way_of(xs)) is over


def test_who_walks_on_or_only_fidgets_has_not(follower: DepthFollower) -> None:
    assert not follower._is_over(*way_of(np.linspace(0, 6, 150)))
    rng = np.random.default_rng(0)
    assert not follower._is_over(*way_of(rng.normal(0, 0.03, 60)))
    way, now = way_of(rng.normal(0, 0.03, 150))
    assert follower._is_over(way, now), "after some seconds it is said of who stands"


def test_who_is_hidden_in_the_middle_is_waited_for(follower: DepthFollower) -> None:
    way, now = way_of(np.linspace(0, 3, 75))
    assert not follower._is_over(way, now + NS)


def test_who_was_cut_all_along_has_no_walk_to_end(follower: DepthFollower) -> None:
    way, now = way_of(np.linspace(0, 3, 75), whole=False)
    assert not follower._is_over(way, now + NS)


# ---- who cannot be judged --------------------------------------------------------------------------------


def test_who_stands_in_the_corridor_is_told_so_once() -> None:
    """Half a walk, then the same image for six seconds, then nobody."""
    shots = made_shots()
    stop = round(0.8 * FPS) + 4  # both have just come in
    images = [s.depth for s in shots[:stop]] + [shots[stop].depth] * 60 + [shots[0].depth] * 20
    notes = Notes()
    still = [Shot(image, round(i / FPS * NS)) for i, image in enumerate(images)]
    assert shown(still, notes) == []
    said = [refusal.reason for refusal in notes.refusals]
    assert 1 <= len(said) <= 2
    assert all(reason.startswith("standing: ") for reason in said), said
    assert len({refusal.track for refusal in notes.refusals}) == len(said), "each person once"
    assert max(refusal.stop_ns for refusal in notes.refusals) < 8 * NS, "while the person still stands there"


# ---- together with a LiDAR -------------------------------------------------------------------------------

HEIGHT_M, BEHIND_M = 1.4, 4.0
LIDAR = Calibration(
    extrinsics=np.array([[1.0, 0, 0, 0], [0, 1, 0, BEHIND_M], [0, 0, 1, -HEIGHT_M], [0, 0, 0, 1]])
)
CAMERAS = {"depth": CAMERA, "points_2": LIDAR}
HZ_NS = 10**8


def figure(rng: np.random.Generator, x: float, y: float) -> NDArray[np.float64]:
    """Two legs, a trunk, a head: a column of points."""
    high = rng.uniform(0.02, 1.7, 300)
    wide = np.where(high > 1.45, 0.09, np.where(high > 0.8, 0.2, 0.14))
    turn = rng.uniform(0, 2 * np.pi, 300)
    return np.column_stack([x + wide * np.cos(turn), y + wide * np.sin(turn), high])


def scans(lanes: tuple[int, ...]) -> list[Frame]:
    """What a LiDAR sees of the corridor's people of these numbers, as the second sensor of a rig."""
    rng, corridor = np.random.default_rng(5), make_corridor()
    out = []
    for shot in made_shots():
        t_s = np.array([shot.t_ns / 1e9 + 0.001])
        people = [corridor.actors[n] for n in lanes if corridor.actors[n].there(t_s)[0]]
        places = [actor.at(t_s).joints[0, 0, :2] for actor in people]
        floor = np.column_stack([rng.uniform(-12, 12, (5000, 2)), rng.normal(0, 0.01, 5000)])
        xyz = np.concatenate([floor, *(figure(rng, float(x), float(y)) for x, y in places)])
        xyz += np.array([0.0, BEHIND_M, -HEIGHT_M])
        points = np.column_stack([xyz, np.full(len(xyz), 60.0)]).astype(np.float32)
        out.append(Frame({"points_2": points}, shot.t_ns + 1_000_000))
    return out


def merged(depth: list[Frame], points: list[Frame]) -> list[Frame]:
    return sorted([*depth, *points], key=lambda frame: frame.host_t_ns)


def lane_of(seq: GaitSequence) -> float:
    return float(np.median(seq.streams["points"].data[:, 1]))


def test_a_camera_and_a_lidar_give_one_walk_a_person_with_the_lidars_points() -> None:
    frames = merged(frames_of(list(made_shots())), scans((0, 1)))
    found = list(walks_live(frames, ["depth", "points_2"], CAMERAS, pose=False))
    assert len(found) == 2
    for seq in found:
        assert {"silhouette", "depth", "points"} == set(seq.streams)
        points = seq.streams["points"]
        assert (points.data[:, 3] == 60.0).all(), "the LiDAR's own points"
        assert (points.t_ns % HZ_NS == 1_000_000).all(), "on the LiDAR's own clock"
        alone = np.median([seq.streams["depth"].boxes[:, 3]])  # type: ignore[index]
        assert (alone > 110) == (lane_of(seq) < 0.2), (
            "the nearer one looks larger: nobody got the other's points"
        )
    assert sorted(map(lane_of, found)) == pytest.approx([NEAR_Y, FAR_Y], abs=0.1)


def test_without_common_places_two_people_are_not_guessed_at() -> None:
    nowhere = {"depth": CAMERA, "points_2": Calibration()}
    frames = merged(frames_of(list(made_shots())), scans((0, 1)))
    found = list(walks_live(frames, ["depth", "points_2"], nowhere, pose=False))
    of_camera = [seq for seq in found if "depth" in seq.streams]
    assert len(of_camera) == 2
    for seq in of_camera:
        assert not (seq.streams["points"].data[:, 3] == 60.0).any(), "the camera's own points"


def test_whom_only_the_lidar_sees_is_a_walk_of_points() -> None:
    empty = [Frame({"depth": made_shots()[n % 6].depth}, s.t_ns) for n, s in enumerate(made_shots())]
    found = list(walks_live(merged(empty, scans((0,))), ["depth", "points_2"], CAMERAS, pose=False))
    assert [set(seq.streams) for seq in found] == [{"points"}]
    assert int(found[0].meta.covariates["track"]) > LIDAR_TRACKS
    assert lane_of(found[0]) == pytest.approx(NEAR_Y, abs=0.1)

"""Perception on pictures that are drawn here, so that what must come out is known."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception import coco17, walks
from gait3dlib.perception import cutting as cutting_module
from gait3dlib.perception import people as people_module
from gait3dlib.perception.camera import CameraMotion
from gait3dlib.perception.crops import (
    CANVAS,
    centred,
    cornered,
    cut,
    iou,
    mask_box,
    mask_canvas,
    nearest_canvas,
    shrink,
    square,
)
from gait3dlib.perception.cutting import Sight, WalkCutter
from gait3dlib.perception.people import VideoPeople, blobs
from gait3dlib.perception.pose import PeopleDetector, PoseEstimator, stature, upright
from gait3dlib.perception.tracking import Tracker, box_cost, distance_cost
from gait3dlib.types import EndOfStream, Frame, GaitSequence, Meta

FPS = 25
STEP_NS = 1_000_000_000 // FPS
HEIGHT, WIDTH = 240, 400
FIGURE = 100  # pixels that a drawn walker is tall; 0.8 heights a second are 3.2 pixels a frame
STRIDE_PX = 3.2


# ---- drawings -------------------------------------------------------------------------------------


def figure(frame: float, tall: float = FIGURE, swing: float = 1.0) -> NDArray[np.bool_]:
    """A walker as a mask ``[tall, tall]``: head, trunk, and two legs that swing at one stride a second."""
    size = round(tall)
    rows, columns = np.mgrid[:size, :size] / tall - np.array([0.0, 0.5])[:, None, None]
    mask = (rows - 0.08) ** 2 + columns**2 < 0.07**2
    mask |= ((rows - 0.33) / 0.2) ** 2 + (columns / 0.1) ** 2 < 1
    for side in (-1, 1):
        lean = side * swing * 0.5 * np.sin(2 * np.pi * frame / FPS)
        mask |= (abs(columns - lean * (rows - 0.5)) < 0.05) & (rows > 0.45)
    return np.asarray(mask)


def put(image: NDArray[Any], mask: NDArray[np.bool_], x: float, y: float, value: Any = 255) -> None:
    """Paint a mask centred on x with its top at y; what falls outside is lost."""
    top, left = round(y), round(x - mask.shape[1] / 2)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    image[rows[inside], columns[inside]] = value


def masks(
    count: int,
    *paths: Callable[[int], tuple[float, float] | None],
    tall: Callable[[int], float] = lambda i: FIGURE,
) -> list[NDArray[np.uint8]]:
    """Masks of walkers whose x and top y (or None: not there) the paths give for each frame."""
    out = []
    for i in range(count):
        image = np.zeros((HEIGHT, WIDTH), np.uint8)
        for path in paths:
            if (place := path(i)) is not None:
                put(image, figure(i, tall(i)), *place)
        out.append(image)
    return out


def frames(images: Iterable[NDArray[Any]], name: str = "silhouette", **more: list[Any]) -> Iterator[Frame]:
    for i, image in enumerate(images):
        yield Frame({name: image, **{key: values[i] for key, values in more.items()}}, (i + 1) * STEP_NS)


def across(
    start: float = 60.0, speed: float = STRIDE_PX, top: float = 100.0
) -> Callable[[int], tuple[float, float]]:
    return lambda i: (start + speed * i, top)


def middles(walk: GaitSequence) -> NDArray[np.float32]:
    boxes = walk.streams["silhouette"].boxes
    assert boxes is not None
    return np.asarray(boxes[:, 0] + boxes[:, 2] / 2, dtype=np.float32)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    """A still background with texture everywhere, wider than one picture."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(40, 200, (HEIGHT // 8, 3 * WIDTH // 8, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


# ---- layouts --------------------------------------------------------------------------------------


def test_blazepose_and_openpose_agree_on_what_coco_calls_each_keypoint() -> None:
    listed = "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
    coco = listed.split()
    openpose = "nose neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank reye leye rear lear"
    blaze = ["nose", "leye_in", "leye", "leye_out", "reye_in", "reye", "reye_out", "lear", "rear", "lmouth"]
    blaze += ["rmouth", "lsho", "rsho", "lelb", "relb", "lwri", "rwri", *("x" * 6), "lhip", "rhip", "lkne"]
    blaze += ["rkne", "lank", "rank", *("x" * 4)]
    for layout, names in (("openpose18", openpose.split()), ("blazepose33", blaze), ("coco17", coco)):
        points = np.zeros((1, len(names), 3), np.float32)
        points[0, :, 0] = [coco.index(name) if name in coco else -1 for name in names]
        assert coco17(points, layout)[0, :, 0].tolist() == list(range(17)), layout


def test_layout_errors_name_the_remedy() -> None:
    with pytest.raises(InputError, match="did you mean 'blazepose33'"):
        coco17(np.zeros((2, 33, 3), np.float32), "blazepose")
    with pytest.raises(InputError, match=r"\[T, 33, C\], not \[2, 17, 3\]"):
        coco17(np.zeros((2, 17, 3), np.float32), "blazepose33")


# ---- boxes and crops ------------------------------------------------------------------------------


def test_iou_closed_forms() -> None:
    a = np.array([[0.0, 0, 10, 10]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [2, 2, 5, 5]])
    assert np.allclose(iou(a, b), [[1, 1 / 3, 0, 0.25]])
    assert np.allclose(cornered(centred(b)), b)


def test_a_cut_keeps_the_pixels_where_they_were() -> None:
    image = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10)
    patch = cut(image, (-2, 7, 6))
    assert (patch[:5, 2:] == image[7:12, :4]).all()
    assert (patch[5:] == 0).all() and (patch[:, :2] == 0).all()
    assert (cut(image, (50, 50, 4)) == 0).all()


@pytest.mark.parametrize("source", [30, 128, 301])
def test_shrink_keeps_constants_and_straight_lines(source: int) -> None:
    ramp = np.tile(np.arange(source, dtype=np.float32), (source, 1))
    assert np.allclose(shrink(np.full((source, source), 7.0), 64), 7.0, atol=1e-4)
    wanted = (np.arange(64) + 0.5) * source / 64 - 0.5
    inner = slice(8, -8)  # at the rim there is nothing to average over
    assert np.allclose(shrink(ramp, 64)[20, inner], wanted[inner], atol=source * 2e-3)


def test_canvases_show_a_mask_and_its_depth_in_the_same_place() -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 100:140] = 255
    box = mask_box(mask)
    assert box is not None and box.tolist() == [100, 50, 40, 100]
    place = square(box, 1.2)
    assert place == (60, 40, 120)
    canvas = mask_canvas(mask, place)
    assert set(np.unique(canvas)) == {0, 255}
    depth = nearest_canvas(np.where(mask > 0, 1234, 0).astype(np.uint16), place)
    assert set(np.unique(depth)) == {0, 1234}
    assert ((canvas > 0) == (depth > 0)).mean() > 0.99
    assert np.isclose((canvas > 0).sum() * (place[2] / CANVAS) ** 2, 40 * 100, rtol=0.03)
    assert mask_box(np.zeros((5, 5))) is None


# ---- tracking -------------------------------------------------------------------------------------


def test_the_assignment_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tracker = Tracker(distance_cost, gate=100.0, min_hits=1)
        start, then = rng.random((4, 2)), rng.random((4, 2))
        tracker.predict(1)
        tracker.update(start)
        tracker.predict(2)
        numbers = [track.number - 1 for track in tracker.update(then) if track is not None]
        cost = distance_cost(start, then)
        best = min(
            itertools.permutations(range(4)), key=lambda order: sum(cost[t, j] for j, t in enumerate(order))
        )
        assert tuple(numbers) == best


def test_crossing_walkers_keep_their_numbers() -> None:
    rng = np.random.default_rng(1)
    tracker = Tracker(box_cost, gate=0.8, without_velocity=(2, 3))
    seen: dict[int, list[int]] = {0: [], 1: []}
    for i in range(80):
        t = i / FPS
        truth = np.array([[80 + 80 * t, 120, 40, 100], [336 - 80 * t, 124, 42, 104]])
        tracker.predict((i + 1) * STEP_NS)
        there = [j for j in (0, 1) if rng.random() > 0.1]
        hidden = abs(truth[0, 0] - truth[1, 0]) < 30
        if hidden:  # whose measurement this is nobody can tell; what counts is who comes out
            there = [0] if rng.random() < 0.5 else []
        given = tracker.update((truth + rng.normal(0, 1.5, truth.shape))[there].reshape(-1, 4))
        for j, track in zip(there, given, strict=True):
            assert track is not None
            if not hidden:
                seen[j].append(track.number)
    assert len(seen[0]) > 50 and len(seen[1]) > 50
    assert len(set(seen[0])) == 1 and len(set(seen[1])) == 1 and seen[0][0] != seen[1][0]
    speeds = sorted(track.velocity[0] for track in tracker.tracks)
    assert np.allclose(speeds, [-80, 80], atol=15) and all(track.velocity[2] == 0 for track in tracker.tracks)


def test_tracks_live_through_short_misses_and_end_after_long_ones() -> None:
    tracker = Tracker(distance_cost, gate=1.0, max_missed_s=0.5, min_hits=3)
    t_ns, ended = 0, []
    for i in range(60):
        t_ns += STEP_NS
        ended += tracker.predict(t_ns)
        hidden = 20 <= i < 30  # 0.4 s
        tracker.update(np.array([[0.05 * i, 1.0, 0.0]] if not hidden and i < 45 else np.zeros((0, 3))))
    assert [track.number for track in ended] == [1] and tracker.tracks == []
    assert ended[0].hits == 35 and ended[0].seen_ns == 45 * STEP_NS


def test_slow_frames_are_no_misses() -> None:
    tracker = Tracker(distance_cost, gate=1.0, max_missed_s=0.5)
    for i in range(1, 6):
        tracker.predict(i * 1_000_000_000)
        tracker.update(np.array([[0.1 * i, 0.0]]))
    assert [track.hits for track in tracker.tracks] == [5]
    tracker.predict(6_000_000_000)
    tracker.update(np.zeros((0, 2)))
    assert len(tracker.predict(7_000_000_000)) == 1


def test_noise_makes_no_track_and_parts_make_no_second_one() -> None:
    tracker = Tracker(box_cost, gate=0.8, duplicate=0.5)
    body, leg = [100.0, 100, 40, 100], [100.0, 115, 40, 60]
    for i in range(10):
        tracker.predict((i + 1) * STEP_NS)
        noise = [[300.0 + 50 * i, 20, 10, 20]] if i % 4 == 0 else []
        given = tracker.update(np.array([body, leg, *noise]) if i else np.array([body]))
        assert i == 0 or given[1] is None
    assert [track.number for track in tracker.tracks] == [1]


def test_of_two_tracks_on_one_body_the_younger_ends() -> None:
    tracker = Tracker(box_cost, gate=0.8, duplicate=0.5)
    ended = []
    for i in range(60):
        ended += tracker.predict((i + 1) * STEP_NS)
        apart = max(100.0 - 5 * i, 10.0)
        tracker.update(np.array([[100.0, 100, 40, 100], [100 + apart, 100, 40, 100]]))
    assert [track.number for track in ended] == [2]


def test_tracker_refuses_nonsense() -> None:
    tracker = Tracker(distance_cost, gate=1.0)
    tracker.predict(10)
    tracker.update(np.zeros((1, 2)))
    with pytest.raises(InputError, match="finite"):
        tracker.update(np.array([[np.nan, 0.0]]))
    with pytest.raises(InputError, match="same d"):
        tracker.update(np.zeros((1, 3)))
    with pytest.raises(InputError, match="forward"):
        tracker.predict(10)


# ---- camera and people ----------------------------------------------------------------------------


def test_camera_motion_is_measured_and_a_walker_is_none(scene: NDArray[np.uint8]) -> None:
    pytest.importorskip("cv2")
    panned, still = CameraMotion(), CameraMotion()
    for i in range(40):
        offset = 3 * i
        panned.step(np.ascontiguousarray(scene[:, offset : offset + WIDTH]), i * STEP_NS)
        image = scene[:, :WIDTH].copy()
        put(image, figure(i), 60 + 3 * i, 100, (250, 20, 20))
        still.step(image, i * STEP_NS)
    assert np.allclose(panned.pan, [-117, 0], atol=4) and not panned.still(40 * STEP_NS, 0.5)
    assert still.moved_ns is None and (still.pan == 0).all() and still.still(0, 9.0)
    flat = CameraMotion()
    for i in range(3):
        flat.step(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), i * STEP_NS)
    assert flat.moved_ns is None


def test_blobs_are_people_not_specks_bars_or_outlines() -> None:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    put(image, figure(6), 80, 100)
    image[150:153] = 0  # torn in two, by less than the bridge
    image[20:24, 20:24] = 255
    image[60:70, 100:390] = 255
    image[100:200, 250:300] = 255
    image[102:198, 252:298] = 0
    found = blobs(image)
    assert found.boxes.shape == (1, 4) and np.allclose(found.boxes[0, 1::2], [101, 99], atol=2)
    assert found.labels is not None and set(np.unique(found.labels)) == {0, 1}
    assert (found.labels[150:153] == 0).all()


def video(scene: NDArray[np.uint8], images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The masks painted on the scene, with sensor noise."""
    rng = np.random.default_rng(5)
    for mask in images:
        image = scene[:, :WIDTH].astype(np.int16) + rng.normal(0, 2, (HEIGHT, WIDTH, 1)).astype(np.int16)
        image[mask > 0] = (235, 30, 210)
        yield image.clip(0, 255).astype(np.uint8)


def test_who_is_in_view_from_the_first_frame_stands_out_from_a_still_background(
    scene: NDArray[np.uint8],
) -> None:
    pytest.importorskip("cv2")
    drawn = masks(60, across())
    (walk,) = walks(frames(video(scene, drawn), "color"), pose=False, source="drawn")
    silhouette = walk.streams["silhouette"]
    assert walk.meta.source == "drawn" and set(walk.streams) == {"silhouette"}
    assert len(silhouette) >= 50 and silhouette.boxes is not None
    agree = []
    for canvas, box, t_ns in zip(silhouette.data, silhouette.boxes, silhouette.t_ns, strict=True):
        truth = mask_canvas(drawn[t_ns // STEP_NS - 1], (round(box[0]), round(box[1]), round(box[2]))) > 0
        agree.append(((canvas > 0) & truth).sum() / ((canvas > 0) | truth).sum())
    assert np.median(agree) > 0.85 and min(agree) > 0.7


def test_a_flash_of_light_is_nobody_and_lasting_light_is_learnt(
    scene: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(people_module, "FLOOD_S", 0.4)
    drawn = masks(110, lambda i: (60 + STRIDE_PX * (i - 60), 100.0) if i >= 60 else None)
    bright = [
        (image.astype(np.int16) + (70 if i >= 30 else 0)).clip(0, 255).astype(np.uint8)
        for i, image in enumerate(video(scene, drawn))
    ]
    views = list(
        VideoPeople(None, always=False).views((i * STEP_NS, image) for i, image in enumerate(bright))
    )
    assert len(views) == 110
    assert not any(len(view.found.boxes) for view in views[:60])
    assert all(len(view.found.boxes) == 1 for view in views[75:105])


def test_a_moving_camera_needs_a_detector(scene: NDArray[np.uint8]) -> None:
    pytest.importorskip("cv2")
    panned = [np.ascontiguousarray(scene[:, 4 * i : 4 * i + WIDTH]) for i in range(40)]
    with pytest.raises(InputError, match="camera moves"):
        list(walks(frames(panned, "color"), pose=False))
    shots = [(i * STEP_NS, image) for i, image in enumerate(panned)]
    asked = []

    def detector(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(image)
        return np.array([[10, 20, 30, 80, 0.9], [5, 5, 5, 5, 0.9]], np.float32)

    views = list(VideoPeople(detector, always=False).views(shots))
    assert len(asked) == len(views) == 40
    assert views[-1].found.boxes.tolist() == [[10, 20, 30, 80]]
    assert np.allclose(views[-1].pan, [-156, 0], atol=6)


def test_when_the_camera_stops_the_background_is_learnt_again(scene: NDArray[np.uint8]) -> None:
    pytest.importorskip("cv2")
    panned = [np.ascontiguousarray(scene[:, 4 * min(i, 40) :][:, :WIDTH]) for i in range(90)]
    asked = []

    def detector(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(image)
        return np.zeros((0, 5), np.float32)

    list(VideoPeople(detector, always=False).views((i * STEP_NS, image) for i, image in enumerate(panned)))
    assert 60 <= len(asked) <= 75


@pytest.mark.parametrize("boxes", [np.zeros((1, 4)), np.full((1, 5), np.nan), np.array([[0, 0, 0, 9, 1.0]])])
def test_a_detector_is_checked(scene: NDArray[np.uint8], boxes: NDArray[np.float64]) -> None:
    pytest.importorskip("cv2")
    people = VideoPeople(lambda image: boxes.astype(np.float32), always=True)
    with pytest.raises(InputError, match=r"boxes \[n, 5\]"):
        list(people.views([(0, scene[:, :WIDTH])]))


# ---- pose -----------------------------------------------------------------------------------------


def standing(shoulders: float = 0.0) -> NDArray[np.float32]:
    """BlazePose keypoints of somebody on their feet, 200 pixels from shoulder to ankle."""
    points = np.zeros((33, 3), np.float32)
    for pair, y in (((11, 12), 100), ((23, 24), 180), ((25, 26), 240), ((27, 28), 300)):
        for index, x in zip(pair, (45, 55), strict=True):
            points[index] = x, y, 1
    points[[11, 12], 0] += shoulders
    return points


def test_upright_and_stature() -> None:
    body = standing()
    assert upright(body) and np.isclose(stature(body), 200)
    assert not upright(standing(shoulders=120))  # bent over
    upside_down = body.copy()
    upside_down[:, 1] = 400 - upside_down[:, 1]
    assert not upright(upside_down)
    arms_up = body.copy()
    arms_up[15:23, 1] = -200
    assert np.isclose(stature(arms_up), 200)


def test_mediapipe_finds_nobody_where_nobody_is(
    scene: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mediapipe")
    image = np.ascontiguousarray(scene[:, :WIDTH])
    threads = len(os.listdir("/proc/self/task"))
    with PoseEstimator() as estimator, PeopleDetector() as detector:
        assert estimator.look(image, np.array([50.0, 50, 40, 100])) is None
        assert detector(image).shape == (0, 5)
        assert detector(np.ascontiguousarray(image.transpose(1, 0, 2))).shape == (0, 5)
    assert len(os.listdir("/proc/self/task")) <= threads + 1  # what was opened is closed
    assert "XNNPACK" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["noise", "pattern", "still", "bar"])
def test_no_walk_without_a_person(scene: NDArray[np.uint8], kind: str) -> None:
    pytest.importorskip("mediapipe")
    rng = np.random.default_rng(2)
    columns = np.arange(WIDTH)

    def image(i: int) -> NDArray[np.uint8]:
        if kind == "noise":
            return rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        if kind == "pattern":
            wave = (np.sin((columns - 6 * i) / 20) * 127 + 127).astype(np.uint8)
            return np.broadcast_to(wave[None, :, None], (HEIGHT, WIDTH, 3)).copy()
        out = scene[:, :WIDTH].copy()
        if kind == "bar":
            out[100:200, 20 + 5 * i : 60 + 5 * i] = 240
        return out

    assert list(walks(frames((image(i) for i in range(32)), "color"))) == []


# ---- cutting --------------------------------------------------------------------------------------


def sights(
    x: Iterable[float],
    *,
    good: Callable[[int], bool] = lambda i: True,
    size: Callable[[int], float] = lambda i: 100,
) -> Iterator[Sight]:
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    canvas[10:118, 50:80] = 255
    for i, place in enumerate(x):
        tall = size(i)
        box = np.array([place, 0, 115 * tall / 100, 115 * tall / 100])
        yield Sight((i + 1) * STEP_NS, np.array([place, 50.0]), tall, tall, good(i), box, canvas)


def cut_out(seen: Iterable[Sight], min_seconds: float = 0.9) -> list[GaitSequence]:
    cutter = WalkCutter(0, focal_px=400.0, min_seconds=min_seconds, layout=None, meta=Meta())
    found = [walk for sight in seen for walk in cutter.add(sight)]
    return found + list(cutter.finish())


def length(found: list[GaitSequence]) -> list[int]:
    return [len(walk.streams["silhouette"]) for walk in found]


def test_speed_decides_who_walks() -> None:
    steps = np.arange(50)
    assert length(cut_out(sights(STRIDE_PX * steps))) == [50]
    assert length(cut_out(sights(-STRIDE_PX * steps))) == [50]
    assert cut_out(sights(0.5 * steps)) == []  # 0.125 heights a second: somebody shifts about
    assert cut_out(sights(15.0 * steps)) == []  # 3.75 heights a second: nobody on foot
    assert cut_out(sights(20 * np.sin(2 * np.pi * steps / FPS))) == []  # dances on the spot


def test_who_comes_nearer_walks_even_if_the_place_in_the_image_stays() -> None:
    def nearer(i: int) -> float:  # 1.3 m/s towards a camera with focal length 400, from 8 m, 1.7 m tall
        return 400 * 1.7 / (8 - 1.3 * i / FPS)

    assert length(cut_out(sights(np.zeros(60), size=nearer))) == [60]
    jumps = cut_out(sights(np.zeros(60), size=lambda i: 100 + 15 * np.sin(2 * np.pi * i / FPS)))
    assert jumps == []


def test_short_walks_are_dropped_and_short_gaps_bridged() -> None:
    assert length(cut_out(sights(8 * np.arange(22)))) == []
    assert length(cut_out(sights(8 * np.arange(23)))) == [23]  # 23 frames of 40 ms are 0.92 s
    assert length(cut_out(sights(8 * np.arange(23)), min_seconds=1.0)) == []
    gap = cut_out(sights(STRIDE_PX * np.arange(70), good=lambda i: not 30 <= i < 38))
    assert length(gap) == [62]
    assert np.diff(gap[0].streams["silhouette"].t_ns).max() == 9 * STEP_NS
    assert length(cut_out(sights(STRIDE_PX * np.arange(90), good=lambda i: not 40 <= i < 51))) == [40, 39]
    every_other = cut_out(sights(STRIDE_PX * np.arange(60), good=lambda i: i % 2 == 0))
    assert length(every_other) == [30]  # a slower camera, not gaps
    torn = cut_out(sights(STRIDE_PX * np.arange(60), good=lambda i: i % 10 < 5))
    assert torn == []  # half of it is missing


def test_a_stop_ends_the_walk_and_a_start_begins_the_next() -> None:
    x = np.concatenate([STRIDE_PX * np.arange(50), np.full(50, 160.0), 160 + STRIDE_PX * np.arange(50)])
    found = cut_out(sights(x))
    assert len(found) == 2
    assert all(45 <= n <= 62 for n in length(found))
    assert found[0].start_ns == STEP_NS and found[1].start_ns > 85 * STEP_NS


def test_long_walks_are_handed_over_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting_module, "MAX_WALK_S", 2.0)
    parts = cut_out(sights(STRIDE_PX * np.arange(160)))
    assert length(parts) == [52, 52, 52]  # and the last 4 frames are no walk of their own


def test_half_hidden_ends_are_trimmed() -> None:
    seen = list(sights(STRIDE_PX * np.arange(60)))
    for i in range(6):
        seen[i].silhouette.flags.writeable = True
        half = seen[i].silhouette.copy()
        half[:, 60:] = 0
        seen[i] = Sight(**{**seen[i].__dict__, "silhouette": half})
        seen[-1 - i] = Sight(**{**seen[-1 - i].__dict__, "clear": False})
    assert length(cut_out(seen)) == [48]


# ---- from segmented frames to walks ---------------------------------------------------------------


def test_one_walker_gives_one_walk_with_everything_registered() -> None:
    drawn = masks(70, across())
    points = np.zeros((70, 17, 3), np.float32)
    points[..., 0] = 60 + STRIDE_PX * np.arange(70)[:, None]
    points[..., 1] = np.linspace(105, 195, 17)
    points[..., 2] = 1
    depth = [np.where(mask > 0, 3000, 7000).astype(np.uint16) for mask in drawn]
    told: list[int] = []
    (walk,) = walks(
        frames(drawn, keypoints=list(points), depth=depth), source="corridor", progress=told.append
    )
    assert told == list(range(1, 71))
    assert walk.meta.source == "corridor" and walk.meta.covariates == {"track": "1"}
    silhouette, keypoints, deep = (walk.streams[n] for n in ("silhouette", "keypoints", "depth"))
    assert keypoints.layout == "coco17" and len(silhouette) == len(keypoints) == len(deep) >= 66
    assert (silhouette.t_ns % STEP_NS == 0).all() and deep.units == "mm"
    assert silhouette.data.shape[1:] == (128, 128) and set(np.unique(silhouette.data)) == {0, 255}
    index = silhouette.t_ns // STEP_NS - 1
    assert np.abs(middles(walk) - (60 + STRIDE_PX * index)).max() < 6
    assert (keypoints.data == points[index]).all()
    assert set(np.unique(deep.data)) == {0, 3000}
    assert ((deep.data > 0) == (silhouette.data > 0)).mean() > 0.97
    assert silhouette.boxes is not None and deep.boxes is not None and (silhouette.boxes == deep.boxes).all()
    # the canvas is filled and the legs part: at mid-stride the feet are far from each other
    widths = [np.ptp(np.flatnonzero(m[100:].any(axis=0))) for m in silhouette.data]
    assert max(widths) > 2.5 * min(widths)


def test_walks_are_handed_over_while_the_frames_still_come() -> None:
    drawn = masks(250, lambda i: (60 + STRIDE_PX * (i % 125), 100.0) if i % 125 < 70 else None)
    taken: list[int] = []
    found = walks(frames(drawn), progress=taken.append)
    first = next(found)
    assert taken[-1] < 110 and first.duration_s > 2
    second = next(found)
    assert second.start_ns > 125 * STEP_NS and next(found, None) is None
    assert first.meta.covariates != second.meta.covariates


def test_several_people_are_kept_apart_and_who_stands_is_no_walk() -> None:
    drawn = masks(
        75,
        across(top=130),
        across(top=5),
        lambda i: (360.0, 120.0),
    )
    found = list(walks(frames(drawn)))
    assert len(found) == 2
    tops = sorted(float(np.median(walk.streams["silhouette"].boxes[:, 1])) for walk in found)  # type: ignore[index]
    assert np.allclose(tops, [5 - 7.5, 130 - 7.5], atol=4)


def test_keypoints_go_to_the_person_they_lie_on() -> None:
    drawn = masks(75, across(top=130), across(top=5))
    points = np.zeros((75, 33, 3), np.float32)
    points[..., 0] = 60 + STRIDE_PX * np.arange(75)[:, None]
    points[..., 1] = np.linspace(135, 225, 33)
    found = list(walks(frames(drawn, keypoints=list(points))))
    assert sorted("keypoints" in walk.streams for walk in found) == [False, True]
    assert next(w for w in found if "keypoints" in w.streams).streams["keypoints"].layout == "blazepose33"


def test_people_who_cross_keep_their_walks_apart() -> None:
    drawn = masks(100, across(40), lambda i: (360 - STRIDE_PX * i, 100.0))
    found = list(walks(frames(drawn)))
    assert {walk.meta.covariates["track"] for walk in found} == {"1", "2"}
    for walk in found:
        heading = 1 if middles(walk)[-1] > middles(walk)[0] else -1
        assert (np.sign(np.diff(middles(walk)[::5])) == heading).all()  # nobody turns back at the crossing
        assert np.ptp(walk.streams["silhouette"].boxes[:, 2]) < 15  # type: ignore[index]  # nor swallows the other


def test_frames_in_which_the_image_cuts_the_body_are_left_out() -> None:
    drawn = masks(140, lambda i: (-40 + STRIDE_PX * i, 100.0))
    (walk,) = walks(frames(drawn))
    index = walk.streams["silhouette"].t_ns // STEP_NS - 1
    for i, mask in enumerate(drawn):
        if mask[:, 0].any() or mask[:, -1].any():
            assert i not in index
    assert len(index) > 85


@pytest.mark.parametrize("view", ["towards", "away"])
def test_a_walk_along_the_line_of_sight(view: str) -> None:
    def tall(i: int) -> float:
        metres = 7 - 1.3 * i / FPS
        return WIDTH * 1.7 / (metres if view == "towards" else 10 - metres)

    drawn = masks(80, lambda i: (200.0, 120 - tall(i) / 2), tall=tall)
    (walk,) = walks(frames(drawn))
    assert len(walk.streams["silhouette"]) >= 75


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param([], id="nothing"),
        pytest.param(masks(1, across()), id="one frame"),
        pytest.param(masks(60, lambda i: None), id="empty"),
        pytest.param(masks(60, lambda i: (200.0, 100.0)), id="standing"),
        pytest.param(masks(15, across(speed=6)), id="too short"),
    ],
)
def test_no_walk(drawn: list[NDArray[np.uint8]]) -> None:
    assert list(walks(frames(drawn))) == []


def test_five_frames_a_second_will_do() -> None:
    (walk,) = walks(itertools.islice(frames(masks(90, across(40))), None, None, 5))
    assert len(walk.streams["silhouette"]) >= 14


def test_the_device_clock_is_used_where_there_is_one() -> None:
    drawn = masks(50, across())
    (walk,) = walks(Frame({"silhouette": m}, 7 + i, device_t_ns=i * STEP_NS) for i, m in enumerate(drawn))
    assert 1.8 < walk.duration_s < 2.0


def test_simulated_walkers_are_found_from_the_side_and_from_the_front() -> None:
    pytest.importorskip("embreex")
    from gait3dlib.sensors.simulated import Simulated

    for view_deg in (90.0, 0.0):
        with Simulated(walkers=1, view_deg=view_deg, fps=10.0, gap_s=0.5) as sensor:

            def read(sensor: Simulated = sensor) -> Iterator[Frame]:
                try:
                    while True:
                        yield sensor.read(1.0)
                except EndOfStream:
                    return

            (walk,) = walks(read(), source="simulated")
        assert set(walk.streams) == {"silhouette", "keypoints", "depth"} and walk.duration_s > 3
        boxes, keypoints = walk.streams["silhouette"].boxes, walk.streams["keypoints"]
        assert boxes is not None and len(keypoints) > 25
        inside = (keypoints.data[..., :2] >= boxes[:, None, :2]) & (
            keypoints.data[..., :2] <= boxes[:, None, :2] + boxes[:, None, 2:]
        )
        assert inside.all(axis=-1).mean() > 0.95


# ---- errors ---------------------------------------------------------------------------------------


def mask_frame(i: int = 0, **more: Any) -> Frame:
    return Frame({"silhouette": np.zeros((HEIGHT, WIDTH), np.uint8), **more}, i)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [Frame({"joints": np.zeros((24, 3), np.float32)}, 0)],
            "'color', 'silhouette' or 'points', but the frames hold joints",
        ),
        ([Frame({}, 0)], "hold nothing"),
        ([Frame({"color": np.zeros((9, 9, 3), np.float32)}, 0)], "must be uint8"),
        ([Frame({"color": np.zeros((9, 9), np.uint8)}, 0)], r"must be uint8 \[H, W, 3\]"),
        ([Frame({"color": np.zeros((9, 9, 4), np.uint8)}, 0)], r"must be uint8 \[H, W, 3\]"),
        ([Frame({"silhouette": np.zeros((9, 0), np.uint8)}, 0)], r"must be uint8 \[H, W\]"),
        ([mask_frame(0), mask_frame(0)], "time runs backwards: frame 1"),
        ([mask_frame(0), Frame({"silhouette": np.zeros((9, 9), np.uint8)}, 1)], "frame 1 should hold"),
        ([mask_frame(0), Frame({"depth": np.zeros((9, 9), np.uint16)}, 1)], "but has none"),
        ([Frame({"silhouette": np.zeros((9, 9), np.uint8)}, 0, 5), mask_frame(1)], "no device time"),
        ([mask_frame(depth=np.zeros((9, 9), np.uint16))], "must be registered"),
        ([mask_frame(keypoints=np.zeros((2, 17, 3), np.float32))], "of one person"),
    ],
)
def test_bad_frames_are_refused(given: list[Frame], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(walks(given))


def test_bad_arguments_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="'auto' or a function"):
        walks([], detector="hog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="let pose be estimated"):
        walks([], detector=lambda image: np.zeros((0, 5), np.float32), pose=False)
    drawn = masks(5, across())
    points = [np.full((20, 3), (60 + STRIDE_PX * i, 150, 1), np.float32) for i in range(5)]
    with pytest.raises(InputError, match="20 keypoints"):
        list(walks(frames(drawn, keypoints=points)))


def test_importing_perception_imports_no_heavy_package() -> None:
    code = "import sys, gait3dlib.perception; print({'cv2', 'mediapipe', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

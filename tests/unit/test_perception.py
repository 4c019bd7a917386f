"""From frames to walks, on walkers that are drawn, so that what must come out is known."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from drawn import FPS, HEIGHT, STEP_NS, STRIDE_PX, WIDTH, across, frames, masks, middles
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception import walks
from gait3dlib.types import EndOfStream, Frame

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

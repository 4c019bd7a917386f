"""People in the images of a camera, still or moving, on pictures that are drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from drawn import HEIGHT, STEP_NS, STRIDE_PX, WIDTH, across, figure, frames, masks, put
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception import people as people_module
from gait3dlib.perception import walks
from gait3dlib.perception.camera import CameraMotion
from gait3dlib.perception.crops import (
    mask_canvas,
)
from gait3dlib.perception.people import VideoPeople, blobs
from gait3dlib.perception.pose import PeopleDetector, PoseEstimator, stature, upright


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    """A still background with texture everywhere, wider than one picture."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(40, 200, (HEIGHT // 8, 3 * WIDTH // 8, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


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

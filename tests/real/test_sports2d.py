"""The walk in a real video: a woman crosses from right to left below a man who dances on a box."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.perception import coco17, walks
from gait3dlib.perception.pose import PeopleDetector
from gait3dlib.types import Frame, GaitSequence

pytestmark = pytest.mark.data

FPS = 30.0
MAN_BELOW_PX = 480  # the man on the box never reaches lower in the image, until he jumps at frame 165
JUMP = 165
Image = NDArray[np.uint8]


def shown(path: Path, start: int = 0, stop: int = 230) -> Iterator[Image]:
    import cv2

    video = cv2.VideoCapture(str(path))
    for number in range(stop):
        there, image = video.read()
        assert there, f"the clip has fewer than {stop} frames"
        if number >= start:
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def frames(images: Iterable[Image], start: int = 0) -> Iterator[Frame]:
    for number, image in enumerate(images, start=start):
        yield Frame({"color": image}, round(number * 1e9 / FPS))


def numbers(walk: GaitSequence) -> NDArray[np.int64]:
    """Which frames of the clip the walk holds."""
    return np.round(walk.streams["silhouette"].t_ns * FPS / 1e9).astype(np.int64)


@pytest.fixture(scope="module")
def clip(data_dir: Path) -> Path:
    return data_dir / "sports2d" / "demo.mp4"


@pytest.fixture(scope="module")
def found(clip: Path) -> tuple[list[GaitSequence], float]:
    start = time.process_time()
    return list(walks(frames(shown(clip)), source=clip.name)), time.process_time() - start


@pytest.fixture(scope="module")
def walk(found: tuple[list[GaitSequence], float]) -> GaitSequence:
    return found[0][0]


def test_there_is_one_walk_and_it_is_hers(found: tuple[list[GaitSequence], float]) -> None:
    assert len(found[0]) == 1
    walk = found[0][0]
    silhouette = walk.streams["silhouette"]
    assert walk.meta.source == "demo.mp4" and set(walk.streams) == {"silhouette", "keypoints"}
    assert len(silhouette) >= 120 and 4.0 < walk.duration_s < 5.5
    boxes = silhouette.boxes
    assert boxes is not None
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    assert middle[0, 0] > 1400 and middle[-1, 0] < 250 and (np.diff(middle[::10, 0]) < -40).all()
    assert (middle[:, 1] > MAN_BELOW_PX + 100).all()
    assert 400 < np.median(boxes[:, 3]) < 550 and (boxes[:, 2] == boxes[:, 3]).all()


def test_the_whole_clip_takes_less_than_forty_seconds(found: tuple[list[GaitSequence], float]) -> None:
    assert found[1] < 40


def test_silhouettes_are_of_a_whole_body(walk: GaitSequence) -> None:
    from scipy import ndimage

    masks = walk.streams["silhouette"].data > 0
    share = masks.mean(axis=(1, 2))
    assert (share > 0.09).all() and (share < 0.2).all()
    for side in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]):
        assert not side.any()
    tall = np.array([np.ptp(np.flatnonzero(mask.any(axis=1))) for mask in masks])
    assert (tall > 95).all()
    for mask in masks:  # one piece, but for a hand or a foot now and then
        labels, _ = ndimage.label(mask)
        assert np.bincount(labels.ravel())[1:].max() > 0.95 * mask.sum()


def test_the_legs_part_and_meet_twice_a_stride(walk: GaitSequence) -> None:
    masks = walk.streams["silhouette"].data > 0
    feet = np.array([np.ptp(np.flatnonzero(mask[100:].any(axis=0))) for mask in masks])
    assert np.percentile(feet, 95) > 2.2 * np.percentile(feet, 5)
    points = coco17(walk.streams["keypoints"].data, "blazepose33")
    apart = np.abs(points[:, 15, 0] - points[:, 16, 0])
    for spread in (feet, apart):
        power = np.abs(np.fft.rfft((spread - spread.mean()) * np.hanning(len(spread)), 4096)) ** 2
        steps_hz = np.fft.rfftfreq(4096, 1 / FPS)[power.argmax()]
        assert 0.7 < steps_hz / 2 < 1.2


def test_keypoints_lie_on_the_silhouette(walk: GaitSequence) -> None:
    silhouette, keypoints = walk.streams["silhouette"], walk.streams["keypoints"]
    assert keypoints.layout == "blazepose33" and len(keypoints) == len(silhouette)
    assert silhouette.boxes is not None
    canvas = (keypoints.data[..., :2] - silhouette.boxes[:, None, :2]) * 128 / silhouette.boxes[:, None, 2:]
    at = canvas.astype(int).clip(0, 127)
    hit = silhouette.data[np.arange(len(at))[:, None], at[..., 1], at[..., 0]] > 0
    seen = keypoints.data[..., 2] > 0.5
    assert hit[seen].mean() > 0.9 and seen.mean() > 0.8
    points = coco17(keypoints.data, "blazepose33")
    heads, hips, feet = points[:, 0, 1], points[:, 11:13, 1].mean(axis=1), points[:, 15:17, 1].max(axis=1)
    assert (heads < hips - 100).all() and (feet > hips + 100).all()


def test_silhouettes_hold_what_stands_out_and_no_background(walk: GaitSequence, clip: Path) -> None:
    """An independent witness: the clip's median, in which nobody who moves remains."""
    images = list(shown(clip, 0, JUMP))
    background = np.median(images[::8], axis=0)
    silhouette = walk.streams["silhouette"]
    assert silhouette.boxes is not None
    inside, outside = [], []
    for index in range(0, len(silhouette), 6):
        number = numbers(walk)[index]
        if number >= JUMP:  # after it the light changes all over the picture
            break
        x, y, side, _ = silhouette.boxes[index].astype(np.float64)
        grid = np.round((np.arange(128) + 0.5) * side / 128 - 0.5).astype(int)
        rows = (grid + round(y)).clip(0, images[0].shape[0] - 1)[:, None]
        columns = (grid + round(x)).clip(0, images[0].shape[1] - 1)[None]
        moved = np.abs(images[number][rows, columns] - background[rows, columns]).max(axis=-1) > 25
        mask = silhouette.data[index] > 0
        inside.append(moved[mask].mean())
        outside.append(moved[~mask].mean())
    assert len(inside) > 15
    assert np.median(inside) > 0.75 and min(inside) > 0.55
    assert np.median(outside) < 0.1


def test_masks_from_the_background_alone_find_her_too(clip: Path) -> None:
    (rough,) = walks(frames(shown(clip)), pose=False)
    assert set(rough.streams) == {"silhouette"} and len(rough.streams["silhouette"]) >= 60
    boxes = rough.streams["silhouette"].boxes
    assert boxes is not None and (boxes[:, 1] + boxes[:, 3] / 2 > MAN_BELOW_PX + 100).all()


def test_she_is_found_when_the_camera_pans(clip: Path) -> None:
    """A window of 1060 pixels that moves over the frames stands for a camera that pans."""
    start, stop = 60, 130
    left = [round(600 - 7 * i + 30 * np.sin(i / 9)) for i in range(stop - start)]
    images = (
        np.ascontiguousarray(image[:, x : x + 1060])
        for image, x in zip(shown(clip, start, stop), left, strict=True)
    )
    (walk,) = walks(frames(images, start))
    boxes = walk.streams["silhouette"].boxes
    assert boxes is not None and len(boxes) >= 50
    across = boxes[:, 0] + boxes[:, 2] / 2 + np.array(left)[numbers(walk) - start]
    assert across[0] > 1200 and across[-1] < 900 and (np.diff(across[::6]) < 0).all()


def test_a_detector_of_ones_own(clip: Path) -> None:
    asked: list[int] = []

    def lower_half(image: Image) -> NDArray[np.float32]:
        asked.append(len(asked))
        boxes = everybody(image)
        return np.asarray(boxes[boxes[:, 1] + boxes[:, 3] / 2 > image.shape[0] / 2])

    with PeopleDetector() as everybody:
        (walk,) = walks(frames(shown(clip, 80, 120), 80), detector=lower_half)
    assert len(asked) == 40 and len(walk.streams["silhouette"]) >= 30


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (100, 101)], ids=["dancing on the spot", "one frame"])
def test_no_walk(clip: Path, start: int, stop: int) -> None:
    assert list(walks(frames(shown(clip, start, stop), start))) == []

"""Pose and segmentation of one person by mediapipe's bundled models (BlazePose).

[1] V. Bazarevsky et al., "BlazePose: On-device real-time body pose tracking", 2020, arXiv:2006.10204.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib._optional import require
from gait3dlib.perception.crops import cut, mask_box, square

Image = NDArray[np.uint8]

LAYOUT = "blazepose33"
NOSE, SHOULDERS, HIPS, KNEES, ANKLES = 0, [11, 12], [23, 24], [25, 26], [27, 28]
FEET = [27, 28, 29, 30, 31, 32]  # ankles, heels, toes
FEET_APART = 0.12  # of the stature, between the lowest point of the feet and that of the mask
CROP_PX = 384  # side that crops are scaled to: the networks read 224 and 256
MARGIN = 1.35  # side of the crop over the height of the person
VISIBLE = 0.5
# mediapipe's detector gives the hips and a circle around the whole body; in radii, a person on foot
# reaches this far above and below the hips, and this far to either side
REACH_UP, REACH_DOWN, REACH_SIDE = 0.95, 0.93, 0.45


@dataclass(frozen=True)
class Body:
    """What one look at one person gives.

    keypoints float32 ``[33, 3]`` x, y in pixels of the image and visibility; mask bool ``[384, 384]`` of
    the square ``place`` (x, y, side); box float64 ``[4]`` around the mask in pixels of the image.
    """

    keypoints: NDArray[np.float32]
    mask: NDArray[np.bool_]
    place: tuple[int, int, int]
    box: NDArray[np.float64]


class _Graph:
    """A running mediapipe graph: its threads and about 60 MB of memory go only when it is closed."""

    _solution: Any

    def close(self) -> None:
        """Stop the graph."""
        self._solution.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class PoseEstimator(_Graph):
    """Pose and mask of the person in a box; every look stands on its own. To be closed.

    Looks share no state, so nobody's pose can drift onto somebody else; following a person through
    mediapipe's own tracking was measured to be no steadier.
    """

    def __init__(self) -> None:
        with _quiet():
            pose = require("mediapipe").solutions.pose
            self._solution = pose.Pose(static_image_mode=True, model_complexity=1, enable_segmentation=True)
            self._solution.process(np.zeros((CROP_PX, CROP_PX, 3), dtype=np.uint8))

    def look(self, image: Image, box: NDArray[np.float64]) -> Body | None:
        """The person in the box ``[4]`` of an image ``[H, W, 3]``; None where there is none, or another."""
        cv2 = require("cv2")
        place = square(box, MARGIN)
        patch = cut(image, place)
        finer = cv2.INTER_AREA if place[2] > CROP_PX else cv2.INTER_LINEAR
        patch = cv2.resize(patch, (CROP_PX, CROP_PX), interpolation=finer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of protobuf, on every call
            found = self._solution.process(patch)
        if found.pose_landmarks is None or found.segmentation_mask is None:
            return None
        marks = np.array([(p.x, p.y, p.visibility) for p in found.pose_landmarks.landmark], dtype=np.float32)
        mask = _own_part(found.segmentation_mask > 0.5, marks)
        inside = mask_box(mask)
        if inside is None:
            return None
        scale = place[2] / CROP_PX
        tight = inside * scale + [place[0], place[1], 0, 0]
        marks[:, :2] = marks[:, :2] * place[2] + [place[0], place[1]]
        marks[:, 2] = marks[:, 2].clip(0, 1)
        body = Body(marks, mask, place, tight)
        return body if _is_expected(body, box) else None


class PeopleDetector(_Graph):
    """Several people in an image by mediapipe's bundled detector, in overlapping square tiles. To be closed.

    Finds people from about a fifth of the image's shorter side in height.
    """

    def __init__(self) -> None:
        with _quiet():
            require("mediapipe")
            base = require("mediapipe.python.solution_base")
            graph = require("mediapipe.framework.calculator_pb2").CalculatorGraphConfig(
                input_stream=["image"], output_stream=["detections"]
            )
            graph.node.add(
                calculator="PoseDetectionCpu",
                input_stream=["IMAGE:image"],
                output_stream=["DETECTIONS:detections"],
            )
            self._solution = base.SolutionBase(graph_config=graph, outputs=["detections"])
            self._solution.process(np.zeros((CROP_PX, CROP_PX, 3), dtype=np.uint8))

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Boxes float32 ``[n, 5]`` x, y, width, height, score of the people in an image ``[H, W, 3]``."""
        found = [box for place in _tiles(*image.shape[:2]) for box in self._tile(image, place)]
        boxes = np.array(found, dtype=np.float32).reshape(-1, 5)
        return _distinct(boxes[np.argsort(-boxes[:, 4], kind="stable")])

    def _tile(self, image: Image, place: tuple[int, int, int]) -> Iterator[list[float]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            detections = self._solution.process(cut(image, place)).detections
        for detection in detections or []:
            marks = detection.location_data.relative_keypoints
            hip, rim = (np.array([marks[i].x, marks[i].y]) * place[2] for i in (0, 1))
            radius = float(np.linalg.norm(rim - hip))
            x, y = hip[0] + place[0], hip[1] + place[1]
            yield [
                x - REACH_SIDE * radius,
                y - REACH_UP * radius,
                2 * REACH_SIDE * radius,
                (REACH_UP + REACH_DOWN) * radius,
                float(detection.score[0]),
            ]


def upright(keypoints: NDArray[np.float32]) -> bool:
    """Whether BlazePose keypoints ``[33, 3]`` are of a body on its feet: shoulders over hips over ankles."""
    shoulders, hips, ankles = (keypoints[i, :2].mean(axis=0) for i in (SHOULDERS, HIPS, ANKLES))
    torso = hips - shoulders
    return bool(torso[1] > abs(torso[0]) and ankles[1] - hips[1] > 0.5 * torso[1])


def feet_seen(body: Body, least: float) -> bool:
    """Whether both ankles have at least that visibility, and the mask reaches down to the feet."""
    bottom = body.box[1] + body.box[3]
    feet = float(body.keypoints[FEET, 1].max())
    return bool(
        body.keypoints[ANKLES, 2].min() >= least and abs(bottom - feet) < FEET_APART * stature(body.keypoints)
    )


def stature(keypoints: NDArray[np.float32]) -> float:
    """Shoulder to hip to knee to ankle of BlazePose keypoints, the longer side, in pixels.

    Unlike the box's height it does not change when the arms go up.
    """
    chain = keypoints[[SHOULDERS, HIPS, KNEES, ANKLES], :2]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=-1).sum(axis=0).max())


def _own_part(mask: NDArray[np.bool_], marks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The parts of a mask that keypoints lie on, without pinholes; other people's parts go."""
    labels, count = ndimage.label(mask)
    size = mask.shape[0]
    seen = marks[marks[:, 2] > VISIBLE, :2]
    at = np.clip((seen * size).astype(int), 0, size - 1)
    votes = np.bincount(labels[at[:, 1], at[:, 0]], minlength=count + 1)[1:]
    keep = np.flatnonzero(votes >= 2) + 1
    own = np.isin(labels, keep)
    holes, count = ndimage.label(~own)
    area = np.bincount(holes.ravel())
    small = np.flatnonzero(area < 2e-3 * own.sum())
    return np.asarray(own | np.isin(holes, small[small > 0]))


def _is_expected(body: Body, box: NDArray[np.float64]) -> bool:
    """Whether the body is the one that the box promised, and its keypoints and mask belong together."""
    apart = body.box[:2] + body.box[2:] / 2 - box[:2] - box[2:] / 2
    near = abs(apart[0]) < 0.35 * box[3] and abs(apart[1]) < 0.35 * box[3]
    alike = 0.5 < body.box[3] / box[3] < 2.0
    seen = body.keypoints[body.keypoints[:, 2] > VISIBLE, :2]
    x, y, side = body.place
    at = np.floor((seen - [x, y]) * (body.mask.shape[0] / side)).astype(int)
    within = ((at >= 0) & (at < body.mask.shape[0])).all(axis=1)
    hit = body.mask[at[within, 1], at[within, 0]].sum() / max(len(seen), 1)
    return bool(near and alike and len(seen) >= 8 and hit >= 0.6)


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Squares along the longer side of an image, each half over the next: nobody is cut by all of them."""
    short, long = sorted((height, width))
    count = int(np.ceil((long - short) / (0.5 * short))) + 1
    starts = np.linspace(0, long - short, count).astype(int)
    return [(int(s), 0, short) if width > height else (0, int(s), short) for s in starts]


def _distinct(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes, best first, without those whose centre lies in the middle of a better one."""
    kept: list[NDArray[np.float32]] = []
    for box in boxes:
        centre = box[:2] + box[2:4] / 2
        if all((abs(centre - k[:2] - k[2:4] / 2) > 0.35 * k[2:4]).any() for k in kept):
            kept.append(box)
    return np.array(kept, dtype=np.float32).reshape(-1, 5)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep start-up notes of TensorFlow Lite, which no setting turns off, from the standard error."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        error_fd = sys.__stderr__.fileno() if sys.__stderr__ is not None else -1
        saved = os.dup(error_fd)
    except (OSError, ValueError):
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            os.dup2(nowhere.fileno(), error_fd)
            yield
    finally:
        os.dup2(saved, error_fd)
        os.close(saved)

"""People in images: what stands out from a still background, or what a detector finds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib._optional import require
from gait3dlib.errors import InputError
from gait3dlib.perception.camera import CameraMotion
from gait3dlib.types import NS_PER_S

Image = NDArray[np.uint8]
Detector = Callable[[Image], NDArray[np.float32]]

MIN_HEIGHT_PX = 32  # people smaller than this in the image say nothing about gait
MIN_HEIGHT = 0.08  # nor do those below this share of the image's height
ASPECT = (0.8, 7.0)  # height over width of a person on foot, arms and stride included
MIN_FILL = 0.15  # share of the box that a person covers; an outline covers less
START_S = 1.0  # how long the picture is watched before anything is said about it
START_FRAMES = 32  # and the most frames that are held meanwhile
START_BYTES = 256_000_000  # in as much memory
LOOK_WIDTH = 640  # pixels across the picture in which the background is modelled
FLOOD = 0.2  # share of the picture that cannot all be people: the light has changed
FLOOD_S = 2.0  # light that changed for longer is the new background


@dataclass(frozen=True)
class Found:
    """People in one image: boxes float64 ``[n, 4]`` in pixels of the image.

    ``labels`` is the image's mask where there is one, ``scale`` times the image's size: the pixels of
    person i hold i + 1.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int32] | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class View:
    """One image, the people in it, and how far its content has moved since the start (pixels).

    From a sensor that segments, ``image`` is the mask, with ``keypoints`` ``[K, 3]`` of one person and
    ``depth`` ``[H, W]`` where the sensor gave them.
    """

    t_ns: int
    image: Image
    found: Found
    pan: NDArray[np.float64]
    keypoints: NDArray[np.float32] | None = None
    depth: NDArray[Any] | None = None


def blobs(mask: NDArray[Any], *, scale: float = 1.0, bridge: tuple[int, int] = (5, 3)) -> Found:
    """Connected parts of a mask ``[H, W]`` that could be a person on foot.

    Parts nearer than ``bridge`` (rows, columns) count as one.
    """
    mask = mask > 0
    least = max(MIN_HEIGHT_PX * scale, MIN_HEIGHT * mask.shape[0])
    joined, count = ndimage.label(ndimage.maximum_filter(mask, size=bridge))
    labels = np.where(mask, joined, 0).astype(np.int32)
    renumber, boxes = np.zeros(count + 1, dtype=np.int32), []
    for part, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height < least or not ASPECT[0] <= height / width <= ASPECT[1]:
            continue
        if (labels[rows, columns] == part).sum() >= MIN_FILL * height * width:
            boxes.append([columns.start, rows.start, width, height])
            renumber[part] = len(boxes)
    return Found(np.array(boxes, dtype=np.float64).reshape(-1, 4) / scale, renumber[labels], scale)


class Background:
    """What a still camera sees when nobody is there: the median of a start, kept up by a mixture model.

    The mixture [1] takes in leaves that move and light that drifts; people who stay for long become part
    of it, which is no loss where only walkers count.

    [1] Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004.
    """

    def __init__(self, start: Iterable[Image]) -> None:
        cv2 = require("cv2")
        stack = np.stack(list(start))
        stack = stack[:: max(1, len(stack) // 15)]
        median = np.partition(stack, len(stack) // 2, axis=0)[len(stack) // 2]
        self._model = cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=30, detectShadows=False)
        self._model.setVarInit(60)
        self._model.apply(cv2.GaussianBlur(median, (3, 3), 0), learningRate=1)

    def mask(self, image: Image) -> NDArray[np.bool_] | None:
        """Pixels ``[H, W]`` that stand out; None when so much does that the light must have changed."""
        cv2 = require("cv2")
        raw = self._model.apply(cv2.GaussianBlur(image, (3, 3), 0), learningRate=0.003)
        mask: NDArray[np.bool_] = cv2.medianBlur(raw, 3) > 0
        if mask.mean() > FLOOD:
            self._model.apply(cv2.GaussianBlur(image, (3, 3), 0), learningRate=0.05)
            return None
        return mask


class VideoPeople:
    """Finds people frame by frame: from the background while the camera stands still, else by a detector.

    Args:
        detector: image ``[H, W, 3]`` to boxes ``[n, 5]`` x, y, width, height, score. None = there is none.
        always: ask the detector for every frame, do not model the background.
    """

    def __init__(self, detector: Detector | None, *, always: bool) -> None:
        self._detector, self._always = detector, always
        self._motion = CameraMotion()
        self._background: Background | None = None
        self._samples: deque[tuple[int, Image]] = deque(maxlen=START_FRAMES)
        self._flooded_ns: int | None = None

    def views(self, shots: Iterable[tuple[int, Image]]) -> Iterator[View]:
        """The people in each image; the first second is held back until the background is known."""
        held: list[tuple[int, Image, NDArray[np.float64]]] = []
        started = self._always
        for t_ns, image in shots:
            self._watch(t_ns, image)
            held.append((t_ns, image, self._motion.pan.copy()))
            room = len(held) < min(START_FRAMES, START_BYTES // image.nbytes)
            if not started and room and t_ns - held[0][0] < START_S * NS_PER_S:
                continue
            yield from self._release(held, first=not started)
            started = True
            held.clear()
        yield from self._release(held, first=not started)

    def _release(self, held: list[tuple[int, Image, NDArray[np.float64]]], *, first: bool) -> Iterator[View]:
        if first and held:
            if self._detector is None and self._motion.moved_ns is not None:
                raise InputError(
                    "the camera moves, so nobody can be told from the background; let pose be estimated"
                )
            self._learn(held[-1][0], seconds=0.0)
        for t_ns, image, pan in held:
            yield View(t_ns, image, self._find(t_ns, image), pan)

    def _watch(self, t_ns: int, image: Image) -> None:
        self._motion.step(image, t_ns)
        if self._always:
            return
        if self._motion.moved_ns == t_ns:
            self._background = None
            self._samples.clear()
        elif self._background is None:
            self._samples.append((t_ns, _small(image)[0]))
            self._learn(t_ns, seconds=START_S)

    def _learn(self, t_ns: int, *, seconds: float) -> None:
        still = self._motion.still(t_ns, seconds) and len(self._samples) > 0
        if still and t_ns - self._samples[0][0] >= 0.9 * seconds * NS_PER_S:
            self._background = Background(image for _, image in self._samples)
            self._samples.clear()

    def _find(self, t_ns: int, image: Image) -> Found:
        if self._background is not None:
            small, scale = _small(image)
            mask = self._background.mask(small)
            if mask is not None:
                self._flooded_ns = None
                return blobs(mask, scale=scale, bridge=(9, 5))
            self._flooded_ns = self._flooded_ns or t_ns
            if t_ns - self._flooded_ns > FLOOD_S * NS_PER_S:
                self._background, self._flooded_ns = None, None
        if self._detector is None:
            return Found(np.zeros((0, 4)))
        return Found(_checked(self._detector(image)))


def _checked(boxes: Any) -> NDArray[np.float64]:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 5 or not np.isfinite(boxes).all() or (boxes[:, 2:4] <= 0).any():
        raise InputError(
            "a detector must return finite boxes [n, 5] of x, y, width, height, score with sizes above 0"
        )
    return np.asarray(boxes[boxes[:, 3] >= MIN_HEIGHT_PX, :4])


def _small(image: Image) -> tuple[Image, float]:
    cv2 = require("cv2")
    scale = min(1.0, LOOK_WIDTH / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale

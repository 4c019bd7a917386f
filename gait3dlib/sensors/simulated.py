"""A camera in a corridor through which simulated walkers pass, one after another."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError, SensorError
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.walker import Walker, sample_walker
from gait3dlib.simulation.world import AIM_HEIGHT_M, PosedWalk
from gait3dlib.types import NS_PER_S, Calibration, EndOfStream, Frame, Stream, StreamSpec

WIDTH, HEIGHT = 640, 480
FIELD_OF_VIEW_DEG = 60.0
DISTANCE_M = 6.0  # from the camera to the middle of the way
CAMERA_HEIGHT_M = 1.5
NEAREST_M = 3.0  # who comes towards the camera turns off here, and who walks away came in here
# From the side, far enough to enter and leave the image; along the corridor, not so far that nobody is seen
HALF_WAY_M, HALF_WAY_ALONG_M = 4.5, 3.2
CROP = 192  # pixels of the crop in which a walker is seen before it is put into the image

STREAMS = ("silhouette", "depth", "keypoints")


class Simulated:
    """A still camera of 640 x 480 pixels; walkers pass one after another, with gaps between.

    Each frame holds ``silhouette`` uint8 ``[480, 640]``, ``depth`` float32 ``[480, 640]`` in metres (0 =
    none) and ``keypoints`` float32 ``[17, 3]`` (coco17; all 0 while nobody is there), with the errors that
    detectors and sensors make. Who walks is not in the frames: see :attr:`people`.

    Args:
        seed: of the population and of all noise.
        walkers: how many people pass, or the indices of those who do, in this order.
        first: index of the first, where ``walkers`` is a number.
        view_deg: angle between the walking direction and the camera: 0 = they come towards it, 90 = their
            left side is seen, 180 = from behind.
        fps: frames a second.
        gap_s: time between two walkers, and before the first and after the last.
        speed: multiple of each person's comfortable speed.
        realtime: keep the pace of the clock, and be a live sensor: a slow consumer loses frames.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        walkers: int | list[int] = 3,
        first: int = 0,
        view_deg: float = 90.0,
        fps: float = 30.0,
        gap_s: float = 1.0,
        speed: float = 1.0,
        realtime: bool = False,
    ) -> None:
        self.indices = list(range(first, first + walkers)) if isinstance(walkers, int) else list(walkers)
        if not self.indices or min(self.indices) < 0 or seed < 0:
            raise InputError("ask for at least one walker, by indices and a seed from 0 on")
        if not 1.0 <= fps <= 240.0 or not 0.0 <= gap_s <= 3600.0:
            raise InputError("fps must be 1 to 240, and gap_s 0 to 3600 seconds")
        self.seed, self.view_deg, self.fps, self.gap_s, self.speed = seed, view_deg, fps, gap_s, speed
        self.realtime = self.live = realtime
        angle = np.deg2rad(view_deg)
        place = np.array([DISTANCE_M * np.cos(angle), DISTANCE_M * np.sin(angle), CAMERA_HEIGHT_M])
        self._camera = look_at(
            place,
            np.array([0.0, 0.0, AIM_HEIGHT_M]),
            width=WIDTH,
            height=HEIGHT,
            field_of_view_deg=FIELD_OF_VIEW_DEG,
        )
        self._frames: Iterator[Frame] | None = None
        self._started_s: float | None = None

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like."""
        return {
            "silhouette": StreamSpec("silhouette", (HEIGHT, WIDTH), ("uint8",), ("1",)),
            "depth": StreamSpec("depth", (HEIGHT, WIDTH), ("float32",), ("m",)),
            "keypoints": StreamSpec("keypoints", (17, 3), ("float32",), ("px",), ("coco17",)),
        }

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """The one camera, for each stream."""
        return dict.fromkeys(STREAMS, self._camera)

    @property
    def people(self) -> list[Walker]:
        """Who passes, in order; for checking answers, not for giving them."""
        return [sample_walker(self.seed, index, "prior") for index in self.indices]

    def open(self) -> None:
        """Start at the first walker.

        Raises:
            MissingDependency: the ``simulation`` extra is not installed.
        """
        require("embreex")
        self._frames, self._started_s = self._corridor(), None

    def close(self) -> None:
        """Stop."""
        self._frames = None

    def read(self, timeout_s: float) -> Frame:
        """The next frame; its time counts from 0 at the first one.

        Raises:
            EndOfStream: everybody has passed.
            SensorError: it is not open.
        """
        if self._frames is None:
            raise SensorError("the simulated sensor is not open; use it in a with statement")
        frame = next(self._frames, None)
        if frame is None:
            raise EndOfStream
        if self.realtime:
            now = time.monotonic()
            if self._started_s is None:
                self._started_s = now
            wait_s = frame.host_t_ns / NS_PER_S - (now - self._started_s)
            time.sleep(min(max(wait_s, 0.0), timeout_s))
        return frame

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _corridor(self) -> Iterator[Frame]:
        number, gap = 0, round(self.gap_s * self.fps)
        empty: dict[str, NDArray[Any]] = {
            "silhouette": np.zeros((HEIGHT, WIDTH), np.uint8),
            "depth": np.zeros((HEIGHT, WIDTH), np.float32),
            "keypoints": np.zeros((17, 3), np.float32),
        }
        for turn, index in enumerate([*self.indices, None]):
            for _ in range(gap):
                yield Frame({k: v.copy() for k, v in empty.items()}, self._t_ns(number))
                number += 1
            if index is None:
                return
            for data in self._passing(sample_walker(self.seed, index, "prior"), turn):
                yield Frame(data, self._t_ns(number))
                number += 1

    def _t_ns(self, number: int) -> int:
        return round(number / self.fps * NS_PER_S)

    def _passing(self, walker: Walker, turn: int) -> Iterator[dict[str, NDArray[Any]]]:
        toward = float(np.cos(np.deg2rad(self.view_deg)))
        half = HALF_WAY_M + (HALF_WAY_ALONG_M - HALF_WAY_M) * abs(toward)
        near = (DISTANCE_M - NEAREST_M) / max(abs(toward), 1e-6)
        start = -half if toward >= 0 else max(-half, -near)
        stop = half if toward <= 0 else min(half, near)
        seconds = (stop - start) / (walker.speed_m_s * self.speed)
        motion = walker.walk(seed=self.seed * 1000 + turn, speed=self.speed, fps=self.fps, seconds=seconds)
        shift = np.array([start - motion.translation[0, 0], 0.0, 0.0])
        motion = dataclasses.replace(motion, translation=motion.translation + shift)
        walk = PosedWalk(walker, motion)
        seen = walk.seen_by(self._camera, walker.rng(4, self.seed, turn), STREAMS, CROP)
        boxes = seen["silhouette"].boxes
        assert boxes is not None
        for frame, box in enumerate(boxes.astype(np.float64)):
            yield {
                "silhouette": _paste(seen["silhouette"], frame, box),
                "depth": _paste(seen["depth"], frame, box),
                "keypoints": seen["keypoints"].data[frame].copy(),
            }


def _paste(stream: Stream, frame: int, box: NDArray[np.float64]) -> NDArray[Any]:
    """The crop of a frame put where it belongs in the image; the nearest pixel counts."""
    crop = stream.data[frame]
    out = np.zeros((HEIGHT, WIDTH), crop.dtype)
    columns = np.floor((np.arange(WIDTH) - box[0] + 0.5) * CROP / box[2]).astype(int)
    rows = np.floor((np.arange(HEIGHT) - box[1] + 0.5) * CROP / box[3]).astype(int)
    inside_x = np.flatnonzero((columns >= 0) & (columns < CROP))
    inside_y = np.flatnonzero((rows >= 0) & (rows < CROP))
    out[np.ix_(inside_y, inside_x)] = crop[np.ix_(rows[inside_y], columns[inside_x])]
    return out

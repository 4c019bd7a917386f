"""From frames to walks: people found, tracked, looked at, and their walks cut out, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception.crops import centred, cornered
from gait3dlib.perception.cutting import Sight, WalkCutter
from gait3dlib.perception.depth import walks_in_depth
from gait3dlib.perception.looking import Look, PoseLook, SegmentedLook, StandingOutLook, segmented_views
from gait3dlib.perception.observing import Glimpse, Observer, Refusal, Seen, why_in_images
from gait3dlib.perception.people import Detector, VideoPeople, View
from gait3dlib.perception.points import walks_in_points
from gait3dlib.perception.points.following import streams_of_points
from gait3dlib.perception.pose import PeopleDetector, PoseEstimator
from gait3dlib.perception.tracking import Track, Tracker, box_cost
from gait3dlib.types import NS_PER_S, Calibration, Frame, GaitSequence, Meta

GATE = 0.8  # in the units of box_cost: no overlap, and 0.3 heights apart
DUPLICATE = 0.5  # a box that costs less is a part of somebody who is tracked already
LOOK_EVERY_S = 0.2  # between looks at people who do not walk
NOWHERE = np.full(2, np.nan)
MOST_GLIMPSES = 400
MERGED = 1.3  # a box this much larger than two tracks that it covers is both of them

Data = dict[str, NDArray[Any]]


def walks(
    frames: Iterable[Frame],
    *,
    detector: Literal["auto"] | Detector = "auto",
    pose: bool = True,
    min_seconds: float = 0.9,
    source: str = "",
    progress: Callable[[int], None] | None = None,
    calibration: Mapping[str, Calibration] | None = None,
    observer: Observer | None = None,
) -> Iterator[GaitSequence]:
    """The walks in a run of frames, each as soon as it has ended.

    A frame holds either ``color`` uint8 ``[H, W, 3]`` RGB, or what a sensor has segmented already:
    ``silhouette`` uint8 ``[H, W]`` and, where there are any, ``keypoints`` float32 ``[K, 3]`` (one person's)
    and ``depth`` ``[H, W]``. Frames of ``depth`` without silhouettes go to
    :func:`gait3dlib.perception.depth.walks_in_depth`.

    Each walk is one person: ``silhouette`` ``[T, 128, 128]`` with the square ``boxes`` that it shows in the
    image, ``keypoints`` in pixels of the image ("blazepose33" from video, else the sensor's), ``depth``
    (0 outside the person) with the same boxes. Frames in which the person was hidden, bent or cut by the
    image's border are left out. ``meta.covariates["track"]`` numbers the person within the run.

    Args:
        frames: in order of time; ``device_t_ns`` is used where the first frame has it.
        detector: how people are found in colour images. "auto": against the background while the camera
            stands still, else by mediapipe's detector. Or a function from the image to boxes ``[n, 5]`` x,
            y, width, height, score.
        pose: estimate keypoints and masks (needs the extra ``pose``). Without it the mask is what stands
            out from the background of a still camera.
        min_seconds: shorter walks are dropped; a gait cycle takes about one second.
        source: kept as ``meta.source``.
        progress: called with the number of frames taken so far.
        calibration: of depth cameras, and where sensors stand that give points, by stream; see
            :func:`gait3dlib.perception.points.walks_in_points`, which such frames go to.
        observer: is told who is in view, and of whom no walk came.

    Raises:
        InputError: a frame has the wrong shape or type, time runs backwards, or without pose the camera
            moves or a detector is given (boxes alone hold no silhouette).
        MissingDependency: the extra ``video`` or ``pose`` is not installed.
    """
    if detector != "auto" and not callable(detector):
        raise InputError(f"detector must be 'auto' or a function from an image to boxes, not {detector!r}")
    if detector != "auto" and not pose:
        raise InputError("a detector gives boxes, and silhouettes need more; let pose be estimated")
    return _kind_of_walks(iter(frames), detector, pose, min_seconds, source, progress, calibration, observer)


def _kind_of_walks(
    frames: Iterator[Frame],
    detector: Literal["auto"] | Detector,
    pose: bool,
    min_seconds: float,
    source: str,
    progress: Callable[[int], None] | None,
    calibration: Mapping[str, Calibration] | None,
    observer: Observer | None,
) -> Iterator[GaitSequence]:
    """Looks at the first frame: images, or points?"""
    first = next(frames, None)
    if first is None:
        return
    again = chain([first], frames)
    if streams_of_points(first.data):
        more = {"calibration": calibration, "min_seconds": min_seconds, "source": source}
        yield from walks_in_points(again, progress=progress, observer=observer, **more)  # type: ignore[arg-type]
    elif "silhouette" not in first.data and ("depth" in first.data or "depth" in (calibration or {})):
        more = {"calibration": calibration, "pose": pose, "min_seconds": min_seconds, "source": source}
        yield from walks_in_depth(again, progress=progress, observer=observer, **more)  # type: ignore[arg-type]
    else:
        yield from _walks(_stamped(again, progress), detector, pose, min_seconds, source, observer)


def _walks(
    stamped: Iterator[tuple[int, Data]],
    detector: Literal["auto"] | Detector,
    pose: bool,
    min_seconds: float,
    source: str,
    observer: Observer | None = None,
) -> Iterator[GaitSequence]:
    first = next(stamped, None)
    if first is None:
        return
    stamped = chain([first], stamped)
    look: Look
    with ExitStack() as stack:
        if "silhouette" in first[1]:
            look, views = SegmentedLook(), segmented_views(stamped)
            width = first[1]["silhouette"].shape[1]
        else:
            look, views = _video(((t_ns, data["color"]) for t_ns, data in stamped), detector, pose, stack)
            width = first[1]["color"].shape[1]
        people = _Followed(
            look, focal_px=float(width), min_seconds=min_seconds, source=source, observer=observer
        )
        yield from people.walks(views)


def _video(
    shots: Iterator[tuple[int, NDArray[np.uint8]]],
    detector: Literal["auto"] | Detector,
    pose: bool,
    stack: ExitStack,
) -> tuple[Look, Iterator[View]]:
    if not pose:
        return StandingOutLook(), VideoPeople(None, always=False).views(shots)
    look = PoseLook(stack.enter_context(PoseEstimator()))
    if detector == "auto":
        return look, VideoPeople(stack.enter_context(PeopleDetector()), always=False).views(shots)
    return look, VideoPeople(detector, always=True).views(shots)


class _Followed:
    """The people in view, each with a track and a cutter."""

    def __init__(
        self, look: Look, *, focal_px: float, min_seconds: float, source: str, observer: Observer | None
    ) -> None:
        self._look, self._focal_px = look, focal_px
        self._min_seconds, self._source = min_seconds, source
        self._tracker = Tracker(box_cost, GATE, duplicate=DUPLICATE, without_velocity=(2, 3))
        self._cutters: dict[int, WalkCutter] = {}
        self._looked_ns = 0
        self._observer = observer or Observer()
        self._glimpses: dict[int, list[Glimpse]] = {}  # of those of whom no walk came so far
        self._named: set[int] = set()  # the others

    def walks(self, views: Iterable[View]) -> Iterator[GaitSequence]:
        for view in views:
            for track in self._tracker.predict(view.t_ns):
                yield from self._finish(track)
            yield from self._follow(view)
        for track in self._tracker.tracks:
            yield from self._finish(track)

    def _follow(self, view: View) -> Iterator[GaitSequence]:
        boxes = centred(view.found.boxes)
        single = np.flatnonzero(~_merged(boxes, [track.position for track in self._tracker.tracks]))
        given = self._tracker.update(boxes[single])
        mine = {track.number: int(i) for i, track in zip(single, given, strict=True) if track is not None}
        tracks, seen = self._tracker.tracks, dict[int, Seen]()
        everybody = view.t_ns - self._looked_ns >= LOOK_EVERY_S * NS_PER_S
        self._looked_ns = view.t_ns if everybody else self._looked_ns
        for track in tracks:
            cutter = self._cutters.setdefault(track.number, self._cutter(track))
            if cutter.idle(view.t_ns) and not everybody:
                continue
            others = [other for other in tracks if other is not track]
            sight, box = self._look(view, track, mine.get(track.number), others)
            if box is not None:
                self._tracker.correct(track, centred(box))
            if sight is not None:
                cutter.layout = self._look.layout  # known from the first keypoints on
                seen[track.number] = Seen(NOWHERE, extent=cornered(track.position[None])[0])
                self._glimpse(track.number, sight)
                yield from self._answered(track.number, cutter.add(sight))
        self._observer.people(view.t_ns, seen)

    def _cutter(self, track: Track) -> WalkCutter:
        return WalkCutter(
            track.t_ns,
            focal_px=self._focal_px,
            min_seconds=self._min_seconds,
            layout=self._look.layout,
            meta=Meta(source=self._source, covariates={"track": str(track.number)}),
        )

    def _finish(self, track: Track) -> Iterator[GaitSequence]:
        cutter = self._cutters.pop(track.number, None)
        if cutter is not None:
            yield from self._answered(track.number, cutter.finish())
        seen = self._glimpses.pop(track.number, [])
        reason = why_in_images(seen) if seen else None
        if reason is not None:
            self._observer.refused(Refusal(track.number, seen[0].t_ns, seen[-1].t_ns, reason))
        self._named.discard(track.number)

    def _glimpse(self, number: int, sight: Sight) -> None:
        if number in self._named:
            return
        seen = self._glimpses.setdefault(number, [])
        seen.append(Glimpse(sight.t_ns, sight.centre, sight.height_px, sight.scale_px, sight.good))
        if len(seen) > MOST_GLIMPSES:
            del seen[1::2]

    def _answered(self, number: int, walks: Iterator[GaitSequence]) -> Iterator[GaitSequence]:
        for walk in walks:
            self._named.add(number)
            self._glimpses.pop(number, None)
            yield walk


def _merged(boxes: NDArray[np.float64], tracks: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Which (centred) boxes ``[n, 4]`` hold two tracks at once and are clearly larger than either."""
    merged = np.zeros(len(boxes), dtype=bool)
    for i, box in enumerate(boxes):
        inside = [t for t in tracks if (np.abs(t[:2] - box[:2]) < box[2:] / 2).all()]
        merged[i] = len(inside) > 1 and all(box[2] * box[3] > MERGED * t[2] * t[3] for t in inside)
    return merged


def _stamped(frames: Iterable[Frame], progress: Callable[[int], None] | None) -> Iterator[tuple[int, Data]]:
    """Time stamp and data of each frame, checked against the first."""
    like: Frame | None = None
    last_ns: int | None = None
    for number, frame in enumerate(frames):
        like = like or frame
        device = like.device_t_ns is not None
        t_ns = frame.device_t_ns if device else frame.host_t_ns
        if t_ns is None:
            raise InputError(f"frame {number} has no device time, but the first frame has one")
        if last_ns is not None and t_ns <= last_ns:
            raise InputError(
                f"time runs backwards: frame {number} is not later than the one before it; sort the frames"
            )
        last_ns = t_ns
        yield t_ns, _checked(frame, like, number)
        if progress is not None:
            progress(number + 1)


def _checked(frame: Frame, like: Frame, number: int) -> Data:
    name = next((name for name in ("silhouette", "color") if name in like.data), None)
    if name is None:
        held = ", ".join(sorted(like.data)) or "nothing"
        raise InputError(
            f"people are looked for in 'color', 'silhouette' or 'points', but the frames hold {held}"
        )
    image = frame.data.get(name)
    wanted = like.data[name].shape
    axes = 3 if name == "color" else 2
    if image is None or image.shape != wanted:
        has = "none" if image is None else f"one of shape {list(image.shape)}"
        raise InputError(f"frame {number} should hold {name!r} of shape {list(wanted)}, but has {has}")
    if (
        image.dtype != np.uint8
        or image.ndim != axes
        or min(image.shape[:2]) < 1
        or image.shape[2:] not in ((), (3,))
    ):
        shape = "[H, W, 3]" if axes == 3 else "[H, W]"
        raise InputError(f"{name!r} must be uint8 {shape}, not {image.dtype} {list(image.shape)}")
    return dict(frame.data)

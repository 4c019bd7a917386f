"""From the streams of a walk to terms of evidence on one clock, and a first guess of the joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes

from gait3dlib.errors import InputError, NoEvidence
from gait3dlib.fitting._camera import Camera
from gait3dlib.fitting._checks import check_frames, check_joints, check_points
from gait3dlib.fitting._guess import from_keypoints, from_points, from_views
from gait3dlib.fitting._keypoints import KeypointTerm, smpl_keypoints
from gait3dlib.fitting._surface import OutlineTerm, PointTerm, outline
from gait3dlib.fitting._terms import JointTerm, Term, frame_share
from gait3dlib.types import NS_PER_S, GaitSequence, Stream

F64 = NDArray[np.float64]
Rows = NDArray[np.int64]
READ = ("joints", "keypoints", "points", "depth", "silhouette")
SAME_NS = 1_000_000  # frames nearer in time than a millisecond are one
LOST_EDGE = 0.2  # pixels that an outline of depth lies inside of the person, measured on simulated depth
_SQUARE = np.ones((3, 3), bool)


@dataclass(eq=False)
class Evidence:
    """What a walk holds, ready to be fitted.

    Attributes:
        t_ns: int64 [T], the clocks of all streams together.
        terms: what the body is asked for.
        guess: [T, 24, 3], joints to start from, NaN = not known.
        given: [T, 24, 3], the 3-D joints that were given.
        used: names of the streams.
        one_sided: whether the guess hardly shows where the walker faces.
        on_ground: whether the ground must be z = 0, because nothing else says how far away the walker is.
    """

    t_ns: NDArray[np.int64]
    terms: list[Term] = field(default_factory=list)
    guess: F64 = field(default_factory=lambda: np.empty(0))
    given: F64 = field(default_factory=lambda: np.empty(0))
    used: list[str] = field(default_factory=list)
    one_sided: bool = False
    on_ground: bool = False

    @property
    def t_s(self) -> F64:
        """Seconds since the first frame."""
        return np.asarray((self.t_ns - self.t_ns[0]) / NS_PER_S)

    def rows(self, stream: Stream) -> Rows:
        """The frames of the common clock that a stream's frames are."""
        return np.asarray(np.abs(self.t_ns - stream.t_ns[:, None]).argmin(axis=1))


@dataclass(eq=False)
class _View:
    """Keypoints of one camera, and what lies at the same pixels."""

    camera: Camera
    rows: Rows
    pixels: F64
    scores: F64
    depth: Stream | None


def gather(walks: Sequence[GaitSequence], streams: Sequence[str] | None, seed: int) -> Evidence:
    """The evidence of one walk, seen by one or several sensors whose calibrations share one world.

    Raises:
        NoEvidence: no stream can be read.
        InputError: calibrations or joints that cannot be.
    """
    names = READ if streams is None else tuple(streams)
    chosen = [
        (walk, {n: s for n, s in walk.streams.items() if n in names and _useful(n, s)}) for walk in walks
    ]
    if not any(found for _, found in chosen):
        held = sorted({name for walk in walks for name in walk.streams})
        raise NoEvidence(
            f"nothing to fit a body to: it needs joints or points, or keypoints, depth or silhouettes with "
            f"the camera's calibration; the walk has {', '.join(held)}"
        )
    stamps = np.sort(np.concatenate([s.t_ns for _, found in chosen for s in found.values()]))
    evidence = Evidence(stamps[np.r_[True, np.diff(stamps) > SAME_NS]])
    check_frames(evidence.t_s)
    evidence.given = np.full((len(evidence.t_ns), 24, 3), np.nan)
    rng = np.random.default_rng(seed)
    views: list[_View] = []
    clouds: list[tuple[Rows, list[F64]]] = []
    for _, found in chosen:
        _check_one_world(found, len(walks))
        evidence.used += [name for name in READ if name in found and name not in evidence.used]
        if "joints" in found:
            _add_joints(evidence, found["joints"])
        if "keypoints" in found:
            views.append(_add_keypoints(evidence, found["keypoints"], found.get("depth")))
        clouds += _add_surfaces(evidence, found, rng)
    evidence.guess = _guess(evidence, views, clouds)
    return evidence


def _useful(name: str, stream: Stream) -> bool:
    if name == "joints":
        return bool(np.isfinite(stream.data).any())
    if name == "points":
        return len(stream.data) > 0
    if name == "depth" and stream.units == "1":
        return False  # an estimator's depth is no length
    return stream.calibration is not None and bool((stream.data > 0).any())


def _check_one_world(found: dict[str, Stream], walks: int) -> None:
    placed = [s.calibration.extrinsics is not None for s in found.values() if s.calibration is not None]
    several = walks > 1 or "joints" in found or "points" in found
    if several and not all(placed):
        raise InputError(
            "several sensors can be fitted together only if each calibration says where its camera stands "
            "(extrinsics)"
        )


def _add_joints(evidence: Evidence, stream: Stream) -> None:
    joints = np.full_like(evidence.given, np.nan)
    joints[evidence.rows(stream)] = stream.data
    check_joints(joints)
    evidence.terms.append(JointTerm(joints, frame_share(stream.t_ns / NS_PER_S)))
    evidence.given = np.where(np.isfinite(evidence.given), evidence.given, joints)


def _add_keypoints(evidence: Evidence, stream: Stream, depth: Stream | None) -> _View:
    assert stream.calibration is not None and stream.layout is not None
    camera, rows = Camera.of(stream.calibration), evidence.rows(stream)
    pixels, scores = smpl_keypoints(stream.data, stream.layout)
    evidence.terms.append(KeypointTerm(camera, rows, pixels, scores, frame_share(stream.t_ns / NS_PER_S)))
    return _View(camera, rows, pixels, scores, depth)


def _add_surfaces(
    evidence: Evidence, found: dict[str, Stream], rng: np.random.Generator
) -> list[tuple[Rows, list[F64]]]:
    clouds = []
    for name in ("points", "depth"):
        if name not in found:
            continue
        stream, rows = found[name], evidence.rows(found[name])
        camera = Camera.of(stream.calibration) if stream.calibration is not None else None
        if name == "points":
            points = [np.asarray(stream.frame(i)[:, :3], np.float64) for i in range(len(stream))]
        else:
            assert camera is not None
            points = [_lifted(stream, i, camera) for i in range(len(stream))]
        check_points(points, name)
        eye = camera.position if camera is not None and (camera.placed or name == "depth") else None
        evidence.terms.append(PointTerm(rows, points, eye, frame_share(stream.t_ns / NS_PER_S), rng))
        clouds.append((rows, points))
    seen = found.get("silhouette", found.get("depth"))
    if seen is not None:
        _add_outline(evidence, seen, rng)
    return clouds


def _add_outline(evidence: Evidence, stream: Stream, rng: np.random.Generator) -> None:
    assert stream.calibration is not None
    camera, outlines, width = Camera.of(stream.calibration), [], []
    for i in range(len(stream)):
        mask, outwards = stream.frame(i) > 0, 0.0
        if stream.data.dtype != np.uint8:  # depth: some rays are lost, most of them at edges
            mask, outwards = binary_fill_holes(binary_closing(mask, _SQUARE)), LOST_EDGE
        box = _box(stream, i)
        found = outline(mask, box, outwards)
        inside = _inside_image(found, box, stream)
        outlines.append(found[inside])
        width.append(box[2] / mask.shape[1])
    share = frame_share(stream.t_ns / NS_PER_S)
    pixel = float(np.median(width))
    evidence.terms.append(OutlineTerm(camera, evidence.rows(stream), outlines, pixel, share, rng))


def _inside_image(found: F64, box: F64, stream: Stream) -> NDArray[np.bool_]:
    """Outlines at the edge of the crop or the image are where the picture ends, not the person."""
    camera = stream.calibration
    assert camera is not None
    margin = box[2:] / np.array(stream.data.shape[:0:-1]) * 1.5
    low = np.maximum(box[:2], 0.0) + margin
    high = np.minimum(box[:2] + box[2:], [camera.width, camera.height]) - margin
    return np.asarray(((found[:, :2] > low) & (found[:, :2] < high)).all(axis=1))


def _box(stream: Stream, frame: int) -> F64:
    if stream.boxes is not None:
        return np.asarray(stream.boxes[frame], np.float64)
    assert stream.calibration is not None
    return np.array([0.0, 0.0, stream.calibration.width, stream.calibration.height])


def _lifted(stream: Stream, frame: int, camera: Camera) -> F64:
    image, box = stream.frame(frame), _box(stream, frame)
    row, column = np.nonzero(image)
    step = box[2:] / np.array([image.shape[1], image.shape[0]])
    pixels = box[:2] + (np.stack([column, row], axis=1) + 0.5) * step - 0.5
    metres = image[row, column].astype(np.float64) * (1e-3 if stream.units == "mm" else 1.0)
    return camera.lift(pixels, metres)


def _guess(evidence: Evidence, views: list[_View], clouds: list[tuple[Rows, list[F64]]]) -> F64:
    if np.isfinite(evidence.given).any():
        return evidence.given
    frames = len(evidence.t_ns)
    if len(views) > 1:
        return from_views(frames, [(v.camera, v.rows, v.pixels, v.scores) for v in views])
    if views:
        view, evidence.one_sided = views[0], True
        evidence.on_ground = not clouds and view.camera.placed
        deep = None if not clouds else clouds[0]
        return from_keypoints(frames, view.camera, view.rows, view.pixels, view.scores, deep)
    if clouds:
        return from_points(frames, clouds)
    raise NoEvidence(
        "silhouettes alone do not say where the body's parts are; add keypoints, depth or points of the walk"
    )

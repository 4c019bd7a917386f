"""One look at one tracked person: a sight for the cutter, and a better box for the tracker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.errors import InputError
from gait3dlib.perception.crops import cornered, cut, mask_box, mask_canvas, nearest_canvas, square
from gait3dlib.perception.cutting import Sight
from gait3dlib.perception.people import View, blobs
from gait3dlib.perception.pose import CROP_PX, HIPS, LAYOUT, PoseEstimator, feet_seen, stature, upright
from gait3dlib.perception.tracking import Track
from gait3dlib.types import LAYOUT_JOINTS, NS_PER_S

CANVAS_MARGIN = 1.15  # side of the canvas over the height of the person
OVERLAP = 0.15  # share of the smaller box; above it two people hide each other
RECENT_S = 0.5  # who was not seen for longer hides nobody
FEET_GUESSED, FEET_CLEAR = 0.3, 0.75  # visibility of the ankles within a walk, and at its ends
TORN = 0.8  # of the height so far; a mask that is lower has lost a part of the body
CLOSE_PX = 2  # gaps in the mask, up to twice as wide, that are closed
BORDER = 0.01  # a body nearer to the image's border than this share of its height may be cut

Box = NDArray[np.float64]


class Look(Protocol):
    """Looks at one person in one view. ``layout`` is that of the keypoints it gives."""

    layout: str | None

    def __call__(
        self, view: View, track: Track, found: int | None, others: list[Track]
    ) -> tuple[Sight | None, Box | None]:
        """``found`` is the index of the track's own box in this view, ``others`` are the other tracks."""


def segmented_views(stamped: Iterable[tuple[int, Mapping[str, NDArray[Any]]]]) -> Iterator[View]:
    """Views of frames that hold a ``silhouette`` each.

    Raises:
        InputError: depth is not registered with the mask, or keypoints are not of one person.
    """
    for t_ns, data in stamped:
        mask = data["silhouette"]
        depth, keypoints = data.get("depth"), data.get("keypoints")
        if depth is not None and depth.shape != mask.shape:
            raise InputError(
                f"depth and silhouette must be registered, but their shapes are {list(depth.shape)} "
                f"and {list(mask.shape)}"
            )
        if keypoints is not None and (keypoints.ndim != 2 or keypoints.shape[1] != 3):
            raise InputError(f"a frame's keypoints must be [K, 3] of one person, not {list(keypoints.shape)}")
        yield View(t_ns, mask, blobs(mask), np.zeros(2), keypoints, depth)


class SegmentedLook:
    """The person's own part of the mask that the sensor gave, with keypoints and depth where it gave them."""

    layout: str | None = None

    def __call__(
        self, view: View, track: Track, found: int | None, others: list[Track]
    ) -> tuple[Sight | None, Box | None]:
        """See :class:`Look`.

        Raises:
            InputError: the number of keypoints belongs to no layout of images.
        """
        if found is None or view.found.labels is None:
            return None, None
        mask = view.found.labels == found + 1
        box = view.found.boxes[found]
        place = square(box, CANVAS_MARGIN)
        keypoints = view.keypoints if _owner(view) == found else None
        if keypoints is not None:
            self.layout = _layout(len(keypoints))
        depth = None
        if view.depth is not None:
            depth = nearest_canvas(np.where(mask, view.depth, view.depth.dtype.type(0)), place)
        sight = Sight(
            t_ns=view.t_ns,
            centre=_centroid(mask),
            height_px=box[3],
            scale_px=box[3],
            good=_whole(box, mask.shape),
            box=np.array([place[0], place[1], place[2], place[2]], dtype=np.float64),
            silhouette=mask_canvas(mask, place),
            keypoints=keypoints,
            depth=depth,
        )
        return sight, None


class StandingOutLook:
    """The person's part of what stands out from a still background; no keypoints."""

    layout: str | None = None

    def __call__(
        self, view: View, track: Track, found: int | None, others: list[Track]
    ) -> tuple[Sight | None, Box | None]:
        """See :class:`Look`."""
        if found is None or view.found.labels is None:
            return None, None
        box, scale = view.found.boxes[found], view.found.scale
        mask = view.found.labels == found + 1
        place = square(box * scale, CANVAS_MARGIN)
        patch = np.pad(cut(mask, place), CLOSE_PX)  # padded, or the closing would eat into the border
        patch = ndimage.binary_closing(patch, iterations=CLOSE_PX)[CLOSE_PX:-CLOSE_PX, CLOSE_PX:-CLOSE_PX]
        sight = Sight(
            t_ns=view.t_ns,
            centre=_centroid(mask) / scale - view.pan,
            height_px=box[3],
            scale_px=box[3],
            good=_whole(box, view.image.shape) and box[3] > TORN * track.position[3],
            box=np.array([place[0], place[1], place[2], place[2]], dtype=np.float64) / scale,
            silhouette=mask_canvas(patch, (0, 0, place[2])),
        )
        return sight, None


class PoseLook:
    """Pose and mask by mediapipe in a crop around the track; people who hide each other are not looked at."""

    layout: str | None = LAYOUT

    def __init__(self, estimator: PoseEstimator) -> None:
        self._estimator = estimator
        self._seen_ns: dict[int, int] = {}

    def __call__(
        self, view: View, track: Track, found: int | None, others: list[Track]
    ) -> tuple[Sight | None, Box | None]:
        """See :class:`Look`."""
        self._seen_ns = {n: t for n, t in self._seen_ns.items() if view.t_ns - t <= RECENT_S * NS_PER_S}
        own = cornered(track.position)
        people = [cornered(other.position) for other in others if other.number in self._seen_ns]
        if any(_hide_each_other(own, other) for other in people):
            return None, None
        body = self._estimator.look(view.image, own)
        if body is None:
            return None, None
        self._seen_ns[track.number] = view.t_ns
        inside = mask_box(body.mask)
        assert inside is not None
        place = square(inside, CANVAS_MARGIN)
        scale = body.place[2] / CROP_PX
        corner = np.array([body.place[0], body.place[1]]) + np.array(place[:2]) * scale
        sight = Sight(
            t_ns=view.t_ns,
            centre=body.keypoints[HIPS, :2].mean(axis=0) - view.pan,
            height_px=body.box[3],
            scale_px=stature(body.keypoints),
            good=_whole(body.box, view.image.shape)
            and upright(body.keypoints)
            and feet_seen(body, FEET_GUESSED),
            clear=feet_seen(body, FEET_CLEAR),
            box=np.array([*corner, place[2] * scale, place[2] * scale], dtype=np.float64),
            silhouette=mask_canvas(body.mask, place),
            keypoints=body.keypoints,
        )
        return sight, _around(body.box, body.keypoints)


def _around(box: Box, keypoints: NDArray[np.float32]) -> Box:
    """The box around mask and keypoints: where the mask ends too soon, the next look still has the feet."""
    low = np.minimum(box[:2], keypoints[:, :2].min(axis=0))
    high = np.maximum(box[:2] + box[2:], keypoints[:, :2].max(axis=0))
    return np.concatenate([low, high - low])


def _layout(count: int) -> str:
    for name in ("coco17", "blazepose33"):
        if LAYOUT_JOINTS[name] == count:
            return name
    raise InputError(f"{count} keypoints are neither the 17 of coco17 nor the 33 of blazepose33")


def _owner(view: View) -> int | None:
    """The person whose box holds most of the frame's keypoints, and at least half of them."""
    if view.keypoints is None or not len(view.found.boxes):
        return None
    points, boxes = view.keypoints[None, :, :2], view.found.boxes[:, None]
    held = (
        ((points >= boxes[..., :2]) & (points <= boxes[..., :2] + boxes[..., 2:])).all(axis=-1).mean(axis=1)
    )
    best = int(held.argmax())
    return best if held[best] >= 0.5 else None


def _centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def _whole(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a body's box keeps clear of the border of an image of that shape."""
    clear = max(BORDER * box[3], 1.0)
    low, high = box[:2], np.array([shape[1], shape[0]]) - box[:2] - box[2:]
    return bool((low >= clear).all() and (high >= clear).all())


def _hide_each_other(a: Box, b: Box) -> bool:
    shared = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    return bool((shared > 0).all() and shared.prod() > OVERLAP * min(a[2] * a[3], b[2] * b[3]))

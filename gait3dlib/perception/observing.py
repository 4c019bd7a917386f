"""What perception tells whoever looks on: who is in view just now, and why no walk came of somebody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gait3dlib.types import NS_PER_S, Calibration

SEEN_S = 0.6  # of who was in view for less nothing is said
STILL_M = 0.7  # who came no further stood
ORDINARY_M = 1.7  # a body in an image of unknown scale
BRIEF_S = 0.9  # about a gait cycle


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in the frame that was looked at last.

    Args:
        xy: ``[2]`` metres on the floor of the world; NaN where only an image is known.
        height_m: of the crown above the floor; NaN where it is not known.
        points: float32 ``[n, 4]`` x, y, height above the floor, intensity; None without depth or LiDAR.
        joints: float32 ``[24, 3]`` metres in that world, NaN = not seen; None without keypoints.
        extent: ``[4]`` x, y, width, height around the person in the image, pixels; None without an image.
    """

    xy: NDArray[np.float64]
    height_m: float = float("nan")
    points: NDArray[np.float32] | None = field(default=None, repr=False)
    joints: NDArray[np.float32] | None = field(default=None, repr=False)
    extent: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Refusal:
    """Somebody was in view, but no walk came of it.

    Args:
        track: number of the person within the run.
        start_ns: when first seen.
        stop_ns: when last seen.
        reason: one sentence that says why and what to do.
    """

    track: int
    start_ns: int
    stop_ns: int
    reason: str


class Observer:
    """Is told by perception what it sees, and asked whether to hurry; does nothing. Make a subclass."""

    def behind(self) -> bool:
        """Whether newer frames wait already, so that this one goes without what costs most: keypoints."""
        return False

    def people(self, t_ns: int, people: Mapping[int, Seen], camera: Calibration | None = None) -> None:
        """Who is in view at a time, by number of the track; ``camera`` is placed in their world."""

    def refused(self, refusal: Refusal) -> None:
        """Somebody went, or stands, and no walk came of it."""


def why_no_walk(
    t_ns: NDArray[np.int64],
    way_m: float,
    *,
    cut: float = 0.0,
    hidden: float = 0.0,
    frames: int | None = None,
    fewest: int = 0,
) -> str | None:
    """Why nothing can be said of who was seen at these times; None where there is nothing to say.

    Args:
        t_ns: ``[T]`` when the person was seen.
        way_m: how far the person came, metres.
        cut: share of frames in which the image's border cut the body.
        hidden: share of frames in which something hid a part of it.
        frames: how many were usable.
        fewest: how many are needed.
    """
    seconds = float(t_ns[-1] - t_ns[0]) / NS_PER_S if len(t_ns) else 0.0
    if seconds < SEEN_S:
        return None
    if way_m < STILL_M:
        return f"standing: in {seconds:.1f} s the person came {way_m:.1f} m; walk past the sensor"
    if cut > 0.5 and cut >= hidden:
        return "cut by the border of the image most of the time; keep further away, or move the camera back"
    if hidden > 0.3:
        return "occluded: something or somebody hid the person most of the time; walk alone, in the open"
    if seconds < BRIEF_S:
        return f"too short: {seconds:.1f} s in view; a walk of at least one gait cycle, about 1 s, is needed"
    if frames is not None and frames < fewest:
        return f"too short: {frames} usable frames, and {fewest} are needed; walk past the sensor again"
    return "too short: no second of steady walking; walk past the sensor in one go, at your own pace"


class Glimpse(NamedTuple):
    """What is kept of a sight, to say in the end why no walk came."""

    t_ns: int
    centre: NDArray[np.float64]
    height_px: float
    scale_px: float
    good: bool


def why_in_images(seen: list[Glimpse]) -> str | None:
    """Why no walk came of somebody in images; lengths by a body of ordinary height."""
    height = float(np.median([sight.height_px for sight in seen]))
    across = np.linalg.norm(np.ptp(np.stack([sight.centre for sight in seen]), axis=0)) / height
    sizes = np.array([sight.scale_px for sight in seen])
    nearer = abs(np.log(sizes[-1] / sizes[0])) * 3.0  # who comes nearer grows
    t_ns = np.array([sight.t_ns for sight in seen])
    cut = float(np.mean([not sight.good for sight in seen]))
    return why_no_walk(t_ns, ORDINARY_M * float(across + nearer), cut=cut)

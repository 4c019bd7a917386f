"""What is good enough to be judged: a walk that is too short, too far away or hidden names nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gait3dlib.types import NS_PER_S, GaitSequence, Stream


@dataclass(frozen=True)
class Gate:
    """The least that a walk must have. Each limit can be switched off by 0 (``farthest_m``: infinity).

    Args:
        seconds: length of its longest stream; about one gait cycle.
        farthest_m: median distance from a depth camera; the error of stereo depth grows with its square.
        height_px: of a person in the image.
        present: share of the frames in between first and last in which the person was seen whole.
        points: of a person in a scan, on the middle frame.
    """

    seconds: float = 1.0
    farthest_m: float = 7.0
    height_px: float = 48.0
    present: float = 0.6
    points: int = 30

    def refuses(self, seq: GaitSequence) -> str:
        """Why a walk is not judged, in one sentence with what to do; empty where it is."""
        if (seconds := _seconds(seq)) < self.seconds:
            return f"too short: {seconds:.1f} s of walking, and {self.seconds:g} s are needed; walk further"
        if (away := _distance_m(seq)) > self.farthest_m:
            return (
                f"too far: {away:.1f} m from the camera, where depth is noise; "
                f"pass within {self.farthest_m:g} m"
            )
        if (tall := _height_px(seq)) < self.height_px:
            return f"too far: {tall:.0f} pixels tall, and {self.height_px:g} are needed; pass nearer"
        if (share := _present(seq)) < self.present:
            return (
                f"occluded: seen whole in {share:.0%} of the walk, and {self.present:.0%} are needed; "
                "walk in the open"
            )
        if (points := _points(seq)) < self.points:
            return f"too far: {points:.0f} points on the person, and {self.points} are needed; pass nearer"
        return ""


def _seconds(seq: GaitSequence) -> float:
    """Length of the longest stream; its last frame lasts a step, too."""
    found = [0.0]
    for stream in seq.streams.values():
        if len(stream) > 1:
            steps = np.diff(stream.t_ns)
            found.append(float(stream.t_ns[-1] - stream.t_ns[0] + np.median(steps)) / NS_PER_S)
    return max(found)


def _distance_m(seq: GaitSequence) -> float:
    """Median of the person's depth; 0 where there is none."""
    depth = seq.streams.get("depth")
    if depth is None or depth.data.ndim != 3:
        return 0.0
    some = depth.data[:: max(1, len(depth) // 8)]
    held = some[np.isfinite(some) & (some > 0)]
    if not held.size:
        return 0.0
    return float(np.median(held)) * (1e-3 if depth.units == "mm" else 1.0)


def _height_px(seq: GaitSequence) -> float:
    """Median height in the image of who fills a square box as far as silhouettes show; inf without boxes."""
    stream = seq.streams.get("silhouette")
    if stream is None or stream.boxes is None:
        return float("inf")
    share = [(frame > 0).any(axis=1).mean() for frame in stream.data]
    return float(np.median(stream.boxes[:, 3] * np.array(share)))


def _present(seq: GaitSequence) -> float:
    """Share of frames that are there, by the usual step, of the stream that has most of them."""
    return max((_regular(stream) for stream in seq.streams.values()), default=1.0)


def _regular(stream: Stream) -> float:
    if len(stream) < 3:
        return 1.0
    steps = np.diff(stream.t_ns)
    usual = float(np.percentile(steps, 25))
    return min(1.0, (len(stream) - 1) * usual / float(stream.t_ns[-1] - stream.t_ns[0]))


def _points(seq: GaitSequence) -> float:
    """Median number of points a frame, where a walk has nothing but points; else infinity."""
    if set(seq.streams) != {"points"}:
        return float("inf")
    offsets = seq.streams["points"].offsets
    return float("inf") if offsets is None else float(np.median(np.diff(offsets)))

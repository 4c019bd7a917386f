"""What may go wrong with one modality: noise, frames that are lost, something in front, another person.

A corruption changes streams, before anything is prepared, so that a model meets it as it would meet a bad
sensor. ``level`` is a share (of pixels, of frames, of the body) or, for noise in space, metres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.types import GaitSequence, Stream

Rng = np.random.Generator
Change = Callable[[str, Stream, float, Rng], Stream | None]

# kind -> the levels that are tried where none are named
LEVELS: Mapping[str, tuple[float, ...]] = {
    "missing": (0.25, 0.5, 0.75, 1.0),
    "noise": (0.02, 0.05, 0.1),
    "frames": (0.5, 0.8, 0.95),
    "occlusion": (0.25, 0.5, 0.75),
    "wrong_person": (1.0,),
}
IN_TOKENS = ("missing", "wrong_person")  # these need no encoding anew


def checked_sweeps(sweeps: Sequence[str] | Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Kinds and levels, by name.

    Raises:
        ConfigError: no such kind, or a level that is no share.
    """
    asked = sweeps if isinstance(sweeps, Mapping) else {kind: LEVELS.get(kind, ()) for kind in sweeps}
    for kind, levels in asked.items():
        if kind not in LEVELS:
            raise ConfigError(f"there is no corruption {kind!r}{did_you_mean(kind, LEVELS)}")
        if not levels or any(not 0 < level <= 1 for level in levels):
            raise ConfigError(f"{kind}: levels lie above 0 and at most at 1, not {list(levels)}")
    return {kind: tuple(float(level) for level in levels) for kind, levels in asked.items()}


def corrupted(
    seq: GaitSequence, kind: str, level: float, streams: Sequence[str], rng: Rng
) -> GaitSequence | None:
    """The walk with some of its streams made worse; a stream of which nothing is left is taken out.

    None where nothing is left of the walk.

    Raises:
        ConfigError: the kind is none that changes streams.
    """
    if kind not in _CHANGES:
        raise ConfigError(f"{kind!r} changes no stream{did_you_mean(kind, _CHANGES)}")
    held = dict(seq.streams)
    for name in streams:
        changed = _CHANGES[kind](name, held[name], level, rng)
        if changed is None:
            del held[name]
        else:
            held[name] = changed
    return dataclasses.replace(seq, streams=held) if held else None


def can_change(kind: str, stream: str) -> bool:
    """Whether a kind of corruption means anything for a stream."""
    return kind in (*IN_TOKENS, "frames") or (kind in _CHANGES and stream in _MEANT[kind])


def _noise(name: str, stream: Stream, level: float, rng: Rng) -> Stream:
    """A share of flipped pixels; else Gaussian: metres, or shares of the body's height in pixels."""
    data: NDArray[Any] = stream.data
    if name == "silhouette":
        flipped = rng.random(data.shape) < level
        return dataclasses.replace(stream, data=np.where(flipped, 255 - data, data).astype(np.uint8))
    if name == "keypoints":
        seen = data[..., 2] > 0
        y = np.where(seen, data[..., 1], np.nan)
        tall = np.nanmax(y) - np.nanmin(y) if seen.any() else 0.0
        moved = data.copy()
        moved[..., :2] += rng.normal(0, level * tall, data[..., :2].shape) * seen[..., None]
        return dataclasses.replace(stream, data=moved.astype(np.float32))
    if name == "depth":
        scale = 1000.0 if stream.units == "mm" else 1.0
        high = np.iinfo(np.uint16).max if data.dtype == np.uint16 else np.inf
        shaken = np.clip(data + rng.normal(0, level * scale, data.shape), 0, high)
        return dataclasses.replace(stream, data=np.where(data > 0, shaken, 0).astype(data.dtype))
    shaken = data + rng.normal(0, level, data.shape)
    if name == "points":  # the intensity stays
        shaken[:, 3:] = data[:, 3:]
    return dataclasses.replace(stream, data=shaken.astype(np.float32))


def _frames(name: str, stream: Stream, level: float, rng: Rng) -> Stream | None:
    """Every frame is lost with that probability."""
    kept = np.flatnonzero(rng.random(len(stream)) >= level)
    if not len(kept):
        return None
    pieces = [stream.frame(int(i)) for i in kept]
    boxes = None if stream.boxes is None else stream.boxes[kept]
    if stream.offsets is None:
        return dataclasses.replace(stream, data=np.stack(pieces), t_ns=stream.t_ns[kept], boxes=boxes)
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
    data = np.concatenate(pieces)
    return dataclasses.replace(stream, data=data, t_ns=stream.t_ns[kept], offsets=offsets, boxes=boxes)


def _occlusion(name: str, stream: Stream, level: float, rng: Rng) -> Stream:
    """Something stands in front of the lower part of the body, as a wall or a table would."""
    data = stream.data.copy()
    if name in ("silhouette", "depth"):
        rows = np.flatnonzero((data > 0).any(axis=(0, 2)))
        if len(rows):
            data[:, round(rows[-1] + 1 - level * (rows[-1] + 1 - rows[0])) :] = 0
        return dataclasses.replace(stream, data=data)
    if name == "keypoints":
        seen = data[..., 2] > 0
        if seen.any():
            y = data[..., 1]
            low, high = float(y[seen].min()), float(y[seen].max())
            data[(y > high - level * (high - low)) & seen] = 0.0  # not seen: place and score are 0
        return dataclasses.replace(stream, data=data)
    height = data[..., 2]
    if np.isnan(height).all():
        return stream
    low, high = float(np.nanmin(height)), float(np.nanmax(height))
    hidden = height < low + level * (high - low)
    if stream.offsets is None:  # joints
        data[hidden] = np.nan
        return dataclasses.replace(stream, data=data)
    counts = np.add.reduceat(np.append(~hidden, False).astype(np.int64), stream.offsets[:-1])
    counts[stream.offsets[1:] == stream.offsets[:-1]] = 0  # of an empty frame reduceat takes the next row
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return dataclasses.replace(stream, data=data[~hidden], offsets=offsets)


_CHANGES: Mapping[str, Change] = {"noise": _noise, "frames": _frames, "occlusion": _occlusion}
_MEANT: Mapping[str, frozenset[str]] = {
    "noise": frozenset({"silhouette", "keypoints", "depth", "points", "joints", "smpl", "force"}),
    "occlusion": frozenset({"silhouette", "keypoints", "depth", "points", "joints"}),
    "frames": frozenset(),
}

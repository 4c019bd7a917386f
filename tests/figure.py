"""A figure whose surface bulges, as a depth camera might see it: for tests of depth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.modalities import Sample
from gait3dlib.modalities._depth_frames import unpack
from gait3dlib.modalities.depth import Depth
from gait3dlib.types import GaitSequence, Stream

H, W = 96, 64
RNG = np.random.default_rng(4)


def figure(high: int = H, wide: int = W) -> NDArray[np.bool_]:
    """A body of a kind: head, trunk, two legs."""
    y, x = np.mgrid[:high, :wide]
    y, x = y / high, (x + 0.5) / wide - 0.5
    head = (y - 0.15) ** 2 + (x * 0.67) ** 2 < 0.06**2
    trunk = (y > 0.2) & (y < 0.55) & (np.abs(x) < 0.2)
    legs = (y >= 0.55) & (y < 0.95) & (np.abs(np.abs(x) - 0.12) < 0.07)
    return head | trunk | legs


def walk(units: str = "mm", frames: int = 5, **changes: float) -> GaitSequence:
    """A figure whose surface bulges and sways, 3 m away."""
    body = figure()
    y, x = np.mgrid[:H, :W] / np.array([H, W]).reshape(2, 1, 1)
    t = np.arange(frames)[:, None, None]
    bulge = 0.12 * np.cos(3 * (y - 0.5)) * np.cos(4 * (x - 0.5)) + 0.2 * np.sin(t + 7 * x) * (y > 0.6)
    metres = (3.0 - bulge + RNG.normal(0, 0.004, bulge.shape)) * body
    data = np.round(1000 * metres).astype(np.uint16) if units == "mm" else metres.astype(np.float32)
    t_ns = np.arange(frames, dtype=np.int64) * 33_333_333
    mask = np.repeat(np.where(body, 255, 0).astype(np.uint8)[None], frames, axis=0)
    return GaitSequence({"silhouette": Stream(mask, t_ns), "depth": Stream(data, t_ns, units)})


def changed(seq: GaitSequence, name: str = "depth", **fields: object) -> GaitSequence:
    stream = dataclasses.replace(seq.streams[name], **fields)  # type: ignore[arg-type]
    return GaitSequence({**seq.streams, name: stream})


def prepared(seq: GaitSequence) -> Sample:
    sample = Depth().sample(seq)
    assert sample is not None
    return sample


def parts(sample: Sample) -> tuple[NDArray[Any], ...]:
    return tuple(x.numpy()[:, 0] for x in unpack(torch.from_numpy(sample.frames), torch.float64))

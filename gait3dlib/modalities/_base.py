"""What every modality is: a sample on the CPU, a ragged batch, an encoder that gives tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib.recording import Truth
from gait3dlib.types import NS_PER_S, GaitSequence, Stream, StreamSpec

Frames = Literal["images", "points", "depth", "joints"]
"""What the frames of a modality are, for their augmentation."""


@dataclass(frozen=True)
class Sample:
    """One walk, prepared for one modality; plain numpy, so it travels between processes.

    frames uint8 or float32 ``[T, ...]``; t_s float32 ``[T]`` seconds from the walk's start;
    used: the names of the streams it was made from.
    """

    frames: NDArray[np.uint8] | NDArray[np.float32]
    t_s: NDArray[np.float32]
    used: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, index: NDArray[np.int64]) -> Sample:
        """The frames at ``index``, in that order."""
        return Sample(self.frames[index], self.t_s[index], self.used)


@dataclass(frozen=True)
class Batch:
    """Samples of several walks, padded; a walk without this modality has length 0.

    frames ``[b, T, ...]``; lengths int64 ``[b]``; t_s float32 ``[b, T]``. What lies past a length is never
    looked at.
    """

    frames: torch.Tensor
    lengths: torch.Tensor
    t_s: torch.Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def present(self) -> torch.Tensor:
        """bool ``[b]``: which walks have this modality."""
        return self.lengths > 0

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.frames.to(device), self.lengths.to(device), self.t_s.to(device))

    def real_frames(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All frames that exist, end to end ``[sum T, ...]``, and the walk each belongs to ``[sum T]``.

        Encoders work on these: padding cannot leak because it is not there.
        """
        steps = torch.arange(self.frames.shape[1], device=self.lengths.device)
        real = steps[None, :] < self.lengths[:, None]
        return self.frames[real], real.nonzero()[:, 0]


class Modality(ABC):
    """Reads streams of a walk, prepares them, encodes them.

    ``streams`` are the streams it needs, all of them; the first one is the one that :meth:`derive` can make
    from others. Constructor keywords are the modality's config schema (see :mod:`gait3dlib.config`); each is
    kept as an attribute of its name, and there is no other attribute: ``vars(modality)`` is its config.
    """

    streams: ClassVar[tuple[StreamSpec, ...]]
    derives_from: ClassVar[tuple[str, ...]] = ()  # what `derive` reads: an ablation credits these
    ordered: ClassVar[bool] = False  # the encoder looks along time: training draws frames in a row
    frames_are: ClassVar[Frames] = "images"  # how training augments them

    def derive(self, seq: GaitSequence) -> Stream | None:
        """Make the first stream from others, or None where that cannot be done."""
        return None

    def sample(self, seq: GaitSequence) -> Sample | None:
        """The prepared sample, or None when the walk holds no evidence for this modality."""
        main = self.streams[0].name
        if any(spec.name not in seq.streams for spec in self.streams[1:]):
            return None
        if main in seq.streams:
            return self.prepare(seq)
        derived = self.derive(seq)
        if derived is None:
            return None
        sample = self.prepare(GaitSequence({**seq.streams, main: derived}, seq.subject, seq.meta))
        if sample is None:
            return None
        origin = tuple(name for name in self.derives_from if name in seq.streams)
        used = dict.fromkeys(u for name in sample.used for u in (origin if name == main else (name,)))
        return Sample(sample.frames, sample.t_s, tuple(used))

    @abstractmethod
    def prepare(self, seq: GaitSequence) -> Sample | None:
        """CPU work, no learning: crop, normalise, draw maps. None when no frame is usable."""

    @abstractmethod
    def encoder(self, dim: int) -> nn.Module:
        """The network ``Batch -> Tokens`` with tokens of size ``dim``."""

    def supervisor(self) -> nn.Module | None:
        """What trains the encoder beside identity and is no part of it; None where nothing does.

        ``(encoder, batch, told [b, T, n], share of the steps done) -> (Tokens, named losses)``; ``told`` is
        what :meth:`told` says of each frame.
        """
        return None

    def told(self, seq: GaitSequence, t_s: NDArray[np.float32], truth: Truth) -> NDArray[np.float32] | None:
        """What a simulator knows of the frames of a sample at ``t_s``: ``[T, n]``, NaN = unknown.

        For :meth:`supervisor` alone; no sample holds it. None where nothing is known.
        """
        return None

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Pad to the longest; None = this walk lacks the modality.

        Raises:
            ValueError: every sample is None, so neither shape nor dtype is known.
        """
        known = next((s for s in samples if s is not None), None)
        if known is None:
            raise ValueError("a batch needs at least one walk that has the modality")
        longest = max(len(s) for s in samples if s is not None)
        shape = known.frames.shape[1:]
        frames = np.zeros((len(samples), longest, *shape), dtype=known.frames.dtype)
        t_s = np.full((len(samples), longest), np.nan, dtype=np.float32)
        lengths = np.zeros(len(samples), dtype=np.int64)
        for row, sample in enumerate(samples):
            if sample is not None:
                frames[row, : len(sample)] = sample.frames
                t_s[row, : len(sample)] = sample.t_s
                lengths[row] = len(sample)
        return Batch(torch.from_numpy(frames), torch.from_numpy(lengths), torch.from_numpy(t_s))


def seconds(seq: GaitSequence, stream: Stream) -> NDArray[np.float32]:
    """The stream's time stamps in seconds from the start of the walk, float32 ``[T]``."""
    return ((stream.t_ns - seq.start_ns) / NS_PER_S).astype(np.float32)

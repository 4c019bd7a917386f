"""Which walks and which frames make up a training batch; a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib.config import Count, Natural, Share
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.modalities import Sample

FrameDraw = Callable[[int, np.random.Generator], NDArray[np.int64]]


class PeopleSampler:
    """P people x K walks (Hermans et al., 2017): what a batch-all triplet loss needs.

    ``batch(step)`` depends on nothing but the seed and the step, so a resumed run sees the same batches.

    Args:
        subjects: the person of every walk.
        people: P, drawn without replacement.
        walks: K of each, without replacement where a person has enough.
        seed: of the whole run.

    Raises:
        InputError: fewer than two people, or fewer than P.
    """

    def __init__(self, subjects: Sequence[str], *, people: int, walks: int, seed: int = 0) -> None:
        names = sorted(set(subjects))
        if len(names) < max(people, 2):
            raise InputError(
                f"{len(names)} people in the training set, but a batch wants {max(people, 2)}; "
                "record or simulate more, or lower schedule.people"
            )
        self._of = [np.flatnonzero(np.array(subjects) == name) for name in names]
        self.people, self.walks, self.seed = people, walks, seed

    def batch(self, step: int) -> NDArray[np.int64]:
        """The indices of ``P * K`` walks, the K of one person side by side."""
        rng = np.random.default_rng([self.seed, 1, step])
        chosen = rng.choice(len(self._of), self.people, replace=False)
        return np.concatenate(
            [rng.choice(self._of[p], self.walks, replace=len(self._of[p]) < self.walks) for p in chosen]
        )


def draw_frames(sample: Sample, count: int, rng: np.random.Generator, *, ordered: bool = False) -> Sample:
    """``count`` frames in order of time, all of them where there are no more; ordered: frames in a row."""
    return sample.take(some_frames(count, len(sample), rng, ordered=ordered))


def some_frames(
    count: int, length: int, rng: np.random.Generator, *, ordered: bool = False
) -> NDArray[np.int64]:
    """Indices of ``count`` frames of ``length`` as :func:`draw_frames` takes them."""
    if length <= count:
        return np.arange(length)
    if ordered:
        return int(rng.integers(length - count + 1)) + np.arange(count)
    return np.sort(rng.choice(length, count, replace=False))


class FrameSampler:
    """Which frames of a walk a training step sees.

    "ordered" (OpenGait): a window of ``frames + skip`` frames in a row at a random place, the walk repeated
    end to end where it is shorter; from it ``frames`` without replacement, in their order. So the steps
    between frames vary a little, as they do between cameras. "unordered" (OpenGait): any ``frames``, with
    replacement only where the walk has fewer. "snippet" (GaitSnippet, Hou et al., ICLR 2026): the walk is cut
    into segments of ``segment`` frames, the first boundary at random; from ``snippets`` of them, in their
    order, ``frames / snippets`` each, sorted, with replacement only where a segment has fewer. "tracklet"
    (TrackletGait, IEEE TMM): a length is drawn, and as many runs of so many frames in a row, at random
    places, as ``frames`` holds; the walk is repeated where it is shorter than a run.

    Args:
        frames: how many, or the most of them.
        order: see above.
        skip: frames of the window that are left out; only for the ordered draw.
        at_least: draw a number from ``at_least`` to ``frames`` for every walk; ordered or unordered.
        segment: frames of a segment, for "snippet".
        snippets: how many segments, for "snippet"; with replacement only where a walk has fewer.
        lengths: of the runs, for "tracklet"; each divides ``frames``.
        shares: how often each length is drawn.

    Raises:
        ConfigError: settings that contradict each other.
    """

    def __init__(
        self,
        frames: Count = 30,
        *,
        order: Literal["ordered", "unordered", "snippet", "tracklet"] = "unordered",
        skip: Natural = 0,
        at_least: Count | None = None,
        segment: Count = 16,
        snippets: Count = 4,
        lengths: Sequence[Count] = (8, 16, 32),
        shares: Sequence[Share] = (0.2, 0.3, 0.5),
    ) -> None:
        if order not in ("ordered", "unordered", "snippet", "tracklet"):
            raise ConfigError(
                f"order: must be 'ordered', 'unordered', 'snippet' or 'tracklet', not {order!r}"
            )
        if skip and order != "ordered":
            raise ConfigError("skip: frames are only skipped where they are ordered; use order: ordered")
        if at_least is not None and (at_least > frames or order in ("snippet", "tracklet")):
            raise ConfigError(f"at_least: must be at most frames, {frames}, not {at_least}; not of {order!r}")
        if order == "snippet" and frames % snippets:
            raise ConfigError(f"snippets: {snippets} of them cannot share {frames} frames evenly")
        if order == "tracklet" and any(frames % length for length in lengths):
            raise ConfigError(f"lengths: each must divide {frames} frames, not {list(lengths)}")
        if order == "tracklet" and (len(shares) != len(lengths) or abs(sum(shares) - 1) > 1e-6):
            raise ConfigError(f"shares: one for each of {len(lengths)} lengths, and 1 in all")
        self.frames, self.order, self.skip, self.at_least = frames, order, skip, at_least
        self.segment, self.snippets = segment, snippets
        self.lengths, self.shares = list(lengths), list(shares)

    def __call__(self, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices into a walk of ``length`` frames.

        Raises:
            InputError: the walk has no frame.
        """
        if length < 1:
            raise InputError("a walk without a frame cannot be sampled; leave it out")
        if self.order == "snippet":
            return self._snippets(length, rng)
        if self.order == "tracklet":
            return self._tracklets(length, rng)
        count = self.frames if self.at_least is None else int(rng.integers(self.at_least, self.frames + 1))
        if self.order == "unordered":
            return rng.choice(length, count, replace=length < count)
        window = count + self.skip
        start = int(rng.integers(_repeated(length, window) - window + 1))
        return (start + np.sort(rng.choice(window, count, replace=False))) % length

    def _snippets(self, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        first = int(rng.integers(1, self.segment + 1))
        edges = np.unique([0, *range(first, length, self.segment), length])
        some = rng.choice(len(edges) - 1, self.snippets, replace=len(edges) - 1 < self.snippets)
        each, drawn = self.frames // self.snippets, []
        for place in np.sort(some):
            start, stop = edges[place], edges[place + 1]
            drawn.append(start + np.sort(rng.choice(stop - start, each, replace=stop - start < each)))
        return np.concatenate(drawn)

    def _tracklets(self, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
        run = int(rng.choice(self.lengths, p=np.array(self.shares) / sum(self.shares)))
        starts = rng.integers(_repeated(length, run) - run + 1, size=self.frames // run)
        return (starts[:, None] + np.arange(run)).reshape(-1) % length


def _repeated(length: int, window: int) -> int:
    """How many frames a walk has, repeated end to end until a window fits."""
    return length * -(-window // length) if length < window else length


def all_frames(length: int, most: int = 720) -> NDArray[np.int64]:
    """The frames that a test sees: all in order, at most the first ``most``."""
    return np.arange(min(length, most))

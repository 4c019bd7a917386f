"""One walk, measured: every figure and curve with how much it varies and how well it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.dynamics._filter import low_pass, scaled_cutoff
from gait3dlib.dynamics._joints import stature
from gait3dlib.errors import Gait3DError, InputError
from gait3dlib.fitting import fit_body
from gait3dlib.modalities._forces import Motion, even_motion, sampled
from gait3dlib.modalities.force import Force
from gait3dlib.report._gait_cycles import F64, Strides, read_strides
from gait3dlib.types import NS_PER_S, GaitSequence, Stream

REPEATS = 8
TREMBLING_M = (
    0.004  # joints that tremble more are smoothed at 3 Hz: twice differentiated they say nothing else
)
TREMBLING_CUTOFF_HZ = 3.0
FIT_M = 0.010  # joints that tremble more are read through a body that is fitted to them
JOINTS = "joints"
SMOOTHING = 0.35  # natural logarithm of the most by which a repetition changes the cut-off
LEAST_S = 1.0  # no whole stride fits into less
NO_STRIDE = (
    "no whole stride was seen (a heel strike to the next of the same foot); record 3 s or more of walking in "
    "which the feet are in view"
)
LEGS = [1, 2, 4, 5, 7, 8, 10, 11]


@dataclass(frozen=True)
class Value:
    """A figure of one side or of both.

    Attributes:
        mean: over strides.
        spread: standard deviation from stride to stride; NaN where there was one stride.
        strides: how many.
        measurement: standard deviation of the mean when the walk is measured again, see :func:`measure`.
    """

    mean: float
    spread: float
    strides: int
    measurement: float

    @property
    def sd(self) -> float:
        """Standard uncertainty of the mean: of so many strides, and of the measurement."""
        sampling = 0.0 if math.isnan(self.spread) else self.spread / math.sqrt(self.strides)
        return math.hypot(sampling, self.measurement)


@dataclass(frozen=True, eq=False)
class Curve:
    """A mean curve ``[51]``, its spread from stride to stride and its measurement's, both ``[51]``."""

    mean: F64
    spread: F64
    measurement: F64

    @property
    def sd(self) -> F64:
        """What both leave open of a stride."""
        return np.hypot(np.nan_to_num(self.spread), self.measurement)


@dataclass(frozen=True, eq=False)
class GaitWalk:
    """What a report shows of one walk; made by :func:`measure_walk`.

    Attributes:
        title: of its section.
        source: the stream it was read from.
        seconds, fps: of the part in which both legs were known.
        trembling_m: standard deviation of the fast errors of the joints, along each axis; of those that the
            body was fitted to, where there are any.
        cutoff_hz: of the low-pass.
        strides: what was read off.
        again: the same of every repeated measurement.
    """

    title: str
    source: str
    seconds: float
    fps: float
    trembling_m: float
    cutoff_hz: float
    strides: Strides
    again: tuple[Strides, ...]

    def value(self, name: str, foot: int | None = None) -> Value | None:
        """A figure of one foot (0 left, 1 right) or of both; None where no stride tells it."""
        rows = _rows(self.strides, foot) & np.isfinite(self.strides.figures[name])
        if not rows.any():
            return None
        values = self.strides.figures[name][rows]
        spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        means = [_mean(s.figures[name][_rows(s, foot)]) for s in self.again]
        return Value(float(values.mean()), spread, len(values), _scatter(means))

    def asymmetry(self, name: str) -> Value | None:
        """Left minus right in % of their mean; None where a side is missing."""
        left, right = self.value(name, 0), self.value(name, 1)
        if left is None or right is None:
            return None
        means = [[_mean(s.figures[name][_rows(s, foot)]) for foot in (0, 1)] for s in self.again]
        level = (left.mean + right.mean) / 2
        spread = math.hypot(left.spread, right.spread) / level * 100
        count = min(left.strides, right.strides)
        measured = _scatter([200 * (a - b) / (a + b) for a, b in means])
        return Value(100 * (left.mean - right.mean) / level, spread, count, measured)

    def curve(self, name: str, foot: int) -> Curve | None:
        """A curve of one leg; None where it made no whole stride."""
        rows = _rows(self.strides, foot)
        if not rows.any():
            return None
        curves = self.strides.curves[name][rows]
        spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.full(curves.shape[1], np.nan)
        again = [s.curves[name][_rows(s, foot)] for s in self.again]
        means = np.array([found.mean(axis=0) for found in again if len(found)])
        measured = means.std(axis=0, ddof=1) if len(means) > 1 else np.full(curves.shape[1], np.nan)
        return Curve(curves.mean(axis=0), spread, np.nan_to_num(measured))


def measure_walk(seq: GaitSequence, title: str = "Walk", *, seed: int = 0) -> GaitWalk:
    """Read the strides of a walk, and measure it :data:`REPEATS` times more to see how well they are known.

    Read are the joints of its `smpl` stream (``gait3d derive --stream smpl``), or its `joints`; or those of a
    body that is fitted here, where joints lack the legs or tremble by more than 10 mm. Every repetition
    shifts the sampling by a part of a frame, adds the joints' own trembling once more, and smooths by up to a
    third more or less. What errs for a whole walk (a joint taken to lie too deep) is not seen that way.

    Raises:
        InputError: no whole stride in which both legs are known, or no person's size.
        NoEvidence: nothing that a body could be fitted to.
    """
    motion, source, error = _motion(seq)
    height = seq.meta.labels.height_m if seq.meta.labels else None
    usual = scaled_cutoff(stature(motion.joints) if height is None else height)
    cutoff = TREMBLING_CUTOFF_HZ if _trembling(motion) > TREMBLING_M else usual
    strides = read_strides(motion.joints, motion.fps, height, cutoff_hz=cutoff)
    if not len(strides):
        raise InputError(NO_STRIDE)
    rng = np.random.default_rng(seed)
    again = []
    for _ in range(REPEATS):
        try:
            shifted = _again(motion, error, rng, smooth=source != JOINTS)
            other = cutoff * math.exp(rng.uniform(-SMOOTHING, SMOOTHING))
            again.append(read_strides(shifted.joints, shifted.fps, height, cutoff_hz=other))
        except Gait3DError:
            continue  # a repetition that cannot be read is none
    seconds = float(motion.t_ns[-1] - motion.t_ns[0]) / NS_PER_S
    return GaitWalk(title, source, seconds, motion.fps, error, cutoff, strides, tuple(again))


def _motion(seq: GaitSequence) -> tuple[Motion, str, float]:
    """The joints to read, where they are from, and the error of what they are from along each axis."""
    if seq.duration_s < LEAST_S:
        raise InputError(NO_STRIDE)
    joints = seq.streams.get("joints")
    given = None if joints is None else even_motion(joints)
    trembling = math.nan if given is None else _trembling(given)
    body = Force().derive(seq)
    if body is None and given is not None and trembling <= FIT_M:
        return given, JOINTS, trembling
    source = "a fitted body (smpl)"
    if body is None:
        fit = fit_body(seq)
        body, source = Stream(fit.joints, fit.stream.t_ns, "m"), f"a body fitted to {', '.join(fit.evidence)}"
    motion = even_motion(body)
    if motion is None:
        raise InputError("the walk is too short to find a stride in; record 3 s or more")
    return motion, source, _trembling(motion) if math.isnan(trembling) else trembling


def _trembling(motion: Motion) -> float:
    """Standard deviation of the legs' errors along each axis: what is faster than the cut-off, as white."""
    legs = torch.from_numpy(motion.joints[:, LEGS])
    cutoff_hz = scaled_cutoff(stature(motion.joints))
    share = 1 - 2 * cutoff_hz / motion.fps
    if share < 0.1:
        return 0.0
    rest = legs - low_pass(legs, motion.fps, cutoff_hz)[0]
    return float(rest.square().mean().sqrt()) / math.sqrt(share)


def _again(motion: Motion, error_m: float, rng: np.random.Generator, *, smooth: bool) -> Motion:
    """Another measurement; a fitted body errs slowly, and at worst as much as its evidence when smoothed."""
    step = (motion.t_ns[-1] - motion.t_ns[0]) / (len(motion.t_ns) - 1)
    times = motion.t_ns[:-1] + rng.random() * step
    joints = sampled(times, motion.t_ns, motion.joints)
    errors = rng.normal(0, max(error_m, 1e-9), joints.shape)
    if smooth:
        errors = low_pass(torch.from_numpy(errors), motion.fps, TREMBLING_CUTOFF_HZ)[0].numpy()
    return Motion(joints + errors, times)


def _rows(strides: Strides, foot: int | None) -> NDArray[np.bool_]:
    return np.ones(len(strides), bool) if foot is None else strides.of(foot)


def _mean(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _scatter(means: list[float]) -> float:
    known = np.array([mean for mean in means if math.isfinite(mean)])
    return float(known.std(ddof=1)) if len(known) > 1 else math.nan

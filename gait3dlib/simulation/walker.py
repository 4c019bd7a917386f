"""People who do not exist: a body, labels and a manner of walking, drawn from published norms.

Heights: NCD-RisC (eLife 5, 2016) for adults, CDC growth charts (2000) for children. Body-mass index: NHANES
2015-2018 medians for adults (log-normal spread), CDC charts for children. Movement is set by hand
(:mod:`gait3dlib.simulation.style`) or drawn from a prior of real gait (:mod:`gait3dlib.simulation.manner`).
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import Body, BodyShape, ShapedBody
from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.simulation.cycles import prior_cycle
from gait3dlib.simulation.manner import Manner, comfortable, sample_manner
from gait3dlib.simulation.motion import Cycle, walking_cycle
from gait3dlib.simulation.posture import about
from gait3dlib.simulation.style import GaitStyle, norm_walk_ratio, sample_style
from gait3dlib.types import Gender, Labels

MotionSource = Literal["style", "prior"]
MOTIONS: tuple[str, ...] = get_args(MotionSource)
"""Where the movement of a population comes from: set by hand, or learnt from real walks."""

MIN_AGE, MAX_AGE = 6.0, 85.0
CHILD_SHARE = 0.1

# years -> metres, medians
CHILD_AGES = (6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0)
CHILD_HEIGHT_M: dict[Gender, tuple[float, ...]] = {
    "male": (1.155, 1.280, 1.388, 1.490, 1.640, 1.735, 1.760),
    "female": (1.150, 1.278, 1.382, 1.515, 1.605, 1.625, 1.630),
}
CHILD_BMI = (15.4, 15.9, 16.8, 18.0, 19.3, 20.6, 21.8)
ADULT_HEIGHT_M: dict[Gender, tuple[float, float]] = {"male": (1.760, 0.072), "female": (1.630, 0.065)}
ADULT_AGES = (18.0, 30.0, 45.0, 60.0, 75.0, 85.0)
ADULT_BMI: dict[Gender, tuple[float, ...]] = {
    "male": (23.0, 25.8, 27.0, 27.3, 26.8, 25.8),
    "female": (22.6, 25.0, 26.4, 27.0, 26.6, 25.4),
}
REACHED_BMI: dict[Gender, tuple[float, float]] = {"male": (17.0, 39.0), "female": (16.0, 33.0)}

HEAD_SWAY_DEG = 1.5
STRIDE_TIME_CV = 0.02  # of successive strides of one walk (Hausdorff, J Neuroeng Rehabil 2, 2005: 1 to 3 %)


@dataclass(frozen=True)
class Motion:
    """Some seconds of one walk.

    Attributes:
        t_s: ``[T]`` seconds.
        phase: ``[T]`` cycles since the left heel strike.
        rotations: ``[T, 24, 3, 3]``, local.
        translation: ``[T, 3]``; the walk goes along +x and passes x = 0 half way in time.
        cycle: the solved stride.
        style: of this walk.
    """

    t_s: NDArray[np.float64]
    phase: NDArray[np.float64]
    rotations: NDArray[np.float64]
    translation: NDArray[np.float64]
    cycle: Cycle
    style: GaitStyle | Manner


@dataclass(frozen=True)
class Walker:
    """A simulated person."""

    subject: str
    labels: Labels
    shape: BodyShape
    style: GaitStyle | Manner

    def body(self, detail: Literal["full", "low"] = "low") -> ShapedBody:
        """The person's body; solved once and kept."""
        return _shaped(self.shape, detail)

    @property
    def speed_m_s(self) -> float:
        """Comfortable speed."""
        if isinstance(self.style, Manner):
            return comfortable(self.style, self.shape.age_years, self.shape.gender, self.shape.height_m)[1]
        return self.style.speed_m_s

    def rng(self, *seeds: int) -> np.random.Generator:
        """Random numbers of this person: other persons get other ones from the same seeds."""
        return np.random.default_rng([zlib.crc32(self.subject.encode()), *seeds])

    def walk(self, *, seed: int, speed: float = 1.0, fps: float = 30.0, seconds: float = 2.0) -> Motion:
        """One walk; another seed is another day.

        Args:
            seed: draws the day's variation of the style, the phase of the first frame and the unsteadiness.
            speed: multiple of the person's comfortable speed.
            fps: frames a second.
            seconds: length.

        Raises:
            InputError: no time, no frames, or a speed outside 0.5 to 1.6.
        """
        if not 0.5 <= speed <= 1.6:
            raise InputError(f"speed must be 0.5 to 1.6 times the comfortable one, not {speed:g}")
        frames = frame_count(fps, seconds)
        rng = self.rng(1, seed)
        style = self.style.vary(rng)
        cycle = self._cycle(style, speed)
        t_s = np.arange(frames) / fps
        unsteady = _drift(rng, t_s, STRIDE_TIME_CV * 0.25)
        phase = rng.random() + t_s / cycle.stride_s + unsteady
        rotations, translation = cycle.at(phase)
        _look_around(rotations, rng, t_s)
        translation[:, 0] -= np.interp(seconds / 2, t_s, translation[:, 0])
        return Motion(t_s, phase, rotations, translation, cycle, style)

    def _cycle(self, style: GaitStyle | Manner, speed: float) -> Cycle:
        shape = self.shape
        if isinstance(style, Manner):
            ratio, speed_m_s = comfortable(style, shape.age_years, shape.gender, shape.height_m)
            return prior_cycle(self.body(), style, walk_ratio=ratio, speed_m_s=speed_m_s * speed)
        norm = norm_walk_ratio(shape.age_years, shape.gender, shape.height_m)
        return walking_cycle(
            self.body(), style, walk_ratio=style.walk_ratio * norm, speed_m_s=style.speed_m_s * speed
        )


def frame_count(fps: float, seconds: float) -> int:
    """Frames of a walk.

    Raises:
        InputError: fewer than two, more than an hour, or numbers that are none.
    """
    frames = round(fps * seconds) if 0 < fps <= 1000 and 0 < seconds <= 3600 else 0
    if frames < 2:
        raise InputError(f"{seconds:g} s at {fps:g} frames a second is not a walk; ask for 2 frames or more")
    return frames


def sample_walker(seed: int, index: int, motion: MotionSource = "style") -> Walker:
    """The ``index``-th person of the population ``seed``; the same numbers give the same person.

    Where the body cannot have the drawn body-mass index, that is drawn towards 21 until it can, so the
    labels are always true of the body. Populations of both motions have the same bodies; with "prior" who
    somebody is in movement comes from real walks (:func:`gait3dlib.simulation.manner.sample_manner`).

    Raises:
        InputError: no such motion.
    """
    if motion not in MOTIONS:
        raise InputError(f"no motion {motion!r}{did_you_mean(motion, MOTIONS)}")
    rng = np.random.default_rng([seed, index])
    gender: Gender = "female" if rng.random() < 0.5 else "male"
    age = rng.uniform(MIN_AGE, 18.0) if rng.random() < CHILD_SHARE else rng.uniform(18.0, MAX_AGE)
    age = round(float(age), 1)
    height = round(_draw_height(rng, age, gender), 3)
    bmi = _draw_bmi(rng, age, gender)
    muscle = float(np.clip(rng.normal(0.5 if gender == "male" else 0.45, 0.17), 0.05, 0.95))
    proportions = float(np.clip(rng.normal(0.5, 0.22), 0.0, 1.0))
    shape = _reachable(BodyShape(age, gender, height, bmi * height**2, muscle, proportions))
    bmi = shape.mass_kg / height**2
    draw = sample_manner if motion == "prior" else sample_style
    style = draw(rng, age_years=age, gender=gender, height_m=height, bmi=bmi)
    labels = Labels(age, gender, height, shape.mass_kg)
    return Walker(subject_name(seed, index, motion), labels, shape, style)


def subject_name(seed: int, index: int, motion: MotionSource = "style") -> str:
    """The pseudonym of the ``index``-th person of a population."""
    return f"{'p' if motion == 'prior' else 's'}{seed}-{index:05d}"


def _draw_height(rng: np.random.Generator, age: float, gender: Gender) -> float:
    normal = float(np.clip(rng.standard_normal(), -2.5, 2.5))
    if age < 18.0:
        return float(np.interp(age, CHILD_AGES, CHILD_HEIGHT_M[gender])) * (1.0 + 0.043 * normal)
    mean, sd = ADULT_HEIGHT_M[gender]
    # older people are shorter: born earlier, and shrunk (Sorkin, Am J Epidemiol 150, 1999)
    return mean + sd * normal - 0.0012 * max(0.0, age - 45.0)


def _draw_bmi(rng: np.random.Generator, age: float, gender: Gender) -> float:
    normal = float(np.clip(rng.standard_normal(), -2.5, 2.5))
    if age < 18.0:
        return float(np.interp(age, CHILD_AGES, CHILD_BMI) * np.exp(0.11 * normal))
    drawn = float(np.interp(age, ADULT_AGES, ADULT_BMI[gender])) * float(np.exp(0.15 * normal))
    low, high = REACHED_BMI[gender]
    return min(max(drawn, low), high)


def _reachable(shape: BodyShape) -> BodyShape:
    for _ in range(20):
        try:
            _shaped(shape, "low")
        except InputError:
            middle = shape.height_m**2 * (21.0 if shape.age_years >= 16 else 16.5)
            shape = dataclasses.replace(shape, mass_kg=shape.mass_kg + 0.15 * (middle - shape.mass_kg))
            continue
        return shape
    raise InputError(f"no body of {shape.age_years:g} years and {shape.height_m:.2f} m could be made")


@lru_cache(maxsize=64)
def _shaped(shape: BodyShape, detail: Literal["full", "low"]) -> ShapedBody:
    return Body.load(detail).shape(shape)


def _drift(rng: np.random.Generator, t_s: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Slow smooth noise ``[T]`` of the given standard deviation."""
    hertz = rng.uniform(0.15, 0.9, 4)
    start = rng.uniform(0.0, 2 * np.pi, 4)
    return size * np.sqrt(0.5) * np.sin(2 * np.pi * hertz * t_s[:, None] + start).sum(axis=1)  # type: ignore[no-any-return]


def _look_around(rotations: NDArray[np.float64], rng: np.random.Generator, t_s: NDArray[np.float64]) -> None:
    for joint in (12, 15):
        for axis, size in ((2, HEAD_SWAY_DEG), (1, HEAD_SWAY_DEG / 2)):
            rotations[:, joint] = rotations[:, joint] @ about(axis, _drift(rng, t_s, size))

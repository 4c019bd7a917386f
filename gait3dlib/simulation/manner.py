"""The identity in movement, version 2: a person of the gait prior, and knobs that have names.

Who somebody is in movement is drawn from the prior (:mod:`gait3dlib.simulation.prior`) and knows nothing of
labels. Age, sex, height and build come in through published norms alone, with their published spread:

* speed and walk ratio, and so cadence and step length: :mod:`gait3dlib.simulation.style` names the sources;
* step width, toe-out, arms held away from the trunk, stoop, arm swing of the old: the same sources.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.simulation.prior import GaitPrior
from gait3dlib.simulation.style import TIMING_WITHIN, norm_speed_m_s, norm_walk_ratio
from gait3dlib.types import Gender

SPEED_CV = 0.11  # of comfortable speed between people of one age and sex (Bohannon 1997: 0.07 to 0.17)
WALK_RATIO_CV = 0.07  # (Sekiya and Nagasaki 1998)
KNOB_WITHIN = 0.25  # spread between one person's walks over the spread between people, for the knobs


@dataclass(frozen=True)
class Manner:
    """How one person walks.

    Attributes:
        person: standard normal numbers, one a direction of the prior.
        cadence: multiple of the norm for age, sex and height.
        stride: step length, multiple of the norm.
        step_width_m: between the ankles.
        arm_swing: gain of the prior's swing.
        asymmetry: left minus right leg, share of the amplitude; the arms mirror it.
        trunk_sway: gain of the trunk's motion over the pelvis.
        pelvis_obliquity: gain of the pelvis' rise and fall at its sides.
        push_off: cycles by which the ankles push off later.
        toe_out: degrees, added to the person's own.
        trunk_lean: degrees forward, added.
        kyphosis: degrees of stoop, added.
        arm_abduction: degrees by which the arms are held away from the trunk, added.
    """

    person: tuple[float, ...]
    cadence: float = 1.0
    stride: float = 1.0
    step_width_m: float = 0.09
    arm_swing: float = 1.0
    asymmetry: float = 0.0
    trunk_sway: float = 1.0
    pelvis_obliquity: float = 1.0
    push_off: float = 0.0
    toe_out: float = 0.0
    trunk_lean: float = 0.0
    kyphosis: float = 0.0
    arm_abduction: float = 0.0

    def vary(self, rng: np.random.Generator, prior: GaitPrior | None = None) -> Manner:
        """The same person on another day: the person's numbers and the knobs, moved a little."""
        prior = prior or GaitPrior.load()
        person = np.array(self.person) + prior.within * rng.standard_normal(len(self.person))
        step = dict(zip(KNOBS, rng.standard_normal(len(KNOBS)), strict=True))
        moved = {name: getattr(self, name) + KNOB_WITHIN * KNOBS[name] * step[name] for name in KNOBS}
        timing = np.exp(TIMING_WITHIN / np.sqrt(2.0) * rng.standard_normal(2))
        moved["cadence"], moved["stride"] = self.cadence * timing[0], self.stride * timing[1]
        return _bounded(dataclasses.replace(self, person=tuple(person.tolist()), **moved))

    def vector(self) -> NDArray[np.float64]:
        """All numbers: the person's, then cadence, stride and the knobs in the order of ``KNOBS``."""
        knobs = [getattr(self, name) for name in ("cadence", "stride", *KNOBS)]
        return np.array([*self.person, *knobs], dtype=np.float64)

    def walk_ratio(self, norm: float) -> float:
        """Step length over cadence, given its norm."""
        return norm * self.stride / self.cadence

    def speed_m_s(self, norm: float) -> float:
        """Comfortable speed, given its norm."""
        return norm * self.stride * self.cadence


# spread of each knob between people; what the prior's directions hold already is not counted twice
KNOBS: dict[str, float] = {
    "step_width_m": 0.02,
    "arm_swing": 0.15,
    "asymmetry": 0.02,
    "trunk_sway": 0.12,
    "pelvis_obliquity": 0.1,
    "push_off": 0.005,
    "toe_out": 2.0,
    "trunk_lean": 0.8,
    "kyphosis": 2.0,
    "arm_abduction": 1.0,
}

_BOUNDS: dict[str, tuple[float, float]] = {
    "cadence": (0.6, 1.5),
    "stride": (0.5, 1.5),
    "step_width_m": (0.02, 0.3),
    "arm_swing": (0.2, 2.0),
    "trunk_sway": (0.2, 2.5),
    "pelvis_obliquity": (0.2, 2.0),
    "asymmetry": (-0.3, 0.3),
}


def sample_manner(
    rng: np.random.Generator,
    *,
    age_years: float,
    gender: Gender,
    height_m: float,
    bmi: float,
    prior: GaitPrior | None = None,
) -> Manner:
    """A person's manner: their own numbers, and the norms for the labels.

    Args:
        rng: draws the same numbers whatever the labels are.
        age_years: years.
        gender: "female" or "male".
        height_m: metres.
        bmi: body-mass index in kg/m^2.
        prior: the shipped one by default.
    """
    prior = prior or GaitPrior.load()
    person = rng.standard_normal(prior.rank).clip(-2.5, 2.5)
    own = dict(zip(KNOBS, rng.standard_normal(len(KNOBS)).clip(-2.5, 2.5), strict=True))
    speed, ratio = rng.standard_normal(2).clip(-2.5, 2.5) * (SPEED_CV, WALK_RATIO_CV)
    old = max(0.0, age_years - 60.0) / 20.0
    heavy = (bmi - 24.0) / 10.0 if age_years >= 18 else 0.0
    woman = 1.0 if gender == "female" else 0.0
    slow = 1.0 - 0.05 * max(heavy, 0.0)
    norms = {
        "step_width_m": 0.09 * height_m / 1.7 + 0.035 * heavy + 0.012 * old - 0.008 * woman,
        "arm_swing": 1.0 - 0.12 * old,
        "trunk_sway": 1.0 - 0.1 * (2 * woman - 1) + 0.3 * max(heavy, 0.0),
        "pelvis_obliquity": 1.0 + 0.15 * (2 * woman - 1) - 0.1 * old,
        "toe_out": 2.5 * heavy + 1.5 * old - woman,
        "trunk_lean": 3.0 * old - 1.0 * max(heavy, 0.0),
        "kyphosis": 0.18 * max(0.0, age_years - 35.0),
        "arm_abduction": 4.5 * heavy,
    }
    knobs = {name: norms.get(name, 0.0) + KNOBS[name] * own[name] for name in KNOBS}
    drawn = Manner(
        tuple(person.tolist()),
        cadence=float(np.exp((speed - ratio) / 2)) * slow**0.5,
        stride=float(np.exp((speed + ratio) / 2)) * slow**0.5,
        **knobs,
    )
    return _bounded(drawn)


def comfortable(manner: Manner, age_years: float, gender: Gender, height_m: float) -> tuple[float, float]:
    """Walk ratio (metres per step a minute) and speed (m/s) at which the person likes to walk."""
    ratio = manner.walk_ratio(norm_walk_ratio(age_years, gender, height_m))
    return ratio, manner.speed_m_s(norm_speed_m_s(age_years, gender, height_m))


def _bounded(manner: Manner) -> Manner:
    knobs = {name: getattr(manner, name) for name in ("cadence", "stride", *KNOBS)}
    for name, (low, high) in _BOUNDS.items():
        knobs[name] = float(np.clip(knobs[name], low, high))
    return Manner(manner.person, **knobs)

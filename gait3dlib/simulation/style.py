"""The identity in movement: what one person's walk has that the average walk has not.

Means and spreads by age, sex and build follow published norms:

* comfortable speed by decade and sex: Bohannon, Age and Ageing 26 (1997);
* cadence and step length of women and men: Oberg, Karsznia and Oberg, J Rehabil Res Dev 30 (1993);
* people past 70 (shorter steps, wider base): Hollman, McDade and Petersen, Gait Posture 34 (2011);
* children: Sutherland, Olshen, Cooper and Woo, J Bone Joint Surg 62-A (1980), scaled by Froude's law
  (speed and cadence with the square root of height) between the tabled ages;
* step length over cadence (walk ratio) independent of speed: Sekiya and Nagasaki, Gait Posture 8 (1998);
* wider base, more toe-out and abducted arms with body mass: Spyropoulos et al., Arch Phys Med Rehabil 72
  (1991); Messier et al., Arch Phys Med Rehabil 75 (1994);
* more pelvic obliquity and less lateral sway in women: Smith, Lelas and Kerrigan, J Women's Health 11 (2002);
* thoracic kyphosis with age: Fon, Pitt and Thies, Am J Roentgenol 134 (1980).

The other spreads (posture, gains, lags) are set by hand to the size that such studies report as standard
deviations between healthy adults. Nothing but these norms ties a style to the labels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gait3dlib.types import Gender

WITHIN_BETWEEN = 0.25  # spread between one person's walks over the spread between persons
TIMING_WITHIN = 0.025  # speed and walk ratio of one person vary by 2.5 % from walk to walk

SPEED_DECADES = (25.0, 35.0, 45.0, 55.0, 65.0, 75.0)
SPEED_M_S = {
    "male": (1.393, 1.458, 1.462, 1.393, 1.359, 1.330),
    "female": (1.407, 1.415, 1.391, 1.395, 1.296, 1.272),
}


def _part(mean: float, sd: float) -> float:
    return field(default=mean, metadata={"sd": sd})


@dataclass(frozen=True)
class GaitStyle:
    """How one person walks. Angles in degrees, lags in cycles, gains about 1, asymmetries left minus right.

    ``speed_m_s`` is the comfortable speed; ``walk_ratio`` is step length over cadence as a multiple of the
    norm for the person's height and sex.
    """

    speed_m_s: float = _part(1.35, 0.15)
    walk_ratio: float = _part(1.0, 0.07)
    step_width_m: float = _part(0.09, 0.025)
    toe_out: float = _part(6.0, 4.5)
    toe_out_asymmetry: float = _part(0.0, 3.0)
    knee_out: float = _part(0.0, 3.0)
    knee_offset: float = _part(0.0, 2.5)
    knee_stance_gain: float = _part(1.0, 0.2)
    knee_swing_gain: float = _part(1.0, 0.09)
    leg_lag: float = _part(0.0, 0.008)
    push_off_lag: float = _part(0.0, 0.008)
    push_off_gain: float = _part(1.0, 0.1)
    heel_strike_gain: float = _part(1.0, 0.15)
    leg_asymmetry: float = _part(0.0, 0.02)
    pelvis_tilt: float = _part(0.0, 3.5)
    pelvis_obliquity_gain: float = _part(1.0, 0.3)
    pelvis_rotation_gain: float = _part(1.0, 0.3)
    lateral_shift_gain: float = _part(1.0, 0.2)
    trunk_lean: float = _part(2.5, 2.5)
    kyphosis: float = _part(0.0, 5.0)
    trunk_roll: float = _part(0.0, 1.2)
    trunk_sway: float = _part(2.0, 1.1)
    trunk_rotation_gain: float = _part(1.0, 0.3)
    trunk_lag: float = _part(0.0, 0.025)
    head_pitch: float = _part(0.0, 5.5)
    head_roll: float = _part(0.0, 1.8)
    head_bob_gain: float = _part(1.0, 0.4)
    shoulder_height: float = _part(0.0, 3.0)
    shoulder_offset: float = _part(0.0, 5.0)
    shoulder_abduction: float = _part(7.0, 3.5)
    arm_rotation: float = _part(0.0, 12.0)
    arm_swing_gain: float = _part(1.0, 0.28)
    arm_swing_asymmetry: float = _part(0.0, 0.16)
    arm_lag: float = _part(0.0, 0.025)
    elbow_offset: float = _part(-2.0, 7.0)
    elbow_asymmetry: float = _part(0.0, 5.0)
    elbow_swing_gain: float = _part(1.0, 0.3)
    wrist_flexion: float = _part(8.0, 8.0)

    def vector(self) -> NDArray[np.float64]:
        """All parts in the order of :func:`names`."""
        return np.array(dataclasses.astuple(self), dtype=np.float64)

    def vary(self, rng: np.random.Generator) -> GaitStyle:
        """The same person on another day: each part moved by ``WITHIN_BETWEEN`` of its spread.

        Speed and walk ratio move by ``TIMING_WITHIN`` (within-person coefficients of variation of speed and
        cadence are 2 to 4 %).
        """
        step = rng.standard_normal(len(names()))
        moved = self.vector() + step * WITHIN_BETWEEN * spreads()
        moved[0] = self.speed_m_s * np.exp(TIMING_WITHIN * step[0])
        moved[1] = self.walk_ratio * np.exp(TIMING_WITHIN * step[1])
        return GaitStyle(*np.maximum(moved, _floors()).tolist())


def names() -> tuple[str, ...]:
    """Names of the parts of a style."""
    return tuple(f.name for f in dataclasses.fields(GaitStyle))


def spreads() -> NDArray[np.float64]:
    """Standard deviation of each part between persons."""
    return np.array([f.metadata["sd"] for f in dataclasses.fields(GaitStyle)])


def norm_speed_m_s(age_years: float, gender: Gender, height_m: float) -> float:
    """Mean comfortable walking speed."""
    table = SPEED_M_S[gender]
    speed = float(np.interp(age_years, SPEED_DECADES, table)) - 0.012 * max(0.0, age_years - 75.0)
    if age_years < 20.0:
        return speed * float(np.sqrt(min(1.0, height_m / (1.76 if gender == "male" else 1.63))))
    return speed


def norm_walk_ratio(age_years: float, gender: Gender, height_m: float) -> float:
    """Mean step length over cadence, metres per (step a minute).

    Step length grows with height, cadence falls with its root, so the ratio goes with height^1.5; it gives
    men of 1.76 m 112 and women of 1.63 m 118 steps a minute at their comfortable speeds.
    """
    norm, height = (0.00649, 1.76) if gender == "male" else (0.00566, 1.63)
    elderly = 1.0 - 0.0045 * max(0.0, age_years - 62.0)
    return float(norm * (height_m / height) ** 1.5 * elderly)


def sample_style(
    rng: np.random.Generator, *, age_years: float, gender: Gender, height_m: float, bmi: float
) -> GaitStyle:
    """A person's style: the norm for the labels plus that person's own deviation.

    Args:
        rng: draws one number a part, whatever the labels are.
        age_years: years.
        gender: "female" or "male".
        height_m: metres.
        bmi: body-mass index in kg/m^2.
    """
    own = rng.standard_normal(len(names())).clip(-2.5, 2.5) * spreads()
    style = GaitStyle(*(GaitStyle().vector() + own).tolist())
    old = max(0.0, age_years - 60.0) / 20.0
    heavy = (bmi - 24.0) / 10.0 if age_years >= 18 else 0.0
    woman = 1.0 if gender == "female" else 0.0
    size = height_m / 1.7
    speed = (
        norm_speed_m_s(age_years, gender, height_m)
        * (style.speed_m_s / 1.35)
        * (1.0 - 0.05 * max(heavy, 0.0))
    )
    changed = dataclasses.replace(
        style,
        speed_m_s=speed,
        walk_ratio=float(np.exp(style.walk_ratio - 1.0)),
        step_width_m=style.step_width_m * size + 0.035 * heavy + 0.012 * old - 0.008 * woman,
        toe_out=style.toe_out + 2.5 * heavy + 1.5 * old - woman,
        knee_offset=style.knee_offset + 3.0 * old,
        push_off_gain=style.push_off_gain - 0.06 * old,
        heel_strike_gain=style.heel_strike_gain - 0.1 * old,
        pelvis_obliquity_gain=style.pelvis_obliquity_gain + 0.15 * (2 * woman - 1) - 0.1 * old,
        trunk_sway=style.trunk_sway - 0.25 * (2 * woman - 1) + 0.8 * max(heavy, 0.0),
        trunk_lean=style.trunk_lean + 3.0 * old - 1.0 * max(heavy, 0.0),
        kyphosis=style.kyphosis + 0.18 * max(0.0, age_years - 35.0),
        head_pitch=style.head_pitch + 3.0 * old,
        shoulder_abduction=style.shoulder_abduction + 4.5 * heavy,
        arm_swing_gain=float(np.exp(style.arm_swing_gain - 1.0)) * (1.0 - 0.12 * old),
        elbow_offset=style.elbow_offset + 4.0 * old,
    )
    return GaitStyle(*np.maximum(changed.vector(), _floors()).tolist())


def _floors() -> NDArray[np.float64]:
    low = {
        "speed_m_s": 0.5,
        "walk_ratio": 0.7,
        "step_width_m": 0.02,
        "knee_offset": -4.0,
        "knee_stance_gain": 0.3,
        "heel_strike_gain": 0.4,
        "pelvis_obliquity_gain": 0.0,
        "pelvis_rotation_gain": 0.1,
        "lateral_shift_gain": 0.3,
        "trunk_sway": 0.0,
        "trunk_rotation_gain": 0.1,
        "head_bob_gain": 0.0,
        "shoulder_abduction": 1.0,
        "arm_swing_gain": 0.15,
        "elbow_offset": -14.0,
        "elbow_swing_gain": 0.1,
    }
    return np.array([low.get(name, -np.inf) for name in names()])

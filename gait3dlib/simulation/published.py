"""Published norms of speed, cadence and step length, to hold simulated walkers against.

None of these numbers makes a walker: :mod:`gait3dlib.simulation.style` draws from other studies.

* adults' comfortable speed by decade and sex: Bohannon and Andrews, Physiotherapy 97 (2011), a meta-analysis
  of 41 studies and 23,111 people; spread between people: some 0.2 m/s (Bohannon, Age and Ageing 26, 1997);
* adults' cadence and step length by sex: Perry, Gait Analysis: Normal and Pathological Function (1992), half
  of its stride lengths; spread between people some 7 % of both (Oberg, Karsznia and Oberg, J Rehabil Res Dev
  30, 1993);
* children of seven: Sutherland, Olshen, Cooper and Woo, J Bone Joint Surg 62-A (1980).

Checked against what is freely readable of these studies: the size of the meta-analysis, and its fastest
stratum, men of 40 to 49 at 143.4 cm/s. All the other numbers here were not: each is marked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gait3dlib.types import Gender

DECADES = (25.0, 35.0, 45.0, 55.0, 65.0, 75.0)
"""Middle of each decade, years; the study's last stratum, 80 to 99, is left out."""

# not confirmed, but for men of the third decade of these (1.434)
SPEED_M_S: Mapping[Gender, tuple[float, ...]] = MappingProxyType(
    {
        "male": (1.358, 1.433, 1.434, 1.433, 1.339, 1.262),
        "female": (1.341, 1.337, 1.390, 1.313, 1.241, 1.132),
    }
)
SPEED_SD_M_S = 0.2  # not confirmed

# not confirmed; Murray et al. (1964, 1970) measured 117 for both sexes, and steps of 0.79 and 0.66 m
CADENCE_PER_MIN: Mapping[Gender, float] = MappingProxyType({"male": 111.0, "female": 117.0})
STEP_M: Mapping[Gender, float] = MappingProxyType({"male": 0.73, "female": 0.64})
CV = 0.07  # not confirmed
"""Spread of cadence, and of step length, between adults of one sex."""

# not confirmed
AGE_SEVEN = MappingProxyType({"speed_m_s": 1.14, "cadence_per_min": 144.0, "step_m": 0.48})

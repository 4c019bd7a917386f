"""From a stated height and mass to a point of the shape space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gait3dlib.body._space import Candidate, Space
from gait3dlib.errors import InputError

DENSITY_KG_M3 = 985.0
"""Mean density of a living body, the air in its lungs included.

The value that body-shape research uses to turn a mesh into a mass: Choutas et al., "Accurate 3D body
shape regression using metric and semantic attributes" (SHAPY), CVPR 2022, and its published code.
"""

MIN_AGE, MAX_AGE = 3.0, 100.0
_MAX_WEIGHT = 1.2  # anny's weight runs from 0 to 1; beyond 1.2 bodies look lumpy
_TOLERANCE = 1e-5  # of height and mass, relative


@dataclass(frozen=True)
class BodyShape:
    """What is stated about a body.

    Attributes:
        age_years: 3 to 100. Adults hardly change in shape with age.
        gender: "female" or "male".
        height_m: standing height.
        mass_kg: body mass.
        muscle: 0 (slack) to 1 (athletic); gives way where the mass cannot be reached with it.
        proportions: 0 (uncommon) to 1 (idealised), anny's axis of that name.
    """

    age_years: float
    gender: Literal["female", "male"]
    height_m: float
    mass_kg: float
    muscle: float = 0.5
    proportions: float = 0.5

    def __post_init__(self) -> None:
        if self.gender not in ("female", "male"):
            raise InputError(f"gender must be 'female' or 'male', not {self.gender!r}")
        ranges = {
            "age_years": (MIN_AGE, MAX_AGE),
            "height_m": (0.3, 3.0),
            "mass_kg": (1.0, 500.0),
            "muscle": (0.0, 1.0),
            "proportions": (0.0, 1.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:  # False for NaN, too
                raise InputError(f"{name} must be {low:g} to {high:g}, not {value:g}")


class Solver:
    """Finds (muscle, weight, height) of anny's axes that give the stated height and mass."""

    def __init__(self, space: Space, shape: BodyShape) -> None:
        self.space, self.shape = space, shape
        self.corners = space.corners(shape.age_years, shape.gender == "female", shape.proportions)
        self.shortest, self.tallest = (
            space.build(self.corners, shape.muscle, 0.5, stature).height for stature in (0.0, 1.0)
        )
        # anny's height axis; the last solution starts the next
        self.slope = self.tallest - self.shortest
        self.stature = (shape.height_m - self.shortest) / self.slope

    def check_height(self) -> None:
        """Raise InputError where no body is as tall or as short as stated."""
        shape = self.shape
        if not self.shortest <= shape.height_m <= self.tallest:
            raise InputError(
                f"height {shape.height_m:.2f} m is out of reach for a {shape.gender} of "
                f"{shape.age_years:g} years: {self.shortest:.2f} to {self.tallest:.2f} m"
            )

    def at(self, muscle: float, weight: float) -> Candidate:
        """The body with the stated height."""
        for _ in range(8):
            found = self.space.build(self.corners, muscle, weight, self.stature)
            error = self.shape.height_m - found.height
            if abs(error) < _TOLERANCE * self.shape.height_m:
                return found
            self.stature += error / self.slope
        raise InputError(f"height {self.shape.height_m:.2f} m is out of reach with this mass")

    def excess(self, muscle: float, weight: float) -> float:
        """Mass over the stated mass, relative."""
        return self.at(muscle, weight).volume * DENSITY_KG_M3 / self.shape.mass_kg - 1

    def solve(self) -> tuple[float, Candidate]:
        """The muscle used, and the body."""
        self.check_height()
        muscle = self.shape.muscle
        thin, heavy = self.excess(muscle, 0.0), self.excess(muscle, 1.0)
        if thin <= 0 <= heavy:
            weight = _root(lambda w: self.excess(muscle, w), (0.0, thin), (1.0, heavy))
            return muscle, self.at(muscle, weight)
        weight, end = (0.0, thin) if thin > 0 else (1.0, heavy)
        brackets = [self._bracket(weight, end, knots) for knots in self._ways(muscle)]
        reached = [b for b in brackets if b is not None]
        if reached:
            muscle = min(
                (_root(lambda m: self.excess(m, weight), *b) for b in reached),
                key=lambda m: abs(m - self.shape.muscle),
            )
            return muscle, self.at(muscle, weight)
        if weight == 1.0:
            full, over = self.excess(0.0, 1.0), self.excess(0.0, _MAX_WEIGHT)
            if full <= 0 <= over:
                weight = _root(lambda w: self.excess(0.0, w), (1.0, full), (_MAX_WEIGHT, over))
                return 0.0, self.at(0.0, weight)
        raise self._unreachable()

    def _ways(self, muscle: float) -> tuple[tuple[float, ...], ...]:
        """Muscle's knots on the way down and on the way up from the stated one."""
        down = tuple(m for m in (0.5, 0.0) if m < muscle)
        up = tuple(m for m in (0.5, 1.0) if m > muscle)
        return down, up

    def _bracket(
        self, weight: float, end: float, knots: tuple[float, ...]
    ) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Two neighbouring muscles between which the mass is met."""
        previous = (self.shape.muscle, end)
        for muscle in knots:
            current = (muscle, self.excess(muscle, weight))
            if previous[1] * current[1] <= 0:
                return previous, current
            previous = current
        return None

    def mass_range(self) -> tuple[float, float]:
        """The least and the greatest mass at the stated height, in kilograms."""
        self.check_height()
        muscles = sorted({0.0, self.shape.muscle, 1.0})
        thin = min(self.excess(m, 0.0) for m in muscles)
        heavy = max(self.excess(m, 1.0) for m in muscles)
        heavy = max(heavy, self.excess(0.0, _MAX_WEIGHT))
        return (1 + thin) * self.shape.mass_kg, (1 + heavy) * self.shape.mass_kg

    def _unreachable(self) -> InputError:
        shape = self.shape
        low, high = self.mass_range()
        square = shape.height_m**2
        return InputError(
            f"mass {shape.mass_kg:.1f} kg is out of reach for a {shape.gender} of "
            f"{shape.age_years:g} years and {shape.height_m:.2f} m: {low:.1f} to {high:.1f} kg "
            f"(BMI {low / square:.1f} to {high / square:.1f})"
        )


def _root(function: Callable[[float], float], left: tuple[float, float], right: tuple[float, float]) -> float:
    """A zero between two points (place, value) of opposite sign, by the Illinois method."""
    (a, fa), (b, fb) = left, right
    for _ in range(40):
        if fa == fb:
            return a
        c = (a * fb - b * fa) / (fb - fa)
        fc = function(c)
        if abs(fc) < _TOLERANCE:
            return c
        if math.copysign(1.0, fc) == math.copysign(1.0, fb):
            b, fb, fa = c, fc, fa / 2
        else:
            a, fa, b, fb = b, fb, c, fc
    return c

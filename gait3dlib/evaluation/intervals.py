"""How sure a figure is: intervals by resampling people, not walks.

Walks of one person resemble each other, so resampling walks would give intervals that are too narrow. Whole
people are drawn with replacement instead, with all their walks (the subsets bootstrap: Bolle, Ratha and
Pankanti, Error analysis of pattern recognition systems, CVIU 2004). The gallery stays as it was enrolled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Ints, Names, encode

CONFIDENCE = 0.95
NAN = float("nan")


@dataclass(frozen=True)
class Measure:
    """A figure with its 95 % interval; NaN where it cannot be told, and then ``note`` says why."""

    value: float
    low: float = NAN
    high: float = NAN
    note: str = ""

    def to_dict(self) -> dict[str, float | str | None]:
        """Plain values, NaN as None, ready for JSON."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if math.isnan(v) else v for k, v in numbers.items()} | {"note": self.note}

    def percent(self) -> str:
        """``93.2 [88.0, 97.1]``, or a dash where it cannot be told."""
        return self._text(100.0, 1)

    def plain(self) -> str:
        """The same in the figure's own unit, two decimals."""
        return self._text(1.0, 2)

    def _text(self, scale: float, digits: int) -> str:
        if math.isnan(self.value):
            return "-"
        text = f"{self.value * scale:.{digits}f}"
        if math.isnan(self.low):
            return text
        return f"{text} [{self.low * scale:.{digits}f}, {self.high * scale:.{digits}f}]"


@dataclass(frozen=True)
class PeopleBootstrap:
    """Draws of people, the same for all figures of a report.

    person: int64 ``[n]``, whose walk each item is. draws: float64 ``[replicates, people]``, how often each
    person was drawn.
    """

    person: Ints
    draws: F64

    @classmethod
    def of(cls, people: Names, replicates: int = 1000, seed: int = 0) -> PeopleBootstrap:
        """Draw as many people as there are, with replacement, ``replicates`` times.

        Raises:
            InputError: fewer than one replicate, or labels that are not labels.
        """
        if replicates < 1:
            raise InputError(f"a bootstrap needs at least one replicate, not {replicates}")
        person = np.unique(encode(people)[0], return_inverse=True)[1].astype(np.int64)
        count = int(person.max()) + 1
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(count, np.full(count, 1.0 / count), size=replicates)
        return cls(person, draws.astype(np.float64))

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.draws.shape[1])

    def sums(self, values: F64) -> F64:
        """Sum over walks of ``values [n]`` or ``[n, columns]`` in each replicate."""
        columns = values if values.ndim == 2 else values[:, None]
        per_person = np.zeros((self.people, columns.shape[1]))
        np.add.at(per_person, self.person, columns)
        total = self.draws @ per_person
        return total if values.ndim == 2 else total[:, 0]

    def means(self, values: F64) -> F64:
        """Mean over walks of ``values [n]`` in each replicate."""
        return self.sums(values) / self.sums(np.ones(len(values)))

    def measure(self, value: float, replicates: F64) -> Measure:
        """A figure with the percentile interval of its replicates; one person alone gives no interval."""
        if self.people < 2:
            return Measure(value, note="one person gives no interval")
        return Measure(value, *percentile_interval(replicates))

    def rate(self, value: float, replicates: F64) -> Measure:
        """:meth:`measure` for a figure in 0 to 1.

        At 0 or 1 exactly, resampling sees no error and its interval is empty; then the Wilson interval with
        people as trials stands in, and the note says so.
        """
        found = self.measure(value, replicates)
        if value not in (0.0, 1.0) or self.people < 2:
            return found
        return Measure(value, *wilson(value * self.people, self.people), note=f"Wilson, {self.people} people")


def percentile_interval(replicates: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The central ``confidence`` of bootstrap replicates (Efron 1979); NaN replicates are left out."""
    values = np.asarray(replicates, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return NAN, NAN
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson(successes: float, trials: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Score interval of a share (Wilson, JASA 1927); it keeps its width at 0 and at 100 %.

    With p = successes / trials: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Count people,
    not walks, as trials: walks of one person are not independent. ``successes`` need not be whole.

    Raises:
        InputError: no trials, or more successes than trials.
    """
    if not (trials > 0 and 0 <= successes <= trials):
        raise InputError(f"{successes} successes of {trials} trials is not a share")
    p, spread = successes / trials, z * z / trials
    middle = p + spread / 2
    half = z * math.sqrt(p * (1 - p) / trials + spread / (4 * trials))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))

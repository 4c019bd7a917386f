"""What inverse dynamics gives: dimensionless forces, moments and powers, and their SI values on request."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.errors import InputError
from gait3dlib.types import NS_PER_S, Stream

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Forces of one walk, in world axes (z up), over the body's mass m, height h and gravity g.

    Attributes:
        fps: frames a second.
        force: float64 ``[T, 24, 3]``, what the parent exerts on each joint's segment, over ``m g``. The
            pelvis has no parent: its row is what remains unexplained by the ground's reaction.
        moment: ``[T, 24, 3]``, likewise, over ``m g h``.
        power: ``[T, 24]``, which the joint puts into the body, over ``m g sqrt(g h)``.
        ground_force: ``[T, 2, 3]``, reaction of the floor on the left and right foot, over ``m g``.
        ground_point: ``[T, 2, 3]``, where it acts, in metres; NaN where there is none.
        centre_of_mass: ``[T, 3]``, in metres; NaN where an estimator does not tell.
        contact: bool ``[T, 2]``, whether the left and right foot stand.
        leg_exact: bool ``[T, 2]``, in which frames the loads of that leg follow from Newton's law or a plate
            alone. Elsewhere (double support without plates, near both ends, filled gaps) a rule stands in.
        source: "newton" or "walking" (this library's inverse dynamics, see its `reaction`), "physpt" or
        "imdy". height_m: of the person; estimated from the legs where it was not given.
        mass_kg: of the person; None = unknown.

    Joints that the motion lacked are NaN in force, moment and power.
    """

    fps: float
    force: F64
    moment: F64
    power: F64
    ground_force: F64
    ground_point: F64
    centre_of_mass: F64
    contact: Bools
    leg_exact: Bools
    source: str
    height_m: float
    mass_kg: float | None = None

    def __len__(self) -> int:
        return len(self.force)

    @property
    def exact(self) -> Bools:
        """Frames ``[T]`` in which the loads of both legs are exact; see ``leg_exact``."""
        return np.asarray(self.leg_exact.all(axis=1))

    def streams(self, t_ns: NDArray[np.int64] | None = None) -> dict[str, Stream]:
        """The `force` and `ground_reaction` streams of a gait sequence.

        Args:
            t_ns: ``[T]`` time stamps; None = from 0 at this frame rate.

        Raises:
            InputError: another number of time stamps.
        """
        if t_ns is None:
            t_ns = (np.arange(len(self)) * (NS_PER_S / self.fps)).round().astype(np.int64)
        force = np.concatenate([self.force, self.moment, self.power[..., None]], -1)
        ground = np.concatenate([self.ground_force, self.ground_point], -1)
        return {
            "force": Stream(force.astype(np.float32), t_ns, "1"),
            "ground_reaction": Stream(ground.astype(np.float32), t_ns, "1, m"),
        }

    def si(self, mass_kg: float | None = None, height_m: float | None = None) -> ForcesSI:
        """Newtons, newton metres and watts.

        Args:
            mass_kg: where inverse dynamics was not given it.
            height_m: where inverse dynamics was not given it; None takes the one it used.

        Raises:
            InputError: the mass is not known, or one of both is not positive.
        """
        mass = self.mass_kg if mass_kg is None else positive("mass", mass_kg)
        if mass is None:
            raise InputError("newtons need the person's mass: pass mass_kg")
        height = self.height_m if height_m is None else positive("height", height_m)
        weight = mass * STANDARD_GRAVITY
        return ForcesSI(
            force_n=self.force * weight,
            moment_nm=self.moment * (weight * height),
            power_w=self.power * (weight * math.sqrt(STANDARD_GRAVITY * height)),
            ground_force_n=self.ground_force * weight,
        )

    def turned(self, yaw_rad: float) -> Dynamics:
        """The same dynamics in a world that is turned about z."""
        c, s = math.cos(yaw_rad), math.sin(yaw_rad)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        names = ("force", "moment", "ground_force", "ground_point", "centre_of_mass")
        changed: dict[str, Any] = {name: getattr(self, name) @ turn.T for name in names}
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
class ForcesSI:
    """Newtons, newton metres and watts of a person of known mass and height; see :class:`Dynamics`."""

    force_n: F64
    moment_nm: F64
    power_w: F64
    ground_force_n: F64


def positive(name: str, value: float) -> float:
    """The number, if it is finite and above zero.

    Raises:
        InputError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        unit = {"mass": "kg", "height": "m"}.get(name, "Hz")
        raise InputError(f"{name} must be a positive number of {unit}, not {value}; leave it out if unknown")
    return float(value)

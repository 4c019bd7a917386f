"""One three-dimensional state that any number of sensors look at: walkers, things, and the ground z = 0.

A walker's skin is posed once, ``STATE_HZ`` times a second; between two states every vertex moves straight
(less than a millimetre off its path in 19 of 20 cases; some more where a foot strikes the ground). So two
sensors that look at the same instant see the same state, whatever their clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.simulation.outfit import CARRIED_LABEL, Outfit, carry, dress
from gait3dlib.simulation.rays import F32, Hits, RayMesh
from gait3dlib.simulation.things import Thing, merged
from gait3dlib.simulation.walker import Motion, Walker
from gait3dlib.types import NS_PER_S

F64 = NDArray[np.float64]
STATE_HZ = 120.0
MARGIN_S = 0.15  # a walker is there before and after the time that was asked for: clocks have offsets
GROUND_REFLECTIVITY = 0.25
GROUND, THINGS = -1, -2  # owners of what a ray hit, where it is no actor


@dataclass(frozen=True)
class Clock:
    """When a sensor takes its frames.

    Attributes:
        hz: frames a second.
        offset_s: time of the first frame.
        jitter_s: standard deviation of each frame about its time; at most a fifth of a frame counts.
    """

    hz: float
    offset_s: float = 0.0
    jitter_s: float = 0.0

    def times(self, rng: np.random.Generator, seconds: float) -> F64:
        """Seconds ``[T]`` of all frames from 0 to ``seconds``; whole nanoseconds, rising.

        Raises:
            InputError: a clock that cannot be, or no frame in that time.
        """
        good = 0 < self.hz <= 1000 and 0 <= self.offset_s < 1e6 and 0 <= self.jitter_s < 1 and seconds > 0
        count = int(np.ceil((seconds - self.offset_s) * self.hz - 1e-9)) if good else 0
        if count < 1:
            raise InputError(
                f"{seconds:g} s hold no frame of {self}; ask for a longer walk or a faster clock"
            )
        jitter = (rng.standard_normal(count) * self.jitter_s).clip(-0.2 / self.hz, 0.2 / self.hz)
        at = self.offset_s + np.arange(count) / self.hz + jitter
        return np.asarray(np.round(np.maximum(at, 0.0) * NS_PER_S) / NS_PER_S)


@dataclass(frozen=True, eq=False)
class State:
    """An actor at T instants: skin ``[T, V, 3]``, joints ``[T, 24, 3]``, COCO's points ``[T, 17, 3]``."""

    vertices: F32
    joints: F32
    landmarks: F32


@dataclass(frozen=True, eq=False)
class Actor:
    """A walker on a way through the scene; made by :meth:`walking`.

    Attributes:
        walker: who.
        motion: how, in the walker's own frame and time.
        outfit: what is worn and carried.
        start_s: scene time of the motion's first sample.
        faces: int ``[F, 3]`` of the skin, clothes and carried things.
        labels: uint8 ``[F]``, 0 skin, 1 clothes, 2 carried.
        tape: the states at the motion's samples.
        reflectivity: float32 ``[3]`` of skin, clothes and carried things.
    """

    walker: Walker
    motion: Motion
    outfit: Outfit
    start_s: float
    faces: NDArray[np.int32] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    tape: State = field(repr=False)
    reflectivity: F32 = field(repr=False)

    @classmethod
    def walking(
        cls,
        walker: Walker,
        *,
        seed: int,
        seconds: float,
        speed: float = 1.0,
        outfit: Outfit | None = None,
        x_m: float = 0.0,
        y_m: float = 0.0,
        heading_deg: float = 0.0,
        start_s: float = 0.0,
    ) -> Self:
        """A walk that passes (x, y) half way, in the direction ``heading_deg`` from +x (90 = along +y).

        Args:
            walker: who.
            seed: of the walk: another seed is another day.
            seconds: how long; the walker is there ``MARGIN_S`` before and after as well.
            speed: multiple of the comfortable speed.
            outfit: plain by default.
            x_m: metres.
            y_m: metres.
            heading_deg: degrees.
            start_s: scene time at which the walk begins.
        """
        outfit = outfit or Outfit()
        motion = walker.walk(seed=seed, speed=speed, fps=STATE_HZ, seconds=seconds + 2 * MARGIN_S)
        dressed = dress(walker.body(), outfit)
        rotations = carry(motion.rotations, outfit, motion.phase)
        posed = dressed.pose(rotations, motion.translation, motion.t_s)
        angle = np.deg2rad(heading_deg)
        turn = np.array(
            [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32
        )
        shift = np.array([x_m, y_m, 0.0], np.float32)
        tape = State(*(part @ turn + shift for part in posed))
        shares = np.random.default_rng([outfit.seed, 40]).uniform([0.4, 0.1, 0.1], [0.6, 0.9, 0.9])
        return cls(
            walker, motion, outfit, start_s - MARGIN_S, dressed.faces, dressed.labels, tape,
            shares.astype(np.float32),
        )  # fmt: skip

    @property
    def stop_s(self) -> float:
        """Scene time of the last sample."""
        return self.start_s + float(self.motion.t_s[-1])

    def there(self, t_s: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Whether the actor is in the scene at these times."""
        return np.asarray((t_s >= self.start_s) & (t_s <= self.stop_s))

    def at(self, t_s: NDArray[np.floating[Any]]) -> State:
        """The states at scene times ``[T]``; before and after its walk an actor stands still."""
        place = ((np.asarray(t_s) - self.start_s) * STATE_HZ).clip(0, len(self.motion.t_s) - 1)
        low = np.minimum(place.astype(int), len(self.motion.t_s) - 2)
        share = (place - low).astype(np.float32)[:, None, None]
        parts = (self.tape.vertices, self.tape.joints, self.tape.landmarks)
        return State(*(part[low] + share * (part[low + 1] - part[low]) for part in parts))

    @cached_property
    def bounds(self) -> F32:
        """Least and greatest x, y, z ``[S, 2, 3]`` at each sample of the motion."""
        return np.stack([self.tape.vertices.min(axis=1), self.tape.vertices.max(axis=1)], axis=1)

    def bounds_between(self, start_s: float, stop_s: float) -> F32:
        """Least and greatest x, y, z ``[2, 3]`` from one scene time to another."""
        last = len(self.motion.t_s) - 1
        first = int(np.clip(np.floor((start_s - self.start_s) * STATE_HZ), 0, last))
        final = int(np.clip(np.ceil((stop_s - self.start_s) * STATE_HZ), 0, last))
        held = self.bounds[first : final + 1]
        return np.stack([held[:, 0].min(axis=0), held[:, 1].max(axis=0)])

    @property
    def carried(self) -> NDArray[np.bool_]:
        """``[F]`` which faces are carried things."""
        return np.asarray(self.labels == CARRIED_LABEL)


class Scene:
    """Actors, things and the ground.

    Args:
        actors: who walks.
        things: what stands still.
        ground: whether there is a ground.

    Raises:
        InputError: nothing at all.
    """

    def __init__(self, actors: Sequence[Actor], things: Sequence[Thing] = (), *, ground: bool = True) -> None:
        if not actors and not things and not ground:
            raise InputError("a scene needs an actor, a thing or the ground")
        self.actors, self.things, self.ground = tuple(actors), tuple(things), ground
        if self.things:
            vertices, faces, self._reflectivity = merged(self.things)
            self._mesh: RayMesh | None = RayMesh(vertices, faces)
        else:
            self._mesh = None

    def still(self, origins: NDArray[np.floating[Any]], directions: F32) -> tuple[Hits, F32]:
        """First hits of rays on things and ground, and the reflectivity ``[N]`` there.

        ``Hits.face`` is ``THINGS`` or ``GROUND`` where something was hit, 0 where nothing was.
        """
        distance = np.full(len(directions), np.inf, np.float32)
        owner = np.zeros(len(directions), np.int32)
        cosine = np.zeros(len(directions), np.float32)
        shine = np.zeros(len(directions), np.float32)
        if self.ground:
            height = np.broadcast_to(np.asarray(origins)[..., 2], distance.shape)
            down = directions[:, 2] < -1e-9
            distance[down] = (height[down] / -directions[down, 2]).astype(np.float32)
            cosine[down] = -directions[down, 2] / np.linalg.norm(directions[down], axis=1)
            owner[down], shine[down] = GROUND, GROUND_REFLECTIVITY
        if self._mesh is not None:
            hits = self._mesh.cast(origins, directions)
            nearer = hits.distance < distance
            distance[nearer], cosine[nearer] = hits.distance[nearer], hits.cosine[nearer]
            owner[nearer], shine[nearer] = THINGS, self._reflectivity[hits.face[nearer]]
        return Hits(distance, owner, cosine), shine

"""A prior of human gait: how people walk on average, and how they differ, learnt from real walks.

A stride is a vector of Fourier coefficients: rotation vectors of 20 segments about each one's mean
orientation (no angle wraps there) and the sway of the pelvis, over one cycle that starts with the left heel
strike. Segments stand in the world, x along the walk: what differs between people in one of them does not
move all those below it. The prior is a mean, a slope over speed (Froude's, so walkers of all sizes share it)
and directions in which people differ, each scaled to one standard deviation. Troje (J Vision 2, 2002)
describes walkers so.

The numbers are statistics over the people named in ``data_cards/real_walks.md``; ``tools/bake_prior.py``
makes the file. Age, sex, height and mass are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.body import MIRROR, PARENTS
from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap.inverse import rotation_matrix, rotation_vector

Array = NDArray[np.float64]
HARMONICS = 6
SEGMENTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
"""Segments of a stride by the joint that moves them; toes and hands were not measured."""
CHANNELS = 3 * len(SEGMENTS) + 3  # and the pelvis' sway: ahead, left, up
TERMS = 1 + 2 * HARMONICS
SIZE = CHANNELS * TERMS
"""Numbers that describe a stride."""


@dataclass(frozen=True, eq=False)
class GaitPrior:
    """Mean gait and the directions in which people depart from it.

    Attributes:
        centre: ``[20, 3, 3]``, the mean orientation of each of ``SEGMENTS``.
        mean: ``[SIZE]`` coefficients at ``froude_speed``: radians, and leg lengths for the sway.
        slope: ``[SIZE]``, their change a unit of Froude speed.
        froude_speed: mean speed over the root of gravity and leg length.
        directions: ``[R, SIZE]``, each one standard deviation between people.
        rest: ``[SIZE]`` standard deviations that the directions leave out.
        within: spread between walks of one person over the spread between people.
    """

    centre: Array
    mean: Array
    slope: Array
    froude_speed: float
    directions: Array
    rest: Array
    within: float

    @property
    def rank(self) -> int:
        """Number of directions: of numbers that make a person."""
        return len(self.directions)

    def coefficients(self, latent: Array, froude_speed: float) -> Array:
        """Coefficients ``[SIZE]`` of a person ``latent`` [R] (standard normal) at a speed."""
        if latent.shape != (self.rank,):
            raise InputError(f"a person of this prior is {self.rank} numbers, not {latent.shape}")
        ahead = froude_speed - self.froude_speed
        return np.asarray(self.mean + ahead * self.slope + latent @ self.directions)

    def encode(self, rotations: Array, sway: Array) -> Array:
        """Coefficients ``[SIZE]`` of a periodic stride.

        Args:
            rotations: ``[N, 24, 3, 3]``, local.
            sway: ``[N, 3]``, leg lengths.
        """
        world = orientations(rotations)[:, list(SEGMENTS)]
        vectors = rotation_vector(self.centre.swapaxes(-1, -2) @ world)
        return fourier(np.concatenate([vectors.reshape(len(sway), -1), sway], axis=1))

    def decode(self, coefficients: Array, phase: Array) -> tuple[Array, Array]:
        """Orientations ``[N, 24, 3, 3]`` of the segments in the world, and sway ``[N, 3]``, at phases.

        Toes and hands are as the segment above them. :func:`local` gives the joints' rotations.
        """
        values = series(coefficients, phase)
        vectors = values[:, :-3].reshape(len(phase), len(SEGMENTS), 3)
        world = np.empty((len(phase), 24, 3, 3))
        world[:, list(SEGMENTS)] = self.centre @ rotation_matrix(vectors)
        for joint in (10, 11, 22, 23):
            world[:, joint] = world[:, PARENTS[joint]]
        return world, values[:, -3:]

    def person(self, coefficients: Array, froude_speed: float, noise: float = 1.0) -> Array:
        """The likeliest person ``[R]`` of a stride (maximum a posteriori).

        Args:
            coefficients: ``[SIZE]``.
            froude_speed: of the stride.
            noise: variance of a stride about its person, in variances between people.
        """
        away = coefficients - self.coefficients(np.zeros(self.rank), froude_speed)
        variance = noise * (self.rest**2 + np.sum(self.directions**2, axis=0)) * self.within**2
        scaled = self.directions / np.maximum(variance + self.rest**2, 1e-10)
        system = np.eye(self.rank) + scaled @ self.directions.T
        return np.linalg.solve(system, scaled @ away)

    def save(self, path: Path) -> None:
        """Write the prior as a compressed ``.npz`` of float32 numbers."""
        single = np.float32
        np.savez_compressed(
            path,
            centre=rotation_vector(self.centre).astype(single),
            mean=self.mean.astype(single),
            slope=self.slope.astype(single),
            directions=self.directions.astype(np.float16),
            rest=self.rest.astype(np.float16),
            scalars=np.array([self.froude_speed, self.within], single),
        )

    @staticmethod
    def load(path: Path | None = None) -> GaitPrior:
        """The prior that ships with the package, or one of one's own.

        Raises:
            InputError: the file is no prior of this version.
        """
        return _load(asset("prior.npz") if path is None else path)


@lru_cache(maxsize=4)
def _load(path: Path) -> GaitPrior:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], np.float64) for name in file.files}
        speed, within = arrays.pop("scalars")
        centre = rotation_matrix(arrays.pop("centre"))
        prior = GaitPrior(centre=centre, froude_speed=float(speed), within=float(within), **arrays)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is no gait prior; tools/bake_prior.py makes one") from None
    sizes = {prior.mean.shape, prior.slope.shape, prior.rest.shape, prior.directions.shape[1:]}
    if sizes != {(SIZE,)} or prior.centre.shape != (len(SEGMENTS), 3, 3):
        raise InputError(f"{path} is a prior of another version; bake it again with tools/bake_prior.py")
    for array in (prior.centre, prior.mean, prior.slope, prior.directions, prior.rest):
        array.flags.writeable = False
    return prior


def orientations(rotations: Array) -> Array:
    """Segments in the world of local rotations, both ``[N, 24, 3, 3]``."""
    world = rotations.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ rotations[:, joint]
    return world


def local(world: Array) -> Array:
    """Local rotations of segments in the world, both ``[N, 24, 3, 3]``."""
    rotations = world.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            rotations[:, joint] = world[:, parent].swapaxes(-1, -2) @ world[:, joint]
    return rotations


def fourier(values: Array) -> Array:
    """Coefficients ``[C * TERMS]`` of periodic samples ``[N, C]``: mean, cosines, sines of each channel."""
    spectrum = np.fft.rfft(values, axis=0)[: HARMONICS + 1] / len(values)
    spectrum[1:] *= 2.0
    terms = np.concatenate([spectrum.real, -spectrum.imag[1:]])
    return np.asarray(terms.T.reshape(-1), np.float64)


def series(coefficients: Array, phase: Array) -> Array:
    """Values ``[N, C]`` of Fourier series at phases in cycles."""
    angle = 2 * np.pi * phase[:, None] * np.arange(HARMONICS + 1)
    waves = np.concatenate([np.cos(angle), np.sin(angle[:, 1:])], axis=1)
    return np.asarray(waves @ coefficients.reshape(-1, TERMS).T)


def mirrored(coefficients: Array) -> Array:
    """The same walk seen in a mirror: sides change, and the cycle starts half a cycle later.

    A mirrored rotation vector keeps its y component and turns the others round; ``centre`` must be its own
    mirror image.
    """
    table = coefficients.reshape(*coefficients.shape[:-1], CHANNELS, TERMS).copy()
    order = [SEGMENTS.index(MIRROR[joint]) for joint in SEGMENTS]
    joints = table[..., :-3, :].reshape(*table.shape[:-2], len(SEGMENTS), 3, TERMS)[..., order, :, :]
    joints = joints * np.array([-1.0, 1.0, -1.0])[:, None]
    sway = table[..., -3:, :] * np.array([1.0, -1.0, 1.0])[:, None]
    out = np.concatenate([joints.reshape(*table.shape[:-2], -1, TERMS), sway], axis=-2)
    odd = np.arange(1, HARMONICS + 1) % 2 == 1
    half = np.concatenate([[1.0], np.where(odd, -1.0, 1.0), np.where(odd, -1.0, 1.0)])
    return np.asarray((out * half).reshape(coefficients.shape))

"""Learning the gait prior from strides of real people.

Few people were measured, so what is learnt is kept small: every person counts once and so does the mirror
image; recordings of one kind share their own mean, which is taken off before people are compared (marker
sets draw a thorax differently; that is no difference between people); correlations between coefficients are
shrunk towards none by the share that Schaefer and Strimmer (Stat Appl Genet Mol Biol 4, 2005, their
target D) derive from the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from gait3dlib.body import MIRROR, PARENTS
from gait3dlib.errors import InputError
from gait3dlib.simulation.mocap.capture import average_body
from gait3dlib.simulation.mocap.folder import Person
from gait3dlib.simulation.mocap.inverse import rotation_vector
from gait3dlib.simulation.mocap.strides import Stride, mean_rotation
from gait3dlib.simulation.prior import SEGMENTS, SIZE, GaitPrior, local, mirrored, orientations

Array = NDArray[np.float64]
RANK = 40
SPEED_SD = 0.06  # between people at their comfortable speed; a slope must explain more than this to count
FLIP = np.diag([1.0, -1.0, 1.0])
Strides = Mapping[Person, Sequence[Stride]]


@dataclass(frozen=True, eq=False)
class _Table:
    """Coefficients of all strides, both as walked and mirrored."""

    coefficients: Array  # [n, SIZE]
    speeds: Array  # [n]
    people: NDArray[np.int64]  # [n]


def learn(strides: Strides, rank: int = RANK) -> GaitPrior:
    """The prior of these people.

    Raises:
        InputError: fewer than three people.
    """
    if len(strides) < 3 or not all(strides.values()):
        raise InputError("a prior needs strides of at least three people; add walks")
    everyone = sorted(strides, key=str)
    blank = GaitPrior(
        _centre(strides), np.zeros(SIZE), np.zeros(SIZE), 0.0, np.zeros((0, SIZE)), np.zeros(SIZE), 0.0
    )
    table = _encoded(blank, strides, everyone)
    weight = 1.0 / np.bincount(table.people)[table.people]
    weight = weight / weight.sum()
    speed = float(weight @ table.speeds)
    mean = weight @ table.coefficients
    mean = (mean + mirrored(mean)) / 2
    ahead = table.speeds - speed
    slope = (weight * ahead) @ (table.coefficients - mean) / (weight @ ahead**2 + SPEED_SD**2 / len(everyone))
    slope = (slope + mirrored(slope)) / 2
    away = table.coefficients - mean - ahead[:, None] * slope
    own = np.array([away[table.people == i].mean(axis=0) for i in range(len(everyone))])
    spread, lost = _between(own, [person.source for person in everyone])
    directions, rest = _directions(spread, lost, rank)
    within = _within(away, own, table.people, lost)
    return GaitPrior(blank.centre, mean, slope, speed, directions, rest, within)


def _centre(strides: Strides) -> Array:
    """Mean orientation of each segment, its own mirror image; every person counts once."""
    own = []
    for walked in strides.values():
        rotations = mean_rotation(np.concatenate([orientations(stride.rotations) for stride in walked]))
        own += [rotations, FLIP @ rotations[list(MIRROR)] @ FLIP]
    return mean_rotation(np.array(own))[list(SEGMENTS)]


def _encoded(prior: GaitPrior, strides: Strides, everyone: Sequence[Person]) -> _Table:
    rows, speeds, people = [], [], []
    for number, person in enumerate(everyone):
        for stride in strides[person]:
            rows.append(prior.encode(stride.rotations, stride.sway))
            speeds.append(stride.froude_speed)
            people.append(number)
    return _Table(np.array(rows), np.array(speeds), np.array(people))


def _between(own: Array, sources: Sequence[str]) -> tuple[Array, int]:
    """People's departures ``[n, SIZE]`` from their kind's mean, and how many means were taken."""
    out = own.copy()
    kinds = sorted(set(sources))
    for kind in kinds:
        rows = np.array([source == kind for source in sources])
        middle = own[rows].mean(axis=0)
        out[rows] -= (middle + mirrored(middle)) / 2
    return out, len(kinds)


def _directions(own: Array, lost: int, rank: int) -> tuple[Array, Array]:
    """Directions ``[R, SIZE]`` and what they leave out, of the shrunk covariance."""
    both = np.concatenate([own, mirrored(own)])
    free = len(both) * (len(own) - lost) / len(own)
    scale = np.sqrt(np.sum(both**2, axis=0) / free)
    unit = both / np.maximum(scale, 1e-12)
    correlation = unit.T @ unit / free
    product_square = (unit**2).T @ unit**2 / free
    variance = (product_square - correlation**2) * free / (free - 1) ** 2
    away = ~np.eye(SIZE, dtype=bool)
    shrink = float(np.clip(variance[away].sum() / (correlation[away] ** 2).sum(), 0.0, 1.0))
    covariance = (1 - shrink) * correlation + shrink * np.eye(SIZE)
    covariance *= scale[:, None] * scale
    values, vectors = eigh(covariance, subset_by_index=[SIZE - rank, SIZE - 1])
    directions = (vectors * np.sqrt(np.maximum(values, 0.0))).T[::-1]
    rest = np.maximum(np.diag(covariance) - np.sum(directions**2, axis=0), 0.0)
    return directions, np.sqrt(rest)


def _within(away: Array, own: Array, people: NDArray[np.int64], lost: int) -> float:
    """Spread of one person's strides over the spread between people."""
    inside = away - own[people]
    counts = np.bincount(people)
    repeated = counts[people] > 1
    free = repeated.sum() - (counts > 1).sum()
    between = np.sum((own - own.mean(axis=0)) ** 2) / (len(own) - lost)
    return float(np.sqrt(np.sum(inside[repeated] ** 2) / max(free, 1) / between))


@dataclass(frozen=True)
class Reconstruction:
    """Root mean square error of strides of people whom the prior does not know, every person alike.

    Attributes:
        degrees: of the segments in the world.
        millimetres: of the joints' places about the pelvis, on the average body.
    """

    degrees: float
    millimetres: float


def leave_one_out(walks: Mapping[Person, Sequence[Sequence[Stride]]]) -> dict[str, Reconstruction]:
    """How well each person is described by a prior of all the others.

    A person's likeliest place in the prior is found from one stride; the error is taken on all their other
    strides, of other walks where there are any. Beside it stand the mean gait (at the strides' speed), and
    the one stride itself, unexplained: no prior of this kind can do better than the latter by much.

    Args:
        walks: the strides of each walk of each person.
    """
    flat = {person: [s for walk in walked for s in walk] for person, walked in walks.items()}
    errors: dict[str, list[Array]] = {}
    for person, walked in walks.items():
        prior = learn({other: strides for other, strides in flat.items() if other != person})
        first = walked[0][0]
        tested = [s for walk in walked[1:] for s in walk] or list(walked[0][1:])
        if not tested:
            continue
        seen = prior.encode(first.rotations, first.sway)
        latent = prior.person(seen, first.froude_speed)
        none = np.zeros(prior.rank)
        own = seen - prior.coefficients(none, first.froude_speed)
        rows: dict[str, list[Array]] = {}
        for stride in tested:
            mean = prior.coefficients(none, stride.froude_speed)
            for name, guess in (
                ("mean gait", mean),
                ("prior", prior.coefficients(latent, stride.froude_speed)),
                ("the person's first stride", mean + own),
            ):
                rows.setdefault(name, []).append(_misses(prior, guess, stride))
        for name, row in rows.items():
            errors.setdefault(name, []).append(np.mean(row, axis=0))
    return {name: Reconstruction(*np.sqrt(np.mean(rows, axis=0)).tolist()) for name, rows in errors.items()}


def _misses(prior: GaitPrior, guess: Array, stride: Stride) -> Array:
    """Mean squares of an error in degrees and in millimetres."""
    phase = np.arange(len(stride.sway)) / len(stride.sway)
    world, _ = prior.decode(guess, phase)
    measured = orientations(stride.rotations)
    for joint in (10, 11, 22, 23):
        measured[:, joint] = measured[:, PARENTS[joint]]
    turn = rotation_vector(world[:, SEGMENTS].swapaxes(-1, -2) @ measured[:, SEGMENTS])
    body, still = average_body(), np.zeros((len(phase), 3))
    away = body.pose_joints(local(world), still) - body.pose_joints(local(measured), still)
    degrees = np.rad2deg(np.linalg.norm(turn, axis=-1))
    return np.array([np.mean(degrees**2), 1e6 * np.mean(np.sum(away.astype(np.float64) ** 2, axis=-1))])

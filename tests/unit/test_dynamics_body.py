"""Inverse dynamics of the whole body: closed forms and conservation laws."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES, MIRROR, PARENTS
from gait3dlib.dynamics import (
    Dynamics,
    inverse_dynamics,
    joint_powers,
    joint_wrenches,
    mechanical_energy,
)
from gait3dlib.dynamics._filter import low_pass
from gait3dlib.dynamics._moving import moving_joints
from gait3dlib.simulation import sample_walker

G = 9.80665
F64 = NDArray[np.float64]
Reaction: TypeAlias = Literal["newton", "walking"]


@pytest.fixture(scope="module")
def stroll() -> F64:
    """Three seconds of a simulated walker's joints at 100 Hz."""
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=1, fps=100.0, seconds=3.0)
    return walker.body().frames(motion.rotations, motion.translation)[1]


@pytest.fixture(scope="module")
def statue() -> F64:
    """A body at rest, feet 20 cm apart, for a second at 100 Hz."""
    joints = sample_walker(seed=3, index=1).body().joints
    return np.repeat(joints[None], 100, axis=0)


def inner(found: Dynamics) -> slice:
    """Frames that the ends of the recording do not reach."""
    return slice(15, len(found) - 15)


def test_standing_still_bears_the_weight_and_static_moments(statue: F64) -> None:
    found = inverse_dynamics(statue, 100.0)
    np.testing.assert_allclose(found.ground_force.sum(1), np.tile([0, 0, 1.0], (100, 1)), atol=1e-9)
    assert found.contact.all()
    np.testing.assert_allclose(found.power, 0, atol=1e-9)
    # whatever the feet share, nothing is left over for an outside force
    np.testing.assert_allclose(found.force[:, 0], 0, atol=1e-9)
    # both arms hang on the shoulders by their weight: statics of the table's fractions
    shoulder, elbow, wrist, hand = (
        JOINT_NAMES.index(f"left_{n}") for n in ("shoulder", "elbow", "wrist", "hand")
    )
    parts = (
        (shoulder, elbow, 0.0263, 0.5763),
        (elbow, wrist, 0.0150, 0.4567),
        (wrist, hand, 0.00585, 0.7687),
    )
    weight, lever, at = 0.0, np.zeros(3), statue[0]
    for start, end, mass, share in parts:
        weight += mass
        lever += mass * ((1 - share) * at[start] + share * at[end] - at[shoulder])
    np.testing.assert_allclose(found.force[:, shoulder, 2], weight, rtol=1e-3)
    expected = np.cross(lever, [0, 0, 1.0]) / found.height_m
    np.testing.assert_allclose(found.moment[50, shoulder], expected, rtol=1e-3, atol=1e-6)


def test_free_fall_needs_no_forces(statue: F64) -> None:
    t = np.arange(100) / 100
    falling = statue + np.stack([1.5 * t, 0 * t, 3.0 - G * t**2 / 2], 1)[:, None]
    found = inverse_dynamics(falling, 100.0)
    assert not found.contact.any()
    for values in (found.force, found.moment, found.ground_force, found.power):
        np.testing.assert_allclose(values, 0, atol=1e-8)


def test_a_cart_at_constant_speed_needs_no_horizontal_force(statue: F64) -> None:
    t = np.arange(100) / 100
    rolling = statue + np.stack([1.5 * t, -0.4 * t, 0 * t], 1)[:, None]
    found = inverse_dynamics(rolling, 100.0)
    np.testing.assert_allclose(found.ground_force.sum(1), np.tile([0, 0, 1.0], (100, 1)), atol=1e-9)


@pytest.mark.parametrize("reaction", ["newton", "walking"])
def test_over_a_stride_the_ground_bears_the_weight(stroll: F64, reaction: Reaction) -> None:
    found = inverse_dynamics(stroll, 100.0, reaction=reaction)
    landings = np.flatnonzero(np.diff(found.contact[:, 0].astype(int)) == 1)
    stride = slice(landings[0], landings[1])
    assert found.ground_force[stride, :, 2].sum(1).mean() == pytest.approx(1.0, abs=0.02)
    assert not found.exact[found.contact.all(axis=1)].any()


def test_newtons_law_holds_in_every_frame(stroll: F64) -> None:
    found = inverse_dynamics(stroll, 100.0, reaction="newton")
    assert np.abs(found.force[inner(found), 0]).max() < 1e-6
    assert found.exact.any()


def test_joint_powers_of_a_walk_are_the_rate_of_change_of_its_energy(stroll: F64) -> None:
    moving = moving_joints(stroll, 100.0, None, None)
    motion = moving.motion
    # nothing outside is stated, so the root's force and moment stand for the ground
    force, moment = joint_wrenches(PARENTS, moving.mass, moving.inertia, motion)
    power = joint_powers(PARENTS, motion, force, moment).sum(-1).numpy()[20:-20]
    energy = mechanical_energy(moving.mass, moving.inertia, motion)
    rate = low_pass(energy, 100.0, None)[1].numpy()[20:-20]
    assert np.sqrt(np.mean((power - rate) ** 2)) < 0.01 * np.sqrt(np.mean(rate**2))


@pytest.mark.parametrize("reaction", ["newton", "walking"])
def test_yaw_turns_outputs_and_nothing_else(stroll: F64, reaction: Reaction) -> None:
    angle = 0.9
    c, s = math.cos(angle), math.sin(angle)
    turned = stroll @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T
    expected = inverse_dynamics(stroll, 100.0, reaction=reaction).turned(angle)
    found = inverse_dynamics(turned, 100.0, reaction=reaction)
    for name in ("force", "moment", "power", "ground_force", "ground_point", "centre_of_mass"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
    np.testing.assert_array_equal(found.contact, expected.contact)
    np.testing.assert_array_equal(found.exact, expected.exact)


@pytest.mark.parametrize("reaction", ["newton", "walking"])
def test_similar_walkers_have_the_same_dimensionless_forces(stroll: F64, reaction: Reaction) -> None:
    scale = 1.3
    found = inverse_dynamics(stroll, 100.0, reaction=reaction)
    larger = inverse_dynamics(stroll * scale, 100.0 / math.sqrt(scale), reaction=reaction)
    for name in ("force", "moment", "power", "ground_force"):
        np.testing.assert_allclose(getattr(larger, name), getattr(found, name), atol=1e-9)
    np.testing.assert_array_equal(larger.contact, found.contact)


@pytest.mark.parametrize("reaction", ["newton", "walking"])
def test_a_mirrored_walk_has_mirrored_forces(stroll: F64, reaction: Reaction) -> None:
    flip = np.array([1.0, -1.0, 1.0])
    found = inverse_dynamics(stroll, 100.0, reaction=reaction)
    mirrored = inverse_dynamics(stroll[:, list(MIRROR)] * flip, 100.0, reaction=reaction)
    np.testing.assert_allclose(mirrored.force[:, list(MIRROR)] * flip, found.force, atol=1e-9)
    np.testing.assert_allclose(mirrored.moment[:, list(MIRROR)] * -flip, found.moment, atol=1e-9)
    np.testing.assert_allclose(mirrored.ground_force[:, ::-1] * flip, found.ground_force, atol=1e-9)

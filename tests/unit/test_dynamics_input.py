"""Inverse dynamics: what comes in wrong, what is filled; speed; bodies with a mesh."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES, Body, BodyShape
from gait3dlib.dynamics import inverse_dynamics
from gait3dlib.dynamics._filter import low_pass
from gait3dlib.dynamics._mesh import mesh_segments
from gait3dlib.dynamics._segments import table_mass
from gait3dlib.dynamics._walking import shipped_reaction
from gait3dlib.errors import InputError
from gait3dlib.simulation import sample_walker
from gait3dlib.types import GaitSequence

F64 = NDArray[np.float64]
FPS = 100.0


@pytest.fixture(scope="module")
def stroll() -> F64:
    """Two seconds of a simulated walker's joints."""
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=1, fps=FPS, seconds=2.0)
    return walker.body().frames(motion.rotations, motion.translation)[1]


# wrong input


def test_millimetres_are_recognised(stroll: F64) -> None:
    with pytest.raises(InputError, match=r"in mm: divide them by 1000"):
        inverse_dynamics(stroll * 1000, FPS)
    with pytest.raises(InputError, match=r"in cm: divide them by 100"):
        inverse_dynamics(stroll * 100, FPS)
    with pytest.raises(InputError, match="must be in metres"):
        inverse_dynamics(stroll / 1000, FPS)
    with pytest.raises(InputError, match="height is 170"):
        inverse_dynamics(stroll, FPS, height=170)


def test_too_few_frames_say_how_many_are_needed(stroll: F64) -> None:
    with pytest.raises(InputError, match="4 frames at 100 a second are too few") as caught:
        inverse_dynamics(stroll[:4], FPS)
    least = int(str(caught.value).split()[-1])
    assert len(inverse_dynamics(stroll[:least], FPS)) == least
    with pytest.raises(InputError, match="too few"):
        inverse_dynamics(stroll[: least - 1], FPS)
    with pytest.raises(InputError):
        inverse_dynamics(stroll[:0], FPS)


@pytest.mark.parametrize(
    ("words", "name"), [({"mass": 0}, "mass"), ({"mass": -3}, "mass"), ({"height": 0}, "height")]
)
def test_no_mass_and_no_height(stroll: F64, words: dict[str, float], name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be a positive number"):
        inverse_dynamics(stroll, FPS, **words)
    with pytest.raises(InputError, match="fps"):
        inverse_dynamics(stroll, 0.0)


def test_missing_legs_are_named(stroll: F64) -> None:
    gone = stroll.copy()
    gone[:, [10, 11]] = np.nan
    with pytest.raises(InputError, match="left_foot, right_foot are missing"):
        inverse_dynamics(gone, FPS)
    with pytest.raises(InputError, match=r"\[frames, 24, 3\]"):
        inverse_dynamics(stroll[:, :17], FPS)
    with pytest.raises(InputError, match="infinity"):
        inverse_dynamics(np.where(stroll > 1.2, np.inf, stroll), FPS)


def test_feet_that_never_touch_a_floor(stroll: F64) -> None:
    t = np.arange(len(stroll)) / FPS
    # a body on a swing: borne, but its feet are always fast
    carried = (
        stroll[:1] + np.stack([1.5 * np.sin(6 * t), 1.5 * np.cos(6 * t), 0.3 * np.sin(9 * t)], 1)[:, None]
    )
    with pytest.raises(InputError, match="never touch the floor"):
        inverse_dynamics(carried, FPS)


def test_a_ground_reaction_that_does_not_fit(stroll: F64) -> None:
    load = np.zeros((len(stroll), 2, 6))
    with pytest.raises(InputError, match="resample it"):
        inverse_dynamics(stroll, FPS, ground_reaction=load[:-1])
    load[..., 2] = 350.0
    with pytest.raises(InputError, match=r"in newtons; divide its forces by mass"):
        inverse_dynamics(stroll, FPS, ground_reaction=load)
    load[..., 2], load[..., 3:] = 0.5, np.nan
    with pytest.raises(InputError, match="without a point"):
        inverse_dynamics(stroll, FPS, ground_reaction=load)
    with pytest.raises(InputError, match="did you mean 'newton'"):
        inverse_dynamics(stroll, FPS, reaction="newtons")  # type: ignore[arg-type]


# what is not there


def test_what_a_layout_lacks_is_nan_and_keeps_its_mass(stroll: F64) -> None:
    lacking = [JOINT_NAMES.index(name) for name in ("spine1", "spine2", "left_collar", "left_hand", "head")]
    gone = stroll.copy()
    gone[:, lacking] = np.nan
    whole, found = inverse_dynamics(stroll, FPS), inverse_dynamics(gone, FPS)
    for values in (found.force, found.moment, found.power):
        assert np.isnan(values[:, lacking]).all()
        assert np.isfinite(np.delete(values, lacking, axis=1)).all()
    # the mean weight does not hang on which joints were seen
    np.testing.assert_allclose(
        found.ground_force[20:-20, :, 2].sum(1).mean(),
        whole.ground_force[20:-20, :, 2].sum(1).mean(),
        atol=0.02,
    )
    np.testing.assert_allclose(found.moment[:, 4], whole.moment[:, 4], atol=0.02)


def test_short_gaps_are_bridged_and_flagged(stroll: F64) -> None:
    gone = stroll.copy()
    gone[80:85, 4] = np.nan
    whole, found = (inverse_dynamics(joints, FPS, reaction="newton") for joints in (stroll, gone))
    assert np.isfinite(found.moment).all()
    assert not found.exact[80:85].any()
    assert whole.leg_exact[80:85].any()


def test_measured_reactions_are_taken_as_they_are(stroll: F64) -> None:
    free = inverse_dynamics(stroll, FPS, reaction="newton")
    load = np.concatenate([free.ground_force, np.nan_to_num(free.ground_point)], -1)
    again = inverse_dynamics(stroll, FPS, ground_reaction=load)
    np.testing.assert_allclose(again.moment, free.moment, atol=1e-9)
    assert again.exact[20:-20].all()
    # one plate: the other foot bears the rest
    load[:, 1] = np.nan
    one = inverse_dynamics(stroll, FPS, ground_reaction=load, reaction="newton")
    both = free.contact.all(axis=1)
    np.testing.assert_allclose(one.ground_force[both], free.ground_force[both], atol=1e-9)
    assert one.exact[20:-20][both[20:-20]].all()


def test_walking_reaction_bears_the_weight_and_is_never_exact(stroll: F64) -> None:
    found = inverse_dynamics(stroll, FPS)
    assert found.source == "walking"
    landings = np.flatnonzero(np.diff(found.contact[:, 0].astype(int)) == 1)
    stride = slice(landings[0], landings[1])
    assert found.ground_force[stride, :, 2].sum(1).mean() == pytest.approx(1.0, abs=0.03)
    assert not found.leg_exact[found.contact].any()
    assert len(inverse_dynamics(stroll[:60], FPS, reaction="walking")) == 60  # shorter than its slow filter
    still = np.repeat(stroll[:1], 100, axis=0)
    newton, standing = (inverse_dynamics(still, FPS, reaction=r) for r in ("newton", "walking"))
    np.testing.assert_array_equal(standing.moment, newton.moment)
    assert standing.source == newton.source == "newton"  # nobody walks


def test_a_noisier_walk_leans_more_on_what_is_usual(stroll: F64) -> None:
    noise = np.random.default_rng(4).normal(0, 0.006, stroll.shape)
    usual = shipped_reaction()

    def apart(joints: F64) -> float:
        found = inverse_dynamics(joints, FPS)
        newton = inverse_dynamics(joints, FPS, reaction="newton")
        up = [d.ground_force[20:-20, :, 2].sum(1) for d in (found, newton)]
        return float(np.corrcoef(*up)[0, 1])

    assert usual.spread.min() > 0
    assert apart(stroll) > apart(stroll + noise) + 0.05


# results


def test_streams_fit_their_specs_and_si_is_newtons(stroll: F64) -> None:
    found = inverse_dynamics(stroll, FPS)
    seq = GaitSequence(found.streams())
    assert seq.streams["force"].data.shape == (len(stroll), 24, 7)
    assert seq.streams["ground_reaction"].data.shape == (len(stroll), 2, 6)
    assert seq.streams["force"].fps == pytest.approx(FPS)
    si = found.si(mass_kg=70, height_m=1.8)
    np.testing.assert_allclose(si.ground_force_n, found.ground_force * 70 * 9.80665)
    np.testing.assert_allclose(si.moment_nm, found.moment * 70 * 9.80665 * 1.8)
    np.testing.assert_allclose(si.power_w, found.power * 70 * 9.80665 * np.sqrt(9.80665 * 1.8))
    with pytest.raises(InputError, match="pass mass_kg"):
        found.si()


def test_ten_seconds_take_less_than_a_fifth_of_a_second() -> None:
    walker = sample_walker(seed=3, index=1)
    motion = walker.walk(seed=1, fps=FPS, seconds=10.0)
    joints = walker.body().frames(motion.rotations, motion.translation)[1]
    inverse_dynamics(joints, FPS)
    spent = []
    for _ in range(3):
        begin = time.process_time()  # other processes do not count
        inverse_dynamics(joints, FPS)
        spent.append(time.process_time() - begin)
    assert min(spent) < 0.2


def test_the_filter_passes_what_it_states_without_delay() -> None:
    t = torch.arange(400, dtype=torch.float64) / FPS
    for hertz, passed in ((0.5, 1.0), (6.0, np.sqrt(0.5)), (20.0, 0.02)):
        wave = torch.sin(2 * np.pi * hertz * t)
        value, first, second = (x[100:300] for x in low_pass(wave, FPS, 6.0))
        gain = float((value * wave[100:300]).sum() / (wave[100:300] ** 2).sum())
        assert gain == pytest.approx(passed, abs=0.01)
        speed = 2 * np.pi * hertz
        np.testing.assert_allclose(second, -(speed**2) * value, atol=0.03 * speed**2)
        slope = gain * speed * torch.cos(speed * t[100:300])
        np.testing.assert_allclose(first, slope, atol=0.03 * speed)


# bodies


def test_mesh_segments_add_up_and_resemble_the_table() -> None:
    body = Body.load().shape(BodyShape(35, "male", 1.78, 75))
    mass, centre, inertia = mesh_segments(body)
    assert mass.sum() == pytest.approx(1.0)
    assert (mass >= 0).all()
    np.testing.assert_allclose(mass[[1, 4, 7]], mass[[2, 5, 8]], rtol=0.05)
    table = table_mass()
    for names in (("left_knee",), ("left_shoulder",), ("left_ankle",)):
        rows = [JOINT_NAMES.index(name) for name in names]
        assert mass[rows].sum() == pytest.approx(table[rows].sum(), rel=0.35)
    # the parts together have the mesh's centre of mass
    vertices, faces = body.vertices.astype(float), body.faces
    corner = vertices[faces]
    six = np.einsum("na,na->n", corner[:, 0], np.cross(corner[:, 1], corner[:, 2]))
    middle = (six[:, None] * corner.sum(1)).sum(0) / 4 / six.sum()
    parts = (mass[:, None] * (body.joints + centre)).sum(0)
    np.testing.assert_allclose(parts, middle, atol=0.005)
    for joint in np.flatnonzero(mass > 0.002):
        assert np.linalg.eigvalsh(inertia[joint]).min() > 0


def test_an_smpl_stream_moves_as_its_joints_do() -> None:
    walker = sample_walker(seed=3, index=1)
    body = walker.body("full")
    motion = walker.walk(seed=1, fps=FPS, seconds=2.0)
    from scipy.spatial.transform import Rotation

    pose = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 72)
    smpl = np.concatenate([motion.translation, pose, np.tile(body.numbers, (len(pose), 1))], 1)
    found = inverse_dynamics(smpl, FPS)
    joints = inverse_dynamics(
        body.frames(motion.rotations, motion.translation)[1], FPS, height=found.height_m
    )
    assert found.height_m == pytest.approx(body.height_m, rel=1e-3)
    inner = slice(20, -20)
    up = [d.ground_force[inner, :, 2].sum(1) for d in (found, joints)]
    assert np.corrcoef(*up)[0, 1] > 0.97
    assert np.sqrt(np.mean((up[0] - up[1]) ** 2)) < 0.05
    with pytest.raises(InputError, match="NaN"):
        inverse_dynamics(np.full((50, 85), np.nan), FPS)

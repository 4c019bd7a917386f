"""Inverse dynamics against closed forms, conservation laws and another program."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import JOINT_NAMES, PARENTS
from gait3dlib.dynamics import (
    ExternalLoad,
    RigidTree,
    joint_powers,
    joint_wrenches,
    mechanical_energy,
    move_tree,
)

G = 9.80665
F64 = NDArray[np.float64]


def tensor(*rows: object) -> Tensor:
    return torch.tensor(rows if len(rows) > 1 else rows[0], dtype=torch.float64)


def turn_about_y(angle: Tensor) -> Tensor:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).reshape(*angle.shape, 3, 3)


def rods(lengths: list[float], masses: list[float]) -> RigidTree:
    """Point masses on massless rods that hang along -z, one below the other."""
    count = len(lengths)
    offsets = torch.zeros(count, 3, dtype=torch.float64)
    offsets[1:, 2] = -tensor(lengths)[:-1] if count > 1 else offsets[1:, 2]
    centre = torch.zeros(count, 3, dtype=torch.float64)
    centre[:, 2] = -tensor(lengths) if count > 1 else -lengths[0]
    inertia = torch.zeros(count, 3, 3, dtype=torch.float64)
    return RigidTree(tuple(range(-1, count - 1)), offsets, tensor(masses).reshape(count), centre, inertia)


def planar(tree: RigidTree, q: Tensor, dq: Tensor, ddq: Tensor) -> tuple[Tensor, Tensor]:
    """Wrenches of a chain that turns about y by relative angles [T, J]."""
    still = torch.zeros(len(q), 3, dtype=torch.float64)
    y = tensor([0.0, 1.0, 0.0])
    motion = move_tree(tree, turn_about_y(q), dq[..., None] * y, ddq[..., None] * y, (still, still, still))
    return joint_wrenches(tree.parents, tree.mass, tree.inertia, motion)


def swing(count: int, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth angles [50, count] with their exact derivatives."""
    rng = np.random.default_rng(seed)
    t = torch.linspace(0, 2, 50, dtype=torch.float64)[:, None]
    a, w, p = (torch.from_numpy(rng.uniform(*r, count)) for r in ((0.3, 1.2), (1.0, 5.0), (0.0, 6.0)))
    phase = w * t + p
    return a * phase.sin(), a * w * phase.cos(), -a * w**2 * phase.sin()


def test_a_pendulum_has_its_closed_form() -> None:
    length, mass = 0.7, 1.3
    q, dq, ddq = swing(1)
    force, moment = planar(rods([length], [mass]), q, dq, ddq)
    expected = mass * length**2 * ddq + mass * G * length * q.sin()
    torch.testing.assert_close(moment[:, 0, 1], expected[:, 0], rtol=1e-12, atol=1e-12)
    # along the rod: weight and the centripetal force
    along = -turn_about_y(q[:, 0])[:, :, 2]
    pull = -(force[:, 0] * along).sum(-1)
    torch.testing.assert_close(
        pull, (mass * G * q.cos() + mass * length * dq**2)[:, 0], rtol=1e-12, atol=1e-12
    )


def test_a_double_pendulum_has_its_closed_form() -> None:
    (l1, l2), (m1, m2) = (0.5, 0.4), (2.0, 1.1)
    q, dq, ddq = swing(2)
    _, moment = planar(rods([l1, l2], [m1, m2]), q, dq, ddq)
    (q1, q2), (d1, d2), (a1, a2) = q.unbind(1), dq.unbind(1), ddq.unbind(1)
    # Lagrange's equations in relative angles (Craig, Introduction to Robotics, 2005, section 6.7)
    elbow = m2 * l1 * l2 * q2.cos() * a1 + m2 * l1 * l2 * q2.sin() * d1**2
    elbow = elbow + m2 * G * l2 * (q1 + q2).sin() + m2 * l2**2 * (a1 + a2)
    shoulder = m2 * l2**2 * (a1 + a2) + m2 * l1 * l2 * q2.cos() * (2 * a1 + a2) + (m1 + m2) * l1**2 * a1
    shoulder = shoulder - m2 * l1 * l2 * q2.sin() * d2**2 - 2 * m2 * l1 * l2 * q2.sin() * d1 * d2
    shoulder = shoulder + m2 * G * l2 * (q1 + q2).sin() + (m1 + m2) * G * l1 * q1.sin()
    torch.testing.assert_close(moment[:, 1, 1], elbow, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(moment[:, 0, 1], shoulder, rtol=1e-11, atol=1e-11)


def random_tree(rng: np.random.Generator, joints: int) -> RigidTree:
    parents = (-1, *(int(rng.integers(0, j)) for j in range(1, joints)))
    spread = rng.normal(size=(joints, 4, 3))
    inertia = np.einsum("jka,jkb->jab", spread, spread)
    inertia = np.trace(inertia, axis1=1, axis2=2)[:, None, None] * np.eye(3) - inertia
    numbers = (
        rng.normal(size=(joints, 3)),
        rng.uniform(0.5, 3, joints),
        rng.normal(size=(joints, 3)),
        inertia,
    )
    return RigidTree(parents, *(torch.from_numpy(np.asarray(n)) for n in numbers))


def random_states(rng: np.random.Generator, joints: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    quaternions = rng.normal(size=(count, joints, 4))
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    turns = torch.from_numpy(np.stack(rows, -1).reshape(count, joints, 3, 3))
    return turns, torch.from_numpy(quaternions), torch.from_numpy(rng.normal(size=(2, count, joints, 3)))


def mujoco_model(tree: RigidTree) -> mujoco.MjModel:
    """The same tree: a free root, ball joints elsewhere."""
    spec = mujoco.MjSpec()
    spec.option.gravity = [0, 0, -G]
    spec.compiler.boundmass = spec.compiler.boundinertia = 0
    bodies: list[mujoco.MjsBody] = []
    for joint, parent in enumerate(tree.parents):
        above = spec.worldbody if parent < 0 else bodies[parent]
        body = above.add_body(name=str(joint), pos=[0, 0, 0] if parent < 0 else tree.offsets[joint].tolist())
        kind = mujoco.mjtJoint.mjJNT_FREE if parent < 0 else mujoco.mjtJoint.mjJNT_BALL
        body.add_joint(type=kind)
        body.mass, body.ipos, body.explicitinertial = (
            float(tree.mass[joint]),
            tree.centre[joint].tolist(),
            True,
        )
        i = tree.inertia[joint]
        body.fullinertia = [float(i[a, b]) for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
        bodies.append(body)
    return spec.compile()


def test_random_motions_of_random_trees_agree_with_mujoco() -> None:
    rng = np.random.default_rng(11)
    for joints in (1, 4, 9):
        tree, count = random_tree(rng, joints), 5
        turns, quaternions, (spin, spin_up) = random_states(rng, joints, count)
        root = tuple(torch.from_numpy(rng.normal(size=(count, 3))) for _ in range(3))
        motion = move_tree(tree, turns, spin, spin_up, root)
        force, moment = joint_wrenches(tree.parents, tree.mass, tree.inertia, motion)
        model = mujoco_model(tree)
        data = mujoco.MjData(model)
        # mujoco numbers bodies depth first
        order = [int(model.body(i).name) for i in range(1, model.nbody)]
        for k in range(count):
            data.qpos[:] = np.concatenate([root[0][k], quaternions[k, order].ravel()])
            data.qvel[:] = np.concatenate([root[1][k], spin[k, order].ravel()])
            data.qacc[:] = np.concatenate([root[2][k], spin_up[k, order].ravel()])
            mujoco.mj_inverse(model, data)
            local = (motion.rotation[k].transpose(-1, -2) @ moment[k, :, :, None])[order, :, 0]
            ours = np.concatenate([force[k, 0], local.ravel()])
            np.testing.assert_allclose(ours, data.qfrc_inverse, rtol=1e-6, atol=1e-6 * np.abs(ours).max())


def test_joint_powers_are_the_rate_of_change_of_energy() -> None:
    rng = np.random.default_rng(5)
    tree = random_tree(rng, 6)
    turns, _, (spin, spin_up) = random_states(rng, 6, 1)
    root = tuple(torch.from_numpy(rng.normal(size=(1, 3))) for _ in range(3))

    def energy(t: Tensor) -> Tensor:
        # angular velocity in own axes, to first order in time about t = 0
        speed = spin + spin_up * t
        odd = torch.linalg.cross(
            torch.eye(3, dtype=torch.float64).expand(1, 6, 3, 3), (spin * t)[..., None, :].expand(1, 6, 3, 3)
        ).transpose(-1, -2)
        turned = turns @ torch.matrix_exp(odd.transpose(-1, -2))
        place = root[0] + root[1] * t + root[2] * t**2 / 2
        motion = move_tree(tree, turned, speed, spin_up, (place, root[1] + root[2] * t, root[2]))
        return mechanical_energy(tree.mass, tree.inertia, motion).sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (rate,) = torch.autograd.grad(energy(t), t)
    motion = move_tree(tree, turns, spin, spin_up, root)
    force, moment = joint_wrenches(tree.parents, tree.mass, tree.inertia, motion)
    assert float(joint_powers(tree.parents, motion, force, moment).sum()) == pytest.approx(
        float(rate), rel=1e-9
    )


def test_gradients_flow_through_newton_euler() -> None:
    rng = np.random.default_rng(6)
    tree = random_tree(rng, 3)
    turns, _, (spin, spin_up) = random_states(rng, 3, 2)
    still = torch.zeros(2, 3, dtype=torch.float64)

    def moments(speed: Tensor, mass: Tensor) -> Tensor:
        motion = move_tree(tree, turns, speed, spin_up, (still, still, still))
        return joint_wrenches(tree.parents, mass, tree.inertia, motion)[1]

    inputs = (spin.clone().requires_grad_(True), tree.mass.clone().requires_grad_(True))
    assert torch.autograd.gradcheck(moments, inputs)


def test_external_loads_act_at_their_point() -> None:
    tree = rods([1.0], [2.0])
    still = torch.zeros(1, 3, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64).expand(1, 1, 3, 3)
    motion = move_tree(tree, eye, still[:, None], still[:, None], (still, still, still))
    load = ExternalLoad(tensor([[[5.0, 0, 0]]]), tensor([[[0, 0, -0.5]]]), tensor([[[0, 0, 0.25]]]))
    force, moment = joint_wrenches(tree.parents, tree.mass, tree.inertia, motion, load)
    np.testing.assert_allclose(force[0, 0], [-5, 0, 2 * G])
    np.testing.assert_allclose(moment[0, 0], [0, 2.5, -0.25])


def test_parents_of_the_body_are_smpls() -> None:
    assert len(PARENTS) == len(JOINT_NAMES) == 24

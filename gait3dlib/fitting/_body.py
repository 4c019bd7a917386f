"""The body on torch: joints and skin as differentiable functions of shape numbers and pose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import PARENTS, Body
from gait3dlib.body._numbers import AXES, STRETCHED
from gait3dlib.body._shaped import t_pose_rotations

F64 = NDArray[np.float64]
_DEPTH = [0] * 24
for _joint, _parent in enumerate(PARENTS[1:], start=1):
    _DEPTH[_joint] = _DEPTH[_parent] + 1
# joints of equal depth; SMPL's order is by depth, so these in a row are all joints
LEVELS = [[j for j in range(24) if _DEPTH[j] == depth] for depth in range(max(_DEPTH) + 1)]
_CHILD = [PARENTS.index(start) for starts in STRETCHED for start in starts]
_START = [start for starts in STRETCHED for start in starts]


class TorchBody:
    """The shape space of :class:`gait3dlib.body.Body` in torch, double precision, full detail.

    Multilinear between the corners of its grid as the numpy one, with the same ten shape numbers. The
    rotations that bring a body to the T-pose are held fixed while a fit runs (`settle` renews them); they
    only say what zero rotations mean, so holding them costs nothing.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        space = body.space
        mean, basis, joints_mean, joints_basis = space.components
        self._knots = [torch.as_tensor(k, dtype=torch.float64) for k in space.knots]
        flat = space.scores.reshape(-1, space.scores.shape[-1])
        self._scores = torch.as_tensor(flat)
        self._corner_joints = torch.as_tensor(flat @ joints_basis + joints_mean)
        self._mean = torch.as_tensor(mean).reshape(-1, 3)
        self._basis = torch.as_tensor(basis).reshape(len(basis), -1, 3)
        self.weights = torch.as_tensor(np.array(space.mesh.weights), dtype=torch.float64)
        self.to_t_pose = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
        self.faces = torch.as_tensor(np.array(space.mesh.faces), dtype=torch.int64)
        self.edges, self.beside = _edges(np.array(space.mesh.faces, np.int64))
        self.whole = self.skin_of(torch.arange(len(self.weights)))

    def settle(self, numbers: F64) -> None:
        """Take the rotations to the T-pose from the body of these shape numbers."""
        joints = self.bind_joints(torch.tensor(numbers))[0]
        self.to_t_pose = torch.as_tensor(t_pose_rotations(joints.numpy()))

    def _mix(self, numbers: Tensor) -> Tensor:
        mix = torch.ones(1, dtype=torch.float64)
        for knots, value in zip(self._knots, numbers[:AXES], strict=True):
            mix = (mix[:, None] * _hat(knots, value)).reshape(-1)
        return mix

    def bind_joints(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Joints of the bind pose [24, 3], as the shape space has them and with the limbs stretched."""
        joints = (self._mix(numbers) @ self._corner_joints).reshape(24, 3)
        parents = torch.tensor(PARENTS[1:])
        bones = joints[1:] - joints[parents]
        factor = torch.ones(24, dtype=torch.float64)
        factor = factor.index_put((torch.tensor(_CHILD),), numbers[AXES:].repeat_interleave(2).exp())
        bones = bones * factor[1:, None]
        placed = [joints[0]]
        for joint, parent in enumerate(PARENTS[1:], start=1):
            placed.append(placed[parent] + bones[joint - 1])
        return joints, torch.stack(placed)

    def skin_of(self, index: Tensor, rows: Tensor | None = None) -> Skin:
        """Vertices for :meth:`Posed.skin`: `index` [P] in all frames, or [N, P] in the frames `rows` [N]."""
        used, inverse = torch.unique(index, return_inverse=True)
        return Skin(
            self._mean[used], self._basis[:, used].contiguous(), self.weights[used], inverse,
            self.weights[index], rows,
        )  # fmt: skip

    def bind_vertices(self, numbers: Tensor, skin: Skin) -> Tensor:
        """Some vertices [U, 3] of the bind pose."""
        scores = (self._mix(numbers) @ self._scores).float()
        found = (scores @ skin.basis.flatten(1)).view(-1, 3) + skin.mean
        joints, moved = self.bind_joints(numbers)
        along = joints[_CHILD] - joints[_START]
        along = along / along.norm(dim=1, keepdim=True)
        grow = numbers[AXES:].repeat_interleave(2).expm1()
        extra = grow[:, None, None] * along[:, :, None] * along[:, None, :]
        matrices = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
        matrices = matrices.index_add(0, torch.tensor(_START), extra)
        shift = moved - (matrices @ joints[:, :, None])[:, :, 0]
        blended = skin.own_weights @ torch.cat([matrices.reshape(24, 9), shift], dim=1)
        turned: Tensor = (blended[:, :9].reshape(-1, 3, 3) @ found.double()[:, :, None])[:, :, 0]
        return turned + blended[:, 9:]

    def pose(self, numbers: Tensor, local: Tensor, pelvis: Tensor) -> Posed:
        """The body of `numbers` [10] with rotations `local` [T, 24, 3, 3] and its pelvis at [T, 3]."""
        bind = self.bind_joints(numbers)[1]
        parents = torch.tensor(PARENTS[1:])
        bones = (self.to_t_pose[parents] @ (bind[1:] - bind[parents])[:, :, None])[:, :, 0]
        bones = torch.cat([torch.zeros(1, 3, dtype=torch.float64), bones])
        world, joints = [local[:, :1]], [pelvis[:, None]]
        for above, level in itertools.pairwise(LEVELS):
            places = [above.index(PARENTS[j]) for j in level]
            turned = world[-1][:, places]
            world.append(turned @ local[:, level])
            joints.append(joints[-1][:, places] + (turned @ bones[level][:, :, None])[..., 0])
        return Posed(self, numbers, bind, local, torch.cat(world, 1), torch.cat(joints, 1))


@dataclass(frozen=True)
class Skin:
    """Chosen vertices: their part of the shape space, and their weights; made by :meth:`TorchBody.skin_of`.

    `mean` [U, 3], `basis` [C, U, 3] and `own_weights` [U, 24] are of the different ones, `inverse` says which
    of these each is, `weights` [..., 24] are of each, and `rows` [N] the frames, None = all.
    """

    mean: Tensor
    basis: Tensor
    own_weights: Tensor
    inverse: Tensor
    weights: Tensor
    rows: Tensor | None


@dataclass(frozen=True)
class Posed:
    """A body in all frames of a walk.

    Attributes:
        body: whose shape space.
        numbers: [10].
        bind: [24, 3], joints of the bind pose.
        local: [T, 24, 3, 3], rotations relative to the parent.
        world: [T, 24, 3, 3], rotations in the world.
        joints: [T, 24, 3], metres.
    """

    body: TorchBody
    numbers: Tensor
    bind: Tensor
    local: Tensor
    world: Tensor
    joints: Tensor

    @cached_property
    def frames(self) -> Tensor:
        """[T, 24, 12]: each joint's rotation (9) and shift (3) from the bind pose to the world."""
        turned = self.world @ self.body.to_t_pose
        shift = self.joints - (turned @ self.bind[:, :, None])[..., 0]
        return torch.cat([turned.flatten(2), shift], dim=2)

    def skin(self, skin: Skin) -> Tensor:
        """Vertices in the world, [T, P, 3] or, of a skin with rows, [N, P, 3]."""
        bind = self.body.bind_vertices(self.numbers, skin)[skin.inverse]
        frames = self.frames if skin.rows is None else self.frames[skin.rows]
        blended = skin.weights @ frames
        turned = blended[..., :9].reshape(*blended.shape[:-1], 3, 3)
        moved: Tensor = (turned @ bind[..., None])[..., 0] + blended[..., 9:]
        return moved

    def surface(self, rows: Tensor) -> tuple[F64, F64]:
        """All vertices and their outward normals [N, V, 3] in some frames, without gradients."""
        with torch.no_grad():
            body = self.body
            bind = body.bind_vertices(self.numbers, body.whole)
            corner = bind[body.faces]
            area = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
            normals = torch.zeros_like(bind)
            for k in range(3):
                normals.index_add_(0, body.faces[:, k], area)
            blended = (body.weights.float() @ self.frames[rows].float()).double()
            turned = blended[..., :9].reshape(*blended.shape[:-1], 3, 3)
            placed = (turned @ bind[..., None])[..., 0] + blended[..., 9:]
            facing = (turned @ normals[..., None])[..., 0]
            facing = facing / facing.norm(dim=-1, keepdim=True)
            return placed.numpy(), facing.numpy()


def _edges(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges of a closed mesh as two vertices [E, 2], and the two faces [E, 2] beside each."""
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    order = np.lexsort((sides[:, 1], sides[:, 0]))
    owners = order // 3
    return sides[order][::2], owners.reshape(-1, 2)


def _hat(knots: Tensor, value: Tensor) -> Tensor:
    """Linear interpolation weights [knots] at a value; beyond the ends, the last segment goes on."""
    high = int(torch.searchsorted(knots, value.detach()).clamp(1, len(knots) - 1))
    share = (value - knots[high - 1]) / (knots[high] - knots[high - 1])
    corner = torch.eye(len(knots), dtype=torch.float64)
    return corner[high - 1] * (1 - share) + corner[high] * share


def vertex_index(found: Sequence[int] | NDArray[np.integer]) -> Tensor:
    """Vertex numbers as a tensor."""
    return torch.as_tensor(np.asarray(found, np.int64))

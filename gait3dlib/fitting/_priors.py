"""What is known of bodies and walks before anything is seen: as energies, half squared deviations.

Every sum over time is an integral: it is scaled by the frame's share of ``MEMORY_S``, so that a walk at 120
frames a second weighs its priors as the same walk at 30.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import JOINT_NAMES
from gait3dlib.fitting._body import Posed, Skin, vertex_index

F64 = NDArray[np.float64]
MEMORY_S = 0.1

# how far joints turn from their middle while walking, radians; what hinges do is said below
_SPREAD = {
    "hip": 0.6, "spine1": 0.12, "spine2": 0.12, "spine3": 0.15, "ankle": 0.3, "foot": 0.25, "neck": 0.2,
    "collar": 0.15, "head": 0.2, "shoulder": 0.5, "wrist": 0.25, "hand": 0.1, "knee": 1.0, "elbow": 0.8,
}  # fmt: skip
_HANGING = 1.25  # radians by which the arms of a walker hang below the T-pose
_HINGE_SPREAD = 0.15  # knees and elbows out of their plane
_OVER_SPREAD = 0.05  # radians by which they bend the wrong way
# angular accelerations of walking, radians / s2; and of the pelvis' place, m / s2
_TURN_RATE, _LIMB_TURN_RATE, _WAY_RATE = 12.0, 45.0, 4.0
_FAST = ("hip", "knee", "ankle", "foot", "shoulder", "elbow")

# mean and spread of the ten shape numbers: the first six over people (their middle is an adult of BMI 24, the
# world's mean is 24.5: NCD-RisC, Lancet 387, 2016), the last from limb length studies
# (de Leva, J Biomech 29, 1996: segment lengths relative to stature vary by 3 to 5 %)
SHAPE_MEAN = np.array([0.75, 0.5, 0.36, 0.8, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0])
SHAPE_SPREAD = np.array([0.25, 0.4, 0.18, 0.3, 0.3, 0.3, 0.03, 0.03, 0.03, 0.03])
SHAPE_LOW = np.array([0.16, 0.0, 0.0, 0.0, 0.0, 0.0, *[-0.25] * 4])
SHAPE_HIGH = np.array([1.0, 1.0, 1.0, 1.1, 1.0, 1.0, *[0.25] * 4])
_EDGE = 0.01  # how softly the range of a shape number ends


class Priors:
    """Body, pose and smoothness.

    Args:
        t_s: [T] seconds.
    """

    def __init__(self, t_s: F64) -> None:
        steps = np.diff(t_s)
        shares = np.gradient(t_s) / MEMORY_S if len(t_s) > 1 else np.ones(1)
        self.shares = torch.as_tensor(np.minimum(shares, 1.0))
        self.steps = torch.as_tensor(steps)
        names = [name.split("_", 1)[-1] if "_" in name else name for name in JOINT_NAMES]
        spread = [_SPREAD.get(name, np.inf) for name in names]
        self._middle, self._spread = _middle_pose(), torch.tensor(spread, dtype=torch.float64)
        rate = [_LIMB_TURN_RATE if name in _FAST else _TURN_RATE for name in names]
        self._rate = torch.tensor(rate, dtype=torch.float64)

    def shape(self, numbers: Tensor) -> Tensor:
        """Energy of the ten shape numbers."""
        off = (numbers - torch.as_tensor(SHAPE_MEAN)) / torch.as_tensor(SHAPE_SPREAD)
        below = (torch.as_tensor(SHAPE_LOW) - numbers).clamp_min(0.0)
        above = (numbers - torch.as_tensor(SHAPE_HIGH)).clamp_min(0.0)
        return off.square().sum() / 2 + (below.square() + above.square()).sum() / (2 * _EDGE**2)

    def pose(self, posed: Posed) -> Tensor:
        """Energy of joints far from where a walker has them, hinges out of their plane or beyond straight."""
        off = (posed.local - self._middle).square().sum(dim=(-1, -2)) / 2  # about the squared angle
        energy = (off / self._spread**2).sum(dim=1)
        for joint, axis, row, column, sign in (
            (4, 1, 0, 2, -1.0), (5, 1, 0, 2, -1.0), (18, 2, 1, 0, 1.0), (19, 2, 1, 0, -1.0),
        ):  # fmt: skip
            turned = posed.local[:, joint]
            # a hinge leaves its own axis where it is; a knee's is y, an elbow's z
            energy = energy + (1.0 - turned[:, axis, axis]) * 2 / _HINGE_SPREAD**2
            energy = energy + (sign * turned[:, row, column]).clamp_min(0.0).square() / _OVER_SPREAD**2
        return (energy * self.shares).sum() / 2

    def smoothness(self, posed: Posed) -> Tensor:
        """Energy of angular accelerations, and of accelerations of the pelvis."""
        if len(self.steps) < 2:
            return posed.joints.new_zeros(())
        turn = self._second(posed.local).square().sum(dim=(-1, -2)) / 2
        way = self._second(posed.joints[:, 0]).square().sum(dim=-1)
        energy = (turn / self._rate**2).sum(dim=1) + way / _WAY_RATE**2
        return (energy * self.shares[1:-1]).sum() / 2

    def _second(self, values: Tensor) -> Tensor:
        """Second derivative over time at the inner frames, uneven steps allowed."""
        shape = (-1,) + (1,) * (values.dim() - 1)
        before, after = self.steps[:-1].view(shape), self.steps[1:].view(shape)
        rise = (values[2:] - values[1:-1]) / after - (values[1:-1] - values[:-2]) / before
        return rise * 2 / (before + after)


class Soles:
    """Heels and balls of both feet, and when they stand.

    Standing is low and slow: below 5 cm above the lowest, and below 0.4 m/s. While standing a point does not
    move, and lies on one level with all others.
    """

    SPEED, LEVEL = 0.08, 0.008  # spreads of a standing point's speed (m/s) and height (m)

    def __init__(self, rest: NDArray[np.float32]) -> None:
        points = []
        for side in (1.0, -1.0):
            sole = np.flatnonzero((side * rest[:, 1] > 0) & (rest[:, 2] < 0.02))
            x = rest[sole, 0]
            share = (x - x.min()) / np.ptp(x)  # of the foot's length from the heel
            for low, high in ((0.04, 0.2), (0.65, 0.8)):
                part = sole[(share >= low) & (share <= high)]
                points.append(part[np.argmin(rest[part, 2])])
        self.index = vertex_index(points)
        self.standing: Tensor | None = None
        self._skin: Skin | None = None

    def watch(self, posed: Posed, priors: Priors) -> Tensor:
        """Decide from a fitted motion which points stand when; returns the ground's height."""
        self._skin = posed.body.skin_of(self.index)
        with torch.no_grad():
            points = posed.skin(self._skin)
            height = points[..., 2] - points[..., 2].quantile(0.05)
            speed = self._speeds(points, priors.steps)
            slow = torch.sigmoid((0.4 - speed) / 0.08)
            low = torch.sigmoid((0.05 - (height[1:] + height[:-1]) / 2) / 0.01)
            self.standing = slow * low
            both = torch.cat(
                [self.standing[:1], torch.minimum(self.standing[1:], self.standing[:-1]), self.standing[-1:]]
            )
            self._frames = both
            weight = both.sum()
            if weight < 1e-3:
                return points[..., 2].quantile(0.05)
            return (both * points[..., 2]).sum() / weight

    def energy(self, posed: Posed, priors: Priors, ground: Tensor) -> Tensor:
        """Energy of standing points that move or leave the ground."""
        if self.standing is None or self._skin is None or not len(priors.steps):
            return posed.joints.new_zeros(())
        points = posed.skin(self._skin)
        speed = self._speeds(points, priors.steps)
        share = priors.shares[:, None]
        still = (self.standing * speed.square() * (share[1:] + share[:-1]) / 2).sum() / self.SPEED**2
        level = (self._frames * (points[..., 2] - ground).square() * share).sum() / self.LEVEL**2
        # no point of a sole lies below the ground
        below = ((ground - points[..., 2]).clamp_min(0.0).square() * share).sum() / self.LEVEL**2
        return (still + level + below) / 2

    @staticmethod
    def _speeds(points: Tensor, steps: Tensor) -> Tensor:
        return ((points[1:] - points[:-1]) / steps[:, None, None]).square().sum(-1).add(1e-12).sqrt()


def _middle_pose() -> Tensor:
    """[24, 3, 3]: where a walker's joints are on average."""
    turned = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    c, s = np.cos(_HANGING), np.sin(_HANGING)
    for joint, side in ((16, 1.0), (17, -1.0)):
        turned[joint] = torch.tensor([[1.0, 0.0, 0.0], [0.0, c, side * s], [0.0, -side * s, c]])
    c, s = np.cos(0.4), np.sin(0.4)
    turned[4] = turned[5] = torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    for joint, side in ((18, 1.0), (19, -1.0)):
        turned[joint] = torch.tensor([[c, side * s, 0.0], [-side * s, c, 0.0], [0.0, 0.0, 1.0]])
    return turned

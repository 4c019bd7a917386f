"""What evidence asks of the body: as energies, half squared deviations over their spread."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.fitting._body import Posed

F64 = NDArray[np.float64]
OUTLIER = 3.0  # spreads from which on a deviation counts ever less
FULL_RATE = 30.0  # frames a second; errors of frames closer in time are not independent of each other


class Term(Protocol):
    """One kind of evidence."""

    @property
    def free(self) -> tuple[Tensor, ...]:
        """What is not known of the evidence itself, and is fitted with the body."""

    @property
    def ready(self) -> bool:
        """Whether it has something to say before the first look."""

    def energy(self, posed: Posed, robust: bool) -> Tensor:
        """Of a posed body; differentiable."""

    def look(self, posed: Posed) -> None:
        """Between two minimisations: estimate spreads, find partners anew."""


class JointTerm:
    """3-D joints.

    Args:
        joints: [T, 24, 3] metres, NaN = not known.
        share: weight of a frame, 1 at up to 30 frames a second.
    """

    LEAST, MOST = 0.008, 0.08  # metres, of a joint's spread
    ready = True
    free: tuple[Tensor, ...] = ()

    def __init__(self, joints: F64, share: float) -> None:
        known = np.asarray(np.isfinite(joints).all(axis=-1))
        self.joints = torch.as_tensor(np.where(known[..., None], joints, 0.0))
        self.known = torch.as_tensor(known)
        self.share = share
        self.spread = torch.full((24,), 0.03, dtype=torch.float64)

    def energy(self, posed: Posed, robust: bool) -> Tensor:
        """Of joints that lie elsewhere."""
        off = (posed.joints - self.joints).square().sum(-1) / self.spread**2
        return self.share * (loss(off, robust) * self.known).sum()

    def look(self, posed: Posed) -> None:
        """Take each joint's spread from what is left of its deviations."""
        with torch.no_grad():
            off = (posed.joints - self.joints).norm(dim=-1)
            for joint in range(24):
                seen = off[self.known[:, joint], joint]
                if len(seen):
                    # the median length of a 3-D normal vector is 1.538 spreads
                    self.spread[joint] = (seen.median() / 1.538).clamp(self.LEAST, self.MOST)


def loss(squared: Tensor, robust: bool) -> Tensor:
    """Half the square near zero; beyond ``OUTLIER`` spreads linear, or (robust) logarithmic."""
    limit = OUTLIER**2
    if robust:
        return limit / 2 * torch.log1p(squared / limit)
    return limit * (torch.sqrt(1 + squared / limit) - 1)


def frame_share(t_s: F64) -> float:
    """How much a frame counts: 1 up to ``FULL_RATE`` frames a second, less above."""
    return min(1.0, FULL_RATE * float(np.median(np.diff(t_s)))) if len(t_s) > 1 else 1.0

"""A smooth motion: splines over time, of the pelvis' place and of every joint's rotation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

F64 = NDArray[np.float64]
KNOT_S = 0.07  # walking has next to nothing above 6 Hz (Winter 2009, ch. 3); two knots a cycle make 7 Hz
HEADING_S = 0.3


def exp_map(vector: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] (Rodrigues), smooth at zero."""
    square = (vector * vector).sum(-1)[..., None, None]
    angle = (square + 1e-24).sqrt()
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*vector.shape, 3)
    sine = torch.sinc(angle / torch.pi)
    cosine = torch.sinc(angle / (2 * torch.pi)) ** 2 / 2
    turned: Tensor = torch.eye(3, dtype=vector.dtype) + sine * cross + cosine * (cross @ cross)
    return turned


def log_map(matrices: F64) -> F64:
    """Axis-angle vectors [..., 3] of rotation matrices [..., 3, 3]."""
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(flat.reshape(*matrices.shape[:-2], 3))


class SmoothMotion:
    """Maps spline coefficients to the poses of every frame.

    A joint's rotation is its middle rotation times the exponential of a cubic spline; the pelvis' middle is
    the smoothed heading of each frame, so that a walker may turn as far as he likes.

    Args:
        t_s: [T] seconds, increasing.
        local: [T, 24, 3, 3], rotations to start from.
        pelvis: [T, 3] metres, places to start from.
    """

    def __init__(self, t_s: F64, local: F64, pelvis: F64) -> None:
        basis = spline_basis(t_s)
        self.basis = torch.as_tensor(basis)
        middle = np.tile(Rotation.identity().as_matrix(), (len(t_s), 24, 1, 1))
        for joint in range(1, 24):
            middle[:, joint] = Rotation.from_matrix(local[:, joint]).mean().as_matrix()
        middle[:, 0] = _headings(t_s, local[:, 0])
        self._middle = torch.as_tensor(middle)
        turned = log_map(np.swapaxes(middle, -1, -2) @ local)
        self.anchor = torch.as_tensor(pelvis.mean(axis=0))
        start = np.concatenate([turned.reshape(len(t_s), -1), pelvis - pelvis.mean(axis=0)], axis=1)
        # a touch of ridge: at the ends of a walk a knot may have no frame
        square = basis.T @ basis + 1e-6 * np.eye(basis.shape[1])
        self.start = torch.as_tensor(np.linalg.solve(square, basis.T @ start))

    def poses(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations [T, 24, 3, 3] and the pelvis' places [T, 3] of spline coefficients [K, 75]."""
        values = self.basis @ coefficients
        turned = exp_map(values[:, :72].reshape(-1, 24, 3))
        return self._middle @ turned, values[:, 72:] + self.anchor


def spline_basis(t_s: F64) -> F64:
    """Cubic B-splines at the frames, float64 [T, K], with a knot every ``KNOT_S`` or two frames."""
    span = float(t_s[-1] - t_s[0])
    pieces = max(1, min(round(span / KNOT_S), len(t_s) - 1))
    step = span / pieces
    knots = t_s[0] + step * np.arange(-3, pieces + 4)
    # the design matrix refuses a last frame that rounding puts beyond the last knot
    inside = np.clip(t_s, knots[3], np.nextafter(knots[-4], -np.inf))
    return np.asarray(BSpline.design_matrix(inside, knots, 3).toarray())


def _headings(t_s: F64, pelvis: F64) -> F64:
    """Upright rotations [T, 3, 3] that face where the pelvis faces, slowly changing."""
    yaw = np.unwrap(np.arctan2(pelvis[:, 1, 0], pelvis[:, 0, 0]))
    if len(t_s) > 1:
        yaw = gaussian_filter1d(yaw, HEADING_S / float(np.median(np.diff(t_s))), mode="nearest")
    return np.asarray(Rotation.from_euler("z", yaw[:, None]).as_matrix())

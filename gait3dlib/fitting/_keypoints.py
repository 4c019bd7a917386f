"""Keypoints in a calibrated view as evidence."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import JOINT_NAMES, LAYOUTS, to_smpl24
from gait3dlib.errors import InputError
from gait3dlib.fitting._body import Posed
from gait3dlib.fitting._camera import Camera
from gait3dlib.fitting._terms import loss

F64 = NDArray[np.float64]
# errors that last, over the person's height in the picture: a tenth of how far people who mark COCO's key
# points differ (the constants of its evaluation)
LASTING = 0.1 * np.array(
    [0.107, 0.107, 0.107, 0.1, 0.087, 0.087, 0.1, 0.089, 0.089, 0.1, 0.089, 0.089,
     0.08, 0.08, 0.08, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.07, 0.07]
)  # fmt: skip
MEAN_OF_PAIRS = (0, 12)  # where a layout has no pelvis and neck, these lie between hips and between shoulders


def smpl_keypoints(keypoints: NDArray[np.float32], layout: str) -> tuple[F64, F64]:
    """Pixels [T, 24, 2] and scores [T, 24] of SMPL's joints, score 0 where there is none.

    Raises:
        InputError: the layout has no table in :data:`gait3dlib.body.LAYOUTS`.
    """
    if layout == "smpl24":
        mapped = np.asarray(keypoints, np.float64)
    else:
        mapped = to_smpl24(keypoints, layout).astype(np.float64)
        lowest = _lowest_score(keypoints, layout)
        mapped[..., 2] = np.where(np.isfinite(mapped[..., 2]), lowest, 0.0)
    score = np.nan_to_num(mapped[..., 2]).clip(0.0, 1.0)
    for joint in MEAN_OF_PAIRS:
        if layout in LAYOUTS and _rows(layout, joint) == _rows(layout, 1 if joint == 0 else 16, both=True):
            score[:, joint] = 0.0
    return np.nan_to_num(mapped[..., :2]), score


def _rows(layout: str, joint: int, both: bool = False) -> set[int]:
    table = LAYOUTS[layout][1]
    names = [JOINT_NAMES[joint], JOINT_NAMES[joint + 1]] if both else [JOINT_NAMES[joint]]
    return {row for name in names for row in table.get(name, ())}


def _lowest_score(keypoints: NDArray[np.float32], layout: str) -> F64:
    out = np.zeros((len(keypoints), 24))
    for joint in range(24):
        rows = sorted(_rows(layout, joint))
        if rows:
            out[:, joint] = keypoints[:, rows, 2].min(axis=1)
    return out


def _height(pixels: F64, scores: F64) -> float:
    """How tall the person is drawn, in pixels; from frames with most joints."""
    row = np.where(scores > 0, pixels[..., 1], np.nan)
    full = row[np.isfinite(row).sum(axis=1) >= 6]
    if not len(full):
        return 100.0
    return max(10.0, float(np.median(np.nanmax(full, axis=1) - np.nanmin(full, axis=1))))


class KeypointTerm:
    """Joints that should be drawn where a view has them.

    An estimator errs from frame to frame, and in the same way through a whole walk: the second error of each
    joint is fitted with the body.

    Args:
        camera: the view.
        rows: int [N], the fit's frames of its N frames.
        pixels: [N, 24, 2].
        scores: [N, 24], 0 = not seen.
        share: weight of a frame.
    """

    ready = True
    LEAST, MOST = 1.0, 40.0  # pixels, of a joint's spread

    def __init__(
        self, camera: Camera, rows: NDArray[np.int64], pixels: F64, scores: F64, share: float
    ) -> None:
        if not (scores > 0).any():
            raise InputError("the keypoints of this view all have score 0")
        self.camera, self.rows, self.share = camera, torch.as_tensor(rows), share
        self.pixels, self.scores = torch.as_tensor(pixels), torch.as_tensor(scores)
        self.spread = torch.full((24,), 12.0, dtype=torch.float64)
        self._lasting = torch.as_tensor(LASTING * _height(pixels, scores))[:, None]
        self.free = (torch.zeros(24, 2, dtype=torch.float64),)

    def energy(self, posed: Posed, robust: bool) -> Tensor:
        """Of joints that are drawn elsewhere."""
        (errors,) = self.free
        squared = (self._off(posed) / self.spread[:, None]).square().sum(-1)
        return self.share * (loss(squared, robust) * self.scores).sum() + errors.square().sum() / 2

    def _off(self, posed: Posed) -> Tensor:
        drawn = self.camera.project(posed.joints[self.rows])
        return drawn - self.pixels + self.free[0] * self._lasting

    def look(self, posed: Posed) -> None:
        """Take each joint's spread from what is left of its deviations."""
        with torch.no_grad():
            off = self._off(posed).norm(dim=-1)
            for joint in range(24):
                seen = off[self.scores[:, joint] > 0, joint]
                if len(seen):
                    # the median length of a 2-D normal vector is 1.177 spreads
                    self.spread[joint] = (seen.median() / 1.177).clamp(self.LEAST, self.MOST)

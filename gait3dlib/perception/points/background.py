"""What stands still around a LiDAR that stands still, learned while it looks.

For each small range of directions the farthest thing that was seen there is remembered: whatever is nearer
has come in front of it. So a person who stops stays in front, and one who stood there from the start is found
out when leaving. Something nearer that stays for long becomes background itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AZIMUTH_DEG, ELEVATION_DEG = 0.4, 0.5
MARGIN_M = 0.3  # nearer than the background by less is the background
SEEN = 0.3  # share of scans in which a direction must give a return to have a background
FORGET_S = 30.0
STAYED = 0.9
LEARN_SCANS = 10  # before this nothing is known


class Background:
    """The background of one sensor."""

    def __init__(self) -> None:
        self._shape = (round(360 / AZIMUTH_DEG), round(180 / ELEVATION_DEG))
        size = self._shape[0] * self._shape[1]
        self._far, self._seen, self._near = (np.zeros(size, np.float32) for _ in range(3))
        self._scans = 0

    @property
    def known(self) -> bool:
        """Whether enough was seen to tell what is new."""
        return self._scans >= LEARN_SCANS

    def in_front(self, xyz: NDArray[np.floating[Any]], step_s: float) -> NDArray[np.bool_]:
        """Which points ``[n, 3]`` (any frame that stays) are in front of the background; learns from them.

        Args:
            xyz: of one scan.
            step_s: seconds since the scan before.
        """
        flat = np.hypot(xyz[:, 0], xyz[:, 1])
        away = np.hypot(flat, xyz[:, 2]).astype(np.float32)
        column = ((np.arctan2(xyz[:, 1], xyz[:, 0]) + np.pi) / np.deg2rad(AZIMUTH_DEG)).astype(np.int64)
        row = ((np.arctan2(xyz[:, 2], flat) + np.pi / 2) / np.deg2rad(ELEVATION_DEG)).astype(np.int64)
        cell = (column % self._shape[0]) * self._shape[1] + row.clip(0, self._shape[1] - 1)
        far = self._far[cell]
        front = (away < far - MARGIN_M) | (self._seen[cell] < SEEN)
        self._learn(cell, away, step_s)
        return np.asarray(front)

    def _learn(self, cell: NDArray[np.int64], away: NDArray[np.float32], step_s: float) -> None:
        self._scans += 1
        rate = np.float32(max(1.0 / self._scans, min(step_s / FORGET_S, 1.0)))
        farthest = np.zeros_like(self._far)
        np.maximum.at(farthest, cell, away)
        here = np.flatnonzero(farthest)
        now, far = farthest[here], self._far[here]
        self._seen *= 1 - rate
        self._seen[here] += rate
        nearer = now < far - MARGIN_M
        stays = self._near[here] * (1 - rate) + rate * nearer
        # one look past it may be a ray that slipped by an edge; two are a view
        new = np.where(now > far + MARGIN_M, np.where(far == 0, now, (now + far) / 2), far)
        new = np.where(np.abs(now - far) <= MARGIN_M, far + 0.1 * (now - far), new)
        gone = stays > STAYED
        self._far[here] = np.where(gone & (self._scans > LEARN_SCANS), now, new)
        self._near[here] = np.where(gone, 0, stays)

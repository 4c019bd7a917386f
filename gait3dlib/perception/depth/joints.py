"""Keypoints from the colour that comes with depth, lifted into three dimensions by the depth."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import to_smpl24
from gait3dlib.perception.depth.people import DepthPerson
from gait3dlib.perception.depth.scene import DepthScene
from gait3dlib.perception.pose import LAYOUT, Body
from gait3dlib.types import Calibration

VISIBLE = 0.5
REACH_M = 0.05  # around a keypoint, within which the depth is taken
FEWEST = 3
# how deep BlazePose's 33 points lie under the skin that is seen, metres: half the thickness of the part
INSIDE_M = np.array(
    [0.02] * 11 + [0.06, 0.06, 0.04, 0.04, 0.025, 0.025] + [0.02] * 6 + [0.10, 0.10, 0.06, 0.06, 0.04, 0.04]
    + [0.03] * 4
)  # fmt: skip


class Looker(Protocol):
    """What finds the keypoints of the person in a box, such as a ``PoseEstimator``."""

    def look(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> Body | None:
        """Keypoints of the person in the box ``[4]`` of an image ``[H, W, 3]``; None where there is none."""
        ...


class Posed:
    """Keypoints of people whose depth is known.

    Args:
        looker: finds them in colour.
        depth: the depth camera.
        color: the colour camera; its extrinsics lead from the same world.
    """

    layout = LAYOUT

    def __init__(self, looker: Looker, depth: Calibration, color: Calibration) -> None:
        self._looker, self._depth, self._color = looker, depth, color
        self._to_color = np.eye(4)
        if depth.extrinsics is not None and color.extrinsics is not None:
            self._to_color = color.extrinsics @ np.linalg.inv(depth.extrinsics)

    def look(
        self, scene: DepthScene, person: DepthPerson, image: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Keypoints ``[33, 3]`` in pixels of the depth image, and SMPL's joints ``[24, 3]`` in the world.

        A joint that colour does not show, or that depth does not reach, is NaN. None where nobody is seen.
        """
        rows, columns, z = person.pixels
        seen = self._in_color(scene.rays(rows, columns) * z[:, None])
        inside = np.isfinite(seen).all(axis=1)
        if inside.sum() < FEWEST:
            return None
        low, high = seen[inside, :2].min(axis=0), seen[inside, :2].max(axis=0)
        body = self._looker.look(np.ascontiguousarray(image), np.concatenate([low, high - low]))
        if body is None:
            return None
        depths = self._depths(body.keypoints, seen[inside], z[inside])
        lifted = self._lifted(body.keypoints, np.where(np.isnan(depths), person.depth_m, depths))
        pixels = self._in_depth(lifted)
        keypoints = np.column_stack([pixels, body.keypoints[:, 2]]).astype(np.float32)
        known = np.isfinite(depths) & (body.keypoints[:, 2] >= VISIBLE)
        length = np.linalg.norm(lifted, axis=1, keepdims=True)
        joints = lifted * (1 + INSIDE_M[:, None] / length)
        world = joints @ scene.world[:3, :3].T + scene.world[:3, 3]
        world[~known] = np.nan
        return keypoints, to_smpl24(world[None].astype(np.float32), LAYOUT)[0]

    def _in_color(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Columns, rows and depths ``[n, 3]`` in the colour image of depth camera points ``[n, 3]``."""
        moved = points @ self._to_color[:3, :3].T + self._to_color[:3, 3]
        camera = self._color
        with np.errstate(divide="ignore", invalid="ignore"):
            x = camera.fx * moved[:, 0] / moved[:, 2] + camera.cx
            y = camera.fy * moved[:, 1] / moved[:, 2] + camera.cy
        return np.column_stack([x, y, moved[:, 2]])

    def _depths(
        self, keypoints: NDArray[np.float32], seen: NDArray[np.float64], z: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Depth of the skin at each keypoint by the colour camera; NaN where there is none."""
        out = np.full(len(keypoints), np.nan)
        reach = REACH_M * self._color.fx / max(float(np.median(z)), 0.1)
        apart = np.linalg.norm(keypoints[:, None, :2] - seen[None, :, :2], axis=-1)
        for k, near in enumerate(apart < reach):
            if near.sum() >= FEWEST:
                out[k] = np.median(seen[near, 2])
        return out

    def _lifted(self, keypoints: NDArray[np.float32], depths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points ``[n, 3]`` of the depth camera at these depths of the colour camera."""
        camera = self._color
        x = (keypoints[:, 0] - camera.cx) / camera.fx * depths
        y = (keypoints[:, 1] - camera.cy) / camera.fy * depths
        back = np.linalg.inv(self._to_color)
        return np.asarray(np.column_stack([x, y, depths]) @ back[:3, :3].T + back[:3, 3])

    def _in_depth(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        camera, z = self._depth, np.maximum(points[:, 2], 1e-3)
        return np.column_stack(
            [camera.fx * points[:, 0] / z + camera.cx, camera.fy * points[:, 1] / z + camera.cy]
        )

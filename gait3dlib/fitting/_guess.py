"""Rough joints to start a fit from, out of what is not joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from gait3dlib.body import Body
from gait3dlib.errors import NoEvidence
from gait3dlib.fitting._camera import Camera, triangulate
from gait3dlib.fitting._start import fill_gaps

F64 = NDArray[np.float64]
Rows = NDArray[np.int64]
Cloud = tuple[Rows, list[F64]]
# how deep joints lie below the skin that faces a camera, metres of an adult
DEEP_M = np.array([0.11, 0.1, 0.1, 0.11, 0.06, 0.06, 0.11, 0.05, 0.05, 0.11, 0.04, 0.04, 0.07, 0.08, 0.08,
                   0.09,                    0.06, 0.06, 0.045, 0.045, 0.03, 0.03, 0.02, 0.02])  # fmt: skip
STANDING_M = 1.68  # of a person of whom nothing says how tall
ANKLE_SHARE = 0.045  # height of the ankle over stature
LEAST_WAY_M = 0.3  # a walker who moves less than this in the walk is taken to face back along x


def from_views(frames: int, views: list[tuple[Camera, Rows, F64, F64]]) -> F64:
    """Joints [T, 24, 3] that several views see."""
    cameras, pixels, weights = [], [], []
    for camera, rows, seen, scores in views:
        full, weight = np.zeros((frames, 24, 2)), np.zeros((frames, 24))
        full[rows], weight[rows] = seen, scores
        cameras.append(camera)
        pixels.append(full)
        weights.append(weight)
    return _needed(triangulate(cameras, pixels, weights))


def from_keypoints(
    frames: int, camera: Camera, rows: Rows, pixels: F64, scores: F64, cloud: Cloud | None
) -> F64:
    """Joints [T, 24, 3] of one view: as deep as the points there, or upright on the ground, or 1.7 m tall."""
    out = np.full((frames, 24, 3), np.nan)
    seen = np.where(scores > 0, 1.0, np.nan)
    if cloud is not None:
        depth = _depth_at(frames, camera, rows, pixels * seen[..., None], cloud)
    else:
        depth = np.broadcast_to(_distance(camera, pixels * seen[..., None])[:, None], seen.shape)
    out[rows] = camera.lift(np.nan_to_num(pixels), depth * seen)
    return _needed(out)


def _depth_at(frames: int, camera: Camera, rows: Rows, pixels: F64, cloud: Cloud) -> F64:
    clouds: list[F64 | None] = [None] * frames
    for row, points in zip(*cloud, strict=True):
        clouds[row] = points
    depth = np.full(pixels.shape[:2], np.nan)
    for i, row in enumerate(rows):
        points = clouds[row]
        if points is None or not len(points):
            continue
        deep = camera.depth(points)
        drawn = (points @ camera.rotation.T + camera.shift)[:, :2] / deep[
            :, None
        ] * camera.focal + camera.centre
        reach = 0.04 * camera.focal.mean() / np.median(deep)
        for joint in np.flatnonzero(np.isfinite(pixels[i, :, 0])):
            near = np.abs(drawn - pixels[i, joint]).max(axis=1) < reach
            if near.any():
                depth[i, joint] = np.median(deep[near]) + DEEP_M[joint]
    # what hides a joint for a moment is not that joint's depth
    depth = fill_gaps(depth)
    return np.asarray(median_filter(depth, size=(5, 1), mode="nearest"))


def _distance(camera: Camera, pixels: F64) -> F64:
    """Depth [N] of an upright person: by the ground under the feet, else by the size in the picture."""
    feet = fill_gaps(np.nanmax(pixels[:, [7, 8, 10, 11], 1], axis=1)[:, None])[:, 0]
    column = fill_gaps(np.nanmean(pixels[..., 0], axis=1)[:, None])[:, 0]
    if camera.placed:
        low = np.stack([column, feet], axis=1)
        rays = camera.lift(low, np.ones(len(low))) - camera.position
        level = ANKLE_SHARE * STANDING_M
        with np.errstate(all="ignore"):
            depth = (level - camera.position[2]) / rays[:, 2]
        if np.isfinite(depth).all() and (depth > 0.5).all() and (depth < 60).all():
            # a swinging foot seems farther away; walkers do not jump
            return np.asarray(gaussian_filter1d(depth, 3.0, mode="nearest"))
    head = fill_gaps(np.nanmin(pixels[:, [12, 15, 16, 17], 1], axis=1)[:, None])[:, 0]
    tall = np.maximum(feet - head, 1.0)
    return np.asarray(gaussian_filter1d(0.86 * STANDING_M * camera.focal[1] / tall, 3.0, mode="nearest"))


def from_points(frames: int, clouds: list[Cloud]) -> F64:
    """Joints [T, 24, 3] of a person who stands upright where the points are, facing where they move."""
    middle, top, low = np.full((frames, 2), np.nan), np.full(frames, np.nan), np.full(frames, np.nan)
    for rows, points in clouds:
        for row, found in zip(rows, points, strict=True):
            if len(found) >= 20:
                middle[row] = np.median(found[:, :2], axis=0)
                low[row], top[row] = np.quantile(found[:, 2], [0.005, 0.995])
    if not np.isfinite(top).any():
        raise NoEvidence("no frame has 20 points on the person")
    track = gaussian_filter1d(fill_gaps(middle), 2.0, axis=0, mode="nearest")
    ground = float(np.nanquantile(low, 0.2))
    height = float(np.clip(np.nanquantile(top, 0.9) - ground, 0.8, 2.2))
    way = track[-1] - track[0]
    yaw = float(np.arctan2(way[1], way[0])) if np.linalg.norm(way) > LEAST_WAY_M else np.pi
    maturity, stature = (
        (0.78, np.clip(0.5 + (height - 1.69) / 0.9, 0.05, 0.95)) if height > 1.45 else (0.36, 0.5)
    )
    body = Body.load("low").from_numbers([maturity, 0.5, 0.45, 0.6, stature, 0.5, 0, 0, 0, 0])
    pose = np.zeros((frames, 24, 3))
    pose[:, 0, 2] = yaw
    pose[:, 16, 0], pose[:, 17, 0] = -1.25, 1.25
    joints = body.pose_joints(pose, np.zeros((frames, 3))).astype(np.float64)
    joints *= height / body.height_m
    return np.asarray(joints + np.column_stack([track, np.full(frames, ground)])[:, None])


def _needed(joints: F64) -> F64:
    if (np.isfinite(joints[..., 0]).sum(axis=0) > 0).sum() < 6:
        raise NoEvidence("fewer than 6 joints are seen somewhere in the walk")
    return joints

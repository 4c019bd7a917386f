"""A first guess of body and motion from 3-D joints."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from gait3dlib.body import JOINT_NAMES, PARENTS, Body, ShapedBody
from gait3dlib.body._skinning import shortest_rotation, unit
from gait3dlib.fitting._priors import SHAPE_MEAN

F64 = NDArray[np.float64]
JOINT = {name: i for i, name in enumerate(JOINT_NAMES)}
# (maturity, stature) of the bodies that are tried: about 5, 8, 11 and 15 years, and adults
MATURITIES, STATURES = (0.24, 0.33, 0.42, 0.6, 0.78), (0.1, 0.3, 0.5, 0.7, 0.9)
# pairs of joints whose distance hardly depends on the pose
SPANS = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("pelvis", "neck"))
UNLIKELY_M = 0.25  # metres of bones, all together, by which a newborn must fit better than an adult
LEAST_WAY_M = 0.3  # less is standing
LIMBS = ("hip", "knee", "shoulder", "elbow", "ankle")


def nearest_body(joints: F64) -> ShapedBody:
    """Of bodies between child and tall adult the one whose bones fit those of `joints` [T, 24, 3] best."""
    pairs = [(PARENTS[j], j) for j in range(1, 24)] + [(JOINT[a], JOINT[b]) for a, b in SPANS]
    a, b = (np.array(ends) for ends in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    seen = np.isfinite(lengths).any(axis=0)
    seen[: len(pairs) - len(SPANS)] &= lengths_matter()
    wanted = np.array([np.nanmedian(lengths[:, k]) if seen[k] else np.nan for k in range(len(pairs))])
    best, least = None, np.inf
    for maturity, stature in itertools.product(MATURITIES, STATURES):
        body = Body.load("low").from_numbers([maturity, 0.5, *SHAPE_MEAN[2:4], stature, *SHAPE_MEAN[5:]])
        found = np.linalg.norm(body.joints[a] - body.joints[b], axis=-1)
        error = float(np.nansum(np.abs(found - wanted))) if seen.any() else abs(stature - 0.5) - maturity
        error += UNLIKELY_M * abs(maturity - MATURITIES[-1])
        if error < least:
            best, least = body, error
    assert best is not None
    return best


def lengths_matter() -> NDArray[np.bool_]:
    """Of the bones to joints 1 to 23 the long ones: a limb's, whose ends layouts agree on."""
    long = {
        JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle", "elbow", "wrist")
    }
    return np.array([j in long for j in range(1, 24)])


def fill_gaps(values: F64) -> F64:
    """[T, ...] with NaN replaced by linear interpolation over time; what is never seen stays NaN."""
    out = values.reshape(len(values), -1).copy()
    frames = np.arange(len(out))
    for column in out.T:
        known = np.isfinite(column)
        if known.any() and not known.all():
            column[~known] = np.interp(frames[~known], frames[known], column[known])
    return out.reshape(values.shape)


def first_pose(joints: F64, body: ShapedBody, yaw: F64 | None = None) -> tuple[F64, F64]:
    """Rotations [T, 24, 3, 3] and pelvis places [T, 3] that roughly reach the joints [T, 24, 3].

    Pelvis and chest are turned by what is to their sides and above them, limbs along their bones; nothing
    else moves. NaN = not known. Where `yaw` [T] is given, the walker faces there: one view hardly shows
    which hip is nearer.
    """
    filled = fill_gaps(joints)
    local = np.tile(np.eye(3), (len(joints), 24, 1, 1))
    for side, arm in ((1.0, 16), (-1.0, 17)):
        local[:, arm] = _about_x(-side * 1.2)  # arms that are not seen hang
    pelvis = np.empty((len(joints), 3))
    heading = np.eye(3)
    for t, frame in enumerate(filled):
        left = None if yaw is None else np.array([-np.sin(yaw[t]), np.cos(yaw[t]), 0.0])
        heading, pelvis[t] = _one_pose(frame, body, heading, local[t], left)
    return local, pelvis


def _one_pose(frame: F64, body: ShapedBody, before: F64, local: F64, left: F64 | None) -> tuple[F64, F64]:
    seen = np.isfinite(frame[:, 0])
    hips, shoulders = _across(frame, 1, 2), _across(frame, 16, 17)
    if left is not None:
        hips = shoulders = left
    low, high = _middle(frame, (0, 1, 2)), _middle(frame, (12, 16, 17))
    if not np.isfinite(low).all():
        low = _middle(frame, (4, 5, 7, 8)) if not np.isfinite(high).all() else high - [0, 0, 0.5]
    up = high - low if np.isfinite(high).all() else np.array([0.0, 0.0, 1.0])
    root = _frame(hips if hips is not None else shoulders, up, before)
    chest = _frame(shoulders if shoulders is not None else hips, up, before)
    local[0], local[9] = root, root.T @ chest
    world = np.tile(root, (24, 1, 1))
    offsets = body.joints - body.joints[list(PARENTS)]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        world[joint] = world[parent] @ local[joint]
        name = JOINT_NAMES[joint].partition("_")[2]
        child = PARENTS.index(joint) if joint in PARENTS else -1
        if name in LIMBS and seen[joint] and seen[child]:
            along = frame[child] - frame[joint]
            if np.linalg.norm(along) < 1e-6:
                continue
            turned = world[parent] @ _middle_limb(joint)
            world[joint] = shortest_rotation(turned @ offsets[child], along) @ turned
            local[joint] = world[parent].T @ world[joint]
    # the pelvis joint lies a little above the middle of the hips
    above = body.joints[0] - body.joints[[0, 1, 2]][seen[[0, 1, 2]]].mean(axis=0) if seen[:3].any() else 0.0
    return root, low + root @ np.broadcast_to(above, 3)


def way_faced(joints: F64) -> F64 | None:
    """Where a walker [T, 24, 3] faces, as yaw [T], if he goes as he faces; None for one who stays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmean(joints[:, [0, 1, 2, 12, 16, 17], :2], axis=1)
    track = gaussian_filter1d(fill_gaps(middle), len(middle) / 8, axis=0, mode="nearest")
    way = np.gradient(track, axis=0)
    if not np.isfinite(way).all() or np.linalg.norm(way, axis=1).sum() < LEAST_WAY_M:
        return None
    return np.asarray(np.unwrap(np.arctan2(way[:, 1], way[:, 0])))


def _middle_limb(joint: int) -> F64:
    """Where a limb is turned from: arms from hanging, so that they turn the short way."""
    return _about_x({16: -1.2, 17: 1.2}.get(joint, 0.0))


def _frame(left: F64 | None, up: F64, before: F64) -> F64:
    """A rotation with y to the left and z up; where the left is not known, the one before."""
    y = before[:, 1] if left is None else left
    z = up - (up @ unit(y)) * unit(y) if np.linalg.norm(np.cross(up, y)) > 1e-6 else np.array([0.0, 0.0, 1.0])
    x = unit(np.cross(unit(y), unit(z)))
    return np.stack([x, unit(y), np.cross(x, unit(y))], axis=1)


def _across(frame: F64, left: int, right: int) -> F64 | None:
    way = frame[left] - frame[right]
    return way if np.isfinite(way).all() and np.linalg.norm(way) > 1e-3 else None


def _middle(frame: F64, rows: tuple[int, ...]) -> F64:
    known = frame[list(rows)]
    known = known[np.isfinite(known[:, 0])]
    return np.asarray(known.mean(axis=0)) if len(known) else np.full(3, np.nan)


def _about_x(angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])

"""The usual reaction, brought towards what one walk's motion says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.dynamics._contact import BALLS
from gait3dlib.dynamics._filter import CUTOFF_HZ, low_pass, scaled_cutoff, shortest
from gait3dlib.dynamics._stances import Stance
from gait3dlib.dynamics._tree import STANDARD_GRAVITY
from gait3dlib.dynamics._walk import WalkMotion
from gait3dlib.dynamics._walking import FORCE, MOMENT, POINT, WalkingReaction

F64 = NDArray[np.float64]
MEAN_HZ = 0.5
EDGE = 0.2  # in units of sqrt(h / g): at both ends of a recording accelerations are poor
# Joint centres of another laboratory lie elsewhere by 3 cm (of 1.8 m) or so, which the spread of moments in
# one laboratory does not tell; no reaction is known better than this (body weights, lengths of the foot).
CENTRES = 0.016
LEAST_FORCE, LEAST_POINT = 0.01, 0.02
CLEANEST = 0.01  # body weights; no motion tells the force on the body better


@dataclass(frozen=True, eq=False)
class _Stand:
    """One stance, its frames, and what is usual there: values and spread ``[n, 8]``."""

    stance: Stance
    rows: NDArray[np.int64]
    usual: F64
    spread: F64


def adapt_reaction(usual: WalkingReaction, stances: list[Stance], walk: WalkMotion) -> tuple[F64, F64]:
    """The most likely reaction of one walk, between what is usual and what its motion says.

    The vertical force is the usual one plus a share of what Newton's law asks beyond it. The share is the
    smaller, the noisier the motion; how noisy it is tells the fore-aft force, in which people differ little.
    What is slower than :data:`MEAN_HZ` follows Newton's law in full, so that over strides the ground bears
    the weight. The fore-aft force and the centre of pressure are then found by weighted least squares between
    their usual values, the usual moments at ankle, knee and hip, and Euler's law for the whole body. Forces
    and points sideways are the usual ones.

    Args:
        usual: the curves.
        stances: of both feet.
        walk: the motion.

    Returns:
        Forces ``[T, 2, 3]`` in body weights and points ``[T, 2, 3]`` (zero where no foot stands).
    """
    frames = len(walk.total)
    stands = []
    for stance in stances:
        rows = stance.rows(frames)
        if len(rows):
            stands.append(_Stand(stance, rows, *usual.at(stance, rows, walk.speed)))
    force, point = np.zeros((frames, 2, 3)), np.zeros((frames, 2, 3))
    for stand in stands:
        foot, rows = stand.stance.foot, stand.rows
        force[rows, foot] = stand.usual[:, FORCE] @ stand.stance.axes
        sole = stand.usual[:, POINT] @ stand.stance.sole * stand.stance.length
        point[rows, foot, :2] = walk.joints[rows, BALLS[foot], :2] + sole
        point[rows, foot, 2] = walk.floor_m
    force[..., 2] = _upward(force, _trust(usual, stands, force, walk), walk)
    return _reconciled(force, point, stands, usual.balance, walk)


def _slow(signal: F64, hertz: float, walk: WalkMotion) -> F64:
    """What is slower, as the motion is low-passed; the mean, where the walk is too short."""
    cutoff = scaled_cutoff(walk.height_m) * hertz / CUTOFF_HZ
    if len(signal) < shortest(cutoff, walk.fps):
        return np.full(len(signal), signal.mean())
    return low_pass(torch.from_numpy(signal), walk.fps, cutoff)[0].numpy()


def _trust(usual: WalkingReaction, stands: list[_Stand], force: F64, walk: WalkMotion) -> float:
    """The share of Newton's force to take: of two estimates, by their variances.

    The variance of this motion's Newton force is that of what it asks fore and aft, less people's own
    (R. Mehra, IEEE Transactions on Automatic Control 15, 1970, estimates a sensor's noise so).
    """
    ahead = np.append(np.mean([stand.stance.forward for stand in stands], axis=0), 0.0)
    ahead /= max(float(np.linalg.norm(ahead)), 1e-9)
    edge = round(EDGE * math.sqrt(walk.height_m / STANDARD_GRAVITY) * walk.fps)
    edge = min(edge, (len(force) - 1) // 2)
    asked = walk.total @ ahead - _slow(force.sum(axis=1) @ ahead, CUTOFF_HZ, walk)
    people, up = (float(np.median(usual.spread[:, axis])) ** 2 for axis in (0, 2))
    noise = max(float(np.mean(asked[edge : len(asked) - edge] ** 2)) - people, CLEANEST**2)
    return up / (up + noise)


def _upward(force: F64, trust: float, walk: WalkMotion) -> F64:
    """Vertical forces ``[T, 2]``."""
    upward = force[..., 2]
    share = upward / upward.sum(axis=1, keepdims=True).clip(min=1e-9)
    asked = walk.total[:, 2] - _slow(upward.sum(axis=1), CUTOFF_HZ, walk)
    upward = upward + trust * share * asked[:, None]
    left = _slow(walk.total[:, 2] - upward.sum(axis=1), MEAN_HZ, walk)
    return np.asarray((upward + share * left[:, None]).clip(min=0))


def _reconciled(
    force: F64, point: F64, stands: list[_Stand], balance: float, walk: WalkMotion
) -> tuple[F64, F64]:
    """Least squares, frame by frame, over the changes of both feet's fore-aft force and centre of pressure.

    With the vertical force given, moments about the axis that points left are linear in both.
    """
    frames = len(force)
    normal, right = np.zeros((frames, 4, 4)), np.zeros((frames, 4))
    normal[:, range(4), range(4)] = 1e-9  # of a foot that does not stand
    turning, ways = np.zeros((frames, 4)), np.zeros((frames, 2, 2, 3))
    left, about = np.zeros((frames, 3)), walk.turning.copy()
    for stand in stands:
        foot, rows, stance = stand.stance.foot, stand.rows, stand.stance
        loads, at = force[rows, foot], point[rows, foot]
        ahead, toes = np.append(stance.forward, 0.0), np.append(stance.toeward, 0.0) * stance.length
        ways[rows, foot, 0], ways[rows, foot, 1] = ahead, toes
        change = -(walk.moments(foot, rows, np.tile(ahead, (len(rows), 1)), at) - walk.unloaded[rows, foot])
        along = np.cross(toes, loads) @ stance.leftward / walk.height_m
        effect = np.stack([-change @ stance.leftward, np.repeat(-along[:, None], 3, axis=1)], -1)
        asked = stand.usual[:, MOMENT] - walk.moments(foot, rows, loads, at) @ stance.leftward
        weight = 1 / (stand.spread[:, MOMENT] ** 2 + CENTRES**2)
        part = slice(2 * foot, 2 * foot + 2)
        normal[rows, part, part] += np.einsum("nji,njk,nj->nik", effect, effect, weight)
        right[rows, part] += np.einsum("nji,nj,nj->ni", effect, asked, weight)
        normal[rows, 2 * foot, 2 * foot] += 1 / (stand.spread[:, 0] ** 2 + LEAST_FORCE**2)
        normal[rows, 2 * foot + 1, 2 * foot + 1] += 1 / (stand.spread[:, 3] ** 2 + LEAST_POINT**2)
        arms = at - walk.centre[rows]
        turning[rows, 2 * foot] = np.cross(arms, ahead) @ stance.leftward / walk.height_m
        turning[rows, 2 * foot + 1] = along
        about[rows] -= np.cross(arms, loads) / walk.height_m
        left[rows] += stance.leftward
    left /= np.linalg.norm(left, axis=-1, keepdims=True).clip(min=1e-9)
    unexplained = (about * left).sum(-1)
    normal += turning[:, :, None] * turning[:, None] / balance**2
    right += turning * (unexplained / balance**2)[:, None]
    found = np.linalg.solve(normal, right[..., None])[..., 0].reshape(frames, 2, 2, 1)
    return force + found[:, :, 0] * ways[:, :, 0], point + found[:, :, 1] * ways[:, :, 1]

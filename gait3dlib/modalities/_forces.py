"""A walk in its own heading: places, bones and forces of the 24 joints, and the reaction of the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES, PARENTS
from gait3dlib.dynamics import inverse_dynamics
from gait3dlib.dynamics._joints import NEEDED, check_size
from gait3dlib.errors import InputError
from gait3dlib.types import NS_PER_S, Stream

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATE_HZ = 30.0  # of the frames that the encoder sees: its convolutions span the same time for every sensor
FASTEST_HZ = 120.0
GAP_S = 0.2  # what was not seen for longer is not known
SHORTEST = 5  # frames that can be differentiated twice
SMOOTH_S = 0.35  # standard deviation in time of the heading: a stride's turns of the pelvis average out

# rows: the joints, then the ground under the left and the right foot
ROWS = len(JOINT_NAMES) + 2
GROUND = slice(len(JOINT_NAMES), ROWS)
# channels; the units bring all to the order of one
PLACE, BONE, SEEN = slice(0, 3), slice(3, 6), 6
FORCE, MOMENT, POWER, LOADED = slice(7, 10), slice(10, 13), 13, 14
CHANNELS = 15
MOMENT_UNIT, POWER_UNIT = 0.1, 0.02
LARGEST = 50.0  # no body reaches it in these units; what a broken file holds stops there
_LEGS = [JOINT_NAMES.index(name) for name in NEEDED]
_HIPS = [JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]


@dataclass(frozen=True)
class Motion:
    """Joints ``[T, 24, 3]`` in metres at even times ``[T]`` in nanoseconds; NaN = not known."""

    joints: F64
    t_ns: F64

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(NS_PER_S * (len(self.t_ns) - 1) / (self.t_ns[-1] - self.t_ns[0]))

    def at(self, t_ns: F64) -> Motion:
        """The same motion at other times within."""
        return Motion(sampled(t_ns, self.t_ns, self.joints), t_ns)


def even_motion(stream: Stream) -> Motion | None:
    """The longest stretch of a `joints` stream in which both legs are known, at even times.

    Gaps of up to :data:`GAP_S` are bridged.

    Returns:
        None where hips, knees, ankles and feet are never known for long enough.

    Raises:
        InputError: the legs are not of a person's size in metres.
    """
    joints = stream.data.astype(np.float64)
    t_ns = stream.t_ns.astype(np.float64)
    known = np.asarray(np.isfinite(joints).all(axis=-1))
    rows = np.flatnonzero(known[:, _LEGS].all(axis=1))
    if len(rows) < SHORTEST:
        return None
    step = max(NS_PER_S / FASTEST_HZ, float(np.median(np.diff(t_ns))))
    longest = max(GAP_S * NS_PER_S, 1.5 * step)
    parts = np.split(rows, np.flatnonzero(np.diff(t_ns[rows]) > longest) + 1)
    part = max(parts, key=lambda rows: float(t_ns[rows[-1]] - t_ns[rows[0]]))
    first, last = t_ns[part[0]], t_ns[part[-1]]
    times = first + step * np.arange(int((last - first) / step + 1e-6) + 1)
    if len(part) < SHORTEST or len(times) < SHORTEST:
        return None
    joints[:, 0] = np.where(known[:, :1], joints[:, 0], joints[:, _HIPS].mean(axis=1))
    even = np.stack([_bridged(times, t_ns, joints[:, j], longest) for j in range(len(JOINT_NAMES))], 1)
    check_size(even, None)
    return Motion(even, times)


def forces_of(motion: Motion, cutoff_hz: float) -> tuple[F64, F64] | None:
    """Loads of joints ``[T, 24, 7]`` and the ground ``[T, 2, 6]`` as the streams hold them; None = unknown.

    They are unknown where feet were never seen to touch the floor, or the walk is too short for the filter.
    """
    try:
        found = inverse_dynamics(motion.joints, motion.fps, reaction="newton", cutoff_hz=cutoff_hz)
    except InputError:
        return None  # size and legs are checked before: what is left is a floor that was not found
    streams = found.streams()
    force, ground = (streams[name].data.astype(np.float64) for name in ("force", "ground_reaction"))
    return force, ground


def drawn(motion: Motion, loads: tuple[F64, F64] | None) -> tuple[F32, F64]:
    """Frames ``[T, 26, 15]`` at :data:`RATE_HZ` and their times in nanoseconds.

    Axes are those of the walk: forward, left, up, by the slow turning of the line between the hips. A joint's
    place is relative to the pelvis, the pelvis's own to its slow path; bones go from the nearest known
    ancestor, the pelvis's own is its velocity. What is not known is 0, and two channels say what is known.
    """
    step = NS_PER_S / RATE_HZ
    count = int((motion.t_ns[-1] - motion.t_ns[0]) / step + 1e-6) + 1
    now = motion.at(motion.t_ns[0] + step * np.arange(count))
    turn = headings(now)
    known = np.asarray(np.isfinite(now.joints).all(axis=-1))
    out = np.zeros((count, ROWS, CHANNELS))
    out[:, :24, PLACE] = _turned(now.joints - now.joints[:, :1], turn)
    pelvis = now.joints[:, :1]
    out[:, :1, PLACE] = 10 * _turned(pelvis - _smooth(pelvis[:, 0])[:, None], turn)
    velocity = np.gradient(pelvis, axis=0) * RATE_HZ if count > 1 else np.zeros_like(pelvis)
    out[:, :24, BONE] = _turned(_bones(now.joints, known), turn) / 0.3
    out[:, :1, BONE] = _turned(velocity, turn)
    out[:, :24, SEEN] = known
    if loads is not None:
        force, ground = (sampled(now.t_ns, motion.t_ns, load) for load in loads)
        _draw_loads(out, force, ground, pelvis, turn)
    out = np.nan_to_num(out, nan=0.0).clip(-LARGEST, LARGEST)
    return out.astype(np.float32), now.t_ns


def _draw_loads(out: F64, force: F64, ground: F64, pelvis: F64, turn: F64) -> None:
    out[:, :24, FORCE] = _turned(force[..., :3], turn)
    out[:, :24, MOMENT] = _turned(force[..., 3:6], turn) / MOMENT_UNIT
    out[:, :24, POWER] = force[..., 6] / POWER_UNIT
    out[:, :24, LOADED] = np.isfinite(force).all(axis=-1)
    out[:, GROUND, FORCE] = _turned(ground[..., :3], turn)
    point = ground[..., 3:6] - pelvis
    out[:, GROUND, SEEN] = np.isfinite(point).all(axis=-1)
    out[:, GROUND, PLACE] = _turned(point, turn)
    out[:, GROUND, LOADED] = np.isfinite(ground[..., :3]).all(axis=-1)


def headings(motion: Motion) -> F64:
    """Turns ``[T, 3, 3]`` from the world to forward, left, up of a walk."""
    across = motion.joints[:, _HIPS[0], :2] - motion.joints[:, _HIPS[1], :2]
    left = _smooth(across)
    left = left / np.linalg.norm(left, axis=-1, keepdims=True).clip(min=1e-9)
    turn = np.zeros((len(left), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1] = left[:, 1], -left[:, 0]
    turn[:, 1, :2] = left
    turn[:, 2, 2] = 1.0
    return turn


def sampled(at: F64, times: F64, values: F64) -> F64:
    """``values [T, ...]`` between their times, along straight lines; NaN beside a NaN and outside."""
    right = np.searchsorted(times, at).clip(1, len(times) - 1)
    share = ((at - times[right - 1]) / (times[right] - times[right - 1])).reshape(
        -1, *[1] * (values.ndim - 1)
    )
    before, after = values[right - 1], values[right]
    found = np.where(share <= 0, before, np.where(share >= 1, after, before + share * (after - before)))
    outside = (at < times[0] - 1) | (at > times[-1] + 1)
    found[outside] = np.nan
    return np.asarray(found)


def _bridged(at: F64, times: F64, track: F64, longest: float) -> F64:
    """One joint ``[T, 3]`` at even times; NaN in gaps that are longer."""
    seen = np.isfinite(track).all(axis=-1)
    if seen.sum() < 2:
        return np.full((len(at), 3), np.nan)
    times, track = times[seen], track[seen]
    right = np.searchsorted(times, at).clip(1, len(times) - 1)
    found = sampled(at, times, track)
    exact = (np.abs(times[right] - at) < 1) | (np.abs(times[right - 1] - at) < 1)
    found[(times[right] - times[right - 1] > longest) & ~exact] = np.nan
    return found


def _turned(vectors: F64, turn: F64) -> F64:
    return np.asarray(np.einsum("tij,tnj->tni", turn, vectors))


def _smooth(track: F64) -> F64:
    """A slow track ``[T, n]``: normalised Gaussian averages in time, which need nothing beyond the ends."""
    t = np.arange(len(track)) / RATE_HZ
    weight = np.exp(-0.5 * ((t[:, None] - t[None, :]) / SMOOTH_S) ** 2)
    return np.asarray(weight @ track / weight.sum(axis=1, keepdims=True))


def _bones(joints: F64, known: Bools) -> F64:
    """From the nearest ancestor that is known at the time to each joint; a joint not known has none."""
    bones = np.full(joints.shape, np.nan)
    for joint, parent in enumerate(PARENTS):
        ancestor, start = parent, np.full(joints.shape[::2], np.nan)
        while ancestor >= 0:
            start = np.where(np.isnan(start), joints[:, ancestor], start)
            ancestor = PARENTS[ancestor]
        bones[:, joint] = joints[:, joint] - start
    return bones

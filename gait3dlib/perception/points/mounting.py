"""Where several LiDARs stand, found from people who walk in front of all of them.

Each sensor levels itself by the ground. What is left between two of them is a turn about the vertical and a
shift on the floor, which the places of one walker seen by both determine: the least-squares rigid motion of
Umeyama [1] in two dimensions, over pairs of places at the same instant. The clocks may differ by a little;
the difference that fits best is found, too.

[1] S. Umeyama, "Least-squares estimation of transformation parameters", IEEE PAMI 13, 1991.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.perception.points.following import Follower
from gait3dlib.types import NS_PER_S, Stream

MAX_LAG_S, LAG_STEP_S = 0.5, 0.02
MIN_PAIRS, MIN_WAY_M = 10, 1.5
SPREAD_M = 0.15  # pairs further off than three of these are not of the same person


@dataclass(frozen=True, eq=False)
class Alignment:
    """How one sensor stands to another.

    Args:
        matrix: ``[4, 4]`` takes the second sensor's level frame to the first one's.
        lag_s: added to the second one's times to fit the first one's.
        error_m: root mean square distance of the pairs that fit.
        pairs: how many those were.
    """

    matrix: NDArray[np.float64]
    lag_s: float
    error_m: float
    pairs: int


def mounts(
    streams: Mapping[str, Stream], times: Mapping[str, Stream] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Extrinsics ``[4, 4]`` of sensors that saw the same walkers, by stream of points.

    The world is the first sensor's level frame: z is the height above the ground.

    Args:
        streams: raw ``points`` of each sensor, in its own frame, on one clock (to half a second).
        times: their ``point_time``.

    Raises:
        InputError: a sensor sees no ground or no walker, or two saw no walker at the same time.
    """
    if len(streams) < 2:
        raise InputError("to find where sensors stand to one another, record two or more at once")
    ways, worlds = {}, {}
    for name, stream in streams.items():
        follower = Follower([name], min_seconds=1.0)
        found = []
        for i, t_ns in enumerate(stream.t_ns):
            time = None if times is None or name not in times else times[name].frame(i)
            found += list(follower.look(name, stream.frame(i), time, int(t_ns)))
        found += list(follower.finish())
        ways[name] = [_way(walk.streams[name]) for walk in found]
        if not found:
            raise InputError(
                f"nobody walks in {name}; let one person walk some metres in view of all sensors"
            )
        worlds[name] = follower.scans[name].world
    first = next(iter(streams))
    out: dict[str, NDArray[np.float64]] = {first: np.asarray(np.linalg.inv(worlds[first]), np.float64)}
    for name in [name for name in streams if name != first]:
        fit = align_ways(ways[first], ways[name])
        out[name] = np.asarray(np.linalg.inv(fit.matrix @ worlds[name]), np.float64)
    return out


def align_ways(first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]]) -> Alignment:
    """The transform between two sensors' level frames from the ways ``[n, 3]`` (seconds, x, y) each saw.

    Raises:
        InputError: no way of the one fits one of the other.
    """
    best: Alignment | None = None
    for a in first:
        for b in second:
            for lag_s in np.arange(-MAX_LAG_S, MAX_LAG_S + 1e-9, LAG_STEP_S):
                fit = _fit(a, b, float(lag_s))
                if fit is not None and (best is None or _rank(fit) < _rank(best)):
                    best = fit
    if best is None or best.error_m > SPREAD_M * 2:
        raise InputError(
            "no walker was seen by both sensors at the same time; let one person walk a bent way of some "
            "metres in view of both"
        )
    return best


def _rank(fit: Alignment) -> tuple[float, float]:
    # many pairs outweigh a centimetre; of equal fits the one without a lag
    return fit.error_m + 2.0 / fit.pairs, abs(fit.lag_s)


def _way(stream: Stream) -> NDArray[np.float64]:
    places = [np.median(stream.frame(i)[:, :2], axis=0) for i in range(len(stream))]
    return np.column_stack([stream.t_ns / NS_PER_S, np.stack(places)]).astype(np.float64)


def _fit(a: NDArray[np.float64], b: NDArray[np.float64], lag_s: float) -> Alignment | None:
    at = b[:, 0] + lag_s
    inside = (at >= a[0, 0]) & (at <= a[-1, 0])
    if inside.sum() < MIN_PAIRS:
        return None
    there = b[inside, 1:]
    here = np.column_stack([np.interp(at[inside], a[:, 0], a[:, column]) for column in (1, 2)])
    if np.linalg.norm(np.ptp(there, axis=0)) < MIN_WAY_M:
        return None
    kept = np.ones(len(here), dtype=bool)
    for _ in range(3):
        turn, shift = rigid(there[kept], here[kept])
        off = np.linalg.norm(there @ turn.T + shift - here, axis=1)
        kept = off < max(3 * SPREAD_M, 2 * float(np.median(off)))
    matrix = np.eye(4)
    matrix[:2, :2], matrix[:2, 3] = turn, shift
    return Alignment(matrix, lag_s, float(np.sqrt((off[kept] ** 2).mean())), int(kept.sum()))


def rigid(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation ``[2, 2]`` and shift ``[2]`` that take points ``[n, 2]`` nearest to others."""
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    turn = u @ np.diag([1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return turn, b - turn @ a

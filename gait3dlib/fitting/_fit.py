"""The body of a walk: one shape and a smooth motion, from whatever the walk holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import BodyShape, ShapedBody
from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.fitting._evidence import READ, Evidence, gather
from gait3dlib.fitting._motion import log_map
from gait3dlib.fitting._solve import Solver
from gait3dlib.fitting._start import first_pose, nearest_body, way_faced
from gait3dlib.types import GaitSequence, Stream

LAYOUT = "free_body"
ROUNDS = (60, 60, 60)  # steps of each minimisation; partners and spreads are taken anew between them
SKIN_ROUNDS = (40, 30, 30, 30, 30, 30)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class BodyFit:
    """A body that moves as the evidence says; made by :func:`fit_body` and :func:`fit_joints`.

    Attributes:
        stream: the `smpl` stream, float32 [T, 85], layout ``free_body``: translation (3, metres), pose (72,
            axis-angle of the 24 joints, radians, relative to the parent, zero = T-pose facing +x) and shape
            (10, see :data:`gait3dlib.body.SHAPE_NAMES`; the same in all frames).
        body: the person at rest.
        joints: float32 [T, 24, 3], the fitted joints, metres.
        residual_m: float32 [T, 24], distance of each fitted joint from the given one; NaN where none was.
        evidence: the streams that the fit used.
        ground_m: height of the ground that the feet stand on.
    """

    stream: Stream = field(repr=False)
    body: ShapedBody
    joints: NDArray[np.float32] = field(repr=False)
    residual_m: NDArray[np.float32] = field(repr=False)
    evidence: tuple[str, ...]
    ground_m: float

    @property
    def shape(self) -> BodyShape:
        """Age, nearer gender, height, mass, muscle and proportions of the fitted body.

        Height is measured well by joints; mass needs evidence of the skin (silhouettes, points or depth), and
        age and gender are little more than what their build makes likely.
        """
        return self.body.shape

    @property
    def rotations(self) -> NDArray[np.float32]:
        """Axis-angle of every joint, float32 [T, 24, 3], radians."""
        return np.asarray(self.stream.data[:, 3:75].reshape(-1, 24, 3))

    @property
    def translation(self) -> NDArray[np.float32]:
        """float32 [T, 3], metres."""
        return np.asarray(self.stream.data[:, :3])

    @property
    def mean_residual_m(self) -> float:
        """Mean of :attr:`residual_m` over what was given; NaN where no 3-D joint was."""
        return float(np.nanmean(self.residual_m)) if np.isfinite(self.residual_m).any() else float("nan")

    def vertices(self) -> NDArray[np.float32]:
        """The skin in every frame, float32 [T, 6002, 3], metres."""
        return self.body.pose(self.rotations, self.translation)[0]


def fit_body(
    walk: GaitSequence | Sequence[GaitSequence],
    *,
    streams: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> BodyFit:
    """Fit the body to what a walk holds, over the whole walk at once.

    One shape, a smooth motion, feet that stand still on one level, and errors that may be gross now and then:
    maximum a posteriori with a spline for every joint, as SMPLify does it a frame (Bogo et al., ECCV 2016)
    and MoSh a sequence (Loper et al., SIGGRAPH Asia 2014).

    Read are `joints`, `keypoints` (with calibration), `points` (of one person), `depth` and `silhouette`
    (with calibration; the latter not alone). One camera without extrinsics is taken to be level, in the
    world's origin and looking along x. With keypoints of one placed camera and nothing else, the ground is
    z = 0.

    Args:
        walk: one walk; or several sequences, which are the same walk seen by several sensors whose
            calibrations share one world and whose clocks agree.
        streams: which to use; None = all that can be read.
        seed: draws which points of the skin are used.
        progress: called with (done, all) rounds.

    Raises:
        InputError: too few or too many frames, joints that no person in metres with z up can have, or
            calibrations that cannot be.
        NoEvidence: no stream can be read, or hardly anything is known.
    """
    for name in streams or ():
        if name not in READ:
            raise InputError(f"a body cannot be fitted to the stream {name!r}{did_you_mean(name, READ)}")
    walks = [walk] if isinstance(walk, GaitSequence) else list(walk)
    if not walks:
        raise InputError("give at least one walk to fit a body to")
    return _fitted(gather(walks, streams, seed), progress)


def fit_joints(
    joints: NDArray[np.floating[Any]], t_ns: NDArray[np.int64], *, progress: Progress | None = None
) -> BodyFit:
    """:func:`fit_body` for 3-D joints alone.

    Args:
        joints: [T, 24, 3] in SMPL's order, metres, z up; NaN = not known, filled by the fit.
        t_ns: int64 [T], increasing.
        progress: called with (done, all) rounds.

    Raises:
        InputError: too few or too many frames, or joints that no person in metres with z up can have.
        NoEvidence: hardly any joint is known.
    """
    stream = Stream(np.asarray(joints, np.float32), t_ns, "m")
    return fit_body(GaitSequence({"joints": stream}), progress=progress)


def _fitted(evidence: Evidence, progress: Progress | None) -> BodyFit:
    body = nearest_body(evidence.guess)
    start = first_pose(evidence.guess, body, way_faced(evidence.guess) if evidence.one_sided else None)
    solver = Solver(evidence.t_s, body, *start, evidence.terms, on_ground=evidence.on_ground)
    skin = {"points", "depth", "silhouette"} & set(evidence.used)
    solver.run(SKIN_ROUNDS if skin else ROUNDS, progress)
    return _collected(solver, evidence)


def _collected(solver: Solver, evidence: Evidence) -> BodyFit:
    body, rotations, translation = solver.result()
    frames = len(evidence.t_ns)
    turned = log_map(rotations).reshape(frames, 72)
    shape = np.tile(body.numbers, (frames, 1))
    data = np.concatenate([translation, turned, shape], axis=1).astype(np.float32)
    stream = Stream(data, evidence.t_ns, "m, rad", layout=LAYOUT)
    joints = body.pose_joints(data[:, 3:75].reshape(-1, 24, 3), data[:, :3])
    residual = np.linalg.norm(joints - evidence.given, axis=-1).astype(np.float32)
    return BodyFit(stream, body, joints, residual, tuple(evidence.used), float(solver.ground))

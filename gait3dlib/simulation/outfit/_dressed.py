"""A body in clothes, with what it carries: one mesh that follows the skeleton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import PARENTS, ShapedBody
from gait3dlib.body._skinning import forward_kinematics
from gait3dlib.errors import InputError
from gait3dlib.simulation.outfit._cut import Outfit, drape_cut, shell_cut, size_factor
from gait3dlib.simulation.outfit._drape import Drape
from gait3dlib.simulation.outfit._shell import Shell, Trousers, coat_shell
from gait3dlib.simulation.outfit._things import Posed, joined, make_thing

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
SKIN_LABEL, CLOTHES_LABEL, CARRIED_LABEL = 0, 1, 2


class Dressed:
    """Made by :func:`dress`.

    Attributes:
        body: the body inside, without clothes.
        outfit: what it wears and carries.
        faces: int32 ``[F, 3]``, outward.
        labels: uint8 ``[F]``, a triangle's part: 0 skin, 1 clothes, 2 carried.
    """

    def __init__(self, body: ShapedBody, outfit: Outfit) -> None:
        self.body, self.outfit = body, outfit
        factor = size_factor(body.height_m)
        self._trousers: Trousers | None = None
        shell, drape = shell_cut(outfit, factor), drape_cut(outfit, factor)
        worn: Shell | None = None
        if shell is not None and outfit.clothes == "coat":
            worn = coat_shell(body, shell)
        elif shell is not None:
            self._trousers = Trousers(body, shell, outfit.rng(5))
            worn = self._trousers.shell
        self._worn = body if worn is None else worn.body
        self._drape = None
        if drape is not None:
            self._drape = Drape(self._at_rest(), drape, outfit.rng(6))
        self._thing = make_thing(self._at_rest(), outfit)
        skin = np.zeros(len(self._worn.faces), np.uint8)
        if worn is not None:
            skin[worn.faces_covered()] = CLOTHES_LABEL
        self._join(skin)

    def _at_rest(self) -> ShapedBody:
        """The dressed body with its vertices at rest moved, too."""
        if self._worn is self.body:
            return self.body
        still = np.tile(np.eye(3), (1, 24, 1, 1))
        return replace(self._worn, vertices=self._worn.pose(still, np.zeros((1, 3)))[0][0])

    def _join(self, skin: NDArray[np.uint8]) -> None:
        counts, faces, labels = [len(self._worn.vertices)], [self._worn.faces], [skin]
        if self._drape is not None:
            counts.append(int(self._drape.faces.max()) + 1)
            faces.append(self._drape.faces)
            labels.append(np.full(len(self._drape.faces), CLOTHES_LABEL, np.uint8))
        if self._thing is not None:
            counts.append(int(self._thing.faces.max()) + 1)
            faces.append(self._thing.faces)
            labels.append(np.full(len(self._thing.faces), CARRIED_LABEL, np.uint8))
        self.faces = joined(counts, faces)
        self.labels = np.concatenate(labels)

    def pose(
        self,
        rotations: NDArray[np.floating[Any]],
        translation: NDArray[np.floating[Any]],
        t_s: NDArray[np.floating[Any]],
    ) -> tuple[F32, F32, F32]:
        """The mesh, the body's true joints and its true key points in every frame of a motion.

        Args:
            rotations: ``[T, 24, 3, 3]``, each joint relative to its parent; see :func:`carry`.
            translation: ``[T, 3]`` metres.
            t_s: ``[T]`` seconds, rising: cloth lags and swings in time, whatever the frame rate.

        Returns:
            vertices float32 ``[T, V, 3]``, joints float32 ``[T, 24, 3]``, and COCO's 17 key points float32
            ``[T, 17, 3]``. The first vertices are the body's own, moved outwards where cloth covers them.

        Raises:
            InputError: an array has another shape, or time does not rise.
        """
        times = np.asarray(t_s, np.float64)
        turns = np.asarray(rotations, np.float64)
        if turns.ndim != 4 or times.shape != (len(turns),) or not (np.diff(times) > 0).all():
            raise InputError(
                f"a dressed body needs rotations [T, 24, 3, 3] and rising times [T], not {turns.shape} "
                f"and {times.shape}"
            )
        skin, joints = self._worn.pose(turns, translation)
        landmarks = self.body.landmarks(skin, joints)
        if self._trousers is None and self._drape is None and self._thing is None:
            return skin, joints, landmarks
        posed = self._posed(skin, turns, np.asarray(translation, np.float64), times)
        if self._trousers is not None:
            skin = self._trousers.swing(skin, posed.turned, posed.joints, times)
        parts = [skin]
        if self._drape is not None:
            parts.append(self._drape.pose(skin, posed.turned, posed.joints, times))
        if self._thing is not None:
            parts.append(self._thing.place(posed).astype(np.float32))
        return np.concatenate(parts, axis=1), joints, landmarks

    def _posed(self, skin: F32, turns: F64, translation: F64, times: F64) -> Posed:
        offsets = self.body.joints - self.body.joints[list(PARENTS)]
        offsets[0] = self.body.joints[0]
        turned, joints = forward_kinematics(turns, offsets, translation + offsets[0], PARENTS)
        return Posed(skin, turned, joints, times)


def dress(body: ShapedBody, outfit: Outfit) -> Dressed:
    """A body in an outfit. The cut depends on the outfit's seed and the body alone."""
    return Dressed(body, outfit)

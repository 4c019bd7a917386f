"""From evidence and a first guess to the body and motion of least energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait3dlib.body import PARENTS, Body, ShapedBody
from gait3dlib.fitting._body import Posed, TorchBody
from gait3dlib.fitting._motion import SmoothMotion
from gait3dlib.fitting._priors import SHAPE_HIGH, SHAPE_LOW, SHAPE_SPREAD, Priors, Soles
from gait3dlib.fitting._terms import Term

F64 = NDArray[np.float64]


# how far one step takes each shape number, in spreads: what evidence says little of must not be left where it
# starts because all else weighs more
STEPS = np.array([6.0, 6.0, 5.0, 5.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0])


class Solver:
    """One walk being fitted.

    Args:
        t_s: [T] seconds.
        body: to start from.
        local: [T, 24, 3, 3] and
        pelvis: [T, 3], the motion to start from.
        terms: the evidence.
        on_ground: the ground is z = 0, instead of where the feet stand.
    """

    def __init__(
        self,
        t_s: F64,
        body: ShapedBody,
        local: F64,
        pelvis: F64,
        terms: Sequence[Term],
        *,
        on_ground: bool = False,
    ) -> None:
        self.body = TorchBody(Body.load())
        self.body.settle(body.numbers)
        self.motion = SmoothMotion(t_s, local, pelvis)
        self.priors, self.soles, self.terms = (
            Priors(t_s),
            Soles(Body.load().from_numbers(body.numbers).vertices),
            terms,
        )
        self.coefficients = self.motion.start.clone()
        self._scale = torch.as_tensor(SHAPE_SPREAD * STEPS)
        self._numbers = torch.tensor(body.numbers) / self._scale
        self.ground = torch.zeros((), dtype=torch.float64)
        self.on_ground = on_ground

    @property
    def numbers(self) -> Tensor:
        """The ten shape numbers."""
        return self._numbers * self._scale

    def posed(self) -> Posed:
        """The body as it stands now."""
        return self.body.pose(self.numbers, *self.motion.poses(self.coefficients))

    def energy(self, robust: bool) -> Tensor:
        """Of everything."""
        posed = self.posed()
        priors = self.priors
        energy = priors.shape(posed.numbers) + priors.pose(posed) + priors.smoothness(posed)
        energy = energy + self.soles.energy(posed, priors, self.ground)
        for term in self.terms:
            energy = energy + term.energy(posed, robust)
        return energy

    def run(self, rounds: Sequence[int], progress: Callable[[int, int], None] | None = None) -> None:
        """Minimise, look anew at evidence and ground, minimise again.

        Args:
            rounds: steps of each minimisation.
            progress: called with (done, all) rounds.
        """
        self._look([term for term in self.terms if not term.ready], feet=self.on_ground)
        for number, steps in enumerate(rounds):
            self._minimise(steps, robust=number > 0)
            self._look(self.terms, feet=True)
            if progress is not None:
                progress(number + 1, len(rounds))

    def _look(self, terms: Sequence[Term], *, feet: bool) -> None:
        with torch.no_grad():
            posed = self.posed()
            if feet:
                ground = self.soles.watch(posed, self.priors)
                self.ground = torch.zeros_like(ground) if self.on_ground else ground.clone()
            for term in terms:
                term.look(posed)

    def _minimise(self, steps: int, robust: bool) -> None:
        free = [self.coefficients, self._numbers, *(value for term in self.terms for value in term.free)]
        if not self.on_ground:
            free.append(self.ground)
        for value in free:
            value.requires_grad_(True)
        optimizer = torch.optim.LBFGS(
            free, max_iter=steps, max_eval=steps * 5 // 4, history_size=30, line_search_fn="strong_wolfe",
            tolerance_grad=1e-4, tolerance_change=1e-6,
        )  # fmt: skip

        def closure() -> Tensor:
            optimizer.zero_grad()
            energy = self.energy(robust)
            energy.backward()  # type: ignore[no-untyped-call]
            return energy

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        for value in free:
            value.requires_grad_(False)

    def result(self) -> tuple[ShapedBody, F64, F64]:
        """The body, its rotations [T, 24, 3, 3] and the translation [T, 3] of its `smpl` stream."""
        with torch.no_grad():
            posed = self.posed()
            numbers = self.numbers.numpy().clip(SHAPE_LOW, SHAPE_HIGH)
            body = Body.load().from_numbers(numbers)
            # what zero rotations mean has changed with the shape; the skin has not moved
            back = torch.tensor(body.bind_rotations.transpose(0, 2, 1))
            world = posed.world @ self.body.to_t_pose @ back
            local = world.clone()
            parents = torch.tensor(PARENTS)
            local[:, 1:] = world[:, parents[1:]].transpose(-1, -2) @ world[:, 1:]
            return body, local.numpy(), posed.joints[:, 0].numpy() - body.joints[0]

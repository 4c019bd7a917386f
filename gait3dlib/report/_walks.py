"""What goes into a report: walks with the answer and the truth, and tables; and how an answer turned out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gait3dlib.types import Labels, Recognition


class Outcome(Enum):
    """How an answer turned out, once the truth is known."""

    RIGHT = "Right name"
    HELD_BACK = "Rightly unknown"
    WRONG = "Wrong name"
    FALSE_ALARM = "Stranger given a name"
    MISSED = "Enrolled, not named"
    OPEN = "Truth not known"

    @property
    def good(self) -> bool:
        """Whether the answer was the right one."""
        return self in (Outcome.RIGHT, Outcome.HELD_BACK)


@dataclass(frozen=True)
class ReportWalk:
    """One walk on the page.

    Args:
        title: what to call the walk.
        recognition: the answer.
        truth_identity: the pseudonym of who it was, enrolled or not; None = not known.
        truth_labels: what is truly known of that person.
        silhouettes: uint8 ``[T, H, W]``.
        skeleton_maps: uint8 ``[T, 2, H, W]``, limbs and joints.
        body_vertices: float ``[T', V, 3]`` metres, z up: one walking cycle whose end leads to its start.
        body_faces: int ``[F, 3]``.
        body_caption: whose body it is and where it comes from.
        body_seconds: how long the cycle lasts.
        fps: frames a second of silhouettes and maps.
    """

    title: str
    recognition: Recognition
    truth_identity: str | None = None
    truth_labels: Labels | None = None
    silhouettes: NDArray[np.uint8] | None = None
    skeleton_maps: NDArray[np.uint8] | None = None
    body_vertices: NDArray[np.float32] | None = None
    body_faces: NDArray[np.int32] | None = None
    body_caption: str = "the simulated walker, not inferred"
    body_seconds: float = 1.1
    fps: float = 15.0


@dataclass(frozen=True)
class ReportTable:
    """A table of text and numbers under a title; floats are shown to three digits."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    note: str = ""


def outcome(walk: ReportWalk, enrolled: Collection[str]) -> Outcome:
    """How the answer to a walk turned out, given who is enrolled."""
    answer, truth = walk.recognition, walk.truth_identity
    if truth is None:
        return Outcome.OPEN
    if truth not in enrolled:
        return Outcome.FALSE_ALARM if answer.known else Outcome.HELD_BACK
    if not answer.known:
        return Outcome.MISSED
    return Outcome.RIGHT if answer.identity == truth else Outcome.WRONG

"""Who is kept out of training, and the one figure of them that it watches: rank-1 across views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait3dlib.data.recordings import Walk
from gait3dlib.errors import InputError
from gait3dlib.evaluation import exclude_views, rank, similarity

MIN_DEGREES = 30.0


def cross_view_rank1(embedding: NDArray[np.float32], walks: Sequence[Walk]) -> float:
    """Rank-1 of every walk against all others seen from at least 30 degrees away; unit-length parts.

    A walk of unknown view is compared with all others. Walks whose embedding is NaN are left out; the answer
    is NaN where nobody has two walks to compare.
    """
    seen = np.flatnonzero(np.isfinite(embedding).all(axis=(1, 2)))
    embedding, walks = embedding[seen], [walks[int(i)] for i in seen]
    people = [walk.subject for walk in walks]
    exclude = not_compared(walks)
    return float(rank(similarity(embedding, embedding), people, people, exclude).rank_k(1))


def not_compared(walks: Sequence[Walk]) -> NDArray[np.bool_]:
    """Pairs of walks ``[n, n]`` that are not compared: those of known views less than 30 degrees apart."""
    views = np.array([np.nan if walk.view_deg is None else walk.view_deg for walk in walks])
    known = np.flatnonzero(np.isfinite(views))
    exclude = np.eye(len(walks), dtype=bool)
    exclude[np.ix_(known, known)] |= exclude_views(views[known], views[known], MIN_DEGREES)
    return exclude


def held_out(subjects: Sequence[str], count: int) -> set[str]:
    """The last ``count`` people, sorted: they are kept out of training.

    Raises:
        InputError: fewer than two people are left to train on.
    """
    if len(subjects) < count + 2:
        raise InputError(
            f"{len(subjects)} people are too few to keep {count} out of training; "
            "record or simulate more, or lower validation_people"
        )
    return set(sorted(subjects)[len(subjects) - count :])

"""The one figure that training watches: rank-1 of people it never sees, across views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait3dlib.data.recordings import Walk
from gait3dlib.evaluation import exclude_views, rank, similarity

MIN_DEGREES = 30.0


def cross_view_rank1(embedding: NDArray[np.float32], walks: Sequence[Walk]) -> float:
    """Rank-1 of every walk against all others seen from at least 30 degrees away; unit-length parts."""
    people = [walk.subject for walk in walks]
    views = np.array([np.nan if walk.view_deg is None else walk.view_deg for walk in walks])
    ranking = rank(similarity(embedding, embedding), people, people, exclude_views(views, views, MIN_DEGREES))
    return float(ranking.rank_k(1))

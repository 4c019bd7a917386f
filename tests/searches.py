"""Searches with known answers, drawn by hypothesis, for the tests of the metrics."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Searches = tuple[NDArray[np.float64], list[int], list[int], NDArray[np.bool_]]
quick = settings(max_examples=60, deadline=None)


@st.composite
def searches(draw: st.DrawFn, most: int = 9) -> Searches:
    """Score matrices with many ties, few people, strangers and exclusions."""
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    table = rng.integers(0, draw(st.integers(1, 12)), (n, m)) / 4.0
    people = draw(st.integers(1, 5))
    exclude = rng.random((n, m)) < draw(st.sampled_from([0.0, 0.3, 0.8]))
    return table, rng.integers(0, people, n).tolist(), rng.integers(0, people, m).tolist(), exclude

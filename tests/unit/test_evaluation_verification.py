"""Verification: ROC, EER, AUC and TAR against counting and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from searches import quick

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError

# ---- verification ---------------------------------------------------------------------------------

few_scores = st.lists(st.integers(0, 8).map(lambda x: x / 8), min_size=1, max_size=12)


def curve_by_hand(same: list[float], other: list[float]) -> list[tuple[float, float]]:
    """(FAR, TAR) at every threshold from +inf down."""
    cuts = [math.inf, *sorted({*same, *other}, reverse=True)]
    return [(np.mean([s >= t for s in other]), np.mean([s >= t for s in same])) for t in cuts]  # type: ignore[misc]


def eer_by_hand(same: list[float], other: list[float]) -> float:
    """Walk along the ROC in small steps until FAR reaches FNMR."""
    curve = curve_by_hand(same, other)
    best = (2.0, 0.0)
    for (f0, t0), (f1, t1) in itertools.pairwise(curve):
        for step in range(1001):
            far, tar = f0 + (f1 - f0) * step / 1000, t0 + (t1 - t0) * step / 1000
            best = min(best, (abs(far - (1 - tar)), (far + 1 - tar) / 2))
    return best[1]


@quick
@given(few_scores, few_scores)
def test_verification_equals_counting(same: list[float], other: list[float]) -> None:
    curve = ev.roc(same, other)
    np.testing.assert_allclose(np.stack([curve.far, curve.tar], axis=1), curve_by_hand(same, other))
    assert ev.eer(same, other) == pytest.approx(eer_by_hand(same, other), abs=2e-3)
    wins = [1.0 if s > o else 0.5 if s == o else 0.0 for s in same for o in other]
    assert ev.auc(same, other) == pytest.approx(np.mean(wins))
    assert ev.auc(same, other) == pytest.approx(np.trapezoid(curve.tar, curve.far))
    assert ev.auc(other, same) == pytest.approx(1 - ev.auc(same, other))
    for rate, got in ev.tar_at_far(same, other, [0.05, 0.1, 0.25, 0.5, 1.0]).items():
        if rate * len(other) < 1 - 1e-9:
            assert math.isnan(got.value)
            assert f"needs {math.ceil(1 / rate - 1e-9)} impostor pairs, there are {len(other)}" in got.note
        else:
            reached = [tar for far, tar in curve_by_hand(same, other) if far <= rate + 1e-12]
            assert got.value == pytest.approx(max(reached))


def test_small_roc_by_hand() -> None:
    curve = ev.roc([0.9, 0.8, 0.4], [0.7, 0.3, 0.2, 0.1])
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1]
    assert curve.far.tolist() == [0, 0, 0, 0.25, 0.25, 0.5, 0.75, 1]
    assert curve.tar.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1, 1, 1, 1])
    assert ev.eer([0.9, 0.8, 0.4], [0.7, 0.3, 0.2, 0.1]) == pytest.approx(0.25)
    assert ev.eer([2, 3], [0, 1]) == 0.0
    assert ev.eer([0, 1], [2, 3]) == 1.0
    assert ev.eer([1, 1], [1, 1, 1]) == 0.5
    assert (ev.auc([2, 3], [0, 1]), ev.auc([1, 1], [1, 1, 1]), ev.auc([0], [1])) == (1.0, 0.5, 0.0)
    assert ev.tar_at_far([3, 1], range(10), [0.1])[0.1].value == 0.0
    # one of ten impostors may pass: 9 beside an equal impostor is in, 8 beside a second one is out
    assert ev.tar_at_far([9.5, 9, 8, 1], range(10), [0.1])[0.1].value == 0.5


@pytest.mark.parametrize("d", [0.5, 1.0, 2.0, 3.0])
def test_gaussian_scores_have_closed_forms(d: float) -> None:
    # quantiles instead of random draws: the figures are then exact to the grid
    grid = norm.ppf((np.arange(20000) + 0.5) / 20000)
    assert ev.eer(grid + d, grid) == pytest.approx(norm.cdf(-d / 2), abs=2e-4)
    assert ev.auc(grid + d, grid) == pytest.approx(norm.cdf(d / math.sqrt(2)), abs=2e-4)
    for rate, got in ev.tar_at_far(grid + d, grid, [0.1, 0.01, 0.001]).items():
        assert got.value == pytest.approx(norm.cdf(d - norm.isf(rate)), abs=5e-3)


def test_bad_scores() -> None:
    for same, other in (([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf]), ([[1.0]], [1.0])):
        with pytest.raises(InputError, match="scores"):
            ev.roc(same, other)
    for rate in (0.0, -0.1, 1.5):
        with pytest.raises(InputError, match="false accept rate"):
            ev.tar_at_far([1.0], [0.0], [rate])

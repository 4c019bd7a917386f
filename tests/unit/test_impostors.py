"""Default thresholds: from the tail of impostor scores to a false positive rate that is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gait3dlib.errors import WeightsError
from gait3dlib.evaluation.impostors import TAIL, impostor_tail, subsets, threshold_for


def embeddings(people: int, walks: int, dim: int, seed: int) -> tuple[np.ndarray, list[str]]:  # type: ignore[type-arg]
    """Independent directions, two unit parts each: nobody is like anybody."""
    parts = np.random.default_rng(seed).standard_normal((people * walks, 2, dim))
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    return parts.astype(np.float32), [f"p{i // walks}" for i in range(people * walks)]


def test_the_tail_is_the_share_of_pairs_above() -> None:
    parts, people = embeddings(60, 2, 8, seed=0)
    flat = parts.reshape(len(parts), -1) / np.sqrt(2)
    scores = [
        float(flat[i] @ flat[j])
        for i in range(len(flat))
        for j in range(i)
        if people[i] != people[j]
    ]  # fmt: skip
    rows = impostor_tail(parts, people)
    assert [share for share, _ in rows] == [s for s in TAIL if s * len(scores) >= 5]
    for share, score in rows:
        above = np.sum(np.array(scores) > score)
        assert abs(above - share * len(scores)) <= 1, "to one pair"
    assert rows == sorted(rows, key=lambda row: -row[0])


def test_walks_without_evidence_and_of_one_person_alone_say_nothing() -> None:
    parts, people = embeddings(40, 1, 8, seed=1)
    parts[3] = np.nan
    assert np.isfinite(impostor_tail(parts, people)).all()
    rest = np.delete(parts, 3, axis=0)
    assert impostor_tail(parts, people) == impostor_tail(rest, people[:3] + people[4:])
    assert impostor_tail(parts, ["one"] * 40) == []


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
@pytest.mark.parametrize("fpir", [0.01, 0.1])
def test_the_asked_rate_of_false_names_is_kept(size: int, fpir: float) -> None:
    """The tail of a normal distribution in closed form, and searches that are really made."""
    from scipy.stats import norm

    tail = [[share, float(norm.isf(share))] for share in TAIL]
    threshold = threshold_for(tail, size, fpir)
    tops = norm.isf(-np.expm1(np.log(np.random.default_rng(size).random(200_000)) / size))
    measured = float((tops >= threshold).mean())
    assert fpir * 0.85 < measured < fpir * 1.1, "up to what lies between two rows"


def test_beyond_the_tail_thresholds_go_on_rising_but_not_past_one() -> None:
    tail = [[0.1, 0.5], [0.01, 0.7]]
    assert threshold_for(tail, 1, 0.1) == pytest.approx(0.5)
    assert threshold_for(tail, 1, 0.01) == pytest.approx(0.7)
    assert threshold_for(tail, 1, 0.001) == pytest.approx(0.9)
    assert threshold_for(tail, 1, 1e-5) == 1.0
    assert threshold_for(tail, 1, 0.5) == 0.5, "no lower than the tail is known"
    assert threshold_for([[0.5, 0.4]], 100, 0.01) == 1.0, "one row says nothing of the tail"
    thresholds = [threshold_for(tail, size, 0.01) for size in (0, 1, 2, 10, 100, 10_000)]
    assert thresholds == sorted(thresholds)


@pytest.mark.parametrize(
    "tail",
    [
        [],
        None,
        3,
        {"a": 1},
        [[0.5]],
        [["a", "b"]],
        [[0.5, 0.1], [0.5, 0.2]],
        [[0.1, 0.1], [0.5, 0.2]],
        [[0.5, 0.3], [0.1, 0.2]],
        [[0.5, float("nan")]],
        [[1.0, 0.1]],
        [[0.1, 0.2], [0.0, 0.3]],
    ],
)
def test_a_tail_from_a_file_is_checked(tail: Any) -> None:
    with pytest.raises(WeightsError, match="no usable impostor scores; train the fusion again"):
        threshold_for(tail, 10, 0.01)


def test_subsets() -> None:
    assert subsets(["b", "a"]) == [("a",), ("b",), ("a", "b")]
    assert len(subsets("abcd")) == 15
    assert subsets([]) == []

"""Re-ranking by k-reciprocal neighbours against its definition, set by set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.evaluation import rank, rerank, reranking, similarity


def by_hand(probe: Any, gallery: Any, k1: int, k2: int, weight: float) -> list[list[float]]:
    """The definition with sets and dictionaries."""
    both = [x.tolist() for x in (*probe, *gallery)]
    n = len(both)
    d = [
        [(sum(math.dist(p, q) for p, q in zip(a, b, strict=True)) / len(a)) ** 2 for b in both] for a in both
    ]
    d = [[x / max(row) for x in row] for row in d]
    near = [sorted(range(n), key=lambda j, i=i: (j != i, d[i][j])) for i in range(n)]

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in near[i][: k + 1] if i in near[j][: k + 1]}

    vectors = []
    for i in range(n):
        members = mutual(i, k1)
        large = set(members)
        for j in members:
            small = mutual(j, max(1, round(k1 / 2)))
            if len(small & members) >= 2 / 3 * len(small) - 1e-12:
                large |= small
        weights = {j: math.exp(-d[i][j]) for j in large}
        total = sum(weights.values())
        vectors.append({j: w / total for j, w in weights.items()})
    if k2 > 1:
        vectors = [
            {j: sum(vectors[m].get(j, 0.0) for m in near[i][:k2]) / len(near[i][:k2]) for j in range(n)}
            for i in range(n)
        ]
    out = []
    for i in range(len(probe)):
        row = []
        for g in range(len(probe), n):
            least = sum(min(vectors[i].get(j, 0.0), vectors[g].get(j, 0.0)) for j in range(n))
            most = sum(max(vectors[i].get(j, 0.0), vectors[g].get(j, 0.0)) for j in range(n))
            row.append(-((1 - weight) * (1 - least / most) + weight * d[i][g]))
        out.append(row)
    return out


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(6, 6, 0.3), (4, 2, 0.0), (5, 1, 0.5), (20, 6, 0.3), (3, 3, 1.0)]
)
def test_it_equals_its_definition(k1: int, k2: int, weight: float) -> None:
    rng = np.random.default_rng(k1)
    centre = rng.normal(size=(5, 2, 4))
    probe = centre[rng.integers(0, 5, 7)] + 0.6 * rng.normal(size=(7, 2, 4))
    gallery = centre[rng.integers(0, 5, 12)] + 0.6 * rng.normal(size=(12, 2, 4))
    # the library's distances are rounded to float32
    np.testing.assert_allclose(
        rerank(probe, gallery, k1=k1, k2=k2, weight=weight),
        by_hand(probe, gallery, k1, k2, weight),
        atol=1e-6,
    )


def test_the_distance_alone_is_the_plain_order() -> None:
    rng = np.random.default_rng(0)
    probe, gallery = rng.normal(size=(6, 8)), rng.normal(size=(9, 8))
    plain, alone = similarity(probe, gallery, "euclidean"), rerank(probe, gallery, k1=3, k2=1, weight=1.0)
    np.testing.assert_array_equal(np.argsort(-plain, axis=1), np.argsort(-alone, axis=1))


def test_neighbours_help_where_a_persons_walks_are_a_chain() -> None:
    """Walks of a person lie along a line, 0.3 apart, the lines 1 apart: the far end is a friend's friend."""
    people = np.repeat(np.arange(6), 12)
    walks = np.stack([np.tile(np.arange(12) * 0.3, 6), people], axis=1).astype(np.float64)
    probe = np.arange(72) % 12 < 3
    both = walks[probe], walks[~probe]
    before = rank(similarity(*both, "euclidean"), people[probe], people[~probe]).mean_ap()
    after = rank(rerank(*both, k1=6, k2=6), people[probe], people[~probe]).mean_ap()
    assert (before, after) == pytest.approx((0.577, 0.863), abs=1e-3)


def test_equal_walks_and_few_walks() -> None:
    same = np.ones((3, 4))
    got = rerank(same, same)
    np.testing.assert_allclose(got, 0.0, atol=1e-12)
    assert rerank(np.eye(4)[:1], np.eye(4)[1:2]).shape == (1, 1)


def test_what_cannot_be_reranked(monkeypatch: pytest.MonkeyPatch) -> None:
    good = np.eye(3)
    for changes in ({"k1": 0}, {"k2": 0}, {"weight": 1.1}, {"weight": -0.1}):
        with pytest.raises(InputError, match="re-ranking needs"):
            rerank(good, good, **changes)  # type: ignore[arg-type]
    monkeypatch.setattr(reranking, "MOST", 5)
    with pytest.raises(InputError, match="6 walks are more than 5"):
        rerank(good, good)

"""Paired intervals and tests agree with scipy's, and with what can be counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gait3dlib.ablation._paired import AreaCells, MeanCells, holm, sign_flip_test, sign_flips
from gait3dlib.evaluation import PeopleBootstrap, auc, evaluate_binary


def ways(seed: int, people: int, walks: int) -> tuple[np.ndarray, list[int]]:  # type: ignore[type-arg]
    """Values ``[people * walks, 2]`` of two ways that differ a little, and who walks."""
    rng = np.random.default_rng(seed)
    skill = np.repeat(rng.normal(0, 1, people), walks)
    values = skill[:, None] + rng.normal(0, 0.5, (people * walks, 2)) + [0.0, 0.2]
    return values, np.repeat(np.arange(people), walks).tolist()


def test_the_interval_of_a_difference_is_scipys() -> None:
    """One draw of scipy's is one person with all their walks, on both sides."""
    values, people = ways(1, people=40, walks=3)
    cells = MeanCells(values, PeopleBootstrap.of(people, replicates=20_000, seed=2))
    difference, draws, _ = cells.against(0)
    per_person = (values[:, 1] - values[:, 0]).reshape(40, 3).mean(axis=1)
    wanted = stats.bootstrap(
        (per_person,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert difference[1] == pytest.approx(per_person.mean())
    assert np.quantile(draws[:, 1], [0.025, 0.975]) == pytest.approx(wanted, abs=0.006)
    assert draws[:, 1].std() == pytest.approx(per_person.std() / np.sqrt(40), rel=0.03)


def test_people_with_unequal_walks_count_by_their_walks() -> None:
    """A ratio of sums, as scipy's bootstrap of that ratio over people."""
    rng = np.random.default_rng(5)
    people = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    values = rng.normal(0, 1, (len(people), 2))
    cells = MeanCells(values, PeopleBootstrap.of(people.tolist(), replicates=20_000, seed=1))
    difference, draws, _ = cells.against(0)
    apart = values[:, 1] - values[:, 0]
    sums, counts = np.bincount(people, apart), np.bincount(people)
    wanted = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert difference[1] == pytest.approx(apart.mean())
    assert np.quantile(draws[:, 1], [0.025, 0.975]) == pytest.approx(wanted, abs=0.012)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_few_people_the_test_is_exact_and_scipys(seed: int) -> None:
    values, people = ways(seed, people=9, walks=2)
    signs = sign_flips(9, permutations=4999)
    assert signs.shape == (512, 9)
    assert len(np.unique(signs, axis=0)) == 512
    cells = MeanCells(values, PeopleBootstrap.of(people, replicates=2))
    p = sign_flip_test(cells.against(0)[2], signs)[1]
    a, b = values.reshape(9, 2, 2).mean(axis=1).T
    wanted = stats.permutation_test(
        (b, a), lambda x, y, axis=-1: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=5000
    )
    assert p == pytest.approx(wanted.pvalue, abs=1e-12)


def test_with_many_people_the_test_is_scipys_up_to_the_draws() -> None:
    values, people = ways(11, people=60, walks=2)
    signs = sign_flips(60, permutations=20_000, seed=4)
    p = sign_flip_test(MeanCells(values, PeopleBootstrap.of(people, 2)).against(0)[2], signs)[1]
    a, b = values.reshape(60, 2, 2).mean(axis=1).T
    wanted = stats.permutation_test(
        (b, a),
        lambda x, y, axis=-1: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    assert p == pytest.approx(wanted, abs=4 * np.sqrt(wanted / 20_000) + 1e-4)


def test_areas_and_their_difference_are_tested_as_scipy_would() -> None:
    """The linear form of the swap equals computing the area anew for every swap of people."""
    rng = np.random.default_rng(8)
    people, positive = np.arange(10), np.arange(10) < 5
    scores = rng.normal(0, 1, (10, 2)) + positive[:, None] * [0.5, 1.5]
    boot = PeopleBootstrap.of(people.tolist(), replicates=2)
    difference, _, terms = AreaCells(scores, positive, boot).against(1, 0)
    first, second = (auc(scores[positive, i], scores[~positive, i]) for i in (0, 1))
    assert difference == pytest.approx(second - first)

    def apart(b: np.ndarray, a: np.ndarray) -> float:  # type: ignore[type-arg]
        return auc(b[positive], b[~positive]) - auc(a[positive], a[~positive])

    wanted = stats.permutation_test(
        (scores[:, 1], scores[:, 0]), apart, permutation_type="samples", vectorized=False, n_resamples=1024
    )
    signs = sign_flips(10, permutations=1024)
    assert np.sort(signs @ terms) == pytest.approx(np.sort(wanted.null_distribution), abs=1e-12)
    assert sign_flip_test(terms[:, None], signs)[0] == pytest.approx(wanted.pvalue, abs=1e-12)


def test_the_swap_of_areas_keeps_all_walks_of_a_person_together() -> None:
    """Brute force: every swap of four people with several walks each."""
    rng = np.random.default_rng(3)
    people = np.array([0, 0, 0, 1, 2, 2, 3, 3])
    positive = np.isin(people, (0, 1))
    scores = np.round(rng.normal(0, 1, (8, 2)), 0)  # with ties
    boot = PeopleBootstrap.of(people.tolist(), replicates=2)
    terms = AreaCells(scores, positive, boot).against(1, 0)[2]
    for swap in itertools.product([1.0, -1.0], repeat=4):
        kept = np.array(swap)[people] > 0
        b, a = np.where(kept, scores[:, 1], scores[:, 0]), np.where(kept, scores[:, 0], scores[:, 1])
        wanted = auc(b[positive], b[~positive]) - auc(a[positive], a[~positive])
        assert np.dot(swap, terms) == pytest.approx(wanted, abs=1e-12)


def test_areas_have_the_interval_of_the_evaluation() -> None:
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(20), 3)
    positive = people % 2 == 0
    score = rng.normal(0, 1, 60) + positive
    wanted = evaluate_binary(positive, score, people.tolist(), replicates=300, seed=7).auc
    boot = PeopleBootstrap.of(people.tolist(), replicates=300, seed=7)
    area, draws = AreaCells(score[:, None], positive, boot).areas([0], np.ones(60, dtype=bool))
    found = boot.measure(float(area[0]), draws[:, 0])
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_a_way_that_did_not_answer_is_compared_where_both_did() -> None:
    values = np.array([[1.0, 0.0], [1.0, np.nan], [0.0, 1.0], [1.0, 0.0]])
    cells = MeanCells(values, PeopleBootstrap.of([0, 1, 2, 3], replicates=50))
    difference, draws, terms = cells.against(0)
    assert cells.mean() == pytest.approx([0.75, 1 / 3])
    assert difference == pytest.approx([0.0, -1 / 3])
    assert terms[:, 1] == pytest.approx([-1 / 3, 0, 1 / 3, -1 / 3])
    assert np.isnan(draws[:, 1]).sum() <= 1


def test_no_difference_is_no_finding() -> None:
    values = np.ones((12, 2))
    terms = MeanCells(values, PeopleBootstrap.of(list(range(12)), 2)).against(0)[2]
    assert sign_flip_test(terms, sign_flips(12)) == pytest.approx([1.0, 1.0])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, np.nan, 0.9]) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_finding_surer_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= min(b, 1.0) for a, b in zip(adjusted, p, strict=True))
    assert all(x <= 1 for x in adjusted)
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= -1e-15).all()

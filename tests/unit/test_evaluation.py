"""Closed-set identification against brute force, hand-made tables and laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searches import Searches, quick, searches

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError
from gait3dlib.evaluation import identification

# ---- closed set -----------------------------------------------------------------------------------


def by_hand(search: Searches) -> list[tuple[int, float, float, int, int]]:
    """First rank, AP, INP, mates and eligible entries of each probe, by counting worse or equal others."""
    table, probe, gallery, exclude = search
    answers = []
    for i, person in enumerate(probe):
        eligible = [j for j in range(len(gallery)) if not exclude[i][j]]
        mates = sorted((table[i][j] for j in eligible if gallery[j] == person), reverse=True)
        others = [table[i][j] for j in eligible if gallery[j] != person]
        ranks = [k + sum(other >= score for other in others) for k, score in enumerate(mates, start=1)]
        ap = sum(k / r for k, r in enumerate(ranks, start=1)) / len(ranks) if ranks else 0.0
        inp = len(ranks) / ranks[-1] if ranks else 0.0
        answers.append((ranks[0] if ranks else 0, ap, inp, len(mates), len(eligible)))
    return answers


@quick
@given(searches(), st.integers(1, 12))
def test_ranking_equals_counting(search: Searches, k: int) -> None:
    got, expected = ev.rank(*search), by_hand(search)
    for i, (first, ap, inp, mates, eligible) in enumerate(expected):
        assert (got.first[i], got.mates[i], got.eligible[i]) == (first, mates, eligible)
        assert got.average_precision[i] == pytest.approx(ap)
        assert got.inverse_negative_penalty[i] == pytest.approx(inp)
        assert got.stranger[i] == (search[1][i] not in search[2])
    for unmatched in ("skip", "miss"):
        kept = [e for e in expected if e[3] or unmatched == "miss"]
        if not kept:
            assert math.isnan(got.rank_k(k, unmatched))
            assert math.isnan(got.mean_ap(unmatched))
            continue
        assert got.rank_k(k, unmatched) == pytest.approx(np.mean([0 < e[0] <= k for e in kept]))
        assert got.mean_ap(unmatched) == pytest.approx(np.mean([e[1] for e in kept]))
        assert got.mean_inp(unmatched) == pytest.approx(np.mean([e[2] for e in kept]))


@quick
@given(searches(), st.integers(0, 2**31))
def test_order_names_and_scale_change_nothing(search: Searches, seed: int) -> None:
    table, probe, gallery, exclude = search
    rng = np.random.default_rng(seed)
    order, columns = rng.permutation(len(probe)), rng.permutation(len(gallery))
    plain = ev.rank(*search)
    other = ev.rank(
        np.exp(table[order][:, columns]),
        [f"n{9 - probe[i]}" for i in order],
        [f"n{9 - gallery[j]}" for j in columns],
        exclude[order][:, columns],
    )
    for field in ("first", "average_precision", "inverse_negative_penalty", "mates", "eligible", "stranger"):
        np.testing.assert_allclose(getattr(other, field), getattr(plain, field)[order])


@quick
@given(searches(), st.integers(0, 2**31))
def test_excluded_entries_do_not_exist(search: Searches, seed: int) -> None:
    table, probe, gallery, exclude = search
    rng = np.random.default_rng(seed)
    garbage = np.where(exclude, rng.normal(scale=100, size=table.shape), table)
    np.testing.assert_array_equal(ev.rank(garbage, probe, gallery, exclude).first, ev.rank(*search).first)
    column = exclude.all(axis=0)
    if not column.all():
        kept = [g for g, gone in zip(gallery, column, strict=True) if not gone]
        fewer = ev.rank(table[:, ~column], probe, kept, exclude[:, ~column])
        np.testing.assert_array_equal(fewer.average_precision, ev.rank(*search).average_precision)


def test_a_table_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "_CHUNK_VALUES", 5)
    table = [[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.5, 0.5, 0.1, 0.2]]
    got = ev.rank(table, ["a", "b", "c"], ["b", "a", "c", "a", "b"])
    # a: a at 2 and 4; b: b at 1 and 5; c: its 0.5 ties with a and b and comes last of the three
    assert got.first.tolist() == [2, 1, 3]
    assert got.average_precision.tolist() == pytest.approx([(1 / 2 + 2 / 4) / 2, (1 + 2 / 5) / 2, 1 / 3])
    assert got.inverse_negative_penalty.tolist() == pytest.approx([2 / 4, 2 / 5, 1 / 3])
    assert [got.rank_k(k) for k in (1, 2, 3, 99)] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert got.chance() == pytest.approx((2 / 5 + 2 / 5 + 1 / 5) / 3)


def test_a_constant_score_names_nobody() -> None:
    people = list(range(6))
    got = ev.rank(np.ones((6, 6)), people, people)
    assert (got.rank_k(1), got.rank_k(5), got.rank_k(6), got.chance()) == (
        0.0,
        0.0,
        1.0,
        pytest.approx(1 / 6),
    )


@pytest.mark.parametrize(("mates", "others"), [(1, 4), (2, 3), (3, 1), (2, 0), (0, 3)])
def test_chance_equals_all_draws(mates: int, others: int) -> None:
    entries = [1] * mates + [0] * others
    got = ev.rank(np.zeros((1, len(entries))), [1], entries)
    for k in range(1, len(entries) + 2):
        draws = list(itertools.combinations(entries, min(k, len(entries))))
        expected = sum(1 in draw for draw in draws) / len(draws)
        assert got.chance(k, "miss") == pytest.approx(expected)


def test_shuffled_labels_fall_to_chance() -> None:
    rng = np.random.default_rng(3)
    gallery = np.repeat(np.arange(20), 3)
    got = ev.rank(rng.normal(size=(4000, 60)), rng.integers(0, 20, 4000), gallery)
    for k in (1, 5):
        sd = math.sqrt(got.chance(k) * (1 - got.chance(k)) / 4000)
        assert abs(got.rank_k(k) - got.chance(k)) < 4 * sd


def test_probes_without_a_match_are_counted() -> None:
    table = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    got = ev.rank(table, ["a", "x", "b"], ["a", "b"], np.array([[0, 0], [0, 0], [0, 1]], dtype=bool))
    assert got.mates.tolist() == [1, 0, 0]
    assert got.stranger.tolist() == [False, True, False]
    assert (got.rank_k(1), got.rank_k(1, "miss"), got.mean_ap("miss")) == (1.0, 1 / 3, 1 / 3)
    empty = ev.rank(table, ["a", "x", "b"], ["a", "b"], np.ones((3, 2), dtype=bool))
    assert empty.eligible.tolist() == [0, 0, 0]
    assert math.isnan(empty.rank_k(1))
    assert math.isnan(empty.chance())
    assert empty.rank_k(1, "miss") == empty.chance(1, "miss") == 0.0


def test_bad_searches() -> None:
    good = np.zeros((2, 3))
    nan = np.array([[0, 1, np.nan], [0, 1, 2]])
    for arguments, words in (
        ((good, [1, 2], [1, 2]), r"shape \[2, 2\]"),
        ((nan, [1, 2], [1, 2, 3]), "NaN or infinity"),
        ((np.full((2, 3), "x"), [1, 2], [1, 2, 3]), "scores must be numbers"),
        ((good, [1, 2], ["1", "2", "3"]), "all names or all whole numbers"),
        ((good, [1, None], [1, 2, 3]), "none missing"),
        ((good, [], [1, 2, 3]), "non-empty"),
        ((good, [0.5, 1.0], [1, 2, 3]), "whole numbers"),
        ((good, [1, 2], [1, 2, 3], np.zeros((2, 2), dtype=bool)), "exclude must be bool"),
        ((good, [1, 2], [1, 2, 3], np.zeros((2, 3))), "exclude must be bool"),
    ):
        with pytest.raises(InputError, match=words):
            ev.rank(*arguments)  # type: ignore[arg-type]
    ranking = ev.rank(good.astype(int), [1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="counts from 1"):
        ranking.rank_k(0)
    with pytest.raises(InputError, match="'skip' or 'miss'"):
        ranking.rank_k(1, "drop")  # type: ignore[arg-type]

"""Every figure against brute force, hand-made tables, laws and closed forms."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import norm

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError
from gait3dlib.evaluation import attributes, identification, openset, scores, verification
from gait3dlib.evaluation._arrays import comparisons
from gait3dlib.evaluation.intervals import PeopleBootstrap

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


# ---- similarity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [5, 10**6])
def test_similarity_equals_loops(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_CHUNK_VALUES", chunk)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3, 5)).astype(np.float32), rng.normal(size=(4, 3, 5)).astype(np.float32)
    cosine, distance = ev.similarity(a, b), ev.similarity(a, b, metric="euclidean")
    assert cosine.dtype == np.float32
    for i, j in np.ndindex(7, 4):
        parts = [(a[i, p].astype(float), b[j, p].astype(float)) for p in range(3)]
        cosines = [sum(x * y) / math.sqrt(sum(x * x) * sum(y * y)) for x, y in parts]
        assert cosine[i, j] == pytest.approx(sum(cosines) / 3, abs=1e-6)
        assert distance[i, j] == pytest.approx(-sum(math.dist(x, y) for x, y in parts) / 3, rel=1e-6)
    np.testing.assert_array_equal(ev.similarity(a[:, 0], b[:, 0]), ev.similarity(a[:, :1], b[:, :1]))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_embeddings_tie_wherever_they_stand(metric: str) -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=(1, 16, 33)).astype(np.float32)
    gallery = rng.normal(size=(101, 16, 33)).astype(np.float32)
    gallery[[0, 17, 64, 100]] = one
    got = ev.similarity(np.concatenate([one, gallery[1:2]]), gallery, metric=metric)  # type: ignore[arg-type]
    assert len(set(got[0, [0, 17, 64, 100]].tolist())) == 1
    assert got[0, 0] == (1.0 if metric == "cosine" else 0.0)
    assert len(set(got[1, [0, 17, 64, 100]].tolist())) == 1


def test_a_part_of_length_zero_counts_nothing() -> None:
    a = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    assert ev.similarity(a, a)[0, 0] == 0.5


def test_bad_embeddings() -> None:
    good = np.ones((2, 3, 4), dtype=np.float32)
    nan = good.copy()
    nan[1, 1, 1] = np.nan
    for probe, gallery, words in (
        (good, np.ones((2, 3, 5)), "differ from the gallery's"),
        (nan, good, "probe embeddings hold NaN"),
        (good, good.astype(np.int64), "gallery embeddings must be floats"),
        (np.ones(3), good, "probe embeddings must be floats"),
    ):
        with pytest.raises(InputError, match=words):
            ev.similarity(probe, gallery)
    with pytest.raises(InputError, match="metric"):
        ev.similarity(good, good, metric="manhattan")  # type: ignore[arg-type]


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


# ---- open set -------------------------------------------------------------------------------------


@quick
@given(searches(14))
def test_open_set_equals_counting(search: Searches) -> None:
    table, probe, gallery, exclude = search
    got = ev.open_set_searches(*search)
    mated, nonmated = [], []
    for i, person in enumerate(probe):
        seen = [(table[i][j], gallery[j] == person) for j in range(len(gallery)) if not exclude[i][j]]
        mates, others = [s for s, mate in seen if mate], [s for s, mate in seen if not mate]
        if mates:
            mated.append(max(mates) if not others or max(mates) > max(others) else -math.inf)
        elif seen and person not in gallery:
            nonmated.append(max(others))
    assert got.mated.tolist() == mated
    assert got.nonmated.tolist() == nonmated
    for fpir, point in ev.fnir_at_fpir(got.mated, got.nonmated, [0.05, 0.2, 0.5]).items():
        if len(nonmated) < 1 / fpir - 1 - 1e-9 or not mated:
            assert math.isnan(point.fnir.value)
            assert point.fnir.note
            continue
        # the conservative rule, by trying every score and every gap above one as the threshold
        n = len(nonmated)
        good = [
            t
            for t in sorted({float(np.nextafter(s, np.inf)) for s in nonmated})
            if (sum(s >= t for s in nonmated) + 1) / (n + 1) <= fpir + 1e-12
        ]
        assert point.threshold == min(good)
        assert point.measured_fpir == pytest.approx(np.mean([s >= point.threshold for s in nonmated]))
        assert point.measured_fpir <= fpir
        assert point.fnir.value == pytest.approx(np.mean([s < point.threshold for s in mated]))


def test_open_set_by_hand() -> None:
    strangers = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert ev.threshold_at_fpir(strangers, 0.1) == np.nextafter(0.9, 1)
    assert ev.threshold_at_fpir(strangers, 0.2) == np.nextafter(0.8, 1)
    assert ev.threshold_at_fpir([0.5] * 9, 0.5) == np.nextafter(0.5, 1)
    points = ev.fnir_at_fpir([0.95, 0.85, 0.99, -math.inf], strangers, [0.1, 0.2, 0.01])
    assert [points[f].fnir.value for f in (0.1, 0.2)] == [0.5, 0.25]
    assert points[0.2].measured_fpir == pytest.approx(1 / 9)
    assert points[0.01].fnir.note == "FPIR 0.01 needs 99 non-mated searches, there are 9"
    with pytest.raises(
        InputError, match=r"FPIR 0.05 needs 19 non-mated searches, there are 9; add strangers"
    ):
        ev.threshold_at_fpir(strangers, 0.05)
    assert ev.fnir_at_fpir([], strangers, [0.5])[0.5].fnir.note == "no mated search"


def test_a_calibrated_threshold_keeps_its_word_on_new_strangers() -> None:
    rng = np.random.default_rng(0)
    for n, fpir in ((9, 0.1), (50, 0.1), (200, 0.02)):
        # uniform scores: a new stranger passes with probability 1 - T
        passing = np.array([1 - ev.threshold_at_fpir(rng.random(n), fpir) for _ in range(3000)])
        expected = math.floor(fpir * (n + 1) + 1e-9) / (n + 1)
        assert expected <= fpir
        assert passing.mean() == pytest.approx(expected, abs=4 * passing.std() / math.sqrt(3000))


def test_bad_open_sets() -> None:
    for fpir in (0.0, 1.0, -1):
        with pytest.raises(InputError, match="lies between 0 and 1"):
            ev.threshold_at_fpir([0.1] * 99, fpir)
    for mated in ([np.nan], [np.inf], [[0.1]]):
        with pytest.raises(InputError, match="mated scores"):
            ev.fnir_at_fpir(mated, [0.1], [0.5])
    with pytest.raises(InputError, match="non-mated scores"):
        ev.fnir_at_fpir([0.1], [np.nan], [0.5])


# ---- protocol -------------------------------------------------------------------------------------


def test_views_are_on_a_circle() -> None:
    assert ev.view_difference([350, 10, 0, -90, 725], [10, 350, 180, 270, 0]).tolist() == [20, 20, 180, 0, 5]
    near = ev.exclude_views([0, 30, 350], [0, 29, 31, 30], 30)
    assert near.astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]]
    assert ev.exclude_views([0, 90], [0, 90]).astype(int).tolist() == [[1, 0], [0, 1]]
    assert ev.exclude_sessions(["mon", "tue"], ["tue", "wed"]).tolist() == [[False, False], [True, False]]
    for views in ([0, np.nan], [[0]], [0, None]):
        with pytest.raises(InputError, match="views"):
            ev.exclude_views(views, [0])


@quick
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 35)), min_size=1, max_size=25))
def test_cross_view_split_keeps_its_promise(walks: list[tuple[int, int]]) -> None:
    people, views = [f"p{p}" for p, _ in walks], np.array([10.0 * v for _, v in walks])
    split = ev.cross_view_split(views, people, 30)
    assert sorted([*split.gallery, *split.probe, *split.unused]) == list(range(len(walks)))
    assert sorted(people[i] for i in split.gallery) == sorted(set(people))
    own = {people[i]: views[i] for i in split.gallery}
    for i in split.probe:
        assert ev.view_difference(views[i], own[people[i]]) >= 30
    for i in split.unused:
        assert ev.view_difference(views[i], own[people[i]]) < 30
    for person in set(people):
        mine = [views[i] for i in range(len(walks)) if people[i] == person]
        most = max(sum(ev.view_difference(v, w) >= 30 for w in mine) for v in mine)
        assert sum(people[i] == person for i in split.probe) == most
        assert (person in split.without_probe) == (most == 0)


def test_bad_splits() -> None:
    with pytest.raises(InputError, match="do not fit"):
        ev.cross_view_split([0, 1], ["a"])


# ---- intervals ------------------------------------------------------------------------------------


def resampled(people: list[int], draws: NDArray[np.float64], replicate: int) -> list[int]:
    """The walks of a replicate, one by one: all walks of a person as often as the person was drawn."""
    codes = {person: i for i, person in enumerate(sorted(set(people)))}
    return [i for i, p in enumerate(people) for _ in range(int(draws[replicate, codes[p]]))]


def test_bootstrap_draws_whole_people() -> None:
    people = [3, 3, 3, 1, 7, 7]
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    boot = PeopleBootstrap.of(people, replicates=50, seed=4)
    assert boot.people == 3
    assert (boot.draws.sum(axis=1) == 3).all()
    for r in range(50):
        walks = resampled(people, boot.draws, r)
        assert boot.means(values)[r] == pytest.approx(values[walks].mean())
    np.testing.assert_array_equal(boot.sums(np.stack([values, values], axis=1))[:, 1], boot.sums(values))
    again = PeopleBootstrap.of([f"n{p}" for p in people], replicates=50, seed=4)
    np.testing.assert_array_equal(again.draws, boot.draws)
    assert (PeopleBootstrap.of(people, 50, seed=5).draws != boot.draws).any()
    with pytest.raises(InputError, match="replicate"):
        PeopleBootstrap.of(people, 0)


def test_intervals_hold_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 8)
    inside, inside_by_walk = 0, 0
    for trial in range(300):
        hits = (rng.normal(size=30)[people] + 0.3 * rng.normal(size=240) > 0).astype(float)  # truth: 0.5
        for by_person, labels in ((True, people), (False, np.arange(240))):
            boot = PeopleBootstrap.of(labels, 200, trial)
            low, high = ev.percentile_interval(boot.means(hits))
            if by_person:
                inside += low <= 0.5 <= high
            else:
                inside_by_walk += low <= 0.5 <= high
    assert 270 <= inside <= 297
    assert inside_by_walk < 200  # resampling walks would have promised too much


def test_percentiles_and_degenerate_intervals() -> None:
    assert ev.percentile_interval(range(1001)) == pytest.approx((25, 975))
    assert ev.percentile_interval([math.nan, 1, 1]) == (1, 1)
    assert all(math.isnan(x) for x in ev.percentile_interval([math.nan]))
    alone = PeopleBootstrap.of([1, 1]).rate(1.0, np.ones(1000))
    assert math.isnan(alone.low)
    assert alone.note == "one person gives no interval"
    assert (alone.percent(), alone.plain()) == ("100.0", "1.00")
    perfect = PeopleBootstrap.of(range(20)).rate(1.0, np.ones(1000))
    assert (perfect.low, perfect.high) == ev.wilson(20, 20)
    assert perfect.note == "Wilson, 20 people"


def test_wilson_against_tables() -> None:
    assert ev.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert ev.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert ev.wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    for k, n in ((1, 7), (30, 100), (2.5, 4)):  # the limits solve the score equation
        for limit in ev.wilson(k, n):
            assert abs(k / n - limit) == pytest.approx(
                1.959964 * math.sqrt(limit * (1 - limit) / n), rel=1e-5
            )
    for k, n in ((1, 0), (-1, 4), (5, 4)):
        with pytest.raises(InputError, match="not a share"):
            ev.wilson(k, n)


def test_replicates_equal_evaluating_what_was_drawn() -> None:
    rng = np.random.default_rng(8)
    probe, gallery = rng.integers(0, 6, 16).tolist(), [0, 0, 1, 2, 3, 3]
    table = rng.integers(0, 9, (16, 6)) / 4 + (np.array(probe)[:, None] == np.array(gallery))
    pairs = comparisons(table, probe, gallery)
    people = PeopleBootstrap.of(probe, 40, seed=1)
    fars = (0.05, 0.2)
    grid = verification._grid(table[pairs.mates], table[~pairs.mates])
    far = verification._accepted(pairs, pairs.allowed & ~pairs.mates, people, grid)
    tar = verification._accepted(pairs, pairs.mates, people, grid)
    whole = ev.open_set_searches(table, probe, gallery)
    known = [probe[i] for i in whole.mated_probe]
    strangers = [probe[i] for i in whole.nonmated_probe]
    of_known, of_strangers = PeopleBootstrap.of(known, 40, 2), PeopleBootstrap.of(strangers, 40, 3)
    thresholds = openset._thresholds(whole.nonmated, of_strangers, 0.3)
    missed = openset._missed(whole.mated, of_known, thresholds)
    labels = rng.random(16) < 0.5
    areas = attributes._auc_replicates(table[:, 0], labels, people)
    for r in range(40):
        walks = resampled(probe, people.draws, r)
        some = ev.rank(table[walks], [probe[i] for i in walks], gallery)
        mates = np.array(probe)[walks][:, None] == np.array(gallery)
        if (some.mates > 0).any():
            same, other = table[walks][mates], table[walks][~mates]
            for t, threshold in enumerate(grid, start=1):
                assert far[r, t] == pytest.approx(np.mean(other >= threshold))
                assert tar[r, t] == pytest.approx(np.mean(same >= threshold))
            assert verification._equal_error(far[r], tar[r]) == pytest.approx(ev.eer(same, other))
            for f in fars:
                assert verification._tar_at(far[r], tar[r], f) == pytest.approx(
                    ev.tar_at_far(same, other, fars)[f].value, nan_ok=True
                )
        drawn = labels[walks]
        if drawn.any() and not drawn.all():
            assert areas[r] == pytest.approx(ev.auc(table[walks, 0][drawn], table[walks, 0][~drawn]))
        tops = whole.nonmated[resampled(strangers, of_strangers.draws, r)]
        if len(tops) >= 1 / 0.3 - 1:
            assert thresholds[r] == ev.threshold_at_fpir(tops, 0.3)
        found = whole.mated[resampled(known, of_known.draws, r)]
        assert missed[r] == pytest.approx((found < thresholds[r]).mean())


def test_a_coarse_grid_moves_intervals_little() -> None:
    rng = np.random.default_rng(2)
    same, other = rng.normal(2, 1, 4000), rng.normal(0, 1, 60000)
    grid = verification._grid(same, other)
    assert len(grid) <= 2050
    far, tar = (np.concatenate([[0.0], verification._at_least(x, grid) / len(x)]) for x in (other, same))
    assert far[-1] == tar[-1] == 1.0
    assert verification._equal_error(far, tar) == pytest.approx(ev.eer(same, other), abs=1e-3)
    for rate, exact in ev.tar_at_far(same, other, [0.01, 0.001]).items():
        assert verification._tar_at(far, tar, rate) == pytest.approx(exact.value, abs=5e-3)


# ---- attributes -----------------------------------------------------------------------------------


def test_regression_by_hand() -> None:
    got = ev.evaluate_regression(
        [20, 30, None, 50, math.nan],
        [22, 29, 7, 44, math.nan],
        ["a", "a", "b", "c", "c"],
        training_mean=35.0,
        sd=[1.2, 1.0, 1.0, 4.0, 1.0],
    )
    assert (got.people, got.walks, got.unknown) == (2, 3, 2)
    assert got.mae.value == pytest.approx((2 + 1 + 6) / 3)
    assert got.bias.value == pytest.approx((2 - 1 - 6) / 3)
    assert got.coverage.value == pytest.approx(2 / 3)  # 2 > 1.2 * 1.645 = 1.974
    assert got.baseline_mae.value == pytest.approx((15 + 5 + 15) / 3)
    assert got.mae.low == pytest.approx(1.5)  # only a: (2 + 1) / 2
    assert got.mae.high == pytest.approx(6.0)  # only c
    assert got.row()["MAE"] == "3.00 [1.50, 6.00]"
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False))["coverage"]["value"] == pytest.approx(2 / 3)
    blunt = ev.evaluate_regression([1.0, 2.0], [1.0, 1.0], ["a", "b"], training_mean=1.5)
    assert math.isnan(blunt.coverage.value)
    assert blunt.row()["in 90 % interval, %"] == "-"


def test_an_honest_spread_covers_ninety_percent() -> None:
    rng = np.random.default_rng(0)
    mean, sd = rng.normal(40, 10, 20000), rng.uniform(1, 5, 20000)
    got = ev.evaluate_regression(
        mean + sd * rng.normal(size=20000), mean, np.arange(20000), training_mean=40.0, sd=sd, replicates=20
    )
    assert got.coverage.value == pytest.approx(0.90, abs=0.01)
    assert got.mae.value == pytest.approx(3.0 * math.sqrt(2 / math.pi), abs=0.05)
    assert got.baseline_mae.value > 2 * got.mae.value


def test_binary_by_hand() -> None:
    truth = [True, True, False, False, None, 1]
    score = [0.9, 0.4, 0.4, 0.1, math.nan, 0.2]
    got = ev.evaluate_binary(truth, score, ["a", "b", "c", "d", "e", "b"])
    assert (got.people, got.walks, got.unknown, got.positives) == (4, 5, 1, pytest.approx(0.6))
    assert got.auc.value == pytest.approx((1 + 1 + 0.5 + 1 + 0 + 1) / 6)
    assert got.auc.low < got.auc.value < got.auc.high
    assert got.row()["AUC of chance"] == "0.50"
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False))["auc"]["value"] == got.auc.value
    single = ev.evaluate_binary([1, 1], [0.2, 0.4], ["a", "b"])
    assert math.isnan(single.auc.value)
    assert single.auc.note == "only one class is present"


def test_bad_attributes() -> None:
    people = ["a", "b"]
    for arguments, words in (
        (([1, 2], [1, np.nan], people), "predictions must be 2 numbers"),
        (([1, 2], [1], people), "predictions must be 2 numbers"),
        (([1, 2, 3], [1, 2, 3], people), "do not fit 2 walks"),
        (([None, np.nan], [1, 2], people), "no walk has a known truth"),
        ((["old", "young"], [1, 2], people), "truths must be numbers"),
    ):
        with pytest.raises(InputError, match=words):
            ev.evaluate_regression(*arguments, training_mean=1.0)
    with pytest.raises(InputError, match="cannot be negative"):
        ev.evaluate_regression([1, 2], [1, 2], people, training_mean=1.0, sd=[1, -1])
    with pytest.raises(InputError, match="training_mean"):
        ev.evaluate_regression([1, 2], [1, 2], people, training_mean=math.nan)
    with pytest.raises(InputError, match="0, 1 or not known"):
        ev.evaluate_binary([0, 2], [0.1, 0.2], people)


# ---- baseline -------------------------------------------------------------------------------------


def test_gait_energy_image() -> None:
    frames = np.zeros((4, 64, 44), dtype=np.uint8)
    frames[:, 10, 10] = 255
    frames[0, 20, 20] = 255
    image = ev.gait_energy_image(frames)
    assert (image.shape, image.dtype) == ((64, 44), np.float32)
    assert (image[10, 10], image[20, 20], image[0, 0]) == (1.0, 0.25, 0.0)
    np.testing.assert_array_equal(ev.gait_energy_image(frames > 0), image)
    np.testing.assert_allclose(ev.gait_energy_image(frames / 255.0), image, atol=1e-7)
    empty = np.zeros((3, 64, 44), dtype=np.uint8)
    np.testing.assert_array_equal(ev.gait_energy_image(np.concatenate([frames, empty])), image)
    np.testing.assert_array_equal(ev.gait_energy_image(frames[::-1]), image)
    for bad, words in (
        (empty, "nobody is seen"),
        (frames[0], r"shape \[T, H, W\]"),
        (frames.astype(np.int32), "uint8, bool or float"),
        (frames.astype(np.float32), "lie in 0 to 1"),
        (np.full((2, 4, 4), np.nan), "lie in 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            ev.gait_energy_image(bad)


def test_energy_images_are_compared_by_distance() -> None:
    rng = np.random.default_rng(0)
    walks = [rng.random((int(n), 8, 6)) < 0.4 for n in (5, 9, 3)]
    got = ev.energy_image_scores(walks[:2], walks)
    for i, j in np.ndindex(2, 3):
        a, b = walks[i].mean(axis=0), walks[j].mean(axis=0)
        assert got[i, j] == pytest.approx(-math.sqrt(((a - b) ** 2).sum()), abs=1e-6)
    for bad in ([], [walks[0], walks[0][:, :4]]):
        with pytest.raises(InputError, match="energy images need"):
            ev.energy_image_scores(bad, walks)


# ---- the report -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial() -> Searches:
    rng = np.random.default_rng(5)
    probe, gallery = np.repeat(np.arange(25), 4), np.repeat(np.arange(20), 2)
    table = rng.normal(size=(100, 40)) + 3.0 * (probe[:, None] == gallery)
    exclude = rng.random((100, 40)) < 0.1
    exclude[0] = gallery == 0  # the first probe has no mate left
    return table, probe.tolist(), gallery.tolist(), exclude


def test_report_agrees_with_its_parts(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    got = ev.evaluate_identification(
        table,
        probe,
        gallery,
        exclude=exclude,
        ranks=(1, 3),
        fars=(0.01, 1e-6),
        fpirs=(0.1, 0.01),
        replicates=200,
    )
    ranking = ev.rank(*trial)
    assert (got.people, got.strangers, got.stranger_probes, got.gallery_people, got.gallery_size) == (
        20,
        5,
        20,
        20,
        40,
    )
    assert got.probes_without_match == int(((ranking.mates == 0) & ~ranking.stranger).sum()) >= 1
    assert got.probes + got.probes_without_match + got.stranger_probes == 100
    assert got.chance == ranking.chance()
    assert [got.rank[k].value for k in (1, 3)] == [ranking.rank_k(1), ranking.rank_k(3)]
    assert (got.mean_ap.value, got.mean_inp.value) == (ranking.mean_ap(), ranking.mean_inp())
    mates = (np.array(probe)[:, None] == np.array(gallery)) & ~exclude
    same, other = table[mates], table[~mates & ~exclude]
    assert (got.genuine_pairs, got.impostor_pairs) == (len(same), len(other))
    assert got.eer.value == ev.eer(same, other)
    assert got.tar_at_far[0.01].value == ev.tar_at_far(same, other, [0.01])[0.01].value
    assert math.isnan(got.tar_at_far[1e-6].value)
    whole = ev.open_set_searches(*trial)
    assert got.fnir_at_fpir[0.1].value == ev.fnir_at_fpir(whole.mated, whole.nonmated, [0.1])[0.1].fnir.value
    assert "99 non-mated" in got.fnir_at_fpir[0.01].note
    for measure in (
        got.rank[1],
        got.mean_ap,
        got.mean_inp,
        got.eer,
        got.tar_at_far[0.01],
        got.fnir_at_fpir[0.1],
    ):
        assert measure.low <= measure.value <= measure.high
        assert measure.high - measure.low < 0.6
    assert got.rank1_wilson == ev.wilson(ranking.rank_k(1) * 20, 20)
    assert got == ev.evaluate_identification(
        table,
        probe,
        gallery,
        exclude=exclude,
        ranks=(1, 3),
        fars=(0.01, 1e-6),
        fpirs=(0.1, 0.01),
        replicates=200,
    )


def test_report_does_not_depend_on_order(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(100), rng.permutation(40)
    plain = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=50)
    other = ev.evaluate_identification(
        table[rows][:, columns],
        [probe[i] for i in rows],
        [gallery[j] for j in columns],
        exclude=exclude[rows][:, columns],
        replicates=50,
    )
    assert json.dumps(rounded(plain.to_dict())) == json.dumps(rounded(other.to_dict()))


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value


def test_report_counts_misses_when_asked(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    skip = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=20)
    miss = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=20, unmatched="miss")
    assert miss.rank[1].value == pytest.approx(skip.rank[1].value * skip.probes / 100)
    assert "without match (miss)" in miss.row()
    assert miss.probes == skip.probes


def test_report_of_strangers_only() -> None:
    got = ev.evaluate_identification(np.eye(3), [7, 8, 9], [1, 2, 3], replicates=10)
    assert (got.people, got.probes, got.strangers) == (0, 0, 3)
    assert got.rank[1].note == "no probe has a match in the gallery"
    assert got.eer.note == "0 genuine and 9 impostor pairs"
    plain = got.to_dict()
    assert plain["chance"] is None
    assert plain["rank1_wilson"] == [None, None]
    assert got.row()["chance"] == got.row()["rank-1"] == "-"
    with pytest.raises(InputError, match="false accept rate"):
        ev.evaluate_identification(np.eye(3), [7, 8, 9], [1, 2, 3], fars=(0.0,))


def test_dicts_and_tables(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    report = ev.evaluate_identification(table, probe, gallery, exclude=exclude, fpirs=(0.1,), replicates=100)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["rank"]["1"]["value"] == report.rank[1].value
    assert plain["open_set"]["0.1"]["threshold"] == report.open_set[0.1].threshold
    assert plain["tar_at_far"]["0.01"]["low"] == report.tar_at_far[0.01].low
    age = ev.evaluate_regression([1.0, 2.0], [1.0, 1.0], ["a", "b"], training_mean=1.5)
    text = ev.format_table({"ours": report, "baseline": report, "age": age})
    lines = text.splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("|  | people | probes | without match (skip) | gallery | chance | rank-1 |")
    assert f"| {report.rank[1].percent()} |" in lines[2]
    assert "FNIR@FPIR 10 %" in lines[0]
    assert lines[4].startswith("| age | 2 | - |")
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(ev.rich_table({"ours": report, "age": age}, title="Corridor"))
    shown = console.export_text()
    for words in ("Corridor", "ours", "mINP", report.rank[1].percent(), "MAE of training mean"):
        assert words in shown

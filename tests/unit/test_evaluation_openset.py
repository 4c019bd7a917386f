"""Open-set identification, and who is compared with whom: against counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searches import Searches, quick, searches

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError

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

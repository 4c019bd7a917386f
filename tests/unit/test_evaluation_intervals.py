"""Intervals: draws of people, coverage, and replicates against evaluating what was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError
from gait3dlib.evaluation import attributes, openset, verification
from gait3dlib.evaluation._arrays import comparisons
from gait3dlib.evaluation.intervals import PeopleBootstrap

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

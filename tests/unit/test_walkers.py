"""Simulated people: published norms, and how much one person varies."""

from __future__ import annotations

import numpy as np
import pytest

from gait3dlib.body import Body, BodyShape
from gait3dlib.errors import InputError
from gait3dlib.simulation import (
    GaitStyle,
    Walker,
    sample_walker,
    style,
)
from gait3dlib.simulation.walker import _reachable


@pytest.fixture(scope="module")
def people() -> list[Walker]:
    return [sample_walker(5, index) for index in range(30)]


def test_walkers_follow_published_norms() -> None:
    adults: dict[str, list[tuple[float, float, float]]] = {"female": [], "male": []}
    for index in range(55):
        walker = sample_walker(9, index)
        labels = walker.labels
        assert labels.gender is not None and labels.age_years is not None and labels.height_m is not None
        assert 6 <= labels.age_years <= 85
        if 20 <= labels.age_years < 60:
            cycle = walker.walk(seed=0).cycle
            row = (cycle.speed_m_s, cycle.cadence_per_min, cycle.stride_m / 2 / labels.height_m)
            adults[labels.gender].append(row)
    women, men = np.array(adults["female"]), np.array(adults["male"])
    assert min(len(women), len(men)) >= 8
    # Bohannon 1997: 1.39 to 1.46 m/s, standard deviation 0.1 to 0.23; Oberg 1993: cadence 110 to 125
    for group in (women, men):
        assert 1.27 < group[:, 0].mean() < 1.52
        assert 0.39 < group[:, 2].mean() < 0.44
    assert 114 < women[:, 1].mean() < 125
    assert 107 < men[:, 1].mean() < 119


def test_norms_by_age_sex_and_build() -> None:
    drawn = [
        style.sample_style(np.random.default_rng(i), age_years=40, gender="male", height_m=1.76, bmi=25)
        for i in range(200)
    ]
    assert np.mean([s.speed_m_s for s in drawn]) == pytest.approx(1.46, abs=0.04)
    assert 0.10 < np.std([s.speed_m_s for s in drawn]) < 0.20

    def mean(part: str, **changed: float | str) -> float:
        labels = {"age_years": 30.0, "gender": "male", "height_m": 1.7, "bmi": 23.0, **changed}
        drawn = [style.sample_style(np.random.default_rng(i), **labels) for i in range(60)]  # type: ignore[arg-type]
        return float(np.mean([getattr(s, part) for s in drawn]))

    assert mean("speed_m_s", age_years=80) < 0.95 * mean("speed_m_s")
    assert mean("trunk_lean", age_years=80) > mean("trunk_lean") + 2
    assert mean("step_width_m", bmi=35) > mean("step_width_m") + 0.03
    assert mean("pelvis_obliquity_gain", gender="female") > mean("pelvis_obliquity_gain") + 0.2
    small, tall = (style.norm_walk_ratio(30, "male", h) for h in (1.6, 1.9))
    assert tall / small == pytest.approx((1.9 / 1.6) ** 1.5)
    # a child of seven: some 1.1 m/s and 140 steps a minute (Sutherland 1980)
    speed, ratio = style.norm_speed_m_s(7, "male", 1.22), style.norm_walk_ratio(7, "male", 1.22)
    assert 1.0 < speed < 1.25
    assert 128 < np.sqrt(60 * speed / ratio) < 150


def test_nothing_but_the_named_norms_ties_a_style_to_labels() -> None:
    one = style.sample_style(np.random.default_rng(4), age_years=30, gender="male", height_m=1.8, bmi=22)
    two = style.sample_style(np.random.default_rng(4), age_years=80, gender="female", height_m=1.5, bmi=31)
    differ = {n for n in style.names() if getattr(one, n) != getattr(two, n)}
    assert differ == {
        "speed_m_s", "step_width_m", "toe_out", "knee_offset", "push_off_gain", "heel_strike_gain",
        "pelvis_obliquity_gain", "trunk_sway", "trunk_lean", "kyphosis", "head_pitch", "shoulder_abduction",
        "arm_swing_gain", "elbow_offset",
    }  # fmt: skip


def test_one_person_varies_less_than_people_do() -> None:
    rng = np.random.default_rng(0)
    base = GaitStyle()
    days = np.array([base.vary(rng).vector() for _ in range(400)])
    share = days.std(axis=0) / style.spreads()
    gait = [style.names().index(n) for n in ("trunk_lean", "toe_out", "arm_lag", "head_pitch")]
    np.testing.assert_allclose(share[gait], style.WITHIN_BETWEEN, rtol=0.15)
    assert days[:, 0].std() / base.speed_m_s == pytest.approx(style.TIMING_WITHIN, rel=0.15)
    assert (share < 0.6).all()


def test_walkers_are_reproducible_and_have_the_body_that_their_labels_state(people: list[Walker]) -> None:
    assert sample_walker(5, 3) == people[3]
    assert sample_walker(6, 3) != people[3]
    for walker in people[:6]:
        body, labels = walker.body(), walker.labels
        assert labels.height_m is not None
        assert body.height_m == pytest.approx(labels.height_m, rel=1e-3)
        assert body.mass_kg == pytest.approx(labels.mass_kg, rel=1e-3)


def test_a_mass_that_no_body_has_is_moved_to_one_that_it_has() -> None:
    asked = BodyShape(30, "female", 1.62, 46 * 1.62**2)
    with pytest.raises(InputError):
        Body.load("low").shape(asked)
    found = _reachable(asked)
    assert 30 < found.mass_kg / 1.62**2 < 40
    assert Body.load("low").shape(found).mass_kg == pytest.approx(found.mass_kg, rel=1e-3)


def test_two_walks_of_one_person_differ_and_bad_ones_are_refused(people: list[Walker]) -> None:
    first, second, again = (people[0].walk(seed=seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first.rotations, again.rotations)
    assert first.style != second.style
    assert first.cycle.speed_m_s == pytest.approx(second.cycle.speed_m_s, rel=0.12)
    assert np.interp(1.0, first.t_s, first.translation[:, 0]) == pytest.approx(0, abs=1e-9)
    faster = people[0].walk(seed=1, speed=1.3).cycle
    ratio = first.cycle.stride_m / first.cycle.cadence_per_min
    assert faster.stride_m / faster.cadence_per_min == pytest.approx(ratio)
    for bad in ({"speed": 3.0}, {"fps": 0.0}, {"seconds": 0.01}, {"seconds": float("nan")}):
        with pytest.raises(InputError):
            people[0].walk(seed=1, **bad)  # type: ignore[arg-type]

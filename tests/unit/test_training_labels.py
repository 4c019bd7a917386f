"""Training: targets, who is kept out, and what is watched on the way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gait3dlib.data.recordings import Walk
from gait3dlib.errors import InputError
from gait3dlib.training.labels import Targets, masked_mse
from gait3dlib.training.validation import cross_view_rank1, held_out
from gait3dlib.types import Labels


def walk(subject: str, view: float | None = 90.0, **labels: Any) -> Walk:
    return Walk(Path("x.h5"), 0, subject, "00", view, Labels(**labels))


# ---- targets ------------------------------------------------------------------------------------


def test_targets_are_standardised_over_people_and_masked_where_unknown() -> None:
    walks = [
        walk("b", age_years=20.0, gender="female"),
        walk("b", age_years=20.0, gender="female"),
        walk("a", height_m=2.0, mass_kg=80.0, gender="male"),
        walk("c", age_years=40.0, height_m=1.0, mass_kg=30.0),
    ]
    targets = Targets(walks)
    assert targets.people == ["a", "b", "c"]
    assert targets.scale == {"age": (30.0, 10.0), "bmi": (25.0, 5.0)}, "over people, not walks"
    wanted = targets.of(np.array([3, 0, 2]), "cpu")
    assert wanted.person.tolist() == [2, 1, 0]
    assert wanted.age[:2].tolist() == [1.0, -1.0]
    assert wanted.age[2].isnan()
    assert wanted.bmi[[0, 2]].tolist() == [1.0, -1.0]
    assert wanted.bmi[1].isnan()
    assert wanted.gender_known.tolist() == [False, True, True]
    assert wanted.female[1:].tolist() == [1.0, 0.0]


def test_a_label_counts_whichever_walk_has_it() -> None:
    targets = Targets([walk("a"), walk("a", age_years=10.0), walk("b", age_years=30.0)])
    assert targets.scale["age"] == (20.0, 10.0)
    assert targets.scale["bmi"] == (0.0, 1.0), "nobody has one"
    assert Targets([walk("a", age_years=5.0), walk("b", age_years=5.0)]).scale["age"][1] > 0


def test_what_can_be_learnt_depends_on_the_labels() -> None:
    tasks = ["bmi", "gender", "age", "unknown"]
    alike = Targets([walk("a", age_years=1.0, gender="male"), walk("b", gender="male")])
    assert alike.learnable(tasks) == ["unknown"], "one age, one gender; what is no task is refused elsewhere"
    full = {"height_m": 1.7, "mass_kg": 60.0, "age_years": 1.0}
    both = Targets([walk("a", gender="female", **full), walk("b", gender="male", **full)])
    assert both.learnable(tasks) == tasks
    assert Targets([walk("a", **full), walk("a", **full)]).learnable(["age"]) == [], "one person"


def test_masked_mse() -> None:
    prediction = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = masked_mse(prediction, torch.tensor([0.0, torch.nan, 1.0]))
    assert float(loss.detach()) == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [1.0, 0.0, 2.0]
    nothing = masked_mse(prediction, torch.full((3,), torch.nan))
    nothing.backward()
    assert float(nothing.detach()) == 0.0


def test_traits_are_standardised_over_walks_and_keep_their_holes() -> None:
    raw = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, np.nan]], np.float32)
    targets = Targets([walk("a"), walk("a"), walk("b")], raw)
    wanted = targets.of(np.array([1, 2]), "cpu").traits
    assert wanted[0].tolist() == [1.0, 0.0], "what never differs says nothing"
    assert wanted[1].isnan().all()
    assert Targets([walk("a")]).of(np.array([0]), "cpu").traits.shape == (1, 0)


# ---- who is kept out, and what is watched -------------------------------------------------------


def test_the_last_people_are_kept_out_and_two_must_be_left() -> None:
    assert held_out(["c", "a", "d", "b"], 2) == {"c", "d"}
    with pytest.raises(InputError, match=r"4 people are too few to keep 3 out .*lower validation_people"):
        held_out(["c", "a", "d", "b"], 3)


def rank1_by_hand(parts: np.ndarray, walks: list[Walk]) -> float:  # type: ignore[type-arg]
    hits = []
    for i, probe in enumerate(walks):
        best, found = -math.inf, None
        mate = False
        for j, other in enumerate(walks):
            if i == j:
                continue
            if probe.view_deg is not None and other.view_deg is not None:
                apart = abs(probe.view_deg - other.view_deg) % 360
                if min(apart, 360 - apart) < 30:
                    continue
            mate |= other.subject == probe.subject
            score = float(np.mean([a @ b for a, b in zip(parts[i], parts[j], strict=True)]))
            if score > best:
                best, found = score, other.subject
        if mate:
            hits.append(found == probe.subject)
    return float(np.mean(hits))


@pytest.mark.parametrize("seed", range(4))
def test_rank_1_across_views_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((24, 2, 3)).astype(np.float32)
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    views = [None if rng.random() < 0.3 else float(rng.integers(0, 360)) for _ in range(24)]
    walks = [walk(f"p{rng.integers(5)}", view) for view in views]
    assert cross_view_rank1(parts, walks) == pytest.approx(rank1_by_hand(parts, walks))
    holed = parts.copy()
    holed[[2, 9]] = np.nan
    kept = [i for i in range(24) if i not in (2, 9)]
    wanted = rank1_by_hand(parts[kept], [walks[i] for i in kept])
    assert cross_view_rank1(holed, walks) == pytest.approx(wanted)


def test_rank_1_of_nothing_to_compare_is_not_a_number() -> None:
    parts = np.ones((3, 1, 2), np.float32)
    assert math.isnan(cross_view_rank1(parts, [walk("a"), walk("b"), walk("c")]))

"""Age, body-mass index and gender: by hand and against closed forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError

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

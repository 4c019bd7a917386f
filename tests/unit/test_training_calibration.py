"""Spreads and probabilities: set straight on some people, right on others; when a model says nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from gait3dlib.data.recordings import Walk
from gait3dlib.errors import WeightsError
from gait3dlib.fusion import weights
from gait3dlib.fusion.abstention import Abstention
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.training.calibration import calibrate, coverage, spread_factor, temperature
from gait3dlib.training.fusion_task import TaskWeights
from gait3dlib.types import Labels, Outputs

PEOPLE = [f"p{i}" for i in range(400)]


def test_the_factor_is_the_root_of_the_mean_square() -> None:
    mean, sd = np.array([0.0, 0.0, 0.0]), np.array([1.0, 2.0, 1.0])
    truth = np.array([3.0, 4.0, -1.0])
    assert spread_factor(mean, sd, truth, ["a", "b", "c"]) == pytest.approx(math.sqrt((9 + 4 + 1) / 3))
    assert spread_factor(mean, sd, truth, ["a", "b", "b"]) == pytest.approx(math.sqrt(9 / 2 + (4 + 1) / 4)), (
        "everybody counts the same, whoever walked more often"
    )


@pytest.mark.parametrize("wrong", [0.3, 1.0, 4.0])
def test_wrong_spreads_cover_as_they_should_afterwards(wrong: float) -> None:
    rng = np.random.default_rng(0)
    sd = rng.uniform(2, 6, 400)
    mean = rng.normal(40, 10, 400)
    truth = mean + sd * rng.standard_normal(400)
    factor = spread_factor(mean[:200], wrong * sd[:200], truth[:200], PEOPLE[:200])
    assert factor == pytest.approx(1 / wrong, rel=0.15)
    got = coverage(mean[200:], factor * wrong * sd[200:], truth[200:], PEOPLE[200:])
    assert got == pytest.approx(0.9, abs=0.06), "of people it was not fitted to"


@pytest.mark.parametrize("wrong", [0.25, 1.0, 5.0])
def test_the_temperature_is_found(wrong: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 4000)
    truth = (rng.random(4000) < expit(logits)).astype(float)
    people = [f"p{i}" for i in range(4000)]
    assert temperature(wrong * logits, truth, people) == pytest.approx(wrong, rel=0.15)


def model() -> GaitModel:
    return weights.untrained({}, {"dim": 16, "heads": 2, "parts": 2, "part_dim": 8, "modalities": ["a"]})


def answers(made: GaitModel, queries: torch.Tensor) -> Outputs:
    with torch.inference_mode():
        said = {task: head(queries) for task, head in made.heads.items()}
    return Outputs(torch.zeros(len(queries), 2, 8), said["age"], said["bmi"], said["gender"][:, 0])


def test_a_models_heads_are_set_straight_and_nothing_is_added() -> None:
    made = model()
    rng = np.random.default_rng(2)
    torch.manual_seed(0)
    queries = 0.1 * torch.randn(300, 16)  # spreads well within the bounds that a head keeps to
    before, keys = answers(made, queries), set(made.state_dict())
    assert before.age_years is not None
    assert before.gender_logits is not None
    truth = before.age_years[:, 0].numpy() + 3.0 * before.age_years[:, 1].numpy() * rng.standard_normal(300)
    female = rng.random(300) < expit(0.2 * before.gender_logits.numpy())
    walks = [
        Walk(
            Path("x.h5"),
            0,
            f"p{i}",
            "0",
            None,
            Labels(float(max(truth[i], 0.1)), ("male", "female")[int(female[i])]),
        )
        for i in range(300)
    ]
    figures = calibrate(made, [before], walks)
    after = answers(made, queries)
    assert after.age_years is not None
    assert set(made.state_dict()) == keys, "old and new weights have the same tensors"
    torch.testing.assert_close(after.age_years[:, 0], before.age_years[:, 0])
    ratio = after.age_years[:, 1] / before.age_years[:, 1]
    torch.testing.assert_close(ratio, ratio[:1].expand(300), rtol=1e-4, atol=0)
    assert float(ratio[0]) == pytest.approx(3.0, rel=0.25)
    assert figures["coverage90_age"] == pytest.approx(0.9, abs=0.06)
    assert "coverage90_bmi" not in figures, "nobody has a label"
    torch.testing.assert_close(after.bmi_kg_m2, before.bmi_kg_m2)
    few = calibrate(made, [Outputs(*(v[:4] for v in vars(after).values() if v is not None))], walks[:4])
    assert few == {}


# ---- saying nothing -------------------------------------------------------------------------------


def test_no_answer_is_given_where_nothing_is_known() -> None:
    made = model()
    head = made.heads["age"]
    assert isinstance(head, Regression)
    head.rescale(40.0, 20.0)
    made.heads["bmi"].rescale(25.0, 5.0)  # type: ignore[operator]
    outputs = Outputs(
        torch.zeros(3, 2, 8),
        torch.tensor([[30.0, 19.5], [30.0, 18.5], [30.0, torch.nan]]),
        torch.tensor([[25.0, 1.0], [25.0, 5.0], [25.0, 4.0]]),
        torch.tensor([0.1, -3.0, torch.nan]),
    )
    silent = Abstention()(made, outputs)
    assert {task: rows.tolist() for task, rows in silent.items()} == {
        "age": [True, False, True],
        "bmi": [False, True, False],
        "gender": [True, False, True],
    }
    always = Abstention.of({})(made, outputs)
    assert not any(rows[:2].any() for rows in always.values()), "old weights always answer"
    assert Abstention.of({"abstain": {"age": 0.5}}).age == 0.5
    for wrong in ({"age": -1}, {"height": 1.0}, 3):
        with pytest.raises(WeightsError, match="no usable rules of abstention"):
            Abstention.of({"abstain": wrong})


# ---- weights of the tasks -------------------------------------------------------------------------


def test_learned_weights_follow_the_uncertainty_and_a_masked_task_moves_nothing() -> None:
    s = nn.Parameter(torch.zeros(2))
    weigh = TaskWeights({"age": 0.5, "bmi": 0.5}, "learned")
    optimiser = torch.optim.SGD([s], lr=0.1)
    for _ in range(300):
        losses = weigh({"age": torch.tensor(4.0), "bmi": torch.tensor(0.5)}, {"age": True, "bmi": True}, s)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # exp(-s) loss + s is least where s is the logarithm of the loss
    assert s.tolist() == pytest.approx([math.log(4.0), math.log(0.5)], abs=0.02)
    s.grad = None
    losses = weigh({"age": torch.tensor(4.0), "bmi": torch.tensor(0.0)}, {"age": False, "bmi": False}, s)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert s.grad is not None
    assert (s.grad == 0).all()
    fixed = TaskWeights({"age": 2.0}, "fixed")({"age": torch.tensor(3.0)}, {"age": True}, None)
    assert float(fixed["age"]) == 6.0

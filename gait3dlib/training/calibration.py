"""Spreads that are right: what the heads say of age, BMI and gender, set straight on people held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit

from gait3dlib.data.recordings import Walk
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.types import Outputs

FEWEST_PEOPLE = 8  # of fewer no spread can be learnt
LEVEL = 0.9
_HALF_WIDTH = 1.6448536269514722  # of the central 90 % of a normal distribution, in standard deviations
_MOST = math.log(20.0)

F64 = NDArray[np.float64]


def spread_factor(mean: F64, sd: F64, truth: F64, people: Sequence[str]) -> float:
    """The factor of all spreads under which people held out are likeliest, everybody counting the same.

    Of normal distributions that is the root of the mean squared error in standard deviations.
    """
    return float(np.sqrt((_shares(people) * ((truth - mean) / sd) ** 2).sum()))


def temperature(logits: F64, truth: F64, people: Sequence[str]) -> float:
    """What logits are divided by so that people held out are likeliest (Guo et al., ICML 2017)."""
    share = _shares(people)

    def cross_entropy(log_t: float) -> float:
        scaled = logits / math.exp(log_t)
        return float(-(share * (truth * log_expit(scaled) + (1 - truth) * log_expit(-scaled))).sum())

    return math.exp(float(minimize_scalar(cross_entropy, bounds=(-_MOST, _MOST), method="bounded").x))


def coverage(mean: F64, sd: F64, truth: F64, people: Sequence[str]) -> float:
    """The share of people, each the mean over their walks, whose truth lies in the central 90 %."""
    return float((_shares(people) * (np.abs(truth - mean) <= _HALF_WIDTH * sd)).sum())


def calibrate(model: GaitModel, outputs: Sequence[Outputs], walks: Sequence[Walk]) -> dict[str, float]:
    """Scale the model's spreads and logits, in place; tells how often the truth lies in the central 90 %.

    Args:
        model: whose heads are changed; an affine map of what they say, so no tensor is added.
        outputs: of the walks of people held out, once for every subset of modalities that should count.
        walks: with the labels.

    Returns:
        "coverage90_age" and "coverage90_bmi", each measured on one half of the people with the factor of the
        other half. A task is left as it is where fewer than :data:`FEWEST_PEOPLE` have a label.
    """
    figures = {}
    for task, head in model.heads.items():
        values, truth, people = _labelled(task, outputs, walks)
        if len(set(people)) < FEWEST_PEOPLE:
            continue
        with torch.no_grad():
            if isinstance(head, Regression):
                mean, sd = values.T
                figures[f"coverage90_{task}"] = _crossed_coverage(mean, sd, truth, people)
                head.linear.bias[1] += math.log(max(spread_factor(mean, sd, truth, people), 1e-6))
            elif len(np.unique(truth)) == 2 and isinstance(head, torch.nn.Linear):
                divisor = temperature(values, truth, people)
                head.weight.div_(divisor)
                head.bias.div_(divisor)
    return figures


def _crossed_coverage(mean: F64, sd: F64, truth: F64, people: Sequence[str]) -> float:
    names = sorted(set(people))
    odd = np.isin(people, names[1::2])
    found = []
    for one, other in ((odd, ~odd), (~odd, odd)):
        of_one, of_other = ([p for p, c in zip(people, rows, strict=True) if c] for rows in (one, other))
        factor = spread_factor(mean[one], sd[one], truth[one], of_one)
        found.append(coverage(mean[other], factor * sd[other], truth[other], of_other))
    return float(np.mean(found))


def _labelled(task: str, outputs: Sequence[Outputs], walks: Sequence[Walk]) -> tuple[F64, F64, list[str]]:
    """Answers, truths and people of all outputs, end to end, where both answer and truth are known."""
    label = _truth(task, walks)
    answers, truths, people = [], [], []
    for output in outputs:
        answer = _answer(task, output).double().numpy()
        known = np.isfinite(label) & np.isfinite(answer.reshape(len(walks), -1)).all(axis=1)
        answers.append(answer[known])
        truths.append(label[known])
        people += [walk.subject for walk, there in zip(walks, known, strict=True) if there]
    return np.concatenate(answers), np.concatenate(truths), people


def _truth(task: str, walks: Sequence[Walk]) -> F64:
    labels = [walk.labels for walk in walks]
    told: dict[str, list[float | None]] = {
        "age": [of.age_years for of in labels],
        "bmi": [of.bmi_kg_m2 for of in labels],
        "gender": [None if of.gender is None else float(of.gender == "female") for of in labels],
    }
    return np.array([np.nan if value is None else value for value in told[task]])


def _answer(task: str, output: Outputs) -> torch.Tensor:
    held: Mapping[str, torch.Tensor | None] = {
        "age": output.age_years,
        "bmi": output.bmi_kg_m2,
        "gender": output.gender_logits,
    }
    answer = held[task]
    assert answer is not None
    return answer


def _shares(people: Sequence[str]) -> F64:
    """The weight of each row: one person counts as much as another, whoever walked more often."""
    _, place, count = np.unique(np.array(people), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[place] / len(count))

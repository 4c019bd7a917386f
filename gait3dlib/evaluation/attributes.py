"""Age, body-mass index and gender: errors beside what "predict the training mean" would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools, Names
from gait3dlib.evaluation.intervals import NAN, Measure, PeopleBootstrap
from gait3dlib.evaluation.verification import auc

Z90 = 1.645  # a normal variable lies within +- Z90 standard deviations with probability 0.90


@dataclass(frozen=True)
class RegressionReport:
    """Errors of a predicted number, in its own unit.

    mae: mean |prediction - truth|. bias: mean (prediction - truth). coverage: share of truths within
    mean +- 1.645 sd, 0.90 if the spread is honest. baseline_mae: mae of predicting the training mean for
    everybody. unknown: walks without a truth, left out.
    """

    people: int
    walks: int
    unknown: int
    mae: Measure
    bias: Measure
    coverage: Measure
    baseline_mae: Measure

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        measures = ("mae", "bias", "coverage", "baseline_mae")
        counts = {"people": self.people, "walks": self.walks, "unknown": self.unknown}
        return counts | {name: getattr(self, name).to_dict() for name in measures}

    def row(self) -> dict[str, str]:
        """One table row."""
        return {
            "people": str(self.people),
            "walks": str(self.walks),
            "MAE": self.mae.plain(),
            "MAE of training mean": self.baseline_mae.plain(),
            "bias": self.bias.plain(),
            "in 90 % interval, %": self.coverage.percent(),
        }


@dataclass(frozen=True)
class BinaryReport:
    """How well a score tells two classes apart.

    auc: P(score of a positive > score of a negative) + P(equal) / 2; guessing gives 0.5. positives: share
    of walks in the positive class. unknown: walks without a truth, left out.
    """

    people: int
    walks: int
    unknown: int
    positives: float
    auc: Measure

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {"people": self.people, "walks": self.walks, "unknown": self.unknown}
        return counts | {"positives": self.positives, "auc": self.auc.to_dict()}

    def row(self) -> dict[str, str]:
        """One table row."""
        return {
            "people": str(self.people),
            "walks": str(self.walks),
            "positive, %": f"{100 * self.positives:.1f}",
            "AUC": self.auc.plain(),
            "AUC of chance": "0.50",
        }


def evaluate_regression(
    truth: ArrayLike,
    mean: ArrayLike,
    people: Names,
    *,
    training_mean: float,
    sd: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> RegressionReport:
    """Judge a predicted number such as age or body-mass index.

    Args:
        truth: ``[walks]``, NaN or None where not known.
        mean: ``[walks]`` predictions.
        people: who walks; intervals come from resampling people.
        training_mean: mean of the truth over the training set, the baseline.
        sd: ``[walks]`` predicted standard deviation; None = no spread was predicted.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: lengths disagree, no truth is known, a prediction is not finite or a spread negative.
    """
    values, known, boot = _known(truth, people, replicates, seed)
    guess = _prediction(mean, known, "predictions")
    if not np.isfinite(training_mean):
        raise InputError("training_mean must be a finite number: the mean of the training set's truths")
    error = guess - values
    if sd is None:
        coverage = Measure(NAN, note="no spread was predicted")
    else:
        spread = _prediction(sd, known, "standard deviations")
        if (spread < 0).any():
            raise InputError("a standard deviation cannot be negative")
        inside = (np.abs(error) <= Z90 * spread).astype(np.float64)
        coverage = boot.rate(float(inside.mean()), boot.means(inside))
    return RegressionReport(
        people=boot.people,
        walks=len(values),
        unknown=int((~known).sum()),
        mae=_mean(np.abs(error), boot),
        bias=_mean(error, boot),
        coverage=coverage,
        baseline_mae=_mean(np.abs(training_mean - values), boot),
    )


def evaluate_binary(
    truth: ArrayLike, score: ArrayLike, people: Names, *, replicates: int = 1000, seed: int = 0
) -> BinaryReport:
    """Judge a score for one of two classes, such as the probability of "female".

    Args:
        truth: ``[walks]``, 1 or True = positive, 0 or False = negative, NaN or None = not known.
        score: ``[walks]``, larger = more likely positive.
        people: who walks; intervals come from resampling people.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: lengths disagree, no truth is known, or a truth is neither 0 nor 1.
    """
    values, known, boot = _known(truth, people, replicates, seed)
    if not np.isin(values, (0.0, 1.0)).all():
        raise InputError("a truth of two classes is 0, 1 or not known")
    scores = _prediction(score, known, "scores")
    positive = values == 1.0
    if positive.all() or not positive.any():
        area = Measure(NAN, note="only one class is present")
    else:
        area = boot.measure(auc(scores[positive], scores[~positive]), _auc_replicates(scores, positive, boot))
    return BinaryReport(
        people=boot.people,
        walks=len(values),
        unknown=int((~known).sum()),
        positives=float(positive.mean()),
        auc=area,
    )


def _known(truth: ArrayLike, people: Names, replicates: int, seed: int) -> tuple[F64, Bools, PeopleBootstrap]:
    """The known truths, which walks have one, and a bootstrap over the people of those."""
    try:
        values = np.asarray(truth, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"truths must be numbers, NaN or None where not known: {error}") from error
    if values.ndim != 1 or len(values) != len(people):
        raise InputError(f"truths of shape {list(values.shape)} do not fit {len(people)} walks")
    known = ~np.isnan(values)
    if not known.any():
        raise InputError("no walk has a known truth; there is nothing to compare with")
    return values[known], known, PeopleBootstrap.of(np.asarray(people)[known], replicates, seed)


def _prediction(values: ArrayLike, known: Bools, name: str) -> F64:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != known.shape or not np.isfinite(array[known]).all():
        raise InputError(f"{name} must be {len(known)} numbers, finite wherever the truth is known")
    return array[known]


def _mean(values: F64, boot: PeopleBootstrap) -> Measure:
    return boot.measure(float(values.mean()), boot.means(values))


def _auc_replicates(scores: F64, positive: Bools, boot: PeopleBootstrap) -> F64:
    """Weighted rank statistic of each replicate; NaN where only one class was drawn."""
    order = np.argsort(scores, kind="stable")
    weight, high = boot.draws[:, boot.person[order]], positive[order]
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where each group of equal scores starts
    up = np.add.reduceat(weight * high, ties, axis=1)
    down = np.add.reduceat(weight * ~high, ties, axis=1)
    won = (up * (np.cumsum(down, axis=1) - down / 2)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        area: F64 = won / (up.sum(axis=1) * down.sum(axis=1))
    return area

"""What every way to answer says of every probe, and the figures that follow, for all walks and for parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait3dlib.ablation._paired import F64, AreaCells, Bools, MeanCells, holm, sign_flip_test, sign_flips
from gait3dlib.ablation._walks import Known
from gait3dlib.evaluation import Measure, PeopleBootstrap, percentile_interval, rank, similarity
from gait3dlib.evaluation._arrays import comparisons
from gait3dlib.evaluation.verification import verify_comparisons
from gait3dlib.types import Outputs

MEASURES: Mapping[str, tuple[str, bool]] = {  # measure -> (task, whether more is better)
    "rank-1": ("identity", True),
    "mAP": ("identity", True),
    "EER": ("identity", False),
    "age MAE": ("age", False),
    "BMI MAE": ("bmi", False),
    "gender AUC": ("gender", True),
}
MAE = {"age": "age MAE", "bmi": "BMI MAE"}
NAN = float("nan")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    modalities: what was fused. covariate, level: which walks; empty = all. corruption: what was done to
    ``corrupted`` at ``strength``; empty = nothing. value: with its interval. chance: of a random order, of
    the mean of the training people, or 0.5. difference: from all modalities, untouched, on the walks that
    both answer; p: of its sign-flip test over people; p_holm: adjusted for all ways of the same table.
    """

    modalities: tuple[str, ...]
    measure: str
    covariate: str
    level: str
    people: int
    walks: int
    value: Measure
    chance: float
    difference: Measure
    p: float
    p_holm: float
    corruption: str = ""
    corrupted: str = ""
    strength: float = 0.0

    @property
    def name(self) -> str:
        """The modalities in words."""
        return " + ".join(self.modalities)

    @property
    def task(self) -> str:
        """identity, age, bmi or gender."""
        return MEASURES[self.measure][0]


@dataclass(frozen=True)
class Way:
    """One way to answer: modalities, and what was done to one of them."""

    modalities: tuple[str, ...]
    corruption: str = ""
    corrupted: str = ""
    strength: float = 0.0


@dataclass(frozen=True)
class Trial:
    """Who is searched for among whom: rows of the walks, and pairs that are not compared."""

    known: Sequence[Known]
    gallery: Sequence[int]
    probe: Sequence[int]
    exclude: Bools

    @property
    def people(self) -> list[str]:
        """Who each probe is."""
        return [self.known[i].subject for i in self.probe]


class Judge:
    """Collects what every way says of every probe; :meth:`figures` measures it.

    Args:
        trial: gallery and probes.
        means: of the training people, by task: what guessing without looking would say.
        replicates: of the bootstrap.
        permutations: of the tests.
        seed: of both.
    """

    def __init__(
        self, trial: Trial, means: Mapping[str, float], replicates: int, permutations: int, seed: int
    ) -> None:
        self.trial, self.means, self.seed, self.replicates = trial, means, seed, replicates
        self.permutations = permutations
        self.ways: list[Way] = []
        self.columns: dict[str, list[NDArray[np.float64]]] = {m: [] for m in MEASURES if m != "EER"}
        self.equal_error: list[Measure] = []
        labels = [trial.known[i].labels for i in trial.probe]
        self.truth = {
            "age": _numbers([x.age_years for x in labels]),
            "bmi": _numbers([x.bmi_kg_m2 for x in labels]),
            "gender": _numbers([None if x.gender is None else float(x.gender == "female") for x in labels]),
        }
        self.random = np.zeros(0)
        self.everyone = PeopleBootstrap.of(trial.people, replicates, seed)

    def hear(self, way: Way, gallery: Outputs, probe: Outputs) -> None:
        """Keep what a way says of the gallery's walks, and of the probes."""
        trial = self.trial
        self.ways.append(way)
        scores = _scores(probe.embedding.numpy(), gallery.embedding.numpy())
        enrolled = [trial.known[i].subject for i in trial.gallery]
        found = rank(scores, trial.people, enrolled, trial.exclude)
        mated = found.mates > 0
        self.random = np.where(mated, found.mates / np.maximum(found.eligible, 1), np.nan)
        self.columns["rank-1"].append(np.where(mated, found.hits(1), np.nan))
        self.columns["mAP"].append(np.where(mated, found.average_precision, np.nan))
        pairs = comparisons(scores, trial.people, enrolled, trial.exclude)
        self.equal_error.append(verify_comparisons(pairs, self.everyone, ()).eer)
        unseen = probe.embedding.isnan().flatten(1).any(dim=1).numpy()
        for task, answer in (("age", probe.age_years), ("bmi", probe.bmi_kg_m2)):
            error = np.full(len(unseen), np.nan)
            if answer is not None:
                error = np.abs(answer[:, 0].double().numpy() - self.truth[task])
            self.columns[MAE[task]].append(np.where(unseen, np.nan, error))
        score = np.full(len(unseen), np.nan)
        if probe.gender_logits is not None:
            score = probe.gender_logits.double().numpy()
        known = ~unseen & ~np.isnan(self.truth["gender"])
        self.columns["gender AUC"].append(np.where(known, score, np.nan))

    def figures(
        self, covariate: str = "", level: str = "", rows: Sequence[int] | None = None
    ) -> list[Figure]:
        """Every measure of every way, on all probes or some, each against the first."""
        chosen = np.arange(len(self.trial.probe)) if rows is None else np.asarray(rows, dtype=np.int64)
        found: list[Figure] = []
        for measure in MEASURES:
            if measure == "EER":
                found += self._equal_errors() if rows is None else []
                continue
            values = np.stack([column[chosen] for column in self.columns[measure]], axis=1)
            answered = ~np.isnan(values).all(axis=1)
            if not answered.any():
                continue
            people = np.asarray(self.trial.people)[chosen][answered]
            boot = PeopleBootstrap.of(people, self.replicates, self.seed)
            signs = sign_flips(boot.people, self.permutations, self.seed)
            part = _Part(measure, covariate, level, values[answered], boot, signs)
            if measure == "gender AUC":
                found += self._areas(part, self.truth["gender"][chosen][answered] == 1.0)
            else:
                found += self._means(part, chosen[answered])
        return found

    def _means(self, part: _Part, rows: NDArray[np.int64]) -> list[Figure]:
        cells = MeanCells(part.values, part.boot)
        means, replicates = cells.mean(), cells.replicates()
        apart, apart_draws, terms = cells.against(0)
        kind = part.boot.rate if MEASURES[part.measure][0] == "identity" else part.boot.measure
        return self._rows(
            part,
            [kind(float(m), replicates[:, j]) for j, m in enumerate(means)],
            [_apart(float(d), apart_draws[:, j], part.boot) for j, d in enumerate(apart)],
            sign_flip_test(terms, part.signs),
            self._guess(part.measure, rows),
        )

    def _areas(self, part: _Part, positive: Bools) -> list[Figure]:
        cells = AreaCells(part.values, positive, part.boot)
        values, differences, terms = [], [], np.zeros((part.boot.people, len(self.ways)))
        for way in range(len(self.ways)):
            area, draws = cells.areas([way], ~np.isnan(part.values[:, way]))
            values.append(part.boot.measure(float(area[0]), draws[:, 0]))
            apart, apart_draws, terms[:, way] = cells.against(way, 0)
            differences.append(_apart(apart, apart_draws, part.boot))
        return self._rows(part, values, differences, sign_flip_test(terms, part.signs), 0.5)

    def _equal_errors(self) -> list[Figure]:
        nothing = Measure(NAN, note="no paired test: its thresholds differ")
        people, walks = self.everyone.people, len(self.trial.probe)
        return [
            _figure(way, "EER", "", "", people, walks, value, 0.5, nothing, NAN, NAN)
            for way, value in zip(self.ways, self.equal_error, strict=True)
        ]

    def _rows(
        self, part: _Part, values: list[Measure], apart: list[Measure], p_values: F64, chance: float
    ) -> list[Figure]:
        # the way that all are compared with is not tested, nor is one that no walk allows to
        p = [NAN if j == 0 or np.isnan(apart[j].value) else float(p) for j, p in enumerate(p_values)]
        known = ~np.isnan(part.values)
        return [
            _figure(
                way,
                part.measure,
                part.covariate,
                part.level,
                len(np.unique(part.boot.person[known[:, j]])),
                int(known[:, j].sum()),
                values[j],
                chance,
                apart[j],
                p[j],
                adjusted,
            )
            for j, (way, adjusted) in enumerate(zip(self.ways, holm(p), strict=True))
        ]

    def _guess(self, measure: str, rows: NDArray[np.int64]) -> float:
        """What a guess would reach: chance at rank 1, the training mean for age and BMI."""
        task = MEASURES[measure][0]
        if task in self.means:
            return float(np.nanmean(np.abs(self.truth[task][rows] - self.means[task])))
        return float(self.random[rows].mean()) if measure == "rank-1" else NAN


@dataclass(frozen=True)
class _Part:
    """One measure on some of the probes: values ``[walks, ways]`` and what resamples their people."""

    measure: str
    covariate: str
    level: str
    values: F64
    boot: PeopleBootstrap
    signs: F64


def _figure(way: Way, measure: str, covariate: str, level: str, *rest: object) -> Figure:
    made: Callable[..., Figure] = Figure
    return made(way.modalities, measure, covariate, level, *rest, way.corruption, way.corrupted, way.strength)


def _apart(value: float, draws: F64, boot: PeopleBootstrap) -> Measure:
    if boot.people < 2:
        return Measure(value, note="one person gives no interval")
    return Measure(value, *percentile_interval(draws))


def _scores(probe: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarities; a walk without evidence is like nobody (-1), so it is a miss."""
    blind, empty = np.isnan(probe).any(axis=(1, 2)), np.isnan(gallery).any(axis=(1, 2))
    scores = similarity(np.nan_to_num(probe), np.nan_to_num(gallery))
    scores[blind] = scores[:, empty] = -1.0
    return scores


def _numbers(values: Sequence[float | None]) -> F64:
    return np.array([NAN if value is None else value for value in values], dtype=np.float64)

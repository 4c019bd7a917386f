"""Protocols counted one by one in plain loops, and small sets of labelled walks with random embeddings."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from gait3dlib import protocols
from gait3dlib.evaluation import Groups, GroupsReport, IdentificationReport, Scoring, WalkLabel

QUICK = Scoring(metric="euclidean", replicates=20)
VIEWS = ["000", "018", "090"]
CASIA = [f"nm-{i:02}" for i in range(1, 7)] + [f"{k}-{i:02}" for k in ("bg", "cl") for i in (1, 2)]
SUSTECH = ["00-nm", "01-nm", "02-bg", "01-cl", "03-cr", "04-ub", "01-uf", "02-oc", "01-nt"]
CCPG = ["U0_D0", "U0_D0_BG", "U0_D3", "U1_D0", "U1_D1", "U2_D2", "U3_D3"]
NO_ONE: frozenset[str] = frozenset()


def shipped(name: str) -> Groups:
    rules = protocols.read(name)
    assert isinstance(rules, Groups)
    return rules


def everybody(people: int, kinds: list[str], views: list[str]) -> list[WalkLabel]:
    names = [f"{i:03}" for i in range(people)]
    return [WalkLabel(*labels) for labels in itertools.product(names, kinds, views)]


def features(walks: list[WalkLabel], seed: int = 0, noise: float = 2.0) -> np.ndarray:  # type: ignore[type-arg]
    """Random embeddings ``[walks, 3, 5]`` in which a person shows a little."""
    rng = np.random.default_rng(seed)
    mean = {w.subject: rng.normal(size=(3, 5)) for w in walks}
    return np.stack([mean[w.subject] + noise * rng.normal(size=(3, 5)) for w in walks]).astype(np.float32)


def distance(a: Any, b: Any) -> float:
    """Mean over parts of the Euclidean distance."""
    return sum(math.dist(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)) / len(a)


def order(probe: int, gallery: list[int], embedding: Any) -> list[int]:
    return sorted(gallery, key=lambda j: distance(embedding[probe], embedding[j]))


def view_pairs_by_hand(
    walks: list[WalkLabel], embedding: Any, probe: list[int], gallery: list[int], k: int, rounded: bool
) -> float:
    """Percent, as a table has it: mean over gallery views, then over probe views, diagonal dropped."""
    means = []
    for view in sorted({walks[i].view for i in probe}):
        row = []
        for other in sorted({walks[j].view for j in gallery}):
            mine = [i for i in probe if walks[i].view == view]
            theirs = [j for j in gallery if walks[j].view == other]
            if view == other or not theirs:
                continue
            hits = [
                walks[i].subject in [walks[j].subject for j in order(i, theirs, embedding)[:k]] for i in mine
            ]
            percent = 100 * sum(hits) / len(hits)
            row.append(round(percent, 2) if rounded else percent)
        means.append(sum(row) / len(row))
    return sum(means) / len(means)


def ranked_by_hand(
    walks: list[WalkLabel], embedding: Any, probe: list[int], gallery: list[int], same: bool
) -> tuple[list[float], float, float]:
    """Rank-1, -5, -10, mAP, mINP; probes without a match skipped; same: own person at own view left out."""
    first, precision, penalty = [], [], []
    for i in probe:
        kept = [
            j
            for j in gallery
            if i != j
            and not (
                same
                and walks[i].subject == walks[j].subject
                and walks[i].view.split("_")[0] == walks[j].view.split("_")[0]
            )
        ]
        hit = [walks[j].subject == walks[i].subject for j in order(i, kept, embedding)]
        places = [place for place, good in enumerate(hit, start=1) if good]
        if places:
            first.append(places[0])
            precision.append(sum(n / place for n, place in enumerate(places, start=1)) / len(places))
            penalty.append(len(places) / places[-1])
    ranks = [sum(f <= k for f in first) / len(first) for k in (1, 5, 10)]
    return ranks, sum(precision) / len(precision), sum(penalty) / len(penalty)


def of(walks: list[WalkLabel], *kinds: str) -> list[int]:
    return [i for i, w in enumerate(walks) if w.session in kinds]


def value(report: GroupsReport, group: str, k: int = 1) -> float:
    return 100 * report.groups[group].rank[k].value


def expect(
    found: object, wanted: tuple[list[float], float, float], ranks: tuple[int, ...] = (1, 5, 10)
) -> None:
    assert isinstance(found, IdentificationReport)
    by_k = dict(zip((1, 5, 10), wanted[0], strict=True))
    assert [found.rank[k].value for k in ranks] == pytest.approx([by_k[k] for k in ranks])
    assert found.mean_ap.value == pytest.approx(wanted[1])
    assert found.mean_inp.value == pytest.approx(wanted[2])
    for measure in (found.rank[1], found.mean_ap, found.mean_inp, found.eer):
        assert measure.low <= measure.value <= measure.high

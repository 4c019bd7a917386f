"""Protocols: the submission file, strangers, other modalities, walks that nobody saw, wrong rules."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protocols_by_hand import QUICK, everybody, expect, features, of, order, ranked_by_hand, shipped, value

from gait3dlib import config, protocols
from gait3dlib._resources import shipped as shipped_folder
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation import (
    IdentificationReport,
    Scoring,
    WalkLabel,
    evaluate_groups,
    read_rules,
    write_submission,
)

# ---- GREW's server ----------------------------------------------------------------------------------


def test_a_submission_names_the_people_of_the_nearest_walks(tmp_path: Path) -> None:
    names = [f"{i:05}" for i in range(12)]
    walks = [WalkLabel(n, kind, f"{n}{kind}") for n in names for kind in ("01", "02")]
    walks += [WalkLabel("probe", "03", f"video{i}") for i in range(5)]
    embedding = features(walks)
    path = tmp_path / "new" / "submission.csv"
    assert write_submission(path, shipped("grew"), embedding, walks, metric="euclidean") == 5
    lines = list(csv.reader(path.open()))
    assert lines[0] == ["videoId", *(f"rank{k}" for k in range(1, 21))]
    for row, line in enumerate(lines[1:]):
        nearest = order(24 + row, list(range(24)), embedding)[:20]
        assert line == [f"video{row}", *(walks[j].subject for j in nearest)]
    report = evaluate_groups(shipped("grew"), embedding, walks, scoring=QUICK).groups["proxy"]
    wanted = ranked_by_hand(walks, embedding, of(walks, "02"), of(walks, "01"), same=False)
    expect(report, wanted)
    with pytest.raises(InputError, match="too few to name 20"):
        write_submission(path, shipped("grew"), embedding[14:], walks[14:])
    with pytest.raises(ConfigError, match="no server"):
        write_submission(path, shipped("gait3d"), embedding, walks)


def test_a_protocol_of_ones_own() -> None:
    rules = read_rules(
        {
            "title": "mine",
            "kind": "groups",
            "groups": {"late": {"session": "other", "gallery": {"session": "first"}}},
        },
        "mine",
    )
    walks = everybody(5, ["b", "a", "c"], ["0"])
    embedding = features(walks)
    expect(
        evaluate_groups(rules, embedding, walks, scoring=QUICK).groups["late"],
        ranked_by_hand(walks, embedding, of(walks, "b", "c"), of(walks, "a"), same=False),
    )


# ---- strangers, other modalities ----------------------------------------------------------------------


def test_half_of_the_people_are_strangers() -> None:
    walks = everybody(12, ["00", "01"], ["0", "90"])
    embedding = features(walks, noise=0.5)
    for seed in (0, 1):
        how = Scoring(metric="euclidean", replicates=20, seed=seed)
        report = evaluate_groups(shipped("open_set"), embedding, walks, scoring=how).groups["all"]
        assert isinstance(report, IdentificationReport)
        assert (report.gallery_people, report.strangers, report.people) == (6, 6, 6)
        rng = np.random.default_rng(seed)
        names = sorted({w.subject for w in walks})
        strangers = set(rng.choice(names, 6, replace=False).tolist())
        gallery = [j for j in of(walks, "00") if walks[j].subject not in strangers]
        best = {i: -min(_distances(embedding, i, gallery)) for i in of(walks, "01")}
        tops = sorted(best[i] for i in best if walks[i].subject in strangers)
        point = report.open_set[0.1]
        assert sum(top >= point.threshold for top in tops) == 0, "of 12 searches none may pass at 10 %"
        found = [i for i in best if walks[i].subject not in strangers]
        missed = [
            best[i] < point.threshold or walks[order(i, gallery, embedding)[0]].subject != walks[i].subject
            for i in found
        ]
        assert point.fnir.value == pytest.approx(np.mean(missed))


def _distances(embedding: Any, probe: int, gallery: list[int]) -> list[float]:
    return [float(np.linalg.norm(embedding[probe] - embedding[j], axis=1).mean()) for j in gallery]


def test_probes_of_one_modality_find_a_gallery_of_another() -> None:
    walks = everybody(8, ["00", "01"], ["0", "90"])
    lidar, silhouette = features(walks, 1, noise=0.0), features(walks, 2, noise=0.0)
    apart = evaluate_groups(shipped("cross_modal"), lidar, walks, gallery_embedding=silhouette, scoring=QUICK)
    joint = evaluate_groups(
        shipped("cross_modal"), lidar, walks, gallery_embedding=lidar + 0.01, scoring=QUICK
    )
    assert value(joint, "all") == 100.0
    assert value(apart, "all") < 60.0, "without one metric space nothing is found but by chance"
    both = np.concatenate([lidar[of(walks, "01")], silhouette[of(walks, "00")]])
    names = [walks[i] for i in (*of(walks, "01"), *of(walks, "00"))]
    wanted = ranked_by_hand(names, both, list(range(16)), list(range(16, 32)), same=False)
    expect(apart.groups["all"], wanted, ranks=(1, 5))
    with pytest.raises(InputError, match="do not fit 32 walks"):
        evaluate_groups(shipped("cross_modal"), lidar, walks, gallery_embedding=silhouette[:5])


# ---- laws ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("name", ["casia_b", "casia_b_one_gallery"])
def test_of_whom_nothing_was_seen_is_a_miss_and_nobodys_likeness(name: str, metric: Any) -> None:
    kinds = ["nm-01", "nm-02", "nm-05", "bg-01", "bg-02", "cl-01", "cl-02"]
    walks = everybody(5, kinds, ["0", "90"])
    embedding = features(walks, noise=0.01)
    how = Scoring(metric=metric, replicates=10)
    assert evaluate_groups(shipped(name), embedding, walks, scoring=how).mean_rank1 == 1.0
    for i in of(walks, "nm-05", "nm-01"):
        if walks[i].subject == "002":
            embedding[i] = np.nan
    for i in of(walks, "cl-01"):
        if walks[i].subject == "003":
            embedding[i] = np.nan
    found = evaluate_groups(shipped(name), embedding, walks, scoring=how)
    assert value(found, "NM") == pytest.approx(80.0), "one of five was not seen as a probe"
    assert value(found, "BG") == pytest.approx(100.0), "the others are found, by their other walks"
    assert value(found, "CL") == pytest.approx({"casia_b": 90.0, "casia_b_one_gallery": 80.0}[name])


def test_the_order_of_walks_changes_nothing() -> None:
    for name, kinds in (("casia_b", ["nm-01", "nm-05", "bg-01", "cl-01"]), ("ccpg_reid", None)):
        walks = everybody(
            6, kinds or ["U0_D0", "U0_D0_BG", "U0_D3", "U1_D0", "U1_D1", "U3_D3"], ["0_1", "9_1"]
        )
        embedding = features(walks)
        shuffled = np.random.default_rng(1).permutation(len(walks))
        a = evaluate_groups(shipped(name), embedding, walks, scoring=QUICK)
        b = evaluate_groups(shipped(name), embedding[shuffled], [walks[i] for i in shuffled], scoring=QUICK)
        for group in a.groups:
            assert a.groups[group].rank[1] == b.groups[group].rank[1]
            assert a.groups[group].mean_ap.value == pytest.approx(b.groups[group].mean_ap.value)
            assert a.groups[group].eer.value == pytest.approx(b.groups[group].eer.value)


def test_re_ranking_is_an_option() -> None:
    walks = everybody(8, ["00", "01"], ["0", "9"])
    rules = read_rules({"title": "x", "groups": {"g": {"types": ["01"], "gallery": {"types": ["00"]}}}}, "x")
    how = Scoring(metric="euclidean", rerank_k1=4, rerank_k2=2, replicates=10)
    plain, reranked = (
        evaluate_groups(rules, features(walks), walks, scoring=s).groups["g"].mean_ap.value
        for s in (QUICK, how)
    )
    assert plain != reranked
    with pytest.raises(ConfigError, match="re-rank what compares all"):
        evaluate_groups(shipped("ou_mvlp"), features(walks), walks, scoring=how)


# ---- rules ----------------------------------------------------------------------------------------------


def test_every_shipped_protocol_is_read() -> None:
    names = sorted(path.stem for path in (shipped_folder("configs") / "protocols").glob("*.yaml"))
    assert len(names) >= 14
    for name in names:
        assert protocols.read(name) is not None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"titel": "x"}, "titel: unknown key; did you mean 'title'"),
        ({"groups": {}}, "at least one group"),
        ({"groups": {"a": {"tpyes": ["1"]}}}, r"groups.a.tpyes: unknown key; did you mean 'types'"),
        ({"groups": {"a": {}}, "gallery": None}, r"groups.a: has no gallery"),
        ({"compare": "pairs"}, "compare: "),
        ({"compare": "view_pairs", "strangers": 0.5}, "know no strangers"),
        ({"ranks": [0]}, "ranks"),
        ({"gallery": {"listed": "others"}}, r"groups.a.gallery.listed"),
        ({"submission": {"probe": {}, "galery": {}}}, "submission.galery: unknown key"),
    ],
)
def test_rules_that_are_none(values: dict[str, Any], words: str) -> None:
    good = {"title": "x", "groups": {"a": {"types": ["1"]}}, "gallery": {"types": ["0"]}}
    with pytest.raises(ConfigError, match=words):
        read_rules({**good, **values}, "mine")


def test_protocols_by_name_and_by_file(tmp_path: Path) -> None:
    assert shipped("casia_b").title == "CASIA-B"
    assert isinstance(protocols.read("cross_view"), protocols.CrossView)
    with pytest.raises(ConfigError, match="did you mean 'ccpg_"):
        protocols.read("ccpg")
    config.write(tmp_path / "mine.yaml", {"kind": "group", "title": "x"})
    with pytest.raises(ConfigError, match=r"mine.kind: must be groups or cross_view"):
        protocols.read(tmp_path / "mine.yaml")
    walks = everybody(2, ["99"], ["0"])
    with pytest.raises(InputError, match="CASIA-B: no walk is a probe of NM; is this the data set"):
        evaluate_groups(shipped("casia_b"), features(walks), walks)
    both = read_rules({"title": "x", "groups": {"g": {"gallery": {}}}, "compare": "view_pairs"}, "x")
    with pytest.raises(InputError, match="a walk is a probe and in its gallery"):
        evaluate_groups(both, features(walks), walks)

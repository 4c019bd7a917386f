"""Protocols of public data sets: hand-made cases with known answers, and loops that count one by one."""

from __future__ import annotations

import numpy as np
import pytest
from protocols_by_hand import (
    CASIA,
    CCPG,
    NO_ONE,
    QUICK,
    SUSTECH,
    VIEWS,
    everybody,
    expect,
    features,
    of,
    ranked_by_hand,
    shipped,
    value,
    view_pairs_by_hand,
)

from gait3dlib.data.partitions import Partition
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation import Groups, Scoring, ViewPairReport, WalkLabel, evaluate_groups

# ---- pairs of views ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", [False, True])
def test_casia_b_equals_loops(rounding: bool) -> None:
    walks = everybody(7, CASIA, VIEWS)
    embedding = features(walks)
    how = Scoring(metric="euclidean", rounding=rounding, replicates=20)
    report = evaluate_groups(shipped("casia_b"), embedding, walks, scoring=how)
    assert list(report.groups) == ["NM", "BG", "CL"]
    for group, kinds in {
        "NM": ("nm-05", "nm-06"),
        "BG": ("bg-01", "bg-02"),
        "CL": ("cl-01", "cl-02"),
    }.items():
        gallery = of(walks, "nm-01", "nm-02", "nm-03", "nm-04")
        wanted = view_pairs_by_hand(walks, embedding, of(walks, *kinds), gallery, 1, rounding)
        assert value(report, group) == pytest.approx(wanted, abs=1e-9)
        assert 20 < wanted < 95
    assert report.mean_rank1 == pytest.approx(np.mean([m.rank[1].value for m in report.groups.values()]))


def test_rounding_is_off_by_default_and_moves_little() -> None:
    walks = everybody(7, CASIA, VIEWS)
    plain, rounded = (
        evaluate_groups(shipped("casia_b"), features(walks), walks, scoring=how)
        for how in (QUICK, Scoring(metric="euclidean", rounding=True, replicates=20))
    )
    assert 0 < abs(value(plain, "NM") - value(rounded, "NM")) <= 0.005


def test_ou_mvlp_counts_probes_without_gallery_as_errors() -> None:
    walks = everybody(6, ["00", "01"], VIEWS)
    walks = [w for w in walks if (w.subject, w.session) != ("002", "01")]
    walks = [w for w in walks if (w.subject, w.session, w.view) != ("004", "01", "090")]
    embedding = features(walks, noise=0.01)  # all who are there are found
    report = evaluate_groups(shipped("ou_mvlp"), embedding, walks, scoring=QUICK)
    wanted = view_pairs_by_hand(walks, embedding, of(walks, "00"), of(walks, "01"), 1, False)
    assert value(report, "all") == pytest.approx(wanted)
    # 5 of 6 in four pairs of views, 4 of 6 in the two with a gallery at 090
    assert wanted == pytest.approx(100 * np.mean([[5 / 6, 4 / 6], [5 / 6, 4 / 6], [5 / 6, 5 / 6]]))
    skipping = Groups(**{**shipped("ou_mvlp").asked, "unmatched": "skip"})
    assert value(evaluate_groups(skipping, embedding, walks, scoring=QUICK), "all") == 100.0


def test_sustech1k_by_attribute_equals_loops() -> None:
    walks = everybody(6, SUSTECH, ["000", "000-far", "045"])
    embedding = features(walks)
    report = evaluate_groups(shipped("sustech1k"), embedding, walks, scoring=QUICK)
    chosen = {name: [k for k in SUSTECH if tag in k] for name, tag in zip(
        ("normal", "bag", "clothing", "carrying", "umbrella", "uniform", "occlusion", "night"),
        ("01-nm", "bg", "cl", "cr", "ub", "uf", "oc", "nt"), strict=True,
    )}  # fmt: skip
    chosen["overall"] = [k for k in SUSTECH if k != "00-nm"]
    assert list(report.groups) == list(chosen)
    for group, kinds in chosen.items():
        for k in (1, 5):
            wanted = view_pairs_by_hand(walks, embedding, of(walks, *kinds), of(walks, "00-nm"), k, False)
            assert value(report, group, k) == pytest.approx(wanted)


def test_a_matrix_by_hand() -> None:
    """Two people, two views, one number an embedding: what is nearest can be seen."""
    walks = [WalkLabel("a", "01", "0"), WalkLabel("b", "01", "0"), WalkLabel("a", "01", "9")]
    walks += [WalkLabel("b", "01", "9"), WalkLabel("a", "00", "0"), WalkLabel("b", "00", "0")]
    walks += [WalkLabel("a", "00", "9"), WalkLabel("b", "00", "9")]
    places = [0.0, 1.0, 0.2, 2.0, 0.1, 0.9, 0.1, 0.4]
    report = evaluate_groups(shipped("ou_mvlp"), np.array(places)[:, None], walks, scoring=QUICK).groups[
        "all"
    ]
    assert isinstance(report, ViewPairReport)
    # from 0 to 9: a (0.1) meets a at 0.2; b (0.9) meets a at 0.2, not b at 2.0. From 9 to 0: both meet a at 0
    np.testing.assert_array_equal(report.rank1, [[np.nan, 0.5], [0.5, np.nan]])
    assert report.rank[1].value == 0.5
    assert report.mean_ap.value == pytest.approx((1 + 0.5 + 1 + 0.5) / 4)
    assert (report.people, report.probes, report.gallery_size, report.chance) == (2, 4, 4, 0.5)
    assert report.empty_pairs == 0
    assert report.to_dict()["rank1_by_views"] == [[None, 0.5], [0.5, None]]


def test_pairs_of_views_that_do_not_exist() -> None:
    walks = [w for w in everybody(4, ["00", "01"], VIEWS) if (w.session, w.view) != ("01", "018")]
    report = evaluate_groups(shipped("ou_mvlp"), features(walks, noise=0.01), walks, scoring=QUICK)
    found = report.groups["all"]
    assert isinstance(found, ViewPairReport)
    assert found.rank1.shape == (3, 2)
    assert found.rank[1].value == 1.0
    alone = [w for w in walks if w.view == "000"]
    with pytest.raises(InputError, match="no probe can be compared"):
        evaluate_groups(shipped("ou_mvlp"), features(alone), alone, scoring=QUICK)


# ---- all with all -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gait3d", "freegait", "ccgr_mini"])
@pytest.mark.parametrize("lists", ["probe", "gallery", "both"])
def test_listed_walks_are_searched_in_the_others(name: str, lists: str) -> None:
    walks = everybody(8, ["camid1_videoid1", "camid2_videoid3"], ["seq0", "seq1"])
    walks = [w for w in walks if w != WalkLabel("003", "camid2_videoid3", "seq0")]
    embedding = features(walks)
    probe = [i for i, w in enumerate(walks) if w.session == "camid1_videoid1" and w.view == "seq0"]
    gallery = [i for i in range(len(walks)) if i not in probe]
    if lists == "both":
        gallery = gallery[::2]
    named = [
        frozenset(f"{walks[i].subject}-{walks[i].session}-{walks[i].view}" for i in s)
        for s in (probe, gallery)
    ]
    chosen = {"probe": (named[0], NO_ONE), "gallery": (NO_ONE, named[1]), "both": tuple(named)}[lists]
    partition = Partition(NO_ONE, NO_ONE, *chosen)
    report = evaluate_groups(shipped(name), embedding, walks, partition=partition, scoring=QUICK)
    expect(report.groups["all"], ranked_by_hand(walks, embedding, probe, gallery, same=False))


def test_lists_that_are_not_there() -> None:
    walks = everybody(3, ["a"], ["seq0"])
    for partition in (None, Partition(NO_ONE, NO_ONE)):
        with pytest.raises(ConfigError, match="PROBE_SET or GALLERY_SET"):
            evaluate_groups(shipped("gait3d"), features(walks), walks, partition=partition)


def test_the_two_protocols_of_ccpg_are_two() -> None:
    walks = everybody(6, CCPG, ["01_0", "01_1", "02_0", "03_0"])
    embedding = features(walks)
    rows = {
        "CL": (("U0_D0", "U0_D0_BG"), ("U1_D1", "U2_D2", "U3_D3")),
        "UP": (("U3_D3",), ("U0_D3",)),
        "DN": (("U1_D0",), ("U1_D1",)),
        "BG": (("U0_D0_BG",), ("U0_D0",)),
    }
    reid, gait = (
        evaluate_groups(shipped(n), embedding, walks, scoring=QUICK) for n in ("ccpg_reid", "ccpg_gait")
    )
    assert list(reid.groups) == list(gait.groups) == list(rows)
    cut = [WalkLabel(w.subject, w.session, w.view.split("_")[0]) for w in walks]
    for group, (probe, gallery) in rows.items():
        chosen = of(walks, *probe), of(walks, *gallery)
        expect(reid.groups[group], ranked_by_hand(walks, embedding, *chosen, same=True))
        assert value(gait, group) == pytest.approx(view_pairs_by_hand(cut, embedding, *chosen, 1, False))
        assert isinstance(gait.groups[group], ViewPairReport)
    assert reid.title != gait.title


def test_casia_b_with_one_gallery() -> None:
    walks = everybody(6, CASIA, VIEWS)
    embedding = features(walks)
    report = evaluate_groups(shipped("casia_b_one_gallery"), embedding, walks, scoring=QUICK)
    gallery = of(walks, "nm-02", "bg-02", "cl-02")
    for group in ("NM", "BG", "CL"):
        wanted = ranked_by_hand(walks, embedding, of(walks, f"{group.lower()}-01"), gallery, same=True)
        expect(report.groups[group], wanted, ranks=(1,))

"""Reports of identification: they agree with their parts, and become dicts and tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rich.console import Console
from searches import Searches

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError

# ---- the report -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial() -> Searches:
    rng = np.random.default_rng(5)
    probe, gallery = np.repeat(np.arange(25), 4), np.repeat(np.arange(20), 2)
    table = rng.normal(size=(100, 40)) + 3.0 * (probe[:, None] == gallery)
    exclude = rng.random((100, 40)) < 0.1
    exclude[0] = gallery == 0  # the first probe has no mate left
    return table, probe.tolist(), gallery.tolist(), exclude


def test_report_agrees_with_its_parts(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    got = ev.evaluate_identification(
        table,
        probe,
        gallery,
        exclude=exclude,
        ranks=(1, 3),
        fars=(0.01, 1e-6),
        fpirs=(0.1, 0.01),
        replicates=200,
    )
    ranking = ev.rank(*trial)
    assert (got.people, got.strangers, got.stranger_probes, got.gallery_people, got.gallery_size) == (
        20,
        5,
        20,
        20,
        40,
    )
    assert got.probes_without_match == int(((ranking.mates == 0) & ~ranking.stranger).sum()) >= 1
    assert got.probes + got.probes_without_match + got.stranger_probes == 100
    assert got.chance == ranking.chance()
    assert [got.rank[k].value for k in (1, 3)] == [ranking.rank_k(1), ranking.rank_k(3)]
    assert (got.mean_ap.value, got.mean_inp.value) == (ranking.mean_ap(), ranking.mean_inp())
    mates = (np.array(probe)[:, None] == np.array(gallery)) & ~exclude
    same, other = table[mates], table[~mates & ~exclude]
    assert (got.genuine_pairs, got.impostor_pairs) == (len(same), len(other))
    assert got.eer.value == ev.eer(same, other)
    assert got.tar_at_far[0.01].value == ev.tar_at_far(same, other, [0.01])[0.01].value
    assert math.isnan(got.tar_at_far[1e-6].value)
    whole = ev.open_set_searches(*trial)
    assert got.fnir_at_fpir[0.1].value == ev.fnir_at_fpir(whole.mated, whole.nonmated, [0.1])[0.1].fnir.value
    assert "99 non-mated" in got.fnir_at_fpir[0.01].note
    for measure in (
        got.rank[1],
        got.mean_ap,
        got.mean_inp,
        got.eer,
        got.tar_at_far[0.01],
        got.fnir_at_fpir[0.1],
    ):
        assert measure.low <= measure.value <= measure.high
        assert measure.high - measure.low < 0.6
    assert got.rank1_wilson == ev.wilson(ranking.rank_k(1) * 20, 20)
    assert got == ev.evaluate_identification(
        table,
        probe,
        gallery,
        exclude=exclude,
        ranks=(1, 3),
        fars=(0.01, 1e-6),
        fpirs=(0.1, 0.01),
        replicates=200,
    )


def test_report_does_not_depend_on_order(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(100), rng.permutation(40)
    plain = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=50)
    other = ev.evaluate_identification(
        table[rows][:, columns],
        [probe[i] for i in rows],
        [gallery[j] for j in columns],
        exclude=exclude[rows][:, columns],
        replicates=50,
    )
    assert json.dumps(rounded(plain.to_dict())) == json.dumps(rounded(other.to_dict()))


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value


def test_report_counts_misses_when_asked(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    skip = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=20)
    miss = ev.evaluate_identification(table, probe, gallery, exclude=exclude, replicates=20, unmatched="miss")
    assert miss.rank[1].value == pytest.approx(skip.rank[1].value * skip.probes / 100)
    assert "without match (miss)" in miss.row()
    assert miss.probes == skip.probes


def test_report_of_strangers_only() -> None:
    got = ev.evaluate_identification(np.eye(3), [7, 8, 9], [1, 2, 3], replicates=10)
    assert (got.people, got.probes, got.strangers) == (0, 0, 3)
    assert got.rank[1].note == "no probe has a match in the gallery"
    assert got.eer.note == "0 genuine and 9 impostor pairs"
    plain = got.to_dict()
    assert plain["chance"] is None
    assert plain["rank1_wilson"] == [None, None]
    assert got.row()["chance"] == got.row()["rank-1"] == "-"
    with pytest.raises(InputError, match="false accept rate"):
        ev.evaluate_identification(np.eye(3), [7, 8, 9], [1, 2, 3], fars=(0.0,))


def test_dicts_and_tables(trial: Searches) -> None:
    table, probe, gallery, exclude = trial
    report = ev.evaluate_identification(table, probe, gallery, exclude=exclude, fpirs=(0.1,), replicates=100)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["rank"]["1"]["value"] == report.rank[1].value
    assert plain["open_set"]["0.1"]["threshold"] == report.open_set[0.1].threshold
    assert plain["tar_at_far"]["0.01"]["low"] == report.tar_at_far[0.01].low
    age = ev.evaluate_regression([1.0, 2.0], [1.0, 1.0], ["a", "b"], training_mean=1.5)
    text = ev.format_table({"ours": report, "baseline": report, "age": age})
    lines = text.splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("|  | people | probes | without match (skip) | gallery | chance | rank-1 |")
    assert f"| {report.rank[1].percent()} |" in lines[2]
    assert "FNIR@FPIR 10 %" in lines[0]
    assert lines[4].startswith("| age | 2 | - |")
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(ev.rich_table({"ours": report, "age": age}, title="Corridor"))
    shown = console.export_text()
    for words in ("Corridor", "ours", "mINP", report.rank[1].percent(), "MAE of training mean"):
        assert words in shown

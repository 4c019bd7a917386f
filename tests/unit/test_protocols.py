"""Protocols: the split, numbers equal to those worked out by hand, and oracles that know everybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from rich.console import Console

from gait3dlib import Pipeline, config
from gait3dlib.data.recordings import Walk, WalkFolder
from gait3dlib.errors import ConfigError, InputError, NoEvidence
from gait3dlib.evaluation import (
    energy_image_scores,
    evaluate_binary,
    evaluate_identification,
    evaluate_regression,
    exclude_views,
)
from gait3dlib.protocols import BASELINE, CrossView, ProtocolReport, cross_view, evaluate
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.types import Labels, Outputs

BOTH = "silhouette + skeleton_map"


def walk(subject: str, session: str, view: float | None) -> Walk:
    return Walk(Path("x.h5"), 0, subject, session, view, Labels())


@pytest.fixture
def pipeline(weights_folder: Path) -> Iterator[Pipeline]:
    with Pipeline.from_pretrained(weights_folder, device="cpu") as made:
        yield made


# ---- the split ------------------------------------------------------------------------------------


def test_one_gallery_walk_a_person_and_probes_of_other_sessions() -> None:
    walks = [
        walk("b", "01", 90.0),
        walk("b", "00", 10.0),
        walk("b", "00", 80.0),
        walk("a", "00", 60.0),
        walk("a", "00", 130.0),
        walk("a", "02", 0.0),
    ]
    assert CrossView().split(walks) == ([3, 2], [5, 0])
    assert CrossView(other_session=False).split(walks) == ([3, 2], [4, 5, 0, 1])
    assert CrossView(gallery_view_deg=140.0).split(walks)[0] == [4, 2]


def test_views_are_compared_on_the_circle() -> None:
    walks = [walk("a", "00", 90.0), walk("a", "00", 350.0), walk("a", "01", 0.0)]
    assert CrossView(gallery_view_deg=0.0).split(walks)[0] == [1]
    assert CrossView(gallery_view_deg=80.0).split(walks)[0] == [0]


def test_walks_that_cannot_be_split() -> None:
    with pytest.raises(InputError, match="needs the view of every walk"):
        CrossView().split([walk("a", "00", 0.0), walk("a", "01", None)])
    with pytest.raises(InputError, match="record at least two sessions"):
        CrossView().split([walk("a", "00", 0.0), walk("a", "00", 90.0)])


# ---- numbers --------------------------------------------------------------------------------------


def by_hand(pipeline: Pipeline, world: Path, drop: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a protocol should find, one walk at a time through the front door."""
    walks = WalkFolder(world).walks
    first = {w.subject: min(x.session for x in walks if x.subject == w.subject) for w in walks}
    people = sorted(first)
    gallery = []
    for person in people:
        own = [i for i, w in enumerate(walks) if (w.subject, w.session) == (person, first[person])]
        gallery.append(min(own, key=lambda i: abs((walks[i].view_deg or 0) - 90)))
    owners = [(i, w) for person in people for i, w in enumerate(walks) if w.subject == person]
    probe = [i for i, w in owners if w.session != first[w.subject]]
    outputs: list[Outputs] = []
    embedding = []
    for w in walks:
        with open_recording(w.path) as recording:
            template, output, _ = pipeline._answer(recording.sequence(w.index), drop)
        embedding.append(template)
        outputs.append(output)
    scores = np.array(
        [
            [np.mean([a @ b for a, b in zip(embedding[i], embedding[j], strict=True)]) for j in gallery]
            for i in probe
        ]
    )
    views = np.array([w.view_deg for w in walks])
    return {
        "scores": scores.astype(np.float32),
        "probe": [walks[i].subject for i in probe],
        "gallery": [walks[i].subject for i in gallery],
        "exclude": exclude_views(views[probe], views[gallery], 30.0),
        "outputs": [outputs[i] for i in probe],
        "labels": [walks[i].labels for i in probe],
        "rows": (probe, gallery),
    }


@pytest.fixture(scope="module")
def report(weights_folder: Path, world: Path) -> ProtocolReport:
    with Pipeline.from_pretrained(weights_folder, device="cpu") as made:
        return evaluate(made, world, seed=3)


@pytest.mark.parametrize(("name", "drop"), [(BOTH, ()), ("silhouette", ("skeleton_map",))])
def test_the_numbers_are_those_worked_out_by_hand(
    pipeline: Pipeline, world: Path, report: ProtocolReport, name: str, drop: tuple[str, ...]
) -> None:
    hand = by_hand(pipeline, world, drop)
    wanted = evaluate_identification(
        hand["scores"], hand["probe"], hand["gallery"], exclude=hand["exclude"], seed=3
    )
    got = report.identification[name]
    assert (got.probes, got.people, got.gallery_size) == (wanted.probes, wanted.people, 6)
    assert got.chance == wanted.chance
    assert {k: m.value for k, m in got.rank.items()} == {k: m.value for k, m in wanted.rank.items()}
    assert got.rank[1].low == wanted.rank[1].low, "with the same interval: the seed is passed on"
    assert got.mean_ap.value == pytest.approx(wanted.mean_ap.value)
    assert got.eer.value == pytest.approx(wanted.eer.value)
    for task, label, answer in (("age", "age_years", "age_years"), ("bmi", "bmi_kg_m2", "bmi_kg_m2")):
        truth = [getattr(labels, label) for labels in hand["labels"]]
        said = [getattr(output, answer)[0].tolist() for output in hand["outputs"]]
        mean = float(pipeline.model.heads[task].label_mean)  # type: ignore[arg-type]
        errors = evaluate_regression(
            truth, [m for m, _ in said], hand["probe"], training_mean=mean, sd=[s for _, s in said], seed=3
        )
        row = report.attributes[task][name]
        for figure in ("mae", "bias", "coverage", "baseline_mae"):
            assert getattr(row, figure).value == pytest.approx(getattr(errors, figure).value, rel=1e-4), (
                figure
            )
    female = [float(labels.gender == "female") for labels in hand["labels"]]
    logits = [float(output.gender_logits[0]) for output in hand["outputs"]]
    area = evaluate_binary(female, logits, hand["probe"], seed=3).auc
    assert report.attributes["gender"][name].auc.value == pytest.approx(area.value)  # type: ignore[union-attr]


def test_half_of_the_people_are_strangers_in_the_open_set(report: ProtocolReport) -> None:
    closed, opened = report.identification[BOTH], report.open_set[BOTH]
    assert (closed.strangers, closed.gallery_people) == (0, 6)
    assert (opened.strangers, opened.gallery_people) == (3, 3)
    assert opened.stranger_probes + opened.probes + opened.probes_without_match == 12


def test_the_baseline_is_the_energy_image(world: Path, report: ProtocolReport, pipeline: Pipeline) -> None:
    samples = WalkFolder(world).prepare("silhouette", tiny.MODALITIES["silhouette"], jobs=1)
    images = [s.frames[:, 0] for s in samples if s is not None]
    hand = by_hand(pipeline, world)
    probe, gallery = hand["rows"]
    scores = energy_image_scores([images[i] for i in probe], [images[i] for i in gallery])
    wanted = evaluate_identification(scores, hand["probe"], hand["gallery"], exclude=hand["exclude"])
    assert report.identification[BASELINE].rank[1].value == wanted.rank[1].value
    assert list(report.identification) == ["silhouette", "skeleton_map", BOTH, BASELINE]


def test_a_report_is_strict_json_tables_and_markdown(report: ProtocolReport) -> None:
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (plain["people"], plain["walks"]) == (6, 24)
    assert plain["protocol"]["min_degrees"] == 30
    assert set(plain["identification"]) == set(report.identification)
    assert set(plain["attributes"]) == {"age", "bmi", "gender"}
    text = report.markdown()
    for heading in ("## Identification", "## Open set", "## age", "## bmi", "## gender", BASELINE):
        assert heading in text
    with (console := Console(width=200)).capture() as shown:
        for table in report.tables():
            console.print(table)
    assert "6 people enrolled" in shown.get()
    assert "rank-1" in shown.get()


def test_a_seed_fixes_a_report_and_progress_is_told(
    pipeline: Pipeline, world: Path, report: ProtocolReport, tmp_path: Path
) -> None:
    said: list[str] = []
    again = evaluate(pipeline, world, seed=3, progress=said.append)
    assert again == report
    assert said[:3] == ["preparing silhouette", "preparing skeleton_map", "encoding"]
    assert said[3:] == ["scoring silhouette", "scoring skeleton_map", f"scoring {BOTH}"]
    alone = Pipeline.from_pretrained(pipeline.save(tmp_path), ["skeleton_map"], device="cpu")
    assert list(evaluate(alone, world).identification) == ["skeleton_map"], "no silhouettes, no energy images"


# ---- oracles --------------------------------------------------------------------------------------


def with_embedding(
    monkeypatch: pytest.MonkeyPatch,
    pipeline: Pipeline,
    world: Path,
    embedding: np.ndarray,  # type: ignore[type-arg]
) -> ProtocolReport:
    """The report of a network that answers with that embedding ``[walks, dim]``."""
    unit = torch.from_numpy(embedding).float()[:, None]

    def fuse(model: object, tokens: object) -> Outputs:
        return Outputs(unit)

    monkeypatch.setattr(cross_view, "fuse_walks", fuse)
    return evaluate(pipeline, world)


def test_who_knows_everybody_gets_everything_right(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, world: Path
) -> None:
    folder = WalkFolder(world)
    numbers = [folder.subjects.index(w.subject) for w in folder.walks]
    found = with_embedding(monkeypatch, pipeline, world, np.eye(6)[numbers])
    for name in (BOTH, "silhouette"):
        closed, opened = found.identification[name], found.open_set[name]
        assert closed.rank[1].value == closed.mean_ap.value == closed.mean_inp.value == 1.0
        assert closed.eer.value == 0.0
        assert opened.rank[1].value == 1.0
    assert found.identification[BASELINE].rank[1].value < 1.0
    assert found.attributes == {}, "this network answers to no task"


def test_who_takes_everybody_for_one_person_or_for_their_neighbour_gets_nothing_right(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, world: Path
) -> None:
    folder = WalkFolder(world)
    same = with_embedding(monkeypatch, pipeline, world, np.ones((24, 3)))
    assert same.identification[BOTH].rank[1].value == 0.0, "a tie is no hit"
    assert same.identification[BOTH].eer.value == pytest.approx(0.5)
    shifted = [folder.subjects.index(w.subject) + int(w.session) for w in folder.walks]
    swapped = with_embedding(monkeypatch, pipeline, world, np.eye(6)[np.array(shifted) % 6])
    assert swapped.identification[BOTH].rank[1].value == 0.0


def test_who_was_not_seen_is_nobodys_likeness(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, world: Path
) -> None:
    """All probes are the opposite of the gallery; somebody of whom nothing is known is not nearer."""
    folder = WalkFolder(world)
    gallery, _ = CrossView().split(folder.walks)
    embedding = np.full((24, 1), -1.0)
    embedding[gallery] = 1.0
    embedding[gallery[0]] = np.nan
    found = with_embedding(monkeypatch, pipeline, world, embedding)
    assert found.identification[BOTH].rank[1].value == 0.0


# ---- data with holes ------------------------------------------------------------------------------


@pytest.fixture
def holed(world: Path, tmp_path: Path) -> Path:
    """The world, but one person's first session and another one's second were seen by no camera."""
    for path in world.glob("*.h5"):
        shutil.copy(path, tmp_path)
    for name, blind in (("s5-00000", "00"), ("s5-00001", "01")):
        walks, truths = [], []
        with open_recording(world / f"{name}.h5") as recording:
            for index, seq in enumerate(recording):
                missing = seq.meta.session == blind
                walks.append(seq.without("silhouette") if missing else seq)
                truths.append(Truth(recording.labels(index)))
        save(tmp_path / f"{name}.h5", *walks, truths=truths)
    tiny.prepare(tmp_path, tiny.MODALITIES)
    return tmp_path


def test_what_was_not_seen_is_a_miss_and_not_left_out(
    pipeline: Pipeline, holed: Path, report: ProtocolReport
) -> None:
    found = evaluate(pipeline, holed, seed=3)
    assert BASELINE not in found.identification, "it needs all silhouettes"
    before, after = report.identification["silhouette"], found.identification["silhouette"]
    assert (after.probes, after.gallery_size) == (before.probes, before.gallery_size)
    # of both people no probe can be found: one is not in the gallery, the other not in the probes
    assert after.rank[1].value <= 1 - 2 / 6
    assert found.identification["skeleton_map"] == report.identification["skeleton_map"]
    ages = found.attributes["age"]
    assert ages["silhouette"].to_dict()["walks"] == ages["skeleton_map"].to_dict()["walks"] - 2
    genders = found.attributes["gender"]
    assert genders["silhouette"].to_dict()["unknown"] == 2


def test_a_modality_that_nobody_has(pipeline: Pipeline, holed: Path) -> None:
    for path in holed.glob("*.h5"):
        with open_recording(path) as recording:
            walks = [seq.without("keypoints") for seq in recording if "silhouette" in seq.streams]
        save(path, *walks)
    tiny.prepare(holed, tiny.MODALITIES)
    with pytest.raises(NoEvidence, match="SkeletonMap modality reads; leave it out of the modalities"):
        evaluate(pipeline, holed)


def test_labels_that_nobody_has_make_no_table(pipeline: Pipeline, world: Path, tmp_path: Path) -> None:
    for path in world.glob("*.h5"):
        with open_recording(path) as recording:
            save(tmp_path / path.name, *recording)
    tiny.prepare(tmp_path, tiny.MODALITIES)
    assert evaluate(pipeline, tmp_path).attributes == {}


# ---- rules as data --------------------------------------------------------------------------------


def test_rules_come_from_a_file(
    pipeline: Pipeline, world: Path, tmp_path: Path, report: ProtocolReport
) -> None:
    path = tmp_path / "mine.yaml"
    config.write(path, {"min_degrees": 0, "other_session": False, "stranger_share": 0.0})
    found = evaluate(pipeline, world, protocol=path)
    assert found.protocol["min_degrees"] == 0
    assert found.identification[BOTH].probes > report.identification[BOTH].probes
    assert found.open_set == {}, "nobody is a stranger"
    config.write(path, {"min_degres": 0})
    with pytest.raises(ConfigError, match=r"mine.min_degres: unknown key; did you mean 'min_degrees'"):
        evaluate(pipeline, world, protocol=path)
    config.write(path, {"stranger_share": 1.5})
    with pytest.raises(ConfigError, match=r"mine.stranger_share"):
        evaluate(pipeline, world, protocol=path)


def test_a_folder_without_recordings(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no .h5 recording here"):
        evaluate(pipeline, tmp_path)

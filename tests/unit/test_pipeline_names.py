"""The front door: names, "unknown", thresholds, and that saving keeps them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from gait3dlib import Pipeline
from gait3dlib.errors import (
    GalleryError,
    InputError,
    NoEvidence,
    WeightsError,
)
from gait3dlib.evaluation.impostors import threshold_for
from gait3dlib.fusion import weights
from gait3dlib.gallery import Calibration
from gait3dlib.types import UNKNOWN, GaitSequence, Meta

NAMES = sorted(tiny.MODALITIES)
BOTH = "silhouette+skeleton_map"


def at_threshold(pipeline: Pipeline, threshold: float, names: list[str] = NAMES) -> None:
    """As if calibrated to that threshold."""
    pipeline.gallery.set_calibration(
        Calibration(threshold, 0.01, len(pipeline.gallery), tuple(names), searches=1000)
    )


# ---- names ----------------------------------------------------------------------------------------


def test_candidates_are_cosines_best_first(enrolled: Pipeline, strolls: list[GaitSequence]) -> None:
    answer = enrolled.identify(strolls[1])
    flat = {n: enrolled.embed(strolls[n]).reshape(-1) / np.sqrt(2) for n in (0, 1, 2, 4)}
    wanted = sorted(((float(flat[1] @ flat[n]), f"p{n}") for n in (0, 2, 4)), reverse=True)
    assert [(c.score, c.subject) for c in answer.candidates] == [
        (pytest.approx(score, abs=1e-5), who) for score, who in wanted
    ]
    assert answer.score == answer.candidates[0].score
    assert len(enrolled.identify(strolls[1], top=1).candidates) == 1
    with pytest.raises(InputError):
        enrolled.identify(strolls[1], top=0)


def test_below_the_threshold_nobody_is_named(enrolled: Pipeline, strolls: list[GaitSequence]) -> None:
    score = enrolled.identify(strolls[1]).score
    best = enrolled.identify(strolls[1]).candidates[0].subject
    at_threshold(enrolled, float(np.nextafter(score, 2)))
    answer = enrolled.identify(strolls[1])
    assert (answer.identity, answer.known, answer.calibrated) == (UNKNOWN, False, True)
    assert answer.candidates[0].subject == best, "candidates are told all the same"
    at_threshold(enrolled, score)
    answer = enrolled.identify(strolls[1])
    assert (answer.identity, answer.known) == (best, True), "at the threshold is enough"


def test_answers_tell_attributes_streams_shares_and_times(
    enrolled: Pipeline, strolls: list[GaitSequence]
) -> None:
    seq = dataclasses.replace(strolls[1], meta=Meta(covariates={"track": "7"}))
    answer = enrolled.identify(seq)
    assert answer.streams == {"silhouette": ("silhouette",), "skeleton_map": ("keypoints",)}
    assert set(answer.weights) == set(NAMES)
    assert sum(answer.weights.values()) == pytest.approx(1.0, abs=1e-5)
    assert (answer.track, answer.start_ns) == (7, seq.start_ns)
    assert answer.stop_ns == max(int(s.t_ns[-1]) for s in seq.streams.values())
    assert answer.age_years is not None
    assert answer.bmi_kg_m2 is not None
    assert answer.female is not None
    assert answer.age_years.sd > 0
    assert 0 <= answer.female <= 1
    alone = enrolled.identify(seq.without("keypoints"))
    assert alone.streams == {"silhouette": ("silhouette",)}
    assert alone.weights == {"silhouette": pytest.approx(1.0)}
    for odd in ("²", "-1", "x", ""):
        told = dataclasses.replace(seq, meta=Meta(covariates={"track": odd}))
        assert enrolled.identify(told).track is None


def test_a_model_that_was_not_taught_a_task_does_not_answer_it(
    tmp_path: Path, strolls: list[GaitSequence]
) -> None:
    fusion = {**tiny.FUSION, "modalities": ["silhouette"], "tasks": ["bmi"]}
    made = weights.untrained({"silhouette": tiny.MODALITIES["silhouette"]}, fusion)
    weights.save(tmp_path, made, settings=tiny.MODALITIES, fusion=fusion, info={"trained": True})
    with Pipeline.from_pretrained(tmp_path, device="cpu") as pipeline:
        answer = pipeline.describe(strolls[0])
    assert answer.age_years is None
    assert answer.female is None
    assert answer.bmi_kg_m2 is not None


def test_describing_searches_for_nobody(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    answer = pipeline.describe(strolls[0])
    assert (answer.identity, answer.candidates) == (UNKNOWN, ())
    assert math.isnan(answer.score)
    with pytest.raises(GalleryError, match=r"nobody is enrolled yet; enrol people first"):
        pipeline.identify(strolls[0])


def test_enrolling_counts_and_forgetting_erases(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    assert [pipeline.enroll("p", strolls[i]) for i in (0, 1)] == [1, 2]
    assert pipeline.enroll("q", strolls[2]) == 1
    assert pipeline.gallery.entries()[0].modalities == tuple(NAMES)
    assert pipeline.forget("p") == 2
    assert pipeline.forget("p") == 0
    assert [c.subject for c in pipeline.identify(strolls[0]).candidates] == ["q"]
    with pytest.raises(InputError, match="nobody can be enrolled as 'unknown'"):
        pipeline.enroll("unknown", strolls[0])


def test_verification(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    a, b = strolls[0], strolls[2]
    answer = pipeline.verify(a, b)
    flat = [pipeline.embed(seq).reshape(-1) / np.sqrt(2) for seq in (a, b)]
    assert answer.score == pytest.approx(float(flat[0] @ flat[1]), abs=1e-6)
    assert answer.threshold == threshold_for(tiny.TAIL, 1, 0.01)
    assert answer.same == (answer.score >= answer.threshold)
    assert not answer.calibrated
    itself = pipeline.verify(a, a)
    assert itself.same
    assert 1 - 1e-5 < itself.score <= 1
    assert pipeline.verify(a.without("keypoints"), b).threshold == threshold_for(tiny.TAIL, 1, 0.01)
    with pytest.raises(NoEvidence, match=r"share no modality, one has silhouette and the other skeleton_map"):
        pipeline.verify(a.without("keypoints"), b.without("silhouette"))


# ---- thresholds -----------------------------------------------------------------------------------


def test_without_a_calibration_thresholds_follow_the_size_of_the_gallery(
    enrolled: Pipeline, strolls: list[GaitSequence]
) -> None:
    for size in (3, 4):
        threshold, calibrated = enrolled.threshold(NAMES)
        assert threshold == threshold_for(tiny.TAIL, size, 0.01)
        assert not calibrated
        enrolled.enroll("more", strolls[5])
    assert enrolled.threshold(["silhouette"])[0] == threshold_for(tiny.TAIL, 5, 0.01)


def test_where_no_tail_is_known_nobody_is_named(tmp_path: Path, strolls: list[GaitSequence]) -> None:
    fusion = {**tiny.FUSION, "modalities": NAMES}
    weights.save(
        tmp_path,
        tiny.model(),
        settings=tiny.MODALITIES,
        fusion=fusion,
        info={"trained": True, "impostors": {}},
    )
    with Pipeline.from_pretrained(tmp_path, device="cpu") as pipeline:
        pipeline.enroll("p", strolls[0])
        assert pipeline.threshold(NAMES) == (1.0, False)
        assert pipeline.identify(strolls[1]).identity == UNKNOWN


def test_a_damaged_tail_is_said(tmp_path: Path, strolls: list[GaitSequence]) -> None:
    fusion = {**tiny.FUSION, "modalities": NAMES}
    info = {"trained": True, "impostors": {BOTH: [["a", "b"]]}}
    weights.save(tmp_path, tiny.model(), settings=tiny.MODALITIES, fusion=fusion, info=info)
    with Pipeline.from_pretrained(tmp_path, device="cpu") as pipeline:
        pipeline.enroll("p", strolls[0])
        with pytest.raises(WeightsError, match="train the fusion again"):
            pipeline.identify(strolls[1])


def test_a_calibrated_rate_is_kept(claimed: Path, strolls: list[GaitSequence]) -> None:
    """Twenty enrolled, a thousand strangers to calibrate on, and as many others who come later."""
    from gait3dlib.fusion.evidence import Evidence

    def stranger(number: int) -> GaitSequence:
        return dataclasses.replace(strolls[0], subject=None, meta=Meta(session=str(number)))

    with Pipeline.from_pretrained(claimed, device="cpu") as real:
        evidence = Evidence(real.model.modalities, strolls[0], ())
        outputs = real._answer(strolls[0])[1]

    class Random(Pipeline):
        def _answer(self, seq: GaitSequence, drop: Any = ()) -> Any:
            parts = np.random.default_rng(int(seq.meta.session)).standard_normal((2, 8)).astype(np.float32)
            return parts / np.linalg.norm(parts, axis=1, keepdims=True), outputs, evidence

    with Random.from_pretrained(claimed, device="cpu") as pipeline:
        for number in range(20):
            pipeline.enroll(f"p{number}", stranger(number))
        threshold = pipeline.calibrate([stranger(n) for n in range(1000, 2000)], fpir=0.05)
        assert pipeline.threshold(NAMES) == (threshold, True)
        kept = pipeline.gallery.calibration(NAMES)
        assert kept is not None
        assert (kept.fpir, kept.gallery_size, kept.searches) == (0.05, 20, 1000)
        named = [pipeline.identify(stranger(n)).known for n in range(2000, 4000)]
        # the order statistic of 1000 and the count of 2000 each have a spread of half a percent or so
        assert 0.03 < np.mean(named) < 0.07
        pipeline.enroll("one more", stranger(20))
        assert pipeline.threshold(NAMES)[1] is False, "it was for another size"
        pipeline.forget("one more")
        assert pipeline.threshold(NAMES) == (threshold, True)


def test_calibrating_leaves_ones_own_templates_out(enrolled: Pipeline, strolls: list[GaitSequence]) -> None:
    own = [dataclasses.replace(strolls[n], subject=f"p{n}") for n in (0, 2, 4)]
    threshold = enrolled.calibrate(own, fpir=0.25)
    others = []
    flat = {n: enrolled.embed(strolls[n]).reshape(-1) / np.sqrt(2) for n in (0, 2, 4)}
    for n in flat:
        others.append(max(float(flat[n] @ flat[m]) for m in flat if m != n))
    assert threshold == pytest.approx(max(others), abs=1e-5)
    strangers = [dataclasses.replace(seq, subject=None) for seq in own]
    assert enrolled.calibrate(strangers, fpir=0.25) == pytest.approx(1.0, abs=1e-5), (
        "to strangers all are other"
    )


def test_each_set_of_modalities_has_its_own_threshold_and_none_is_set_by_halves(
    enrolled: Pipeline, strolls: list[GaitSequence]
) -> None:
    both = [dataclasses.replace(seq, subject=None) for seq in strolls[:4]]
    alone = [seq.without("keypoints") for seq in both]
    with pytest.raises(InputError, match=r"FPIR 0.25 needs 3 non-mated searches, there are 2"):
        enrolled.calibrate([*both, *alone[:2]], fpir=0.25)
    assert enrolled.gallery.calibration(NAMES) is None
    highest = enrolled.calibrate(iter([*both, *alone]), fpir=0.25)
    found = {enrolled.threshold(NAMES), enrolled.threshold(["silhouette"])}
    assert len(found) == 2
    assert highest == max(threshold for threshold, _ in found)
    assert all(calibrated for _, calibrated in found)
    assert enrolled.threshold(["skeleton_map"])[1] is False


def test_what_nothing_can_be_calibrated_on(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    with pytest.raises(GalleryError, match="nobody is enrolled yet; the threshold depends on the gallery"):
        pipeline.calibrate(strolls)
    pipeline.enroll("p0", strolls[0])
    for nobody_else in ([], [dataclasses.replace(strolls[1], subject="p0")]):
        with pytest.raises(InputError, match="give walks of other people"):
            pipeline.calibrate(nobody_else)
    with pytest.raises(InputError, match="needs 99 non-mated"):
        pipeline.calibrate(strolls)
    for rate in (0.0, 1.0, math.nan):
        with pytest.raises(InputError):
            pipeline.calibrate(strolls, fpir=rate)


# ---- keeping --------------------------------------------------------------------------------------


def test_saving_keeps_everything_that_answers_depend_on(
    enrolled: Pipeline, claimed: Path, strolls: list[GaitSequence], tmp_path: Path
) -> None:
    assert enrolled.save(tmp_path / "kept") == tmp_path / "kept"
    for file in claimed.glob("*.safetensors"):
        assert (tmp_path / "kept" / file.name).read_bytes() == file.read_bytes()
    with Pipeline.from_pretrained(tmp_path / "kept", modalities=["skeleton_map"], device="cpu") as part:
        part.save(tmp_path / "part")
        wanted = part.embed(strolls[0])
    with Pipeline.from_pretrained(tmp_path / "part", device="cpu") as again:
        assert again.modalities == ("skeleton_map",)
        np.testing.assert_array_equal(again.embed(strolls[0]), wanted)


def test_a_gallery_on_disk_is_kept(claimed: Path, tmp_path: Path, strolls: list[GaitSequence]) -> None:
    path = tmp_path / "people.sqlite"
    with Pipeline(modalities=NAMES, weights=claimed, gallery=path, device="cpu") as first:
        first.enroll("p0", strolls[0])
        at_threshold(first, 0.25)
        wanted = first.identify(strolls[1])
    with pytest.raises(GalleryError):
        first.identify(strolls[1])
    with Pipeline(modalities=NAMES, weights=claimed, gallery=path, device="cpu") as second:
        assert second.identify(strolls[1]) == wanted
        assert wanted.calibrated

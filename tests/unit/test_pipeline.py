"""The front door: names, "unknown", thresholds, and everything it refuses."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from gait3dlib import Pipeline
from gait3dlib.errors import (
    ConfigError,
    GalleryError,
    GalleryMismatch,
    InputError,
    NoEvidence,
    NoWalkFound,
    UnknownComponent,
    UntrainedError,
    WeightsError,
)
from gait3dlib.evaluation.impostors import threshold_for
from gait3dlib.fusion import weights
from gait3dlib.gallery import Calibration
from gait3dlib.pipeline import walks_of
from gait3dlib.recording import RecordingWriter, save
from gait3dlib.sensors import open_sensor
from gait3dlib.types import UNKNOWN, GaitSequence, Meta, Stream, StreamSpec

NAMES = sorted(tiny.MODALITIES)
BOTH = "silhouette+skeleton_map"


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that were never trained but say so, with impostor tails, so that they may name people."""
    return tiny.save_weights(tmp_path_factory.mktemp("claimed") / "weights")


@pytest.fixture
def pipeline(claimed: Path) -> Iterator[Pipeline]:
    with Pipeline.from_pretrained(claimed, device="cpu") as made:
        yield made


@pytest.fixture
def enrolled(pipeline: Pipeline, strolls: list[GaitSequence]) -> Pipeline:
    """Three people, one walk each."""
    for number in (0, 2, 4):
        pipeline.enroll(f"p{number}", strolls[number])
    return pipeline


def at_threshold(pipeline: Pipeline, threshold: float, names: list[str] = NAMES) -> None:
    """As if calibrated to that threshold."""
    pipeline.gallery.set_calibration(
        Calibration(threshold, 0.01, len(pipeline.gallery), tuple(names), searches=1000)
    )


# ---- what cannot be opened ------------------------------------------------------------------------


def test_modalities_are_a_list_of_known_names(claimed: Path) -> None:
    for wrong in ("silhouette", [], ()):
        with pytest.raises(ConfigError, match="must be a list of names, such as"):
            Pipeline(modalities=wrong, weights=None)
    with pytest.raises(UnknownComponent, match="did you mean 'silhouette'"):
        Pipeline(modalities=["silhouete"], weights=None)
    with Pipeline(modalities=["silhouette", "silhouette"], weights=None, device="cpu") as made:
        assert made.modalities == ("silhouette",)


def test_devices_that_are_not_there(claimed: Path) -> None:
    for wrong in ("gpu", "cuda:99", ""):
        with pytest.raises(ConfigError, match=f"device '{wrong}' cannot be used .*; use cpu, cuda or auto"):
            Pipeline(modalities=NAMES, weights=claimed, device=wrong)
    with Pipeline.from_pretrained(claimed) as made:
        assert made.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(WeightsError, match="no such weights file"):
            Pipeline.from_pretrained(folder)
    with pytest.raises(WeightsError, match="no such weights file"):
        Pipeline(modalities=["silhouette"], weights=tmp_path)


def test_a_gallery_of_another_model_is_refused(
    claimed: Path, tmp_path: Path, strolls: list[GaitSequence]
) -> None:
    path = tmp_path / "people.sqlite"
    with Pipeline.from_pretrained(claimed, gallery=path, device="cpu") as made:
        made.enroll("p0", strolls[0])
    other = tiny.save_weights(tmp_path / "other", made=tiny.model(seed=2))
    with pytest.raises(GalleryMismatch):
        Pipeline.from_pretrained(other, gallery=path, device="cpu")
    with pytest.raises(GalleryMismatch):
        Pipeline.from_pretrained(claimed, ["silhouette"], gallery=path, device="cpu")
    with Pipeline.from_pretrained(claimed, gallery=path, device="cpu") as again:
        assert again.gallery.subjects() == ["p0"]


def test_untrained_weights_embed_and_name_nobody(tmp_path: Path, strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    unclaimed = tiny.save_weights(tmp_path / "weights", trained=False)
    for made in (
        Pipeline(modalities=["silhouette"], weights=None, device="cpu"),
        Pipeline.from_pretrained(unclaimed, device="cpu"),
    ):
        assert not made.trained
        assert made.embed(seq).size <= 1024
        verbs = {
            "enroll": lambda p: p.enroll("p", seq),
            "identify": lambda p: p.identify(seq),
            "describe": lambda p: p.describe(seq),
            "recognize": lambda p: p.recognize(seq),  # at once, not when the first answer is asked for
            "verify": lambda p: p.verify(seq, seq),
            "calibrate": lambda p: p.calibrate([seq]),
        }
        for verb, call in verbs.items():
            with pytest.raises(UntrainedError, match=f"cannot {verb} with untrained weights"):
                call(made)
        made.save(tmp_path / "kept")
        assert not Pipeline.from_pretrained(tmp_path / "kept").trained


# ---- templates ------------------------------------------------------------------------------------


def test_a_template_is_unit_parts_and_what_the_network_says(
    pipeline: Pipeline, strolls: list[GaitSequence]
) -> None:
    got = pipeline.embed(strolls[0])
    assert (got.dtype, got.shape) == (np.float32, (2, 8))
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)
    model = pipeline.model
    batch = {n: m.collate([m.sample(strolls[0])]) for n, m in model.modalities.items()}
    with torch.inference_mode():
        np.testing.assert_array_equal(got, model(batch).embedding[0].numpy())
    assert not model.training


def test_no_evidence_says_what_is_missing(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    only_depth = GaitSequence({"depth": seq.streams["depth"]})
    with pytest.raises(NoEvidence, match="has depth, but silhouette needs silhouette; skeleton_map"):
        pipeline.embed(only_depth)
    with pytest.raises(NoEvidence, match="all modalities were dropped"):
        pipeline.embed(seq, drop=NAMES)
    with pytest.raises(NoEvidence, match="but skeleton_map needs keypoints"):
        pipeline.embed(seq.without("keypoints"), drop=["silhouette"])
    held = seq.streams["silhouette"]
    empty = GaitSequence({"silhouette": dataclasses.replace(held, data=np.zeros_like(held.data))})
    with pytest.raises(NoEvidence, match="no frame of the walk is usable for silhouette"):
        pipeline.embed(empty)
    with pytest.raises(ConfigError, match="cannot drop 'lidar'"):
        pipeline.embed(seq, drop=["lidar"])


def test_too_short_to_be_a_walk(enrolled: Pipeline, strolls: list[GaitSequence]) -> None:
    seq = strolls[1].window(0.0, 0.4)
    assert len(seq.streams["silhouette"]) == 4
    assert np.isfinite(enrolled.embed(seq)).all(), "an embedding is made of any evidence"
    for verb in (
        lambda: enrolled.identify(seq),
        lambda: enrolled.describe(seq),
        lambda: enrolled.enroll("p", seq),
        lambda: enrolled.verify(strolls[0], seq),
        lambda: enrolled.calibrate([seq]),
    ):
        with pytest.raises(NoEvidence, match=r"has 4 usable frames.*record about one gait cycle"):
            verb()
    assert enrolled.identify(strolls[1].window(0.0, 0.5)).score <= 1.0


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


# ---- sources --------------------------------------------------------------------------------------


def test_recognising_a_recording_a_path_and_a_walk(
    enrolled: Pipeline, strolls: list[GaitSequence], tmp_path: Path
) -> None:
    path = save(tmp_path / "walks.h5", *strolls[:3])
    wanted = [enrolled.identify(seq) for seq in strolls[:3]]
    assert list(enrolled.recognize(path)) == wanted
    assert list(enrolled.recognize(str(path))) == wanted
    assert list(enrolled.recognize(strolls[0])) == wanted[:1]


def test_a_walk_without_evidence_is_passed_over(
    enrolled: Pipeline, strolls: list[GaitSequence], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blind = strolls[1].without("silhouette", "keypoints")
    path = save(tmp_path / "walks.h5", strolls[0], blind, strolls[2])
    with caplog.at_level(logging.WARNING):
        assert [a.score for a in enrolled.recognize(path)] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert "passed over: the walk has depth" in caplog.text
    with pytest.raises(NoEvidence):
        list(enrolled.recognize(save(tmp_path / "blind.h5", blind)))


def test_recognising_without_anybody_enrolled(pipeline: Pipeline, strolls: list[GaitSequence]) -> None:
    with pytest.raises(GalleryError, match="nobody is enrolled yet"):
        next(pipeline.recognize(strolls[0]))


def test_sources_that_are_none(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*nowhere.mp4, and no sensor of that name"):
        list(walks_of(tmp_path / "nowhere.mp4"))
    with pytest.raises(UnknownComponent, match="did you mean 'video'"):
        list(walks_of("vidio:0"))
    with pytest.raises(InputError, match="nowhere"):
        list(walks_of(tmp_path / "nowhere.h5"))


def test_a_source_in_which_nobody_walks(tmp_path: Path) -> None:
    specs = {"silhouette": StreamSpec("silhouette", (48, 64), ("uint8",), ("1",))}
    with RecordingWriter(tmp_path / "raw.h5", specs) as writer:
        for index in range(20):
            writer.append("silhouette", np.zeros((48, 64), np.uint8), index * 50_000_000)
    with pytest.raises(NoWalkFound, match=r"nobody walks in .*raw.h5"):
        list(walks_of(tmp_path / "raw.h5"))


def test_a_sensor_by_text_and_in_hand_gives_walks() -> None:
    text = "simulated:walkers=1,fps=15,gap_s=0.5,view_deg=90"
    by_text, in_hand = list(walks_of(text)), list(walks_of(open_sensor(text)))
    assert len(by_text) == len(in_hand) == 1
    assert set(by_text[0].streams) >= {"silhouette", "keypoints"}
    for name, stream in by_text[0].streams.items():
        other: Stream = in_hand[0].streams[name]
        np.testing.assert_array_equal(stream.data, other.data)

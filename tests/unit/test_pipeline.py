"""The front door: what opens it, what goes through, and everything it refuses."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

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
from gait3dlib.pipeline import walks_of
from gait3dlib.recording import RecordingWriter, save
from gait3dlib.sensors import open_sensor
from gait3dlib.types import GaitSequence, Stream, StreamSpec

NAMES = sorted(tiny.MODALITIES)


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

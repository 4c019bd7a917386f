"""Data sets of walks: index, preparation and its cache, batches, tokens in bulk."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.sampler import PeopleSampler, draw_frames
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.errors import ConfigError, InputError, NoEvidence, UnknownComponent
from gait3dlib.fusion import weights
from gait3dlib.modalities import Sample
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.types import GaitSequence, Labels, Meta

SILHOUETTE = tiny.MODALITIES["silhouette"]

# ---- folders of recordings ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, strolls: list[GaitSequence]) -> Path:
    """Two recordings: a person with two walks, and one with a walk without keypoints."""
    first, second, third = strolls[0], strolls[1], strolls[2].without("keypoints")
    truth = Truth(Labels(age_years=30.0))
    save(tmp_path / "b.h5", first, second, truths=[truth, truth])
    save(tmp_path / "a.h5", third)
    return tmp_path


def stale(path: Path) -> None:
    """As if made an hour ago."""
    past = path.stat().st_mtime - 3600
    os.utime(path, (past, past))


def test_the_index_says_whose_walk_lies_where(folder: Path, strolls: list[GaitSequence]) -> None:
    found = WalkFolder(folder)
    assert len(found) == 3
    assert [(w.path.name, w.index) for w in found.walks] == [("a.h5", 0), ("b.h5", 0), ("b.h5", 1)]
    assert [w.subject for w in found.walks] == [strolls[2].subject, strolls[0].subject, strolls[0].subject]
    assert found.subjects == sorted({str(s.subject) for s in strolls[:3]})
    assert [w.view_deg for w in found.walks] == [90.0, 90.0, 45.0]
    assert [w.labels.age_years for w in found.walks] == [None, 30.0, 30.0]


def test_labels_that_were_stated_come_before_the_simulators(tmp_path: Path, walk: GaitSequence) -> None:
    save(tmp_path / "a.h5", walk, truths=[Truth(Labels(age_years=99.0))])
    assert WalkFolder(tmp_path).walks[0].labels == walk.meta.labels


def test_folders_that_are_no_data_set(tmp_path: Path, walk: GaitSequence) -> None:
    with pytest.raises(InputError, match=r"no .h5 recording here; make some with: gait3d simulate"):
        WalkFolder(tmp_path)
    save(tmp_path / "a.h5", GaitSequence(walk.streams))
    with pytest.raises(InputError, match=r"a.h5: walk 0 has no subject"):
        WalkFolder(tmp_path)
    (tmp_path / "a.h5").write_bytes(b"no recording")
    with pytest.raises(InputError, match=r"a.h5"):
        WalkFolder(tmp_path)


def test_prepared_samples_are_the_modalitys_own(folder: Path) -> None:
    data = WalkFolder(folder)
    for name, asked in tiny.MODALITIES.items():
        modality = weights.make_modality(name, asked)
        got = data.prepare(name, asked, jobs=1)
        for walk, sample in zip(data.walks, got, strict=True):
            with open_recording(walk.path) as recording:
                wanted = modality.sample(recording.sequence(walk.index))
            if wanted is None:
                assert sample is None
                assert (name, walk.path.name) == ("skeleton_map", "a.h5")
                continue
            assert sample is not None
            np.testing.assert_array_equal(sample.frames, wanted.frames)
            np.testing.assert_array_equal(sample.t_s, wanted.t_s)
            assert sample.used == wanted.used


def prepared(folder: Path, **changes: int) -> list[tuple[int, int]]:
    """Prepare, and say what was made anew: (done, of) of every report."""
    reports: list[tuple[int, int]] = []
    WalkFolder(folder).prepare(
        "silhouette", {**SILHOUETTE, **changes}, jobs=1, progress=lambda *report: reports.append(report)
    )
    return reports


def test_what_was_prepared_is_read_again_until_it_is_out_of_date(folder: Path, walk: GaitSequence) -> None:
    assert prepared(folder) == [(1, 2), (2, 2)]
    assert prepared(folder) == []
    assert prepared(folder, strips=8) == [(1, 2), (2, 2)], "other settings, other samples"
    assert prepared(folder) == []
    save(folder / "c.h5", walk)
    assert prepared(folder) == [(1, 1)]
    save(folder / "new.h5", walk.window(0.0, 0.2))
    stale(folder / "new.h5")  # an old recording takes the place of a new one, as a backup would
    os.replace(folder / "new.h5", folder / "c.h5")
    assert prepared(folder) == [(1, 1)]
    data = WalkFolder(folder)
    samples = data.prepare("silhouette", SILHOUETTE, jobs=1)
    (sample,) = (s for w, s in zip(data.walks, samples, strict=True) if w.path.name == "c.h5")
    assert sample is not None
    assert len(sample) == len(walk.window(0.0, 0.2).streams["silhouette"])


def test_no_half_made_file_is_left_and_damage_is_said(folder: Path) -> None:
    prepared(folder)
    kept = sorted((folder / ".prepared").rglob("*.npz"))
    assert [path.name for path in kept] == ["a.npz", "b.npz"]
    whole = kept[0].read_bytes()
    for damaged in (whole[:100], b"", whole.replace(b"walks.npy", b"talks.npy"), b"PK" + bytes(100)):
        kept[0].write_bytes(damaged)
        with pytest.raises(InputError, match=r"a.npz is damaged .*delete .*silhouette-"):
            prepared(folder)
    np.savez(kept[0], walks=np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a.npz is damaged"):
        prepared(folder)
    shutil.rmtree(folder / ".prepared")
    assert prepared(folder) == [(1, 2), (2, 2)]


def test_a_wrong_name_makes_no_folder(folder: Path) -> None:
    for name in ("silhouete", "../../elsewhere"):
        with pytest.raises(UnknownComponent):
            WalkFolder(folder).prepare(name, jobs=1)
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        WalkFolder(folder).prepare("silhouette", {"widht": 3}, jobs=1)
    assert not (folder / ".prepared").exists()
    assert not list(folder.parent.glob("elsewhere*"))


# ---- batches --------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=8),
    people=st.integers(1, 8),
    walks=st.integers(1, 5),
    seed=st.integers(0, 5),
    step=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_a_batch_is_p_people_with_k_walks_each(
    counts: list[int], people: int, walks: int, seed: int, step: int
) -> None:
    subjects = [f"p{i}" for i, count in enumerate(counts) for _ in range(count)]
    np.random.default_rng(0).shuffle(subjects)
    if len(counts) < max(people, 2):
        with pytest.raises(InputError, match="people in the training set"):
            PeopleSampler(subjects, people=people, walks=walks, seed=seed)
        return
    sampler = PeopleSampler(subjects, people=people, walks=walks, seed=seed)
    rows = sampler.batch(step)
    np.testing.assert_array_equal(rows, sampler.batch(step))
    again = PeopleSampler(subjects, people=people, walks=walks, seed=seed)
    again.batch(step + 1)
    np.testing.assert_array_equal(rows, again.batch(step), err_msg="a batch depends on no other")
    groups = rows.reshape(people, walks)
    owners = [{subjects[i] for i in group} for group in groups]
    assert all(len(owner) == 1 for owner in owners)
    assert len(set().union(*owners)) == people, "everybody once"
    for group in groups:
        has = subjects.count(subjects[group[0]])
        assert len(set(group.tolist())) == walks or has < walks, "no walk twice where there are enough"


def test_everybody_gets_a_turn_and_seeds_differ() -> None:
    subjects = [f"p{i // 3}" for i in range(30)]
    batches = [PeopleSampler(subjects, people=4, walks=2, seed=1).batch(step) for step in range(200)]
    seen = Counter(int(i) for rows in batches for i in rows)
    assert set(seen) == set(range(30))
    assert min(seen.values()) > 0.6 * max(seen.values())
    other = PeopleSampler(subjects, people=4, walks=2, seed=2)
    assert any((other.batch(step) != batches[step]).any() for step in range(5))


def test_too_few_people() -> None:
    with pytest.raises(InputError, match=r"1 people .* lower schedule.people"):
        PeopleSampler(["a", "a"], people=1, walks=2)


def test_frames_are_drawn_in_order_and_none_twice() -> None:
    sample = Sample(np.arange(20, dtype=np.uint8)[:, None], np.arange(20, dtype=np.float32), ("silhouette",))
    drawn = draw_frames(sample, 7, np.random.default_rng(0))
    assert len(drawn) == 7
    assert (np.diff(drawn.t_s) > 0).all()
    np.testing.assert_array_equal(drawn.frames[:, 0], drawn.t_s)
    whole = draw_frames(sample, 20, np.random.default_rng(0))
    np.testing.assert_array_equal(whole.frames, sample.frames)
    shares = Counter(
        int(t) for seed in range(400) for t in draw_frames(sample, 5, np.random.default_rng(seed)).t_s
    )
    assert len(shares) == 20
    assert max(shares.values()) < 2 * min(shares.values())


# ---- tokens in bulk -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(strolls: list[GaitSequence]) -> dict[str, list[Sample | None]]:
    """Of each modality; some walks lack one, the last lacks both."""
    made = {name: weights.make_modality(name, asked) for name, asked in tiny.MODALITIES.items()}
    held: dict[str, list[Sample | None]] = {n: [m.sample(s) for s in strolls] for n, m in made.items()}
    for name, gone in (("silhouette", (0, 1, 7)), ("skeleton_map", (3, 7))):
        for index in gone:
            held[name][index] = None
    return held


def test_chunks_change_nothing(samples: dict[str, list[Sample | None]]) -> None:
    model = tiny.model()
    for name, modality in model.modalities.items():
        whole = encode_walks(model.encoders[name], modality, samples[name])
        for chunk in (1, 2, 3):
            parts = encode_walks(model.encoders[name], modality, samples[name], chunk=chunk)
            assert torch.equal(parts.real, whole.real)
            torch.testing.assert_close(parts.values, whole.values, rtol=1e-4, atol=1e-5)
        assert whole.real.any(dim=1).tolist() == [s is not None for s in samples[name]]


def test_fused_in_bulk_is_fused_one_by_one(samples: dict[str, list[Sample | None]]) -> None:
    model = tiny.model()
    tokens = {
        name: encode_walks(model.encoders[name], modality, samples[name])
        for name, modality in model.modalities.items()
    }
    outputs = fuse_walks(model, tokens, chunk=3)
    for index in range(7):
        batch = {
            name: model.modalities[name].collate([sample])
            for name in tokens
            if (sample := samples[name][index]) is not None
        }
        with torch.inference_mode():
            alone = model(batch)
        for field, value in vars(alone).items():
            torch.testing.assert_close(getattr(outputs, field)[index], value[0], rtol=1e-4, atol=1e-5)
    for field in ("embedding", "age_years", "bmi_kg_m2", "gender_logits", "weights"):
        assert getattr(outputs, field)[7].isnan().all(), "nothing was seen of the last one"


def test_no_walk_at_all(samples: dict[str, list[Sample | None]]) -> None:
    model = tiny.model()
    encoder, modality = model.encoders["silhouette"], model.modalities["silhouette"]
    for nothing in ([], [None, None]):
        with pytest.raises(NoEvidence, match="leave it out of the modalities"):
            encode_walks(encoder, modality, nothing)
    tokens = encode_walks(encoder, modality, samples["silhouette"])
    with pytest.raises(NoEvidence, match="silhouette can read"):
        fuse_walks(
            model, {"silhouette": type(tokens)(tokens.values, tokens.real & False, tokens.height, tokens.t_s)}
        )


def test_a_task_that_the_model_lacks_stays_none(samples: dict[str, list[Sample | None]]) -> None:
    model = weights.untrained({"silhouette": SILHOUETTE}, {**tiny.FUSION, "tasks": ["age"]})
    tokens = encode_walks(model.encoders["silhouette"], model.modalities["silhouette"], samples["silhouette"])
    outputs = fuse_walks(model, {"silhouette": tokens})
    assert outputs.gender_logits is None
    assert outputs.age_years is not None


def test_metadata_is_no_part_of_a_sample(strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    renamed = GaitSequence(seq.streams, "somebody else", Meta(labels=Labels(age_years=3.0), view_deg=12.0))
    for name, asked in tiny.MODALITIES.items():
        modality = weights.make_modality(name, asked)
        a, b = modality.sample(seq), modality.sample(renamed)
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.t_s, b.t_s)

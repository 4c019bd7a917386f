"""Data sets of walks: index, preparation and its cache, batches, augmentation, tokens in bulk."""

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

from gait3dlib.data.augment import Augment
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
    assert draw_frames(sample, 20, np.random.default_rng(0)) is sample
    shares = Counter(
        int(t) for seed in range(400) for t in draw_frames(sample, 5, np.random.default_rng(seed)).t_s
    )
    assert len(shares) == 20
    assert max(shares.values()) < 2 * min(shares.values())


# ---- augmentation ---------------------------------------------------------------------------------

NOTHING = {"flip": 0.0, "affine": 0.0, "edges": 0.0, "cover": 0.0}


def pictures(b: int = 6, t: int = 3, seed: int = 0) -> torch.Tensor:
    """Bodies of a kind, uint8 ``[b, t, 2, 64, 44]``; all frames of a sequence are one picture."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((b, 1, 2, 64, 44), np.uint8)
    for row in range(4, 60):
        for i in range(b):
            half = rng.integers(3, 12)
            frames[i, 0, :, row, 22 - half : 20 + half] = rng.integers(60, 256)
    return torch.from_numpy(frames.repeat(t, axis=1))


def changed(frames: torch.Tensor, seed: int = 0, **asked: float) -> torch.Tensor:
    return Augment(**{**NOTHING, **asked})(frames, torch.Generator().manual_seed(seed))


def test_without_any_chance_nothing_changes() -> None:
    frames = torch.randint(256, (4, 2, 1, 64, 44), dtype=torch.uint8)
    assert torch.equal(changed(frames), frames)
    assert torch.equal(changed(frames, affine=1.0, rotate_deg=0.0, scale=0.0, shift=0.0), frames)


def test_one_draw_a_sequence() -> None:
    frames = pictures()
    got = Augment(flip=0.5, affine=1.0, edges=0.5, cover=0.5)(frames, torch.Generator().manual_seed(1))
    assert (got.dtype, got.shape) == (torch.uint8, frames.shape)
    assert all(torch.equal(got[:, 0], got[:, t]) for t in range(1, 3)), "the same for all frames"
    assert torch.equal(got[:, :, 0], got[:, :, 1]), "and channels"
    assert (got != frames).flatten(1).any(dim=1).all()
    again = Augment(flip=0.5, affine=1.0, edges=0.5, cover=0.5)(frames, torch.Generator().manual_seed(1))
    assert torch.equal(got, again)
    alike = changed(frames[:1].repeat(8, 1, 1, 1, 1), affine=1.0)
    assert len({alike[i].numpy().tobytes() for i in range(8)}) == 8, "each sequence has its own"


def test_flip_is_a_mirror_as_often_as_asked() -> None:
    frames = pictures(400, 1)
    frames[..., 30:, 35] = 255  # no body is its own mirror image
    assert torch.equal(changed(frames, flip=1.0), frames.flip(4))
    got = changed(frames, flip=0.3)
    mirrored = (got == frames.flip(4)).flatten(1).all(dim=1)
    assert ((got == frames).flatten(1).all(dim=1) ^ mirrored).all()
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.08)


def moments(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre x and y, and the angle of the longest axis in degrees, of each picture."""
    x = frames[:, 0, 0].double()
    rows, columns = torch.arange(64.0).double(), torch.arange(44.0).double()
    mass = x.sum(dim=(1, 2))
    cy = (x * rows[:, None]).sum(dim=(1, 2)) / mass
    cx = (x * columns).sum(dim=(1, 2)) / mass
    dy, dx = rows[None, :, None] - cy[:, None, None], columns[None, None] - cx[:, None, None]
    xx, yy, xy = ((x * m).sum(dim=(1, 2)) / mass for m in (dx * dx, dy * dy, dx * dy))
    return cx, cy, torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy)) % 180


def test_rotation_turns_and_does_not_shear() -> None:
    """A bar that is turned is still a bar: of the same length and width, about the same middle."""
    frames = torch.zeros(300, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 12:52, 20:24] = 255
    got = changed(frames, affine=1.0, rotate_deg=20.0, scale=0.0, shift=0.0)
    cx, cy, angle = moments(got)
    turned = angle - 90
    assert float(turned.abs().max()) == pytest.approx(20, abs=1.5)
    assert float(turned.abs().mean()) == pytest.approx(10, abs=1.5)
    assert float((cx - 21.5).abs().max()) < 0.2
    assert float((cy - 31.5).abs().max()) < 0.2
    mass = got.double().sum(dim=(1, 2, 3, 4)) / frames[0].double().sum()
    assert float((mass - 1).abs().max()) < 0.02


def test_shift_and_scale_keep_within_what_was_asked() -> None:
    frames = torch.zeros(300, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 22:42, 17:27] = 255
    cx, cy, _ = moments(changed(frames, affine=1.0, rotate_deg=0.0, scale=0.0, shift=0.1))
    for moved in (cx - 21.5, cy - 31.5):
        assert float(moved.abs().max()) == pytest.approx(6.4, abs=0.4), "a share of the height, on both axes"
        assert abs(float(moved.mean())) < 0.6
    scaled = changed(frames, affine=1.0, rotate_deg=0.0, scale=0.2, shift=0.0).double()
    high, wide = scaled.sum(dim=3)[:, 0, 0].amax(dim=1) / 255, scaled.sum(dim=4)[:, 0, 0].amax(dim=1) / 255
    for size, start in ((high, 20), (wide, 10)):
        assert start / 1.2 - 0.6 < float(size.min()) < start / 1.15
        assert start / 0.85 < float(size.max()) < start / 0.8 + 0.6
    assert not torch.allclose(high / 20, wide / 10, atol=0.02), "each axis has its own"


def test_edges_grow_or_shrink_by_a_pixel() -> None:
    frames = torch.zeros(64, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 20:40, 10:30] = 255
    sides = (changed(frames, edges=1.0)[:, 0, 0] > 0).any(dim=1).sum(dim=1)
    assert set(sides.tolist()) == {18, 22}


def test_cover_hides_a_rectangle_and_nothing_else() -> None:
    frames = torch.full((200, 1, 1, 64, 44), 200, dtype=torch.uint8)
    got = changed(frames, cover=1.0)[:, 0, 0]
    assert set(got.unique().tolist()) == {0, 200}
    for picture in got:
        rows, columns = (picture == 0).any(dim=1), (picture == 0).any(dim=0)
        assert ((picture == 0) == rows[:, None] & columns[None]).all(), "one rectangle"
        assert 6 <= int(rows.sum()) <= 17
        assert 8 <= int(columns.sum()) <= 32
    assert torch.equal(changed(frames, cover=0.0), frames)


def test_what_is_no_image_comes_back_as_it_is() -> None:
    for frames in (torch.rand(2, 5, 16), torch.zeros(2, 5, 16, dtype=torch.uint8), torch.rand(2, 3, 1, 8, 8)):
        assert Augment(flip=1.0)(frames, torch.Generator()) is frames


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

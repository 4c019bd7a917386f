"""The laws of the design that hold for every modality and for the whole way: 1, 2, 6, 7 and 8."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny
import torch

from gait3dlib import Pipeline, registry
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.fusion import weights
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Batch, Sample
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.types import GaitSequence, Labels, Meta, Outputs, Recognition, Stream

NAMES = registry.names("modality")
SETTINGS = {name: tiny.MODALITIES.get(name, {}) for name in NAMES}
# float32 sums of other lengths are grouped differently; in float64 the same differences are below 1e-10
CLOSE32, CLOSE64 = {"rtol": 1e-4, "atol": 1e-5}, {"rtol": 1e-10, "atol": 1e-11}


@pytest.fixture(scope="module")
def model() -> GaitModel:
    """All registered modalities in one network."""
    return weights.untrained(SETTINGS, tiny.FUSION, seed=1)


@pytest.fixture(scope="module")
def samples(model: GaitModel, strolls: list[GaitSequence]) -> dict[str, list[Sample]]:
    held = {name: [modality.sample(seq) for seq in strolls] for name, modality in model.modalities.items()}
    return {name: [sample for sample in found if sample is not None] for name, found in held.items()}


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder that claims to be trained, so that it may name people."""
    return tiny.save_weights(tmp_path_factory.mktemp("claimed") / "weights")


def batches(model: GaitModel, samples: Mapping[str, list[Sample | None]]) -> dict[str, Batch]:
    return {name: model.modalities[name].collate(rows) for name, rows in samples.items()}


def garbage(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Anything that a tensor of that kind can hold, NaN and infinity included."""
    generator = torch.Generator().manual_seed(seed)
    if not like.is_floating_point():
        return torch.randint(0, 256, like.shape, generator=generator).to(like.dtype)
    noise = 1e6 * torch.randn(like.shape, generator=generator)
    noise.view(-1)[::3], noise.view(-1)[1::7] = torch.nan, torch.inf
    return noise.to(like.dtype)


def same(a: Outputs, b: Outputs, **close: float) -> None:
    """Bit for bit, unless a tolerance is given."""
    for name, value in vars(a).items():
        other = getattr(b, name)
        if close:
            torch.testing.assert_close(value, other, **close)
        else:
            assert torch.equal(value, other), name


# ---- 1: what is dropped was never there -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_dropped_is_never_there_whatever_it_held(
    model: GaitModel, samples: dict[str, list[Sample]], name: str
) -> None:
    whole = batches(model, {n: rows[:3] for n, rows in samples.items()})
    absent = {n: batch for n, batch in whole.items() if n != name}
    held = whole[name]
    rubbish = Batch(garbage(held.frames), held.lengths, garbage(held.t_s))
    with torch.inference_mode():
        wanted = model(absent)
        same(model(whole, drop=(name,)), wanted)
        same(model({**whole, name: rubbish}, drop=(name,)), wanted)
        assert not torch.allclose(model(whole).embedding, wanted.embedding), "it does matter when it is there"
    assert wanted.weights is not None
    assert (wanted.weights[:, NAMES.index(name)] == 0).all()


def some_subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets of up to four names; of more, each name alone, all but each, all, and two dozen others."""
    every = [s for k in range(1, len(names) + 1) for s in itertools.combinations(names, k)]
    if len(names) <= 4:
        return every
    ends = [s for s in every if len(s) in (1, len(names) - 1, len(names))]
    between = [s for s in every if s not in ends]
    drawn = np.random.default_rng(0).permutation(len(between))[:24]
    return ends + [between[i] for i in drawn]


def test_in_one_batch_some_walks_lack_what_others_have(
    model: GaitModel, samples: dict[str, list[Sample]]
) -> None:
    subsets = some_subsets(NAMES)
    walks = {n: list(itertools.islice(itertools.cycle(samples[n]), len(subsets))) for n in NAMES}
    rows = {n: [walks[n][i] if n in s else None for i, s in enumerate(subsets)] for n in NAMES}
    mixed = batches(model, rows)
    for batch in mixed.values():
        batch.frames[batch.lengths == 0] = garbage(batch.frames[batch.lengths == 0])
    with torch.inference_mode():
        together = model(mixed)
        for i, subset in enumerate(subsets):
            alone = model(batches(model, {n: [walks[n][i]] for n in subset}))
            row = Outputs(**{name: value[i : i + 1] for name, value in vars(together).items()})
            same(row, alone, **CLOSE32)


def orders(names: list[str]) -> list[tuple[str, ...]]:
    """All orders of up to three names; of more, both ways round and a dozen others."""
    if len(names) <= 3:
        return list(itertools.permutations(names))
    rng = np.random.default_rng(0)
    drawn = [tuple(names[i] for i in rng.permutation(len(names))) for _ in range(12)]
    return [tuple(names), tuple(reversed(names)), *drawn]


def test_the_order_of_modalities_changes_nothing(model: GaitModel, samples: dict[str, list[Sample]]) -> None:
    whole = batches(model, {n: rows[:2] for n, rows in samples.items()})
    other = weights.untrained(dict(reversed(SETTINGS.items())), tiny.FUSION, seed=1)
    assert weights.fingerprint(other) == weights.fingerprint(model)
    with torch.inference_mode():
        wanted = model(whole)
        for order in orders(sorted(whole)):
            same(model({name: whole[name] for name in order}), wanted)
            same(other({name: whole[name] for name in order}), wanted)


@pytest.mark.parametrize("name", sorted(tiny.MODALITIES))
def test_a_pipeline_that_drops_equals_a_walk_without(
    claimed: Path, strolls: list[GaitSequence], name: str
) -> None:
    seq = strolls[0]
    with Pipeline.from_pretrained(claimed, device="cpu") as pipeline:
        streams = [spec.name for spec in pipeline.model.modalities[name].streams]
        wanted = pipeline.embed(seq.without(*streams))
        np.testing.assert_array_equal(pipeline.embed(seq, drop=(name,)), wanted)
        noise, others = dict(seq.streams), dict(seq.streams)
        for stream in streams:
            held = seq.streams[stream]
            rubbish = 255 * np.random.default_rng(0).integers(0, 2, held.data.shape)
            noise[stream] = Stream(rubbish.astype(held.data.dtype), held.t_ns, held.units, layout=held.layout)
            others[stream] = strolls[-1].streams[stream]
        for held_streams in (noise, others):
            np.testing.assert_array_equal(pipeline.embed(GaitSequence(held_streams), drop=(name,)), wanted)
        assert not np.allclose(pipeline.embed(GaitSequence(others)), wanted)


def test_the_order_of_names_and_streams_changes_nothing(claimed: Path, strolls: list[GaitSequence]) -> None:
    seq = strolls[1]
    turned = GaitSequence(dict(reversed(seq.streams.items())), seq.subject)
    names = sorted(tiny.MODALITIES)
    with (
        Pipeline(modalities=names, weights=claimed, device="cpu") as one,
        Pipeline(modalities=names[::-1], weights=claimed, device="cpu") as other,
    ):
        assert one.fingerprint == other.fingerprint
        assert one.modalities == other.modalities
        np.testing.assert_array_equal(one.embed(seq), other.embed(turned))


def test_streams_that_nobody_chose_change_nothing(claimed: Path, strolls: list[GaitSequence]) -> None:
    with Pipeline.from_pretrained(claimed, device="cpu") as pipeline:
        seq = strolls[0]
        np.testing.assert_array_equal(pipeline.embed(seq), pipeline.embed(seq.without("depth")))


# ---- 2: frames past the length, and ragged batches ------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frames_past_the_length_change_nothing(
    model: GaitModel, samples: dict[str, list[Sample]], name: str, dtype: torch.dtype
) -> None:
    modality = model.modalities[name]
    encoder = modality.encoder(16).to(dtype).eval()
    short = samples[name][1].take(np.arange(3))
    batch = modality.collate([samples[name][0], short])
    frames, t_s = batch.frames.clone(), batch.t_s.clone()
    frames[1, 3:], t_s[1, 3:] = garbage(frames[1, 3:]), 7.0
    longer = torch.cat([frames, garbage(frames)], dim=1)
    with torch.inference_mode():
        wanted = encoder(batch)
        for other in (
            Batch(frames, batch.lengths, t_s),
            Batch(longer, batch.lengths, torch.cat([t_s, t_s], dim=1)),
        ):
            got = encoder(other)
            assert torch.equal(got.values, wanted.values)
            assert torch.equal(got.real, wanted.real)
        changed = frames.clone()
        changed[1, 2] = garbage(frames[1, 2], seed=1)
        assert not torch.equal(encoder(Batch(changed, batch.lengths, t_s)).values, wanted.values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float32, CLOSE32), (torch.float64, CLOSE64)], ids=["32", "64"]
)
def test_a_ragged_batch_equals_its_walks_one_by_one(
    model: GaitModel,
    samples: dict[str, list[Sample]],
    name: str,
    dtype: torch.dtype,
    close: dict[str, float],
) -> None:
    modality = model.modalities[name]
    encoder = modality.encoder(16).to(dtype).eval()
    lengths = (8, 1, 5, 3)
    rows: list[Sample | None] = [s.take(np.arange(n)) for s, n in zip(samples[name], lengths, strict=False)]
    rows.insert(2, None)
    with torch.inference_mode():
        together = encoder(modality.collate(rows))
        for index, row in enumerate(rows):
            if row is None:
                assert not together.real[index].any()
                continue
            alone = encoder(modality.collate([row]))
            assert torch.equal(together.real[index : index + 1], alone.real)
            torch.testing.assert_close(together.values[index : index + 1], alone.values, **close)


# ---- 6: no truth reaches a model ------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, strolls: list[GaitSequence]) -> Path:
    """Walks with all that may be known of them, in one recording with its truth."""
    folder = tmp_path_factory.mktemp("told")
    truths = [Truth(Labels(20.0 + i, "female", 1.6, 50.0 + i), {"style": np.arange(5) + i}) for i in range(8)]
    save(folder / "told.h5", *strolls, truths=truths)
    return folder / "told.h5"


def answers(pipeline: Pipeline, source: Path) -> tuple[list[np.ndarray], list[dict[str, Any]]]:  # type: ignore[type-arg]
    with open_recording(source) as recording:
        embeddings = [pipeline.embed(seq) for seq in recording]
    return embeddings, [answer.to_dict() for answer in pipeline.recognize(source)]


def shuffle_truth(file: h5py.File) -> None:
    truth = file["truth"]
    numbers = sorted(truth, key=int)
    for number in numbers:
        file.move(f"truth/{number}", f"truth/was{number}")
    for number, other in zip(numbers, numbers[3:] + numbers[:3], strict=True):
        file.move(f"truth/was{other}", f"truth/{number}")


def scramble_truth(file: h5py.File) -> None:
    for home in file["truth"].values():
        del home.attrs["labels"]
        for name in list(home):
            home[name][...] = 12345


def delete_truth(file: h5py.File) -> None:
    del file["truth"]


@pytest.mark.parametrize("change", [shuffle_truth, scramble_truth, delete_truth])
def test_truth_in_a_recording_changes_no_answer(
    claimed: Path, told: Path, tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    other = shutil.copy(told, tmp_path / "other.h5")
    with h5py.File(other, "r+") as file:
        change(file)
    with open_recording(told) as before, open_recording(other) as after:
        assert before.labels(0) != after.labels(0), "the truth is another one"
    with Pipeline.from_pretrained(claimed, device="cpu") as pipeline:
        with open_recording(told) as recording:
            for number in (0, 3, 4):
                pipeline.enroll(f"p{number}", recording.sequence(number))
        wanted, recognised = answers(pipeline, told)
        got, again = answers(pipeline, other)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert again == recognised
    assert len({str(answer) for answer in recognised}) == 8


def test_what_is_known_of_a_walk_changes_no_answer(claimed: Path, strolls: list[GaitSequence]) -> None:
    metas = [
        Meta(),
        Meta("elsewhere", "tuesday", 12.0, {"bag": "left"}, Labels(80.0, "female", 1.5, 90.0)),
        Meta(labels=Labels(8.0, "male", 1.2, 25.0)),
    ]
    with Pipeline.from_pretrained(claimed, device="cpu") as pipeline:
        for number in (0, 2):
            pipeline.enroll(f"p{number}", strolls[number])
        seq = strolls[1]
        wanted: Recognition = pipeline.identify(seq)
        for subject, meta in itertools.product((None, "p0", "p2"), metas):
            told_otherwise = GaitSequence(seq.streams, subject, meta)
            assert pipeline.identify(told_otherwise) == wanted
            np.testing.assert_array_equal(pipeline.embed(told_otherwise), pipeline.embed(seq))


# ---- 7: the same numbers again --------------------------------------------------------------------


def test_saved_and_loaded_answers_the_same(
    claimed: Path, strolls: list[GaitSequence], tmp_path: Path
) -> None:
    with Pipeline.from_pretrained(claimed, device="cpu") as first:
        first.enroll("p", strolls[0])
        wanted = first.embed(strolls[1])
        first.save(tmp_path / "kept")
        with Pipeline.from_pretrained(tmp_path / "kept", device="cpu") as second:
            assert second.fingerprint == first.fingerprint
            np.testing.assert_array_equal(second.embed(strolls[1]), wanted)
            second.enroll("p", strolls[0])
            assert second.identify(strolls[1]) == first.identify(strolls[1])


def test_another_process_embeds_the_same(claimed: Path, told: Path) -> None:
    code = (
        "import sys, hashlib, gait3dlib\n"
        "pipeline = gait3dlib.Pipeline.from_pretrained(sys.argv[1], device='cpu')\n"
        "with gait3dlib.open_recording(sys.argv[2]) as recording:\n"
        "    print(*(hashlib.sha256(pipeline.embed(seq).tobytes()).hexdigest() for seq in recording))\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    words = [sys.executable, "-c", code, str(claimed), str(told)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    with Pipeline.from_pretrained(claimed, device="cpu") as pipeline, open_recording(told) as recording:
        here = [hashlib.sha256(pipeline.embed(seq).tobytes()).hexdigest() for seq in recording]
    assert done.stdout.split() == here


def test_one_process_and_two_prepare_the_same(
    told: Path, strolls: list[GaitSequence], tmp_path: Path
) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.h5", *strolls[number : number + 2])
    twin = Path(shutil.copytree(tmp_path, tmp_path / "twin"))
    one = WalkFolder(tmp_path).prepare("silhouette", SETTINGS["silhouette"], jobs=1)
    two = WalkFolder(twin).prepare("silhouette", SETTINGS["silhouette"], jobs=2)
    assert len(one) == len(two) == 6
    for a, b in zip(one, two, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.t_s, b.t_s)


class Stop(Exception):
    """The power goes off."""


def stopping_at(step: int) -> Callable[[str], None]:
    def report(text: str) -> None:
        if text.startswith(f"step {step}/"):
            raise Stop

    return report


def test_a_seed_fixes_a_run_and_a_resumed_one_ends_in_the_same_bits(
    small_world: Path, tmp_path: Path
) -> None:
    """Both recipes: once through, once again, with another seed, and stopped in the middle and resumed."""
    plan = {"schedule": {"steps": 6, "validate_every": 1}}

    def encoder(out: str, **changes: Any) -> Path:
        return tiny.train_encoder("silhouette", small_world, tmp_path / out, **{**plan, **changes})

    def fusion(out: str, **changes: Any) -> Path:
        folder = tiny.train_fusion(tmp_path / "a", small_world, tmp_path / out, **{**plan, **changes})
        return folder / "fusion.safetensors"

    for train, (once, again, other, stopped) in ((encoder, "abcd"), (fusion, "efgh")):
        wanted = train(once).read_bytes()
        assert train(again).read_bytes() == wanted
        assert train(other, seed=1).read_bytes() != wanted
        with pytest.raises(Stop):
            train(stopped, report=stopping_at(4))
        said: list[str] = []
        assert train(stopped, report=said.append, resume=True).read_bytes() == wanted
        assert "resumed at step 3" in said, "it did not begin anew"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_cuda_and_cpu_answer_the_same(claimed: Path, strolls: list[GaitSequence]) -> None:
    with (
        Pipeline.from_pretrained(claimed, device="cpu") as cpu,
        Pipeline.from_pretrained(claimed, device="cuda") as cuda,
    ):
        assert cuda.fingerprint == cpu.fingerprint
        for seq in strolls:
            # TF32 and other sums: three digits of a unit vector
            np.testing.assert_allclose(cuda.embed(seq), cpu.embed(seq), atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_training_runs_on_cuda(small_world: Path, tmp_path: Path) -> None:
    tiny.train_encoder("silhouette", small_world, tmp_path / "encoders")
    weights.load(tiny.train_fusion(tmp_path / "encoders", small_world, tmp_path / "fusion"), ["silhouette"])

"""Training: both recipes, on whole data and on data with holes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from gait3dlib import training
from gait3dlib.cards import ModelCard
from gait3dlib.cards import read as read_card
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.tokens import encode_walks
from gait3dlib.errors import InputError, WeightsError
from gait3dlib.fusion import weights
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.training.cache import TokenCache, WalkTokens
from gait3dlib.training.labels import Targets
from gait3dlib.training.validation import cross_view_rank1
from gait3dlib.types import GaitSequence, Labels, Tokens

# ---- recipes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """Both encoders after a few steps, in one folder."""
    out = tmp_path_factory.mktemp("encoders")
    for name in tiny.MODALITIES:
        tiny.train_encoder(name, world, out)
    return out


def test_an_encoder_run_leaves_weights_and_a_card_and_can_be_run_again(
    encoders: Path, world: Path, tmp_path: Path
) -> None:
    trained = tiny.train_encoder("silhouette", world, tmp_path / "first")
    tensors, meta = weights.read(trained)
    assert meta == {
        "kind": "modality",
        "name": "silhouette",
        "dim": 16,
        "config": weights.resolved("silhouette", tiny.MODALITIES["silhouette"]),
        "trained": True,
    }
    made = weights.make_modality("silhouette", meta["config"]).encoder(16)
    made.load_state_dict(tensors)
    fresh = tiny.model(("silhouette",)).encoders["silhouette"].state_dict()
    assert not torch.equal(tensors["project"], fresh["project"])
    card, _ = read_card(ModelCard, trained.with_suffix(".md"))
    assert card.people == 4
    assert "validation_rank1" in card.metrics
    # the resolved config is the whole recipe
    again = training.train(tmp_path / "first" / "config.yaml", tmp_path / "again", report=lambda text: None)
    assert again.read_bytes() == trained.read_bytes() == (encoders / trained.name).read_bytes()


def test_a_fusion_run_leaves_a_weights_folder(encoders: Path, world: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder = tiny.train_fusion(encoders, world, tmp_path, report=said.append)
    model, info = weights.load(folder, sorted(tiny.MODALITIES))
    assert info["trained"] is True
    assert info["people"] == 4
    assert set(info["impostors"]) == {"silhouette", "skeleton_map", "silhouette+skeleton_map"}
    for tail in info["impostors"].values():
        assert tail
        assert all(-1 <= score <= 1 for _, score in tail)
    for name in tiny.MODALITIES:
        assert (folder / f"{name}.safetensors").read_bytes() == (
            encoders / f"{name}.safetensors"
        ).read_bytes()
    ages = Targets([w for w in WalkFolder(world).walks if w.subject < "p4"]).scale["age"]
    scale = model.heads.state_dict()
    assert [float(scale["age.label_mean"]), float(scale["age.label_sd"])] == pytest.approx(ages, rel=1e-5)
    assert any("rank1_silhouette+skeleton_map" in line for line in said)
    card, _ = read_card(ModelCard, folder / "fusion.md")
    assert card.people == 4


def test_end_to_end_the_encoders_learn_too_and_their_norms_stand_still(
    encoders: Path, world: Path, tmp_path: Path
) -> None:
    folder = tiny.train_fusion(
        encoders, world, tmp_path, finetune=True, task_weights="learned", fusion={"protect": True}
    )
    model, info = weights.load(folder, sorted(tiny.MODALITIES))
    assert info["abstain"] == {"age": 0.95, "bmi": 0.95, "gender": 0.6}
    for name in tiny.MODALITIES:
        before, after = (weights.read(f / f"{name}.safetensors")[0] for f in (encoders, folder))
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert "project" in moved
        assert not any("running" in key for key in moved)
        card, _ = read_card(ModelCard, folder / f"{name}.md")
        assert card.people == 4
    assert not any("log_variance" in key for key in model.state_dict()), "of training only"
    logged = (tmp_path / "metrics.csv").read_text()
    assert "data_wait" in logged
    assert "rank1_silhouette+skeleton_map" in logged


def test_what_is_written_is_what_was_measured(world: Path, tmp_path: Path) -> None:
    """The head's norm becomes part of the encoder, and the card's rank-1 is of what is written."""
    path = tiny.train_encoder("silhouette", world, tmp_path)
    card, _ = read_card(ModelCard, path.with_suffix(".md"))
    tensors, meta = weights.read(path)
    modality = weights.make_modality("silhouette", meta["config"])
    encoder = modality.encoder(16)
    encoder.load_state_dict(tensors)
    folder = WalkFolder(world)
    chosen = [i for i, walk in enumerate(folder.walks) if walk.subject >= "p4"]
    samples = folder.prepare("silhouette", meta["config"], jobs=1)
    tokens = encode_walks(encoder, modality, [samples[i] for i in chosen])
    unit = torch.nn.functional.normalize(tokens.values, dim=2).numpy()
    rank1 = cross_view_rank1(unit, [folder.walks[i] for i in chosen])
    assert card.metrics["validation_rank1"] == pytest.approx(rank1)
    inputs = json.loads((tmp_path / "inputs.json").read_text())
    assert inputs["data"]["train"]["people"] == 4
    assert inputs["data"]["validation"]["walks"] == 8


def test_encoders_must_fit_each_other(encoders: Path, world: Path, tmp_path: Path) -> None:
    tiny.train_encoder("silhouette", world, tmp_path, dim=8, schedule={"steps": 1})
    (tmp_path / "skeleton_map.safetensors").write_bytes((encoders / "skeleton_map.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"tokens have different sizes \[8, 16\]; train them with one dim"):
        tiny.train_fusion(tmp_path, world, tmp_path / "run")
    with pytest.raises(WeightsError, match="no such weights file"):
        tiny.train_fusion(tmp_path, world, tmp_path / "run", modalities=["lidar"])


def test_too_few_people_say_so_before_training(world: Path, tmp_path: Path) -> None:
    for people, message in ((5, "6 people are too few to keep 5 out"), (60, "too few to keep 60 out")):
        with pytest.raises(InputError, match=message):
            tiny.train_encoder("silhouette", world, tmp_path, validation_people=people)
    with pytest.raises(InputError, match=r"4 people in the training set, but a batch wants 5"):
        tiny.train_encoder("silhouette", world, tmp_path, schedule={"people": 5})


def test_an_encoder_learns_the_traits_that_a_simulator_kept(small_world: Path, tmp_path: Path) -> None:
    folder = WalkFolder(small_world)
    told = folder.truths("style")
    assert told.shape == (len(folder), 38)
    with open_recording(folder.walks[3].path) as recording:
        truth = recording.truth(folder.walks[3].index)
    assert truth is not None
    np.testing.assert_array_equal(told[3], truth.arrays["style"].astype(np.float32))
    said: list[str] = []
    tiny.train_encoder("silhouette", small_world, tmp_path, traits=["style"], report=said.append)
    assert any("traits" in line for line in said)
    with pytest.raises(InputError, match="'stile' cannot be learnt: no walk holds it"):
        tiny.train_encoder("silhouette", small_world, tmp_path, traits=["stile"])


def test_an_encoder_goes_on_from_given_weights(encoders: Path, world: Path, tmp_path: Path) -> None:
    start = encoders / "silhouette.safetensors"
    still = {"lr": 1e-12, "steps": 1}
    out = tiny.train_encoder("silhouette", world, tmp_path / "a", start=start, schedule=still)
    before, after = weights.read(start)[0], weights.read(out)[0]
    assert torch.allclose(before["trunk.0.weight"], after["trunk.0.weight"], atol=1e-9)
    settings = {**tiny.MODALITIES["silhouette"], "width": 16}
    with pytest.raises(WeightsError, match="made with"):
        tiny.train_encoder("silhouette", world, tmp_path / "b", start=start, settings=settings)


# ---- data with holes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory, strolls: list[GaitSequence]) -> Path:
    """Four people, nobody's view known; some walks lack one modality, one has neither; few labels."""
    folder = tmp_path_factory.mktemp("holed")
    for number, (one, two) in enumerate(zip(strolls[::2], strolls[1::2], strict=True)):
        walks = [GaitSequence(seq.streams, f"p{number}") for seq in (one, two)]
        if number % 2:
            walks[0] = walks[0].without("keypoints")
        else:
            walks[1] = walks[1].without("silhouette")
        if number == 0:
            walks.append(walks[0].without("silhouette", "keypoints"))
        labels = Labels(age_years=30.0 + number) if number < 2 else Labels(gender="male")
        save(folder / f"p{number}.h5", *walks, truths=[Truth(labels)] * len(walks))
    return folder


def test_walks_may_lack_modalities_views_and_labels(holed: Path, tmp_path: Path) -> None:
    said: list[str] = []
    for name in tiny.MODALITIES:
        tiny.train_encoder(name, holed, tmp_path / "encoders", report=said.append)
    folder = tiny.train_fusion(tmp_path / "encoders", holed, tmp_path / "fusion", report=said.append)
    model, _ = weights.load(folder, sorted(tiny.MODALITIES))
    assert model.fusion.tasks == ("age",)
    assert any("of gender: it is not learnt" in line for line in said)
    assert any("of bmi: it is not learnt" in line for line in said)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_nobody_held_out_has_the_modality(holed: Path, tmp_path: Path, strolls: list[GaitSequence]) -> None:
    for path in holed.glob("*.h5"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for number in (2, 3):
        save(tmp_path / f"p{number}.h5", GaitSequence({"depth": strolls[0].streams["depth"]}, f"p{number}"))
    with pytest.raises(InputError, match="none of the 2 people held out has 'silhouette'"):
        tiny.train_encoder("silhouette", tmp_path, tmp_path / "run")
    for path in tmp_path.glob("*.h5"):
        save(path, GaitSequence({"depth": strolls[0].streams["depth"]}, path.stem))
    with pytest.raises(InputError, match="no walk has a stream that 'silhouette' can read"):
        tiny.train_encoder("silhouette", tmp_path, tmp_path / "run")


def test_tokens_of_walks_with_holes(holed: Path) -> None:
    model = tiny.model()
    tiny.prepare(holed, tiny.MODALITIES)
    settings = {name: weights.resolved(name, given) for name, given in tiny.MODALITIES.items()}
    tokens = WalkTokens(WalkFolder(holed), model, settings, validation_people=2)
    assert len(tokens.train) == 4, "the walk that shows nothing is left out"
    assert len(tokens.validation) == 4
    tokens.fill(2, 3, Augment(), seed=1, report=lambda text: None)
    batch = tokens.batch(np.arange(4), np.random.default_rng(0), "cpu")
    assert batch["silhouette"][1].any(dim=1).tolist() == [True, False, True, True]
    assert batch["skeleton_map"][1].any(dim=1).tolist() == [True, True, False, True]
    for values, real, height, t_s in batch.values():
        assert values.dtype == torch.float32
        assert values.shape == (4, 4, 16)
        assert height.shape == (4,)
        assert t_s.shape == real.shape == (4, 4)


def test_each_walk_of_a_batch_gets_its_own_variant() -> None:
    values = torch.arange(2 * 3).view(2, 3, 1, 1).float().expand(2, 3, 4, 5)
    real = torch.arange(2 * 3 * 4).view(2, 3, 4) % 5 > 0
    parts = [Tokens(values[v], real[v], torch.zeros(4), real[v].float()) for v in range(2)]
    cache = TokenCache(parts)
    got = cache.batch(np.array([2, 0, 2]), np.array([1, 0, 0]), "cpu")
    assert got[0][:, 0, 0].tolist() == [5.0, 0.0, 2.0]
    assert torch.equal(got[1], torch.stack([real[1, 2], real[0, 0], real[0, 2]]))
    assert torch.equal(got[3], got[1].float()), "times travel with the tokens"

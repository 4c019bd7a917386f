"""Training: targets, the loop and its run folder, both recipes, and what is watched on the way."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from gait3dlib import config, training
from gait3dlib.cards import ModelCard
from gait3dlib.cards import read as read_card
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import Walk, WalkFolder
from gait3dlib.errors import ConfigError, InputError, WeightsError
from gait3dlib.fusion import weights
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.training.cache import TokenCache, WalkTokens
from gait3dlib.training.folder import environment
from gait3dlib.training.labels import Targets, masked_mse
from gait3dlib.training.loop import Loop
from gait3dlib.training.schedule import Schedule
from gait3dlib.training.validation import cross_view_rank1, held_out
from gait3dlib.types import GaitSequence, Labels, Tokens


def walk(subject: str, view: float | None = 90.0, **labels: Any) -> Walk:
    return Walk(Path("x.h5"), 0, subject, "00", view, Labels(**labels))


# ---- targets --------------------------------------------------------------------------------------


def test_targets_are_standardised_over_people_and_masked_where_unknown() -> None:
    walks = [
        walk("b", age_years=20.0, gender="female"),
        walk("b", age_years=20.0, gender="female"),
        walk("a", height_m=2.0, mass_kg=80.0, gender="male"),
        walk("c", age_years=40.0, height_m=1.0, mass_kg=30.0),
    ]
    targets = Targets(walks)
    assert targets.people == ["a", "b", "c"]
    assert targets.scale == {"age": (30.0, 10.0), "bmi": (25.0, 5.0)}, "over people, not walks"
    wanted = targets.of(np.array([3, 0, 2]), "cpu")
    assert wanted.person.tolist() == [2, 1, 0]
    assert wanted.age[:2].tolist() == [1.0, -1.0]
    assert wanted.age[2].isnan()
    assert wanted.bmi[[0, 2]].tolist() == [1.0, -1.0]
    assert wanted.bmi[1].isnan()
    assert wanted.gender_known.tolist() == [False, True, True]
    assert wanted.female[1:].tolist() == [1.0, 0.0]


def test_a_label_counts_whichever_walk_has_it() -> None:
    targets = Targets([walk("a"), walk("a", age_years=10.0), walk("b", age_years=30.0)])
    assert targets.scale["age"] == (20.0, 10.0)
    assert targets.scale["bmi"] == (0.0, 1.0), "nobody has one"
    assert Targets([walk("a", age_years=5.0), walk("b", age_years=5.0)]).scale["age"][1] > 0


def test_what_can_be_learnt_depends_on_the_labels() -> None:
    tasks = ["bmi", "gender", "age", "unknown"]
    alike = Targets([walk("a", age_years=1.0, gender="male"), walk("b", gender="male")])
    assert alike.learnable(tasks) == ["unknown"], "one age, one gender; what is no task is refused elsewhere"
    full = {"height_m": 1.7, "mass_kg": 60.0, "age_years": 1.0}
    both = Targets([walk("a", gender="female", **full), walk("b", gender="male", **full)])
    assert both.learnable(tasks) == tasks
    assert Targets([walk("a", **full), walk("a", **full)]).learnable(["age"]) == [], "one person"


def test_masked_mse() -> None:
    prediction = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = masked_mse(prediction, torch.tensor([0.0, torch.nan, 1.0]))
    assert float(loss.detach()) == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [1.0, 0.0, 2.0]
    nothing = masked_mse(prediction, torch.full((3,), torch.nan))
    nothing.backward()
    assert float(nothing.detach()) == 0.0


def test_traits_are_standardised_over_walks_and_keep_their_holes() -> None:
    raw = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, np.nan]], np.float32)
    targets = Targets([walk("a"), walk("a"), walk("b")], raw)
    wanted = targets.of(np.array([1, 2]), "cpu").traits
    assert wanted[0].tolist() == [1.0, 0.0], "what never differs says nothing"
    assert wanted[1].isnan().all()
    assert Targets([walk("a")]).of(np.array([0]), "cpu").traits.shape == (1, 0)


# ---- who is kept out, and what is watched ---------------------------------------------------------


def test_the_last_people_are_kept_out_and_two_must_be_left() -> None:
    assert held_out(["c", "a", "d", "b"], 2) == {"c", "d"}
    with pytest.raises(InputError, match=r"4 people are too few to keep 3 out .*lower validation_people"):
        held_out(["c", "a", "d", "b"], 3)


def rank1_by_hand(parts: np.ndarray, walks: list[Walk]) -> float:  # type: ignore[type-arg]
    hits = []
    for i, probe in enumerate(walks):
        best, found = -math.inf, None
        mate = False
        for j, other in enumerate(walks):
            if i == j:
                continue
            if probe.view_deg is not None and other.view_deg is not None:
                apart = abs(probe.view_deg - other.view_deg) % 360
                if min(apart, 360 - apart) < 30:
                    continue
            mate |= other.subject == probe.subject
            score = float(np.mean([a @ b for a, b in zip(parts[i], parts[j], strict=True)]))
            if score > best:
                best, found = score, other.subject
        if mate:
            hits.append(found == probe.subject)
    return float(np.mean(hits))


@pytest.mark.parametrize("seed", range(4))
def test_rank_1_across_views_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((24, 2, 3)).astype(np.float32)
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    views = [None if rng.random() < 0.3 else float(rng.integers(0, 360)) for _ in range(24)]
    walks = [walk(f"p{rng.integers(5)}", view) for view in views]
    assert cross_view_rank1(parts, walks) == pytest.approx(rank1_by_hand(parts, walks))
    holed = parts.copy()
    holed[[2, 9]] = np.nan
    kept = [i for i in range(24) if i not in (2, 9)]
    wanted = rank1_by_hand(parts[kept], [walks[i] for i in kept])
    assert cross_view_rank1(holed, walks) == pytest.approx(wanted)


def test_rank_1_of_nothing_to_compare_is_not_a_number() -> None:
    parts = np.ones((3, 1, 2), np.float32)
    assert math.isnan(cross_view_rank1(parts, [walk("a"), walk("b"), walk("c")]))


# ---- configs --------------------------------------------------------------------------------------


def test_a_recipe_is_named_and_its_keywords_are_known() -> None:
    with pytest.raises(ConfigError, match="recipe: 'encodr' is not a recipe; did you mean 'encoder'"):
        training.check_config({"recipe": "encodr"})
    with pytest.raises(ConfigError, match="recipe: None"):
        training.check_config({})
    with pytest.raises(ConfigError, match=r"did you mean 'modality'.*modality: missing"):
        training.check_config({"recipe": "encoder", "modalty": {}, "data": "x"})
    for key in ("out", "resume", "report"):
        with pytest.raises(ConfigError, match=f"{key}: belongs to a run"):
            training.check_config(
                {"recipe": "encoder", "modality": {"silhouette": {}}, "data": "x", key: "y"}
            )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.stps=3", "schedule.stps: unknown key; did you mean 'steps'"),
        ("schedule.steps=0", "schedule.steps: "),
        ("schedule.people=1", "schedule.people: "),
        ("schedule.lr=0", "schedule.lr: "),
        ("schedule.precision=64-bit", "schedule.precision: "),
        ("augment.flp=1", "augment.flp: unknown key"),
        ("augment.flip=1.5", "augment.flip: "),
        ("modality.silhouette.strips=5", "strips: must be 1, 2, 4, 8 or 16"),
        ("modality.silhouete.width=5", "unknown modality 'silhouete'"),
        ("modality.skeleton_map.width=5", "exactly one modality"),
        ("seed=-1", "seed: "),
        ("dim=0", "dim: "),
    ],
)
def test_what_is_wrong_fails_before_anything_runs(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    config.write(path, {"recipe": "encoder", "modality": {"silhouette": {}}, "data": str(tmp_path)})
    if "silhouete" in override:
        config.write(path, {"recipe": "encoder", "modality": {}, "data": str(tmp_path)})
    with pytest.raises(ConfigError, match=message):
        training.train(path, tmp_path / "run", overrides=[override])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"dpth": 1}, "fusion.dpth: unknown key; did you mean 'depth'"),
        ({"heads": 3}, "3 heads do not divide"),
        ({"tasks": ["agee"]}, "no task 'agee'; did you mean 'age'"),
    ],
)
def test_a_wrong_fusion_fails_before_anything_runs(
    encoders: Path, small_world: Path, tmp_path: Path, fusion: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny.train_fusion(encoders, small_world, tmp_path / "run", fusion=fusion)
    assert not (tmp_path / "run").exists()


# ---- the loop -------------------------------------------------------------------------------------


def loop(out: Path, report: Any = lambda text: None, **changes: Any) -> Loop:
    asked = {
        "steps": 6,
        "validate_every": 2,
        "save_seconds": 0.0,
        "precision": "32-true",
        "lr": 0.1,
        **changes,
    }
    return Loop(out, Schedule(**asked), 3, {"recipe": "test"}, report)


def loss_of(network: nn.Module, step: int) -> dict[str, torch.Tensor]:
    x = torch.randn(8, 2)
    return {"a": (network(x) - x.sum(dim=1, keepdim=True)).square().mean(), "b": network(x).square().mean()}


def rows_of(out: Path) -> list[list[str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_rate_warms_up_and_falls_to_a_hundredth(tmp_path: Path) -> None:
    made = loop(tmp_path, steps=200)
    rates = [made.schedule.rate(step) for step in range(200)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    for step in (10, 77, 150, 199):
        share = (step - 10) / 190
        assert rates[step] == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2, rel=1e-4)
    assert made.schedule.rate(200) == pytest.approx(0.01, rel=1e-3)
    assert loop(tmp_path, steps=1).schedule.rate(0) == 1.0


def test_a_parameter_may_learn_at_its_own_pace(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    made = loop(tmp_path, steps=2)
    made.run(network, loss_of, lambda network: {}, pace=lambda name: 0.0 if name == "0.weight" else 1.0)
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert still == ["0.weight"]
    # and it goes on as it was
    again = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loop(tmp_path, steps=2).run(
        again, loss_of, lambda network: {}, pace=lambda name: 0.0 if name == "0.weight" else 1.0, resume=True
    )
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))


def test_a_run_keeps_what_it_did(tmp_path: Path) -> None:
    said: list[str] = []
    made = loop(tmp_path / "deep" / "run", said.append)
    network = made.run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5})
    assert not network.training
    assert made.validation == {"score": 0.5}
    head, *rows = rows_of(made.out)
    assert head == ["step", "name", "value"]
    assert [row[0] for row in rows if row[1] == "score"] == ["2", "4", "6"]
    assert [row[1] for row in rows if row[0] == "6"] == [
        "a",
        "b",
        "seconds_per_step",
        "walks_per_second",
        "data_wait",
        "score",
    ]
    assert any(line.startswith("step 6/6") and "score 0.5" in line for line in said)
    assert config.read(made.out / "config.yaml") == {"recipe": "test"}
    assert json.loads((made.out / "environment.json").read_text())["seed"] == 3
    assert (made.out / "checkpoint.pt").is_file()
    assert list(made.out.glob("events.out.tfevents*")), "tensorboard is installed here"


def test_a_run_begun_anew_starts_a_new_log_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5})
    whole = [row[:2] for row in rows_of(tmp_path)]
    assert len(whole) == 1 + 3 + 5

    class Stop(Exception):
        pass

    def stop(network: nn.Module) -> dict[str, float]:
        if made.validation:
            raise Stop
        return {"score": 0.5}

    made = loop(tmp_path)
    with pytest.raises(Stop):
        made.run(nn.Linear(2, 1), loss_of, stop)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,lost,0.1\r\n")  # logged after the last checkpoint, and now done again
    loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5}, resume=True)
    assert [row[:2] for row in rows_of(tmp_path)] == whole


def test_resuming_without_a_checkpoint_is_starting(tmp_path: Path) -> None:
    said: list[str] = []
    loop(tmp_path, said.append).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    assert not any("resumed" in line for line in said)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_checkpoint_of_something_else_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"module": Payload(tmp_path / "ran")}, held := io.BytesIO())
    other = nn.Linear(3, 1)
    for content in (b"", b"nothing", held.getvalue()):
        checkpoint.write_bytes(content)
        with pytest.raises(WeightsError, match=r"checkpoint.pt: does not fit this config; start afresh"):
            loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    loop(tmp_path).run(other, lambda m, step: {"a": m(torch.ones(1, 3)).sum()}, lambda network: {})
    with pytest.raises(WeightsError, match="does not fit"):
        loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    assert not (tmp_path / "ran").exists()


def test_the_environment_is_told_with_and_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(4)
    assert told["seed"] == 4
    assert told["torch"] == torch.__version__
    assert len(told["git"]) in (0, 40)

    def no_git(*words: object, **more: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_git)
    assert environment(4)["git"] == ""
    assert environment(4)["git_changes"] is False


def test_without_tensorboard_the_table_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    made = loop(tmp_path, steps=1)
    assert made.folder.writer is None
    made.run(nn.Linear(2, 1), loss_of, lambda network: {"score": 1.0})
    assert rows_of(tmp_path)


# ---- recipes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Path:
    """Both encoders after a few steps, in one folder."""
    out = tmp_path_factory.mktemp("encoders")
    for name in tiny.MODALITIES:
        tiny.train_encoder(name, small_world, out)
    return out


def test_an_encoder_run_leaves_weights_and_a_card_and_can_be_run_again(
    encoders: Path, small_world: Path, tmp_path: Path
) -> None:
    trained = tiny.train_encoder("silhouette", small_world, tmp_path / "first")
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


def test_a_fusion_run_leaves_a_weights_folder(encoders: Path, small_world: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder = tiny.train_fusion(encoders, small_world, tmp_path, report=said.append)
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
    ages = Targets([w for w in WalkFolder(small_world).walks if w.subject < "s5-00004"]).scale["age"]
    scale = model.heads.state_dict()
    assert [float(scale["age.label_mean"]), float(scale["age.label_sd"])] == pytest.approx(ages, rel=1e-5)
    assert any("rank1_silhouette+skeleton_map" in line for line in said)
    card, _ = read_card(ModelCard, folder / "fusion.md")
    assert card.people == 4


def test_encoders_must_fit_each_other(encoders: Path, small_world: Path, tmp_path: Path) -> None:
    tiny.train_encoder("silhouette", small_world, tmp_path, dim=8, schedule={"steps": 1})
    (tmp_path / "skeleton_map.safetensors").write_bytes((encoders / "skeleton_map.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"tokens have different sizes \[8, 16\]; train them with one dim"):
        tiny.train_fusion(tmp_path, small_world, tmp_path / "run")
    with pytest.raises(WeightsError, match="no such weights file"):
        tiny.train_fusion(tmp_path, small_world, tmp_path / "run", modalities=["lidar"])


def test_too_few_people_say_so_before_training(small_world: Path, tmp_path: Path) -> None:
    for people, message in ((5, "6 people are too few to keep 5 out"), (60, "too few to keep 60 out")):
        with pytest.raises(InputError, match=message):
            tiny.train_encoder("silhouette", small_world, tmp_path, validation_people=people)
    with pytest.raises(InputError, match=r"4 people in the training set, but a batch wants 5"):
        tiny.train_encoder("silhouette", small_world, tmp_path, schedule={"people": 5})


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


def test_an_encoder_goes_on_from_given_weights(encoders: Path, small_world: Path, tmp_path: Path) -> None:
    start = encoders / "silhouette.safetensors"
    still = {"lr": 1e-12, "steps": 1}
    out = tiny.train_encoder("silhouette", small_world, tmp_path / "a", start=start, schedule=still)
    before, after = weights.read(start)[0], weights.read(out)[0]
    assert torch.allclose(before["trunk.0.weight"], after["trunk.0.weight"], atol=1e-9)
    settings = {**tiny.MODALITIES["silhouette"], "width": 16}
    with pytest.raises(WeightsError, match="made with"):
        tiny.train_encoder("silhouette", small_world, tmp_path / "b", start=start, settings=settings)


# ---- data with holes ------------------------------------------------------------------------------


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

"""The discriminant fusion: its closed form against brute force, and what training makes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import tiny
import torch
from torch.nn import functional

from gait3dlib import registry
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.fusion.kinds import discriminant
from gait3dlib.fusion.kinds._regress import STRENGTHS, regress
from gait3dlib.fusion.kinds._separate import SHRINK, Fold, dealt, principal, separate, weigh
from gait3dlib.fusion.kinds.discriminant import Discriminant
from gait3dlib.types import GaitSequence, Tokens

TOKENS = {"force": 2, "lidar": 4, "silhouette": 3}
D = 8


def world(people: int, walks: int, seed: int) -> tuple[dict[str, Tokens], torch.Tensor]:
    """Walks whose tokens say who walks in a few directions and something louder in all others.

    "lidar" says nothing at all of who walks.
    """
    fixed, draw = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    who = torch.arange(people).repeat_interleave(walks)
    made = {}
    for name, n in TOKENS.items():
        person = torch.randn(people, 6, generator=draw)[who] @ torch.randn(6, n * D, generator=fixed)
        loud = torch.randn(len(who), 8, generator=draw) @ torch.randn(8, n * D, generator=fixed)
        told = person * (name != "lidar") + 2 * loud + 0.5 * torch.randn(len(who), n * D, generator=draw)
        real = torch.rand(len(who), n, generator=draw) < 0.9
        real[:, 0] = True
        made[name] = Tokens(4 + told.view(-1, n, D), real, torch.linspace(1, 0, n), torch.zeros(real.shape))
    return made, who


def fusion(**changes: Any) -> Discriminant:
    asked = {"dim": D, "heads": 2, "part_dim": 30, "modalities": list(TOKENS), "tokens": TOKENS, **changes}
    torch.manual_seed(0)
    made = weights.make_fusion({"kind": "discriminant", **asked})
    assert isinstance(made, Discriminant)
    return made.eval()


def everybody(who: torch.Tensor) -> torch.Tensor:
    return ~torch.eye(len(who), dtype=torch.bool)


def unlabelled(who: torch.Tensor) -> torch.Tensor:
    return torch.full((len(who), 3), torch.nan)


@torch.inference_mode()
def embedded(made: Discriminant, held: dict[str, Tokens]) -> torch.Tensor:
    return functional.normalize(made(held)[0], dim=2)


def rank1(made: Discriminant, held: dict[str, Tokens], who: torch.Tensor) -> float:
    score = torch.einsum("apd,bpd->ab", *[embedded(made, held)] * 2).fill_diagonal_(-torch.inf)
    return float((who[score.argmax(dim=1)] == who).float().mean())


# ---- the closed form ------------------------------------------------------------------------------


def test_directions_solve_the_generalised_eigenproblem() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([3, 5, 2, 4, 6, 1, 4, 3, 5, 4])
    who = np.repeat(np.arange(10), counts)
    rows = rng.normal(size=(10, 7))[who] * np.arange(7) + rng.normal(size=(len(who), 7))
    means = np.stack([rows[who == p].mean(axis=0) for p in range(10)])
    within = sum((rows[i] - means[p])[:, None] * (rows[i] - means[p]) for i, p in enumerate(who))
    within = within / (counts - 1).sum()
    between = np.cov(means.T) - within * (1 / counts).mean()
    shrunk = (1 - SHRINK) * within + SHRINK * np.trace(within) / 7 * np.eye(7)
    values, vectors = scipy.linalg.eigh(between, shrunk)
    wanted = (values > 0).sum()
    got, ratios = separate(torch.from_numpy(rows), torch.from_numpy(who))
    np.testing.assert_allclose(ratios, values[::-1][:wanted], rtol=1e-8)
    scaled = vectors[:, ::-1][:, :wanted] * np.sqrt(ratios.numpy() / (1 + ratios.numpy()))
    np.testing.assert_allclose(got @ got.T, scaled @ scaled.T, atol=1e-8)


def test_a_walk_seen_twice_alike_is_one_walk() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, who = torch.randn(24, 5, generator=generator).double(), torch.arange(6).repeat_interleave(4)
    once, twice = separate(rows, who), separate(rows.repeat(3, 1), who.repeat(3), copies=3)
    torch.testing.assert_close(once[1], twice[1])
    torch.testing.assert_close(once[0] @ once[0].T, twice[0] @ twice[0].T)


def test_who_cannot_be_told_apart() -> None:
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    for who in (torch.arange(6), torch.zeros(6, dtype=torch.long)):
        directions, ratios = separate(rows, who)
        assert directions.shape == (4, 0)
        assert ratios.shape == (0,)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_principal_axes_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    rows = rows - rows.mean(dim=0)
    axes, scores = principal(rows, rank=5)
    _, sizes, wanted = torch.linalg.svd(rows, full_matrices=False)
    torch.testing.assert_close(axes @ axes.T, wanted[:5].T @ wanted[:5])
    torch.testing.assert_close(scores.norm(dim=0), sizes[:5])
    assert principal(rows)[0].shape[1] == min(shape[0] - 1, shape[1]), "axes without variance are left out"


def test_directions_are_dealt_to_and_fro() -> None:
    made = dealt(torch.arange(1.0, 8.0)[None], parts=3, width=3)
    assert made[0].tolist() == [[1, 6, 7], [2, 5, 0], [3, 4, 0]]
    assert dealt(torch.arange(1.0, 8.0)[None], parts=1, width=4)[0].tolist() == [[1, 2, 3, 4]]


def test_who_says_more_is_trusted_more() -> None:
    generator = torch.Generator().manual_seed(0)
    who = torch.arange(20).repeat_interleave(5)
    person = functional.normalize(torch.randn(20, 16, generator=generator), dim=1)[who]

    def block(noise: float) -> torch.Tensor:
        return functional.normalize(person + noise * torch.randn(100, 16, generator=generator), dim=1)

    nothing = functional.normalize(torch.randn(100, 16, generator=generator), dim=1)
    blocks = torch.stack([block(0.2), block(0.4), nothing])
    there = torch.ones(3, 100, dtype=torch.bool)
    there[0, ::7] = False
    trust = weigh([Fold(blocks, there, who, everybody(who))])
    assert trust[0] > trust[1] > trust[2]
    assert trust.softmax(dim=0)[2] < 1 / 6, "half of an even share"
    assert trust.sum() == pytest.approx(0, abs=1e-5)
    swapped = weigh([Fold(blocks[[2, 0, 1]], there[[2, 0, 1]], who, everybody(who))])
    torch.testing.assert_close(swapped, trust[[2, 0, 1]], rtol=1e-3, atol=1e-3)
    alone = torch.arange(100)
    assert weigh([Fold(blocks, there, alone, everybody(alone))]).tolist() == [0, 0, 0]


# ---- the kind -------------------------------------------------------------------------------------


def test_strangers_are_told_apart_better_than_before() -> None:
    known, who = world(60, 8, seed=1)
    strangers, whose = world(40, 6, seed=2)
    made = fusion()
    before = rank1(made, strangers, whose)
    found = made.fit([known], who, everybody(who), unlabelled(who))
    assert before < 0.2
    assert rank1(made, strangers, whose) > 0.6
    assert found["ratio1_silhouette"] > 5 * found["ratio1_lidar"]
    trust = {name: float(made.trust[name]) for name in TOKENS}
    assert min(trust, key=trust.__getitem__) == "lidar"
    assert not any(p.requires_grad for p in (*made.part.parameters(), *made.trust.parameters()))


def test_trust_is_chosen_on_walks_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminant, "MOST_WEIGHED", 80)
    known, who = world(80, 6, seed=1)
    late = (who >= 40)[:, None]  # those who come first have silhouettes alone
    held = {
        name: dataclasses.replace(tokens, real=tokens.real & (late | (name == "silhouette")))
        for name, tokens in known.items()
    }
    found = fusion().fit([held], who, everybody(who), unlabelled(who))
    assert found["trust_force"] > found["trust_lidar"] + 1, "lidar says nothing of who walks"


def test_a_template_is_the_weighted_sum_of_cosines_of_what_both_walks_have() -> None:
    known, who = world(30, 5, seed=1)
    made = fusion(parts=2)
    made.fit([known], who, everybody(who), unlabelled(who))
    gone = torch.zeros(len(who), 1, dtype=torch.bool)
    gone[::2] = True
    force = known["force"]
    some = known | {"force": Tokens(force.values, force.real & ~gone, force.height, force.t_s)}
    together = embedded(made, some)
    weight = made(some)[2]
    wanted = torch.zeros(len(who), len(who))
    for name in TOKENS:
        blocks = embedded(made, {name: known[name]})
        cosine = torch.einsum("apd,bpd->ab", blocks, blocks) / 2
        root = weight[name].detach().sqrt()
        wanted += root[:, None] * cosine * root
    torch.testing.assert_close(torch.einsum("apd,bpd->ab", together, together) / 2, wanted, rtol=0, atol=1e-5)
    assert (weight["force"][::2] == 0).all()


def test_a_token_without_evidence_counts_as_the_mean() -> None:
    known, who = world(30, 5, seed=1)
    made = fusion()
    made.fit([known], who, everybody(who), unlabelled(who))
    held = known["silhouette"]
    mean = made.centre("silhouette").view(3, D)
    said = functional.normalize(held.values, dim=2)
    for token in range(3):
        torch.testing.assert_close(mean[token], said[held.real[:, token], token].mean(dim=0))
    missing = Tokens(
        held.values, torch.tensor([True, True, False]).expand(len(who), 3), held.height, held.t_s
    )
    filled = said.clone()
    filled[:, 2] = mean[2]
    wanted = functional.normalize((filled - mean).flatten(1) @ made.part["silhouette"], dim=1)
    torch.testing.assert_close(made({"silhouette": missing})[0][:, 0, 20:], wanted, rtol=1e-4, atol=1e-5)


def test_people_who_walked_once_and_what_nobody_has_leave_the_start() -> None:
    known, _ = world(20, 1, seed=1)
    made, fresh = fusion(), fusion()
    found = made.fit([known], torch.arange(20), everybody(torch.arange(20)), unlabelled(torch.arange(20)))
    assert set(found.values()) == {0.0}
    assert all(name.startswith("told_") for name in found)
    for name in TOKENS:
        assert torch.equal(made.part[name], fresh.part[name])
    known, who = world(20, 4, seed=1)
    assert not any(
        "lidar" in name
        for name in made.fit([{"force": known["force"]}], who, everybody(who), unlabelled(who))
    )


def test_a_label_is_told_of_strangers_by_whoever_sees_it() -> None:
    (known, who), (strangers, _) = world(60, 8, seed=1), world(40, 6, seed=2)
    first = functional.normalize(torch.randn(3 * D, generator=torch.Generator().manual_seed(5)), dim=0)

    def labels(held: dict[str, Tokens]) -> torch.Tensor:
        seen = functional.normalize(held["silhouette"].values, dim=2) * held["silhouette"].real[..., None]
        return 10 * (seen.flatten(1) @ first)

    mean, sd = labels(known).mean(), labels(known).std()
    gender = torch.randn(60, generator=torch.Generator().manual_seed(6)).sign()[who]
    asked = torch.stack([(labels(known) - mean) / sd, torch.full((len(who),), torch.nan), gender], dim=1)
    made = fusion()
    found = made.fit([known], who, everybody(who), asked)
    assert found["told_age_silhouette"] > 0.9
    assert found["told_bmi_silhouette"] == 0, "nobody's is known"
    assert found["told_gender_silhouette"] < 0.2, "there is nothing to be seen of it"
    said = made(strangers)[1]["age"][:, 0].detach()
    wanted = (labels(strangers) - mean) / sd
    assert float(torch.corrcoef(torch.stack([said, wanted]))[0, 1]) > 0.9
    alone = made({name: strangers[name] for name in ("silhouette", "lidar")})[1]["age"][:, 0]
    assert (alone - said).abs().max() < 1, "who is less sure counts for less"


def test_ridge_regression_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(400, 6, generator=generator).double()
    truth = torch.tensor([1.0, -2, 0, 0, 3, 0]).double()
    noisy = rows @ truth + torch.randn(400, generator=generator).double()
    label = torch.stack([noisy, torch.randn(400, generator=generator).double() + 5], dim=1)
    label[::3, 0] = torch.nan
    weights_of, sure = regress(rows, label, torch.arange(400) % 2)
    known = ~label[:, 0].isnan()
    x, y = rows[known], label[known, 0]
    gram = x.T @ x
    wanted = [
        torch.linalg.solve(gram + strength * gram.diagonal().mean() * torch.eye(6), x.T @ y)
        for strength in STRENGTHS
    ]
    torch.testing.assert_close(weights_of[:, 0], wanted[0])
    assert sure[0] == pytest.approx(1 / 1.0, rel=0.2), "the noise has variance 1"
    few, nothing = regress(rows[:12], label[:12], torch.arange(12) % 2)
    assert few.abs().sum() == nothing.sum() == 0


def test_what_it_must_be_told() -> None:
    with pytest.raises(ConfigError, match=r"fusion\.tokens: must say how many tokens a walk has of 'lidar'"):
        fusion(tokens={"force": 2, "silhouette": 3})
    with pytest.raises(ConfigError, match="2 numbers cannot be shared by 3 modalities"):
        fusion(part_dim=2)
    with pytest.raises(ConfigError, match=r"fusion\.tokens\.lidar: walks have 4 tokens of it, not 5"):
        fusion(tokens={**TOKENS, "lidar": 5})(world(2, 2, seed=0)[0])


@pytest.mark.parametrize("name", registry.names("modality"))
def test_tokens_are_counted_as_encoders_make_them(name: str, strolls: list[GaitSequence]) -> None:
    modality = weights.make_modality(name)
    sample = next(s for s in map(modality.sample, strolls) if s is not None)
    with torch.inference_mode():
        held = modality.encoder(16).eval()(modality.collate([sample]))
    shape = weights.sized({name: {}}, {"kind": "discriminant", "dim": 16})
    assert shape["tokens"] == {name: held.values.shape[1]}


# ---- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("finetune", [False, True])
def test_a_run_fits_it_and_loads_again(finetune: bool, small_world: Path, tmp_path: Path) -> None:
    for name in tiny.MODALITIES:
        tiny.train_encoder(name, small_world, tmp_path / "encoders")
    said: list[str] = []
    asked: dict[str, Any] = {"fusion": {"kind": "discriminant"}, "finetune": finetune}
    folder = tiny.train_fusion(
        tmp_path / "encoders", small_world, tmp_path / "run", report=said.append, **asked
    )
    assert "fitted to 16 walks of 4 people" in said
    model, info = weights.load(folder, sorted(tiny.MODALITIES))
    assert info["config"]["tokens"] == {"silhouette": 4, "skeleton_map": 4}
    start = weights.untrained(info["modalities"], info["config"]).fusion
    assert isinstance(model.fusion, Discriminant)
    for name, part in model.fusion.part.items():
        assert not torch.equal(part, start.part[name])  # type: ignore[index]
    fitted = next(line for line in said if "ratio1_silhouette" in line)
    figures = dict(zip(fitted.split()[::2], map(float, fitted.split()[1::2]), strict=True))
    if not finetune:  # identity has not moved since it was fitted
        last = [line.split(",") for line in (tmp_path / "run/metrics.csv").read_text().split()]
        final = {name: float(value) for _, name, value in last[1:] if name.startswith("rank1_")}
        assert final == {name: pytest.approx(figures[name], abs=1e-4) for name in final}
        assert len(final) == 3

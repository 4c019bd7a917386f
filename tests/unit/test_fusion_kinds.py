"""Every kind of fusion: the laws of one interface, and what is particular to each."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from gait3dlib import registry
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.fusion.kinds._base import FusionKind
from gait3dlib.fusion.losses import batch_all_triplet, gaussian_nll, masked_bce
from gait3dlib.fusion.model import GaitModel
from gait3dlib.types import Outputs, Tokens

KINDS = registry.names("fusion")
NAMES = ["depth", "force", "lidar", "mesh", "silhouette", "skeleton_map"]
COUNTS = dict(zip(NAMES, (8, 2, 16, 1, 8, 8), strict=True))
B, D = 4, 16


def fusion(kind: str, *, seed: int = 0, moved: bool = True, **changes: Any) -> FusionKind:
    """A small one in eval mode, every parameter moved off its start: a gate of 0 hides what is behind it."""
    asked = {"kind": kind, "dim": D, "parts": 3, "part_dim": 12, "modalities": NAMES, **changes}
    if "heads" in weights.resolved_fusion({"kind": kind}):
        asked = {"heads": 2, **asked}
    if kind == "discriminant":
        asked = {"tokens": COUNTS, **asked}
    torch.manual_seed(seed)
    made = weights.make_fusion(asked).eval()
    if moved:
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return made


def model(kind: str, **changes: Any) -> GaitModel:
    made = GaitModel({}, fusion(kind, **changes))
    made.modalities = dict.fromkeys(NAMES)  # type: ignore[arg-type] # only their names are asked for
    return made.eval()


def tokens(name: str, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed + NAMES.index(name))
    n = COUNTS[name]
    real = torch.rand(B, n, generator=generator) < 0.8
    real[:, 0] = True
    height = torch.linspace(1, 0, n) if n > 2 else torch.full((n,), torch.nan)
    return Tokens(
        torch.randn(B, n, D, generator=generator), real, height, torch.rand(B, n, generator=generator)
    )


def everything(seed: int = 0) -> dict[str, Tokens]:
    return {name: tokens(name, seed) for name in NAMES}


def without(held: Tokens, rows: torch.Tensor) -> Tokens:
    """Not there in those walks; what stands there instead is garbage."""
    values = held.values.clone()
    values[rows] = torch.nan
    return Tokens(values, held.real & ~rows[:, None], held.height, held.t_s)


def close(a: Outputs, b: Outputs, rows: slice | list[int] = slice(None)) -> None:
    for name, value in vars(a).items():
        torch.testing.assert_close(value, getattr(b, name)[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_absence_is_absence_whatever_stands_there(kind: str) -> None:
    made, whole = model(kind), everything()
    nobody = torch.ones(B, dtype=torch.bool)
    with torch.inference_mode():
        full = made.fuse(whole)
        assert full.weights is not None
        torch.testing.assert_close(full.weights.sum(dim=1), torch.ones(B))
        assert full.embedding.shape == (B, 3, 12)
        for name in NAMES:
            others = {n: t for n, t in whole.items() if n != name}
            dropped = made.fuse(others)
            close(dropped, made.fuse({**others, name: without(whole[name], nobody)}))
            assert not torch.allclose(full.embedding, dropped.embedding, atol=1e-4), "it mattered"
            assert dropped.weights is not None
            assert (dropped.weights[:, NAMES.index(name)] == 0).all()
            some = torch.tensor([True, False, True, False])
            mixed = made.fuse({**others, name: without(whole[name], some)})
            for row in range(B):
                wanted = dropped if some[row] else full
                close(Outputs(**{k: v[row] for k, v in vars(mixed).items()}), wanted, row)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_order_changes_nothing_and_every_subset_has_an_answer(kind: str) -> None:
    made, whole = model(kind), everything()
    with torch.inference_mode():
        wanted = made.fuse(whole)
        close(made.fuse(dict(reversed(whole.items()))), wanted)
        for size in range(1, 7):
            for subset in itertools.combinations(NAMES, size):
                outputs = made.fuse({name: whole[name] for name in subset})
                assert all(value.isfinite().all() for value in vars(outputs).values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_task_gives_exactly_no_gradient_and_none_is_nan(kind: str) -> None:
    made = model(kind)
    made.train()
    whole = everything()
    whole["lidar"] = without(whole["lidar"], torch.tensor([True, False, False, True]))
    people = torch.tensor([0, 0, 1, 1])
    unknown, known = torch.zeros(B, dtype=torch.bool), torch.ones(B, dtype=torch.bool)
    outputs = made.fuse(whole)
    assert outputs.age_years is not None
    assert outputs.bmi_kg_m2 is not None
    assert outputs.gender_logits is not None
    nothing = gaussian_nll(outputs.age_years, torch.full((B,), torch.nan), unknown)
    nothing = nothing + masked_bce(outputs.gender_logits, torch.full((B,), torch.nan), unknown)
    nothing.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    for name, parameter in made.named_parameters():
        assert parameter.grad is None or (parameter.grad == 0).all(), name
    some = gaussian_nll(outputs.bmi_kg_m2, torch.full((B,), 22.0), known)
    (some + batch_all_triplet(outputs.embedding, people)).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())
    assert (made.heads["age"].linear.weight.grad == 0).all()  # type: ignore[union-attr]
    assert made.heads["bmi"].linear.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


# ---- identity is protected ------------------------------------------------------------------------

IDENTITY = ("part", "gate", "attend", "trust", "focus", "turn", "weigh", "pool")


def attribute_gradients(
    kind: str, **changes: Any
) -> tuple[dict[str, torch.Tensor | None], list[torch.Tensor]]:
    """Of parameters, and of tokens, of a loss of age, BMI and gender alone."""
    made = model(kind, **changes).train()
    whole = everything()
    for held in whole.values():
        held.values.requires_grad_()
    outputs = made.fuse(whole)
    assert outputs.age_years is not None
    assert outputs.bmi_kg_m2 is not None
    assert outputs.gender_logits is not None
    loss = (
        outputs.age_years.square().mean() + outputs.bmi_kg_m2.square().mean() + outputs.gender_logits.mean()
    )
    loss.backward()  # type: ignore[no-untyped-call]
    reached = [held.values.grad for held in whole.values() if held.values.grad is not None]
    return {name: p.grad for name, p in made.fusion.named_parameters()}, reached


@pytest.mark.parametrize(
    ("kind", "changes"), [(k, {"protect": True} if k == "transformer" else {}) for k in KINDS]
)
def test_attributes_do_not_reach_identity_nor_the_encoders(kind: str, changes: dict[str, Any]) -> None:
    gradients, of_tokens = attribute_gradients(kind, **changes)
    assert all((gradient == 0).all() for gradient in of_tokens)
    path = {n: g for n, g in gradients.items() if n.split(".")[0] in IDENTITY}
    assert path
    for name, gradient in path.items():
        assert gradient is None or (gradient == 0).all(), name
    assert any(g is not None and g.abs().sum() > 0 for g in gradients.values()), "attributes do learn"


def test_only_the_gates_lead_from_the_transformer_to_identity() -> None:
    made = fusion("transformer", protect=True)
    whole = everything()
    with torch.no_grad():
        made.gate.zero_()  # type: ignore[operator]
        made.attend.zero_()  # type: ignore[operator]
        wanted, tasks, _ = made(whole)
        for name, parameter in made.named_parameters():
            if name.split(".")[0] not in IDENTITY:
                parameter.add_(torch.randn(parameter.shape))
        got, others, _ = made(whole)
        assert torch.equal(got, wanted)
        assert not torch.allclose(tasks["age"], others["age"])
        made.attend.fill_(0.5)  # type: ignore[operator]
        assert not torch.allclose(made(whole)[0], wanted, atol=1e-4)


# ---- what is left out in training -----------------------------------------------------------------


def test_every_size_of_subset_is_left_as_often() -> None:
    made = fusion("transformer", modality_dropout=1.0, modality_dropout_by="count", token_dropout=0.0).train()
    real = {name: torch.ones(3000, 2, dtype=torch.bool) for name in NAMES}
    real["mesh"][:1000] = False
    torch.manual_seed(0)
    kept = torch.stack([held.any(dim=1) for held in made.thin(real).values()], dim=1)
    assert not kept[:1000, NAMES.index("mesh")].any()
    for rows, most in ((kept[:1000], 5), (kept[1000:], 6)):
        shares = np.bincount(rows.sum(dim=1).numpy(), minlength=7)[1 : most + 1] / len(rows)
        np.testing.assert_allclose(shares, 1 / most, atol=0.05)
    sets = {tuple(row) for row in kept[1000:].tolist()}
    assert len(sets) == 63, "all combinations come up"
    alone = kept[1000:][kept[1000:].sum(dim=1) == 1].float().mean(dim=0)
    np.testing.assert_allclose(alone, 1 / 6, atol=0.07)


# ---- what is particular ---------------------------------------------------------------------------


def test_late_scores_are_the_weighted_sum_of_each_modalitys_cosine() -> None:
    made = fusion("late_score")
    one, two = everything(0), everything(50)
    with torch.inference_mode():
        together = [functional.normalize(made(walk)[0], dim=2) for walk in (one, two)]
        got = (together[0] * together[1]).sum(dim=2)
        alone = []
        for name in NAMES:
            pair = [functional.normalize(made({name: walk[name]})[0], dim=2) for walk in (one, two)]
            alone.append((pair[0] * pair[1]).sum(dim=2))
        trust = torch.stack([made.trust[name] for name in NAMES]).softmax(dim=0)  # type: ignore[index, union-attr]
        wanted = torch.einsum("m,mbp->bp", trust, torch.stack(alone))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_at_the_start_the_transformer_the_sum_and_cross_attention_turn_no_angle() -> None:
    held = {"silhouette": tokens("silhouette")}
    for kind in ("transformer", "gated_sum", "cross_attention", "concatenation", "shared_trunk"):
        made = fusion(
            kind, moved=False, parts=8, part_dim=D, **({"protect": True} if kind == "transformer" else {})
        )
        focus = made.focus if kind == "transformer" else made.pool.focus  # type: ignore[union-attr]
        focus.data.fill_(1e4)  # type: ignore[union-attr, operator]
        full = Tokens(
            held["silhouette"].values,
            torch.ones(B, 8, dtype=torch.bool),
            tokens("depth").height,
            held["silhouette"].t_s,
        )
        at_parts = Tokens(full.values, full.real, made_heights(8), full.t_s)
        parts = functional.normalize(made({"silhouette": at_parts})[0], dim=2)
        said = functional.normalize(full.values, dim=2)
        cosines = [torch.einsum("apd,bpd->abp", x, x) for x in (parts, said)]
        torch.testing.assert_close(cosines[0], cosines[1], rtol=1e-4, atol=1e-4)


def made_heights(parts: int) -> torch.Tensor:
    return 1 - (torch.arange(parts) + 0.5) / parts


def test_in_one_space_a_modality_alone_is_what_it_is_among_others() -> None:
    made = fusion("shared_trunk")
    whole = everything()
    whole["lidar"] = without(whole["lidar"], torch.tensor([False, True, False, False]))
    with torch.inference_mode():
        each = made.each(whole)
        for name, (parts, there) in each.items():
            assert there.tolist() == [name != "lidar" or row != 1 for row in range(B)]
            alone = functional.normalize(made({name: whole[name]})[0], dim=2)
            torch.testing.assert_close(parts[there], alone[there], rtol=1e-5, atol=1e-5)
    with pytest.raises(NotImplementedError):
        fusion("late_score").each(whole)


def test_a_shared_trunk_learns_one_metric_space() -> None:
    """Two modalities that say the same in different words: after a while one finds the other's people."""
    generator = torch.Generator().manual_seed(0)
    words = torch.linalg.qr(torch.randn(D, D, generator=generator))[0]
    made = fusion("shared_trunk", moved=False, dropout=0.0, modality_dropout=0.0, token_dropout=0.0, depth=0)
    people = torch.arange(12).repeat_interleave(4)

    def walks(seed: int, base: torch.Tensor) -> dict[str, Tokens]:
        draw = torch.Generator().manual_seed(seed)
        real, t_s = torch.ones(48, 8, dtype=torch.bool), torch.zeros(48, 8)
        noisy = [base[people] + 0.3 * torch.randn(48, 8, D, generator=draw) for _ in range(2)]
        return {
            "lidar": Tokens(noisy[0], real, made_heights(8), t_s),
            "silhouette": Tokens(noisy[1] @ words, real, made_heights(8), t_s),
        }

    def found(held: dict[str, Tokens]) -> float:
        with torch.inference_mode():
            each = made.eval().each(held)
        probe, gallery = each["lidar"][0].flatten(1), each["silhouette"][0].flatten(1)
        return float((people[(probe @ gallery.T).argmax(dim=1)] == people).float().mean())

    strangers = walks(1000, torch.randn(12, 8, D, generator=torch.Generator().manual_seed(77)))
    before = found(strangers)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.01)
    for step in range(80):
        base = torch.randn(12, 8, D, generator=torch.Generator().manual_seed(100 + step))
        each = made.train().each(walks(step, base))
        every = torch.cat([parts for parts, _ in each.values()])
        loss = batch_all_triplet(every, people.repeat(2), margin=0.5)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert before < 0.4
    assert found(strangers) > 0.8


def test_what_no_kind_can_be() -> None:
    with pytest.raises(ConfigError, match="unknown fusion 'transfomer'; did you mean 'transformer'"):
        weights.make_fusion({"kind": "transfomer"})
    with pytest.raises(ConfigError, match=r"fusion\.depth: unknown key"):
        weights.make_fusion({"kind": "gated_sum", "depth": 2})
    with pytest.raises(ConfigError, match="1 numbers cannot be shared by 2 modalities"):
        weights.make_fusion({"kind": "late_score", "part_dim": 1})
    for kind in ("cross_attention", "shared_trunk", "transformer"):
        with pytest.raises(ConfigError, match="3 heads do not divide"):
            weights.make_fusion({"kind": kind, "dim": 16, "heads": 3})

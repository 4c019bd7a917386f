"""The network: attention, masks, places, dropout of modalities, heads, and what an untrained one refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny
import torch

from gait3dlib.errors import ConfigError, NoEvidence
from gait3dlib.fusion import weights
from gait3dlib.fusion.kinds._attention import Attention
from gait3dlib.fusion.kinds.transformer import Transformer
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.modalities import Batch
from gait3dlib.modalities._strips import ResidualBlock, StripEncoder
from gait3dlib.types import Tokens

B, N, D = 3, 5, 16


def fusion(**changes: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(**{**tiny.FUSION, "modalities": ["a", "b"], **changes}).eval()


def tokens(seed: int = 0, *, n: int = N, height: torch.Tensor | None = None) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(B, n, D, generator=generator)
    real = torch.ones(B, n, dtype=torch.bool)
    place = torch.linspace(1, 0, n) if height is None else height
    return Tokens(values, real, place, torch.rand(B, n, generator=generator))


# ---- attention ------------------------------------------------------------------------------------


def test_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    ours = Attention(D, 4, 0.0).double()
    theirs = torch.nn.MultiheadAttention(D, 4, batch_first=True, dtype=torch.float64)
    state = {
        "in_proj_weight": torch.cat([ours.query.weight, ours.key_value.weight]),
        "in_proj_bias": torch.cat([ours.query.bias, ours.key_value.bias]),
        "out_proj.weight": ours.out.weight,
        "out_proj.bias": ours.out.bias,
    }
    theirs.load_state_dict(state)
    queries, values = torch.randn(B, 2, D).double(), torch.randn(B, N, D).double()
    real = torch.rand(B, N) < 0.6
    real[:, 0] = True
    for got, wanted in zip(
        ours(queries, values, real), theirs(queries, values, values, key_padding_mask=~real), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_masked_tokens_have_no_weight_and_no_influence() -> None:
    attention = Attention(D, 2, 0.0)
    queries, values = torch.randn(B, 2, D), torch.randn(B, N, D)
    real = torch.tensor([True, False, True, True, False]).expand(B, N)
    answer, weight = attention(queries, values, real)
    assert (weight[:, :, ~real[0]] == 0).all()
    torch.testing.assert_close(weight.sum(dim=2), torch.ones(B, 2))
    other = values.masked_fill(~real[..., None], 1e4)
    assert torch.equal(attention(queries, other, real)[0], answer)
    alone, _ = attention(queries, values[:, real[0]], torch.ones(B, 3, dtype=torch.bool))
    torch.testing.assert_close(alone, answer)


# ---- fusion ---------------------------------------------------------------------------------------


def test_the_fusion_gives_parts_tasks_and_shares() -> None:
    model = fusion(parts=3, part_dim=5, tasks=["gender", "age"])
    parts, tasks, shares = model({"a": tokens(0), "b": tokens(1, n=2)})
    assert parts.shape == (B, 3, 5)
    assert {name: tuple(value.shape) for name, value in tasks.items()} == {"gender": (B, D), "age": (B, D)}
    torch.testing.assert_close(shares["a"] + shares["b"], torch.ones(B))
    assert (shares["a"] > 0).all()


def test_identity_starts_as_what_the_encoders_say() -> None:
    model, held = fusion(parts=2, part_dim=D), tokens(0, n=2, height=torch.tensor([0.75, 0.25]))
    model.focus.data.fill_(1e3)  # each part looks at the token of its own height, and at no other
    parts, _, _ = model({"a": held})
    said = torch.nn.functional.normalize(held.values, dim=2)
    wanted = torch.einsum("apd,bpd->abp", said, said)
    torch.testing.assert_close(torch.einsum("apd,bpd->abp", parts, parts), wanted, rtol=1e-5, atol=1e-5)


def test_trust_moves_identity_towards_a_modality_and_nothing_else() -> None:
    model = fusion(tasks=["age"])
    parts, tasks, shares = model({"a": tokens(0), "b": tokens(1)})
    alone = model({"a": tokens(0)})[0]
    model.trust["a"].data.fill_(2.0)
    more_parts, more_tasks, more_shares = model({"a": tokens(0), "b": tokens(1)})
    assert (more_shares["a"] > shares["a"] + 0.1).all()
    torch.testing.assert_close(more_tasks["age"], tasks["age"])
    closer = torch.nn.functional.cosine_similarity(more_parts, alone, dim=2)
    assert (closer > torch.nn.functional.cosine_similarity(parts, alone, dim=2)).all()
    torch.testing.assert_close(model({"a": tokens(0)})[0], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [0, 2])
def test_where_and_when_a_token_was_matters_and_its_place_in_the_list_does_not(depth: int) -> None:
    model, held = fusion(depth=depth), tokens()
    parts, _, _ = model({"a": held})
    order = torch.randperm(N)
    moved = Tokens(held.values[:, order], held.real[:, order], held.height[order], held.t_s[:, order])
    torch.testing.assert_close(model({"a": moved})[0], parts, rtol=1e-5, atol=1e-6)
    for other in (
        Tokens(held.values, held.real, held.height.flip(0), held.t_s),
        Tokens(held.values, held.real, held.height, held.t_s.flip(1)),
        Tokens(held.values[:, order], held.real, held.height, held.t_s),
    ):
        assert not torch.allclose(model({"a": other})[0], parts, rtol=1e-3)
    assert not torch.allclose(model({"b": held})[0], parts, rtol=1e-3), "what a token is matters"


def test_the_clock_starts_with_the_evidence_that_is_left() -> None:
    model, one, two = fusion(), tokens(0), tokens(1)
    late = Tokens(two.values, two.real, two.height, two.t_s + 7.0)
    parts, _, _ = model({"a": one, "b": late})
    both_later = [Tokens(t.values, t.real, t.height, t.t_s + 100.0) for t in (one, late)]
    shifted, _, _ = model(dict(zip("ab", both_later, strict=True)))
    torch.testing.assert_close(shifted, parts, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model({"a": one, "b": two})[0], parts, rtol=1e-3), (
        "when b began matters beside a"
    )
    torch.testing.assert_close(model({"b": late})[0], model({"b": two})[0], rtol=1e-4, atol=1e-5)
    nobody = Tokens(one.values, torch.zeros_like(one.real), one.height, one.t_s - 50.0)
    torch.testing.assert_close(model({"a": nobody, "b": late})[0], model({"b": two})[0], rtol=1e-4, atol=1e-5)


def test_what_has_no_place_is_nowhere_in_particular() -> None:
    model, held = fusion(), tokens(height=torch.full((N,), torch.nan))
    timeless = Tokens(held.values, held.real, held.height, torch.full((B, N), torch.nan))
    parts, _, _ = model({"a": timeless})
    assert parts.isfinite().all()
    at_zero = Tokens(held.values, held.real, torch.zeros(N), torch.zeros(B, N))
    assert not torch.allclose(model({"a": at_zero})[0], parts, rtol=1e-3), "unknown is not zero"


def test_a_nan_that_is_no_evidence_does_not_spread() -> None:
    model, held = fusion(), tokens()
    real = held.real.clone()
    real[:, 2] = False
    values, height = held.values.clone(), held.height
    wanted = model({"a": Tokens(values, real, height, held.t_s), "b": tokens(1)})[0]
    values[:, 2] = torch.nan
    assert torch.equal(model({"a": Tokens(values, real, height, held.t_s), "b": tokens(1)})[0], wanted)


def test_heads_must_divide_the_tokens() -> None:
    with pytest.raises(ConfigError, match=r"fusion.heads: 3 heads do not divide the 16 numbers"):
        fusion(heads=3)


# ---- what training leaves out ---------------------------------------------------------------------


def thinned(
    model: Transformer, real: dict[str, torch.Tensor], rounds: int = 200
) -> list[dict[str, torch.Tensor]]:
    model.train()
    torch.manual_seed(0)
    return [model.thin(real) for _ in range(rounds)]


def test_leaving_out_never_leaves_a_walk_with_nothing() -> None:
    real = {
        "a": torch.tensor([[True] * 4, [False] * 4, [True, False, False, False], [False] * 4]),
        "b": torch.tensor([[True] * 3, [True] * 3, [False] * 3, [False] * 3]),
    }
    had = torch.stack([r.any(dim=1) for r in real.values()]).any(dim=0)
    for changes in ({"modality_dropout": 1.0, "token_dropout": 1.0}, {"modality_dropout": 0.9}):
        for kept in thinned(fusion(**changes), real):
            has = torch.stack([k.any(dim=1) for k in kept.values()]).any(dim=0)
            assert torch.equal(has, had)
            assert not any((kept[n] & ~real[n]).any() for n in real), "nothing is made up"


def test_modalities_and_tokens_are_left_out_as_often_as_asked() -> None:
    real = {name: torch.ones(50, 8, dtype=torch.bool) for name in "ab"}
    rounds = thinned(fusion(modality_dropout=0.3, token_dropout=0.2), real)
    gone = torch.stack([torch.stack([~kept[n].any(dim=1) for n in "ab"]) for kept in rounds]).float()
    # each is out with 0.3, but never both: half of those 0.09 are rescued
    assert gone.mean(dim=(0, 2)).tolist() == pytest.approx([0.3 - 0.045] * 2, abs=0.015)
    here = [kept[n][kept[n].any(dim=1)] for kept in rounds for n in "ab"]
    assert float(torch.cat(here).float().mean()) == pytest.approx(0.8, abs=0.01)


def test_whole_modalities_stay_together_when_only_they_are_left_out() -> None:
    real = {name: torch.ones(20, 8, dtype=torch.bool) for name in "ab"}
    for kept in thinned(fusion(modality_dropout=0.5, token_dropout=0.0), real, 20):
        assert all((k.all(dim=1) | ~k.any(dim=1)).all() for k in kept.values())


def test_nothing_is_left_out_outside_of_training() -> None:
    real = {"a": torch.ones(4, 4, dtype=torch.bool)}
    model = fusion(modality_dropout=1.0, token_dropout=1.0)
    assert model.thin(real) is real


# ---- the whole model ------------------------------------------------------------------------------


def batch(model: GaitModel, name: str, lengths: list[int], seed: int = 0) -> Batch:
    channels = {"silhouette": 1, "skeleton_map": 2}[name]
    frames = torch.randint(
        256, (len(lengths), 4, channels, 64, 44), generator=torch.Generator().manual_seed(seed)
    )
    return Batch(frames.to(torch.uint8), torch.tensor(lengths), torch.rand(len(lengths), 4))


def test_outputs_are_in_the_units_they_promise() -> None:
    model = tiny.model()
    outputs = model({name: batch(model, name, [4, 2]) for name in tiny.MODALITIES})
    assert outputs.embedding.shape == (2, 2, 8)
    torch.testing.assert_close(outputs.embedding.norm(dim=2), torch.ones(2, 2))
    assert outputs.age_years is not None
    assert outputs.bmi_kg_m2 is not None
    assert outputs.gender_logits is not None
    assert outputs.weights is not None
    assert outputs.age_years.shape == outputs.bmi_kg_m2.shape == (2, 2)
    assert (outputs.age_years[:, 1] > 0).all()
    assert outputs.gender_logits.shape == (2,)
    torch.testing.assert_close(outputs.weights.sum(dim=1), torch.ones(2))


def test_a_model_without_a_task_has_no_answer_to_it() -> None:
    made = weights.untrained({"silhouette": tiny.MODALITIES["silhouette"]}, {**tiny.FUSION, "tasks": ["age"]})
    outputs = made({"silhouette": batch(made, "silhouette", [2])})
    assert outputs.bmi_kg_m2 is None
    assert outputs.gender_logits is None
    assert outputs.age_years is not None


def test_what_no_model_can_be() -> None:
    with pytest.raises(ConfigError, match="fusion was built without 'silhouette'; did you mean"):
        weights.untrained({"silhouette": {}}, {"modalities": ["silhouettes"]})
    with pytest.raises(ConfigError, match=r"fusion.tasks: there is no task 'agee'; did you mean 'age'"):
        weights.untrained({"silhouette": {}}, {"tasks": ["agee"]})
    with pytest.raises(ConfigError, match=r"strips: must be 1, 2, 4, 8 or 16, not 5"):
        weights.untrained({"silhouette": {"strips": 5}})


def test_no_evidence_is_an_error_and_so_is_dropping_what_is_not_there() -> None:
    model = tiny.model()
    held = {name: batch(model, name, [3, 0]) for name in tiny.MODALITIES}
    with pytest.raises(NoEvidence, match="chosen: silhouette, skeleton_map"):
        model(held)
    with pytest.raises(NoEvidence):
        model({name: batch(model, name, [3, 1]) for name in tiny.MODALITIES}, drop=tuple(tiny.MODALITIES))
    with pytest.raises(ConfigError, match="cannot drop 'skeleton'; did you mean 'skeleton_map'"):
        model(held, drop=("skeleton",))
    lengths = {"silhouette": [3, 0], "skeleton_map": [0, 2]}
    one_each = {name: batch(model, name, frames) for name, frames in lengths.items()}
    outputs = model(one_each)
    assert outputs.weights is not None
    torch.testing.assert_close(outputs.weights, torch.eye(2))


def test_spreads_are_bounded_and_scaled_to_the_labels() -> None:
    head = Regression(4, 40.0, 10.0)
    with torch.no_grad():
        head.linear.weight.zero_()
        for raw, sd in ((-100.0, math.exp(-4.0)), (0.0, 1.0), (100.0, math.exp(1.5))):
            head.linear.bias.copy_(torch.tensor([0.5, raw]))
            got = head(torch.zeros(1, 4))[0]
            assert got.tolist() == pytest.approx([45.0, 10.0 * sd], rel=1e-5)
    head.rescale(20.0, 2.0)
    assert float(head(torch.zeros(1, 4))[0, 0].detach()) == pytest.approx(21.0)
    assert head.state_dict()["label_mean"] == 20.0, "the scale travels with the weights"


# ---- the strip encoder ----------------------------------------------------------------------------


def test_frames_are_a_set() -> None:
    encoder = StripEncoder(1, D, width=8, strips=4).eval()
    held = batch(tiny.model(("silhouette",)), "silhouette", [4])
    shuffled = Batch(held.frames[:, torch.tensor([2, 0, 3, 1])], held.lengths, held.t_s)
    doubled = Batch(held.frames.repeat(1, 2, 1, 1, 1), held.lengths * 2, held.t_s.repeat(1, 2))
    with torch.inference_mode():
        wanted = encoder(held).values
        for other in (shuffled, doubled):
            torch.testing.assert_close(encoder(other).values, wanted, rtol=1e-4, atol=1e-5)


def test_a_strip_sees_its_own_height() -> None:
    """A change at the feet moves the lowest strip most, and the head's not at all."""
    torch.manual_seed(0)
    encoder = StripEncoder(1, D, width=8, strips=8).eval()
    held = batch(tiny.model(("silhouette",)), "silhouette", [2])
    changed = held.frames.clone()
    changed[:, :, :, 60:] = 255 - changed[:, :, :, 60:]
    with torch.inference_mode():
        before, after = encoder(held), encoder(Batch(changed, held.lengths, held.t_s))
    moved = (after.values - before.values).norm(dim=2)[0]
    assert moved[0] == 0
    assert moved.argmax() == 7
    assert before.height.tolist() == [(7.5 - i) / 8 for i in range(8)], "head first, feet last"


def test_a_residual_block_is_its_formula() -> None:
    torch.manual_seed(0)
    for stride, outputs in ((1, 3), (2, 5)):
        block = ResidualBlock(3, outputs, stride).eval()
        x = torch.randn(2, 3, 8, 6)
        inner = block.body[1](block.body[0](x)).relu()
        wanted = (block.body[4](block.body[3](inner)) + block.skip(x)).relu()
        torch.testing.assert_close(block(x), wanted)
        assert wanted.shape == (2, outputs, 8 // stride, 6 // stride)

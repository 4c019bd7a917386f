"""Weights in eight bits: a quarter as large, nearly the same tokens, and still one set."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open

from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.tokens import encode_walks
from gait3dlib.errors import WeightsError
from gait3dlib.fusion import weights
from gait3dlib.training import shrinking
from gait3dlib.training.shrinking import shrink
from gait3dlib.types import Tokens


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> WalkFolder:
    return WalkFolder(tiny.make_world(tmp_path_factory.mktemp("world"), people=4, walks=3))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shrinking, "FEW", 8)
    monkeypatch.setattr(shrinking, "LARGE", 500)  # the smallest networks have no matrix of 10,000 numbers
    return tiny.save_weights(tmp_path / "whole")


def rows_of(value: torch.Tensor) -> torch.Tensor:
    """What shares a scale ``[rows, n]``."""
    return value.flatten(0, 1) if value.ndim == 3 and len(value) < 8 else value.flatten(1)


def test_shrunk_weights_load_as_one_set_and_differ_by_rounding(
    source: Path, walks: WalkFolder, tmp_path: Path
) -> None:
    shrink(source, tmp_path / "small", walks)
    names = weights.available(source)
    before, _ = weights.load(source, names)
    after, info = weights.load(tmp_path / "small", names)
    held = after.state_dict()
    changed = 0
    for key, value in before.state_dict().items():
        assert held[key].dtype == value.dtype
        if key.endswith("offset"):
            continue  # by which the mean is taken back
        if value.ndim < 2 or value.numel() < 500:
            assert torch.equal(held[key], value)
            continue
        rows = rows_of(value)
        moved = (rows_of(held[key]) - rows).abs().amax(dim=1)
        step = rows.abs().amax(dim=1) / (254 if len(rows) >= 8 else 2**11)
        assert (moved <= step + 1e-7).all(), "half a step of 127, or of half precision"
        changed += int(not torch.equal(held[key], value))
    assert changed
    assert info["trained"] is True
    with safe_open(tmp_path / "small" / "silhouette.safetensors", framework="pt") as file:
        assert file.get_tensor("project").dtype == torch.int8
        assert file.get_tensor("project@scale").shape == file.get_tensor("project").shape[:2]
    with safe_open(tmp_path / "small" / "fusion.safetensors", framework="pt") as file:
        stored = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - not a dict
    large = [t for t in stored if t.ndim > 1 and t.numel() >= 500]
    assert {t.dtype for t in large if len(rows_of(t)) >= 8} == {torch.int8}
    assert all(t.dtype == torch.float16 for t in large if len(rows_of(t)) < 8)
    assert sum(t.dtype == torch.int8 for t in stored) >= 3


def tokens_of(folder: Path, walks: WalkFolder) -> Tokens:
    model, _ = weights.load(folder, ["silhouette"])
    modality = model.modalities["silhouette"]
    samples = walks.prepare("silhouette", tiny.MODALITIES["silhouette"])
    return encode_walks(model.encoders["silhouette"], modality, [s for s in samples if s is not None])


def test_tokens_keep_their_mean_where_features_share_a_large_one(
    walks: WalkFolder, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny.model()
    encoder = made.encoders["silhouette"]
    with torch.no_grad():  # features with a mean a thousand times their spread, which the offset takes away
        encoder.project.add_(0.5)
    middle = encode_walks(
        encoder,
        made.modalities["silhouette"],
        [s for s in walks.prepare("silhouette", tiny.MODALITIES["silhouette"]) if s],
    ).values.mean(dim=0)
    with torch.no_grad():
        encoder.offset.sub_(middle)
    whole = tiny.save_weights(tmp_path / "loud", made=made)
    before = tokens_of(whole, walks)
    shrink(whole, tmp_path / "corrected", walks)
    monkeypatch.setattr(shrinking, "_corrected", lambda *_: {})
    shrink(whole, tmp_path / "plain", walks)
    corrected, plain = (tokens_of(tmp_path / name, walks).values for name in ("corrected", "plain"))
    off = (plain - before.values).mean(dim=0).abs().max()
    left = (corrected - before.values).mean(dim=0).abs().max()
    assert left < 1e-4 < 0.02 * off
    cosine = torch.nn.functional.cosine_similarity(corrected, before.values, dim=2)
    assert cosine.min() > 0.99


def test_a_scale_that_fits_nothing_is_refused(source: Path, tmp_path: Path) -> None:
    tensors, meta = weights.read(source / "silhouette.safetensors")
    for scale in ({"nobody@scale": torch.ones(3)}, {"project@scale": torch.ones(4)}):
        weights.write(tmp_path / "x.safetensors", {**tensors, **scale}, meta)
        with pytest.raises(WeightsError, match="fits no tensor"):
            weights.read(tmp_path / "x.safetensors")


def test_a_shrunk_encoder_does_not_belong_to_the_whole_fusion(
    source: Path, walks: WalkFolder, tmp_path: Path
) -> None:
    shrink(source, tmp_path / "small", walks)
    mixed = source / "silhouette.safetensors"
    mixed.write_bytes((tmp_path / "small" / mixed.name).read_bytes())
    with pytest.raises(WeightsError, match="another 'silhouette' encoder"):
        weights.load(source, weights.available(source))

"""Weights in eight bits: a quarter as large, nearly the same numbers, and still one set."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open

from gait3dlib.errors import WeightsError
from gait3dlib.fusion import weights


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "_FEW", 8)
    monkeypatch.setattr(weights, "_SHRUNK", 500)  # the smallest networks have no matrix of 10,000 numbers
    return tiny.save_weights(tmp_path / "whole")


def test_shrunk_weights_load_as_one_set_and_differ_by_rounding(source: Path, tmp_path: Path) -> None:
    weights.shrink(source, tmp_path / "small")
    names = weights.available(source)
    before, _ = weights.load(source, names)
    after, info = weights.load(tmp_path / "small", names)
    held = after.state_dict()
    changed = 0
    for key, value in before.state_dict().items():
        assert held[key].dtype == value.dtype
        if value.ndim < 2 or value.numel() < 500:
            assert torch.equal(held[key], value)
            continue
        most = value.flatten(1).abs().amax(dim=1)
        moved = (held[key] - value).flatten(1).abs().amax(dim=1)
        step = most / 254 if len(value) >= 8 else most / 2**11
        assert (moved <= step + 1e-7).all(), "half a step of 127, or of half precision"
        changed += int(not torch.equal(held[key], value))
    assert changed
    assert info["trained"] is True
    with safe_open(tmp_path / "small" / "fusion.safetensors", framework="pt") as file:
        stored = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - not a dict
    large = [t for t in stored if t.ndim > 1 and t.numel() >= 500]
    assert {t.dtype for t in large if len(t) >= 8} == {torch.int8}
    assert all(t.dtype == torch.float16 for t in large if len(t) < 8)
    assert sum(t.dtype == torch.int8 for t in stored) >= 3


def test_a_scale_that_fits_nothing_is_refused(source: Path, tmp_path: Path) -> None:
    tensors, meta = weights.read(source / "silhouette.safetensors")
    weights.write(tmp_path / "x.safetensors", {**tensors, "nobody@scale": torch.ones(3)}, meta)
    with pytest.raises(WeightsError, match="fits no tensor"):
        weights.read(tmp_path / "x.safetensors")


def test_a_shrunk_encoder_does_not_belong_to_the_whole_fusion(source: Path, tmp_path: Path) -> None:
    weights.shrink(source, tmp_path / "small")
    mixed = source / "silhouette.safetensors"
    mixed.write_bytes((tmp_path / "small" / mixed.name).read_bytes())
    with pytest.raises(WeightsError, match="another 'silhouette' encoder"):
        weights.load(source, weights.available(source))

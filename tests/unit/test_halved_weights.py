"""Weights in half precision: as large as half, nearly the same numbers, and still one set."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from gait3dlib.errors import WeightsError
from gait3dlib.fusion import weights


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "_HALVED", 500)  # the smallest networks have no matrix of 10,000 numbers
    return tiny.save_weights(tmp_path / "whole")


def test_halved_weights_load_as_one_set_and_differ_by_rounding(source: Path, tmp_path: Path) -> None:
    weights.halve(source, tmp_path / "half")
    names = weights.available(source)
    before, _ = weights.load(source, names)
    after, info = weights.load(tmp_path / "half", names)
    held = after.state_dict()
    changed = 0
    for key, value in before.state_dict().items():
        assert held[key].dtype == value.dtype
        torch.testing.assert_close(held[key], value, rtol=2**-10, atol=1e-6)
        changed += int(not torch.equal(held[key], value))
        if value.numel() < 500:
            assert torch.equal(held[key], value)
    assert changed
    assert info["trained"] is True
    stored, _ = weights.read(tmp_path / "half" / "fusion.safetensors")
    large = [t for t in stored.values() if t.is_floating_point() and t.numel() >= 500]
    assert len(large) >= 3
    assert {t.dtype for t in large} == {torch.float16}


def test_a_halved_encoder_does_not_belong_to_the_whole_fusion(source: Path, tmp_path: Path) -> None:
    weights.halve(source, tmp_path / "half")
    mixed = source / "silhouette.safetensors"
    mixed.write_bytes((tmp_path / "half" / mixed.name).read_bytes())
    with pytest.raises(WeightsError, match="another 'silhouette' encoder"):
        weights.load(source, weights.available(source))

"""The strip encoder takes over the norm it was trained against."""

from __future__ import annotations

import pytest
import torch

from gait3dlib.modalities import Batch
from gait3dlib.modalities._strips import StripEncoder


def test_an_absorbed_norm_gives_the_same_tokens_without_the_norm() -> None:
    generator = torch.Generator().manual_seed(3)
    frames = torch.randint(0, 256, (3, 4, 1, 64, 44), generator=generator, dtype=torch.uint8)
    batch = Batch(frames, torch.tensor([4, 2, 3]), torch.zeros(3, 4))
    encoder = StripEncoder(1, 8, 8).eval()
    norm = torch.nn.BatchNorm1d(16 * 8).eval()
    for tensor, low in (
        (norm.running_mean, -1),
        (norm.running_var, 0.5),
        (norm.weight.data, 1),
        (norm.bias.data, -1),
    ):
        assert tensor is not None
        tensor.uniform_(low, 2, generator=generator)
    with torch.no_grad():
        before = encoder(batch).values
        wanted = norm(before.flatten(1)).view_as(before)
        encoder.absorb(norm)
        assert torch.allclose(encoder(batch).values, wanted, atol=1e-5)
    assert not torch.allclose(before, wanted, atol=0.1)


def test_a_norm_without_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        StripEncoder(1, 8, 8).absorb(torch.nn.BatchNorm1d(128, track_running_stats=False))

"""A modality of somebody else's, really installed beside ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from torch import nn

from gait3dlib import Pipeline, registry, training
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.fusion import weights
from gait3dlib.modalities import Batch
from gait3dlib.types import GaitSequence

PLUGIN = '''
"""How wide the outline is, row by row: frames that are no images."""

import numpy as np
import torch
from torch import nn

from gait3dlib.modalities import Modality, Sample
from gait3dlib.types import STREAM_SPECS, Tokens


class Widths(Modality):
    streams = (STREAM_SPECS["silhouette"],)

    def __init__(self, *, rows: int = 8) -> None:
        self.rows = rows

    def prepare(self, seq):
        stream = seq.streams["silhouette"]
        t, h, w = stream.data.shape
        bins = stream.data[:, : h // self.rows * self.rows].reshape(t, self.rows, -1)
        widths = bins.mean(axis=2, dtype=np.float32) / 255
        t_s = ((stream.t_ns - stream.t_ns[0]) / 1e9).astype(np.float32)
        return Sample(widths, t_s, ("silhouette",))

    def encoder(self, dim):
        return Encoder(self.rows, dim)


class Encoder(nn.Module):
    def __init__(self, rows, dim):
        super().__init__()
        # the idiom of many a network: numbers are looked at while it is built
        self.scales = [x.item() for x in torch.linspace(1, 2, 3)]
        self.linear = nn.Linear(rows, 2 * dim)

    def forward(self, batch):
        frames, owner = batch.real_frames()
        total = frames.new_zeros(len(batch), frames.shape[1]).index_add(0, owner, frames)
        mean = total / batch.lengths.clamp(min=1)[:, None]
        real = batch.present[:, None].expand(-1, 2).clone()
        real[:, 1] &= batch.lengths > 1  # its second token wants two frames
        values = self.linear(mean).view(len(batch), 2, -1)
        values[~real] = torch.nan  # garbage where there is no evidence
        height, t_s = values.new_full((2,), torch.nan), values.new_zeros(len(batch), 2)
        return Tokens(values, real, height, t_s)
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Somebody else's distribution, installed beside ours: files on the path, found by its entry point."""
    site = tmp_path_factory.mktemp("site")
    (site / "somebodys_gait.py").write_text(PLUGIN)
    info = site / "somebodys_gait-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-gait\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gait3dlib.modalities]\nwidths = somebodys_gait:Widths\n")
    sys.path.insert(0, str(site))
    registry._plugins.cache_clear()
    yield "widths"
    sys.path.remove(str(site))
    sys.modules.pop("somebodys_gait", None)
    registry._plugins.cache_clear()


def test_a_plugin_works_in_a_pipeline(plugin: str, strolls: list[GaitSequence]) -> None:
    assert plugin in registry.names("modality")
    with Pipeline(modalities=[plugin, "silhouette"], weights=None, device="cpu") as pipeline:
        both = pipeline.embed(strolls[0])
        alone = pipeline.embed(strolls[0], drop=("silhouette",))
        assert np.isfinite(both).all()
        assert np.isfinite(alone).all()
        assert not np.allclose(both, alone)


def test_a_plugin_is_trained_saved_and_loaded(plugin: str, small_world: Path, tmp_path: Path) -> None:
    WalkFolder(small_world).prepare(plugin, {"rows": 4}, jobs=1)
    trained = training.train_encoder(
        modality={plugin: {"rows": 4}},
        data=small_world,
        out=tmp_path / "encoders",
        dim=16,
        validation_people=2,
        schedule=tiny.SCHEDULE,
        report=lambda text: None,
    )
    assert trained.name == "widths.safetensors"
    folder = training.train_fusion(
        encoders=tmp_path / "encoders",
        modalities=[plugin],
        data=small_world,
        out=tmp_path / "fusion",
        fusion={k: v for k, v in tiny.FUSION.items() if k != "dim"},
        validation_people=2,
        schedule=tiny.SCHEDULE,
        report=lambda text: None,
    )
    model, info = weights.load(folder, [plugin])
    assert info["trained"] is True
    assert vars(model.modalities[plugin]) == {"rows": 4}


def test_garbage_in_tokens_that_are_no_evidence_is_not_read(plugin: str, strolls: list[GaitSequence]) -> None:
    """The plugin writes NaN where a walk of one frame has no second token."""
    made = weights.untrained({plugin: {}}, tiny.FUSION)
    modality = made.modalities[plugin]
    sample = modality.sample(strolls[0])
    assert sample is not None
    encoder: nn.Module = made.encoders[plugin]
    batch: Batch = modality.collate([sample.take(np.arange(1)), sample])
    assert encoder(batch).values[0].isnan().any()
    outputs = made({plugin: batch})
    for value in (outputs.embedding, outputs.age_years, outputs.gender_logits):
        assert value is not None
        assert value.isfinite().all()

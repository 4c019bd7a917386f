"""What the simulator knows reaches no model: truths can change places and no embedding changes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny
import yaml

from gait3dlib import config, registry
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.pipeline import Pipeline
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.simulation import frozen
from gait3dlib.simulation.benchmark import simulate_split
from gait3dlib.types import GaitSequence, Labels, Meta

STREAMS = ("silhouette", "keypoints", "depth", "points")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people of a small world with every stream that a sensor gives."""
    said = config.read(frozen.file_of("world_v1"))
    said |= {"seconds": 0.8, "fps": 10, "size": 32, "fingerprint": ""}
    said["splits"] = {"test": {"first": 0, "people": 2, "probes": ["normal", "coat"]}}
    rules = tmp_path_factory.mktemp("rules") / "small.yaml"
    rules.write_text(yaml.safe_dump(said))
    out = tmp_path_factory.mktemp("world")
    simulate_split(rules, "test", out, streams=STREAMS, jobs=1)
    return out


def sequences(folder: Path) -> list[GaitSequence]:
    out = []
    for path in sorted(folder.glob("*.h5")):
        with open_recording(path) as recording:
            out += list(recording)
    return out


@pytest.fixture(scope="module")
def lying(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same streams; truths of the other person's walks, covariates of nowhere, and made-up labels."""
    folder = tmp_path_factory.mktemp("lying")
    paths = sorted(world.glob("*.h5"))
    for path, other in zip(paths, paths[::-1], strict=True):
        with open_recording(path) as mine, open_recording(other) as theirs:
            truths = [theirs.truth(i) for i in range(len(theirs.walks))]
            told = []
            for index, truth in enumerate(truths):
                assert truth is not None
                arrays = {name: array[::-1] * 0.5 for name, array in truth.arrays.items()}
                told.append(Truth(Labels(20.0 + index, "female", 1.5, 90.0), arrays))
            walks = [GaitSequence(seq.streams, "somebody", Meta("elsewhere")) for seq in mine]
            save(folder / path.name, *walks, truths=told)
    return folder


def test_the_truth_is_another_one(world: Path, lying: Path) -> None:
    for path in world.glob("*.h5"):
        with open_recording(path) as a, open_recording(lying / path.name) as b:
            first, second = a.truth(0), b.truth(0)
            assert first is not None
            assert second is not None
            assert first.labels != second.labels
            assert not np.array_equal(first.arrays["shape"], second.arrays["shape"])


def test_no_embedding_changes(world: Path, lying: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(sorted(tiny.MODALITIES), weights=tiny.save_weights(tmp_path / "weights"))
    before = [pipeline.embed(seq) for seq in sequences(world)]
    after = [pipeline.embed(seq) for seq in sequences(lying)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    # a control: streams that change places do change it
    assert not np.allclose(before[0], before[1])


@pytest.mark.parametrize("name", registry.names("modality"))
def test_no_sample_of_any_modality_changes(name: str, world: Path, lying: Path) -> None:
    before, after = (WalkFolder(folder).prepare(name, jobs=1) for folder in (world, lying))
    seen = [pair for pair in zip(before, after, strict=True) if pair != (None, None)]
    for a, b in seen:
        assert a is not None
        assert b is not None
        assert np.array_equal(a.frames, b.frames)
        assert np.array_equal(a.t_s, b.t_s)
    if name in ("silhouette", "skeleton_map"):
        assert len(seen) == 4


def test_no_stream_holds_what_is_true(world: Path) -> None:
    """Nothing under /walks is an array of the truth's, and no attribute there has a label in it."""
    for path in world.glob("*.h5"):
        with h5py.File(path) as file, open_recording(path) as recording:
            truth = recording.truth(0)
            assert truth is not None
            sizes = {array.shape for name, array in truth.arrays.items() if array.ndim == 1}
            shapes = {truth.arrays[name].shape for name in ("shape", "style")}
            assert shapes <= sizes
            found: list[str] = []
            file["walks"].visititems(lambda name, item, found=found: found.append(_said(name, item)))
            text = " ".join(found)
            labels = truth.labels
            for value in (labels.age_years, labels.mass_kg, labels.gender):
                assert str(value) not in text


def _said(name: str, item: h5py.Group | h5py.Dataset) -> str:
    return name + json.dumps({key: str(value) for key, value in item.attrs.items()})

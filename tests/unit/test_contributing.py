"""The worked examples of CONTRIBUTING.md, installed as a plugin and put to work."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gait3dlib import GaitSequence, Stream, registry
from gait3dlib.config import build
from gait3dlib.errors import ConfigError, SensorError
from gait3dlib.modalities import Modality
from gait3dlib.types import STREAM_SPECS, EndOfStream, Sensor

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.findall(r"<!-- file: gait3dlib/(\w+)/(\w+)\.py -->\n```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A distribution that offers the examples by entry point, as the page says one can."""
    folder = tmp_path_factory.mktemp("site")
    lines = []
    for kind, name, source in FILES:
        (folder / f"example_{name}.py").write_text(source, encoding="utf-8")
        lines += [f"[gait3dlib.{kind}]", f"{name} = example_{name}:{registry.class_name(name)}"]
    info = folder / "example-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.insert(0, str(folder))
    registry._plugins.cache_clear()  # what is installed is looked up once a process
    yield
    sys.path.remove(str(folder))
    registry._plugins.cache_clear()


def walk(frames: int, seed: int) -> GaitSequence:
    """A blob that is as wide as the seed says, row by row."""
    rng = np.random.default_rng(seed)
    silhouettes = np.zeros((frames, 80, 60), np.uint8)
    for row in range(8, 72):
        half = rng.integers(3, 12)
        silhouettes[:, row, 30 - half : 30 + half] = 255
    t_ns = np.arange(frames, dtype=np.int64) * 33_000_000
    return GaitSequence({"silhouette": Stream(silhouettes, t_ns)})


def test_the_page_has_both_examples() -> None:
    assert [(kind, name) for kind, name, _ in FILES] == [
        ("modalities", "row_width"),
        ("sensors", "depth_array"),
    ]


def test_the_modality_is_found_and_its_config_is_checked() -> None:
    assert "row_width" in registry.names("modality")
    modality = build(registry.get("modality", "row_width"), {"strips": 8})
    assert isinstance(modality, Modality)
    with pytest.raises(ConfigError, match="did you mean 'strips'"):
        build(registry.get("modality", "row_width"), {"stripes": 8})


def test_the_modality_sees_the_width_of_each_row() -> None:
    sample = registry.get("modality", "row_width")().sample(walk(3, seed=1))
    assert sample is not None
    assert sample.frames.shape == (3, 64)
    widths = walk(3, seed=1).streams["silhouette"].data[0, 8:72].sum(axis=1) / 255
    np.testing.assert_allclose(sample.frames[0], widths / 64, atol=1e-6)


def test_the_modality_obeys_the_laws_of_padding_and_absence() -> None:
    modality = registry.get("modality", "row_width")()
    torch.manual_seed(0)
    encoder = modality.encoder(32).eval()
    samples = [modality.sample(walk(frames, seed)) for frames, seed in ((5, 1), (9, 2))]
    together = encoder(modality.collate([samples[0], None, samples[1]]))
    assert together.real[:, 0].tolist() == [True, False, True]
    for row, sample in ((0, samples[0]), (2, samples[1])):
        alone = encoder(modality.collate([sample]))
        torch.testing.assert_close(together.values[row], alone.values[0])
    assert not torch.allclose(together.values[0], together.values[2])
    assert together.height[0] > together.height[-1], "tokens run from the head to the feet"


def test_the_sensor_plays_what_was_stored(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 5000, (3, 4, 6)).astype(np.uint16)
    np.save(tmp_path / "depth.npy", frames)
    make = registry.get("sensor", "depth_array")
    sensor = build(make, {"path": str(tmp_path / "depth.npy"), "rate_hz": 10})
    assert isinstance(sensor, Sensor)
    assert sensor.specs["depth"] == STREAM_SPECS["depth"]
    with sensor:
        played = [sensor.read(1.0) for _ in frames]
        with pytest.raises(EndOfStream):
            sensor.read(1.0)
    np.testing.assert_array_equal([frame.data["depth"] for frame in played], frames)
    assert [frame.device_t_ns for frame in played] == [0, 100_000_000, 200_000_000]
    with pytest.raises(SensorError, match="with statement"):
        sensor.read(1.0)


def test_the_sensor_refuses_what_it_cannot_play(tmp_path: Path) -> None:
    make = registry.get("sensor", "depth_array")
    np.save(tmp_path / "float.npy", np.zeros((2, 3, 3)))
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    for name, message in (("none", "give a .npy file"), ("float", "uint16"), ("pickled", "cannot be read")):
        with pytest.raises(SensorError, match=message):
            make(path=tmp_path / f"{name}.npy").open()

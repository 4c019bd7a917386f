"""What several unit tests share: a command line at home, and a front door with weights that only claim."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gait3dlib.types import GaitSequence

if TYPE_CHECKING:
    from gait3dlib import Pipeline


@pytest.fixture(scope="session")
def things(guessing_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and recordings of two simulated walkers."""
    from gait3dlib.recording import load, save
    from gait3dlib.simulation import observe, sample_walker

    folder = tmp_path_factory.mktemp("things")
    shutil.copytree(guessing_weights, folder / "weights")
    for index, name in enumerate(("ada", "bob")):
        seq, truth = observe(sample_walker(5, index), seed=1, view_deg=90, seconds=1.2, fps=15)
        save(folder / f"{name}.h5", seq, truths=[truth])
    both = [load(folder / f"{name}.h5") for name in ("ada", "bob")]
    save(folder / "both.h5", *both)
    return folder


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's home is an empty folder, and its tables are 100 columns wide."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    for name in ("GAIT3D_GALLERY", "GAIT3D_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small weights that were never trained; protocols and ablations score them all the same."""
    import tiny

    return tiny.save_weights(tmp_path_factory.mktemp("untrained") / "weights", trained=False)


@pytest.fixture(scope="session")
def world(small_world: Path) -> Path:
    """The small world, prepared for the smallest networks."""
    import tiny

    tiny.prepare(small_world, tiny.MODALITIES)
    return small_world


@pytest.fixture(scope="session")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that were never trained but claim to be, with impostor tails, so that they may name people."""
    import tiny

    return tiny.save_weights(tmp_path_factory.mktemp("claimed") / "weights")


@pytest.fixture
def pipeline(claimed: Path) -> Iterator[Pipeline]:
    from gait3dlib import Pipeline

    with Pipeline.from_pretrained(claimed, device="cpu") as made:
        yield made


@pytest.fixture
def enrolled(pipeline: Pipeline, strolls: list[GaitSequence]) -> Pipeline:
    """Three people, one walk each."""
    for number in (0, 2, 4):
        pipeline.enroll(f"p{number}", strolls[number])
    return pipeline

"""Training: configs are known to their last word before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from gait3dlib import config, training
from gait3dlib.errors import ConfigError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_world(tmp_path_factory.mktemp("world"))


def test_a_recipe_is_named_and_its_keywords_are_known() -> None:
    with pytest.raises(ConfigError, match="recipe: 'encodr' is not a recipe; did you mean 'encoder'"):
        training.check_config({"recipe": "encodr"})
    with pytest.raises(ConfigError, match="recipe: None"):
        training.check_config({})
    with pytest.raises(ConfigError, match=r"did you mean 'modality'.*modality: missing"):
        training.check_config({"recipe": "encoder", "modalty": {}, "data": "x"})
    for key in ("out", "resume", "report"):
        with pytest.raises(ConfigError, match=f"{key}: belongs to a run"):
            training.check_config(
                {"recipe": "encoder", "modality": {"silhouette": {}}, "data": "x", key: "y"}
            )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.stps=3", "schedule.stps: unknown key; did you mean 'steps'"),
        ("schedule.steps=-1", "schedule.steps: "),
        ("schedule.people=1", "schedule.people: "),
        ("schedule.lr=0", "schedule.lr: "),
        ("schedule.precision=64-bit", "schedule.precision: "),
        ("augment.flp=1", "augment.flp: unknown key"),
        ("augment.flip=1.5", "augment.flip: "),
        ("modality.silhouette.strips=5", "strips: must be 1, 2, 4, 8 or 16"),
        ("modality.silhouete.width=5", "unknown modality 'silhouete'"),
        ("modality.skeleton_map.width=5", "exactly one modality"),
        ("seed=-1", "seed: "),
        ("dim=0", "dim: "),
    ],
)
def test_what_is_wrong_fails_before_anything_runs(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    config.write(path, {"recipe": "encoder", "modality": {"silhouette": {}}, "data": str(tmp_path)})
    if "silhouete" in override:
        config.write(path, {"recipe": "encoder", "modality": {}, "data": str(tmp_path)})
    with pytest.raises(ConfigError, match=message):
        training.train(path, tmp_path / "run", overrides=[override])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"dpth": 1}, "fusion.dpth: unknown key; did you mean 'depth'"),
        ({"heads": 3}, "3 heads do not divide"),
        ({"tasks": ["agee"]}, "no task 'agee'; did you mean 'age'"),
        ({"kind": "late_scores"}, "unknown fusion 'late_scores'; did you mean 'late_score'"),
        ({"kind": "late_score", "depth": 1}, "fusion.depth: unknown key"),
    ],
)
def test_a_wrong_fusion_fails_before_anything_runs(
    world: Path, tmp_path: Path, fusion: dict[str, Any], message: str
) -> None:
    tiny.train_encoder("silhouette", world, tmp_path / "encoders", schedule={"steps": 1})
    with pytest.raises(ConfigError, match=message):
        tiny.train_fusion(tmp_path / "encoders", world, tmp_path / "run", fusion=fusion)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name", ["silhouette", "fusion/all", "configs/fusion/all.yaml", "opengait/gaitbase_gait3d"]
)
def test_a_shipped_config_is_found_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gait3dlib.cli.models import _config

    monkeypatch.chdir(tmp_path)
    assert _config(name).is_file()
    with pytest.raises(ConfigError, match="there is no config 'fusion/al'; did you mean 'fusion/all'"):
        _config("fusion/al")

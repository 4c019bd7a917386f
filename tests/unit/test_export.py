"""ONNX files equal torch on sizes they were not traced with; what has no form is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from typer.testing import CliRunner

from gait3dlib import Pipeline
from gait3dlib.cli import app
from gait3dlib.export import Exported, export_onnx
from gait3dlib.export._dense import FusionOnly, dense_form
from gait3dlib.export._model import _token_case, _write_fusion
from gait3dlib.export._onnx import NotExportable, write_onnx
from gait3dlib.fusion import weights
from gait3dlib.fusion.evidence import Evidence
from gait3dlib.modalities import Batch
from gait3dlib.types import GaitSequence

pytest.importorskip("onnx", reason="the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx")

SETTINGS: dict[str, dict[str, Any]] = {
    **tiny.MODALITIES,
    "lidar": {"encoder": "range_view", "points": 64, "width": 8, "strips": 4},
    "force": {"width": 8},
}


def save(folder: Path, settings: dict[str, dict[str, Any]]) -> Path:
    held = {name: weights.resolved(name, given) for name, given in settings.items()}
    made = weights.untrained(held, tiny.FUSION)
    for tensor in made.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:  # norms and biases off their starting values
            tensor.add_(0.1 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(0)))
    fusion = {**tiny.FUSION, "modalities": sorted(settings)}
    weights.save(folder, made, settings=held, fusion=fusion, info={"trained": False})
    return folder


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "w", SETTINGS)


@pytest.fixture(scope="module")
def exported(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_onnx(weights_folder, tmp_path_factory.mktemp("onnx"))


def run(path: Path, inputs: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def test_every_dense_encoder_and_the_fusion_are_written(exported: Exported) -> None:
    assert set(exported.files) == {*SETTINGS, "fusion"}
    assert exported.refused == {}
    assert all(difference <= 1e-4 for difference in exported.difference.values())
    about = json.loads((exported.folder / "model.json").read_text())
    assert about["trained"] is False
    for name, path in exported.files.items():
        told = about["fusion"] if name == "fusion" else about["modalities"][name]
        assert told["file"] == path.name
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [given.name for given in session.get_inputs()] == list(told["inputs"])
        assert [out.name for out in session.get_outputs()] == list(told["outputs"])
    assert not list(exported.folder.glob("*.part*"))


def test_the_files_answer_as_the_front_door(
    exported: Exported, weights_folder: Path, strolls: list[GaitSequence]
) -> None:
    """Real walks through both files: the template, age, BMI and gender of the pipeline."""
    with Pipeline.from_pretrained(weights_folder, device="cpu") as pipeline:
        for seq, names in ((strolls[0], tuple(SETTINGS)), (strolls[3], ("force", "silhouette"))):
            drop = [name for name in SETTINGS if name not in names]
            template, wanted, _ = pipeline._answer(seq, drop)
            evidence = Evidence(pipeline.model.modalities, seq, drop)
            given = through(exported, {n: evidence.batches[n] for n in names}, pipeline)
            embedding, age, bmi, gender, shares = run(exported.files["fusion"], given)
            assert embedding[0] == pytest.approx(template, abs=1e-4)
            assert wanted.age_years is not None
            assert wanted.weights is not None
            assert age == pytest.approx(wanted.age_years.numpy(), rel=1e-4)
            assert gender.shape == (1,)
            assert bmi.shape == (1, 2)
            assert shares == pytest.approx(wanted.weights.numpy(), abs=1e-4)


def through(exported: Exported, batches: dict[str, Batch], pipeline: Pipeline) -> dict[str, Any]:
    """Tokens by the encoders' files; zeros and False for what is absent."""
    given: dict[str, Any] = {}
    about = json.loads((exported.folder / "model.json").read_text())["fusion"]["inputs"]
    for key, told in about.items():
        given[key] = np.zeros([1, *told["shape"][1:]], told["dtype"])
    for name, batch in batches.items():
        inputs = {"frames": batch.frames.numpy(), "lengths": batch.lengths.numpy()}
        for end, array in zip(("values", "real", "t_s"), run(exported.files[name], inputs), strict=True):
            given[f"{name}.{end}"] = array
    return given


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_padding_changes_nothing(exported: Exported, name: str) -> None:
    rng = np.random.default_rng(1)
    shape = json.loads((exported.folder / "model.json").read_text())["modalities"][name]["inputs"]["frames"]
    frames = rng.integers(0, 2, (2, 6, *shape["shape"][2:])).astype(shape["dtype"])
    alone = run(exported.files[name], {"frames": frames[:1, :4], "lengths": np.array([4])})
    padded = run(exported.files[name], {"frames": frames, "lengths": np.array([4, 6])})
    assert padded[0][0] == pytest.approx(alone[0][0], abs=1e-5)
    assert (padded[1][0] == alone[1][0]).all()


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [("sparse", "sparse convolutions"), ("points", "farthest points and nearest neighbours")],
)
def test_what_has_no_form_is_said(tmp_path: Path, encoder: str, reason: str) -> None:
    lidar = {"encoder": encoder, "points": 64, "width": 8, "strips": 4}
    folder = save(tmp_path / "w", {"silhouette": SETTINGS["silhouette"], "lidar": lidar})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lidar.onnx").write_bytes(b"of an earlier export")
    done = CliRunner().invoke(app, ["export", str(folder), "--onnx", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert f"lidar is not exported: {reason}" in " ".join(done.output.split())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "fusion.onnx",
        "model.json",
        "silhouette.onnx",
    ]
    assert reason in json.loads((tmp_path / "out" / "model.json").read_text())["refused"]["lidar"]


def test_a_network_along_time_is_exported_one_walk_at_a_time(tmp_path: Path) -> None:
    network = {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
    folder = save(tmp_path / "w", {"silhouette": {"encoder": "deepgaitv2", "network": network}})
    done = export_onnx(folder, tmp_path / "out")
    assert set(done.files) == {"silhouette", "fusion"}
    told = json.loads((tmp_path / "out" / "model.json").read_text())["modalities"]["silhouette"]
    assert told["inputs"]["frames"]["shape"][:2] == [1, "frames"]


def test_a_file_that_says_something_else_is_not_kept(tmp_path: Path) -> None:
    """The check is able to fail: a trace that took a size for fixed, and a module that is another one."""

    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(dim=0) / len(x)

    def mean(case: Any) -> list[Any]:
        return [case["x"].mean(axis=0)]

    example = {"x": torch.ones(2, 3)}
    path, axes = tmp_path / "x.onnx", {"x": {0: "n"}}
    good = [{"x": np.ones((2, 3), np.float32)}]
    assert write_onnx(Fixed(), example, ["y"], axes, path, good, mean) == 0.0
    assert path.exists()
    path.unlink()
    for cases, wanted in (
        ([{"x": np.ones((4, 3), np.float32)}], mean),
        (good, lambda case: [case["x"].mean(axis=0) + 2e-4]),
        (good, lambda case: [np.full(3, np.nan)]),
        (good, lambda case: [np.ones(4)]),
    ):
        with pytest.raises(NotExportable, match="differs from torch"):
            write_onnx(Fixed(), example, ["y"], axes, path, cases, wanted)  # type: ignore[arg-type]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind",
    [
        "transformer",
        "late_score",
        "concatenation",
        "gated_sum",
        "cross_attention",
        "shared_trunk",
        "discriminant",
    ],
)
def test_every_kind_of_fusion(tmp_path: Path, kind: str) -> None:
    settings = {name: weights.resolved(name, SETTINGS[name]) for name in ("silhouette", "skeleton_map")}
    common = {"dim": 16, "parts": 2, "part_dim": 8}
    made = weights.untrained(settings, {"kind": kind, **common})
    walks = Batch(
        torch.randint(0, 255, (2, 3, 1, 64, 44), dtype=torch.uint8), torch.tensor([3, 2]), torch.zeros(2, 3)
    )
    maps = Batch(walks.frames.expand(-1, -1, 2, -1, -1), walks.lengths, walks.t_s)
    with torch.inference_mode():
        tokens = made.tokens({"silhouette": walks, "skeleton_map": maps})
    _, worst = _write_fusion(made, tokens, tmp_path / "fusion.onnx")
    assert worst <= 1e-4
    case = _token_case(tokens, 4)
    assert not case["silhouette.real"].any(axis=1).all(), "some walk lacks a modality in what is compared"
    assert FusionOnly(made, {n: t.height for n, t in tokens.items()}).names == list(tokens)


def test_an_unknown_encoder_has_no_form() -> None:
    assert dense_form(torch.nn.Linear(1, 1)) == "its encoder Linear has no dense form here"

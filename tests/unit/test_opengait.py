"""OpenGait's checkpoints: read, written back, and refused with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from torch import nn  # noqa: E402

from gait3dlib import opengait  # noqa: E402
from gait3dlib.errors import ConfigError, UnknownComponent, WeightsError  # noqa: E402
from gait3dlib.networks import DeepGaitV2, GaitBase, GaitGL, GaitPart  # noqa: E402
from gait3dlib.opengait import ARCHITECTURES, Shapes  # noqa: E402
from gait3dlib.opengait._fit import misfit  # noqa: E402

THIN: dict[str, Any] = {"widths": (4, 6, 8, 10), "embedding": 6, "classes": 5}
PUBLISHED = json.loads((Path(__file__).parents[1] / "golden/opengait/architectures.json").read_text())
NAMES = [
    "GaitBase", "DeepGaitV2-2D", "DeepGaitV2-P3D", "DeepGaitV2-3D", "SkeletonGait", "SkeletonGait++",
    "LidarGait", "LidarGait++", "SMPLGait", "GaitSet", "GaitPart", "GaitGL",
]  # fmt: skip


def test_all_architectures_are_there() -> None:
    assert sorted(ARCHITECTURES) == sorted(NAMES)


@pytest.fixture
def network() -> GaitBase:
    torch.manual_seed(1)
    return GaitBase(**THIN).eval()


@pytest.fixture
def checkpoint(network: GaitBase, tmp_path: Path) -> Path:
    opengait.save(network, tmp_path / "ours.pt")
    return tmp_path / "ours.pt"


def images(walks: int = 1, frames: int = 2) -> torch.Tensor:
    return torch.rand(walks, frames, 1, 64, 44)


# ---- read and written -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_network_saved_is_the_same_when_loaded(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    entry = ARCHITECTURES[name]
    made = entry.network(**_thin(name)).eval()
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            layer.num_batches_tracked.fill_(7)
    opengait.save(made, tmp_path / "x.pt")
    again = opengait.load(tmp_path / "x.pt", name, **_told(name))
    assert not again.training
    assert type(again) is type(made)
    held = again.state_dict()
    assert all(torch.equal(held[key], tensor) for key, tensor in made.state_dict().items())
    assert all(parameter.requires_grad for parameter in again.parameters())
    given = entry.example(2, 3)
    with torch.inference_mode():
        assert torch.equal(again(*given), made(*given))
    assert list(opengait.state_dict(again)) == list(torch.load(tmp_path / "x.pt", weights_only=True)["model"])


def _thin(name: str) -> dict[str, Any]:
    if name.startswith("DeepGaitV2"):
        return {**THIN, "depths": (1, 1, 2, 1), "mode": name.partition("-")[2].lower()}
    return {
        "GaitSet": {"widths": (4, 6, 8), "embedding": 7},
        "GaitPart": {"widths": ((4, 4), (6, 6), (8, 8)), "squeezed": 2, "embedding": 5},
        "GaitGL": {"stem": (3,), "stages": ((4,), (5,), (6,)), "embedding": 6, "classes": 5},
        "LidarGait++": {
            "widths": ((4, 4, 5), (5, 5, 6), (6, 6, 7), (7, 7, 8)),
            "embedding": 6, "classes": 5, **_told(name),
        },
        "SMPLGait": {"widths": (4, 5, 6), "hidden": (7, 8), "embedding": 6, "classes": 5},
    }.get(name, THIN)  # fmt: skip


def _told(name: str) -> dict[str, Any]:
    """What no checkpoint tells."""
    return {"samples": (24, 12, 6), "neighbours": 4} if name == "LidarGait++" else {}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"model": state, "optimizer": {"state": {}}, "iteration": 60000},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"model": {f"module.{key}": tensor for key, tensor in state.items()}},
        lambda state: {key: t.double() if t.is_floating_point() else t for key, t in state.items()},
        lambda state: {key: nn.Parameter(t) if t.is_floating_point() else t for key, t in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_come_in_several_wrappings(
    network: GaitBase, tmp_path: Path, wrapped: Callable[[Any], Any], zipped: bool
) -> None:
    path = tmp_path / "x.pt"
    torch.save(wrapped(opengait.state_dict(network)), path, _use_new_zipfile_serialization=zipped)
    again, x = opengait.load(path, "GaitBase"), images()
    assert torch.equal(again(x), network(x))
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}


def test_the_file_may_go_away_once_it_is_loaded(checkpoint: Path, network: GaitBase) -> None:
    again, x = opengait.load(checkpoint, "GaitBase"), images()
    checkpoint.write_bytes(b"\xff" * checkpoint.stat().st_size)
    assert torch.equal(again(x), network(x))


def test_the_neck_is_chosen_on_loading(checkpoint: Path) -> None:
    x = images(2)
    before, after = (opengait.load(checkpoint, "GaitBase", neck=neck)(x) for neck in (False, True))
    assert after.shape == before.shape
    torch.testing.assert_close(after.norm(dim=1), torch.ones(2, 16))
    assert not torch.allclose(before.norm(dim=1), torch.ones(2, 16))


def test_loading_draws_no_random_numbers(checkpoint: Path) -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    opengait.load(checkpoint, "GaitBase")
    assert torch.equal(torch.rand(3), wanted)


def test_settings_that_no_checkpoint_tells(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = GaitPart(widths=((4, 4), (6, 6), (8, 8)), strips=(1, 2, 4), squeezed=2, embedding=5).eval()
    opengait.save(made, tmp_path / "x.pt")
    x = images()
    assert torch.equal(opengait.load(tmp_path / "x.pt", "GaitPart", strips=[1, 2, 4])(x), made(x))
    assert not torch.allclose(opengait.load(tmp_path / "x.pt", "GaitPart")(x), made(x))
    with pytest.raises(ConfigError, match=r"GaitPart.strip: unknown key; did you mean 'strips'"):
        opengait.load(tmp_path / "x.pt", "GaitPart", strip=2)
    with pytest.raises(ConfigError, match="embedding: the checkpoint tells its widths"):
        opengait.load(tmp_path / "x.pt", "GaitPart", embedding=6)


def test_what_cannot_be_saved() -> None:
    with pytest.raises(ConfigError, match="Linear is no network of OpenGait; those are: GaitBase"):
        opengait.state_dict(nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="this DeepGaitV2 has settings that OpenGait's checkpoints cannot"):
        opengait.state_dict(DeepGaitV2(bins=(4, 1), **THIN))


# ---- the wrong architecture -----------------------------------------------------------------------


@pytest.mark.parametrize("case", PUBLISHED)
def test_the_architecture_of_a_published_checkpoint_is_recognised(case: str) -> None:
    shapes = Shapes((key, tuple(shape)) for key, shape in PUBLISHED[case]["state"].items())
    right = PUBLISHED[case]["architecture"]
    first = sorted(PUBLISHED).index(case)
    for name in [name for name in (*NAMES, *NAMES)[first:] if name != right][:2]:
        text = misfit(name, shapes, ARCHITECTURES)
        assert f"does not fit {name}: " in text
        assert text.endswith(f"it fits {right}: load it with architecture={right!r}")
        assert len(text) < 500


def test_a_wrong_architecture_says_which_tensors_and_the_likeliest(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownComponent, match="unknown architecture 'gaitbase'; did you mean 'GaitBase'"):
        opengait.load(checkpoint, "gaitbase")
    with pytest.raises(WeightsError) as caught:
        opengait.load(checkpoint, "GaitSet")
    assert re.fullmatch(
        r".*ours.pt: does not fit GaitSet: .* is missing instead of \[.*\]; .*"
        r"Backbone\.forward_block.* has no place in it; .*and \d+ more; "
        r"it fits GaitBase: load it with architecture='GaitBase'",
        str(caught.value),
    )
    with pytest.raises(
        WeightsError,
        match=r"conv1\.conv\.weight is \[4, 1, 3, 3\] instead of \[4, 3, 3, 3\]; it fits GaitBase",
    ):
        opengait.load(checkpoint, "LidarGait")
    opengait.save(DeepGaitV2(**THIN, mode="2d"), tmp_path / "deep.pt")
    with pytest.raises(WeightsError, match="it fits DeepGaitV2-2D"):
        opengait.load(tmp_path / "deep.pt", "DeepGaitV2-3D")


def changed(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    state = torch.load(path, weights_only=True)["model"]
    change(state)
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("FCs.fc_bin"),
            r"does not fit GaitBase: .*GaitBase is the likeliest architecture still, so the file is inc",
        ),
        (
            lambda s: s.pop("Backbone.forward_block.layer3.0.bn2.running_var"),
            r"layer3\.0\.bn2\.running_var is missing instead of \[8\]; GaitBase is the likeliest",
        ),
        (
            lambda s: s.update(more=torch.zeros(1)),
            "GaitBase: more has no place in it; GaitBase is the likeliest",
        ),
        (
            lambda s: s.update({"Backbone.forward_block.bn1.weight": torch.zeros(5)}),
            r"bn1\.weight is \[5\] instead of \[4\]",
        ),
        (lambda s: s.update({"FCs.fc_bin": torch.zeros(16, 10)}), "does not fit GaitBase"),
        (lambda s: s.update({"FCs.fc_bin": torch.zeros(9, 10, 6)}), "does not fit GaitBase"),
        (lambda s: s.update({"FCs.fc_bin": torch.zeros(0, 10, 6)}), "does not fit GaitBase"),
        (
            lambda s: s.update({"Backbone.forward_block.conv1.conv.weight": torch.zeros(2**40, 0, 3, 3)}),
            "does not fit GaitBase",
        ),
        (lambda s: s["FCs.fc_bin"].view(-1)[3].fill_(torch.nan), "'FCs.fc_bin' holds NaN or infinity"),
        (lambda s: s.update({"a": "text"}), r"'a' is no tensor; save model\.state_dict\(\)"),
        (lambda s: s.update({7: torch.zeros(1)}), "'7' is no tensor"),
        (lambda s: s.update(a=torch.zeros(2, 2).to_sparse()), "'a' is no plain tensor of numbers"),
        (lambda s: s.update(a=torch.zeros(1).expand(2**40)), "'a' claims more numbers than the file holds"),
        (lambda s: s.clear() or s.update(a=torch.zeros(1)), "it resembles no architecture that is read here"),
        (lambda s: s.clear(), "holds no state dict"),
    ],
)
def test_states_that_do_not_fit(checkpoint: Path, change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        opengait.load(changed(checkpoint, change), "GaitBase")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["GaitSet", "GaitPart"])
def test_where_there_is_no_neck(name: str, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=f"neck: {name} has none; load it with neck=False"):
        opengait.load(checkpoint, name, neck=True)


def test_gaitgl_has_a_neck_in_one_variant_only(tmp_path: Path) -> None:
    thin: dict[str, Any] = {"stem": (3,), "stages": ((4,), (5,), (6,)), "embedding": 6, "classes": 5}
    opengait.save(GaitGL(**thin), tmp_path / "without.pt")
    opengait.save(GaitGL(**thin, separate_neck=True), tmp_path / "with.pt")
    with pytest.raises(ConfigError, match="its embedding is normed already"):
        opengait.load(tmp_path / "without.pt", "GaitGL", neck=True)
    assert opengait.load(tmp_path / "with.pt", "GaitGL", neck=True)(images()).shape == (1, 6, 64)

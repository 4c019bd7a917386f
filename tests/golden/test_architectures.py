"""OpenGait's architectures: its own numbers, its names and sizes, and a second writing by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

import opengait_by_hand as by_hand  # noqa: E402

from gait3dlib import opengait  # noqa: E402
from gait3dlib.networks import (  # noqa: E402
    DeepGaitV2,
    GaitBase,
    GaitGL,
    GaitPart,
    GaitSet,
    LidarGait,
    SkeletonGait,
    SkeletonGaitPP,
)
from gait3dlib.opengait import ARCHITECTURES, Shapes  # noqa: E402

HERE = Path(__file__).with_name("opengait")
CASES: dict[str, dict[str, Any]] = json.loads((HERE / "architectures.json").read_text())
WITH_EMBEDDINGS = ("gaitbase_gait3d", "deepgaitv2_2d", "skeletongait_gait3d")


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    """What each architecture read, uint8 [n, s, c, h, w]; all but LidarGait's pictures are cut to 44."""
    with np.load(HERE / "inputs.npz") as held:
        cut = slice(10, 54)
        silhouettes, maps = held["silhouettes"][:, :, None, :, cut], held["maps"][..., cut]
        both = np.concatenate([maps, silhouettes], axis=2)
        return {"LidarGait": held["depth"], "SkeletonGait": maps, "SkeletonGait++": both, "": silhouettes}


def golden_network(case: str, folder: Path, *, classes: int | None = None) -> Any:
    """A network loaded from a checkpoint that holds the golden parameters; fewer classes are faster."""
    state = {}
    for key, shape in CASES[case]["state"].items():
        of_classes = key in ("BNNecks.fc_bin", "Head1.fc_bin") and classes
        state[key] = tensor_of(key, tuple([*shape[:2], classes] if of_classes else shape))
    torch.save({"model": state, "iteration": 60000}, folder / "golden.pt")
    return opengait.load(folder / "golden.pt", CASES[case]["architecture"])


def tensor_of(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    dtype = torch.int64 if key.endswith("num_batches_tracked") else torch.float32
    return torch.from_numpy(np.array(by_hand.parameter(key, shape))).to(dtype)


def relative(got: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(got.detach().numpy() - wanted).max() / np.abs(wanted).max())


# ---- OpenGait's own numbers -----------------------------------------------------------------------


@pytest.mark.parametrize("case", WITH_EMBEDDINGS)
def test_embeddings_are_opengaits(case: str, images: dict[str, np.ndarray], tmp_path: Path) -> None:
    with np.load(HERE / f"{case}.npz") as stored:
        golden = dict(stored)
    network = golden_network(case, tmp_path)
    pixels = torch.from_numpy(images.get(CASES[case]["architecture"], images[""]))
    x = pixels.float() / 255
    with torch.inference_mode():
        out = network.train_outputs(x)
        assert relative(out.embedding, golden["embeddings_f64"]) < 1e-5
        assert relative(out.logits[:, :16], golden["logits_first16"]) < 1e-5
        network.neck = True
        assert relative(network(x), golden["bnneck"]) < 1e-5
        network.neck = False
        if "embeddings_packed_6_10" in golden:  # laid end to end, where no layer looks along time
            assert relative(network(x, [6, 10]), golden["embeddings_packed_6_10"]) < 1e-5
        exact = network.double()(pixels[:1].double() / 255)
    assert relative(exact, golden["embeddings_f64"][:1]) < 1e-9


@pytest.mark.parametrize("case", [case for case in CASES if case not in WITH_EMBEDDINGS])
def test_embeddings_have_opengaits_mean_and_spread(
    case: str, images: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Of these OpenGait's embeddings are not at hand, but their mean and standard deviation are."""
    known = CASES[case]
    pixels = images.get(known["architecture"], images[""])
    if known["architecture"] == "GaitGL":  # read walk by walk; the first was noted
        pixels, shape = pixels[:1], [1, *known["shape"][1:]]
    else:
        shape = known["shape"]
    with torch.inference_mode():
        out = golden_network(case, tmp_path, classes=2)(torch.from_numpy(pixels).float() / 255)
    assert list(out.shape) == shape
    assert abs(out.mean().item() - known["mean"]) < 1e-6 * known["std"]
    assert out.std().item() == pytest.approx(known["std"], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_names_shapes_and_counts_are_opengaits(case: str) -> None:
    known = CASES[case]
    shapes = Shapes((key, tuple(shape)) for key, shape in known["state"].items())
    fitting = {name: entry.fitting(shapes) for name, entry in ARCHITECTURES.items()}
    assert [name for name, network in fitting.items() if network is not None] == [known["architecture"]]
    network = fitting[known["architecture"]]
    assert network is not None
    counts = {name: parameter.numel() for name, parameter in network.named_parameters()}
    assert sum(counts.values()) == known["parameters"]
    classes = sum(count for name, count in counts.items() if "classes" in name)
    assert sum(counts.values()) - classes == known["without_classes"]
    assert ARCHITECTURES[known["architecture"]].tells(network)
    assert ARCHITECTURES[known["architecture"]].shapes(network) == shapes


# ---- written out a second time --------------------------------------------------------------------

THIN: dict[str, Any] = {"widths": (4, 6, 8, 10), "embedding": 6}
UNEVEN: dict[str, Any] = {**THIN, "depths": (2, 1, 3, 1), "classes": 5}
SMALL = {
    "GaitBase": GaitBase(**UNEVEN, bins=(16, 8, 4, 2, 1)),
    "LidarGait": LidarGait(**UNEVEN),
    "DeepGaitV2-2D": DeepGaitV2(mode="2d", **UNEVEN, channels=2),
    "DeepGaitV2-P3D": DeepGaitV2(mode="p3d", **UNEVEN),
    "DeepGaitV2-3D": DeepGaitV2(mode="3d", **UNEVEN),
    "SkeletonGait": SkeletonGait(**UNEVEN),
    "SkeletonGait++": SkeletonGaitPP(**UNEVEN, squeezed=3),
    "GaitSet": GaitSet(channels=2, widths=(4, 6, 8), embedding=7),
    "GaitPart": GaitPart(widths=((4, 5), (6, 7), (8, 9)), squeezed=3, embedding=5),
    "GaitPart, GREW": GaitPart(
        widths=((4, 5), (6, 7), (8, 9, 10, 11)), strips=(1, 1, 8), squeezed=2, embedding=5
    ),
    "GaitGL": GaitGL(stem=(3,), stages=((4,), (5,), (6,)), embedding=7, classes=5),
    "GaitGL, OU-MVLP": GaitGL(stem=(3, 4), stages=((5, 4), (6, 5), (7, 6)), strips=2, embedding=7, classes=5),
    "GaitGL, GREW": GaitGL(
        stem=(3, 3), stages=((4, 4), (5, 5), (6, 6)), strips=2, embedding=6, classes=5, separate_neck=True
    ),
}
assert {name.partition(",")[0] for name in SMALL} == set(by_hand.BY_HAND)


@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_is_what_it_is_by_hand(name: str, tmp_path: Path) -> None:
    """Loaded from a checkpoint of odd widths, in one ragged batch, against one walk at a time."""
    architecture = name.partition(",")[0]
    shapes = {key: tuple(tensor.shape) for key, tensor in opengait.state_dict(SMALL[name]).items()}
    state = {key: tensor_of(key, shape) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "small.pt")
    network = opengait.load(tmp_path / "small.pt", architecture).double()
    (h, w), rng = network.sizes[0], np.random.default_rng(4)
    lengths = [4, 1, 7, 2]
    x = rng.random((4, 7, network.channels, h, w))
    plain = {key: tensor.double().numpy() for key, tensor in state.items()}
    wanted = [
        by_hand.BY_HAND[architecture](plain, walk[:length].swapaxes(0, 1))
        for walk, length in zip(x, lengths, strict=True)
    ]
    with torch.inference_mode():
        out = network.train_outputs(torch.from_numpy(x), lengths)
        embeddings = np.stack([embedding for embedding, _, _ in wanted])
        assert relative(out.embedding, embeddings) < 1e-12, "end to end, as in training"
        assert relative(network(torch.from_numpy(x), lengths), embeddings) < 1e-12, "walk by walk"
        if wanted[0][2] is not None:
            logits = np.stack([logits for _, _, logits in wanted if logits is not None])
            assert relative(out.logits, logits) < 1e-12
        if wanted[0][1] is not None:
            network = opengait.load(tmp_path / "small.pt", architecture, neck=True).double()
            features = np.stack([feature for _, feature, _ in wanted if feature is not None])
            assert relative(network(torch.from_numpy(x), lengths), features) < 1e-12

"""Fast networks: the same answers in float32, near ones in bfloat16 and int8, ragged batches, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.networks import (  # noqa: E402
    DeepGaitV2,
    GaitBase,
    GaitSet,
    ImageNetwork,
    LidarGait,
    SkeletonGait,
    SkeletonGaitPP,
)
from gait3dlib.networks import fast as module  # noqa: E402
from gait3dlib.networks._blocks import ConvNorm, TimeConvNorm  # noqa: E402
from gait3dlib.networks._fused import Fused, Levels, Quantised, channels_last  # noqa: E402
from gait3dlib.networks.fast import Precision, fast, figures  # noqa: E402

THIN: dict[str, Any] = {"widths": (16, 16, 32, 32), "depths": (1, 2, 1, 1), "embedding": 16, "classes": 5}
MAKERS: dict[str, Callable[[], ImageNetwork]] = {
    "GaitBase": lambda: GaitBase(**THIN),
    "GaitBase with a neck": lambda: GaitBase(**THIN, neck=True),
    "LidarGait": lambda: LidarGait(**THIN),
    "DeepGaitV2 2d": lambda: DeepGaitV2(mode="2d", **THIN),
    "DeepGaitV2 p3d": lambda: DeepGaitV2(mode="p3d", **THIN),
    "DeepGaitV2 3d": lambda: DeepGaitV2(mode="3d", **THIN),
    "SkeletonGait": lambda: SkeletonGait(**THIN),
    "SkeletonGait++": lambda: SkeletonGaitPP(**THIN),
}
QUANTISED = [name for name in MAKERS if name != "DeepGaitV2 3d"]
HERE: dict[Precision, bool] = {
    "float32": True,
    "bfloat16": module._has("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
    "int8": module._has("_is_vnni_supported"),
}


def made(name: str) -> ImageNetwork:
    """Of random weights, its norms moved off their starting values; in eval mode."""
    torch.manual_seed(3)
    network = MAKERS[name]().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network


def walks(network: ImageNetwork, frames: int = 5) -> torch.Tensor:
    """Figures of other frames than those that int8 is calibrated with, with noise at their edges."""
    torch.manual_seed(5)
    drawn = figures(network.channels, network.sizes[0], frames)
    return (drawn + 0.1 * torch.randn_like(drawn)).clamp(0, 1)


def needs(precision: Precision) -> None:
    if not HERE[precision]:
        pytest.skip(f"this chip has no {precision}")


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(functional.cosine_similarity(a.flatten(1).double(), b.flatten(1).double()).min())


# ---- the same answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_float32_is_the_network(name: str) -> None:
    network = made(name)
    x = walks(network)
    with torch.no_grad():
        wanted = network(x)
    answer = fast(network)(x)
    assert answer.dtype == torch.float32
    assert float((answer - wanted).abs().max() / wanted.abs().max()) < 1e-5
    assert type(fast(network)) is type(network)


@pytest.mark.parametrize(
    ("name", "precision", "least"),
    [(name, "bfloat16", 0.9999) for name in MAKERS] + [(name, "int8", 0.999) for name in QUANTISED],
)
def test_less_precision_is_near(name: str, precision: Precision, least: float) -> None:
    needs(precision)
    network = made(name)
    x = walks(network)
    with torch.no_grad():
        wanted = network(x)
    answer = fast(network, precision)(x)
    assert answer.dtype == torch.float32
    assert cosine(answer, wanted) >= least
    assert not torch.equal(answer, wanted)  # or it was not done


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", QUANTISED)
def test_ragged_batches_are_single_walks(name: str, precision: Precision) -> None:
    needs(precision)
    network = fast(made(name), precision)
    x = walks(network, 6)
    together = network(x, [6, 4])
    alone = torch.cat([network(x[:1]), network(x[1:, :4])])
    assert float((together - alone).abs().max()) < 1e-6

"""Fast networks: the same answers in float32, near ones in bfloat16 and int8, ragged batches, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from thin_networks import residual, settled  # noqa: E402
from torch.nn import functional  # noqa: E402

from gait3dlib.errors import ConfigError, InputError  # noqa: E402
from gait3dlib.networks import GaitBase, GaitSet, ImageNetwork  # noqa: E402
from gait3dlib.networks import fast as module  # noqa: E402
from gait3dlib.networks._blocks import ConvNorm, TimeConvNorm  # noqa: E402
from gait3dlib.networks._fused import Fused, Levels, Quantised, channels_last  # noqa: E402
from gait3dlib.networks.fast import Precision, fast, figures  # noqa: E402

WIDE: dict[str, Any] = {"widths": (16, 16, 32, 32), "depths": (1, 2, 1, 1), "embedding": 16, "classes": 5}
MAKERS = {**residual(WIDE), "GaitBase with a neck": lambda: GaitBase(**WIDE, neck=True)}
QUANTISED = [name for name in MAKERS if name != "DeepGaitV2 3d"]
HERE: dict[Precision, bool] = {
    "float32": True,
    "bfloat16": module._has("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
    "int8": module._has("_is_vnni_supported"),
}


def made(name: str) -> ImageNetwork:
    return settled(MAKERS[name])


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


# ---- the parts ------------------------------------------------------------------------------------


def test_levels_hold_their_range() -> None:
    for low, high in ((0.0, 3.0), (-2.0, 1.0), (-0.5, 4.0), (0.0, 0.0)):
        levels = Levels.spanning(low, high)
        x = torch.linspace(low, high, 201)
        back = levels.real(levels.coded(x))
        assert float((back - x).abs().max()) <= levels.scale / 2 + 1e-6
        assert levels.real(levels.coded(torch.zeros(1))) == 0  # the padding of a convolution is exact
    assert Levels.spanning(0, 2.55) == pytest.approx((0.01, 0))


@pytest.mark.parametrize("relu", [True, False])
def test_int8_convolution_in_closed_form(relu: bool) -> None:
    """Against integers: codes times codes, scaled, with what is added, rounded to levels."""
    needs("int8")
    torch.manual_seed(1)
    layer = ConvNorm(16, 16).eval()
    fused = Fused(layer, relu=relu, dtype=torch.float32)
    x, add = torch.randint(0, 256, (2, 16, 6, 5)), torch.randint(0, 256, (2, 16, 6, 5))
    reads, adds = Levels(0.01, 0), Levels(0.02, 128)
    gives = Levels(0.03, 0 if relu else 128)
    weight, bias = fused.exact
    scale = weight.abs().flatten(1).amax(dim=1).float().double() / 127
    codes = (weight / scale.view(-1, 1, 1, 1)).round()
    sums = functional.conv2d(x.double() * 0.01, codes * scale.view(-1, 1, 1, 1), bias, padding=1)
    wanted = sums + (add.double() - 128) * 0.02
    wanted = (wanted / gives.scale + gives.zero).round().clamp(0, 255)
    codes_in = [channels_last(given.to(torch.uint8)) for given in (x, add)]
    kept = codes_in[0].clone()
    answer = Quantised(fused, reads, gives, adds)(*codes_in)
    assert torch.equal(codes_in[0], kept)
    assert float((answer.double() - wanted).abs().max()) <= 1  # halves may round either way
    assert float((answer.double() != wanted).double().mean()) < 0.01


def test_input_that_is_also_added_is_not_written_over() -> None:
    needs("int8")
    torch.manual_seed(1)
    levels = Levels(0.01, 0)
    unit = Quantised(Fused(TimeConvNorm(16).eval(), dtype=torch.float32), levels, levels, levels)
    x = channels_last(torch.randint(0, 256, (1, 16, 7, 12)).to(torch.uint8))
    assert torch.equal(unit(x, x), unit(x.clone(), x.clone()))


# ---- refusals -------------------------------------------------------------------------------------


def test_what_has_no_fast_form_says_so() -> None:
    with pytest.raises(ConfigError, match="GaitSet has no fast form"):
        fast(GaitSet(widths=(4, 6, 8), embedding=7))
    with pytest.raises(ConfigError, match="did you mean 'bfloat16'"):
        fast(made("GaitBase"), "bfloat61")  # type: ignore[arg-type]


def test_int8_refuses_volumes_and_a_calibration_that_does_not_fit() -> None:
    needs("int8")
    volumes, network = made("DeepGaitV2 3d"), made("GaitBase")
    with pytest.raises(ConfigError, match="volumes"):
        fast(volumes, "int8")
    with pytest.raises(InputError, match="GaitBase"):
        fast(network, "int8", torch.rand(1, 3, 2, 64, 44))


def test_a_chip_without_the_arithmetic_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has", lambda *marks: False)
    fast(made("GaitBase"), "float32")
    for precision in ("bfloat16", "int8"):
        with pytest.raises(ConfigError, match="this chip"):
            fast(made("GaitBase"), precision)


def test_a_fast_network_is_for_answering() -> None:
    network = made("GaitBase")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    quick = fast(network)
    with pytest.raises(ConfigError, match="cannot be trained"):
        quick.train()
    with pytest.raises(ConfigError, match="stays as it was made"):
        quick.double()
    with pytest.raises(ConfigError, match="cannot be saved"):
        quick.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_checkpoint_of_opengait_is_loaded_fast(tmp_path: Path) -> None:
    opengait = pytest.importorskip("gait3dlib.opengait")
    network = made("DeepGaitV2 p3d")
    opengait.save(network, tmp_path / "net.pt")
    plain = opengait.load(tmp_path / "net.pt", "DeepGaitV2-P3D")
    x = walks(network)
    with torch.no_grad():
        wanted = plain(x)
    quick = opengait.load(tmp_path / "net.pt", "DeepGaitV2-P3D", precision="float32")
    assert float((quick(x) - wanted).abs().max() / wanted.abs().max()) < 1e-5
    opengait.save(GaitSet(widths=(4, 6, 8), embedding=7), tmp_path / "set.pt")
    with pytest.raises(ConfigError, match="no fast form"):
        opengait.load(tmp_path / "set.pt", "GaitSet", precision="bfloat16")

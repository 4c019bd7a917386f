"""Files that are no checkpoint of OpenGait, or a damaged one, or one that would run code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from gait3dlib import opengait  # noqa: E402
from gait3dlib.errors import WeightsError  # noqa: E402
from gait3dlib.networks import GaitBase  # noqa: E402


@pytest.fixture
def network() -> GaitBase:
    torch.manual_seed(1)
    return GaitBase(widths=(4, 6, 8, 10), embedding=6, classes=5).eval()


@pytest.fixture
def checkpoint(network: GaitBase, tmp_path: Path) -> Path:
    opengait.save(network, tmp_path / "ours.pt")
    return tmp_path / "ours.pt"


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(tmp_path: Path, zipped: bool) -> None:
    path, ran = tmp_path / "x.pt", tmp_path / "ran"
    torch.save({"model": {"a": Payload(ran)}}, path, _use_new_zipfile_serialization=zipped)
    torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert ran.exists(), "the payload works"
    ran.unlink()
    with pytest.raises(WeightsError, match=r"x\.pt: holds more than tensors, and a pickle can run code"):
        opengait.load(path, "GaitBase")
    assert not ran.exists()


def test_a_whole_network_is_no_state_dict(network: GaitBase, tmp_path: Path) -> None:
    torch.save(network, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="save its state dict alone"):
        opengait.load(tmp_path / "x.pt", "GaitBase")
    for held in ([1, 2], "text", torch.zeros(3), {}, {"model": {}}, None):
        torch.save(held, tmp_path / "x.pt")
        with pytest.raises(WeightsError, match=r"holds no state dict|is no tensor"):
            opengait.load(tmp_path / "x.pt", "GaitBase")


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files(network: GaitBase, tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": opengait.state_dict(network)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (0, 1, 20, 1000, len(whole) // 2, len(whole) - 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="truncated, damaged or not a checkpoint; copy") as caught:
            opengait.load(path, "GaitBase")
        assert "\n" not in str(caught.value)


def test_any_damage_is_an_error_or_changes_no_shape(checkpoint: Path, network: GaitBase) -> None:
    """A flipped bit of a weight may pass, for no sums are kept; other shapes or other code may not."""
    whole, rng = checkpoint.read_bytes(), np.random.default_rng(0)
    outcomes = {"refused": 0, "read": 0}
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        damaged[int(rng.integers(0, 2500))] ^= 1 << int(rng.integers(8))
        checkpoint.write_bytes(damaged)
        try:
            again = opengait.load(checkpoint, "GaitBase")
        except WeightsError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert {key: tensor.shape for key, tensor in again.state_dict().items()} == shapes
    assert outcomes["refused"] > 15, outcomes


def test_a_file_that_unpacks_to_gigabytes_is_not_unpacked(checkpoint: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(checkpoint) as held, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for entry in held.infolist():
            out.writestr(entry.filename, held.read(entry))
    with pytest.raises(WeightsError, match=r"a compressed archive, which torch\.save never writes"):
        opengait.load(packed, "GaitBase")


def test_files_that_are_missing_or_too_large(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pt: no such checkpoint; give the path of a \.pt file"):
        opengait.load(tmp_path / "nowhere.pt", "GaitBase")
    with pytest.raises(WeightsError, match="no such checkpoint"):
        opengait.load(tmp_path, "GaitBase")
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(9 * 1024**3)  # sparse: takes no room
    with pytest.raises(WeightsError, match="larger than 8 GiB"):
        opengait.load(tmp_path / "large.pt", "GaitBase")

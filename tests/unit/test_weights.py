"""Weights on disk: what is written comes back, and nothing hostile, damaged or mixed up is taken."""

from __future__ import annotations

import io
import json
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from gait3dlib.errors import UnknownComponent, WeightsError
from gait3dlib.fusion import weights
from gait3dlib.fusion.model import GaitModel

NAMES = sorted(tiny.MODALITIES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_weights(tmp_path / "weights")


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]) -> None:
    """The file again, with other tensors or another header."""
    tensors, meta = weights.read(path)
    change(tensors, meta)
    weights.write(path, tensors, meta)


def raw(path: Path, header: object, data: bytes = b"", size: int | None = None) -> Path:
    """A file of safetensors' form with that header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)
    return path


def test_what_is_saved_is_loaded(folder: Path) -> None:
    made = tiny.model()
    assert weights.available(folder) == NAMES
    loaded, info = weights.load(folder, NAMES)
    assert not loaded.training
    for name, tensor in made.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert weights.fingerprint(loaded) == weights.fingerprint(made)
    assert info["trained"] is True
    assert info["modalities"] == tiny.MODALITIES
    assert info["impostors"]["silhouette"] == tiny.TAIL


def test_each_modality_can_be_loaded_alone(folder: Path) -> None:
    alone, info = weights.load(folder, ["silhouette"])
    assert list(alone.modalities) == list(info["modalities"]) == ["silhouette"]
    (folder / "skeleton_map.safetensors").unlink()
    assert weights.fingerprint(weights.load(folder, ["silhouette"])[0]) == weights.fingerprint(alone)


def test_saved_twice_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tiny.save_weights(tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_resolved_fills_in_defaults() -> None:
    wanted = {"encoder": "strips", "width": 8, "strips": 16, "network": None}
    assert weights.resolved("silhouette", {"width": 8}) == wanted


def test_untrained_weights_depend_on_settings_and_seed_and_disturb_nothing() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = weights.untrained(tiny.MODALITIES, tiny.FUSION)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = weights.untrained(dict(reversed(tiny.MODALITIES.items())), tiny.FUSION)
    assert weights.fingerprint(first) == weights.fingerprint(second)
    other = weights.untrained(tiny.MODALITIES, tiny.FUSION, seed=1)
    assert weights.fingerprint(other) != weights.fingerprint(first)


# ---- fingerprints ---------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_every_number() -> None:
    made = tiny.model()
    prints = {weights.fingerprint(made)}
    for name, tensor in made.state_dict().items():
        flat = tensor.view(-1)
        for index in {0, len(flat) - 1}:
            kept = flat[index].clone()
            flat[index] += 1 if not tensor.is_floating_point() else abs(kept) * 1e-6 + 1e-6
            prints.add(weights.fingerprint(made))
            flat[index] = kept
        assert len(prints) > 1, name
    assert len(prints) == 1 + sum(min(t.numel(), 2) for t in made.state_dict().values())
    assert weights.fingerprint(made) in prints


def test_the_fingerprint_changes_with_what_interprets_the_numbers() -> None:
    def of(modalities: dict[str, Any] | None = None, **fusion: Any) -> str:
        made = weights.untrained(modalities or tiny.MODALITIES, {**tiny.FUSION, **fusion})
        torch.manual_seed(0)
        for tensor in made.state_dict().values():  # the same numbers, whatever they mean
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 7)
        return weights.fingerprint(made)

    settings = {**tiny.MODALITIES, "skeleton_map": {**tiny.MODALITIES["skeleton_map"], "sigma": 7.5}}
    swapped = ["gender", "bmi", "age"]
    prints = [of(), of(heads=4), of(settings), of(tasks=swapped), of(dropout=0.5)]
    assert len(set(prints[:4])) == 4
    assert prints[4] == prints[0], "dropout is no part of what is computed"


def test_a_remark_in_a_header_changes_no_fingerprint(folder: Path) -> None:
    rewrite(folder / "silhouette.safetensors", lambda tensors, meta: meta.update(note="kept"))
    assert weights.fingerprint(weights.load(folder, NAMES)[0]) == weights.fingerprint(tiny.model())


# ---- files that are not ours ----------------------------------------------------------------------


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(folder: Path, tmp_path: Path) -> None:
    path, ran = folder / "silhouette.safetensors", tmp_path / "ran"
    torch.save({"state": Payload(ran)}, path)
    torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert ran.exists(), "the payload works"
    ran.unlink()
    with pytest.raises(WeightsError, match=r"not a safetensors file .*pickled checkpoints can run code"):
        weights.load(folder, NAMES)
    assert not ran.exists()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        {},
        {"__metadata__": {"other": "{}"}},
        {"__metadata__": {"gait3dlib": "[1]"}},
        {"__metadata__": {"gait3dlib": "{"}},
        {"__metadata__": {"gait3dlib": "[" * 100_000}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}},
        {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}},
    ],
)
def test_headers_that_are_none(tmp_path: Path, header: object) -> None:
    with pytest.raises(WeightsError, match=r"not a safetensors file|a safetensors file, but"):
        weights.read(raw(tmp_path / "x.safetensors", header))


@pytest.mark.parametrize("size", [2**63, 2**40, 99_000_000])
def test_a_header_that_claims_to_be_huge_takes_no_memory(tmp_path: Path, size: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.read(raw(tmp_path / "x.safetensors", b"{}", size=size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


def test_files_that_are_missing_or_too_large(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no such weights file; train it with: gait3d train"):
        weights.load(tmp_path / "nowhere", NAMES)
    (folder / "skeleton_map.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no weights for 'skeleton_map' in .*known: silhouette"):
        weights.load(folder, NAMES)
    with pytest.raises(UnknownComponent, match="did you mean 'silhouette'"):
        weights.load(folder, ["silhouete"])
    with (folder / "silhouette.safetensors").open("r+b") as file:
        file.truncate(3 * 1024**3)  # sparse: takes no room
    with pytest.raises(WeightsError, match="larger than 2048 MiB"):
        weights.load(folder, ["silhouette"])


def test_any_damage_is_an_error_or_changes_nothing(folder: Path) -> None:
    path = folder / "silhouette.safetensors"
    whole = path.read_bytes()
    wanted = weights.fingerprint(weights.load(folder, ["silhouette"])[0])
    rng = random.Random(3)
    outcomes = {"refused": 0, "same": 0}
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 3))):
            # half of the hits in the header, where they hurt most
            damaged[rng.randrange(2000 if rng.random() < 0.5 else len(whole))] ^= 1 << rng.randrange(8)
        cut = rng.randrange(len(whole)) if rng.random() < 0.2 else None
        path.write_bytes(damaged[:cut])
        try:
            got = weights.fingerprint(weights.load(folder, ["silhouette"])[0])
        except WeightsError:
            outcomes["refused"] += 1
            continue
        assert got == wanted
        outcomes["same"] += 1
    assert outcomes["refused"] > 100, outcomes


# ---- files that do not belong together ------------------------------------------------------------


def config_of(**changes: Any) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    return lambda tensors, meta: meta["config"].update(changes)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("silhouette", config_of(width=16), r"project should be \[4, 128, 16\] and is \[4, 64, 16\]"),
        ("silhouette", config_of(width=10**7), r"project should be \[4, 80000000, 16\]"),
        ("silhouette", config_of(width=-1), "greater than or equal to 1"),
        ("silhouette", config_of(widht=8), "unknown key; did you mean 'width'"),
        ("silhouette", lambda t, m: m.update(config=[1]), "must be a mapping"),
        ("silhouette", lambda t, m: m.pop("config"), "offset should be"),
        (
            "silhouette",
            lambda t, m: m.update(name="lidar"),
            "was it renamed",
        ),
        ("silhouette", lambda t, m: m.update(kind="fusion"), "holds no weights for 'silhouette'"),
        ("fusion", config_of(dim=32), "should be .* and is"),
        ("fusion", config_of(dim=2**40), "do not fit|should be"),
        ("fusion", config_of(depth=10**9), "less than or equal to 64"),
        ("fusion", config_of(parts=10**9), "should be"),
        ("fusion", config_of(heads=3), "3 heads do not divide"),
        ("fusion", config_of(tasks=["x"]), "there is no task 'x'"),
        ("fusion", config_of(tasks=["age"]), "should be"),
        ("fusion", config_of(modalities=["silhouette"]), "should be None and is|built without"),
        ("fusion", lambda t, m: m.pop("config"), "must be a mapping"),
        ("fusion", lambda t, m: t.pop("fusion.identity"), r"fusion.identity should be \[2, 16\] and is None"),
        ("fusion", lambda t, m: t.update(more=torch.zeros(1)), "more should be None"),
        ("fusion", lambda t, m: t["fusion.identity"].fill_(torch.nan), "fusion.identity holds NaN"),
        ("fusion", lambda t, m: t["heads.age.label_sd"].fill_(torch.inf), "label_sd holds NaN or infinity"),
    ],
)
def test_tensors_that_do_not_fit_their_config(
    folder: Path, file: str, change: Callable[[Any, Any], None], message: str
) -> None:
    rewrite(folder / f"{file}.safetensors", change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=message):
        weights.load(folder, NAMES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_an_encoder_of_another_training_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tiny.save_weights(tmp_path / "other", made=tiny.model(seed=2))
    path = folder / "silhouette.safetensors"
    path.write_bytes((other / "silhouette.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="trained with another 'silhouette' encoder"):
        weights.load(folder, NAMES)
    weights.load(folder, ["skeleton_map"])


def test_weights_of_before_fusions_named_their_encoders_are_still_read(folder: Path) -> None:
    rewrite(folder / "fusion.safetensors", lambda tensors, meta: meta.pop("encoders"))
    weights.load(folder, NAMES)


def test_weights_may_be_kept_in_half_the_room(folder: Path) -> None:
    def halve(tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                tensors[name] = tensor.to(torch.bfloat16)
        meta.pop("encoders", None)

    for name in ("fusion", *NAMES):
        rewrite(folder / f"{name}.safetensors", halve)
    model: GaitModel = weights.load(folder, NAMES)[0]
    assert {p.dtype for p in model.parameters()} == {torch.float32}

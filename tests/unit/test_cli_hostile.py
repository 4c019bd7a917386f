"""Files and words that no verb can use: one sentence, and nothing is changed."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - to make a file that must not be read
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import film, gait3d, with_weights

import gait3dlib
from gait3dlib.gallery import Gallery

pytestmark = pytest.mark.usefixtures("at_home")


def edit(source: Path, target: Path, change: Callable[[h5py.File], None]) -> Path:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def replace(file: h5py.File, name: str, data: np.ndarray) -> None:  # type: ignore[type-arg]
    del file[name]
    file.create_dataset(name, data=data)


def nan(file: h5py.File) -> None:
    keypoints = file["walks/0/keypoints/data"][()]
    keypoints[3, 2, 0] = np.nan
    replace(file, "walks/0/keypoints/data", keypoints)


def backwards(file: h5py.File) -> None:
    replace(file, "walks/0/silhouette/t_ns", file["walks/0/silhouette/t_ns"][()][::-1].copy())


def of_floats(file: h5py.File) -> None:
    replace(file, "walks/0/silhouette/data", file["walks/0/silhouette/data"][()].astype(np.float32))


def flat(file: h5py.File) -> None:
    data = file["walks/0/silhouette/data"][()]
    replace(file, "walks/0/silhouette/data", data.reshape(len(data), -1))


def newer(file: h5py.File) -> None:
    file.attrs["schema"] = 99


class Payload:
    """What a pickled checkpoint can do to whoever opens it."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.sentinel,))


def make_bad(kind: str, things: Path, folder: Path) -> tuple[Path, list[object]]:
    """The bad file, and the words that use it."""
    path = folder / "bad.h5"
    recordings = {"NaN": nan, "time": backwards, "dtype": of_floats, "shape": flat, "schema": newer}
    if kind in recordings:
        edit(things / "ada.h5", path, recordings[kind])
    elif kind == "truncated":
        path.write_bytes((things / "ada.h5").read_bytes()[:-20_000])
    elif kind == "empty video":
        path = folder / "bad.mp4"
        path.touch()
    elif kind == "one frame walk":
        whole = gait3dlib.load(things / "ada.h5")
        first = {name: stream.slice(0, 1) for name, stream in whole.streams.items()}
        gait3dlib.save(path, gait3dlib.GaitSequence(first))
    elif kind in ("one frame", "nobody"):
        path = film(folder / "bad.mp4", 1 if kind == "one frame" else 40)
    elif kind == "gallery":
        path = folder / "other.db"
        with Gallery.open(path, "another-model", 128) as gallery:
            gallery.enroll("eve", np.ones(128, np.float32), ["silhouette"])
        return path, with_weights(things, "recognize", things / "ada.h5", "--gallery", path)
    elif kind in ("pickle", "pickled folder"):
        shutil.copytree(things / "weights", folder, dirs_exist_ok=True)
        path = folder / "silhouette.safetensors"
        path.write_bytes(pickle.dumps(Payload(folder / "it-ran")))
        named = path if kind == "pickle" else folder
        return path, ["recognize", things / "ada.h5", "--weights", named, "--modalities", "silhouette"]
    return path, with_weights(things, "recognize", path)


BAD = {
    "empty video": "bad.mp4",
    "nobody": "nobody walks in",
    "one frame": "nobody walks in",
    "one frame walk": "1 usable frame,",
    "NaN": "NaN",
    "dtype": "must be uint8",
    "shape": "must have shape",
    "time": "time stamps must increase",
    "truncated": "truncated",
    "schema": "schema 99",
    "gallery": "made by model",
    "pickle": "run code",
    "pickled folder": "run code",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence_and_changes_nothing(kind: str, things: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad, words = make_bad(kind, things, folder)
    before = bad.read_bytes(), sorted(folder.iterdir())
    result = gait3d(*words)
    assert result.exit_code == 1, result.output
    assert not result.stdout
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert BAD[kind] in result.stderr
    assert "Traceback" not in result.output
    assert "unexpected" not in result.output
    assert (bad.read_bytes(), sorted(folder.iterdir())) == before
    assert not (folder / "it-ran").exists()


def test_a_walk_without_evidence_is_passed_over(things: Path, tmp_path: Path) -> None:
    whole = gait3dlib.load(things / "ada.h5")
    blink = gait3dlib.GaitSequence({name: stream.slice(0, 1) for name, stream in whole.streams.items()})
    path = gait3dlib.save(tmp_path / "two.h5", blink, whole)
    result = gait3d(*with_weights(things, "recognize", path, "--json"))
    assert result.exit_code == 0
    assert [json.loads(line)["walk"] for line in result.stdout.splitlines()] == [1]
    assert result.stderr.startswith("a walk is passed over: the walk has 1 usable frame,")


def test_the_payload_would_have_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


def test_unknown_modality_and_untrained_weights(things: Path) -> None:
    unknown = gait3d(*with_weights(things, "recognize", things / "ada.h5", "--modalities", "silhouete"))
    assert unknown.exit_code == 2
    assert "did you mean 'silhouette'" in unknown.stderr
    untrained = gait3d("recognize", things / "ada.h5", "--weights", "none")
    assert untrained.exit_code == 1
    assert "untrained weights" in untrained.stderr
    nowhere = gait3d("recognize", things / "ada.h5", "--weights", things / "nowhere")
    assert nowhere.exit_code == 1
    assert "no such weights file" in nowhere.stderr


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (["no-such-walk.mp4"], 1, "there is no file"),
        (["both.h5", "--walk", 7], 1, "it has 2"),
        (["ada.h5", "--from", 2, "--to", 1], 2, "must be later"),
        (["ada.h5", "--from", 5], 1, "no frame lies between"),
        (["ada.h5", "--from", "nan"], 2, "number of seconds"),
        (["."], 1, "holds no image"),
    ],
)
def test_sources_that_do_not_fit(
    words: list[object], status: int, hint: str, things: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(things)
    result = gait3d(*with_weights(things, "recognize", *words))
    assert (result.exit_code, hint in result.stderr) == (status, True), result.output

"""The command line: what it prints, where, and with which exit status.

The weights here were never trained and only claim to be, so every name in these tests is a guess: what is
tested is the way from words to answers, not how good the answers are.
"""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to make a file that must not be read
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import gait3dlib
from gait3dlib.cli import VERBS, _answers, _listing, _output, app
from gait3dlib.gallery import Gallery
from gait3dlib.simulation import observe, sample_walker

ALL_VERBS = sorted(verb.__name__ for verbs in VERBS.values() for verb in verbs)


@pytest.fixture(scope="session")
def things(guessing_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and recordings of two simulated walkers."""
    folder = tmp_path_factory.mktemp("things")
    shutil.copytree(guessing_weights, folder / "weights")
    for index, name in enumerate(("ada", "bob")):
        seq, truth = observe(sample_walker(5, index), seed=1, view_deg=90, seconds=1.2, fps=15)
        gait3dlib.save(folder / f"{name}.h5", seq, truths=[truth])
    both = [gait3dlib.load(folder / f"{name}.h5") for name in ("ada", "bob")]
    gait3dlib.save(folder / "both.h5", *both)
    return folder


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    for name in ("GAIT3D_GALLERY", "GAIT3D_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def gait3d(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def good(*words: object) -> Result:
    result = gait3d(*words)
    assert result.exit_code == 0, result.output
    return result


def said_json(*words: object) -> dict[str, object]:
    """The one JSON object that a verb printed, and nothing else."""
    lines = good(*words, "--json").stdout.splitlines()
    assert len(lines) == 1
    value = json.loads(lines[0], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert isinstance(value, dict)
    return value


def with_weights(things: Path, *words: object) -> list[object]:
    return [*words, "--weights", things / "weights"]


# ---- words ----------------------------------------------------------------------------------------


def test_version_and_verbs() -> None:
    assert good("--version").stdout.strip() == f"gait3dlib {gait3dlib.__version__}"
    listed = good("--help").stdout
    assert all(f" {verb} " in listed for verb in ALL_VERBS)


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_every_verb_has_help_with_an_example_and_json(verb: str) -> None:
    text = " ".join(good(verb, "--help").stdout.split())
    assert f"Example: gait3d {verb}" in text
    assert "--json" in text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["recognise", "x"], "'recognize'"),
        (["recognize", "x", "--modality", "a"], "--modalities"),
        (["recognize"], "SOURCE"),
        (["recognize", "x", "--walk", "one"], "--walk"),
        (["simulate", "--out", "x", "--views", "ninety"], "parted by commas"),
        (["train", "silhuette", "--out", "x"], "'silhouette'"),
        (["train", "silhouette", "--out", "x", "--set", "schedule.stepps=3"], "'steps'"),
        (["record", "--sensor", "simulatd:", "--out", "x.h5"], "'simulated'"),
        (["card", "simulated_walker"], "'simulated_walkers'"),
    ],
)
def test_wrong_words_exit_with_2_and_a_hint(
    words: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = gait3d(*words)
    assert result.exit_code == 2
    assert hint in result.stderr
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_the_command_line_is_light() -> None:
    heavy = "torch", "numpy", "h5py", "cv2", "pydantic"
    code = f"import gait3dlib.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    started = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert time.monotonic() - started < 5.0  # 0.2 s on an idle machine


# ---- people ---------------------------------------------------------------------------------------


def test_with_nobody_enrolled_a_walk_is_described(things: Path, tmp_path: Path) -> None:
    result = good(*with_weights(things, "recognize", things / "ada.h5"))
    assert "unknown" in result.stdout
    assert "gait3d enroll" in result.stderr
    found = said_json(*with_weights(things, "recognize", things / "ada.h5"))
    assert (found["identity"], found["enrolled"], found["score"], found["candidates"]) == (
        "unknown",
        0,
        None,
        [],
    )
    assert found["age_years"]["mean"] > 0  # type: ignore[index]
    assert not (tmp_path / "home").exists()  # looking does not make a gallery


def test_enroll_recognize_forget(things: Path) -> None:
    found = said_json(*with_weights(things, "enroll", "ada", things / "ada.h5", "--to", 0.6))
    assert (found["subject"], found["walks"]) == ("ada", 1)
    assert 0.5 < float(str(found["seconds"])) < 0.6
    assert "2 walks" in good(*with_weights(things, "enroll", "ada", things / "both.h5", "--walk", 0)).stdout
    good(*with_weights(things, "enroll", "bob", things / "bob.h5"))
    again = said_json(*with_weights(things, "recognize", things / "ada.h5", "--from", 0.6))
    assert again["start_ns"] == 600_000_000
    assert again["enrolled"] == 3
    assert {c["subject"] for c in again["candidates"]} == {"ada", "bob"}  # type: ignore[attr-defined]
    # a whole walk that was enrolled as it is: the very same template
    same = said_json(*with_weights(things, "recognize", things / "both.h5", "--walk", 0))
    assert same["identity"] == "ada"
    assert same["score"] == pytest.approx(1.0, abs=1e-5)
    rows = good(*with_weights(things, "recognize", things / "both.h5"))
    assert [line.split()[0] for line in rows.stdout.splitlines() if line[:1].isdigit()] == ["0", "1"]
    assert "calibrate" in rows.stderr  # the threshold is not of this site, and that is said
    assert said_json("forget", "ada") == {"subject": "ada", "erased": 2}
    nobody = gait3d("forget", "bop")
    assert nobody.exit_code == 1
    assert "did you mean 'bob'?" in nobody.stderr
    assert good("forget", "bob").stdout == "forgot bob: 1 template erased\n"


def test_galleries_by_option_by_environment_and_by_default(
    things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, by_env = tmp_path / "deep" / "named.db", tmp_path / "env.db"
    good(*with_weights(things, "enroll", "ada", things / "ada.h5", "--gallery", named))
    monkeypatch.setenv("GAIT3D_GALLERY", str(by_env))
    good(*with_weights(things, "enroll", "bob", things / "ada.h5"))
    monkeypatch.delenv("GAIT3D_GALLERY")
    good(*with_weights(things, "enroll", "eve", things / "ada.h5"))
    for path, who in ((named, "ada"), (by_env, "bob"), (tmp_path / "home/gait3dlib/gallery.db", "eve")):
        with Gallery.open(path, *Gallery.model_of(path)) as gallery:
            assert gallery.subjects() == [who]
    missing = gait3d(*with_weights(things, "recognize", things / "ada.h5", "--gallery", tmp_path / "no.db"))
    assert missing.exit_code == 1
    assert "there is no gallery" in missing.stderr
    assert not (tmp_path / "no.db").exists()


def test_what_cannot_be_enrolled_leaves_no_gallery(things: Path, tmp_path: Path) -> None:
    for words in (["unknown", things / "ada.h5"], ["ada", things / "no.h5"]):
        assert gait3d(*with_weights(things, "enroll", *words)).exit_code == 1
    assert gait3d("enroll", "ada", things / "ada.h5", "--weights", "none").exit_code == 1
    assert not (tmp_path / "home").exists()


def test_verify(things: Path) -> None:
    same = said_json(*with_weights(things, "verify", things / "ada.h5", things / "both.h5", "--walk-b", 0))
    assert same["same"] is True
    assert same["score"] == pytest.approx(1.0, abs=1e-5)
    other = good(*with_weights(things, "verify", things / "ada.h5", things / "bob.h5"))
    assert "from simulated walkers" in other.stdout
    several = gait3d(*with_weights(things, "verify", things / "ada.h5", things / "both.h5"))
    assert several.exit_code == 1
    assert "0: 1.1 s" in several.stderr


def test_calibrate(things: Path, tmp_path: Path) -> None:
    for name in ("ada", "bob"):
        good(*with_weights(things, "enroll", name, things / f"{name}.h5"))
    walks = tmp_path / "walks"
    walks.mkdir()
    shutil.copy(things / "both.h5", walks / "both.h5")
    found = said_json(*with_weights(things, "calibrate", walks, things / "ada.h5", "--fpir", 0.4))
    assert found["walks"] == 3
    after = said_json(*with_weights(things, "recognize", things / "ada.h5"))
    assert (after["calibrated"], after["threshold"]) == (True, found["threshold"])
    words = with_weights(things, "calibrate", things / "both.h5", things / "ada.h5", "--fpir", 0.4)
    assert "40.00%" in good(*words).stdout
    (tmp_path / "nothing").mkdir()
    for words, hint in (
        ([tmp_path / "nothing"], "no recording"),
        ([tmp_path / "gone"], "no file or folder"),
        ([walks], "FPIR 0.01 needs"),
    ):
        result = gait3d(*with_weights(things, "calibrate", *words))
        assert result.exit_code == 1
        assert hint in result.stderr


# ---- bad input ------------------------------------------------------------------------------------


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


def film(path: Path, frames: int) -> Path:
    cv2 = pytest.importorskip("cv2")
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 120))
    shade = np.linspace(60, 200, 160, dtype=np.uint8)
    for _ in range(frames):
        out.write(np.repeat(np.tile(shade, (120, 1))[:, :, None], 3, axis=2))
    out.release()
    return path


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


# ---- sensors and recordings -----------------------------------------------------------------------

CORRIDOR = "simulated:seed=3,walkers=1,fps=12,gap_s=0.2"


def test_sensors_lists_what_can_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = said_json("sensors")
    assert {"video", "replay", "simulated"} <= {row["name"] for row in found["sensors"]}  # type: ignore[attr-defined]
    monkeypatch.setitem(_listing.NEEDS, "video", "nowhere")
    table = " ".join(good("sensors").stdout.split())
    assert "no pip install" not in table
    assert "nowhere is needed here" in table
    camera = tmp_path / "video3"
    camera.touch()
    assert _listing.webcam(camera) == {"name": "webcam", "call": "video:3", "works": True, "remedy": ""}


def test_record_then_recognize(things: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "walk.h5"
    made = said_json("record", "--sensor", CORRIDOR, "--out", out)
    assert (made["walks"], made["streams"], made["lost"]) == (1, ["depth", "keypoints", "silhouette"], 0)
    with gait3dlib.open_recording(out) as recording:
        assert len(recording.streams.t_ns("depth")) == made["frames"]
        assert recording.clock == "own"
        assert len(recording) == 1
    assert said_json(*with_weights(things, "recognize", out))["walk"] == 0
    again = gait3d("record", "--sensor", CORRIDOR, "--out", out)
    assert again.exit_code == 1
    assert "not overwritten" in again.stderr


def test_record_stops_after_the_seconds_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "short.h5"
    line = good("record", "--sensor", CORRIDOR, "--out", out, "--seconds", 0.5, "--no-walks").stdout
    assert "6 frames, 12.0 a second, 0 walks" in line


def test_colour_is_stored_only_when_asked_for(tmp_path: Path) -> None:
    video = film(tmp_path / "empty room.mp4", 4)
    nothing = gait3d("record", "--sensor", f"video:{video}", "--out", tmp_path / "a.h5", "--no-walks")
    assert nothing.exit_code == 2
    assert "--color" in nothing.stderr
    assert not (tmp_path / "a.h5").exists()
    made = said_json("record", "--sensor", f"video:{video}", "--out", tmp_path / "a.h5", "--color")
    assert (made["streams"], made["frames"]) == (["color"], 4)


def start_recording(out: Path) -> subprocess.Popen[str]:
    """A recording that goes on until it is stopped, with at least some frames on the disk."""
    sensor = "simulated:walkers=9,fps=12,gap_s=30,realtime=true"
    words = [sys.executable, "-m", "gait3dlib.cli", "record", "--sensor", sensor, "--out", str(out), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    part = out.with_name(out.name + ".part")
    while time.monotonic() < deadline and process.poll() is None:
        if part.exists() and time.time() - part.stat().st_ctime < 5 and part.stat().st_size > 20_000:
            break
        time.sleep(0.1)
    time.sleep(1.5)  # two flushes
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_recording_properly(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "walk.h5"
    process = start_recording(out)
    process.send_signal(number)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    made = json.loads(text)
    with gait3dlib.open_recording(out) as recording:
        assert len(recording.streams.t_ns("silhouette")) == made["frames"] > 0
    assert not out.with_name("walk.h5.part").exists()


def test_recover_after_kill(tmp_path: Path) -> None:
    out = tmp_path / "walk.h5"
    process = start_recording(out)
    process.kill()
    process.communicate()
    made = said_json("recover", tmp_path / "walk.h5.part")
    assert made["path"] == str(out)
    assert made["frames"]["depth"] >= 6  # type: ignore[index]
    assert "nothing to recover" in gait3d("recover", out).stderr
    assert gait3d("recover", tmp_path / "none.h5.part").exit_code == 1


# ---- data and models ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated people, two sessions, two views."""
    out = tmp_path_factory.mktemp("world") / "walks"
    words = ["--walkers", 4, "--sessions", 2, "--views", "45,90", "--seconds", 0.7, "--fps", 10, "--jobs", 1]
    made = said_json("simulate", "--out", out, *words)
    assert made == {"out": str(out), "walkers": 4, "walks": 16, "seed": 0}
    assert "4 walkers, 16 walks" in good("simulate", "--out", out, *words).stdout  # there already
    return out


def test_simulate_keeps_data_made_otherwise(world: Path) -> None:
    result = gait3d("simulate", "--out", world, "--walkers", 1, "--seed", 9)
    assert result.exit_code == 1
    assert "choose another folder" in result.stderr
    assert len(list(world.glob("*.h5"))) == 4


def test_evaluate(world: Path, things: Path, tmp_path: Path) -> None:
    words = with_weights(things, "evaluate", "--data", world, "--out", tmp_path / "results")
    found = said_json(*words)
    assert set(found["identification"]) >= {"silhouette", "silhouette + skeleton_map"}  # type: ignore[call-overload]
    assert json.loads((tmp_path / "results" / "report.json").read_text()) == found
    assert "| " in (tmp_path / "results" / "report.md").read_text()
    shown = good(*words)
    assert "rank-1" in shown.stdout
    assert "report.md" in shown.stderr
    assert gait3d(*with_weights(things, "evaluate", "--data", tmp_path / "none")).exit_code == 1


def test_train(world: Path, tmp_path: Path) -> None:
    settings = [
        f"data={world}", "validation_people=2", "modality.silhouette.width=8", "schedule.steps=2",
        "schedule.people=2", "schedule.walks=2", "schedule.frames=2", "schedule.precision=32-true",
    ]  # fmt: skip
    words = ["train", "silhouette", "--out", tmp_path / "run"]
    for setting in settings:
        words += ["--set", setting]
    made = said_json(*words)
    assert Path(str(made["weights"])).exists()
    assert "weights: " in good(*words, "--resume").stdout


def test_cards() -> None:
    assert "simulated_walkers" in good("card").stdout.split()
    assert "simulated_walkers" in said_json("card")["cards"]  # type: ignore[operator]
    held = said_json("card", "simulated_walkers")
    assert (held["kind"], held["name"]) == ("data", "simulated_walkers")
    assert "must not be used for" in good("card", "simulated_walkers").stdout
    assert models_lines({"a": {"b": 1, "c": [2, 3]}, "d": "e"}) == "a: b: 1, c: 2, 3\nd: e"


def models_lines(value: object) -> str:
    from gait3dlib.cli.models import _lines

    return _lines(value)


def test_doctor(capfd: pytest.CaptureFixture[str]) -> None:
    findings = said_json("doctor")["findings"]
    assert {"python", "numpy", "torch"} <= {row["name"] for row in findings}  # type: ignore[attr-defined]
    assert "numpy" in good("doctor").stdout
    assert not capfd.readouterr().err  # what native libraries say when they are tried is kept quiet


# ---- how a verb ends ------------------------------------------------------------------------------


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def verb() -> None:
        raise error

    with pytest.raises(Exception) as caught:  # noqa: PT011 - typer's Exit, which differs between releases
        _output.ends_well(verb)()
    return caught.value.exit_code, capsys.readouterr().err  # type: ignore[attr-defined]


def test_every_end_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(KeyboardInterrupt(), capsys) == (130, "stopped\n")
    assert ended(OSError(28, "No space left on device", "x.h5"), capsys) == (
        1,
        "Error: x.h5: No space left on device\n",
    )
    assert ended(MemoryError(), capsys)[0] == 1
    status, text = ended(ZeroDivisionError("by zero"), capsys)
    assert status == 1
    assert "unexpected error" in text
    assert "GAIT3D_TRACEBACK=1" in text
    assert "Traceback" not in text
    monkeypatch.setenv("GAIT3D_TRACEBACK", "1")
    assert "Traceback" in ended(ZeroDivisionError("by zero"), capsys)[1]


def test_names_from_files_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(ValueError("\x1b[2J\nrm"), capsys)[1].isascii() is False
    assert _output.clean("a\x1b[31mb\nc") == "a�[31mb c"


def test_json_is_strict() -> None:
    value = {"a": np.float32(1.5), "b": float("nan"), "c": (1, {2}), "d": Path("x")}
    assert _output.plain(value) == {"a": 1.5, "b": None, "c": [1, [2]], "d": "x"}


def test_times_and_genders() -> None:
    assert _answers.span(1_500_000_000, 3_000_000_000) == "1.5-3.0"
    assert len(_answers.span(1_700_000_000 * 10**9, 1_700_000_001 * 10**9)) == len("12:00:00")
    assert [_answers.gender(x) for x in (None, 0.9, 0.2)] == ["-", "f 90%", "m 80%"]


@pytest.mark.parametrize("where", ["full disk", "closed pipe"])
def test_an_output_that_cannot_be_written(where: str) -> None:
    words = [sys.executable, "-m", "gait3dlib.cli", "card", "simulated_walkers"]
    if where == "full disk":
        with open("/dev/full", "w") as full:
            out = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
        assert "No space left" in out.stderr
    else:
        read, write = os.pipe()
        os.close(read)
        out = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        assert not out.stderr
    assert out.returncode == 1
    assert "Traceback" not in out.stderr


def test_a_process_ends_with_the_status(things: Path) -> None:
    words = [sys.executable, "-m", "gait3dlib.cli", "recognize", str(things / "ada.h5"), "--weights", "none"]
    out = subprocess.run(words, capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (1, "")
    assert out.stderr.startswith("Error: ")

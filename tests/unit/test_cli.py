"""The command line: its verbs, words that are wrong, and how a verb ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import gait3d, good

import gait3dlib
from gait3dlib.cli import VERBS, _answers, _output

pytestmark = pytest.mark.usefixtures("at_home")

ALL_VERBS = sorted(verb.__name__ for verbs in VERBS.values() for verb in verbs)


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
    # processor time: what else runs on the machine is not the command line's fault
    code = (
        "import sys, time; start = time.process_time(); import gait3dlib.cli;"
        f"print([m for m in {heavy} if m in sys.modules]); print(time.process_time() - start)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held, seconds = out.stdout.splitlines()
    assert held == "[]"
    assert float(seconds) < 2.0  # 0.2 s on an idle machine


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

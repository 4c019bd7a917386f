"""People on the command line: enrolled, recognised, verified, calibrated, forgotten.

The weights here were never trained and only claim to be, so every name in these tests is a guess: what is
tested is the way from words to answers, not how good the answers are.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import gait3d, good, said_json, with_weights

from gait3dlib.gallery import Gallery

pytestmark = pytest.mark.usefixtures("at_home")


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

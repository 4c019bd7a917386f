"""The gallery's file: whose it is, what it refuses, what damage does."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from templates import DIM, PRINT, opened, run, unit

from gait3dlib.errors import GalleryError, GalleryMismatch
from gait3dlib.gallery import Calibration, Gallery
from gait3dlib.gallery.sqlite import SqliteGallery


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with opened(path) as gallery:
        gallery.enroll("ada", unit(1)[0], ["silhouette"])
        files = sorted(tmp_path.iterdir())
        assert [f.name for f in files] == ["g.db", "g.db-shm", "g.db-wal"]
        assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    path.chmod(0o644)
    with opened(path):
        assert {stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()} == {0o600}


def test_in_memory_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(None) as gallery:
        gallery.enroll("ada", unit(1)[0], ["silhouette"])
        assert gallery.forget("ada") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_model(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with opened(path) as gallery:
        gallery.enroll("ada", unit(1)[0], ["silhouette"])
    with pytest.raises(
        GalleryMismatch, match=r"0123456789ab .*fedcba987654 .*enrol again.*weights it was made by"
    ):
        Gallery.open(path, "fedcba9876543210", DIM)
    with pytest.raises(GalleryMismatch, match="64 numbers"):
        Gallery.open(path, PRINT, 32)
    with opened(path) as gallery:  # a refused opening changes nothing
        assert gallery.subjects() == ["ada"]


def test_closed_galleries() -> None:
    gallery = opened(None)
    gallery.close()
    gallery.close()
    for use in (lambda: gallery.search(unit(1)[0]), lambda: gallery.enroll("ada", unit(1)[0], ["depth"])):
        with pytest.raises(GalleryError, match="closed"):
            use()


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "folder"),
        (tmp_path / "no" / "g.db", "No such file"),
        ("http://localhost:19530", "no gallery backend for 'http'"),
        ("milvus://host", "no gallery backend"),
    ):
        with pytest.raises(GalleryError, match=words):
            Gallery.open(path, PRINT, DIM)


@pytest.fixture
def enrolled(tmp_path: Path) -> Path:
    path = tmp_path / "g.db"
    with opened(path) as gallery:
        for i, template in enumerate(unit(25)):
            gallery.enroll(f"p{i:02d}", template, ["silhouette"])
        gallery.set_calibration(Calibration(0.5, 0.1, 25, ("silhouette",), searches=30))
    assert [f.name for f in tmp_path.iterdir()] == ["g.db"]
    return path


def test_a_file_says_which_model_made_it(enrolled: Path, tmp_path: Path) -> None:
    assert Gallery.model_of(enrolled) == (PRINT, DIM)
    (tmp_path / "empty.db").touch()
    for nothing in ("empty.db", "absent.db"):
        with pytest.raises(GalleryError, match="there is no gallery"):
            Gallery.model_of(tmp_path / nothing)
    altered(enrolled, "DELETE FROM meta WHERE key = 'dim'")
    with pytest.raises(GalleryError, match="which model made it"):
        Gallery.model_of(enrolled)


def altered(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_foreign_and_newer_files(tmp_path: Path, enrolled: Path) -> None:
    text = tmp_path / "notes.txt"
    for content in (b"hello", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 3000):
        text.write_bytes(content)
        with pytest.raises(GalleryError, match="damaged or not a gallery"):
            opened(text)
        assert text.read_bytes() == content
    foreign = tmp_path / "other.db"
    altered(foreign, "CREATE TABLE precious (x)", "INSERT INTO precious VALUES (1)")
    foreign.chmod(0o644)
    before = foreign.read_bytes()
    with pytest.raises(GalleryError, match="not a gallery; give another path"):
        opened(foreign)
    assert foreign.read_bytes() == before
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o644
    altered(enrolled, "PRAGMA user_version = 2")
    with pytest.raises(GalleryError, match=r"newer gait3dlib \(schema 2, this one reads 1\); upgrade"):
        opened(enrolled)


def test_a_trigger_in_the_file_is_not_run(enrolled: Path) -> None:
    altered(
        enrolled,
        "CREATE TRIGGER template AFTER INSERT ON template BEGIN UPDATE template SET subject = 'eve'; END",
    )
    with pytest.raises(GalleryError, match="tables are not those of a gallery"):
        opened(enrolled)


def test_rows_that_are_not_templates(enrolled: Path) -> None:
    content = enrolled.read_bytes()
    for change in (
        "vector = x'00'",
        "vector = 'text'",
        "vector = zeroblob(256)",
        "vector = zeroblob(20000000)",
        "subject = x'ff'",
        "subject = CAST(x'ff41' AS TEXT)",
        "subject = 'p04'",
        "modalities = 'lidar'",
    ):
        altered(enrolled, f"UPDATE template SET {change} WHERE id = 3")
        with opened(enrolled) as gallery, pytest.raises(GalleryError, match="damaged"):
            gallery.search(unit(1)[0])
        enrolled.write_bytes(content)


def test_rows_with_a_good_checksum_and_a_bad_length(enrolled: Path) -> None:
    from gait3dlib.gallery.sqlite import _crc

    for value in (2.0, np.nan):
        vector = np.full(DIM, value, dtype="<f4").tobytes()
        with sqlite3.connect(enrolled) as db:
            db.execute(
                "UPDATE template SET vector = ?, crc = ? WHERE id = 1",
                (vector, _crc("p00", "silhouette", vector)),
            )
        db.close()
        with opened(enrolled) as gallery, pytest.raises(GalleryError, match="not of unit length"):
            gallery.search(unit(1)[0])


def test_a_bad_calibration_in_the_file(enrolled: Path) -> None:
    for value in ("'x'", "5.0"):
        altered(enrolled, f"UPDATE calibration SET fpir = {value}")
        with opened(enrolled) as gallery, pytest.raises(GalleryError, match="calibration is not one"):
            gallery.calibration(["silhouette"])


def test_damage_is_an_error_or_changes_no_answer(enrolled: Path, tmp_path: Path) -> None:
    queries = unit(2, seed=5)
    with opened(enrolled) as gallery:
        good = [gallery.search(q, top=40) for q in queries]
    content = enrolled.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "broken" / "b.db"
    path.parent.mkdir()
    outcomes = {"error": 0, "same": 0}
    for trial in range(150):
        bad = bytearray(content)
        if trial < 15:
            del bad[int(rng.integers(1, len(bad))) :]
        else:
            start = int(rng.integers(0, len(bad)))
            for at in range(start, min(start + int(rng.integers(1, 200)), len(bad))):
                bad[at] = int(rng.integers(0, 256))
        path.write_bytes(bad)
        try:
            with opened(path) as gallery:
                assert [gallery.search(q, top=40) for q in queries] == good
            outcomes["same"] += 1
        except GalleryError:
            outcomes["error"] += 1
        shutil.rmtree(path.parent)
        path.parent.mkdir()
    assert outcomes["error"] > 40


def test_errors_name_the_remedy(enrolled: Path) -> None:
    gallery = opened(enrolled)
    answer = run(
        "import threading, json\n"
        "gallery = Gallery.open(sys.argv[1], sys.argv[2], 64)\n"
        "said = []\n"
        "def use():\n"
        "    try: gallery.subjects()\n"
        "    except Exception as error: said.extend([type(error).__name__, str(error)])\n"
        "thread = threading.Thread(target=use); thread.start(); thread.join()\n"
        "print(json.dumps(said))",
        enrolled,
        PRINT,
    )
    kind, message = json.loads(answer)
    assert kind == "GalleryError"
    assert "thread" in message
    gallery.close()


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    path, templates = tmp_path / "g.db", unit(3, 4096)
    with opened(path, 4096) as gallery:
        assert isinstance(gallery, SqliteGallery)
        gallery.enroll("ada", templates[0], ["silhouette"])
        gallery._file.rows("PRAGMA max_page_count = 12")  # a small disk
        with pytest.raises(GalleryError, match=r"full; check the disk"):
            gallery.enroll("bob", templates[1], ["silhouette"])
        assert gallery.subjects() == ["ada"]


def test_people_can_be_listed_and_forgotten_without_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with Gallery.open(path, "0123abcd", 3) as gallery:
        gallery.enroll("ada", np.array([1.0, 0.0, 0.0], np.float32), ["silhouette"])
    assert Gallery.model_of(path) == ("0123abcd", 3)
    with Gallery.open(path, *Gallery.model_of(path)) as gallery:
        assert gallery.forget("ada") == 1
    (tmp_path / "empty.db").touch()
    for name in ("missing.db", "empty.db"):
        with pytest.raises(GalleryError, match="there is no gallery"):
            Gallery.model_of(tmp_path / name)
    assert (tmp_path / "empty.db").stat().st_size == 0
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 'many' WHERE key = 'dim'")
    with pytest.raises(GalleryError, match="which model"):
        Gallery.model_of(path)

"""The gallery: exact search, several processes, damaged files, and nothing on the disk after forgetting."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait3dlib.errors import GalleryError, GalleryMismatch, InputError
from gait3dlib.gallery import Calibration, Gallery, _file
from gait3dlib.gallery.sqlite import SqliteGallery

DIM = 64
PRINT = "0123456789abcdef" * 4
F32 = NDArray[np.float32]


def unit(n: int, dim: int = DIM, seed: int = 0) -> F32:
    x = np.random.default_rng(seed).normal(size=(n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def opened(path: Path | None, dim: int = DIM) -> Gallery:
    return Gallery.open(path, PRINT, dim)


def run(code: str, *arguments: object) -> str:
    """Run Python in another process and return what it prints."""
    preamble = "import sys, numpy as np\nfrom gait3dlib.gallery import Gallery\n"
    return subprocess.run(
        [sys.executable, "-c", preamble + code, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def disk(path: Path) -> bytes:
    """All bytes of the database and its side files; read by another process, since closing drops locks."""
    files = sorted(path.parent.glob(path.name + "*"))
    return subprocess.check_output(["cat", *map(str, files)])


def traces(path: Path, template: F32, *texts: str) -> list[str]:
    """What is found of a template (16 bytes at a time, since SQLite may split it) and of texts."""
    held, raw = disk(path), template.astype("<f4").tobytes()
    pieces = [raw[i : i + 16] for i in range(0, len(raw), 16)]
    found = [f"bytes {16 * i}" for i, piece in enumerate(pieces) if piece in held]
    return found + [text for text in texts if text.encode() in held]


# ---- searching ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [None, "g.db"])
def test_search_equals_brute_force(where: str | None, tmp_path: Path) -> None:
    templates, people = unit(60), [f"p{i % 17:02d}" for i in range(60)]
    kinds = [("silhouette",) if i % 3 else ("skeleton_map", "silhouette") for i in range(60)]
    with opened(where and tmp_path / where) as gallery:
        for person, template, kind in zip(people, templates, kinds, strict=True):
            gallery.enroll(person, template, kind)
        for only in (None, ("silhouette",), ("silhouette", "skeleton_map")):
            for query in unit(5, seed=1):
                best: dict[str, float] = {}
                for person, template, kind in zip(people, templates, kinds, strict=True):
                    if only is None or sorted(kind) == sorted(only):
                        score = sum(float(a) * float(b) for a, b in zip(template, query, strict=True))
                        best[person] = max(best.get(person, -2.0), score)
                expected = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:7]
                got = gallery.search(query, top=7, modalities=only)
                assert [c.subject for c in got] == [name for name, _ in expected]
                np.testing.assert_allclose([c.score for c in got], [s for _, s in expected], atol=1e-6)


def test_small_answers() -> None:
    a, b = unit(2)
    with opened(None) as gallery:
        assert gallery.search(a) == []
        assert (len(gallery), gallery.subjects(), gallery.entries()) == (0, [], [])
        gallery.enroll("zoe", 3.0 * a.astype(np.float64), ["silhouette"], note="coat")
        gallery.enroll("ada", a, ("skeleton_map", "silhouette", "silhouette"))
        found = gallery.search(a, top=9)
        assert [c.subject for c in found] == ["ada", "zoe"]  # equal scores: in order of pseudonym
        assert found[0].score == found[1].score <= 1.0
        assert found[0].score == pytest.approx(1.0, abs=1e-6)
        assert len(gallery.search(b, top=1)) == 1
        assert gallery.search(a, modalities=["lidar"]) == []
        assert gallery.subjects() == ["ada", "zoe"]
        assert (gallery.count("ada"), gallery.count("eve"), len(gallery)) == (1, 0, 2)
        first, second = gallery.entries()
        assert (first.note, second.modalities) == ("coat", ("silhouette", "skeleton_map"))
        assert first.created.endswith("+00:00")


def test_ids_are_never_given_again() -> None:
    (a,) = unit(1)
    with opened(None) as gallery:
        assert [gallery.enroll(n, a, ["silhouette"]) for n in ("x", "y")] == [1, 2]
        gallery.forget("y")
        assert gallery.enroll("z", a, ["silhouette"]) == 3


def test_reopening_keeps_everything(tmp_path: Path) -> None:
    path, (a, b) = tmp_path / "g.db", unit(2)
    with opened(path) as gallery:
        gallery.enroll("Ümlaut 7", a, ["silhouette"])
        before = gallery.search(b)
    with opened(path) as gallery:
        assert gallery.search(b) == before
        assert gallery.count("Ümlaut 7") == 1
    stored = sqlite3.connect(path).execute("SELECT vector FROM template").fetchone()[0]
    np.testing.assert_allclose(np.frombuffer(stored, "<f4"), a, rtol=3e-7)


@pytest.mark.parametrize(
    "subject", ["", " ", "unknown", "Unknown", " ada", "a\nb", "\x1b[31m", "x" * 201, None, 7]
)
def test_bad_pseudonyms(subject: str) -> None:
    with opened(None) as gallery, pytest.raises(InputError, match=r"pseudonym|strangers"):
        gallery.enroll(subject, unit(1)[0], ["silhouette"])


def test_bad_templates_and_arguments() -> None:
    (good,) = unit(1)
    nan, infinite = good.copy(), good.copy()
    nan[3], infinite[3] = np.nan, np.inf
    bad = [nan, infinite, np.zeros_like(good), good[:-1], good[None], np.ones(DIM, dtype=np.int64)]
    with opened(None) as gallery:
        for template in bad:
            with pytest.raises(InputError, match="template"):
                gallery.enroll("ada", template, ["silhouette"])
            with pytest.raises(InputError, match="template"):
                gallery.search(template)
        for kinds in ([], "silhouette", ["a,b"], [""]):
            with pytest.raises(InputError, match="modalities"):
                gallery.enroll("ada", good, kinds)
        with pytest.raises(InputError, match="at least one candidate"):
            gallery.search(good, top=0)
        assert len(gallery) == 0
    for fingerprint, dim in (("", 4), (PRINT, 0)):
        with pytest.raises(InputError, match="fingerprint"):
            Gallery.open(None, fingerprint, dim)


def test_calibrations(tmp_path: Path) -> None:
    record = Calibration(0.71, 0.01, 100, ("skeleton_map", "silhouette"), searches=250)
    with opened(tmp_path / "g.db") as gallery:
        assert gallery.calibration(["silhouette"]) is None
        gallery.set_calibration(record)
        gallery.set_calibration(Calibration(0.5, 0.1, 7, ("silhouette",), searches=30))
        gallery.set_calibration(Calibration(0.6, 0.1, 8, ("silhouette",), searches=40))
        for wrong in (
            (np.nan, 0.1, 1, 1),
            (0.5, 0.0, 1, 1),
            (0.5, 1.0, 1, 1),
            (0.5, 0.1, -1, 1),
            (0.5, 0.1, 1, -1),
        ):
            with pytest.raises(InputError, match="calibration"):
                gallery.set_calibration(Calibration(*wrong[:3], ("silhouette",), searches=wrong[3]))
    with opened(tmp_path / "g.db") as gallery:
        found = gallery.calibration(["silhouette", "skeleton_map"])
        assert found is not None
        assert found.created.startswith("20")
        assert (found.threshold, found.fpir, found.gallery_size, found.searches) == (0.71, 0.01, 100, 250)
        assert found.modalities == ("silhouette", "skeleton_map")
        newer = gallery.calibration(["silhouette"])
        assert newer is not None
        assert newer.threshold == 0.6


# ---- forgetting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [DIM, 1024])
@pytest.mark.parametrize("second", [False, True])
def test_forgetting_leaves_no_byte(tmp_path: Path, dim: int, second: bool) -> None:
    path, templates = tmp_path / "g.db", unit(36, dim)
    names = [f"walker-{i % 12:03d}-name" for i in range(36)]
    other = opened(path, dim) if second else None
    with opened(path, dim) as gallery:
        for name, template in zip(names, templates, strict=True):
            gallery.enroll(name, template, ["silhouette"], note=f"note of {name}")
        stored = {
            row[0]: np.frombuffer(row[1], "<f4")
            for row in sqlite3.connect(path).execute("SELECT id, vector FROM template")
        }
        if other is not None:
            assert len(other) == 36  # it has read, so it has a cache and a connection to the log
        for gone in (names[5], names[11]):
            mine = [stored[i + 1] for i, name in enumerate(names) if name == gone]
            assert len(traces(path, mine[0], gone)) > dim // 5  # the test can see them
            assert gallery.forget(gone) == 3
            for vector in mine:
                assert traces(path, vector, gone, f"note of {gone}") == []
            assert gallery.count(gone) == 0
            assert gone not in [c.subject for c in gallery.search(mine[0], top=200)]
            if other is not None:
                assert gone not in other.subjects()
        assert len(traces(path, stored[1], names[0])) > dim // 5  # the others stay
        assert gallery.forget("nobody") == 0
        assert len(gallery) == 30
    if other is not None:
        other.close()
    for i, name in enumerate(names):
        if name in (names[5], names[11]):
            assert traces(path, stored[i + 1], name) == []


def test_forgetting_also_wipes_what_others_left(tmp_path: Path) -> None:
    path, (a, b) = tmp_path / "g.db", unit(2, 1024)
    with opened(path, 1024) as gallery:
        gallery.enroll("ada-the-first", a, ["silhouette"])
        gallery.enroll("bob", b, ["silhouette"])
    with sqlite3.connect(path) as careless:
        careless.execute("PRAGMA secure_delete = OFF")
        careless.execute("DELETE FROM template WHERE subject = 'ada-the-first'")
    careless.close()
    assert traces(path, a) != []
    with opened(path, 1024) as gallery:
        assert isinstance(gallery, SqliteGallery)
        assert gallery._file.rows("PRAGMA secure_delete") == [(1,)]
        gallery.forget("bob")
        assert traces(path, a, "ada-the-first") == []


def test_a_reader_in_the_way_of_forgetting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file, "BUSY_S", 0.1)
    path, (a, b) = tmp_path / "g.db", unit(2, 1024)
    with opened(path, 1024) as gallery:
        gallery.enroll("ada", a, ["silhouette"])
        gallery.enroll("bob", b, ["silhouette"])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM template").fetchall()
        with pytest.raises(GalleryError, match="call forget again"):
            gallery.forget("ada")
        assert gallery.subjects() == ["bob"]  # gone from every answer, not yet from the disk
        with pytest.raises(GalleryError, match="call forget again"):
            gallery.forget("ada")
        reader.close()
        assert gallery.forget("ada") == 0
        assert traces(path, a, "ada") == []


def test_a_forget_cut_short_is_made_good_on_opening(tmp_path: Path) -> None:
    path, (a, b) = tmp_path / "g.db", unit(2, 1024)
    with opened(path, 1024) as gallery:
        gallery.enroll("ada-the-first", a, ["silhouette"])
        gallery.enroll("bob", b, ["silhouette"])
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys\n"
            "from gait3dlib.gallery import Gallery, _file\n"
            "_file.GalleryFile.erase = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
            "Gallery.open(sys.argv[1], sys.argv[2], 1024).forget('ada-the-first')\n",
            str(path),
            PRINT,
        ],
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert traces(path, a, "ada-the-first") != []
    with opened(path, 1024) as gallery:
        assert traces(path, a, "ada-the-first") == []
        assert gallery.subjects() == ["bob"]


# ---- several processes ----------------------------------------------------------------------------

ENROLL = """
from gait3dlib.gallery.base import check_template
path, print_, who, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
rng = np.random.default_rng(int(who))
with Gallery.open(path, print_, 64) as gallery:
    for i in range(n):
        gallery.enroll(f"{who}-{i}", rng.normal(size=64), ["silhouette"])
        assert gallery.count(f"{who}-{i}") == 1
"""


def test_writers_at_once_make_and_fill_one_file(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    preamble = "import sys, numpy as np\nfrom gait3dlib.gallery import Gallery\n"
    writers = [
        subprocess.Popen([sys.executable, "-c", preamble + ENROLL, str(path), PRINT, str(who), "15"])
        for who in range(3)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with opened(path) as gallery:
        entries = gallery.entries()
        assert sorted(e.subject for e in entries) == sorted(f"{w}-{i}" for w in range(3) for i in range(15))
        assert len({e.id for e in entries}) == 45
        template = np.random.default_rng(1).normal(size=64)
        assert gallery.search(template, top=1)[0].subject == "1-0"


def test_another_process_is_seen(tmp_path: Path) -> None:
    path, (a,) = tmp_path / "g.db", unit(1)
    with opened(path) as gallery:
        gallery.enroll("ada", a, ["silhouette"])
        assert [c.subject for c in gallery.search(a, top=5)] == ["ada"]
        run(ENROLL, path, PRINT, 7, 1)
        assert {c.subject for c in gallery.search(a, top=5)} == {"ada", "7-0"}
        run("Gallery.open(sys.argv[1], sys.argv[2], 64).forget('ada')", path, PRINT)
        assert gallery.subjects() == ["7-0"]


def test_the_matrix_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = SqliteGallery._load
    monkeypatch.setattr(SqliteGallery, "_load", lambda self, version: loads.append(1) or load(self, version))
    a, b = unit(2)
    with opened(None) as gallery:
        gallery.enroll("ada", a, ["silhouette"])
        for _ in range(3):
            gallery.search(b)
        assert len(loads) == 1
        gallery.enroll("bob", b, ["silhouette"])
        assert gallery.search(b, top=1)[0].subject == "bob"
        assert len(loads) == 2


def test_a_busy_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file, "BUSY_S", 0.1)
    path = tmp_path / "g.db"
    with opened(path) as gallery:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="in use by another process"):
            gallery.enroll("ada", unit(1)[0], ["silhouette"])
        writer.execute("ROLLBACK")
        gallery.enroll("ada", unit(1)[0], ["silhouette"])
        writer.close()


# ---- the file -------------------------------------------------------------------------------------


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

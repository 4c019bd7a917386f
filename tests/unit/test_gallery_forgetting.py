"""Forgetting leaves no byte, whatever else happens."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from templates import DIM, PRINT, opened, traces, unit

from gait3dlib.errors import GalleryError
from gait3dlib.gallery import _file
from gait3dlib.gallery.sqlite import SqliteGallery


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

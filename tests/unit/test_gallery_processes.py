"""A gallery that several processes read and write."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from templates import PRINT, opened, run, unit

from gait3dlib.errors import GalleryError
from gait3dlib.gallery import _file
from gait3dlib.gallery.sqlite import SqliteGallery

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

"""The gallery: exact search, pseudonyms, calibrations."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from templates import DIM, PRINT, opened, unit

from gait3dlib.errors import InputError
from gait3dlib.gallery import Calibration, Gallery


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

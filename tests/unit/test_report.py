"""The report page: what it says is what happened, and nothing in it can reach out or be injected."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.report import Outcome, ReportTable, ReportWalk, _media, outcome, write_report
from gait3dlib.types import UNKNOWN, Candidate, Estimate, Labels, Recognition

ENROLLED = ("ann", "bob", "cleo", "dan")
HOSTILE = "<script>alert('x')</script>\" onload=alert(1) & ${title}"


def capsule(rings: int = 40, around: int = 37) -> tuple[np.ndarray, np.ndarray]:
    """A standing capsule that sways, float32 [T, V, 3], and its triangles int32 [F, 3]."""
    along, angle = np.meshgrid(
        np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, around, endpoint=False)
    )
    shape = np.stack([np.sin(along) * np.cos(angle) * 0.2, np.sin(along) * np.sin(angle) * 0.2], -1)
    rest = (
        np.concatenate([shape, (0.85 - 0.85 * np.cos(along))[..., None]], -1)
        .transpose(1, 0, 2)
        .reshape(-1, 3)
    )
    t = np.arange(20) / 20 * 2 * np.pi
    frames = np.repeat(rest[None], 20, axis=0)
    frames[..., 0] += 3.0 + np.sin(t)[:, None] * 0.1 * rest[:, 2]
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = row * around + column, row * around + (column + 1) % around
    faces = np.stack([a, b, a + around, b, b + around, a + around], -1).reshape(-1, 3)
    return frames.astype(np.float32), faces.astype(np.int32)


def answer(identity: str = "ann", score: float = 0.8, **more) -> Recognition:
    others = [n for n in ENROLLED if n != identity]
    best = identity if identity != UNKNOWN else others.pop()
    found = (Candidate(best, score), *(Candidate(n, 0.4 - 0.2 * i) for i, n in enumerate(others)))
    return Recognition(identity, score, 0.6, more.pop("calibrated", True), found, **more)


def full_walk(identity: str = "ann", truth: str | None = "ann", seed: int = 0) -> ReportWalk:
    rng = np.random.default_rng(seed)
    vertices, faces = capsule()
    told = answer(
        identity,
        age_years=Estimate(41.2, 6.1),
        bmi_kg_m2=Estimate(24.13, 2.04),
        female=0.83,
        weights={"silhouette": 0.6, "skeleton_map": 0.3},
    )
    silhouettes = np.zeros((60, 64, 44), np.uint8)
    for t, frame in enumerate(silhouettes):
        frame[4:62, 12 + t % 9 : 30] = 255
    maps = np.clip(np.cumsum(rng.integers(-9, 10, (60, 2, 64, 44)), axis=-1) + 60, 0, 255).astype(np.uint8)
    labels = Labels(38.0, "female", 1.7, 70.0)
    return ReportWalk(f"walk {seed}", told, truth, labels, silhouettes, maps, vertices, faces)


def page(tmp_path: Path, walks: list[ReportWalk], **options) -> str:
    return write_report(tmp_path / "deep" / "report.html", walks, ENROLLED, **options).read_text("utf-8")


class Structure(HTMLParser):
    """Checks that tags are balanced and collects attributes and text."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    @property
    def said(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


# ---- what happened -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "truth", "expected"),
    [
        ("ann", "ann", Outcome.RIGHT),
        ("ann", "bob", Outcome.WRONG),
        (UNKNOWN, "bob", Outcome.MISSED),
        (UNKNOWN, "eve", Outcome.HELD_BACK),
        ("ann", "eve", Outcome.FALSE_ALARM),
        ("ann", None, Outcome.OPEN),
        (UNKNOWN, None, Outcome.OPEN),
    ],
)
def test_outcomes(said, truth, expected) -> None:
    assert outcome(ReportWalk("w", answer(said), truth), ENROLLED) is expected
    assert expected.good == (expected in {Outcome.RIGHT, Outcome.HELD_BACK})


def test_the_headline_counts_what_happened(tmp_path) -> None:
    said_and_true = [
        ("ann", "ann"),
        ("bob", "bob"),
        ("ann", "dan"),
        (UNKNOWN, "cleo"),
        (UNKNOWN, "eve"),
        ("ann", "fay"),
    ]
    walks = [ReportWalk(f"w{i}", answer(s), t) for i, (s, t) in enumerate(said_and_true)]
    shown = Structure(page(tmp_path, walks))
    assert "4 people are enrolled. 6 walks came in later: 4 by enrolled people, 2 by strangers." in shown.said
    assert "3 of 6 answers were right." in shown.said
    for tile in (
        "2 of 4 Named rightly",
        "1 of 2 Rightly unknown",
        "2 Named wrongly",
        "1 Not named",
        "25 % By chance",
    ):
        assert tile in shown.said
    for end in (Outcome.RIGHT, Outcome.WRONG, Outcome.MISSED, Outcome.HELD_BACK, Outcome.FALSE_ALARM):
        assert end.value in shown.said
    marks = {href for tag, attrs in shown.tags if tag == "use" for href in [attrs["href"]]}
    assert marks == {"#i-good", "#i-bad", "#i-warn"}  # not by colour alone


def test_walks_without_a_truth_are_not_judged(tmp_path) -> None:
    shown = Structure(page(tmp_path, [ReportWalk("w", answer(), None)])).said
    assert "1 walk came in later. Who they really were is not recorded." in shown
    assert "Not judged" in shown
    assert "Named rightly" not in shown


def test_a_card_shows_the_answer_beside_the_truth(tmp_path) -> None:
    text = page(tmp_path, [full_walk()])
    shown = Structure(text).said
    for part in (
        "41 ± 6 years",
        "really 38",
        "24.1 ± 2.0 kg/m²",
        "really 24.2",
        "female, 83 %",
        "really female",
    ):
        assert part in shown
    assert "silhouette 67 %" in shown  # shares are of the whole
    assert "skeleton map 33 %" in shown
    assert "threshold 0.600" in shown
    assert "not inferred" in shown


def test_bars_and_threshold_stay_on_the_scale(tmp_path) -> None:
    told = Recognition(
        UNKNOWN, -0.25, 1.5, True, (Candidate("ann", -0.25), Candidate("bob", -0.5)), female=0.2
    )
    text = page(tmp_path, [ReportWalk("w", told, "eve", Labels(gender="male"))])
    assert "−0.250" in text
    assert 'style="--t:1.0000"' in text
    assert text.count('style="--v:0.0000"') == 2
    assert "male, 80 %" in text


def test_an_uncalibrated_threshold_is_said_to_be_so(tmp_path) -> None:
    calibrated, other = ReportWalk("w", answer(), "ann"), ReportWalk("w", answer(calibrated=False), "ann")
    assert "not calibrated" not in page(tmp_path, [calibrated])
    assert "not calibrated" in page(tmp_path, [calibrated, other])


def test_tables_and_notes(tmp_path) -> None:
    table = ReportTable(
        "Alone", ["what", "rank-1", "from"], [["both", 0.98765, "0.9 to 1"], ["chance", 0.25, None]]
    )
    text = page(tmp_path, [full_walk()], tables=[table], notes=[("Simulated.", "No real person.")])
    assert '<td class="number">0.988</td>' in text
    assert '<td class="number">–</td>' in text
    assert '<th scope="col" class="">what</th>' in text
    assert text.index("<b>Simulated.</b>") < text.index("<b>Not for use against people.</b>")
    with pytest.raises(InputError, match="3 cells"):
        page(tmp_path, [full_walk()], tables=[ReportTable("Alone", ["a", "b", "c"], [["a"]])])


# ---- a page that can be trusted ------------------------------------------------------------------


def test_names_cannot_inject(tmp_path) -> None:
    told = Recognition(HOSTILE, 0.9, 0.6, True, (Candidate(HOSTILE, 0.9),), weights={HOSTILE: 1.0})
    walk = ReportWalk(HOSTILE, told, HOSTILE, body_caption=HOSTILE)
    table = ReportTable(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE)
    text = page(tmp_path, [walk], title=HOSTILE, setting=HOSTILE, tables=[table], notes=[(HOSTILE, HOSTILE)])
    shown = Structure(text)
    assert sum(tag == "script" for tag, _ in shown.tags) == 1
    assert not shown.values("onload")
    assert HOSTILE in " ".join(shown.text)


def test_a_name_that_is_not_unicode_is_written(tmp_path) -> None:
    assert "&#55296;" in page(tmp_path, [ReportWalk("\ud800", answer(), "ann")])


def test_only_the_pages_own_script_may_run(tmp_path) -> None:
    text = page(tmp_path, [full_walk()])
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_nothing_is_fetched(tmp_path) -> None:
    text = page(tmp_path, [full_walk()])
    shown = Structure(text)
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"base64,[\w+/=]+|data-\w+=\"[\w+/=]+\"", "", text))
    assert all(url.startswith("data:image/png") for url in re.findall(r"url\(([^)]*)\)", text))
    assert all(href.startswith("#") for href in shown.values("href"))
    assert not shown.values("src")
    ids = shown.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in shown.values("href")} <= set(ids)
    assert set(shown.values("data-mesh")) <= set(ids)


def test_sixteen_walks_fit_in_eight_megabytes_and_share_a_mesh(tmp_path) -> None:
    walks = [full_walk(seed=i) for i in range(16)]
    text = page(tmp_path, walks)
    assert len(text) < 8e6
    assert text.count("data-faces=") == 1
    assert page(tmp_path, walks) == text  # the same input gives the same bytes


def test_a_walk_may_lack_everything_but_an_answer(tmp_path) -> None:
    nobody = Recognition(UNKNOWN, 0.0, 0.6, True, ())
    shown = Structure(page(tmp_path, [ReportWalk("w", nobody, "eve")]))
    assert "nobody to compare with" in shown.said
    classes = {name for value in shown.values("class") for name in value.split()}
    assert not classes & {"stage", "shares", "estimates"}


@pytest.mark.parametrize(("walks", "enrolled"), [([], ENROLLED), ([ReportWalk("w", answer(), "ann")], ())])
def test_an_empty_report_is_refused(tmp_path, walks, enrolled) -> None:
    with pytest.raises(InputError, match="at least one walk"):
        write_report(tmp_path / "r.html", walks, enrolled)


# ---- pictures and bodies -------------------------------------------------------------------------


def test_a_sheet_is_a_png_whose_opacity_is_the_frames(tmp_path) -> None:
    cv2 = pytest.importorskip("cv2", reason="reads the PNG back")
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 44), np.uint8)
    uri, count = _media.sheet(frames)
    png = np.frombuffer(base64.b64decode(uri.removeprefix("data:image/png;base64,")), np.uint8)
    pixels = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert count == 3
    opacity = pixels[..., 3].reshape(64, 3, 46).transpose(1, 0, 2)
    np.testing.assert_array_equal(opacity[..., 1:-1], frames)
    assert not opacity[..., [0, -1]].any()
    assert (pixels[..., :3] == 255).all()


@pytest.mark.parametrize("shape", [(100, 64, 64), (5, 30, 200), (2, 480, 300), (1, 1, 1)])
def test_sheets_are_of_one_aspect_and_small(shape) -> None:
    cv2 = pytest.importorskip("cv2", reason="reads the PNG back")
    uri, count = _media.sheet(np.full(shape, 255, np.uint8))
    assert count == min(shape[0], 40)
    pixels = cv2.imdecode(
        np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    width = pixels.shape[1] / count - 2
    assert width / pixels.shape[0] == pytest.approx(44 / 64, abs=1 / min(pixels.shape[0], width))
    assert pixels.shape[0] <= 140
    assert pixels[..., 3].any()


def test_frames_are_spread_over_the_loop() -> None:
    assert _media.evenly(3, 8).tolist() == [0, 1, 2]
    assert _media.evenly(60, 4).tolist() == [0, 15, 30, 45]


def test_a_body_survives_quantisation_and_stands_on_the_floor() -> None:
    vertices, _ = capsule()
    body = _media.body(vertices)
    stored = np.frombuffer(base64.b64decode(body.vertices), "<i2").reshape(body.frames, -1, 3) * body.step
    chosen = vertices[_media.evenly(20, body.frames)].astype(float)
    chosen[..., :2] -= chosen[..., :2].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(stored, chosen - [0, 0, chosen[..., 2].min()], atol=body.step)
    assert body.step < 1e-4
    assert stored[..., 2].min() == 0


def test_a_fine_body_gets_fewer_frames() -> None:
    assert _media.body(np.ones((16, 6000, 3), np.float32)).frames == 7
    assert _media.body(np.ones((16, 1500, 3), np.float32)).frames == 16
    assert _media.body(np.zeros((1, 4, 3), np.float32)).frames == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: _media.sheet(np.zeros((2, 8, 8))),
        lambda: _media.sheet(np.zeros((0, 8, 8), np.uint8)),
        lambda: _media.body(np.zeros((4, 3), np.float32)),
        lambda: _media.body(np.full((1, 4, 3), np.nan, np.float32)),
        lambda: _media.body(np.full((1, 4, 3), 1700.0) * [[[1], [2], [3], [4]]]),
        lambda: _media.faces(np.zeros((2, 4), np.int32), 4),
        lambda: _media.faces(np.zeros((2, 3)), 4),
        lambda: _media.faces(np.full((2, 3), 4), 4),
        lambda: _media.faces(np.full((2, 3), -1), 4),
    ],
)
def test_wrong_pictures_and_bodies_are_refused(wrong) -> None:
    with pytest.raises(InputError):
        wrong()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_the_script_runs_in_a_browser(tmp_path) -> None:
    path = write_report(tmp_path / "report.html", [full_walk()], ENROLLED)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    flags += ["--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=1000"]
    done = subprocess.run(
        ["chromium", *flags, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ">Pause motion</button>" in done.stdout  # hidden and empty until the script has run
    canvas = re.search(r"<canvas[^>]*>", done.stdout)[0]
    assert int(re.search(r'\bwidth="(\d+)"', canvas)[1]) > 100  # sized when first drawn

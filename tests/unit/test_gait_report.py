"""The gait report: strides against what was simulated, uncertainties that hold, and a page that says so."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gait3dlib import save
from gait3dlib.body import MIRROR
from gait3dlib.cli import app
from gait3dlib.dynamics._filter import low_pass, scaled_cutoff
from gait3dlib.errors import InputError
from gait3dlib.report._gait_cycles import CURVES, FIGURES, PHASES, Strides, read_strides
from gait3dlib.report.gait import NAMES, GaitWalk, measure_walk, write_gait_report
from gait3dlib.simulation import sample_walker
from gait3dlib.types import GaitSequence, Labels, Meta, Stream

FPS, SECONDS = 60.0, 4.0


@pytest.fixture(scope="module")
def motion():
    return sample_walker(seed=3, index=1).walk(seed=0, fps=FPS, seconds=SECONDS)


@pytest.fixture(scope="module")
def joints(motion) -> np.ndarray:
    body = sample_walker(seed=3, index=1).body()
    return body.pose_joints(motion.rotations, motion.translation).astype(np.float64)


@pytest.fixture(scope="module")
def strides(joints: np.ndarray) -> Strides:
    return read_strides(joints, FPS)


def walk(joints: np.ndarray, fps: float = FPS, **meta) -> GaitSequence:
    t_ns = np.round(np.arange(len(joints)) * 1e9 / fps).astype(np.int64)
    return GaitSequence({"joints": Stream(joints.astype(np.float32), t_ns, "m")}, meta=Meta(**meta))


@pytest.fixture(scope="module")
def measured(joints: np.ndarray) -> GaitWalk:
    noisy = joints + np.random.default_rng(0).normal(0, 0.002, joints.shape)
    return measure_walk(walk(noisy, labels=Labels(height_m=1.66)), "Walk 0")


# ---- strides ---------------------------------------------------------------------------------------


def test_strides_are_those_that_were_simulated(strides: Strides, motion) -> None:
    way = np.diff(motion.translation[[0, -1], 0])[0]
    speed = way / (motion.t_s[-1] - motion.t_s[0])
    cycles = motion.phase[-1] - motion.phase[0]
    stride_s = (motion.t_s[-1] - motion.t_s[0]) / cycles
    assert len(strides) >= 2 * int(cycles) - 2
    figures = {name: np.nanmean(values) for name, values in strides.figures.items()}
    assert figures["stride_time"] == pytest.approx(stride_s, rel=0.01)
    assert figures["cadence"] == pytest.approx(120 / stride_s, rel=0.01)
    assert figures["speed"] == pytest.approx(speed, rel=0.01)
    assert figures["stride_length"] == pytest.approx(speed * stride_s, rel=0.01)
    both = [figures_of(strides, name, foot) for name in ("step_length", "step_time") for foot in (0, 1)]
    assert both[0] + both[1] == pytest.approx(speed * stride_s, rel=0.02), "two steps are a stride"
    assert both[2] + both[3] == pytest.approx(stride_s, rel=0.02)
    np.testing.assert_allclose(strides.figures["stance"] + strides.figures["swing"], 100)
    stance = [figures_of(strides, "stance", foot) for foot in (0, 1)]
    # what both feet stand together is what the stances exceed a stride by
    assert figures["double_support"] == pytest.approx(sum(stance) - 100, abs=1.0)


def figures_of(strides: Strides, name: str, foot: int) -> float:
    return float(np.nanmean(strides.figures[name][strides.of(foot)]))


def test_knees_bend_as_the_bones_say(strides: Strides, joints: np.ndarray) -> None:
    slow = low_pass(torch.from_numpy(joints), FPS, scaled_cutoff(strides.height_m))[0].numpy()
    for row, stride in enumerate(strides.found[:4]):
        hip, knee, ankle = (slow[stride.first : stride.last + 1, joint + stride.foot] for joint in (1, 4, 7))
        thigh, shank = knee - hip, ankle - knee
        cosine = (thigh * shank).sum(-1) / np.linalg.norm(thigh, axis=-1) / np.linalg.norm(shank, axis=-1)
        bent = np.degrees(np.arccos(cosine))
        at = np.linspace(0, len(bent) - 1, PHASES)
        wanted = np.interp(at, np.arange(len(bent)), bent)
        got = strides.curves["knee_angle"][row]
        # in the sagittal plane; in space a straight leg's bend has no sign
        assert np.abs(got - wanted)[wanted > 20].max() < 3
        assert 50 < got.max() < 80
        assert got.argmax() > 0.6 * PHASES


def test_the_foot_bears_the_body_while_it_stands(strides: Strides) -> None:
    for row, stride in enumerate(strides.found):
        up = strides.curves["ground_up"][row]
        leaves = round((stride.leaves - stride.first) / (stride.last - stride.first) * (PHASES - 1))
        assert up[leaves + 2 : -2].max(initial=0) < 1
        assert 80 < up.max() < 190
        assert up[4 : leaves - 4].min() > 30
        forward = strides.curves["ground_forward"][row]
        assert forward[: leaves // 2].mean() < 0 < forward[leaves // 2 : leaves].mean(), "brake, then drive"
        assert strides.curves["ankle_moment"][row].argmax() == pytest.approx(0.85 * leaves, abs=6)


def test_where_a_walk_goes_changes_nothing(strides: Strides, joints: np.ndarray) -> None:
    c, s = math.cos(2.2), math.sin(2.2)
    turned = joints @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + [4.0, 1.0, 0.0]
    same(read_strides(turned, FPS), strides)


def test_a_mirrored_walk_has_the_other_side(strides: Strides, joints: np.ndarray) -> None:
    mirrored = joints[:, list(MIRROR)] * [1, -1, 1]
    other = read_strides(mirrored, FPS)
    assert [s.foot for s in other.found] == [1 - s.foot for s in strides.found]
    same(other, strides)


def test_a_treadmill_changes_nothing(strides: Strides, joints: np.ndarray) -> None:
    belt = joints.copy()
    belt[..., 0] -= 1.4 * (np.arange(len(joints)) / FPS)[:, None]
    on_belt = read_strides(belt, FPS)
    for name in ("speed", "stride_length", "cadence", "step_length"):
        got, wanted = (np.nanmean(s.figures[name]) for s in (on_belt, strides))
        assert got == pytest.approx(wanted, rel=0.03), name


def same(one: Strides, other: Strides) -> None:
    for name in FIGURES:
        np.testing.assert_allclose(one.figures[name], other.figures[name], rtol=1e-6, atol=1e-9)
    for name in CURVES:
        np.testing.assert_allclose(one.curves[name], other.curves[name], rtol=1e-5, atol=1e-6)


# ---- uncertainty -----------------------------------------------------------------------------------


def test_what_is_said_is_as_uncertain_as_it_is(joints: np.ndarray, strides: Strides) -> None:
    """Measured with fresh noise, figures lie about the noiseless ones by what was said."""
    apart: dict[str, list[float]] = {name: [] for name in ("stride_length", "step_length", "stance", "speed")}
    for seed in range(2):
        noisy = joints + np.random.default_rng(100 + seed).normal(0, 0.006, joints.shape)
        found = measure_walk(walk(noisy), seed=seed)
        for name, rows in apart.items():
            value = found.value(name)
            assert value is not None
            rows.append((value.mean - float(np.nanmean(strides.figures[name]))) / value.sd)
    for name, rows in apart.items():
        assert np.abs(rows).max() < 4, (name, rows)


def test_more_trembling_is_more_uncertain(joints: np.ndarray) -> None:
    sds = []
    for size in (0.001, 0.008):
        noisy = joints + np.random.default_rng(5).normal(0, size, joints.shape)
        found = measure_walk(walk(noisy))
        value = found.value("step_length")
        assert value is not None
        sds.append(value.measurement)
    assert sds[1] > 2 * sds[0] > 0
    assert found.trembling_m == pytest.approx(0.008, rel=0.25)
    assert found.cutoff_hz == 3.0


def test_one_stride_has_no_spread_and_is_said_so(
    joints: np.ndarray, strides: Strides, tmp_path: Path
) -> None:
    first = strides.found[0]
    cut = joints[max(first.first - 10, 0) : first.last + 8]
    found = measure_walk(walk(cut), "short")
    value = found.value("stride_time", first.foot)
    assert value is not None
    assert value.strides == 1
    assert math.isnan(value.spread)
    page = write_gait_report(tmp_path / "one.html", [found]).read_text("utf-8")
    assert "So few strides" in page
    assert found.value("step_time", 1 - first.foot) is None
    assert found.asymmetry("stance") is None


def test_asymmetry_is_left_less_right(joints: np.ndarray) -> None:
    limp = joints.copy()
    found = measure_walk(walk(limp))
    left, right, apart = found.value("stance", 0), found.value("stance", 1), found.asymmetry("stance")
    assert left and right and apart
    assert apart.mean == pytest.approx(200 * (left.mean - right.mean) / (left.mean + right.mean))


def test_without_a_stride_there_is_no_report(joints: np.ndarray) -> None:
    with pytest.raises(InputError, match="record 3 s or more"):
        measure_walk(walk(joints[:50]))
    with pytest.raises(InputError, match="divide them by 1000"):
        measure_walk(walk(joints * 1000))


# ---- the page --------------------------------------------------------------------------------------


class Structure(HTMLParser):
    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href", "xlink:href") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)

    @property
    def said(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def test_the_page_holds_everything_and_asks_for_nothing(measured: GaitWalk, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>${title}"
    path = write_gait_report(tmp_path / "deep" / "gait.html", [measured], setting=hostile)
    text = path.read_text("utf-8")
    assert len(text) < 150_000
    page = Structure(text)
    assert "script" not in page.tags and "img" not in page.tags and "link" not in page.tags
    assert "://" not in text
    assert "default-src 'none'" in text
    assert hostile in page.said
    assert "Not a medical device" in page.said and "inferred" in page.said
    assert page.tags.count("svg") == len(CURVES)
    for label, unit, _ in NAMES.values():
        assert f"{label}, {unit}" in page.said
    assert page.said.count("±") > 3 * len(NAMES)
    assert "body height 1.66 m" in page.said
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", text):
        assert re.search(r"left ± [\d.e-]+ from stride to stride, ± [\d.e-]+ measured", caption), caption
    assert "nan" not in page.said.lower().replace("finance", "")


# ---- gait3d derive --report ------------------------------------------------------------------------


def test_derive_writes_the_report(joints: np.ndarray, tmp_path: Path) -> None:
    seq, short = walk(joints[:300]), walk(joints[:40])
    save(tmp_path / "walk.h5", seq, short)
    out = tmp_path / "gait.html"
    ran = CliRunner().invoke(app, ["derive", str(tmp_path / "walk.h5"), "--report", str(out), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert [row["walk"] for row in told["walks"]] == [0], "the second is too short, and said so"
    assert "walk 1 left out" in ran.stderr
    assert told["walks"][0]["figures"]["cadence"]["sd"] > 0
    assert "Walk 0" in out.read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "--stream smpl, or --report"),
        (["--report", "gait.pdf"], 2, "must end in .html"),
        (["--report", "gait.html", "--walk", "1"], 1, "no walk of walk.h5 can be reported on"),
    ],
)
def test_derive_says_what_is_wrong_with_a_report(
    joints: np.ndarray, tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    save(tmp_path / "walk.h5", walk(joints[:100]), walk(joints[:40]))  # 0.7 s hold no stride
    ran = CliRunner().invoke(app, ["derive", str(tmp_path / "walk.h5"), *words])
    assert ran.exit_code == status
    assert said in ran.stderr

"""The gait report's norms of real people, and its plots."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from gait3dlib._resources import asset
from gait3dlib.report._gait_cycles import CURVES, FIGURES, PHASES
from gait3dlib.report._gait_norms import FILE, shipped_norms
from gait3dlib.report._gait_plots import Line, _nice, plot


def test_norms_are_small_and_of_named_people() -> None:
    assert asset(FILE).stat().st_size < 100_000
    norms = shipped_norms()
    assert set(norms.figures) == set(FIGURES) and set(norms.curves) == set(CURVES)
    assert "CMU" in norms.sources[0] and "biomechZoo" in norms.sources[0]
    for norm in (*norms.figures.values(), *norms.curves.values()):
        assert norm.people >= 10
        assert np.isfinite(norm.mean).all() and (norm.sd >= 0).all()
    for name in CURVES:
        assert norms.curve(name, 1.7).mean.shape == (PHASES,)


def test_norms_agree_with_textbooks() -> None:
    """Perry and Burnfield, Gait Analysis (2010); Winter, Biomechanics and Motor Control (2009)."""
    norms = shipped_norms()
    knee = norms.curve("knee_angle", 1.7).mean
    assert 55 < knee.max() < 70 and 0.68 < knee.argmax() / (PHASES - 1) < 0.78
    ankle = norms.curve("ankle_moment", 1.7).mean
    assert 1.2 < ankle.max() < 1.8 and 0.42 < ankle.argmax() / (PHASES - 1) < 0.55
    assert 2 < norms.curve("ankle_power", 1.7).mean.max() < 5
    up = norms.curve("ground_up", 1.7).mean
    assert 105 < up.max() < 130 and abs(up[35:48]).max() < 5
    assert 100 < float(norms.figure("cadence", 1.7).mean) < 125
    assert 57 < float(norms.figure("stance", 1.7).mean) < 63


@pytest.mark.data
def test_the_tool_makes_the_shipped_norms(data_dir: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "tools" / "learn_gait_norms.py"
    spec = importlib.util.spec_from_file_location("learn_gait_norms", path)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made, shipped = tool.learn(data_dir), shipped_norms()
    assert made.sources == shipped.sources
    for kind in ("figures", "curves"):
        for name, norm in getattr(made, kind).items():
            np.testing.assert_allclose(norm.mean, getattr(shipped, kind)[name].mean, atol=2e-3, err_msg=name)


def test_a_plot_puts_values_where_they_are() -> None:
    flat, zero = np.full(3, 5.0), np.zeros(3)
    svg = plot("A < B", "m", [Line("left", np.array([0.0, 5.0, 10.0]), zero, 0.6)], flat, zero + 5)
    found = re.search(r'class="line left" d="M([\d. L]+)"', svg)
    assert found
    points = [tuple(map(float, pair.split())) for pair in found[1].split("L")]
    assert points[0][1] - points[1][1] == pytest.approx(points[1][1] - points[2][1], abs=0.11)
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.11)
    assert points[0][1] > points[2][1], "up is up"
    assert "A &lt; B" in svg
    assert [_nice(x) for x in (0.9, 1.0, 1.1, 3.0, 7.0, 0.03)] == pytest.approx([1, 1, 2, 5, 10, 0.05])

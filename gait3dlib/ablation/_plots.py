"""An ablation as SVG pictures, drawn by matplotlib where it is installed."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gait3dlib._optional import require
from gait3dlib.ablation._judge import MEASURES
from gait3dlib.ablation._report import AblationReport
from gait3dlib.ablation._tables import PERCENT, heading, surely

INK, QUIET, ONE, ALL = "#5f646d", "#c9c6bd", "#2160a5", "#c2571a"
COLOURS = ("#2160a5", "#c2571a", "#4d8a3d", "#8a5bb0", "#b0914a", "#3f9a9a", "#b05b6f", "#5f646d")
MOST_ROWS = 40  # rows of a picture; of more subsets the best and the single ones are drawn


def plots_of(report: AblationReport) -> dict[str, str]:
    """File stem -> SVG: each measure by subset, by the first covariate, and over each sweep.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    found = {}
    with _style() as plt:
        for measure in report.measures:
            found[f"subsets-{_stem(measure)}"] = _subsets(plt, report, measure)
            for covariate in report.covariates:
                found[f"{_stem(covariate)}-{_stem(measure)}"] = _heat(plt, report, covariate, measure)
        for kind in dict.fromkeys(f.corruption for f in report.sweeps if f.corruption):
            for measure in report.measures:
                found[f"sweep-{kind}-{_stem(measure)}"] = _sweep(plt, report, kind, measure)
    return {name: svg for name, svg in found.items() if svg}


@contextmanager
def _style() -> Iterator[Any]:
    """matplotlib's pyplot in the look of the reports, without a window, and the same bytes each time."""
    matplotlib = require("matplotlib")
    matplotlib.use("Agg")
    plt = require("matplotlib.pyplot")
    style = {
        "svg.hashsalt": "gait3dlib",
        "svg.fonttype": "none",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": QUIET,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "savefig.transparent": True,
    }
    with matplotlib.rc_context(style):
        yield plt


def _subsets(plt: Any, report: AblationReport, measure: str) -> str:
    """Every subset as a point with its interval, best on top; dots below tell what is in it."""
    better = 1 if MEASURES[measure][1] else -1
    rows = [f for f in report.rows(measure).values() if not math.isnan(f.value.value)]
    rows.sort(key=lambda f: better * f.value.value)
    kept = set(map(id, rows[-MOST_ROWS:])) | {id(f) for f in rows if len(f.modalities) == 1}
    rows = [f for f in rows if id(f) in kept]
    if not rows:
        return ""
    names = report.modalities
    figure, (dots, axes) = plt.subplots(
        1,
        2,
        figsize=(8, 1.2 + 0.22 * len(rows)),
        sharey=True,
        gridspec_kw={"width_ratios": [len(names), 14], "wspace": 0.03},
    )
    scale = 100.0 if measure in PERCENT else 1.0
    for y, row in enumerate(rows):
        colour = ALL if len(row.modalities) == len(names) else ONE if len(row.modalities) == 1 else INK
        value, low, high = (scale * v for v in (row.value.value, row.value.low, row.value.high))
        if not math.isnan(low):
            axes.plot([low, high], [y, y], color=colour, lw=1.2)
        axes.plot([value], [y], "o", color=colour, ms=5, mfc=colour if surely(row) else "white")
        dots.plot(range(len(names)), [y] * len(names), "o", color=QUIET, ms=3)
        dots.plot(
            [names.index(n) for n in row.modalities], [y] * len(row.modalities), "o", color=colour, ms=5
        )
    chance = rows[0].chance
    if not math.isnan(chance):
        axes.axvline(scale * chance, color=QUIET, ls="--", lw=1)
    axes.set_xlabel(heading(measure))
    axes.grid(axis="x", color=QUIET, lw=0.4)
    dots.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=60, ha="right")
    dots.set_yticks([])
    axes.tick_params(left=False)
    dots.margins(x=0.15 if len(names) > 1 else 1)
    return _svg(plt, figure, f"{heading(measure)} of every subset")


def _heat(plt: Any, report: AblationReport, covariate: str, measure: str) -> str:
    """Single modalities, leave-one-out and all of them, by the values of a covariate."""
    every = report.modalities
    names = [n for n in report.rows(measure) if len(n) in (1, len(every) - 1, len(every))]
    names.sort(key=lambda n: (len(n), n))
    levels = [v for v in report.covariates[covariate] if report.rows(measure, covariate, v)]
    if not levels or not names:
        return ""
    scale = 100.0 if measure in PERCENT else 1.0
    cells = {v: report.rows(measure, covariate, v) for v in levels}
    values = [[scale * cells[v][n].value.value for v in levels] for n in names]
    figure, axes = plt.subplots(figsize=(2.2 + 0.55 * len(levels), 1.2 + 0.28 * len(names)))
    better = MEASURES[measure][1]
    axes.imshow(values, cmap="Blues" if better else "Blues_r", aspect="auto", alpha=0.75)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            axes.text(
                j, i, "-" if math.isnan(value) else f"{value:.3g}", ha="center", va="center", color="#1a1c20"
            )
    labels = [_short(n, every) for n in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set_xticks(range(len(levels)), levels, rotation=45, ha="right")
    axes.set_title(f"{heading(measure)} by {covariate}", loc="left", fontsize=9)
    axes.spines[:].set_visible(False)
    return _svg(plt, figure, f"{heading(measure)} by {covariate}")


def _short(names: tuple[str, ...], every: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0].replace("_", " ")
    missing = [n for n in every if n not in names]
    return f"without {missing[0].replace('_', ' ')}" if missing else "all"


def _sweep(plt: Any, report: AblationReport, kind: str, measure: str) -> str:
    """A line a modality that went wrong: all modalities solid, that one alone dashed."""
    rows = [f for f in report.sweeps if f.corruption == kind and f.measure == measure]
    rows = [f for f in rows if not math.isnan(f.value.value)]
    clean = {f.modalities: f for f in report.figures if (f.measure, f.covariate) == (measure, "")}
    if not rows:
        return ""
    scale = 100.0 if measure in PERCENT else 1.0
    figure, axes = plt.subplots(figsize=(5.4, 3.2))
    for number, name in enumerate(report.modalities):
        for names in ((name,), report.modalities) if len(report.modalities) > 1 else ((name,),):
            line = [f for f in rows if f.corrupted == name and f.modalities == names]
            line.sort(key=lambda f: f.strength)
            if not line:
                continue
            line = [clean[names], *line]
            x, y = [f.strength for f in line], [scale * f.value.value for f in line]
            colour = COLOURS[number % len(COLOURS)]
            alone = names == (name,)
            label = "" if alone and len(report.modalities) > 1 else name.replace("_", " ")
            axes.plot(x, y, "--" if alone else "-", marker="o", ms=3, color=colour, label=label)
            if not alone:
                low, high = ([scale * getattr(f.value, end) for f in line] for end in ("low", "high"))
                axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    axes.set_xlabel(f"{kind.replace('_', ' ')}; solid: all modalities, dashed: that one alone")
    axes.set_ylabel(heading(measure))
    axes.grid(color=QUIET, lw=0.4)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return _svg(plt, figure, f"{heading(measure)} under {kind}")


def _svg(plt: Any, figure: Any, title: str) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Title": title})
    plt.close(figure)
    return out.getvalue()


def _stem(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

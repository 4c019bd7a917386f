"""The gait report: what a clinician or coach looks at, each figure with its uncertainty, on one HTML page.

>>> walk = measure_walk(gait3dlib.load("walk.h5"))  # doctest: +SKIP
>>> write_gait_report("gait.html", [walk])          # doctest: +SKIP

Not a medical device: the page says so, and what its figures rest on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gait3dlib.errors import InputError
from gait3dlib.report._gait_cycles import JOINTS, SIDES, Strides, read_strides
from gait3dlib.report._gait_norms import Norm, Norms, shipped_norms
from gait3dlib.report._gait_plots import Line, plot
from gait3dlib.report._gait_walk import Curve, GaitWalk, Value, measure_walk
from gait3dlib.report._html import Html, fill, join

__all__ = [
    "Curve",
    "GaitWalk",
    "Norms",
    "Strides",
    "Value",
    "measure_walk",
    "read_strides",
    "write_gait_report",
]

# figure -> what it is called, its unit, decimals
NAMES = {
    "speed": ("Walking speed", "m/s", 2),
    "cadence": ("Cadence", "steps/min", 0),
    "stride_length": ("Stride length", "m", 2),
    "stride_time": ("Stride time", "s", 2),
    "step_width": ("Step width", "m", 3),
    "double_support": ("Double support", "% of cycle", 1),
    "step_length": ("Step length", "m", 2),
    "step_time": ("Step time", "s", 2),
    "stance": ("Stance", "% of cycle", 1),
    "swing": ("Swing", "% of cycle", 1),
}
WHOLE = ("speed", "cadence", "stride_length", "stride_time", "step_width", "double_support")
SIDED = ("step_length", "step_time", "stance", "swing")
TILES = ("speed", "cadence", "stride_length", "double_support")
GROUPS = {
    "Joint angles": (
        [f"{joint}_angle" for joint in JOINTS],
        "Sagittal plane; flexion and dorsiflexion up. Hip: thigh against the vertical. Ankle: about its "
        "mean, as joint centres do not tell how the sole is tilted.",
    ),
    "Joint moments (inferred)": (
        [f"{joint}_moment" for joint in JOINTS],
        "Internal moments, extension and plantarflexion up; per kilogram of body mass.",
    ),
    "Joint powers (inferred)": (
        [f"{joint}_power" for joint in JOINTS],
        "Power put into the body up, taken up from it down; per kilogram of body mass.",
    ),
    "Ground reaction (inferred)": (
        ["ground_up", "ground_forward", "ground_inward"],
        "Force of the floor on each foot, in % of body weight.",
    ),
}
UNTOLD = 50.0  # % of uncertainty from which a difference between the sides is not shown
AXES = {"up": "Vertical", "forward": "Forward", "inward": "Inward"}
UNITS = {"angle": "degrees", "moment": "N m/kg", "power": "W/kg"}
NOTES = (
    (
        "Value ± standard uncertainty.",
        "It joins how much the mean of so few strides may be off and how well the walk was measured. The "
        "latter comes from measuring again: the sampling shifted by a part of a frame and the joints' "
        "trembling added once more, smoothed by up to a third more or less. What errs all walk long, such as "
        "a joint taken to lie too deep in the body, does not show.",
    ),
    (
        "Forces are inferred, not measured.",
        "They follow from the motion by Newton's law, from tabled segment masses, and from the usual ground "
        "reaction of walking people (eleven children on force plates). An unusual push-off comes out more "
        "usual than it is.",
    ),
    (
        "Heel strike and toe-off",
        "are where the foot's joints come to rest and leave the floor; to a few hundredths of a second.",
    ),
    (
        "The grey band is no limit of health.",
        "It is the mean ± one standard deviation between a few real people of all speeds, analysed in the "
        "same way; a third of them lie outside it.",
    ),
)


def write_gait_report(
    path: str | Path, walks: Sequence[GaitWalk], *, title: str = "Gait report", setting: str = ""
) -> Path:
    """Write one self-contained HTML page: no script, no address that is contacted.

    Args:
        path: the file; its folder is made if need be.
        walks: from :func:`measure_walk`, in the order they are shown.
        title: the headline.
        setting: a line above it, such as the name of the recording.

    Raises:
        InputError: no walk.
    """
    if not walks:
        raise InputError("a gait report needs at least one walk")
    norms = shipped_norms()
    strides = sum(len(walk.strides) for walk in walks)
    page = fill(
        "gait_page",
        title=title,
        eyebrow=setting or "gait3dlib",
        lead=f"{_plural(len(walks), 'walk')}, {_plural(strides, 'whole stride')}. Curves run from a heel "
        "strike to the next one of the same foot.",
        walks=join(_walk(walk, norms) for walk in walks),
        notes=join(
            fill("note", bold=bold, text=text)
            for bold, text in (*NOTES, *(("Source of the grey bands.", source) for source in norms.sources))
        ),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.encode("utf-8", errors="xmlcharrefreplace"))
    return path


def _walk(walk: GaitWalk, norms: Norms) -> Html:
    height = walk.strides.height_m
    left, right = (int(walk.strides.of(foot).sum()) for foot in (0, 1))
    about = (
        f"{walk.seconds:.1f} s at {walk.fps:.3g} frames a second from {walk.source}; {left} left and "
        f"{right} right strides; body height {height:.2f} m; joints tremble by "
        f"{1000 * walk.trembling_m:.1f} mm and were smoothed at {walk.cutoff_hz:.2g} Hz."
    )
    if min(left, right) < 3:
        about += " So few strides say little of how much somebody's walk varies."
    return fill(
        "gait_walk",
        title=walk.title,
        about=about,
        tiles=join(_tile(walk, name) for name in TILES if walk.value(name)),
        tables=join([_figures(walk, norms, height), _sides(walk, norms, height)]),
        groups=join(_group(walk, norms, title, height) for title in GROUPS),
    )


def _tile(walk: GaitWalk, name: str) -> Html:
    value = walk.value(name)
    assert value is not None
    label, unit, digits = NAMES[name]
    return fill(
        "gait_tile", name=label, value=_number(value.mean, digits), more=f"± {_sd(value, digits)} {unit}"
    )


def _figures(walk: GaitWalk, norms: Norms, height: float) -> Html:
    rows = []
    for name in WHOLE:
        value, (label, unit, digits) = walk.value(name), NAMES[name]
        rows.append([f"{label}, {unit}", *_cells(value, digits), _usual(norms.figure(name, height), digits)])
    columns = ("Both feet", "value", "stride to stride (SD)", "measurement (SD)", "strides", "real walkers")
    return _table(
        "Steps and strides", "Real walkers: mean ± SD between people, scaled to this height.", columns, rows
    )


def _sides(walk: GaitWalk, norms: Norms, height: float) -> Html:
    rows = []
    for name in SIDED:
        label, unit, digits = NAMES[name]
        cells = [f"{label}, {unit}"]
        for foot in range(len(SIDES)):
            value = walk.value(name, foot)
            cells.append("–" if value is None else f"{_number(value.mean, digits)} ± {_sd(value, digits)}")
        apart = walk.asymmetry(name)
        told = apart is not None and apart.sd < UNTOLD
        cells.append(
            f"{_number(apart.mean, 1, sign=True)} ± {_sd(apart, 1)}" if apart and told else "not told"
        )
        rows.append([*cells, _usual(norms.figure(name, height), digits)])
    columns = ("Each foot", "left", "right", "left − right, % of mean", "real walkers")
    note = "Symmetry: 0 % = the same on both sides. A difference below twice its ± may be none."
    return _table("Left and right", note, columns, rows)


def _group(walk: GaitWalk, norms: Norms, title: str, height: float) -> Html:
    names, note = GROUPS[title]
    plots = []
    for name in names:
        part, kind = name.split("_")
        label, unit = (AXES[kind], "% of weight") if part == "ground" else (part.capitalize(), UNITS[kind])
        norm, lines, said = norms.curve(name, height), [], []
        for foot, side in enumerate(SIDES):
            curve, stance = walk.curve(name, foot), walk.value("stance", foot)
            if curve is None or stance is None:
                continue
            lines.append(Line(side, curve.mean, np.nan_to_num(curve.sd), stance.mean / 100))
            said.append(
                f"{side} ± {_short(curve.spread)} from stride to stride, "
                f"± {_short(curve.measurement)} measured"
            )
        picture = plot(label, unit, lines, norm.mean, norm.sd)
        caption = "; ".join(said) + f" ({unit}). Grey: {norm.people} people."
        plots.append(fill("gait_plot", picture=picture, caption=caption))
    return fill("gait_group", title=title, note=note, plots=join(plots))


def _table(title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    head = join(fill("th", kind="", text=name) for name in columns)
    body = join(fill("row", cells=join(fill("td", kind="", text=cell) for cell in row)) for row in rows)
    return fill("gait_table", title=title, note=note, head=head, body=body)


def _cells(value: Value | None, digits: int) -> list[str]:
    if value is None:
        return ["–"] * 4
    spread, measured = (_number(x, digits + 1) for x in (value.spread, value.measurement))
    said = f"{_number(value.mean, digits)} ± {_sd(value, digits)}"
    return [said, spread, measured, str(value.strides)]


def _sd(value: Value, digits: int) -> str:
    """Rounded up: an uncertainty is never said to be none."""
    if not math.isfinite(value.sd):
        return "?"
    return _number(math.ceil(value.sd * 10**digits - 1e-9) / 10**digits, digits)


def _usual(norm: Norm, digits: int) -> str:
    return f"{_number(float(norm.mean), digits)} ± {_number(float(norm.sd), digits)}"


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _short(curve: np.typing.NDArray[np.float64]) -> str:
    """The mean of a curve's uncertainty to two digits."""
    mean = float(np.mean(curve))
    return f"{mean:.2g}" if math.isfinite(mean) else "?"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"

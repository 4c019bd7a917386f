"""Curves over the gait cycle as SVG: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gait3dlib.report._gait_cycles import F64
from gait3dlib.report._html import Html

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 22, 30
TICKS = 4


@dataclass(frozen=True, eq=False)
class Line:
    """One side's curve ``[51]`` with its standard uncertainty; side "left" or "right"."""

    side: str
    mean: F64
    sd: F64
    leaves: float  # share of the cycle at which the foot leaves the ground


def plot(title: str, unit: str, lines: Sequence[Line], norm: F64, norm_sd: F64) -> Html:
    """A curve of both sides over the gait cycle, in front of the band of real walkers."""
    values = [norm - norm_sd, norm + norm_sd]
    values += [x for line in lines for x in (line.mean - line.sd, line.mean + line.sd)]
    low, high = float(np.min(values)), float(np.max(values))
    step = _nice((high - low) / TICKS)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    box = _Box(low, high)
    parts = [_axes(box, step, title, unit)]
    parts.append(f'<path class="norm" d="{box.area(norm - norm_sd, norm + norm_sd)}"/>')
    parts.append(f'<path class="usual" d="{box.path(norm)}"/>')
    for line in lines:
        parts.append(
            f'<path class="spread {line.side}" d="{box.area(line.mean - line.sd, line.mean + line.sd)}"/>'
        )
    for line in lines:
        x = box.x(line.leaves)
        parts.append(f'<path class="off {line.side}" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<path class="line {line.side}" d="{box.path(line.mean)}"/>')
    label = html.escape(f"{title} over the gait cycle, left and right, in {unit}")
    return Html(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">' + "".join(parts) + "</svg>"
    )


@dataclass(frozen=True)
class _Box:
    low: float
    high: float

    def x(self, share: float) -> float:
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def points(self, curve: F64) -> list[str]:
        last = max(len(curve) - 1, 1)
        return [f"{self.x(i / last):.1f} {self.y(float(v)):.1f}" for i, v in enumerate(curve)]

    def path(self, curve: F64) -> str:
        return "M" + "L".join(self.points(curve))

    def area(self, below: F64, above: F64) -> str:
        return "M" + "L".join(self.points(above) + self.points(below)[::-1]) + "Z"


def _axes(box: _Box, step: float, title: str, unit: str) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<text x="{LEFT}" y="13">{html.escape(title)}, {html.escape(unit)}</text>',
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>',
    ]
    digits = max(0, -math.floor(math.log10(step)))
    for k in range(round((box.high - box.low) / step) + 1):
        value = box.low + k * step
        y = box.y(value)
        said = f"{value:.{digits}f}".replace("-", "−") if abs(value) > step / 2 else "0"
        if said == "0":
            parts.append(f'<path class="zero" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{said}</text>')
    for percent in (0, 25, 50, 75, 100):
        x = box.x(percent / 100)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{percent}</text>')
    middle = box.x(0.5)
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 3}" text-anchor="middle">% of gait cycle</text>')
    return "".join(parts)


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least the given step."""
    if not step > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= step * 0.999)

"""Recognitions as rows of a table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gait3dlib.cli._output import Rows, note

if TYPE_CHECKING:
    from gait3dlib.pipeline import Pipeline
    from gait3dlib.types import Estimate, Recognition

EPOCH_NS = 10**17  # later stamps than 1973 count from 1970: the clock on the wall, not a file's own


class RecognitionTable:
    """Recognitions as rows, and what must be said below them."""

    COLUMNS = (
        ("walk", 4), ("seconds", 10), ("who", 12), ("score", 5), ("limit", 5),
        ("age", 7), ("BMI", 6), ("gender", 6), ("rests on", 8),
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline) -> None:
        self.empty = not len(pipeline.gallery)
        self.rows = Rows(self.COLUMNS)
        self.uncalibrated = False

    def add(self, number: int, found: Recognition) -> None:
        """Print a row."""
        self.uncalibrated |= not (found.calibrated or found.reason)
        evidence = [f"{name.replace('_', ' ')} {share:.0%}" for name, share in found.weights.items()]
        self.rows.add(
            str(number),
            span(found.start_ns, found.stop_ns),
            found.identity,
            "-" if self.empty or found.reason else f"{found.score:.2f}",
            "-" if self.empty or found.reason else f"{found.threshold:.2f}{'' if found.calibrated else '*'}",
            spread(found.age_years, ".0f"),
            spread(found.bmi_kg_m2, ".0f"),
            gender(found.female),
            found.reason or "\n".join(evidence or found.streams),
            style="bold" if found.known else "",
        )

    def remarks(self) -> None:
        """What the rows do not say."""
        if self.empty:
            note("nobody is enrolled; enrol with: gait3d enroll NAME walk.mp4")
        elif self.uncalibrated:
            note("* from simulated walkers, not from your site; see: gait3d calibrate --help")


def span(start_ns: int, stop_ns: int) -> str:
    """From when to when, in seconds of the file; for live sources the time of day."""
    if start_ns > EPOCH_NS:
        return time.strftime("%H:%M:%S", time.localtime(start_ns / 1e9))
    return f"{start_ns / 1e9:.1f}-{stop_ns / 1e9:.1f}"


def spread(value: Estimate | None, digits: str) -> str:
    """A mean with its standard deviation."""
    return "-" if value is None else f"{value.mean:{digits}} ± {value.sd:{digits}}"


def gender(female: float | None) -> str:
    """The likelier gender and its probability."""
    if female is None:
        return "-"
    return f"f {female:.0%}" if female >= 0.5 else f"m {1 - female:.0%}"

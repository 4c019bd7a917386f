"""How a demo went: every visit, and the figures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gait3dlib.report import Outcome
from gait3dlib.types import Labels, Recognition

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Visit:
    """Somebody who came back: who it was, how they were seen, and what was said.

    ``truth`` is the pseudonym, of a stranger too; ``labels`` what is true of the body that walked.
    """

    recording: Path
    truth: str
    labels: Labels
    view_deg: float
    speed: float
    recognition: Recognition
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "recording": str(self.recording),
            "truth": self.truth,
            "labels": dataclasses.asdict(self.labels),
            "view_deg": self.view_deg,
            "speed": self.speed,
            "outcome": self.outcome.value,
            "recognition": self.recognition.to_dict(),
        }


@dataclass(frozen=True)
class DemoResult:
    """How the demo went.

    ``chance`` is the share of enrolled people that a blind draw among them names rightly.
    """

    report: Path
    gallery: Path
    enrolled: tuple[str, ...]
    visits: tuple[Visit, ...]
    seconds: float

    @property
    def chance(self) -> float:
        """Rank-1 of a blind draw."""
        return 1.0 / len(self.enrolled)

    @property
    def counts(self) -> dict[str, int]:
        """How many visits turned out in each way, by the name of the outcome."""
        found = Counter(visit.outcome for visit in self.visits)
        return {end.value: found[end] for end in Outcome if end is not Outcome.OPEN}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "report": str(self.report),
            "gallery": str(self.gallery),
            "enrolled": list(self.enrolled),
            "counts": self.counts,
            "chance": self.chance,
            "seconds": self.seconds,
            "visits": [visit.to_dict() for visit in self.visits],
        }

    def summary(self) -> str:
        """The figures in some lines."""
        count = Counter(visit.outcome for visit in self.visits)
        strangers = sum(visit.truth not in self.enrolled for visit in self.visits)
        own = len(self.visits) - strangers
        lines = [
            f"enrolled people: {count[Outcome.RIGHT]} of {own} named rightly (by chance "
            f"{own * self.chance:.2g}), {count[Outcome.WRONG]} wrongly, {count[Outcome.MISSED]} not named"
        ]
        if strangers:
            held, alarms = count[Outcome.HELD_BACK], count[Outcome.FALSE_ALARM]
            lines.append(f"strangers: {held} of {strangers} rightly unknown, {alarms} given a name")
        if not all(visit.recognition.calibrated for visit in self.visits):
            lines.append("The threshold was not set on a place of your own; see: gait3d calibrate --help")
        return "\n".join(lines)

    def table(self) -> Table:
        """One row a visit, 80 columns wide; what is true of the body stands in brackets."""
        from rich.table import Table

        title = f"{len(self.enrolled)} enrolled before five cameras; who came back, and what was said:"
        table = Table(box=None, title=title, title_justify="left", title_style="", padding=(0, 2, 0, 0))
        for name in ("from", "who", "said", "score", "limit", "age", "BMI", "gender", ""):
            justify: Literal["left", "right"] = "right" if name in ("from", "score", "limit") else "left"
            table.add_column(name, justify=justify, header_style="bold", overflow="fold")
        for visit in self.visits:
            style = "" if visit.outcome.good else "yellow"
            table.add_row(*_cells(visit, visit.truth in self.enrolled), style=style)
        return table


def _cells(visit: Visit, enrolled: bool) -> Iterator[str]:
    said, true = visit.recognition, visit.labels
    yield f"{visit.view_deg:.0f}°"
    yield visit.truth if enrolled else "stranger"
    yield said.identity
    yield f"{said.score:.2f}"
    yield f"{said.threshold:.2f}"
    for found, real in ((said.age_years, true.age_years), (said.bmi_kg_m2, true.bmi_kg_m2)):
        yield "-" if found is None else f"{found.mean:.0f}±{found.sd:.0f} ({real:.0f})"
    female = said.female
    yield "-" if female is None else f"{'f' if female >= 0.5 else 'm'} ({(true.gender or '?')[0]})"
    yield "right" if visit.outcome.good else "missed" if visit.outcome is Outcome.MISSED else "wrong"

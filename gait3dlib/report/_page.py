"""The page as a whole: headline figures, one card a walk, tables, limits."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from gait3dlib.errors import InputError
from gait3dlib.report import _card
from gait3dlib.report._card import number, signed
from gait3dlib.report._html import Html, fill, join, raw
from gait3dlib.report._walks import Outcome, ReportTable, ReportWalk, outcome

LIMITS = (
    (
        "A match is not proof.",
        "A name is given when the most similar enrolled person is more similar than the threshold. "
        "The threshold sets how often a stranger gets a name by mistake; no threshold makes that never.",
    ),
    (
        "Age, body-mass index and gender are estimates.",
        "They say what people with such a shape and such a walk are like on average, with the spread shown. "
        "For one person they may be far off.",
    ),
    (
        "Not for use against people.",
        "It must not be used to watch or identify people who have not agreed to it, nor to decide about "
        "access, work, insurance, health care, benefits or policing.",
    ),
)


def write_report(
    path: str | Path,
    walks: Sequence[ReportWalk],
    enrolled: Collection[str],
    *,
    title: str = "Who walked past?",
    setting: str = "Gait recognition report",
    tables: Sequence[ReportTable] = (),
    notes: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write one self-contained HTML page.

    Args:
        path: the file; its folder is made if need be.
        walks: in the order they are shown.
        enrolled: pseudonyms of everybody in the gallery.
        title: the headline.
        setting: a line above it: where and how the walks were recorded.
        tables: more figures, shown below the walks.
        notes: more limits, each a sentence in bold and its explanation; they come first.

    Returns:
        The path.

    Raises:
        InputError: no walk, nobody enrolled, or a picture or body of the wrong shape.
    """
    if not walks or not enrolled:
        raise InputError("a report needs at least one walk and one enrolled person")
    enrolled = frozenset(enrolled)
    outcomes = [outcome(walk, enrolled) for walk in walks]
    meshes: dict[str, Html] = {}
    cards = [
        _card.card(i, walk, end, meshes) for i, (walk, end) in enumerate(zip(walks, outcomes, strict=True), 1)
    ]
    shown = [_all_walks(walks, outcomes), *(_table(table) for table in tables)]
    script = raw("script")
    page = fill(
        "page",
        title=title,
        eyebrow=setting,
        lead=_lead(outcomes, len(enrolled)),
        tiles=join(_tiles(outcomes, len(enrolled))),
        dots=join(
            fill("dot", tone=_card.TONES[end], number=i, verdict=end.value, icon=_card.icon(end))
            for i, end in enumerate(outcomes, 1)
        ),
        caution=_caution(walks),
        cards=join(cards),
        tables=join(shown),
        notes=join(_note(*note) for note in (*notes, *LIMITS)),
        footer="Made by gait3dlib. This page is one file: it contacts no address and works offline.",
        meshes=join(meshes.values()),
        script=script,
        script_hash=_hash(script),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # names may hold what UTF-8 cannot (lone surrogates): shown as a character reference
    path.write_bytes(page.encode("utf-8", errors="xmlcharrefreplace"))
    return path


def _lead(outcomes: Sequence[Outcome], enrolled: int) -> Html:
    count = Counter(outcomes)
    strangers = count[Outcome.HELD_BACK] + count[Outcome.FALSE_ALARM]
    own = len(outcomes) - strangers - count[Outcome.OPEN]
    parts = [
        f"{_plural(enrolled, 'person is', 'people are')} enrolled. ",
        f"{_plural(len(outcomes), 'walk', 'walks')} came in later",
    ]
    if own or strangers:
        parts.append(f": {own} by enrolled people, {strangers} by strangers. ")
        good = sum(end.good for end in outcomes)
        known = own + strangers
        return Html(
            fill("text", text="".join(parts)) + fill("strong", text=f"{good} of {known} answers were right.")
        )
    return fill("text", text="".join(parts) + ". Who they really were is not recorded.")


def _tiles(outcomes: Sequence[Outcome], enrolled: int) -> list[Html]:
    count = Counter(outcomes)
    strangers = count[Outcome.HELD_BACK] + count[Outcome.FALSE_ALARM]
    own = len(outcomes) - strangers - count[Outcome.OPEN]
    mistaken = count[Outcome.WRONG] + count[Outcome.FALSE_ALARM]
    tiles = []
    if own:
        text = "enrolled people who got their own name"
        tiles.append(_tile(Outcome.RIGHT, count[Outcome.RIGHT], f"of {own}", "Named rightly", text))
    if strangers:
        text = "strangers who were given no name"
        tiles.append(
            _tile(Outcome.HELD_BACK, count[Outcome.HELD_BACK], f"of {strangers}", "Rightly unknown", text)
        )
    if own or strangers:
        text = "another's name, or any name for a stranger"
        tiles.append(_tile(Outcome.WRONG if mistaken else None, mistaken, "", "Named wrongly", text))
        missed = count[Outcome.MISSED]
        text = "enrolled people answered “unknown”"
        tiles.append(_tile(Outcome.MISSED if missed else None, missed, "", "Not named", text))
    if count[Outcome.OPEN]:
        tiles.append(_tile(None, count[Outcome.OPEN], "", "Not judged", "walks whose truth is not known"))
    chance = f"{100 / enrolled:.2g} %"
    return [
        *tiles,
        _tile(None, chance, "", "By chance", f"right names when one of {enrolled} is drawn blindly"),
    ]


def _tile(end: Outcome | None, value: object, of: str, title: str, text: str) -> Html:
    tone, mark = ("toned " + _card.TONES[end], _card.icon(end)) if end else ("", Html())
    return fill("tile", tone=tone, icon=mark, value=value, of=of, title=title, text=text)


def _caution(walks: Sequence[ReportWalk]) -> Html:
    if all(walk.recognition.calibrated for walk in walks):
        return Html()
    return fill(
        "caution",
        text="The threshold is not calibrated for this place: it comes from simulated walkers. "
        "Calibrate it with walks recorded here before relying on it.",
    )


def _all_walks(walks: Sequence[ReportWalk], outcomes: Sequence[Outcome]) -> Html:
    columns = (
        "Walk",
        "Said to be",
        "Really",
        "Result",
        "Score",
        "Age",
        "really",
        "BMI",
        "really",
        "Gender",
        "really",
    )
    rows = []
    for i, (walk, end) in enumerate(zip(walks, outcomes, strict=True), 1):
        answer, labels = walk.recognition, walk.truth_labels
        cells: list[object] = [
            fill("link", number=i, text=i),
            answer.identity,
            walk.truth_identity,
            fill("verdict", tone=_card.TONES[end], icon=_card.icon(end), text=end.value),
            signed(answer.score),
            answer.age_years and f"{answer.age_years.mean:.0f} ± {answer.age_years.sd:.0f}",
            labels and number(labels.age_years, 0),
            answer.bmi_kg_m2 and f"{answer.bmi_kg_m2.mean:.1f} ± {answer.bmi_kg_m2.sd:.1f}",
            labels and number(labels.bmi_kg_m2, 1),
            _card.gender(answer.female),
            labels and labels.gender,
        ]
        rows.append(["–" if cell is None else cell for cell in cells])
    return _rows("All walks", "", columns, rows)


def _table(table: ReportTable) -> Html:
    if any(len(row) != len(table.columns) for row in table.rows):
        raise InputError(f"every row of table {table.title!r} needs {len(table.columns)} cells")
    rows = [
        [f"{c:.3g}" if isinstance(c, float) else "–" if c is None else c for c in row] for row in table.rows
    ]
    return _rows(table.title, table.note, table.columns, rows)


def _rows(title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    kinds = ["number" if rows and all(_numeric(row[i]) for row in rows) else "" for i in range(len(columns))]
    body = [
        fill("row", cells=join(fill("td", kind=k, text=c) for k, c in zip(kinds, row, strict=True)))
        for row in rows
    ]
    head = join(fill("th", kind=k, text=c) for k, c in zip(kinds, columns, strict=True))
    return fill("table", title=title, note=note, head=head, body=join(body))


def _numeric(cell: object) -> bool:
    text = str(cell)
    return not isinstance(cell, Html) and (text == "–" or text[:1].isdigit() or text[:1] in "−±<>")


def _note(bold: str, text: str) -> Html:
    return fill("note", bold=bold, text=text)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

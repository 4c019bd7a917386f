"""The page of an ablation: tables and pictures of what every modality contributes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gait3dlib.report._html import Html, fill, join
from gait3dlib.report._walks import ReportTable

OPEN_TABLES = 2  # the rest is folded away until it is asked for
OPEN_PICTURES = 3


@dataclass(frozen=True)
class Picture:
    """A drawing with what it is called."""

    name: str
    svg: str


def write_ablation_report(
    path: str | Path,
    *,
    setting: str,
    lead: str,
    tables: Sequence[ReportTable],
    pictures: Sequence[Picture],
    notes: Sequence[tuple[str, str]],
    title: str = "What does each modality contribute?",
) -> Path:
    """Write one self-contained HTML page: no script, no address that is contacted.

    Args:
        path: the file; its folder is made if need be.
        setting: a line above the headline: which data.
        lead: a sentence below it.
        tables: most important first.
        pictures: most important first.
        notes: how to read the page, each a sentence in bold and its explanation.
        title: the headline.
    """
    page = fill(
        "ablation_page",
        title=title,
        eyebrow=setting,
        lead=lead,
        pictures=_pictures(pictures),
        tables=join(_table(table, number < OPEN_TABLES) for number, table in enumerate(tables)),
        notes=join(fill("note", bold=bold, text=text) for bold, text in notes),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.encode("utf-8", errors="xmlcharrefreplace"))
    return path


def _pictures(pictures: Sequence[Picture]) -> Html:
    made = [_picture(picture) for picture in pictures]
    first, rest = made[:OPEN_PICTURES], made[OPEN_PICTURES:]
    folded = fill("ablation_more", title=f"{len(rest)} more pictures", body=join(rest)) if rest else Html()
    return join([*first, folded])


def _picture(picture: Picture) -> Html:
    # as a file of its own: the ids of several drawings on one page would meet
    source = base64.b64encode(picture.svg.encode()).decode()
    return fill("ablation_picture", source=source, name=picture.name.replace("-", " "))


def _table(table: ReportTable, is_open: bool) -> Html:
    head = join(fill("th", kind="", text=name) for name in table.columns)
    body = join(
        fill("row", cells=join(fill("td", kind="", text="–" if cell is None else cell) for cell in row))
        for row in table.rows
    )
    return fill(
        "ablation_table",
        title=table.title,
        note=table.note,
        head=head,
        body=body,
        open=Html("open") if is_open else Html(),
    )

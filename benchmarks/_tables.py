"""Figures as Markdown tables; what was not measured says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "not measured"
Json = Mapping[str, Any]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [list(headings), ["---", *["---:"] * (len(headings) - 1)], *([str(c) for c in r] for r in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def measure(value: Json | None, scale: float = 1.0, digits: int = 2) -> str:
    """``93.2 [88.0, 97.1]``; "not measured" where there is no number."""
    if value is None or value.get("value") is None:
        note = "" if value is None else value.get("note", "")
        return f"{MISSING} ({note})" if note else MISSING
    text = f"{scale * value['value']:.{digits}f}"
    if value.get("low") is None:
        return text
    return f"{text} [{scale * value['low']:.{digits}f}, {scale * value['high']:.{digits}f}]"


def percent(value: Json | None) -> str:
    """:func:`measure` in percent."""
    return measure(value, 100.0, 1)


def generic(rows: Sequence[Json]) -> str:
    """Rows of plain values as they come."""
    headings = list(dict.fromkeys(key for row in rows for key in row))
    return table(headings, [[plain(row.get(key)) for key in headings] for row in rows])


def plain(value: Any) -> str:
    """A value of a row: numbers shortened, what is missing said."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return measure(value) if "value" in value else ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(plain(v) for v in value) + "]"
    return str(value)

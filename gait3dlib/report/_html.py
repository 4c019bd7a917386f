"""HTML fragments from files, filled with values that are escaped unless they are HTML already."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import cache
from string import Template

from gait3dlib._resources import asset

# what is named in the second starts with "gait", in the third with "ablation"
FILES = ("report.html", "gait_report.html", "ablation_report.html")


class Html(str):
    """Text that is HTML already; any other string is escaped when it is filled in."""


def fill(name: str, /, **values: object) -> Html:
    """The fragment ``name`` with its placeholders filled."""
    safe = {k: v if isinstance(v, Html) else html.escape(str(v)) for k, v in values.items()}
    return Html(_fragments()[name].substitute(safe))


def join(parts: Iterable[Html]) -> Html:
    """Fragments one after the other."""
    return Html("".join(parts))


def raw(name: str) -> Html:
    """A fragment without placeholders, as it is."""
    return Html(_fragments()[name].template)


@cache
def _fragments() -> dict[str, Template]:
    found: dict[str, Template] = {}
    for file in FILES:
        pieces = re.split(r"^<!--@ (\w+) -->\n", asset(file).read_text("utf-8"), flags=re.MULTILINE)
        found |= {name: Template(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    return found

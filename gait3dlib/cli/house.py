"""Verbs about this installation: demo, doctor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gait3dlib._optional import require
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, counting, show_json, show_table, simple_table


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new folder, or one of an earlier demo.")
    ] = Path("demo"),
    people: Annotated[int, typer.Option("--people", min=1, max=24, help="Enrolled walkers.")] = 12,
    strangers: Annotated[int, typer.Option("--strangers", min=0, max=24, help="Walkers nobody knows.")] = 4,
    seed: option.Seed = 7,
    weights: option.Weights = "default",
    as_json: option.Json = False,
) -> None:
    """Enrol simulated walkers, let them come back, recognise them.

    They come back among strangers, at another view and another speed. Writes a page with all there is to see.

    Example: gait3d demo --out demo
    """
    require("torch")
    require("embreex")
    from gait3dlib.demo import run

    with counting("walks") as progress:
        result = run(out, seed=seed, people=people, strangers=strangers, weights=weights, progress=progress)
    if as_json:
        show_json(result)
        return
    show_table(result.table())
    console().print(result.summary())
    console().print(f"look at it: {result.report}", soft_wrap=True)


def doctor(as_json: option.Json = False) -> None:
    """Try every part, and say what to do about what does not work.

    Example: gait3d doctor
    """
    from gait3dlib.doctor import check

    with _hushed():
        findings = check()
    if as_json:
        show_json({"ok": all(f.ok for f in findings), "findings": findings})
        return
    table = simple_table("", "part", "works", "version", "what to do")
    for finding in findings:
        style = "" if finding.ok else "yellow"
        table.add_row(
            finding.name, "yes" if finding.ok else "no", finding.version, finding.remedy, style=style
        )
    show_table(table)


@contextmanager
def _hushed() -> Iterator[None]:
    """Native libraries greet on the standard error when they are tried, and no setting turns that off."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)

"""The verb card: where weights or a data set come from, and their limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gait3dlib import _resources
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, note, show_json, show_table, simple_table
from gait3dlib.errors import ConfigError

if TYPE_CHECKING:
    from gait3dlib import cards


def card(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_WEIGHTS", help="A card, or a folder of weights; without it, all names."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write it as one Markdown page.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Show where weights or a data set come from, and their limits.

    Of a folder of weights it is the card of every file, checked against the file's fingerprint.

    Example: gait3d card runs/fusion/weights --out MODEL_CARD.md
    """
    if name is None:
        if out is not None:
            raise ConfigError("--out: name the card, or the folder of weights, that is to be written")
        _list(as_json)
        return
    held = _held(name)
    if out is not None:
        from gait3dlib import cards

        out.write_text(cards.page(held), encoding="utf-8")
        note(f"written: {out}")
    if as_json:
        found = [{"kind": _kind(c), **c.to_dict(), "text": body} for c, body in held]
        show_json(found[0] if len(found) == 1 and not Path(name).is_dir() else {"cards": found})
        return
    from rich.markdown import Markdown

    for one, body in held:
        table = simple_table(f"{_kind(one)} card: {one.name}", "field", "value")
        for field, value in one.to_dict().items():
            table.add_row(field.replace("_", " "), _lines(value))
        show_table(table)
        console().print(Markdown(body))


def _held(name: str) -> list[tuple[cards.ModelCard | cards.DataCard, str]]:
    from gait3dlib import cards

    folder = Path(name)
    if folder.is_dir():
        inside = folder / "weights"
        return list(cards.of_weights(inside if inside.is_dir() else folder))
    path = cards.find(name)
    is_data = path.parent == _resources.shipped("data_cards")
    return [cards.read(cards.DataCard, path) if is_data else cards.read(cards.ModelCard, path)]


def _list(as_json: bool) -> None:
    from gait3dlib import cards

    names = cards.names()
    if as_json:
        show_json({"cards": names})
    else:
        console().print("\n".join(names))


def _kind(held: cards.ModelCard | cards.DataCard) -> str:
    from gait3dlib import cards

    return "data" if isinstance(held, cards.DataCard) else "model"


def _lines(value: Any) -> str:
    """A card's value, one thing a line."""
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_lines(v).replace(chr(10), ', ')}" for k, v in value.items())
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)

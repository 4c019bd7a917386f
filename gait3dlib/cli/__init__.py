"""The command line ``gait3d``: thin verbs that parse, call the library, and print.

The first paragraph of a verb's docstring is its line in ``gait3d --help``; the paragraph that starts with
"Example:" ends its own help.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Annotated

import typer

from gait3dlib.cli import ablate, capture, card, derive, export, folders, house, live, models, mount, people
from gait3dlib.cli._output import ends_well

VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "People": (people.recognize, people.enroll, people.verify, people.calibrate, people.forget),
    "Recording": (capture.sensors, capture.record, capture.recover, live.view, mount.mount),
    "Data and models": (
        models.simulate,
        folders.convert,
        folders.index,
        derive.derive,
        models.train,
        models.evaluate,
        ablate.ablate,
        export.export,
        card.card,
    ),
    "This installation": (house.demo, house.doctor),
}

app = typer.Typer(
    name="gait3d",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from gait3dlib import __version__

        typer.echo(f"gait3dlib {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: gait3d demo")
def _gait3d(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Recognise people by the way they walk, from video, recordings and sensors."""


for _panel, _verbs in VERBS.items():
    for _verb in _verbs:
        _text, _, _example = inspect.cleandoc(_verb.__doc__ or "").partition("\n\nExample: ")
        app.command(_verb.__name__, help=_text, epilog=f"Example:  {_example}", rich_help_panel=_panel)(
            ends_well(_verb)
        )


def main() -> None:
    """Entry point of ``gait3d``."""
    # what mediapipe's native code says about itself is of no use to anybody at a terminal
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app()

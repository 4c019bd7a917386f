"""The gait report of the walks of a recording, for the verb derive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gait3dlib.cli._output import console, note, show_json, waiting
from gait3dlib.errors import ConfigError, Gait3DError, InputError

if TYPE_CHECKING:
    from gait3dlib.report.gait import GaitWalk
    from gait3dlib.types import GaitSequence


def write(out: Path, walks: Mapping[int, GaitSequence], recording: str, seed: int, *, as_json: bool) -> None:
    """Write the report of those walks, by their numbers, that hold a whole stride.

    Raises:
        ConfigError: the file is no page.
        InputError: no walk can be reported on; the message is that of the last one.
    """
    from gait3dlib.report.gait import measure_walk, write_gait_report

    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--report {out} must end in .html")
    found: dict[int, GaitWalk] = {}
    wrong = ""
    for number, seq in walks.items():
        with waiting(f"measuring walk {number}"):
            try:
                found[number] = measure_walk(seq, f"Walk {number}", seed=seed)
            except Gait3DError as error:
                wrong = str(error)
                note(f"walk {number} left out: {error}")
    if not found:
        raise InputError(f"no walk of {recording} can be reported on: {wrong}")
    write_gait_report(out, list(found.values()), setting=recording)
    if as_json:
        show_json({"report": str(out), "walks": [_row(number, walk) for number, walk in found.items()]})
    else:
        console().print(f"written: {out}", soft_wrap=True)


def _row(number: int, walk: GaitWalk) -> dict[str, Any]:
    from gait3dlib.report.gait import NAMES

    figures = {}
    for name in NAMES:
        for key, foot in ((name, None), (f"left_{name}", 0), (f"right_{name}", 1)):
            value = walk.value(name, foot)
            if value is not None:
                figures[key] = {"mean": value.mean, "sd": value.sd, "strides": value.strides}
    return {"walk": number, "source": walk.source, "height_m": walk.strides.height_m, "figures": figures}

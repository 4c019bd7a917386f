"""The verb mount: where the sensors of a recording stand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, show_json, waiting


def mount(
    recording: Annotated[
        Path, typer.Argument(metavar="FILE", help="Two or more LiDARs that saw one walker.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the mount files go.")] = Path(
        "mounts"
    ),
    as_json: option.Json = False,
) -> None:
    """Find where the LiDARs of a recording stand, from a person who walks in view of all.

    Writes one small file a sensor; give it to the sensor: --sensor velodyne:2368,mount=mounts/points.json

    Example: gait3d mount walk.h5 --out mounts
    """
    from gait3dlib.perception.points.following import streams_of_points
    from gait3dlib.perception.points.mounting import mounts
    from gait3dlib.recording import open_recording
    from gait3dlib.sensors import _mount

    with open_recording(recording) as opened, waiting(f"looking at {recording}"):
        names = streams_of_points(opened.streams)
        clouds = {name: opened.streams[name] for name in names}
        stamps = {name: name.replace("points", "point_time", 1) for name in names}
        times = {name: opened.streams[stamp] for name, stamp in stamps.items() if stamp in opened.streams}
        found = mounts(clouds, times)
    out.mkdir(parents=True, exist_ok=True)
    for name, matrix in found.items():
        _mount.write(out / f"{name}.json", matrix)
    if as_json:
        show_json({name: matrix.tolist() for name, matrix in found.items()})
    else:
        console().print(f"{', '.join(str(out / f'{name}.json') for name in found)}", soft_wrap=True)

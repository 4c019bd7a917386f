"""Verbs about folders of data: convert, index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gait3dlib.cli import _options as option
from gait3dlib.cli._output import clean, console, counting, note, show_json
from gait3dlib.errors import ConfigError, InputError

if TYPE_CHECKING:
    from gait3dlib.data.opengait_folder import Conversion, Hole
    from gait3dlib.data.opengait_set import Findings

BAGS = (".bag", ".db3", ".mcap")
SHOWN = 10  # holes that are listed before the rest is counted


def convert(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="OpenGait's data: SUBJECT/TYPE/VIEW/*.pkl; or a bag.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the recordings, one .h5 a subject; or one .h5.")
    ],
    files: Annotated[
        str, typer.Option("--files", metavar="GLOB", help="Which files of a view, such as '*sync*'.")
    ] = "*",
    fps: Annotated[float, typer.Option("--fps", help="Frames a second of cameras.")] = 25.0,
    lidar_fps: Annotated[float, typer.Option("--lidar-fps", help="Frames a second of point clouds.")] = 10.0,
    as_json: option.Json = False,
) -> None:
    """Turn a data folder of OpenGait, or the bag of a sensor, into recordings.

    Silhouettes, keypoints, points and SMPL parameters are kept; nothing in a file is run. What cannot be read
    is listed and passed over. Run it again to go on where it stopped: recordings that are there are kept.

    A file of a RealSense camera (.bag, .db3) becomes one recording, its walks found; so does a ROS bag with
    clouds of points (.bag, .db3, .mcap). Colour is not kept; for that: gait3d record --color.

    Example: gait3d convert CASIA-B-pkl recordings --fps 25
    """
    if folder.suffix.lower() in BAGS:
        _convert_bag(folder, out, as_json)
        return
    from gait3dlib.data.opengait_folder import convert as run

    with counting("subjects") as progress:
        done = run(folder, out, files=files, fps=fps, lidar_fps=lidar_fps, progress=progress)
    if as_json:
        show_json(done)
    else:
        _show(done)


def index(
    data_set: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the data set, such as casia_b; opengait for your own.")
    ],
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Where it lies.")],
    partition: option.PartitionFile = None,
    as_json: option.Json = False,
) -> None:
    """Read a public data set once where it lies, and list its holes.

    What is missing, cannot be read or disagrees with the rest of its walk is told now, not in the middle of a
    training run. Only what has changed is read again. Nothing in a file is run.

    Example: gait3d index gait3d --root Gait3D --partition Gait3D.json
    """
    from gait3dlib.data.opengait_set import OpenGaitSet

    data = option.open_set(None, data_set, root, partition, split="all")
    if not isinstance(data, OpenGaitSet):
        raise ConfigError(f"{data_set} needs no index; those that do are public data sets such as casia_b")
    if as_json:
        show_json(data.findings)
    else:
        _show_findings(data.findings)


def _show_findings(found: Findings) -> None:
    kept = ", ".join(f"{count} with {name}" for name, count in sorted(found.streams.items()))
    told = f"{found.subjects} subjects, {found.walks} walks: {kept}; {found.read} subjects were read anew"
    console().print(clean(f"{told}; {len(found.holes)} holes"), soft_wrap=True)
    _notes(found.left_out, found.holes)


def _convert_bag(bag: Path, out: Path, as_json: bool) -> None:
    """What a sensor wrote to a bag, as a recording."""
    from gait3dlib.cli.capture import record
    from gait3dlib.sensors._realsense_feeds import is_realsense_file

    if not bag.exists():
        raise InputError(f"there is no file {bag}")
    if out.suffix not in (".h5", ".hdf5"):
        raise ConfigError(f"a bag becomes one recording; name it like {bag.stem}.h5, not {out}")
    kind = "realsense" if is_realsense_file(bag) else "point_files"
    record([f"{kind}:{bag}"], out, as_json=as_json)


def _show(done: Conversion) -> None:
    kept = ", ".join(f"{count} with {name}" for name, count in sorted(done.streams.items()))
    there = f"; {done.already} subjects were there already" if done.already else ""
    text = f"{done.subjects} subjects, {done.walks} walks in {done.out}{f': {kept}' if kept else ''}{there}"
    console().print(clean(text), soft_wrap=True)
    _notes(done.left_out, done.holes)


def _notes(left_out: Mapping[str, int], holes: Sequence[Hole]) -> None:
    for what, count in sorted(left_out.items()):
        note(f"left out: {count} files of {what}")
    for hole in holes[:SHOWN]:
        note(f"hole: {hole.path}: {hole.reason}")
    if len(holes) > SHOWN:
        note(f"and {len(holes) - SHOWN} more holes; --json lists them all")

"""Where walks come from: a video, a folder of frames, a recording, a live sensor, or a walk in hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gait3dlib import registry
from gait3dlib.errors import InputError, NoWalkFound
from gait3dlib.perception import walks
from gait3dlib.recording import open_recording
from gait3dlib.sensors import open_sensor
from gait3dlib.sensors._pump import Pump
from gait3dlib.sensors._realsense_feeds import is_realsense_file
from gait3dlib.types import GaitSequence, Sensor

Source = str | os.PathLike[str] | Sensor | GaitSequence


def walks_of(source: Source) -> Iterator[GaitSequence]:
    """The walks of a video, folder of frames, recording, or sensor, as they end.

    Raises:
        NoWalkFound: the source ended without a walk.
    """
    if isinstance(source, GaitSequence):
        yield source
        return
    found = False
    for seq in _walks(source):
        found = True
        yield seq
    if not found:
        raise NoWalkFound(
            f"nobody walks in {source}: one whole person must be in view and moving for about one gait cycle"
        )


def _walks(source: str | os.PathLike[str] | Sensor) -> Iterator[GaitSequence]:
    name = "" if isinstance(source, Sensor) else os.fspath(source)
    if name.endswith((".h5", ".hdf5", ".part")):
        with open_recording(name) as recording:
            if len(recording):
                yield from recording
                return
        name = f"replay:{name}"
    sensor = source if isinstance(source, Sensor) else open_sensor(sensor_text(name))
    with Pump(sensor) as frames:
        label = Path(name).name if name else type(sensor).__name__
        yield from walks(frames, source=label, calibration=sensor.calibration)


def sensor_text(name: str) -> str:
    """A path as the text that opens it as a sensor; what names a sensor already stays.

    Raises:
        InputError: it is neither.
    """
    if Path(name).exists():
        if name.endswith((".h5", ".hdf5", ".part")):
            return f"replay:{name}"
        return f"realsense:{name}" if is_realsense_file(Path(name)) else f"video:{name}"
    if ":" not in name and name not in registry.names("sensor"):
        raise InputError(f"there is no file {name}, and no sensor of that name; see: gait3d sensors")
    return name

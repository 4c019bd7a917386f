"""Sensors: cameras, files and walkers behind one protocol (:class:`gait3dlib.types.Sensor`).

A sensor is chosen by a short text, its name first: ``video:walk.mp4``, ``video:0`` for the first webcam,
``replay:walk.h5``, ``simulated:seed=3,walkers=4``. A sensor that only exists while it is watched has an
attribute ``live`` that is True; then a slow consumer loses the oldest frames, and a silent device is
opened again. Files have ``live`` False: nothing is lost, the reader waits.
"""

from __future__ import annotations

from pathlib import Path

from gait3dlib import registry
from gait3dlib.errors import UnknownComponent
from gait3dlib.sensors import _text
from gait3dlib.sensors._pump import Pump, PumpStats
from gait3dlib.sensors._rig import Rig
from gait3dlib.types import Sensor

__all__ = ["Pump", "PumpStats", "Rig", "open_sensor"]


def open_sensor(text: str) -> Sensor:
    """The sensor that a text such as ``video:walk.mp4`` describes; use it in a ``with`` statement.

    What follows the colon goes to the class's ``from_text`` where it has one, else it is read as
    ``key=value`` pairs, parted by commas, for the constructor.

    Raises:
        UnknownComponent: no sensor has that name; the message says the nearest ones.
        ConfigError: an unknown key, or a value of the wrong type.
    """
    name, _, rest = text.partition(":")
    try:
        sensor = registry.get("sensor", name)
    except UnknownComponent as error:
        if Path(text).exists():
            kind = "replay" if Path(text).suffix == ".h5" else "video"
            raise UnknownComponent(f"{text!r} names no sensor; did you mean '{kind}:{text}'?") from None
        raise error from None
    if hasattr(sensor, "from_text"):
        made: Sensor = sensor.from_text(rest)
        return made
    built: Sensor = _text.build(sensor, rest, name)
    return built

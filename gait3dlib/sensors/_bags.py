"""Clouds of points in ROS 1 bags, ROS 2 bags and MCAP files, by the package rosbags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import Gait3DError, InputError
from gait3dlib.types import NS_PER_S, Frame

BAGS = (".bag", ".mcap", ".db3")
CLOUD = "sensor_msgs/msg/PointCloud2"
# PointField's numbers of types
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
SHADES = ("intensity", "reflectivity", "signal")
TIMES = ("t", "time", "timestamp", "offset_time")
MAX_POINTS = 20_000_000


def read_bag(path: Path, topic: str, scale: float) -> Iterator[Frame]:
    """The scans of a bag.

    Args:
        path: the file, or the folder of a ROS 2 bag.
        topic: of the messages; may be empty where one topic holds clouds.
        scale: metres of a unit.

    Raises:
        InputError: it cannot be read, holds no clouds, or several topics of them and none was chosen.
        MissingDependency: the ``bags`` extra is not installed.
    """
    reader_type = require("rosbags.highlevel").AnyReader
    stores = require("rosbags.typesys")
    store = stores.get_typestore(stores.Stores.ROS2_HUMBLE)
    whole = path.parent if path.suffix == ".db3" and (path.parent / "metadata.yaml").is_file() else path
    try:
        reader = reader_type([whole], default_typestore=store)
        reader.open()
    except Exception as error:  # the package raises errors of its many parts
        raise InputError(f"{path} is no bag that can be read: {_line(error)}") from None
    chosen = [item for item in reader.connections if item.msgtype == CLOUD and topic in ("", item.topic)]
    names = sorted({item.topic for item in chosen})
    if len(names) != 1:
        have = sorted({item.topic for item in reader.connections if item.msgtype == CLOUD})
        reader.close()
        if not have:
            raise InputError(f"{path} holds no clouds of points ({CLOUD})")
        wanted = ", ".join(have)
        raise InputError(f"{path} holds clouds on {wanted}; choose: point_files:{path},topic={have[0]}")
    return _frames(reader, chosen, path, scale)


def _frames(reader: Any, chosen: list[Any], path: Path, scale: float) -> Iterator[Frame]:
    last_ns = -1
    try:
        for connection, host_ns, raw in reader.messages(connections=chosen):
            message = reader.deserialize(raw, connection.msgtype)
            points, since = cloud_of(message, scale)
            last_ns = max(int(host_ns), last_ns + 1)
            stamp = message.header.stamp
            yield Frame(
                {"points": points, "point_time": since}, last_ns, int(stamp.sec) * NS_PER_S + stamp.nanosec
            )
    except Gait3DError:
        raise
    except Exception as error:
        raise InputError(f"{path} is damaged: {_line(error)}") from None
    finally:
        reader.close()


def cloud_of(message: Any, scale: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points ``[n, 4]`` and their times ``[n]`` in seconds since the first, of a ``PointCloud2``.

    Raises:
        InputError: it has no x, y and z, or fewer bytes than it says.
    """
    fields = {item.name: item for item in message.fields}
    count = int(message.width) * int(message.height)
    size = int(message.point_step)
    if not {"x", "y", "z"} <= fields.keys() or count > MAX_POINTS or count * size > len(message.data):
        raise InputError("a message holds no x, y and z, or fewer points than it says; record the bag again")
    order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [order + TYPES[item.datatype] for item in fields.values()],
            "offsets": [int(item.offset) for item in fields.values()],
            "itemsize": size,
        }
    )
    table = np.frombuffer(np.asarray(message.data, np.uint8).tobytes(), dtype, count)
    out = np.zeros((count, 4), np.float32)
    for column, name in enumerate("xyz"):
        out[:, column] = table[name] * scale
    shade = next((name for name in SHADES if name in fields), None)
    if shade is not None:
        out[:, 3] = table[shade]
    good = np.isfinite(out).all(axis=1)
    when = next((name for name in TIMES if name in fields), None)
    since = np.zeros(count) if when is None else table[when].astype(np.float64)
    whole = when is not None and table.dtype[when].kind in "iu"
    since = (since - (since[good].min() if good.any() else 0.0)) * (1e-9 if whole else 1.0)
    since = since * (1e-9 if since.max(initial=0) > 1e6 else 1.0)  # some drivers write nanoseconds as floats
    return out[good], since[good].astype(np.float32)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")

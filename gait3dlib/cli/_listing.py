"""What sensors there are, and what to do about those that do not work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gait3dlib import registry
from gait3dlib._optional import EXTRAS, require
from gait3dlib.errors import MissingDependency, SensorError

PORTS = {"velodyne": 2368, "ouster": 7502, "livox": 56301}  # where sensors send to as delivered
LISTEN_S = 0.3
# what a sensor's file imports when it opens, and what to call it by
NEEDS = {
    "video": "cv2",
    "simulated": "embreex",
    "velodyne": "velodyne_decoder",
    "ouster": "ouster.sdk.core",
    "realsense": "pyrealsense2",
}
CALLS = {
    "video": "video:walk.mp4, video:FOLDER, video:0",
    "replay": "replay:walk.h5",
    "simulated": "simulated:seed=3",
    "velodyne": "velodyne:2368, velodyne:X.pcap",
    "ouster": "ouster:X.pcap",
    "livox": "livox:56301, livox:X.pcap",
    "realsense": "realsense:SERIAL, realsense:X.db3",
    "point_files": "point_files:FOLDER",
}


def sensor(name: str) -> dict[str, Any]:
    """Whether a sensor's packages are there."""
    call, remedy = CALLS.get(name, f"{name}:KEY=VALUE"), ""
    try:
        registry.get("sensor", name)
        if name in NEEDS:
            require(NEEDS[name])
    except MissingDependency as error:
        extra, more = EXTRAS.get(NEEDS.get(name, "").partition(".")[0], ("", ""))
        remedy = f"pip install 'gait3dlib[{extra}]'{more}" if extra else str(error)
        remedy = str(error).partition("on Debian: ")[2] or remedy  # a system library lacks
    except Exception as error:  # a plugin can raise anything at all on import
        remedy = f"{type(error).__name__}: {error}"
    return {"name": name, "call": call, "works": not remedy, "remedy": remedy}


def port(row: dict[str, Any]) -> dict[str, Any]:
    """Whether packets arrive at the port that a LiDAR sends to as delivered."""
    from gait3dlib.sensors._udp import Ear

    name, number = row["name"], PORTS[row["name"]]
    try:
        with Ear(number) as ear:
            ear.timeout_s = LISTEN_S
            heard = next(iter(ear))
    except SensorError as error:
        return {"name": name, "call": f"{name}:{number}", "works": False, "remedy": str(error)}
    if heard is None:
        remedy = "silent; see docs/mounting.md"
        return {"name": name, "call": f"{name}:{number}", "works": False, "remedy": remedy}
    more = f",host={heard.source}" if name == "ouster" else ""
    return {"name": name, "call": f"{name}:{number}{more}", "works": True, "remedy": f"{heard.source} sends"}


def webcam(path: Path) -> dict[str, Any]:
    """A webcam and whether it may be opened; it is not switched on."""
    may = os.access(path, os.R_OK | os.W_OK)
    remedy = "" if may else "sudo usermod -aG video $USER, then log in again"
    return {
        "name": "webcam",
        "call": f"video:{path.name.removeprefix('video')}",
        "works": may,
        "remedy": remedy,
    }


def depth_cameras() -> list[dict[str, Any]]:
    """The RealSense cameras that are plugged in, and those that may not be opened."""
    from gait3dlib.sensors._realsense_devices import cameras, denied_text, unreadable_nodes

    try:
        found = cameras()
    except (MissingDependency, SensorError):
        return []
    slow = "on USB 2, which carries few frames; use a USB 3 port and cable"
    rows = [
        {"name": c.name, "call": f"realsense:{c.serial}", "works": True, "remedy": slow if c.slow else ""}
        for c in found
    ]
    for node in unreadable_nodes():
        remedy = denied_text(f"{node} may not be opened")
        rows.append({"name": "RealSense", "call": "realsense", "works": False, "remedy": remedy})
    return rows

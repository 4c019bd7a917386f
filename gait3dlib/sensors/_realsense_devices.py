"""RealSense cameras that are plugged in: which there are, and what to do where none can be opened."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gait3dlib._optional import require
from gait3dlib.errors import SensorError

log = logging.getLogger(__name__)

RESET_S, AWAY_S = 10.0, 0.5  # a camera is back within the one, and not within the other
USB_DEVICES = Path("/sys/bus/usb/devices")
USB_NODES = Path("/dev/bus/usb")
INTEL, REALSENSE_INC = "8086", "38a9"
RULE = (
    """echo 'SUBSYSTEM=="usb|video4linux", ATTRS{idVendor}=="8086|38a9", TAG+="uaccess"' """
    "| sudo tee /etc/udev/rules.d/70-realsense.rules && sudo udevadm control --reload && sudo udevadm trigger"
)
# what the SDK and the kernel say, in lower case
DENIED = ("permission denied", "access denied", "status_access", "errno=13", "errno=1 ", "not permitted")
BUSY = ("busy", "errno=16", "is streaming", "already opened", "in use")
GONE = ("no such device", "disconnected", "errno=19", "no device connected", "device_removed")


class Bus(Protocol):
    """Where cameras are plugged in; the SDK's context, or one of simulated cameras."""

    def query_devices(self) -> Any: ...


@dataclass(frozen=True)
class Camera:
    """A camera that is plugged in.

    Args:
        serial: its serial number.
        name: of the model.
        usb: of the connection, such as "3.2"; empty where it is none.
        firmware: the version.
    """

    serial: str
    name: str
    usb: str = ""
    firmware: str = ""

    @property
    def slow(self) -> bool:
        """Whether it is connected by USB 2."""
        return self.usb.startswith("2")


def bus() -> Bus:
    """The SDK's own bus.

    Raises:
        MissingDependency: the ``realsense`` extra is not installed.
    """
    found: Bus = require("pyrealsense2").context()
    return found


def cameras(where: Bus | None = None) -> list[Camera]:
    """The cameras that are plugged in.

    Raises:
        MissingDependency: the ``realsense`` extra is not installed.
        SensorError: the SDK cannot look for them.
    """
    return [camera_of(device) for device in _devices(where or bus())]


def camera_of(device: Any) -> Camera:
    """What an SDK's device says of itself."""
    info = require("pyrealsense2").camera_info

    def said(key: Any) -> str:
        return str(device.get_info(key)) if device.supports(key) else ""

    return Camera(
        said(info.serial_number), said(info.name), said(info.usb_type_descriptor), said(info.firmware_version)
    )


def find(where: Bus, serial: str | None) -> Any:
    """The SDK's device with that serial number, or the first there is.

    Raises:
        SensorError: there is none; says why.
    """
    found = {camera_of(device).serial: device for device in _devices(where)}
    if serial is None and found:
        return next(iter(found.values()))
    if serial in found:
        return found[serial]
    if found:
        have = ", ".join(sorted(found))
        raise SensorError(f"there is no RealSense camera with serial number {serial}; plugged in: {have}")
    denied = unreadable_nodes()
    if denied:
        raise SensorError(denied_text(f"a RealSense camera is plugged in, but {denied[0]} may not be opened"))
    wanted = f" {serial}" if serial else ""
    raise SensorError(f"no RealSense camera{wanted} is plugged in; connect one by its USB 3 cable")


def unreadable_nodes(devices: Path = USB_DEVICES, nodes: Path = USB_NODES) -> list[Path]:
    """The USB nodes of RealSense cameras that this user may not open."""
    denied = []
    for folder in sorted(devices.glob("*")):
        vendor, product = _line(folder / "idVendor"), _line(folder / "product").lower()
        if vendor != REALSENSE_INC and not (vendor == INTEL and "realsense" in product):
            continue
        number = (_line(folder / "busnum"), _line(folder / "devnum"))
        if not all(part.isdigit() for part in number):
            continue
        node = nodes / f"{int(number[0]):03d}" / f"{int(number[1]):03d}"
        if not os.access(node, os.R_OK | os.W_OK):
            denied.append(node)
    return denied


def denied_text(what: str) -> str:
    """The sentence of a missing permission, with the udev rule that gives it."""
    return f"{what}; allow it once with: {RULE}"


def explained(error: Exception, what: str) -> SensorError:
    """What the SDK raised, as one sentence with the remedy."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    low = said.lower()
    if any(word in low for word in DENIED):
        return SensorError(denied_text(f"{what} may not be opened by this user"))
    if any(word in low for word in BUSY):
        return SensorError(f"{what} is in use by another program; close that, such as realsense-viewer")
    if any(word in low for word in GONE):
        return SensorError(f"{what} was unplugged; plug it in again")
    return SensorError(f"{what} does not work ({said}); unplug it and plug it in again")


def hopeless(error: SensorError) -> bool:
    """Whether trying again, or a reset, would not help, or would harm whoever uses the camera."""
    text = str(error)
    return any(word in text for word in ("may not be opened", "in use by", "no RealSense camera", "offers"))


def reset(where: Bus, serial: str | None, who: str) -> None:
    """Switch a camera off and on, and wait until it is back; the last resort."""
    log.warning("resetting %s", who)
    try:
        find(where, serial).hardware_reset()
    except (RuntimeError, SensorError) as error:
        log.warning("%s cannot be reset (%s)", who, error)
        return
    until = time.monotonic() + RESET_S
    while time.monotonic() < until:
        time.sleep(AWAY_S)
        with contextlib.suppress(SensorError):
            find(where, serial)
            return


def _devices(where: Bus) -> list[Any]:
    try:
        return list(where.query_devices())
    except RuntimeError as error:
        raise explained(error, "the bus of RealSense cameras") from None


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

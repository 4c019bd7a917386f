"""Ouster LiDARs (OS-0, OS-1, OS-2, OS-DOME): live, from a capture (.pcap) or a recording (.osf).

Packets are decoded by ouster-sdk (extra ``ouster``), which needs the sensor's metadata: a JSON file, by
custom beside the capture, or fetched from the sensor itself. Points come from beams by the sensor's own
calibration.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, Gait3DError, InputError, SensorError
from gait3dlib.sensors._ouster import OusterDecoder, scan_of
from gait3dlib.sensors._packets import CAPTURES, Decoder, PacketSensor, Scan
from gait3dlib.types import EndOfStream, Frame

MAX_METADATA = 2**20
MEASURED = ("RANGE", "SIGNAL", "REFLECTIVITY")  # the SDK leaves a field that it cannot decode at nought


class Ouster(PacketSensor):
    """An Ouster LiDAR: ``ouster:7502,host=SENSOR``, ``ouster:7502,meta=FILE.json``, a FILE.pcap or FILE.osf.

    Args:
        source: a UDP port (7502 as delivered), or the path of a capture or recording.
        host: the sensor's name or address: its metadata is fetched from there, and only its packets count.
        port: in a capture, the port to listen to; without it, the one in the metadata, or any.
        meta: the sensor's metadata (JSON); without it, the file that goes with the capture by name.
        mount: a JSON file with the sensor's place in the world, see ``gait3d mount``.
    """

    kind, maker, default_port = "ouster", "Ouster", 7502
    files = (*CAPTURES, ".osf")

    def __init__(
        self,
        source: str | int | None = None,
        *,
        host: str = "",
        port: int | None = None,
        meta: str = "",
        mount: str = "",
    ) -> None:
        super().__init__(source, host="", port=port, mount=mount)
        self._name, self._meta = host, meta
        self._scans: Iterator[Scan] | None = None
        if self.listen is not None and not meta and not host:
            raise ConfigError(
                f"an Ouster sensor's packets need its metadata: write ouster:{self.listen},host=SENSOR, or "
                f"ouster:{self.listen},meta=FILE.json (from http://SENSOR/api/v1/sensor/metadata)"
            )

    def decoder(self) -> Decoder:
        """A decoder for one stream, by the sensor's metadata."""
        core = _sdk()
        text = _fetched(self._name) if self._name and not self._meta else _read(self._metadata())
        return OusterDecoder(parse_metadata(text, self._meta or str(self.path or self._name)), core)

    def open(self) -> None:
        """Listen to the port, or start at the beginning of the file.

        Raises:
            SensorError: the port is in use, or the sensor gives no metadata.
            InputError: the file or the metadata cannot be read.
            MissingDependency: the ``ouster`` extra is not installed.
        """
        self._scans = None
        if self.path is not None and self.path.suffix.lower() == ".osf":
            self.close()
            self._scans = read_osf(self.path)
            self._clock_ns = -1
            return
        super().open()

    def close(self) -> None:
        """Close the port or the file."""
        self._scans = None
        super().close()

    def read(self, timeout_s: float) -> Frame:
        """The next scan; see :meth:`PacketSensor.read`."""
        if self._scans is None:
            return super().read(timeout_s)
        scan = next(self._scans, None)
        if scan is None:
            if self._clock_ns < 0:
                raise InputError(f"{self.path} holds no scan that can be decoded; record the sensor again")
            raise EndOfStream
        self._clock_ns = max(self._clock_ns + 1, scan.device_t_ns or 0)
        return Frame({"points": scan.points, "point_time": scan.time}, self._clock_ns, scan.device_t_ns)

    def _metadata(self) -> Path:
        """The metadata file: the named one, or the one that goes with the capture."""
        if self._meta:
            return Path(self._meta)
        assert self.path is not None
        beside = [self.path.with_suffix(".json"), self.path.with_name(f"{self.path.stem}_0.json")]
        named = sorted(p for p in self.path.parent.glob("*.json") if self.path.stem.startswith(p.stem))
        found = next((p for p in (*beside, *reversed(named)) if p.is_file()), None)
        if found is None:
            raise InputError(
                f"{self.path} needs the metadata of its sensor; put it beside as {beside[0].name}, or name "
                f"it: ouster:{self.path},meta=FILE.json"
            )
        return found


def parse_metadata(text: str, where: str) -> Any:
    """An Ouster sensor's metadata as the SDK's ``SensorInfo``.

    Raises:
        InputError: it is not an Ouster sensor's metadata.
    """
    core = _sdk()
    try:
        info = core.SensorInfo(text)
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"the metadata of {where} is not an Ouster sensor's: {_line(error)}") from None
    if info.format.udp_profile_lidar == core.UDPProfileLidar.OFF or not info.format.columns_per_packet:
        raise InputError(
            f"the metadata of {where} says that its sensor sends no range; switch its lidar data on"
        )
    return info


def read_osf(path: Path) -> Iterator[Scan]:
    """The scans of an .osf recording, of its first sensor.

    Raises:
        InputError: the file cannot be read.
    """
    core, osf = _sdk(), require("ouster.sdk.osf")
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        source = osf.OsfFrameSetSource(str(path))
        infos = list(source.sensor_info)
    except Exception as error:  # the SDK raises RuntimeError, but a damaged file can raise others
        raise InputError(f"{path} cannot be read: {_line(error)}") from None
    cloud = core.XYZLut(infos[0], use_extrinsics=False)

    def scans() -> Iterator[Scan]:
        try:
            for frames in source:
                for frame in frames.valid_frames():
                    scan = scan_of(frame, cloud) if frame.sensor_info.sn == infos[0].sn else None
                    blank = [name for name in MEASURED if scan is not None and not _lit(frame, name)]
                    if blank:
                        raise InputError(f"{path} is damaged: {' and '.join(blank)} cannot be decoded")
                    if scan is not None:
                        yield scan
        except Gait3DError:
            raise
        except Exception as error:
            raise InputError(f"{path} is damaged: {_line(error)}") from None

    return scans()


def _lit(frame: Any, name: str) -> bool:
    """Whether a field is not there or not all nought; what hit something has a signal."""
    return name not in frame.fields or bool(frame.field(name).any())


def _sdk() -> Any:
    """The SDK, without its own messages on the terminal."""
    core = require("ouster.sdk.core")
    core.init_logger("off")
    return core


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_METADATA).decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"the metadata {path} cannot be read: {error.strerror}") from None


def _fetched(host: str) -> str:
    """The metadata that the sensor itself gives over HTTP."""
    client = require("ouster.sdk._bindings.client")
    try:
        return str(client.SensorHttp.create(host, timeout_sec=10).metadata())
    except Exception as error:
        raise SensorError(
            f"the Ouster sensor {host} gives no metadata ({_line(error)}); check its address, power and cable"
        ) from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")

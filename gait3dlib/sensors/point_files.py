"""Clouds of points on disk: folders of PCD or PLY files, ROS 1 and ROS 2 bags, MCAP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from gait3dlib.errors import ConfigError, InputError, SensorError
from gait3dlib.sensors import _mount, _text
from gait3dlib.sensors._bags import BAGS, read_bag
from gait3dlib.sensors._clouds import read_cloud
from gait3dlib.types import NS_PER_S, STREAM_SPECS, Calibration, EndOfStream, Frame, StreamSpec

SUFFIXES = (".pcd", ".ply")
STAMP = re.compile(
    r"(\d{9,10})[._](\d{1,9})$|(\d{16,19})$"
)  # seconds and a fraction, or micro- or nanoseconds


class PointFiles:
    """Scans on disk: ``point_files:FOLDER`` of .pcd or .ply files, or a bag (.bag, .mcap, .db3).

    Files in a folder are read in the order of their names. Names that end in a time (``1700000000.123456``,
    ``1700000000123456789``) say when a scan was taken; else ``fps`` does. Of a bag, the messages
    ``sensor_msgs/PointCloud2`` are read (extra ``bags``), with the time of each point where they hold it.

    Args:
        path: the folder or file.
        topic: of a bag; may be left out where there is one of clouds only.
        fps: scans a second where names are no times.
        scale_m: of a unit of the files in metres; 0.001 for millimetres.
        mount: a JSON file with the sensor's place in the world, see ``gait3d mount``.
    """

    live = False

    def __init__(
        self, path: str, *, topic: str = "", fps: float = 10.0, scale_m: float = 1.0, mount: str = ""
    ) -> None:
        if not 0 < fps <= 1000 or not 0 < scale_m <= 1000:
            raise ConfigError("point_files: fps and scale_m must be above 0 and at most 1000")
        self.path, self._topic, self._fps, self._scale = Path(path), topic, fps, scale_m
        self._extrinsics = _mount.read(mount) if mount else None
        self._frames: Iterator[Frame] | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what follows ``point_files:``, a path, then ``key=value`` pairs, parted by commas."""
        path, _, rest = (text, "", "") if Path(text).exists() else text.partition(",")
        if not path:
            raise ConfigError("say which files: point_files:FOLDER or point_files:FILE.bag")
        made: Self = _text.build(cls, rest, "point_files", path=path)
        return made

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like."""
        names = ("points", "point_time") if self._is_bag() else ("points",)
        return {name: STREAM_SPECS[name] for name in names}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Where the sensor stands, if a mount was given."""
        return {} if self._extrinsics is None else {"points": Calibration(extrinsics=self._extrinsics)}

    def open(self) -> None:
        """Start at the first scan.

        Raises:
            InputError: there is no such folder or file, or no cloud in it.
            MissingDependency: it is a bag and the ``bags`` extra is not installed.
        """
        if not self.path.exists():
            raise InputError(f"there is no file or folder {self.path}")
        if self._is_bag():
            self._frames = read_bag(self.path, self._topic, self._scale)
            return
        if not self.path.is_dir():
            raise InputError(
                f"{self.path} is neither a folder of .pcd or .ply files nor a bag (.bag, .mcap, .db3)"
            )
        files = sorted(path for path in self.path.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{self.path} holds no .pcd and no .ply file, and is no bag")
        self._frames = self._read(files)

    def _is_bag(self) -> bool:
        return self.path.suffix.lower() in BAGS or (self.path / "metadata.yaml").is_file()

    def close(self) -> None:
        """Stop."""
        self._frames = None

    def read(self, timeout_s: float) -> Frame:
        """The next scan.

        Raises:
            EndOfStream: all were read.
            InputError: a file is damaged.
            SensorError: it is not open.
        """
        if self._frames is None:
            raise SensorError(f"{self.path} is not open; use it in a with statement")
        frame = next(self._frames, None)
        if frame is None:
            raise EndOfStream
        return frame

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, files: list[Path]) -> Iterator[Frame]:
        times = [stamp_of(path.stem) for path in files]
        known = [time for time in times if time is not None]
        named = len(known) == len(files) and all(a < b for a, b in pairwise(known))
        for number, path in enumerate(files):
            points = read_cloud(path)
            points = points[np.isfinite(points).all(axis=1)]
            points[:, :3] *= np.float32(self._scale)
            t_ns = known[number] if named else round(number / self._fps * NS_PER_S)
            yield Frame({"points": points}, t_ns)


def stamp_of(name: str) -> int | None:
    """The time in nanoseconds that a file's name ends in; None where it is none."""
    found = STAMP.search(name)
    if found is None:
        return None
    if found[3]:
        return int(found[3]) * (1000 if len(found[3]) == 16 else 1)
    return int(found[1]) * NS_PER_S + int(found[2].ljust(9, "0"))

"""RealSense depth cameras, live or from a file that the SDK recorded (.db3, .bag).

Live, the camera's sensors run through the SDK's own syncer; files run through its pipeline. One class serves
both, so what works on a file works on the camera.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from gait3dlib.errors import ConfigError, SensorError
from gait3dlib.sensors import _mount, _text
from gait3dlib.sensors._device_clock import MomentClock
from gait3dlib.sensors._realsense_devices import Bus, Camera, bus, camera_of, find, hopeless, reset
from gait3dlib.sensors._realsense_feeds import FILES, Feed, FileFeed, LiveFeed
from gait3dlib.sensors._realsense_frames import MILLIMETRE, FrameCounts, Moment, Sorter
from gait3dlib.sensors._realsense_streams import (
    Alignment,
    Chain,
    Picture,
    Wanted,
    calibrations,
    parse_filters,
)
from gait3dlib.types import STREAM_SPECS, Calibration, EndOfStream, Frame, StreamSpec

log = logging.getLogger(__name__)

TRIES, PAUSE_S = 4, 0.5  # the camera is reset before the last try
FIRST_S = 5.0  # a camera takes a second or two to its first frame
MOST_HELD = 60  # frames that are looked at for a stream that does not come


class Realsense:
    """A RealSense camera: ``realsense`` the first, ``realsense:SERIAL``, ``realsense:FILE.db3`` or ``.bag``.

    Frames hold ``depth`` uint16 ``[h, w]`` in millimetres (float32 metres where the camera's unit is another)
    and, where there is one, ``color`` uint8 ``[h, w, 3]``; a frame may lack one of the two. ``device_t_ns``
    is the camera's own stamp, ``host_t_ns`` the same moment by the host's clock, drift removed; in files it
    counts from 0. Extrinsics lead from the world of ``mount``; without one, from a world in which the depth
    camera is level at the origin: they then say where the picture's camera is beside it, not where it hangs.

    Args:
        source: a serial number, or a file; without it, the first camera that is plugged in.
        width: pixels; of a camera, as ``height`` and ``fps``. Files are as they were recorded.
        height: pixels.
        fps: frames a second.
        picture: what goes along with depth: "color", "infrared" (the left imager; for the dark), "none", or
            "auto", colour where there is any. Recorders store it only when asked.
        align: warp depth to the "color" picture or colour to "depth" by the SDK; "none" keeps both as they
            were measured.
        filters: the SDK's own, such as "spatial+temporal", or with options: {"spatial": {"filter_magnitude":
            2}}. By default none: depth as it was measured.
        warm_up_s: live, frames of so long are dropped until exposure has settled.
        realtime: play a file at its own pace, and lose frames as a camera would.
        mount: a JSON file with the depth camera's place in the world.
        bus: where cameras are plugged in; by default the SDK's. For simulated ones.

    Raises:
        ConfigError: a number out of range, or an unknown filter.
    """

    def __init__(
        self,
        source: str | None = None,
        *,
        width: int = 640,
        height: int = 480,
        fps: int = 30,
        picture: Picture = "auto",
        align: Alignment = "none",
        filters: str | dict[str, dict[str, float]] = "",
        warm_up_s: float = 0.5,
        realtime: bool = False,
        mount: str = "",
        bus: Any = None,
    ) -> None:
        if not (0 < width <= 4096 and 0 < height <= 4096 and 0 < fps <= 300 and 0 <= warm_up_s <= 60):
            raise ConfigError("realsense: width and height go up to 4096, fps to 300, warm_up_s to 60")
        if align != "none" and picture == "none":
            raise ConfigError("realsense: align needs a picture; leave out align or picture=none")
        self._path = Path(source) if source and _is_file(source) else None
        self._serial = source if source and self._path is None else None
        self.live = self._path is None or realtime
        self._wanted = Wanted(width, height, fps, picture)
        self._align, self._filters, self._realtime = align, parse_filters(filters), realtime
        self._warm_up_s, self._bus = warm_up_s, bus
        self._mount = _mount.read(mount) if mount else None
        self.camera: Camera | None = None
        self._ready, self._handed, self._before = False, 0, FrameCounts()
        self._sorter: Sorter | None = None
        self._clock = MomentClock(file=self._path is not None and not realtime)
        self._clear()

    def _clear(self) -> None:
        self._feed: Feed | None = None
        self._pending: deque[Frame] = deque()
        self._moments: deque[Moment] = deque()
        self._specs: dict[str, StreamSpec] = {}
        self._calibration: dict[str, Calibration] = {}
        self._profiles: dict[str, Any] = {}

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what follows ``realsense:``: a serial number or file, then ``key=value`` pairs."""
        source, _, rest = (text, "", "") if Path(text).is_file() else text.partition(",")
        if "=" in source:
            source, rest = "", text
        made: Self = _text.build(cls, rest, "realsense", **({"source": source} if source else {}))
        return made

    @property
    def specs(self) -> Mapping[str, StreamSpec]:
        """What the frames look like; with sizes once the camera is open."""
        return self._specs or {"depth": STREAM_SPECS["depth"]}

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """The pinholes of the streams, once the camera is open."""
        return self._calibration

    @property
    def counts(self) -> FrameCounts:
        """What became of the frames so far, over all losses and returns of the camera."""
        now = self._sorter.counts if self._sorter else FrameCounts()
        sums = self._before.plus(lost=now.lost, single=now.single, empty=now.empty)
        return sums.plus(frames=self._handed, clock_sets=self._clock.resets)

    @property
    def drift_ppm(self) -> float:
        """How much faster the host's clock runs than the camera's, in millionths."""
        return self._clock.drift_ppm

    # ---- opening ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the camera or file.

        The first time, a camera that gives nothing is tried again, and reset before the last try. Later, who
        reads on after a loss decides how often to try.

        Raises:
            SensorError: no camera, another serial number, no permission, busy, a profile that it lacks.
            RecordingError: the file is missing or damaged.
            MissingDependency: the ``realsense`` extra is not installed.
        """
        self.close()
        tries = 1 if self._path is not None or self._ready else TRIES
        for attempt in range(tries):
            try:
                self._start()
                self._ready = True
                return
            except SensorError as error:
                self.close()
                if hopeless(error) or attempt == tries - 1:
                    raise
                log.warning("%s; trying again", error)
                if attempt == tries - 2:
                    reset(self._where(), self._serial, self._who)
                time.sleep(PAUSE_S)
            except BaseException:
                self.close()
                raise

    def _start(self) -> None:
        if self._path is not None:
            self._clock = MomentClock(file=not self._realtime)
            self._feed = FileFeed(self._path, self._wanted.picture, self._realtime)
        else:
            device = find(self._where(), self._serial)
            self.camera = camera_of(device)
            self._serial = self.camera.serial  # after a loss it must be the same one
            if self.camera.slow:
                log.warning(
                    "%s is connected by USB %s, which carries few frames; use a USB 3 port and cable",
                    self._who, self.camera.usb,
                )  # fmt: skip
            self._feed = LiveFeed(device, self._wanted, self._who)
        chain = Chain(self._filters, self._align) if self._filters or self._align != "none" else None
        feed = self._feed
        self._sorter = Sorter(feed.profiles, feed.scale_m, chain, self._align != "none")
        self._meet()

    def _meet(self) -> None:
        """Wait for the first frame of every stream: they say what the streams look like."""
        assert self._sorter is not None
        drop = 0 if self._path is not None else round(self._warm_up_s * self._wanted.fps)
        expected, seen = self._sorter.streams, set[str]()
        while not expected <= seen and len(self._pending) < MOST_HELD:
            frame = self._take(FIRST_S)
            if drop:
                drop -= "depth" in frame.data
                continue
            self._pending.append(frame)
            seen |= frame.data.keys()
        if "depth" not in seen:
            raise SensorError(f"{self._who} gives no depth; unplug it and plug it in again")
        metric = self._sorter.metric
        shapes = {name: array for frame in self._pending for name, array in frame.data.items()}
        for name, array in shapes.items():
            units = "1" if name != "depth" else "mm" if metric else "m"
            self._specs[name] = StreamSpec(name, array.shape, (array.dtype.name,), (units,))
        self._calibration = calibrations(self._profiles, MILLIMETRE if metric else 1.0, self._mount)

    def _where(self) -> Bus:
        if self._bus is None:
            self._bus = bus()
        found: Bus = self._bus
        return found

    @property
    def _who(self) -> str:
        if self._path is not None:
            return str(self._path)
        return f"the RealSense camera {self._serial}" if self._serial else "the RealSense camera"

    # ---- reading ----------------------------------------------------------------------------------

    def read(self, timeout_s: float) -> Frame:
        """The next frame.

        Raises:
            EndOfStream: a file is at its end.
            SensorError: the camera fell silent or was unplugged, or it is not open.
            RecordingError: the file is damaged from here on.
        """
        if self._feed is None:
            raise SensorError(f"{self._who} is not open; use it in a with statement")
        frame = self._pending.popleft() if self._pending else self._take(timeout_s)
        self._handed += 1
        return frame

    def _take(self, timeout_s: float) -> Frame:
        """The next moment as a frame, from what waits or from the SDK."""
        assert self._feed is not None
        assert self._sorter is not None
        until = time.monotonic() + timeout_s
        while not self._moments:
            left = until - time.monotonic()
            try:
                frames = self._feed.next(left) if left > 0 else None
            except EndOfStream:
                self._moments.extend(self._sorter.flush())
                if not self._moments:
                    raise
                break
            if frames is not None:
                self._moments.extend(self._sorter.push(frames))
            elif until <= time.monotonic():
                raise SensorError(
                    f"{self._who} fell silent for {timeout_s:g} s; check its cable and plug it in again"
                )
        return self._frame(self._moments.popleft())

    def _frame(self, moment: Moment) -> Frame:
        assert self._sorter is not None
        first = moment.get("depth") or next(iter(moment.values()))
        host_ns = self._clock.at(first.t_ns, host_time=first.host_time)
        for name, part in moment.items():
            self._profiles.setdefault(name, part.profile)
        if self._sorter.counts.empty == self._wanted.fps and not moment["depth"].data.any():
            log.warning("%s measures no depth at all; uncover it and give it half a metre", self._who)
        return Frame({name: part.data for name, part in moment.items()}, host_ns, first.t_ns)

    def close(self) -> None:
        """Let go of the camera or file."""
        if self._feed is not None:
            self._feed.close()
        if self._sorter is not None:
            now, self._sorter = self._sorter.counts, None
            self._before = self._before.plus(lost=now.lost, single=now.single, empty=now.empty)
        self._clear()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_file(source: str) -> bool:
    return Path(source).suffix.lower() in FILES or Path(source).is_file()

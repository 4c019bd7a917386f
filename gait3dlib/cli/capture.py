"""Verbs about sensors and recordings: sensors, record, recover."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gait3dlib import registry
from gait3dlib.cli import _listing as listing
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, note, show_json, show_table, simple_table, waiting
from gait3dlib.errors import ConfigError

if TYPE_CHECKING:
    from gait3dlib.recording import RecordingWriter
    from gait3dlib.sensors import Pump, Rig
    from gait3dlib.types import Frame

LINE_S = 0.5  # between two updates of the live line


def sensors(as_json: option.Json = False) -> None:
    """List the sensors, and what to do about those that do not work.

    Example: gait3d sensors
    """
    found = [listing.sensor(name) for name in registry.names("sensor")]
    found += listing.depth_cameras()
    found += [listing.port(row) for row in found if row["works"] and row["name"] in listing.PORTS]
    webcams = [listing.webcam(path) for path in sorted(Path("/dev").glob("video[0-9]*"))]
    if as_json:
        show_json({"sensors": found, "webcams": webcams})
        return
    table = simple_table("", "sensor", "call it", "works", "what to do")
    for row in (*found, *webcams):
        cells = (row["name"], row["call"], "yes" if row["works"] else "no", row["remedy"])
        table.add_row(*cells, style="" if row["works"] else "yellow")
    show_table(table)
    if not webcams:
        note("no webcam is plugged in (there is no /dev/video*)")


def record(
    sensor: Annotated[
        list[str],
        typer.Option(
            "--sensor", metavar="TEXT", help="Such as video:0; see: gait3d sensors. May be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The recording to make (.h5).")],
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", min=0.0, help="Stop after so long; else on Ctrl-C."),
    ] = None,
    color: Annotated[
        bool, typer.Option("--color", help="Store colour images: anybody can see who it is.")
    ] = False,
    walks: Annotated[
        bool | None,
        typer.Option("--walks/--no-walks", help="Also find the walks; by default unless colour is stored."),
    ] = None,
    consent: Annotated[
        str, typer.Option("--consent", metavar="REF", help="Where the people's consent is filed.")
    ] = "",
    as_json: option.Json = False,
) -> None:
    """Record a sensor until it ends, or until Ctrl-C.

    Several sensors go into one recording, each on its own clock; the streams of the second end in _2.
    Ctrl-C and SIGTERM close the file properly; after a crash: gait3d recover FILE.part. Colour images are not
    stored unless asked for: silhouettes and keypoints are taken from them live.

    Example: gait3d record --sensor simulated:seed=3 --out walk.h5
    """
    from gait3dlib.perception import walks as find_walks
    from gait3dlib.recording import RecordingWriter
    from gait3dlib.sensors import Pump, Rig, open_sensor

    found = [open_sensor(text) for text in sensor]
    name = " ".join(sensor)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _StopSignal() as stop, Pump(found[0]) if len(found) == 1 else Rig(found) as frames:
        specs = {n: s for n, s in frames.sensor.specs.items() if color or n != "color"}
        wanted = not color if walks is None else walks
        if not specs and not wanted:
            raise ConfigError(f"{name} gives only colour images; ask for --color, for --walks, or for both")
        calibration = {n: c for n, c in frames.sensor.calibration.items() if n in specs}
        clock = "unix" if frames.live else "own"  # a file's time counts from its start
        with RecordingWriter(
            out, specs, calibration=calibration, store_color=color, clock=clock, consent_ref=consent
        ) as writer:
            tape = _Tape(frames, writer, set(specs), stop, seconds)
            with tape.live():
                if wanted:
                    # of all streams: keypoints from colour that is not stored are lifted by the depth
                    everywhere = frames.sensor.calibration
                    for seq in find_walks(tape, source=name, calibration=everywhere):
                        writer.add_walk(seq)
                        tape.walks += 1
                else:
                    for _ in tape:
                        pass
    if as_json:
        show_json({"path": str(out), **tape.to_dict()})
    else:
        console().print(f"{out}: {tape.line()}", soft_wrap=True)


def recover(
    part: Annotated[
        Path, typer.Argument(metavar="FILE", help="What is left: X.h5.part, or an unfinished X.h5.")
    ],
    as_json: option.Json = False,
) -> None:
    """Make a recording of what a crash or a power cut left.

    Example: gait3d recover walk.h5.part
    """
    from gait3dlib.recording import open_recording
    from gait3dlib.recording import recover as run

    path = run(part)
    with open_recording(path) as recording:
        frames = {name: len(recording.streams.t_ns(name)) for name in recording.streams}
        walks = len(recording)
    if as_json:
        show_json({"path": str(path), "frames": frames, "walks": walks})
    else:
        saved = ", ".join(f"{n} frames of {name}" for name, n in frames.items())
        console().print(f"{path}: {saved}, {walks} walks", soft_wrap=True)


# ---- recording ------------------------------------------------------------------------------------


class _StopSignal:
    """Ctrl-C and SIGTERM, once, as a wish to end; a second one ends at once.

    Between two frames the wish is looked at; only a wait for the next frame is interrupted, so that no
    write to the file ever is.
    """

    def __init__(self) -> None:
        self.asked = False
        self.may_interrupt = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again:
            raise KeyboardInterrupt
        if self.may_interrupt:
            self.may_interrupt = False
            raise _Asked


class _Asked(Exception):
    """A signal like StopIteration, not an error."""


class _Tape:
    """The frames of a pump, written as they pass."""

    def __init__(
        self,
        frames: Pump | Rig,
        writer: RecordingWriter,
        streams: set[str],
        stop: _StopSignal,
        seconds: float | None,
    ) -> None:
        self.pump, self.writer, self.streams, self.stop, self.limit_s = frames, writer, streams, stop, seconds
        self.frames = self.walks = 0
        self.started_s = time.monotonic()
        self.first_ns = self.last_ns = 0
        self._say: Callable[[str], None] = lambda text: None
        self._said_s = 0.0

    @contextmanager
    def live(self) -> Iterator[None]:
        """A line on the terminal that follows the recording."""
        with waiting("recording") as say:
            self._say = say
            yield

    def __iter__(self) -> Iterator[Frame]:
        frame = self._next()
        while frame is not None:
            one_clock = frame.device_t_ns is not None and not hasattr(self.pump, "pumps")
            t_ns = frame.device_t_ns if one_clock else frame.host_t_ns
            assert t_ns is not None
            if not self.frames:
                self.first_ns = t_ns
            elif self.limit_s is not None and t_ns - self.first_ns >= self.limit_s * 1e9:
                return
            for name in self.streams & frame.data.keys():
                self.writer.append(name, frame.data[name], frame.host_t_ns, frame.device_t_ns)
            self.frames, self.last_ns = self.frames + 1, t_ns
            if time.monotonic() - self._said_s > LINE_S:
                self._said_s = time.monotonic()
                self._say(self.line())
            yield frame
            frame = self._next()

    def _next(self) -> Frame | None:
        try:
            self.stop.may_interrupt = True
            return None if self.stop.asked else next(self.pump, None)
        except _Asked:
            return None
        finally:
            self.stop.may_interrupt = False

    def line(self) -> str:
        """How it goes, in a line."""
        seconds, stats = (self.last_ns - self.first_ns) / 1e9, self.pump.stats
        fps = (self.frames - 1) / seconds if seconds > 0 else 0.0
        lost = f", {stats.drops} lost" if stats.drops else ""
        lost += f", {stats.reconnects} reconnects" if stats.reconnects else ""
        lost += "".join(f" ({text})" for text in self.packets().values())
        return f"{seconds:.1f} s, {self.frames} frames, {fps:.1f} a second{lost}, {self.walks} walks"

    def packets(self) -> dict[str, Any]:
        """What became of the packets of each sensor that counts them, by its place and kind."""
        pumps = getattr(self.pump, "pumps", [self.pump])
        sensors = [(f"{i}:{type(p.sensor).__name__.lower()}", p.sensor) for i, p in enumerate(pumps, 1)]
        return {name: item.counts for name, item in sensors if hasattr(item, "counts")}

    def to_dict(self) -> dict[str, Any]:
        """What was recorded, ready for JSON."""
        stats = self.pump.stats
        return {
            "seconds": (self.last_ns - self.first_ns) / 1e9,
            "frames": self.frames,
            "streams": sorted(self.streams),
            "lost": stats.drops,
            "reconnects": stats.reconnects,
            "walks": self.walks,
            "packets": {name: counts.to_dict() for name, counts in self.packets().items()},
        }

"""Verbs about sensors and recordings: sensors, record, recover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gait3dlib import registry
from gait3dlib.cli import _listing as listing
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, note, show_json, show_table, simple_table
from gait3dlib.cli._screen import Screen
from gait3dlib.cli._signals import StopSignal
from gait3dlib.cli.live import answers, open_sensors
from gait3dlib.errors import ConfigError

if TYPE_CHECKING:
    from gait3dlib.live import Answer, Live
    from gait3dlib.recording import RecordingWriter
    from gait3dlib.sensors import Pump, Rig
    from gait3dlib.types import Frame


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
    from gait3dlib.live import Live

    name = " ".join(sensor)
    wanted = not color if walks is None else walks
    tape = _Tape(name, out, seconds, color=color, walks=wanted, consent=consent)
    live = Live(
        None, open_sensors(sensor), source=name, walks=wanted, on_open=tape.open, on_frame=tape.append
    )
    screen = Screen(f"recording {name}", live)
    screen.extra = lambda: tape.line(live)
    with StopSignal() as stop, tape, live, screen.shown():
        for answer in answers(live, stop, None):
            tape.add_walk(answer)
    if dropped := live.stats.dropped_frames:
        note(
            f"{dropped} frames were lost because writing is slower than the sensor; "
            "record to a faster disk, or fewer frames a second"
        )
    if as_json:
        show_json({"path": str(out), **tape.to_dict(live)})
    else:
        console().print(f"{out}: {tape.line(live)}", soft_wrap=True)


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


class _Tape:
    """The frames of a live loop, written as they pass; a context manager that finishes the recording."""

    def __init__(
        self, name: str, out: Path, seconds: float | None, *, color: bool, walks: bool, consent: str
    ) -> None:
        self._name, self._out, self._limit_s = name, out, seconds
        self._color, self._wanted, self._consent = color, walks, consent
        self._writer: RecordingWriter | None = None
        self._streams: set[str] = set()
        self.frames = self.walks = 0
        self.first_ns = self.last_ns = 0

    def open(self, frames: Pump | Rig) -> None:
        """Make the file for what the sensors give, now that they are open."""
        from gait3dlib.recording import RecordingWriter

        sensor = frames.sensor
        specs = {n: s for n, s in sensor.specs.items() if self._color or n.partition("_")[0] != "color"}
        if not specs and not self._wanted:
            raise ConfigError(
                f"{self._name} gives only colour images; ask for --color, for --walks, or for both"
            )
        calibration = {n: c for n, c in sensor.calibration.items() if n in specs}
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._writer = RecordingWriter(
            self._out, specs, calibration=calibration, store_color=self._color,
            clock="unix" if frames.live else "own",  # a file's time counts from its start
            consent_ref=self._consent,
        )  # fmt: skip
        self._streams = set(specs)

    def append(self, frame: Frame) -> bool:
        """Write a frame; False when the time is over. The host's clock counts: a device's may be set."""
        t_ns = frame.host_t_ns
        if not self.frames:
            self.first_ns = t_ns
        elif self._limit_s is not None and t_ns - self.first_ns >= self._limit_s * 1e9:
            return False
        assert self._writer is not None
        for name in self._streams & frame.data.keys():
            self._writer.append(name, frame.data[name], frame.host_t_ns, frame.device_t_ns)
        self.frames, self.last_ns = self.frames + 1, t_ns
        return True

    def add_walk(self, answer: Answer) -> None:
        """Keep a walk that was found."""
        if answer.walk is not None and self._writer is not None:
            self._writer.add_walk(answer.walk)
            self.walks += 1

    def __enter__(self) -> _Tape:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def line(self, live: Live) -> str:
        """How it goes, in a line."""
        seconds, stats = (self.last_ns - self.first_ns) / 1e9, live.stats
        fps = (self.frames - 1) / seconds if seconds > 0 else 0.0
        lost = f", {stats.dropped_frames} lost" if stats.dropped_frames else ""
        lost += f", {stats.reconnects} reconnects" if stats.reconnects else ""
        lost += "".join(f" ({text})" for text in live.counts.values())
        return f"{seconds:.1f} s, {self.frames} frames, {fps:.1f} a second{lost}, {self.walks} walks"

    def to_dict(self, live: Live) -> dict[str, Any]:
        """What was recorded, ready for JSON."""
        stats = live.stats
        return {
            "seconds": (self.last_ns - self.first_ns) / 1e9,
            "frames": self.frames,
            "streams": sorted(self._streams),
            "lost": stats.dropped_frames,
            "lost_in_sensor": stats.lost,
            "passed_over": stats.passed_over,
            "reconnects": stats.reconnects,
            "walks": self.walks,
            "packets": {name: counts.to_dict() for name, counts in live.counts.items()},
        }

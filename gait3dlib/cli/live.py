"""What the verbs do in front of a sensor: recognise, enrol, view."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gait3dlib.cli import _options as option
from gait3dlib.cli._answers import RecognitionTable
from gait3dlib.cli._output import clean, console, note, plain, show_json
from gait3dlib.cli._screen import Screen, latency, losses
from gait3dlib.cli._signals import StopSignal
from gait3dlib.errors import ConfigError, InputError

if TYPE_CHECKING:
    from gait3dlib.live import Answer, Live, LiveStats
    from gait3dlib.pipeline import Pipeline
    from gait3dlib.types import Sensor

POLL_S = 0.2

Sensors = Annotated[
    list[str] | None,
    typer.Option("--sensor", metavar="TEXT", help="Such as realsense; see: gait3d sensors. May be repeated."),
]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", metavar="S", min=0.0, help="Stop a sensor after so long; else on Ctrl-C."),
]


def open_sensors(texts: Sequence[str]) -> list[Sensor]:
    """The sensors that texts name; a path is a file that is played."""
    from gait3dlib.sensors import open_sensor
    from gait3dlib.sources import sensor_text

    return [open_sensor(sensor_text(text)) for text in texts]


def one_of(source: str | None, sensors: Sequence[str] | None) -> None:
    """Check that either a source or sensors are named.

    Raises:
        ConfigError: neither, or both.
    """
    if bool(source) == bool(sensors):
        raise ConfigError("name either a SOURCE, such as walk.mp4, or --sensor, such as --sensor realsense")


def answers(live: Live, stop: StopSignal, seconds: float | None) -> Iterator[Answer]:
    """The answers of a running loop until it ends, a signal comes, or the time is over."""
    started_s = time.monotonic()
    stopped = False
    while True:
        over = seconds is not None and time.monotonic() - started_s >= seconds
        if (stop.asked or over) and not stopped:
            stopped = True
            live.stop()
        answer = live.wait(POLL_S)
        if answer is not None:
            yield answer
        elif live.ended:
            return


def recognize_live(
    texts: Sequence[str],
    gallery: Path | None,
    modalities: str | None,
    weights: str,
    seconds: float | None,
    as_json: bool,
) -> None:
    """``gait3d recognize --sensor``."""
    from gait3dlib.live import Live

    name = " + ".join(texts)
    with option.open_pipeline(weights, modalities, option.gallery_if_any(gallery)) as pipeline:
        table = RecognitionTable(pipeline)
        with StopSignal() as stop, Live(pipeline, open_sensors(texts), source=name) as live:
            with Screen(name, live, _remark(pipeline)).shown():
                for answer in answers(live, stop, seconds):
                    if as_json:
                        show_json(_line(name, answer, pipeline))
                    else:
                        table.add(answer.number, answer.recognition)
            stats = live.stats
        if as_json:
            show_json({"event": "end", "source": name, **plain(stats)})
            return
        table.remarks()
        _sum_up(stats)


def enroll_live(
    subject: str,
    texts: Sequence[str],
    gallery: Path | None,
    modalities: str | None,
    weights: str,
    seconds: float | None,
    as_json: bool,
) -> None:
    """``gait3d enroll --sensor``: two walks, of which the second must confirm the first."""
    from gait3dlib.gallery.base import check_pseudonym
    from gait3dlib.live import Live, enrol

    check_pseudonym(subject)
    place = gallery if gallery is not None else option.default_gallery()
    with option.open_pipeline(weights, modalities, place if place.exists() else None) as pipeline:
        live = Live(pipeline, open_sensors(texts), source=" + ".join(texts))
        screen = Screen(f"enrolling {subject}", live, _remark(pipeline))
        with StopSignal() as stop, live, screen.shown():
            found = enrol(pipeline, subject, answers(live, stop, seconds), _saying(screen))
    if found.confirmed:
        with option.open_pipeline(weights, modalities, option.gallery_to_write(gallery)) as pipeline:
            for seq in found.walks:
                count = pipeline.enroll(subject, seq)
    if as_json:
        show_json({**found.to_dict(), "walks": count if found.confirmed else 0})
    alike = f"similarity {found.verification.score:.3f}, threshold {found.verification.threshold:.3f}"
    if not found.confirmed:
        raise InputError(
            f"{subject} was not enrolled: the second walk does not match the first ({alike}); "
            "walk alone, in full view and as usual, and enrol again"
        )
    if found.resembles:
        note(f"the first walk was taken for {found.resembles}; if that is somebody else, check both")
    if not as_json:
        console().print(clean(f"enrolled {subject}: {count} walks, the last two alike ({alike})"))


def view(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="A recording (.h5), or a file that is played.")
    ] = None,
    sensor: Sensors = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write a file (.rrd) for later, and open no window."),
    ] = None,
    gallery: option.GalleryFile = None,
    modalities: option.Modalities = None,
    weights: option.Weights = "default",
    seconds: Seconds = None,
    as_json: option.Json = False,
) -> None:
    """Show depth, points, skeletons, bodies, tracks and names in 3-D, live or of a recording.

    Needs the extra view. Names need a gallery; without one, people are numbered.

    Example: gait3d view walk.h5 --out walk.rrd
    """
    from gait3dlib.live import Live
    from gait3dlib.view import View

    one_of(source, sensor)
    texts = sensor or [source or ""]
    name = " + ".join(texts)
    place = option.gallery_if_any(gallery)
    shown = 0
    with View(name, out) as seen:
        if source is not None and (walks := seen.recorded(source)):
            shown = walks
        else:
            pipeline = None if place is None else option.open_pipeline(weights, modalities, place)
            live = Live(pipeline, open_sensors(texts), on_moment=seen.moment)
            with StopSignal() as stop, live, Screen(name, live).shown():
                for answer in answers(live, stop, seconds):
                    seen.answer(answer)
                    shown += answer.walk is not None
            if pipeline is not None:
                pipeline.close()
    result = {"source": name, "walks": shown, "out": None if out is None else str(out)}
    if as_json:
        show_json(result)
    else:
        where = "shown" if out is None else f"written to {out}; open it with: rerun {out}"
        console().print(clean(f"{shown} walks of {name} {where}"), soft_wrap=True)


# ---- parts ----------------------------------------------------------------------------------------


def _saying(screen: Screen) -> Callable[[str], None]:
    def say(text: str) -> None:
        screen.prompt = text
        note(text)

    return say


def _remark(pipeline: Pipeline) -> str:
    """What must be said of the names as long as it is so."""
    if not len(pipeline.gallery):
        return "nobody is enrolled"
    names = pipeline.modalities
    subsets = chain.from_iterable(combinations(names, n) for n in range(1, len(names) + 1))
    return "" if any(pipeline.threshold(some)[1] for some in subsets) else "uncalibrated"


def _line(source: str, answer: Answer, pipeline: Pipeline) -> dict[str, Any]:
    return {
        "event": "walk",
        "source": source,
        "walk": answer.number,
        "enrolled": len(pipeline.gallery),
        "latency_s": answer.latency_s,
        **plain(answer.recognition),
    }


def _sum_up(stats: LiveStats) -> None:
    note(f"{stats.perceived} of {stats.captured} frames looked at; {losses(stats)}")
    if stats.walks:
        note(latency(stats))

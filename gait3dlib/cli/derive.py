"""The verb derive: streams of a recording, made from its others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gait3dlib._optional import require
from gait3dlib.cli import _gait
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import console, counting, note, read_names, show_json, show_table, simple_table
from gait3dlib.errors import ConfigError, InputError, did_you_mean

if TYPE_CHECKING:
    from gait3dlib.fitting import BodyFit
    from gait3dlib.recording import Truth
    from gait3dlib.types import GaitSequence

STREAMS = ("smpl",)


def derive(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording (.h5) with walks.")],
    stream: Annotated[
        str | None,
        typer.Option("--stream", metavar="NAME", help="What to make: smpl, a body fitted to the walk."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Write a gait report (HTML); with or without --stream."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Recording to write; by default RECORDING with -smpl."),
    ] = None,
    walk: Annotated[
        int | None, typer.Option("--walk", metavar="N", min=0, help="Only this walk, from 0; all by default.")
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option("--from-streams", metavar="A,B", help="Fit to these only: joints, keypoints, ..."),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="All walks are one walk, seen by several placed cameras.")
    ] = False,
    seed: option.Seed = 0,
    as_json: option.Json = False,
) -> None:
    """Make a stream of a recording from its others, and write both to a new recording.

    The stream smpl is a body and its poses, fitted over the whole walk to its joints, keypoints, points,
    depth and silhouettes. Height comes with all of them; mass needs one of the last three.

    With --report a page says what a clinician or coach looks at: steps and strides, joint angles, and
    inferred moments and powers over the gait cycle, each with its uncertainty. Not a medical device.

    Example: gait3d derive --stream smpl walk.h5
    """
    if stream is None:
        if report is None:
            raise ConfigError("say what to derive: --stream smpl, or --report gait.html")
        require("torch")
        _gait.write(report, _read(recording, walk).walks, recording.name, seed, as_json=as_json)
        return
    if stream not in STREAMS:
        raise ConfigError(f"no stream {stream!r} can be derived{did_you_mean(stream, STREAMS)}")
    require("torch")
    from gait3dlib.recording import save

    target = out or recording.with_name(f"{recording.stem}-{stream}{recording.suffix}")
    if target.exists() and target.resolve() == recording.resolve():
        raise ConfigError(f"--out {target} is the recording itself; name another file")
    source = _read(recording, walk)
    fits = _fit(source.walks, read_names(evidence) or None, together, seed, quiet=as_json)
    made = [
        dataclasses.replace(seq, streams={**seq.streams, stream: fit.stream})
        for seq, fit in zip(source.walks.values(), fits, strict=True)
    ]
    colour = any("color" in seq.streams for seq in made)
    save(target, *made, truths=source.truths, consent_ref=source.consent_ref, store_color=colour)
    rows = [_row(number, fit) for number, fit in zip(source.walks, fits, strict=True)]
    if as_json:
        show_json({"out": str(target), "stream": stream, "walks": rows})
    else:
        _show(rows)
        console().print(f"written: {target}", soft_wrap=True)
    if report is not None:
        _gait.write(report, dict(zip(source.walks, made, strict=True)), recording.name, seed, as_json=as_json)


@dataclass(frozen=True)
class _Source:
    """Walks by their number, and what a recording holds beside them."""

    walks: dict[int, GaitSequence]
    truths: list[Truth | None]
    consent_ref: str


def _read(recording: Path, walk: int | None) -> _Source:
    from gait3dlib.recording import open_recording

    with open_recording(recording) as opened:
        count = len(opened.walks)
        if not count:
            raise InputError(f"{recording} holds no walk; make a recording with: gait3d record video.mp4")
        if walk is not None and walk >= count:
            raise InputError(f"{recording} has no walk {walk}; it has {count}, numbered from 0")
        numbers = range(count) if walk is None else [walk]
        walks = {n: opened.sequence(n) for n in numbers}
        return _Source(walks, [opened.truth(n) for n in numbers], opened.consent_ref)


def _fit(
    walks: dict[int, GaitSequence], streams: list[str] | None, together: bool, seed: int, *, quiet: bool
) -> list[BodyFit]:
    from gait3dlib.fitting import fit_body

    if together:
        with counting("fitting", quiet=quiet) as progress:
            fit = fit_body(list(walks.values()), streams=streams, seed=seed, progress=progress)
        return [fit] * len(walks)
    fits = []
    with counting("fitting", quiet=quiet) as progress:
        for number, seq in enumerate(walks.values()):

            def advance(done: int, total: int, number: int = number) -> None:
                progress(number * total + done, len(walks) * total)

            fits.append(fit_body(seq, streams=streams, seed=seed, progress=advance))
    return fits


def _row(number: int, fit: BodyFit) -> dict[str, Any]:
    skin = bool({"points", "depth", "silhouette"} & set(fit.evidence))
    return {
        "walk": number,
        "frames": len(fit.stream),
        "evidence": list(fit.evidence),
        "height_m": fit.body.height_m,
        "mass_kg": fit.body.mass_kg,
        "bmi": fit.body.bmi,
        "mass_rests_on_skin": skin,
        "joint_residual_mm": 1e3 * fit.mean_residual_m,
        "ground_m": fit.ground_m,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    table = simple_table("fitted bodies", "walk", "frames", "evidence", "height", "BMI", "joint residual")
    for row in rows:
        residual = row["joint_residual_mm"]
        table.add_row(
            str(row["walk"]),
            str(row["frames"]),
            ", ".join(row["evidence"]),
            f"{row['height_m']:.2f} m",
            f"{row['bmi']:.1f}" + ("" if row["mass_rests_on_skin"] else "*"),
            "-" if residual != residual else f"{residual:.0f} mm",
        )
    show_table(table)
    if not all(row["mass_rests_on_skin"] for row in rows):
        note("* joints and keypoints say little of mass; silhouettes, depth or points would")

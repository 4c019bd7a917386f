"""Verbs about data and models: simulate, train, evaluate."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gait3dlib import _resources
from gait3dlib._optional import require
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import (
    console,
    counting,
    note,
    plain,
    read_names,
    show_json,
    show_table,
    waiting,
)
from gait3dlib.errors import ConfigError, did_you_mean

VIEWS = "0,30,60,90,120,150,180"
STREAMS = "silhouette,keypoints"


def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the recordings.")],
    walkers: Annotated[
        int | None,
        typer.Option("--walkers", min=1, help="How many people; 100, or all of a benchmark's split."),
    ] = None,
    seed: option.Seed = 0,
    first: Annotated[int, typer.Option("--first", min=0, help="Index of the first person of the seed.")] = 0,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Walks a person.")] = 3,
    views: Annotated[
        str, typer.Option("--views", metavar="DEG,...", help="Cameras: degrees from the walking direction.")
    ] = VIEWS,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of a walk.")] = 2.0,
    fps: Annotated[float, typer.Option("--fps", help="Frames a second.")] = 15.0,
    streams: Annotated[
        str | None,
        typer.Option(
            "--streams",
            metavar="A,B",
            help="Of silhouette, keypoints, depth, points, joints; the first two by default.",
        ),
    ] = None,
    motion: Annotated[
        Literal["prior", "style"],
        typer.Option("--motion", help="How they move: learnt from real walks, or set by hand."),
    ] = "prior",
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", metavar="NAME", help="A frozen benchmark, such as world_v1, or a file."),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Of the benchmark: train, fusion, validation, test, impostors.")
    ] = "train",
    cells: Annotated[
        str | None,
        typer.Option(
            "--cells", metavar="A,B", help="Covariates: normal, coat, bag, night, pole, ..., or all."
        ),
    ] = None,
    bare: Annotated[
        bool,
        typer.Option("--bare", help="Key points and joints alone, without pictures: thousands of people."),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; one a core by default.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Make labelled walkers, seen by cameras; one recording a person.

    An interrupted run goes on where it stopped. The same seed gives the same people and streams.
    A benchmark says everything itself but --split, --streams, --walkers and --jobs. With --bare each walk is
    seen by three cameras that stand anywhere, in plain clothes, near or far, by day or night.

    Example: gait3d simulate --out walkers --walkers 100 --seed 1
    """
    how: dict[str, Any] = {
        "seed": seed, "first": first, "sessions": sessions, "seconds": seconds, "fps": fps, "jobs": jobs,
    }  # fmt: skip
    if bare:
        if (views, cells, motion, benchmark) != (VIEWS, None, "prior", None):
            raise ConfigError(
                "--bare draws its own cameras: leave out --benchmark, --views, --cells and --motion"
            )
        _simulate_bare(out, read_names(streams), as_json, walkers=walkers or 100, **how)
        return
    require("embreex")
    from gait3dlib.simulation import simulate as run
    from gait3dlib.simulation.conditions import cell_names

    if benchmark is not None:
        given = (seed, first, sessions, views, seconds, fps, cells, motion)
        if given != (0, 0, 3, VIEWS, 2.0, 15.0, None, "prior"):
            raise ConfigError("a benchmark is frozen: give only --split, --streams, --walkers, --jobs")
        _simulate_split(benchmark, split, out, read_names(streams or STREAMS), walkers, jobs, as_json)
        return
    asked = cell_names(cells)
    angles = _numbers(views, "--views")
    with counting("walkers") as progress:
        paths = run(
            out,
            walkers=walkers or 100,
            views=angles,
            streams=read_names(streams or STREAMS),
            cells=asked,
            motion=motion,
            progress=progress,
            **how,
        )
    _say_made(out, len(paths), sessions * len(angles) * max(1, len(asked)), seed, as_json)


def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Run folder: checkpoints, log, weights.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Change a setting; may be given several times."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    as_json: option.Json = False,
) -> None:
    """Train an encoder, or the fusion on trained encoders.

    Example: gait3d train silhouette --out runs/silhouette --set schedule.steps=200
    """
    path = _config(config)
    require("torch")
    require("lightning")
    from gait3dlib.training import train as run

    weights = run(path, out, overrides=overrides or (), resume=resume, report=note)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        return
    if as_json:
        show_json({"weights": str(weights)})
    else:
        console().print(f"weights: {weights}", soft_wrap=True)


def evaluate(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of recordings with subjects.")
    ] = None,
    data_set: Annotated[
        str | None, typer.Option("--data-set", metavar="NAME", help="A public data set, with --root.")
    ] = None,
    root: option.Root = None,
    partition: option.PartitionFile = None,
    weights: option.Weights = "default",
    modalities: option.Modalities = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", metavar="NAME", help="Such as casia_b, or a YAML file; cross-view by default."
        ),
    ] = None,
    rerank: Annotated[
        int, typer.Option("--rerank", min=0, help="Re-rank with so many reciprocal neighbours.")
    ] = 0,
    rounding: Annotated[
        bool, typer.Option("--rounding", help="Round pairs of views before the mean, as OpenGait does.")
    ] = False,
    submission: Annotated[
        Path | None,
        typer.Option("--submission", metavar="CSV", help="Also write GREW's submission file."),
    ] = None,
    seed: option.Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Also write report.json and report.md.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Score weights on a folder of recordings, or on a public data set by its protocol.

    On recordings every subset of the modalities, on a data set each alone and all, with chance and intervals.

    Example: gait3d evaluate --data-set casia_b --root CASIA-B-pkl --protocol casia_b --modalities silhouette
    """
    require("torch")
    from gait3dlib import protocols
    from gait3dlib.evaluation import Groups, Scoring

    rules = protocols.read(protocol or data_set or "cross_view")
    how = Scoring(rounding=rounding, rerank_k1=rerank, seed=seed)
    if not isinstance(rules, Groups) and (rerank or rounding or submission):
        raise ConfigError("--rerank, --rounding and --submission belong to protocols of public data sets")
    with option.open_pipeline(weights, modalities) as pipeline:
        walks = option.open_set(data, data_set, root, partition, split="test")
        with waiting("evaluating") as say:
            report: protocols.ProtocolReport | protocols.DataSetReport
            if isinstance(rules, Groups):
                report = protocols.evaluate_data_set(
                    pipeline, walks, rules, scoring=how, submission=submission, progress=say
                )
            else:
                report = protocols.evaluate(pipeline, walks, protocol=rules, seed=seed, progress=say)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plain(report), indent=1, allow_nan=False)
        (out / "report.json").write_text(text + "\n", encoding="utf-8")
        (out / "report.md").write_text(report.markdown(), encoding="utf-8")
    if as_json:
        show_json(report)
        return
    for table in report.tables():
        show_table(table)
    for path in (submission, *((out / "report.json", out / "report.md") if out else ())):
        if path is not None:
            note(f"written: {path}")


def _simulate_bare(out: Path, streams: list[str], as_json: bool, **how: Any) -> None:
    from gait3dlib.simulation.bare import BARE_STREAMS, CAMERAS, simulate_bare

    with counting("walkers") as progress:
        paths = simulate_bare(out, streams=streams or BARE_STREAMS, progress=progress, **how)
    _say_made(out, len(paths), how["sessions"] * CAMERAS, how["seed"], as_json)


def _say_made(out: Path, walkers: int, walks_each: int, seed: int, as_json: bool) -> None:
    walks = walkers * walks_each
    if as_json:
        show_json({"out": str(out), "walkers": walkers, "walks": walks, "seed": seed})
    else:
        console().print(f"{walkers} walkers, {walks} walks in {out}")


def _simulate_split(
    benchmark: str,
    split: str,
    out: Path,
    streams: list[str],
    people: int | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    from gait3dlib.simulation.benchmark import simulate_split

    with counting("walkers") as progress:
        paths = simulate_split(
            benchmark, split, out, streams=streams, people=people, jobs=jobs, progress=progress
        )
    if as_json:
        show_json({"out": str(out), "walkers": len(paths), "benchmark": benchmark, "split": split})
    else:
        console().print(f"{len(paths)} walkers of {benchmark}, {split}, in {out}")


def _config(name: str) -> Path:
    """A file as it is, else the shipped config of that name."""
    path = Path(name)
    if path.exists():
        return path
    folder = _resources.shipped("configs")
    found = [p.relative_to(folder) for p in sorted(folder.rglob("*.yaml"))]
    shipped = {p.with_suffix("").as_posix(): folder / p for p in found if p.parts[0] != "protocols"}
    name = name.removesuffix(".yaml").removeprefix("configs/")
    if name not in shipped:
        raise ConfigError(f"there is no config {name!r}{did_you_mean(name, shipped)}")
    return shipped[name]


def _numbers(text: str, where: str) -> list[float]:
    try:
        return [float(part) for part in read_names(text)]
    except ValueError:
        raise ConfigError(f"{where} {text!r}: write numbers parted by commas, such as {VIEWS}") from None

"""The verb ablate: what every modality contributes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gait3dlib.cli import _options as option
from gait3dlib.cli._output import note, read_names, show_json, show_table, simple_table, waiting


def ablate(
    weights: Annotated[
        str,
        typer.Argument(metavar="RUN_OR_WEIGHTS", help="'default', a folder of weights, or a run's folder."),
    ],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of recordings with subjects.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Tables, plots, page and embeddings.")],
    modalities: option.Modalities = None,
    protocol: Annotated[
        Path | None, typer.Option("--protocol", metavar="FILE", help="YAML; cross-view by default.")
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option("--covariates", metavar="A,B", help="By which to tabulate; by default all that vary."),
    ] = None,
    sweeps: Annotated[
        str | None,
        typer.Option(
            "--sweeps",
            metavar="A,B",
            help="What goes wrong with a modality: missing, noise, frames, occlusion, wrong_person, or all.",
        ),
    ] = None,
    embeddings: Annotated[
        Literal["npz", "parquet", "none"], typer.Option("--embeddings", help="How templates are written.")
    ] = "npz",
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="SVG plots, by matplotlib.")] = True,
    replicates: Annotated[int, typer.Option("--replicates", min=1, help="Of the bootstrap.")] = 1000,
    seed: option.Seed = 0,
    as_json: option.Json = False,
) -> None:
    """Measure what every modality contributes.

    Every subset and leave-one-out, by task and covariate, with paired tests, from tokens encoded once.

    Example: gait3d ablate default --data walkers --out ablation --sweeps missing,wrong_person
    """
    with option.open_pipeline(_weights(weights), modalities) as pipeline, waiting("ablating") as say:
        from gait3dlib.ablation import LEVELS
        from gait3dlib.ablation import ablate as run

        asked = list(LEVELS) if sweeps == "all" else read_names(sweeps)
        report = run(
            pipeline,
            data,
            protocol=protocol,
            covariates=read_names(covariates) if covariates is not None else None,
            sweeps=asked,
            replicates=replicates,
            seed=seed,
            progress=say,
        )
        say("writing")
        written = report.write(out, embeddings=embeddings, plots=plots)
    if as_json:
        show_json(report)
        return
    from gait3dlib.ablation import main_tables

    for held in main_tables(report):
        table = simple_table(held.title, *held.columns)
        for row in held.rows:
            table.add_row(*row)
        show_table(table)
        note(held.note)
    note(f"written: {len(written)} files in {out}; open {out / 'ablation.html'}")


def _weights(name: str) -> str:
    """A run of ``gait3d train`` keeps its weights in a folder of its own."""
    inside = Path(name) / "weights"
    return str(inside) if inside.is_dir() else name

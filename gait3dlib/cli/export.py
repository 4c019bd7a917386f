"""The verb export: a model as files that run without this library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gait3dlib import _resources
from gait3dlib._optional import require
from gait3dlib.cli import _options as option
from gait3dlib.cli._output import note, read_names, show_json, show_table, simple_table, waiting


def export(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="'default', a folder of weights, or a run's folder.")
    ],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="OUT", help="Folder for the ONNX files.")],
    modalities: option.Modalities = None,
    as_json: option.Json = False,
) -> None:
    """Write the encoders and the fusion as ONNX.

    Each file is compared with torch before it is kept; what has no form in ONNX is listed with the reason.

    Example: gait3d export default --onnx onnx
    """
    for package in ("torch", "safetensors", "onnx", "onnxruntime"):
        require(package)
    from gait3dlib.export import export_onnx

    folder = _resources.weights_folder() if weights == "default" else Path(weights)
    inside = folder / "weights"
    with waiting("exporting") as say:
        done = export_onnx(
            inside if inside.is_dir() else folder,
            onnx,
            modalities=read_names(modalities) or None,
            progress=say,
        )
    if as_json:
        show_json(done)
        return
    table = simple_table(f"in {done.folder}", "part", "file", "difference from torch")
    for name, path in done.files.items():
        table.add_row(name, path.name, f"{done.difference[name]:.1e}")
    for name in done.refused:
        table.add_row(name, "not exported", "")
    show_table(table)
    for name, reason in done.refused.items():
        note(f"{name} is not exported: {reason}")

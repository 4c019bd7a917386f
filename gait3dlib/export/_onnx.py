"""Writing ONNX files, each compared with torch by onnxruntime before it is kept."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gait3dlib._optional import require

OPSET = 18  # the first whose ScatterElements takes a maximum
TOLERANCE = 1e-4
Arrays = Mapping[str, NDArray[Any]]


class NotExportable(Exception):
    """A part of a model cannot be written as ONNX, or says something else there."""


def write_onnx(
    module: nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
    cases: Iterable[Arrays],
    wanted: Callable[[Arrays], Sequence[NDArray[Any]]],
) -> float:
    """Write a module; keep the file only if it says what ``wanted`` says, for every case.

    Args:
        module: plain tensors in, plain tensors out.
        example: inputs by name, in the order of its arguments.
        outputs: their names.
        axes: the free axes of every input and output.
        path: the file.
        cases: inputs to compare on, of other sizes than the example's.
        wanted: the outputs that torch gives.

    Returns:
        The largest difference, absolute or relative, whichever is smaller.

    Raises:
        NotExportable: ONNX has no word for a part of it, or the difference is above 1e-4.
    """
    partial = path.with_suffix(".part.onnx")
    try:
        _trace(module, example, outputs, axes, partial)
        worst = _compare(partial, cases, wanted)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return worst


def _trace(
    module: nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> None:
    # The exporter by tracing: the one by dynamo needs two more packages, of which onnx wants a protobuf that
    # mediapipe does not run with. What a trace takes for fixed shows when other sizes are compared.
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(example.values()),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(example),
                output_names=list(outputs),
                dynamic_axes={name: dict(free) for name, free in axes.items()},
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise NotExportable(f"cannot be written as ONNX ({reason})") from error


def _compare(
    path: Path, cases: Iterable[Arrays], wanted: Callable[[Arrays], Sequence[NDArray[Any]]]
) -> float:
    session, worst = _session(path), 0.0
    known = {given.name for given in session.get_inputs()}
    for case in cases:
        sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in case.items())
        try:
            got = session.run(None, {name: array for name, array in case.items() if name in known})
        except Exception as error:  # onnxruntime raises classes of its own
            reason = " ".join(str(error).split())[:160]
            raise NotExportable(f"its ONNX file does not run on {sizes[:120]} ({reason})") from error
        for have, want in zip(got, wanted(case), strict=True):
            difference = _difference(have, want)
            if not difference <= TOLERANCE:
                raise NotExportable(f"its ONNX file differs from torch by {difference:.2g} on {sizes[:120]}")
            worst = max(worst, difference)
    return worst


def _session(path: Path) -> Any:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own
        reason = " ".join(str(error).split())[:160]
        raise NotExportable(f"onnxruntime does not load its ONNX file ({reason})") from error


def _difference(have: NDArray[Any], want: NDArray[Any]) -> float:
    """The largest; infinity where shapes, truth values or NaN differ."""
    if have.shape != want.shape:
        return float("inf")
    if want.dtype == bool:
        return 0.0 if (have == want).all() else float("inf")
    a, b = have.astype(np.float64), want.astype(np.float64)
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    apart = np.abs(a - b) / np.maximum(1.0, np.abs(b))
    return float(np.nanmax(apart, initial=0.0))

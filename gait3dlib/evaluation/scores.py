"""How alike two embeddings are: cosine, or Euclidean distance as OpenGait measures it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F32, F64

_CHUNK_VALUES = 4_000_000  # float64 values of one block of scores: 32 MB


def similarity(
    probe: NDArray[Any], gallery: NDArray[Any], metric: Literal["cosine", "euclidean"] = "cosine"
) -> F32:
    """Similarity of every probe with every gallery entry, larger = more alike.

    ``cosine``: the mean over parts of the parts' cosines, in -1 to 1; a part of length 0 counts 0.
    ``euclidean``: minus the mean over parts of the parts' Euclidean distances, OpenGait's test distance.
    Computed in float64 block by block and rounded to float32, so equal embeddings tie exactly wherever they
    stand in the gallery.

    Args:
        probe: ``[n, parts, dim]`` or ``[n, dim]``.
        gallery: ``[m, parts, dim]`` or ``[m, dim]``, with the probe's parts and dim.
        metric: "cosine" or "euclidean".

    Returns:
        float32 ``[n, m]``.

    Raises:
        InputError: shapes disagree, or an embedding holds NaN or infinity.
    """
    a, b = _embeddings(probe, "probe"), _embeddings(gallery, "gallery")
    if a.shape[1:] != b.shape[1:]:
        raise InputError(
            f"probe parts and dim {list(a.shape[1:])} differ from the gallery's {list(b.shape[1:])}; "
            "embed both with the same model"
        )
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"metric must be 'cosine' or 'euclidean', not {metric!r}")
    block = _cosine if metric == "cosine" else _minus_distance
    out = np.empty((len(a), len(b)), dtype=np.float32)
    right = b.astype(np.float64)
    rows = max(1, _CHUNK_VALUES // max(1, len(b)))
    for start in range(0, len(a), rows):
        out[start : start + rows] = block(a[start : start + rows].astype(np.float64), right)
    return out


def _embeddings(array: NDArray[Any], name: str) -> NDArray[Any]:
    values = np.asarray(array)
    if values.ndim not in (2, 3) or values.dtype.kind != "f" or 0 in values.shape[1:]:
        raise InputError(
            f"{name} embeddings must be floats of shape [n, parts, dim] or [n, dim], "
            f"not {values.dtype} of shape {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{name} embeddings hold NaN or infinity")
    return values[:, None, :] if values.ndim == 2 else values


def _cosine(a: F64, b: F64) -> F64:
    total = np.zeros((len(a), len(b)))
    for part in range(a.shape[1]):
        total += _unit(a[:, part]) @ _unit(b[:, part]).T
    mean: F64 = np.clip(total / a.shape[1], -1.0, 1.0)
    return mean


def _unit(x: F64) -> F64:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit: F64 = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return unit


def _minus_distance(a: F64, b: F64) -> F64:
    total = np.zeros((len(a), len(b)))
    for part in range(a.shape[1]):
        x, y = a[:, part], b[:, part]
        scale = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None, :]
        squared = scale - 2.0 * (x @ y.T)
        # what is left of |x|^2 + |y|^2 - 2xy between equal rows is rounding; it must not break their tie
        squared[squared < 1e-14 * scale] = 0.0
        total += np.sqrt(squared)
    mean: F64 = -total / a.shape[1]
    return mean

"""What the metrics ask of their inputs: finite scores, labels of one kind, masks that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait3dlib.errors import InputError

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Names = Sequence[str] | Sequence[int] | NDArray[Any]


@dataclass(frozen=True)
class Comparisons:
    """Checked searches: scores ``[n, m]``, people as codes, which entries a probe may be compared with.

    Codes number the people of gallery and probes together, so equal codes mean the same person.
    """

    scores: NDArray[np.floating[Any]]
    probe: Ints
    gallery: Ints
    allowed: Bools

    @property
    def mates(self) -> Bools:
        """``[n, m]``, True where an allowed gallery entry is of the probe's person."""
        mates: Bools = (self.probe[:, None] == self.gallery[None, :]) & self.allowed
        return mates

    @property
    def stranger(self) -> Bools:
        """``[n]``, True where the probe's person has no entry in the gallery at all."""
        return ~np.isin(self.probe, self.gallery)


def comparisons(
    scores: ArrayLike, probe_labels: Names, gallery_labels: Names, exclude: Bools | None = None
) -> Comparisons:
    """Check the arguments that all protocols share.

    Args:
        scores: ``[probes, gallery]`` similarities, larger = more alike.
        probe_labels: who each probe is.
        gallery_labels: who each gallery entry is.
        exclude: bool ``[probes, gallery]``, True = not compared; None = everything is compared.

    Raises:
        InputError: shapes disagree, a score is NaN or infinite, or labels are not of one kind.
    """
    probe, gallery = encode(probe_labels, gallery_labels)
    matrix = np.asarray(scores)
    shape = (len(probe), len(gallery))
    if matrix.dtype.kind not in "fiu" or matrix.shape != shape:
        raise InputError(
            f"scores must be numbers of shape {list(shape)} (probe labels, gallery labels), "
            f"not {matrix.dtype} of shape {list(matrix.shape)}"
        )
    if matrix.dtype.kind != "f":
        matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise InputError("scores hold NaN or infinity; mark pairs that were not compared in 'exclude'")
    if exclude is None:
        return Comparisons(matrix, probe, gallery, np.ones(shape, dtype=bool))
    mask = np.asarray(exclude)
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise InputError(f"exclude must be bool of shape {list(shape)}, not {mask.dtype} {list(mask.shape)}")
    return Comparisons(matrix, probe, gallery, ~mask)


def encode(*groups: Names) -> tuple[Ints, ...]:
    """Number the distinct labels of several lists together, in sorted order.

    Raises:
        InputError: a list is empty, holds None, or mixes names and numbers (1 and "1" must not match).
    """
    arrays = [np.asarray(group) for group in groups]
    for array in arrays:
        if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iuU":
            raise InputError(
                "labels must be a non-empty list of names, or of whole numbers, with none missing, "
                f"not {array.dtype} of shape {list(array.shape)}"
            )
    if len({array.dtype.kind == "U" for array in arrays}) > 1:
        raise InputError("labels must be all names or all whole numbers, on the probe and the gallery side")
    codes = np.unique(np.concatenate(arrays), return_inverse=True)[1].astype(np.int64)
    return tuple(np.split(codes, np.cumsum([len(array) for array in arrays])[:-1]))


def finite_vector(values: ArrayLike, name: str) -> F64:
    """A finite float64 vector.

    Raises:
        InputError: it is not a list of finite numbers.
    """
    vector = np.asarray(values)
    if vector.ndim != 1 or vector.dtype.kind not in "fiub" or not np.isfinite(vector).all():
        raise InputError(f"{name} must be a list of finite numbers")
    return vector.astype(np.float64)

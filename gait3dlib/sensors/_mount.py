"""Where a sensor stands: a small JSON file, as ``gait3d mount`` writes it and sensors read it.

``{"extrinsics": [[...], [...], [...], [...]]}`` is the 4 x 4 matrix that takes world points (z up, metres) to
points in the sensor's own frame, as in :class:`gait3dlib.types.Calibration`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError

MAX_BYTES = 2**16


def read(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """The extrinsics ``[4, 4]`` in a mount file.

    Raises:
        InputError: there is no such file, or it holds no rigid transform.
    """
    try:
        with Path(path).open("rb") as file:
            values = json.loads(file.read(MAX_BYTES))
        matrix = np.array(values["extrinsics"], dtype=np.float64).reshape(4, 4)
    except OSError as error:
        raise InputError(f"the mount {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path} is no mount; make one with: gait3d mount RECORDING") from None
    turn = matrix[:3, :3]
    rigid = np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0
    if not rigid or not np.allclose(matrix[3], [0, 0, 0, 1]) or not np.isfinite(matrix).all():
        raise InputError(f"the extrinsics in {path} are no rotation and shift; write it with: gait3d mount")
    return matrix


def write(path: str | os.PathLike[str], extrinsics: NDArray[np.float64]) -> None:
    """Write a mount file."""
    Path(path).write_text(json.dumps({"extrinsics": np.asarray(extrinsics).tolist()}, indent=1) + "\n")

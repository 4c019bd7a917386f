"""SMPL itself, from files that the user has; nothing of it is shipped.

SMPL (Loper et al., SIGGRAPH Asia 2015) may be used for research under its own licence, from
https://smpl.is.tue.mpg.de. Its skinning and pose correctives are computed by the ``smplx`` package.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib._pickle import Record, read_pickle
from gait3dlib.body._shaped import ShapedBody
from gait3dlib.body._skinning import F32, F64, Floats, from_axis_angle, mesh_volume
from gait3dlib.body._solver import DENSITY_KG_M3, BodyShape
from gait3dlib.errors import InputError

VERTICES, BETAS = 6890, 10
MAX_BYTES = 2**30
# SMPL has x left, y up, z forward; the library x forward, y left, z up
AXES = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# nose, left and right eye, left and right ear, as vertices of SMPL's mesh
_LANDMARKS = (332, 2800, 6260, 583, 4071)
_ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")


@dataclass(frozen=True, eq=False)
class SmplPerson(ShapedBody):
    """One person's SMPL body, with the interface of :class:`ShapedBody`; made by :class:`SmplBody`.

    `numbers` are SMPL's ten betas. Posed skin has SMPL's pose correctives.
    """

    layer: Any = field(repr=False, kw_only=True)

    def pose(self, rotations: Floats, translation: Floats) -> tuple[F32, F32]:
        """The skin and the joints in every frame; see :meth:`ShapedBody.pose`."""
        positions = self._frames(rotations, translation)[1]  # checks the shapes
        torch = require("torch")
        turns = np.asarray(rotations, np.float64)
        turns = from_axis_angle(turns) if turns.ndim == 3 else turns
        own = torch.as_tensor((AXES.T @ turns @ AXES).astype(np.float32))
        betas = torch.as_tensor(self.numbers.astype(np.float32)).expand(len(own), -1)
        with torch.no_grad():
            found = self.layer(
                betas=betas, global_orient=own[:, :1], body_pose=own[:, 1:], transl=None, pose2rot=False
            )
        vertices = found.vertices.numpy() @ AXES.T.astype(np.float32)
        root = found.joints[:, :1].numpy() @ AXES.T.astype(np.float32)
        placed = vertices - root + positions[:, :1]
        return np.asarray(placed, np.float32), positions.astype(np.float32)


class SmplBody:
    """SMPL's shape space, read from the user's own file.

    Args:
        path: ``SMPL_MALE.pkl``, ``basicmodel_f_lbs_10_207_0_v1.1.0.pkl`` or the same as ``.npz``. A pickle is
            read without running it.
        gender: whose model the file is.

    Raises:
        InputError: the file is not SMPL, or names anything that could run.
        MissingDependency: the ``smpl`` extra is not installed.
    """

    def __init__(self, path: str | Path, gender: Literal["female", "male"]) -> None:
        smplx = require("smplx")
        torch = require("torch")
        if gender not in ("female", "male"):
            raise InputError(f"gender must be 'female' or 'male', not {gender!r}")
        self.gender = gender
        arrays = read_smpl(path)
        self.template: F64 = arrays["v_template"] @ AXES.T
        self.directions: F64 = np.einsum("ab,vbk->vak", AXES, arrays["shapedirs"][:, :, :BETAS])
        self.regressor: F64 = arrays["J_regressor"]
        self.faces: NDArray[np.int32] = arrays["f"].astype(np.int32)
        self.weights: F32 = arrays["weights"].astype(np.float32)
        struct = smplx.utils.Struct(**{**arrays, "f": arrays["f"].astype(np.int64)})
        self._layer = smplx.SMPLLayer(str(path), data_struct=struct, gender=gender, dtype=torch.float32)

    def from_numbers(self, numbers: Floats | Sequence[float]) -> SmplPerson:
        """The body of ten betas.

        Its :class:`BodyShape` states the mesh's height and mass; SMPL knows no age, so 30 years stand there.

        Raises:
            InputError: not ten numbers, or farther than 8 from the mean.
        """
        betas = np.asarray(numbers, np.float64)
        if betas.shape != (BETAS,) or not (np.abs(betas) <= 8).all():
            raise InputError(f"SMPL's shape is {BETAS} betas between -8 and 8")
        vertices = self.template + self.directions @ betas
        joints = self.regressor @ vertices
        ground = np.array([joints[0, 0], joints[0, 1], vertices[:, 2].min()])
        vertices, joints = vertices - ground, joints - ground
        height, volume = float(np.ptp(vertices[:, 2])), mesh_volume(vertices, self.faces)
        shape = BodyShape(30.0, self.gender, height, volume * DENSITY_KG_M3)
        skin = vertices.astype(np.float32)
        return SmplPerson(
            skin, joints, self.faces, shape, shape.muscle, volume, height, shape.mass_kg, skin, joints,
            np.tile(np.eye(3), (24, 1, 1)), self.weights, np.repeat(_LANDMARKS, 3).reshape(5, 3),
            np.tile(np.array([1.0, 0.0, 0.0], np.float32), (5, 1)), betas, layer=self._layer,
        )  # fmt: skip


def read_smpl(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an SMPL file; a pickle is read step by step and nothing in it runs.

    Raises:
        InputError: the file is missing, is not SMPL, or names anything but arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; SMPL's files come from https://smpl.is.tue.mpg.de")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MiB; SMPL's files are smaller")
    held = _read_npz(path) if path.suffix == ".npz" else read_pickle(path, records=True)
    if not isinstance(held, Mapping) or any(name not in held for name in _ARRAYS):
        raise InputError(f"{path} is not an SMPL model; it must hold {', '.join(_ARRAYS)}")
    arrays = {name: _array(held[name], name, path) for name in _ARRAYS}
    wanted = {
        "v_template": (VERTICES, 3), "posedirs": (VERTICES, 3, 207), "J_regressor": (24, VERTICES),
        "weights": (VERTICES, 24), "kintree_table": (2, 24),
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise InputError(f"{path} is not SMPL: {name} has shape {arrays[name].shape}, not {shape}")
    directions, faces = arrays["shapedirs"], arrays["f"]
    if directions.shape[:2] != (VERTICES, 3) or directions.ndim != 3 or directions.shape[2] < BETAS:
        raise InputError(f"{path} is not SMPL: shapedirs has shape {directions.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not (faces < VERTICES).all() or not (faces >= 0).all():
        raise InputError(f"{path} is not SMPL: its triangles name vertices that are not there")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InputError(f"{path} is damaged: it holds NaN or infinity")
    return arrays


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in _ARRAYS if name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}); copy it again from its source") from None


def _array(value: Any, name: str, path: Path) -> NDArray[Any]:
    """An array; chumpy's arrays and SciPy's sparse matrices are taken from what their records say."""
    state = value.state if isinstance(value, Record) else None
    if isinstance(value, Record) and isinstance(state, dict):
        if value.name.startswith("chumpy") and "x" in state:
            value = state["x"]
        elif value.name.startswith("scipy.sparse") and {"data", "indices", "indptr"} <= state.keys():
            value = _dense(value.name, state, path)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise InputError(f"{path} is not SMPL: {name} is no array of numbers")
    return np.array(value, np.int64 if value.dtype.kind in "iu" else np.float64)


def _dense(kind: str, state: dict[str, Any], path: Path) -> NDArray[np.float64]:
    from scipy import sparse

    matrix = sparse.csc_matrix if "csc" in kind else sparse.csr_matrix
    shape = state.get("_shape", state.get("shape"))
    try:
        if not isinstance(shape, (tuple, list)) or tuple(shape) != (24, VERTICES):
            raise ValueError("another shape")
        found = matrix((state["data"], state["indices"], state["indptr"]), shape=(24, VERTICES))
        found.check_format(full_check=True)
        return np.asarray(found.toarray(), np.float64)
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{path} is damaged: its joint regressor is no sparse matrix ({error})") from None

"""SMPL from a user's file: a made-up model of SMPL's sizes, since the real one may not be shipped."""

from __future__ import annotations

import pickle  # noqa: TID251 - to make files that must be read without running them
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from gait3dlib.body import PARENTS, Body, BodyShape
from gait3dlib.body._smpl import AXES, SmplBody, read_smpl
from gait3dlib.errors import InputError

pytest.importorskip("smplx", reason="needs the smpl extra")


def made_up() -> dict[str, object]:
    """Our own body in SMPL's axes and sizes; what it lacks in vertices is there twice."""
    person = Body.load().shape(BodyShape(30, "male", 1.75, 75))
    many = np.minimum(np.arange(6890), 6001)
    vertices = person.vertices[many].astype(np.float64)
    known = np.concatenate([vertices, np.ones((6890, 1))], axis=1)
    regressor = np.concatenate([person.joints, np.ones((24, 1))], axis=1) @ np.linalg.pinv(known)
    rng = np.random.default_rng(0)
    shapes = np.zeros((6890, 3, 10))
    shapes[:, :, 0] = vertices @ AXES * 0.03  # the first beta makes everything 3 % larger
    poses = np.zeros((6890, 3, 207))
    poses[100, :, 0] = rng.normal(0, 0.01, 3)
    tree = np.array([[4294967295, *PARENTS[1:]], np.arange(24)], np.int64)
    return {
        "v_template": vertices @ AXES, "shapedirs": shapes, "posedirs": poses,
        "J_regressor": sparse.csc_matrix(regressor), "weights": person.weights[many].astype(np.float64),
        "kintree_table": tree, "f": person.faces.astype(np.uint32),
    }  # fmt: skip


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arrays = made_up()
    arrays["J_regressor"] = arrays["J_regressor"].toarray()  # type: ignore[attr-defined]
    path = tmp_path_factory.mktemp("smpl") / "SMPL_MALE.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_same_interface_as_the_free_body(model_file: Path) -> None:
    model = SmplBody(model_file, "male")
    person = model.from_numbers(np.zeros(10))
    assert person.height_m == pytest.approx(1.75, abs=1e-3)
    assert person.mass_kg == pytest.approx(75, rel=0.01)
    assert np.abs(person.joints[0, :2]).max() < 1e-6
    assert person.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert model.from_numbers([2, *[0] * 9]).height_m == pytest.approx(1.75 * 1.06, abs=2e-3)
    vertices, joints = person.pose(np.zeros((2, 24, 3)), np.array([[0, 0, 0], [1.0, 2, 3]]))
    assert np.abs(vertices[0] - person.vertices).max() < 1e-5
    assert np.abs(vertices[1] - person.vertices - [1, 2, 3]).max() < 1e-5
    assert np.abs(joints[0] - person.joints).max() < 1e-5


def test_poses_turn_the_same_way_as_the_free_body(model_file: Path) -> None:
    person = SmplBody(model_file, "male").from_numbers(np.zeros(10))
    turned = np.random.default_rng(1).normal(0, 0.3, (2, 24, 3))
    vertices, joints = person.pose(turned, np.zeros((2, 3)))
    assert np.abs(person.pose_joints(turned, np.zeros((2, 3))) - joints).max() < 1e-6
    # a vertex of one joint alone moves rigidly with it, and with the correctives nobody else
    rigid = np.flatnonzero(person.weights[:6000, 15] > 0.999)[0]
    from gait3dlib.body._skinning import from_axis_angle

    chain = [15]
    while PARENTS[chain[-1]] >= 0:
        chain.append(PARENTS[chain[-1]])
    world = np.eye(3)
    for joint in reversed(chain):
        world = world @ from_axis_angle(turned[0, joint])
    wanted = joints[0, 15] + world @ (person.vertices[rigid] - person.joints[15])
    assert np.abs(vertices[0, rigid] - wanted).max() < 1e-4


def test_pose_correctives_are_smpls(model_file: Path) -> None:
    person = SmplBody(model_file, "male").from_numbers(np.zeros(10))
    bent = np.zeros((1, 24, 3))
    bent[0, 1, 1] = 0.5  # posedirs[..., 0] is the first entry of the left hip's rotation less one
    plain, corrected = (p[0, 100] for p in (super(type(person), person).pose(bent, np.zeros((1, 3)))[0],
                                            person.pose(bent, np.zeros((1, 3)))[0]))  # fmt: skip
    assert 1e-5 < np.linalg.norm(corrected - plain) < 0.02


def test_pickles_are_read_without_running_them(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(pickle.dumps(made_up(), protocol=2))
    arrays = read_smpl(path)
    with np.load(model_file) as same:
        for name, array in arrays.items():
            assert np.allclose(array, same[name]), name
    flag = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (flag,))

    path.write_bytes(pickle.dumps(made_up() | {"f": Bomb()}, protocol=2))
    with pytest.raises(InputError):
        read_smpl(path)
    assert not flag.exists()


def test_chumpy_arrays_are_taken_from_what_they_hold(tmp_path: Path) -> None:
    import sys
    import types

    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]
    sys.modules |= {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}
    try:
        arrays = made_up()
        data = pickle.dumps(arrays | {"shapedirs": Ch(arrays["shapedirs"])}, protocol=2)  # type: ignore[arg-type]
    finally:
        del sys.modules["chumpy.ch"], sys.modules["chumpy"]
    path = tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(data)
    assert np.array_equal(read_smpl(path)["shapedirs"], arrays["shapedirs"])  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["missing", "shape", "nan", "faces", "zip"])
def test_files_that_are_not_smpl_are_named(tmp_path: Path, wrong: str) -> None:
    arrays = made_up()
    arrays["J_regressor"] = arrays["J_regressor"].toarray()  # type: ignore[attr-defined]
    if wrong == "missing":
        del arrays["weights"]
    elif wrong == "shape":
        arrays["weights"] = np.ones((10, 24))
    elif wrong == "nan":
        arrays["v_template"] = np.full((6890, 3), np.nan)
    elif wrong == "faces":
        arrays["f"] = np.array([[0, 1, 6890]])
    path = tmp_path / "model.npz"
    if wrong == "zip":
        path.write_bytes(b"PK nothing")
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=str(path)):
        SmplBody(path, "male")


def test_senseless_arguments(model_file: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        SmplBody("nowhere.pkl", "male")
    with pytest.raises(InputError, match="gender"):
        SmplBody(model_file, "neutral")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="10 betas"):
        SmplBody(model_file, "male").from_numbers([0, 1])

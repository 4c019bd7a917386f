"""Files of learned estimators and of OpenSim as inverse dynamics reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gait3dlib.dynamics import read_imdy, read_physpt, read_storage, read_trc
from gait3dlib.errors import InputError
from gait3dlib.types import GaitSequence


def test_physpt_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    torque, grf = rng.normal(size=(1, 38, 69)), np.abs(rng.normal(size=(1, 38, 29, 3))) * 20
    path = tmp_path / "walk_output.npz"
    np.savez(path, pred_torques=torque, pred_grf=grf, frame_idx=np.arange(40))
    feet = [0] * 14 + [1] * 15
    found = read_physpt(path, 70, 1.75, frames=40, feet=feet)
    assert (found.source, found.fps, len(found)) == ("physpt", 20.0, 40)
    np.testing.assert_allclose(found.si().moment_nm[:38, 1:], torque[0].reshape(38, 23, 3))
    np.testing.assert_allclose(found.si().ground_force_n[:38, 0], grf[0, :, :14].sum(1))
    assert np.isnan(found.moment[38:]).all()
    assert np.isnan(found.moment[:, 0]).all()
    assert not found.exact.any()
    GaitSequence(found.streams())
    with pytest.raises(InputError, match="forces of 38 frames, but the walk has 55"):
        read_physpt(path, 70, 1.75, frames=55)
    assert np.isnan(read_physpt(path, 70, 1.75).ground_force).all()
    np.savez(path, pred_torques=torque, pred_grf=grf[:, :-1])
    with pytest.raises(InputError, match="torques of 38 frames and ground reactions of 37"):
        read_physpt(path, 70, 1.75)
    np.savez(path, pred_torques=torque)
    with pytest.raises(InputError, match="lacks pred_grf"):
        read_physpt(path, 70, 1.75)
    np.savez(path, pred_torques=np.array([{"run": "me"}], dtype=object), pred_grf=grf)
    with pytest.raises(InputError, match="cannot read"):
        read_physpt(path, 70, 1.75)


def test_imdy_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    torque, grf = rng.normal(size=(30, 23, 3)), np.zeros((30, 24, 3))
    grf[:, 7, 2], grf[:, 10, 2], grf[:, 8, 2] = 300.0, 100.0, 200.0
    path = tmp_path / "imdy.npz"
    np.savez(path, torque=torque, grf=grf)
    found = read_imdy(path, 76.4, 1.8, 30.0, frames=30)
    np.testing.assert_allclose(found.si().ground_force_n[:, :, 2], np.tile([400.0, 200.0], (30, 1)))
    assert found.contact.all()
    with pytest.raises(InputError, match="30 frames, but the walk has 31"):
        read_imdy(path, 76.4, 1.8, 30.0, frames=31)
    with pytest.raises(InputError, match="mass"):
        read_imdy(path, 0, 1.8, 30.0)
    with pytest.raises(InputError, match="cannot read"):
        read_imdy(tmp_path / "none.npz", 70, 1.8, 30.0)


def test_opensim_files_turn_to_z_up(tmp_path: Path) -> None:
    trc = tmp_path / "a.trc"
    trc.write_text(
        "PathFileType\t4\t(X/Y/Z)\ta.trc\nDataRate\tUnits\n60.00\tmm\nFrame#\tTime\tHeel\t\t\tToe\t\t\n"
        "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n\n1\t0.0\t100\t200\t300\t\t\t\n2\t0.017\t1\t2\t3\t4\t5\t6\n"
    )
    markers = read_trc(trc)
    assert markers.names == ("Heel", "Toe")
    np.testing.assert_allclose(markers["Heel"][0], [0.1, -0.3, 0.2])
    assert np.isnan(markers["Toe"][0]).all()
    with pytest.raises(InputError, match="did you mean 'Heel'"):
        markers["Heal"]
    mot = tmp_path / "a.mot"
    mot.write_text("a\nnRows=2\ninDegrees=yes\nendheader\ntime\tknee\n0.0\t1.0\n1.0\t3.0\n")
    table = read_storage(mot)
    assert table.degrees
    np.testing.assert_allclose(table.at("knee", np.array([0.5, 2.0])), [2.0, np.nan])
    mot.write_text("nothing\n")
    with pytest.raises(InputError, match=r"not a \.mot or \.sto table"):
        read_storage(mot)
    with pytest.raises(InputError, match=r"not a \.trc"):
        read_trc(mot)

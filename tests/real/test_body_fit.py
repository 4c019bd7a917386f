"""The body fitted to real walks: one of CMU's motions and one trial of biomechZoo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gait3dlib.body import PLUG_IN_GAIT, to_smpl24
from gait3dlib.errors import InputError
from gait3dlib.fitting import fit_joints
from gait3dlib.simulation.mocap.bvh import read_bvh
from gait3dlib.simulation.mocap.measured import CMU_AXES, CMU_UNIT_M
from gait3dlib.simulation.mocap.trials import read_trial

pytestmark = pytest.mark.data
LIMBS = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]


def stamps(frames: int, fps: float) -> np.ndarray:
    return np.round(np.arange(frames) / fps * 1e9).astype(np.int64)


def test_a_walk_of_cmu(data_dir: Path) -> None:
    motion = read_bvh(data_dir / "cmu" / "07" / "07_01.bvh")
    xyz = motion.positions[1:121:4] @ CMU_AXES.T * CMU_UNIT_M
    joints = to_smpl24(xyz, "cmu")
    fit = fit_joints(joints, stamps(len(joints), 30.0))
    print(
        f"CMU 07_01: mean joint residual {1e3 * fit.mean_residual_m:.0f} mm, height {fit.body.height_m:.2f} m"
    )
    assert fit.mean_residual_m < 0.042
    assert np.nanmean(fit.residual_m[:, LIMBS]) < 0.04
    assert 1.5 < fit.body.height_m < 2.0
    assert np.isfinite(fit.joints).all()
    with pytest.raises(InputError, match="z points up"):
        fit_joints(to_smpl24(motion.positions[1:121:4] * CMU_UNIT_M, "cmu"), stamps(30, 30.0))


def test_a_child_of_biomechzoo_is_as_tall_as_stated(data_dir: Path) -> None:
    trial = read_trial(data_dir / "biomechzoo" / "HC030A_Straight_HC030A05.npz")
    xyz = np.stack([trial.get(label) for label in PLUG_IN_GAIT], axis=1)
    joints = to_smpl24(xyz, "plug_in_gait")
    kept = joints[np.isfinite(joints[:, [1, 2, 4, 5, 7, 8]]).all(axis=(1, 2))][::3][:30]
    fit = fit_joints(kept, stamps(len(kept), trial.fps / 3))
    print(
        f"biomechZoo HC030A: mean joint residual {1e3 * fit.mean_residual_m:.0f} mm, "
        f"height {fit.body.height_m:.2f} m, stated {trial.height_m:.2f} m"
    )
    assert fit.mean_residual_m < 0.02
    assert fit.body.height_m == pytest.approx(trial.height_m, abs=0.08)
    with pytest.raises(InputError, match="millimetres"):
        fit_joints(kept * 1000, stamps(len(kept), trial.fps / 3))

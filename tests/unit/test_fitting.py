"""Body fits: the torch body against the numpy one, parts against closed forms, fits with a known answer."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import gait3dlib
from gait3dlib.body import Body
from gait3dlib.cli import app
from gait3dlib.errors import InputError, NoEvidence
from gait3dlib.fitting import BodyFit, fit_body, fit_joints
from gait3dlib.fitting._checks import MIN_FRAMES
from gait3dlib.fitting._start import first_pose, way_faced
from gait3dlib.simulation import observe_views, sample_walker
from gait3dlib.types import Calibration, GaitSequence, Stream

FPS, SECONDS = 15.0, 1.4


class Walk:
    """A simulated walker: what is true, and joints with 20 mm of noise."""

    def __init__(self) -> None:
        who = sample_walker(seed=11, index=2)
        motion = who.walk(seed=1, fps=FPS, seconds=SECONDS)
        self.body = who.body("full")
        self.vertices, self.joints = self.body.pose(motion.rotations, motion.translation)
        self.t_ns = np.round(motion.t_s * 1e9).astype(np.int64)
        noise = np.random.default_rng(4).normal(0.0, 0.02, self.joints.shape)
        self.noisy = (self.joints + noise).astype(np.float32)
        views = observe_views(
            who, [90.0, 20.0], seed=1, fps=FPS, seconds=SECONDS, streams=("silhouette", "keypoints", "depth")
        )
        self.views = [seq for seq, _ in views]

    def vertex_error_mm(self, fit: BodyFit) -> float:
        return float(1e3 * np.linalg.norm(fit.vertices() - self.vertices, axis=-1).mean())


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk()


@pytest.fixture(scope="module")
def joints_fit(walk: Walk) -> BodyFit:
    """Of joints with noise, of which some are never known and some frames are grossly wrong."""
    given = walk.noisy.copy()
    given[:, [3, 6, 9, 13, 14, 22, 23]] = np.nan
    given[5, 7] += [0.4, 0.3, 0.2]
    given[9] = np.nan
    return fit_joints(given, walk.t_ns)


# fits ------------------------------------------------------------------------------------------------------


def test_joints_with_gaps_and_gross_errors_give_the_body(walk: Walk, joints_fit: BodyFit) -> None:
    assert walk.vertex_error_mm(joints_fit) < 35
    assert joints_fit.body.height_m == pytest.approx(walk.body.height_m, abs=0.03)
    assert np.isfinite(joints_fit.joints).all()
    assert np.linalg.norm(joints_fit.joints[9] - walk.joints[9], axis=-1).mean() < 0.04
    unknown = np.isnan(joints_fit.residual_m).all(axis=0)
    assert list(np.flatnonzero(unknown)) == [3, 6, 9, 13, 14, 22, 23]
    assert joints_fit.residual_m[5, 7] > 0.3  # the gross error was not followed
    assert 0.015 < joints_fit.mean_residual_m < 0.05


def test_two_seconds_of_noisy_joints_are_fitted_well_and_fast() -> None:
    skin, heights, cpu = [], [], time.process_time()
    for index in (0, 1, 3):
        who = sample_walker(seed=12, index=index)
        motion, body = who.walk(seed=1), who.body("full")
        vertices, joints = body.pose(motion.rotations, motion.translation)
        noisy = joints + np.random.default_rng(8).normal(0.0, 0.02, joints.shape)
        fit = fit_joints(noisy, np.round(motion.t_s * 1e9).astype(np.int64))
        skin.append(np.linalg.norm(fit.vertices() - vertices, axis=-1).mean())
        heights.append(fit.body.height_m - body.height_m)
        left, before = (np.linalg.norm(j - joints, axis=-1).mean() for j in (fit.joints, noisy))
        assert left < 0.5 * before
    assert np.mean(skin) < 0.025
    assert np.abs(heights).max() < 0.02
    assert (time.process_time() - cpu) / 3 < 20


def test_the_stream_says_all_there_is(walk: Walk, joints_fit: BodyFit) -> None:
    stream = joints_fit.stream
    GaitSequence({"smpl": stream})  # keeps its spec
    assert (stream.layout, stream.units, stream.data.shape) == ("free_body", "m, rad", (len(walk.t_ns), 85))
    assert np.array_equal(stream.t_ns, walk.t_ns)
    assert np.ptp(stream.data[:, 75:], axis=0).max() == 0
    body = Body.load().from_numbers(stream.data[0, 75:])
    joints = body.pose_joints(stream.data[:, 3:75].reshape(-1, 24, 3), stream.data[:, :3])
    assert np.abs(joints - joints_fit.joints).max() < 1e-5


def test_standing_feet_stand(walk: Walk, joints_fit: BodyFit) -> None:
    lowest = joints_fit.vertices()[..., 2].min(axis=1)
    assert abs(np.median(lowest) - joints_fit.ground_m) < 0.015
    assert abs(joints_fit.ground_m) < 0.03  # the simulator's ground is z = 0


def test_turning_and_moving_the_walk_turns_and_moves_the_fit_only(walk: Walk) -> None:
    turn, shift = Rotation.from_euler("z", 2.0).as_matrix(), np.array([3.0, -2.0, 0.0])
    given = walk.noisy[:10]
    plain = fit_joints(given, walk.t_ns[:10])
    turned = fit_joints(given @ turn.T + shift, walk.t_ns[:10])
    assert np.abs(plain.joints @ turn.T + shift - turned.joints).max() < 0.005
    assert turned.body.height_m == pytest.approx(plain.body.height_m, abs=0.005)


def test_silhouettes_beside_joints_tell_how_heavy(walk: Walk) -> None:
    light = dataclasses.replace(walk.views[0].streams["silhouette"])
    seq = GaitSequence({"joints": Stream(walk.noisy, walk.t_ns, "m"), "silhouette": light})
    fit = fit_body(seq)
    assert fit.evidence == ("joints", "silhouette")
    assert walk.vertex_error_mm(fit) < 25
    assert fit.body.bmi == pytest.approx(walk.body.bmi, abs=2.5)


def test_one_depth_camera_tells_how_tall(walk: Walk) -> None:
    fit = fit_body(walk.views[1], streams=["depth", "keypoints"])
    assert fit.evidence == ("keypoints", "depth")
    assert fit.body.height_m == pytest.approx(walk.body.height_m, abs=0.03)


def test_two_views_of_keypoints(walk: Walk) -> None:
    fit = fit_body(walk.views, streams=["keypoints"])
    assert np.isnan(fit.residual_m).all()
    assert np.isnan(fit.mean_residual_m)
    assert walk.vertex_error_mm(fit) < 45
    assert fit.body.height_m == pytest.approx(walk.body.height_m, abs=0.04)


def test_a_walker_faces_where_he_goes(walk: Walk) -> None:
    yaw = way_faced(walk.joints.astype(np.float64))
    assert yaw is not None
    assert np.abs(yaw).max() < 0.2
    assert way_faced(np.repeat(walk.joints[:1].astype(np.float64), 9, axis=0)) is None


def test_first_guess_is_near(walk: Walk) -> None:
    local, pelvis = first_pose(walk.joints.astype(np.float64), walk.body)
    found = walk.body.pose_joints(local, pelvis - walk.body.joints[0])
    assert np.linalg.norm(found - walk.joints, axis=-1).mean() < 0.06


# what cannot be fitted -------------------------------------------------------------------------------------


def test_another_unit_or_axis_is_named(walk: Walk) -> None:
    for factor, hint in (
        (1000, "millimetres, divide them by 1000"),
        (100, "centimetres"),
        (0.01, "in metres"),
    ):
        with pytest.raises(InputError, match=hint):
            fit_joints(walk.noisy * factor, walk.t_ns)
    with pytest.raises(InputError, match="z points up"):
        fit_joints(walk.noisy[..., [0, 2, 1]], walk.t_ns)


def test_too_little_is_named(walk: Walk) -> None:
    with pytest.raises(InputError, match=f"at least {MIN_FRAMES} frames, and this walk has 4"):
        fit_joints(walk.noisy[:4], walk.t_ns[:4])
    with pytest.raises(NoEvidence, match="nothing to fit"):
        fit_joints(np.full_like(walk.noisy, np.nan), walk.t_ns)
    few = np.full_like(walk.noisy, np.nan)
    few[:, :3] = walk.noisy[:, :3]
    with pytest.raises(NoEvidence, match="3 are known"):
        fit_joints(few, walk.t_ns)
    with pytest.raises(NoEvidence, match="silhouettes alone"):
        fit_body(walk.views[0], streams=["silhouette"])
    with pytest.raises(InputError, match="did you mean 'joints'"):
        fit_body(walk.views[0], streams=["joint"])
    with pytest.raises(InputError, match="at least one walk"):
        fit_body([])


def test_several_cameras_need_their_places(walk: Walk) -> None:
    stream = walk.views[0].streams["keypoints"]
    assert isinstance(stream.calibration, Calibration)
    lost = dataclasses.replace(stream, calibration=dataclasses.replace(stream.calibration, extrinsics=None))
    with pytest.raises(InputError, match="extrinsics"):
        fit_body([GaitSequence({"keypoints": lost}), walk.views[1]], streams=["keypoints"])
    skewed = np.diag([2.0, 1.0, 1.0, 1.0])
    odd = dataclasses.replace(stream, calibration=dataclasses.replace(stream.calibration, extrinsics=skewed))
    with pytest.raises(InputError, match="rotation"):
        fit_body(GaitSequence({"keypoints": odd}))


# gait3d derive ---------------------------------------------------------------------------------------------


def test_derive_writes_a_recording_with_the_body(walk: Walk, tmp_path: Path) -> None:
    source = tmp_path / "walk.h5"
    seq = GaitSequence({"joints": Stream(walk.noisy[:10], walk.t_ns[:10], "m")}, subject="p1")
    gait3dlib.save(source, seq, consent_ref="drawer 7")
    result = CliRunner().invoke(app, ["derive", "--stream", "smpl", str(source), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["out"] == str(tmp_path / "walk-smpl.h5")
    (row,) = said["walks"]
    assert row["evidence"] == ["joints"]
    assert row["mass_rests_on_skin"] is False
    made = gait3dlib.load(said["out"])
    assert made.subject == "p1"
    assert made.streams["smpl"].layout == "free_body"
    assert np.array_equal(made.streams["joints"].data, seq.streams["joints"].data, equal_nan=True)
    with gait3dlib.open_recording(said["out"]) as opened:
        assert opened.consent_ref == "drawer 7"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--stream", "smpl", "nothing.h5"], 1, "nothing.h5"),
        (["--stream", "smlp", "walk.h5"], 2, "did you mean 'smpl'"),
        (["--stream", "smpl", "walk.h5", "--walk", "3"], 1, "no walk 3"),
        (["--stream", "smpl", "walk.h5", "--out", "walk.h5"], 2, "recording itself"),
        (["--stream", "smpl", "walk.h5", "--from-streams", "depth"], 1, "nothing to fit"),
        (["--stream", "smpl", "mm.h5"], 1, "divide them by 1000"),
        (["--stream", "smpl", "short.h5"], 1, "at least 8 frames"),
        (["--stream", "smpl", "empty.h5"], 1, "nothing to fit"),
    ],
)
def test_derive_says_what_is_wrong(
    walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    held = {
        "walk": walk.noisy,
        "mm": walk.noisy * 1000,
        "short": walk.noisy[:4],
        "empty": walk.noisy * np.nan,
    }
    for name, joints in held.items():
        gait3dlib.save(f"{name}.h5", GaitSequence({"joints": Stream(joints, walk.t_ns[: len(joints)], "m")}))
    result = CliRunner().invoke(app, ["derive", *words])
    assert result.exit_code == status, result.output
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output

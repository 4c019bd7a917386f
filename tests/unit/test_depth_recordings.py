"""A depth camera's people on their way into recordings: from the SDK's file, live, and of another camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex")

from depth_corridor import CAMERA, FPS, made_shots
from typer.testing import CliRunner

from gait3dlib.cli import app
from gait3dlib.perception import walks
from gait3dlib.recording import open_recording
from gait3dlib.simulation.software_camera import Shot, SoftwareCamera
from gait3dlib.types import Calibration, Frame, Sensor


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return list(made_shots())


def test_recorded_by_the_sdk_converted_and_replayed(shots: list[Shot], tmp_path: Path) -> None:
    pytest.importorskip("pyrealsense2")
    from gait3dlib.sources import walks_of

    bag, out = tmp_path / "corridor.db3", tmp_path / "corridor.h5"
    plain = [Shot(s.depth, s.t_ns + 10**9, None) for s in shots]
    bare: Calibration = dataclasses.replace(CAMERA, extrinsics=None)
    assert SoftwareCamera(plain, bare, color=False, fps=15).record(bag) == len(shots)
    done = CliRunner().invoke(app, ["convert", str(bag), str(out), "--json"])
    assert done.exit_code == 0, done.output
    with open_recording(out) as recording:
        assert len(recording) == 2
        raw = recording.streams["depth"]
        np.testing.assert_array_equal(raw.data, np.stack([s.depth for s in shots]))
        assert raw.calibration is not None
        assert raw.calibration.fx == pytest.approx(CAMERA.fx, rel=1e-6)
        heights = sorted(float(seq.meta.covariates["height_m"]) for seq in recording)
    assert heights[1] - heights[0] > 0.08
    assert len(list(walks_of(bag))) == 2


def test_a_live_camera_is_recorded_and_its_walks_found(shots: list[Shot], tmp_path: Path) -> None:
    """Noisy depth and colour through the SDK's sensors and syncer, the pump, the recorder and perception."""
    pytest.importorskip("pyrealsense2")
    from software_realsense import Eager

    from gait3dlib.recording import RecordingWriter
    from gait3dlib.sensors import Pump
    from gait3dlib.sensors.realsense import Realsense
    from gait3dlib.simulation.software_camera import SoftwareBus

    pace = Eager()
    camera = SoftwareCamera(shots, CAMERA, fps=15, pace=pace)
    sensor = Realsense(width=424, height=240, fps=15, warm_up_s=0.0, bus=SoftwareBus([camera]))
    pace.sensor = sensor
    out = tmp_path / "live.h5"
    with camera, Pump(sensor) as pump:
        spec, calibration = sensor.specs["depth"], dict(sensor.calibration)
        with RecordingWriter(out, {"depth": spec}, calibration=calibration) as writer:

            def taped() -> Iterator[Frame]:
                for frame in islice(pump, len(shots)):
                    writer.append("depth", frame.data["depth"], frame.host_t_ns, frame.device_t_ns)
                    yield frame

            for seq in walks(taped(), pose=False, calibration=calibration):
                writer.add_walk(seq)
        assert pump.stats.drops == 0
        assert sensor.counts.lost == 0
    with open_recording(out) as recording:
        np.testing.assert_array_equal(recording.streams["depth"].data, np.stack([s.depth for s in shots]))
        assert len(recording) == 2
        assert "color" not in recording.streams


def test_another_depth_camera_is_one_small_file(shots: list[Shot], tmp_path: Path) -> None:
    """The example of the documents, on the corridor as a folder of images."""
    cv2 = pytest.importorskip("cv2")
    import importlib.util

    path = Path(__file__).parents[2] / "examples" / "folder_depth_camera.py"
    spec = importlib.util.spec_from_file_location("folder_depth_camera", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for number, shot in enumerate(shots):
        cv2.imwrite(str(tmp_path / f"{number:04d}.png"), shot.depth)
    camera = example.FolderDepthCamera(str(tmp_path), FPS)
    assert isinstance(camera, Sensor)
    with camera:
        np.testing.assert_array_equal(camera.read(1.0).data["depth"], shots[0].depth)
    assert example.main(str(tmp_path), FPS, CAMERA.fx) == 2

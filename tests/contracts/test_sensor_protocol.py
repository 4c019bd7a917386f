"""What every registered sensor keeps to: the pump, the recorder and the finder of walks rely on it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gait3dlib import registry
from gait3dlib.errors import Gait3DError, SensorError
from gait3dlib.recording import save
from gait3dlib.sensors import open_sensor
from gait3dlib.simulation import packets
from gait3dlib.simulation.lidar import Lidar, Sweep
from gait3dlib.simulation.packets import write_capture
from gait3dlib.types import STREAM_SPECS, EndOfStream, Frame, GaitSequence, Sensor, StreamSpec

NAMES = registry.names("sensor")
REALSENSE = Path(__file__).parent.parent / "golden" / "realsense" / "sdk_2_57.bag"


def images(folder: Path, walk: GaitSequence) -> str:
    import cv2

    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 6, 3), 40 * number, np.uint8))
    return str(folder)


def recording(folder: Path, walk: GaitSequence) -> str:
    return str(save(folder / "walk.h5", walk))


def livox_capture(folder: Path, walk: GaitSequence) -> str:
    rng = np.random.default_rng(0)
    points = rng.uniform(-9, 9, (96 * 800, 4))
    write_capture(folder / "a.pcap", packets.livox_packets(points, np.arange(len(points)) * 5e-6), 56301)
    return str(folder / "a.pcap")


def turns(spec: Lidar) -> list[Sweep]:
    column, ring = (axis.ravel() for axis in np.indices((spec.columns, spec.beams)))
    angle, out = np.deg2rad(180 - (column + 0.5) * 360 / spec.columns), []
    points = np.stack([5 * np.cos(angle), 5 * np.sin(angle), ring * 0.1, ring * 0.02], axis=-1)
    for number in range(4):
        t_s = (number + (column + 0.5) / spec.columns) / spec.hz
        truth = np.zeros(len(column), np.int32)
        out.append(Sweep(points.astype(np.float32), t_s, ring.astype(np.uint8), number / spec.hz, truth))
    return out


def velodyne_capture(folder: Path, walk: GaitSequence) -> str:
    spec = packets.vlp16()
    write_capture(folder / "a.pcap", packets.velodyne_packets(turns(spec), spec), 2368)
    return str(folder / "a.pcap")


def ouster_capture(folder: Path, walk: GaitSequence) -> str:
    pytest.importorskip("ouster.sdk.core", reason="needs the ouster extra and libGL", exc_type=ImportError)
    spec = packets.os1(32)
    meta = packets.ouster_metadata(spec)
    (folder / "a.json").write_text(meta)
    write_capture(folder / "a.pcap", packets.ouster_packets(turns(spec), spec, meta), 7502)
    return str(folder / "a.pcap")


def clouds(folder: Path, walk: GaitSequence) -> str:
    for number in range(3):
        head = "VERSION .7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        points = np.arange(8, dtype="<f4") + number
        raw = f"{head}WIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA binary\n".encode() + points.tobytes()
        (folder / f"{number}.pcd").write_bytes(raw)
    return str(folder)


# what follows the colon, so that one of each kind can be opened without a device
TEXTS: dict[str, Callable[[Path, GaitSequence], str]] = {
    "realsense": lambda folder, walk: str(REALSENSE),
    "replay": recording,
    "livox": livox_capture,
    "ouster": ouster_capture,
    "point_files": clouds,
    "velodyne": velodyne_capture,
    "simulated": lambda folder, walk: "walkers=1,gap_s=0,fps=2",
    "video": images,
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sensor(name: str, tmp_path: Path, walk: GaitSequence) -> Sensor:
    assert name in TEXTS, f"say in TEXTS how to open a {name!r} without a device"
    return open_sensor(f"{name}:{TEXTS[name](tmp_path, walk)}")


def fits(array: np.ndarray, spec: StreamSpec) -> bool:  # type: ignore[type-arg]
    shape = array.shape[1:] if spec.ragged else array.shape
    sizes = zip(spec.shape, shape, strict=True)
    return array.dtype.name in spec.dtypes and all(want == have for want, have in sizes)


def test_the_file_is_the_class_and_fits_the_protocol(name: str, sensor: Sensor) -> None:
    module = importlib.import_module(f"gait3dlib.sensors.{name}")
    assert type(sensor) is getattr(module, registry.class_name(name)) is registry.get("sensor", name)
    assert isinstance(sensor, Sensor)
    assert inspect.getdoc(type(sensor))


def test_an_open_sensor_gives_what_its_specs_say(sensor: Sensor) -> None:
    with sensor as opened:
        assert opened is sensor
        specs = dict(sensor.specs)
        assert specs
        for name, spec in specs.items():
            assert all(isinstance(size, int) for size in spec.shape), "an open sensor knows its sizes"
            assert len(spec.dtypes) == len(spec.units) == 1
            general = STREAM_SPECS[name]
            assert set(spec.dtypes) <= set(general.dtypes)
            assert set(spec.units) <= set(general.units)
        assert set(sensor.calibration) <= set(specs)
        frames = [sensor.read(5.0) for _ in range(3)]
    for frame in frames:
        assert isinstance(frame, Frame)
        assert frame.data
        assert isinstance(frame.host_t_ns, int)
        assert frame.device_t_ns is None or isinstance(frame.device_t_ns, int)
        for stream, array in frame.data.items():
            assert fits(array, specs[stream]), stream
    times = [frame.host_t_ns for frame in frames]
    assert times == sorted(set(times))


def test_frames_belong_to_whoever_reads_them(sensor: Sensor) -> None:
    with sensor:
        first = sensor.read(5.0)
        kept = {name: array.copy() for name, array in first.data.items()}
        second = sensor.read(5.0)
        for array in second.data.values():
            array[...] = 1  # writable
        sensor.read(5.0)
    for name, array in kept.items():
        np.testing.assert_array_equal(first.data[name], array)


def test_opened_again_it_plays_again_and_closing_is_harmless(sensor: Sensor) -> None:
    sensor.close()
    for _ in range(2):
        with sensor:
            assert sensor.read(5.0).data
    sensor.close()
    with pytest.raises(SensorError, match="not open"):
        sensor.read(0.1)


def test_a_finite_sensor_ends_and_stays_at_its_end(sensor: Sensor) -> None:
    assert getattr(sensor, "live", True) is False
    with sensor:
        count = 0
        while count < 1000:
            try:
                sensor.read(5.0)
            except EndOfStream:
                break
            count += 1
        assert 3 <= count < 1000
        with pytest.raises(EndOfStream):
            sensor.read(0.1)


def test_nonsense_after_the_colon_is_one_sentence(name: str) -> None:
    with pytest.raises(Gait3DError), open_sensor(f"{name}:no such thing=,,at all") as sensor:
        sensor.read(0.1)

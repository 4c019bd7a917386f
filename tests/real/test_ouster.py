"""Real packets of six Ouster models: hash for hash what the digests beside them say, and broken files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ouster.sdk.core", reason="needs the ouster extra and libGL", exc_type=ImportError)

from ouster.sdk import core

from gait3dlib.errors import InputError
from gait3dlib.perception.points import Scans
from gait3dlib.sensors import Pump, open_sensor
from gait3dlib.sensors._capture import Capture
from gait3dlib.sensors._ouster import OusterDecoder
from gait3dlib.sensors.ouster import Ouster
from gait3dlib.types import EndOfStream, Frame

pytestmark = pytest.mark.data

DIGESTED = [
    "OS-0-128-U1_v2.3.0_1024x10",
    "OS-0-32-U1_v2.2.0_1024x10",
    "OS-1-32-G_v2.1.1_1024x10",
    "OS-2-128-U1_v2.3.0_1024x10",
    "OS-2-32-U0_v2.0.0_1024x10",
]


@pytest.fixture(scope="module")
def pcaps(data_dir: Path) -> Path:
    return data_dir / "ouster" / "pcaps"


def scans(sensor: Any) -> list[Frame]:
    def frames() -> Iterator[Frame]:
        with sensor:
            while True:
                try:
                    yield sensor.read(1.0)
                except EndOfStream:
                    return

    return list(frames())


def md5(array: np.ndarray) -> str:  # type: ignore[type-arg]
    return hashlib.md5(array.tobytes()).hexdigest()


def decoded(path: Path) -> tuple[dict[str, str], list[Any], OusterDecoder]:
    """Hashes of all packets' fields, the frames, and the decoder, all by way of our own reader."""
    sensor = Ouster(str(path))
    decoder = sensor.decoder()
    assert isinstance(decoder, OusterDecoder)
    hashes: dict[str, Any] = {}
    frames, numbers = [], []
    for packet in Capture(path):
        number = decoder.number(packet.data)
        if not isinstance(number, int):
            continue
        numbers.append(number)
        raw = np.frombuffer(packet.data, np.uint8)
        values = {header.name: decoder.format.packet_header(header, raw) for header in core.ColHeader}
        values |= {name: decoder.format.packet_field(name, raw) for name in decoder.format.fields}
        for name, value in values.items():
            hashes.setdefault(name, hashlib.md5()).update(value.tobytes())
        if decoder.take(packet.data) is not None:
            frames.append(decoder.frame)
    if decoder.finish() is not None:
        frames.append(decoder.frame)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return {name: value.hexdigest() for name, value in hashes.items()}, frames, decoder


@pytest.mark.parametrize("name", DIGESTED)
def test_packets_decode_to_their_digest(pcaps: Path, name: str) -> None:
    digest = json.loads((pcaps / f"{name}_digest.json").read_text())
    hashes, frames, _ = decoded(pcaps / f"{name}.pcap")
    assert {key: hashes.get(key) for key in digest["packet_hash"]} == digest["packet_hash"]
    assert len(frames) == len(digest["scans"])
    for frame, wanted in zip(frames, digest["scans"], strict=True):
        have = {field: md5(frame.field(field)) for field in frame.fields}
        have["FRAME_ID"] = str(frame.frame_id)
        have["TIMESTAMP"] = md5(frame.timestamp.astype(np.uint64))
        have["STATUS"] = md5(frame.status.astype(np.uint64))
        have["MEASUREMENT_ID"] = md5(frame.measurement_id.astype(np.uint16))
        # the SDK stopped decoding the encoder's count in frames; in packets it is compared above
        fields = {key: value for key, value in wanted.items() if key != "ENCODER_COUNT"}
        assert {key: have.get(key) for key in fields} == fields


@pytest.mark.parametrize("name", DIGESTED)
def test_points_are_the_ranges_along_the_beams(pcaps: Path, name: str) -> None:
    path = pcaps / f"{name}.pcap"
    _, frames, decoder = decoded(path)
    (scan,) = scans(Ouster(str(path)))
    points, ranges = scan.data["points"], frames[0].field("RANGE")
    # beam geometry of the sensor's manual, written out: range along the beam, from the origin that turns
    info = decoder.info
    columns = np.arange(ranges.shape[1])
    turn = -2 * np.pi * columns / ranges.shape[1]
    aside = -np.deg2rad(np.asarray(info.beam_azimuth_angles))[:, None]
    up = np.deg2rad(np.asarray(info.beam_altitude_angles))[:, None]
    offset = np.hypot(info.beam_to_lidar_transform[0, 3], info.beam_to_lidar_transform[2, 3])
    if not info.beam_to_lidar_transform[2, 3]:
        along = ranges - offset
        x = along * np.cos(turn + aside) * np.cos(up) + offset * np.cos(turn)
        y = along * np.sin(turn + aside) * np.cos(up) + offset * np.sin(turn)
        xyz = np.stack([-x, -y, along * np.sin(up) + info.lidar_to_sensor_transform[2, 3]], axis=-1) / 1000
        wanted = xyz[(ranges > 0) & ((frames[0].status & 1) > 0)]
        np.testing.assert_allclose(points[:, :3], wanted, atol=2e-3)
    distance = np.linalg.norm(points[:, :3], axis=1)
    hit = ranges[(ranges > 0) & ((frames[0].status & 1) > 0)] / 1000
    assert (
        np.abs(distance - hit).max() < 0.12
    )  # the sensor's own origin lies some centimetres from the beams'
    assert (points[:, 3] >= 0).all()
    assert (points[:, 3] <= 255).all()
    turn_s = 0.05 if "OS-2-32" in name else 0.1  # this one was set to twenty turns a second
    assert 0.98 * turn_s < scan.data["point_time"].max() < 1.01 * turn_s
    assert 0 <= scan.data["point_time"].min() < 0.01


@pytest.mark.parametrize(
    ("name", "packets"),
    [
        ("OS-1-128_767798045_1024x10_20230712_120049", 8),
        ("OS-1-128_v2.3.0_1024x10_lb_n3", 192),
        ("OS-0-32-U1_v2.2.0_1024x10-single-packet", 1),
        ("crc_test", 34),
        ("duplicate_id", 1),
        ("shot_limiting_test", 1),
        ("windowed_frame1", 17),
        ("windowed_frame2", 15),
    ],
)
def test_other_captures_lose_nothing(pcaps: Path, name: str, packets: int) -> None:
    sensor = open_sensor(f"ouster:{pcaps / name}.pcap")
    assert isinstance(sensor, Ouster)
    frames = scans(sensor)
    assert sum(len(frame.data["points"]) for frame in frames) > 0
    counts = sensor.counts.to_dict()
    assert counts.pop("packets") == packets
    counts.pop("other")  # motion
    assert set(counts.values()) == {0}


def test_sensors_on_one_port_are_told_apart(pcaps: Path) -> None:
    seen = {}
    for number in (1, 2):
        sensor = Ouster(str(pcaps / "same_ports.pcap"), meta=str(pcaps / f"same_ports.{number}.json"))
        (frame,) = scans(sensor)
        seen[number] = (len(frame.data["points"]), sensor.counts.packets)
    assert seen == {1: (1964, 1), 2: (985, 1)}


@pytest.mark.parametrize("bit", [9, 700, 5000])
def test_a_flipped_bit_is_found_by_the_check_sum(pcaps: Path, tmp_path: Path, bit: int) -> None:
    raw = bytearray((pcaps / "crc_test.pcap").read_bytes())
    first = next(packet.data for packet in Capture(pcaps / "crc_test.pcap") if len(packet.data) == 8448)
    place = bytes(raw).index(first[:200])
    raw[place + 64 + bit // 8] ^= 1 << bit % 8
    (tmp_path / "a.pcap").write_bytes(raw)
    sensor = Ouster(str(tmp_path / "a.pcap"), meta=str(pcaps / "crc_test.json"))
    scans(sensor)
    assert (sensor.counts.packets, sensor.counts.corrupted, sensor.counts.lost) == (33, 1, 0)


# ---- broken files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pcaps/empty_pcap.pcap", "holds no UDP packet that could be one"),
        ("pcaps/imu_zm_no_lidar.pcap", "sends no range"),
        ("pcaps/same_ports.pcap", "needs the metadata of its sensor; put it beside as same_ports.json"),
        ("pcaps/OS-1-64_1024x10_fw20.pcap", "needs the metadata of its sensor"),
        ("pcaps/VLI-16-one-packet.pcap,meta=OS-1-32-G_v2.1.1_1024x10.json", "1 of 1212 bytes to port 2368"),
        ("osfs/bad_16_bit_fields.osf", "is damaged: SIGNAL cannot be decoded"),
        ("osfs/bad_encoding.osf", "is damaged: REFLECTIVITY cannot be decoded"),
        ("osfs/bad_crc32.osf", "holds no scan that can be decoded"),
        ("osfs/empty_osf.osf", "holds no scan that can be decoded"),
        ("osfs/normals_cases.osf", "holds no scan that can be decoded"),
        ("osfs/single_scan_major_version.osf", "schema version 9999"),
    ],
)
def test_broken_files_are_one_clear_sentence(data_dir: Path, name: str, sentence: str) -> None:
    text = name.replace("meta=", f"meta={data_dir}/ouster/pcaps/")
    with pytest.raises(InputError, match=sentence) as error:
        scans(open_sensor(f"ouster:{data_dir}/ouster/{text}"))
    assert "\n" not in str(error.value)


def test_another_makers_capture_is_named(pcaps: Path) -> None:
    pytest.importorskip("velodyne_decoder")
    with pytest.raises(
        InputError, match="no scan of Velodyne sensors: it holds 64 of 6464 bytes to port 7502"
    ):
        scans(open_sensor(f"velodyne:{pcaps}/OS-1-32-G_v2.1.1_1024x10.pcap"))
    with pytest.raises(InputError, match=r"name the sensor .* or its model"):
        scans(open_sensor(f"velodyne:{pcaps}/VLI-16-one-packet.pcap"))
    (frame,) = scans(open_sensor(f"velodyne:{pcaps}/VLI-16-one-packet.pcap,model=VLP16"))
    assert len(frame.data["points"]) == 274


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.7, 0.999])
def test_a_capture_that_was_cut_off_is_read_up_to_there(pcaps: Path, tmp_path: Path, keep: float) -> None:
    raw = (pcaps / "OS-1-32-G_v2.1.1_1024x10.pcap").read_bytes()
    (tmp_path / "a.pcap").write_bytes(raw[: int(len(raw) * keep)])
    sensor = Ouster(str(tmp_path / "a.pcap"), meta=str(pcaps / "OS-1-32-G_v2.1.1_1024x10.json"))
    if keep < 0.01:
        with pytest.raises(InputError, match="holds no scan"):
            scans(sensor)
        return
    (frame,) = scans(sensor)
    assert sensor.counts.packets == int((len(raw) * keep - 24) // (16 + 14 + 20 + 8 + 6464))
    assert len(frame.data["points"]) > 0


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("OS-0-128_v3.0.1_1024x10_20241017_141645", 3),
        ("OS-1-128_v2.3.0_1024x10_lb_n3", 3),
        ("osf_fw_3.2_10scans", 10),
        ("pose_delta_1_128", 1),
        ("pose_delta_2_128", 1),
        ("single_scan_016", 1),
        ("single_scan_minor_version", 1),
    ],
)
def test_recordings(data_dir: Path, name: str, frames: int) -> None:
    with Pump(open_sensor(f"ouster:{data_dir}/ouster/osfs/{name}.osf")) as pump:
        found = list(pump)
    assert len(found) == frames
    times = [frame.host_t_ns for frame in found]
    assert times == sorted(set(times))
    for frame in found:
        assert frame.data["points"].dtype == np.float32
        assert np.isfinite(frame.data["points"]).all()
        assert len(frame.data["points"]) == len(frame.data["point_time"]) > 1000


def test_one_scene_recorded_both_ways_has_the_same_points(data_dir: Path) -> None:
    name = "OS-1-128_v2.3.0_1024x10_lb_n3"
    packets = scans(open_sensor(f"ouster:{data_dir}/ouster/pcaps/{name}.pcap"))
    recording = scans(open_sensor(f"ouster:{data_dir}/ouster/osfs/{name}.osf"))
    assert len(packets) == len(recording) == 3
    for one, other in zip(packets, recording, strict=True):
        np.testing.assert_array_equal(one.data["points"], other.data["points"])
        np.testing.assert_array_equal(one.data["point_time"], other.data["point_time"])
        assert one.device_t_ns == other.device_t_ns


# ---- people ---------------------------------------------------------------------------------------

# who stands there, as one sees in a picture of the scan: metres in the sensor's level frame
STANDING = [(-0.2, -4.8), (1.7, -4.2), (6.8, -4.9), (7.2, -4.6), (10.5, 9.8), (10.6, 9.0)]


def test_standing_people_are_found_in_one_scan(pcaps: Path) -> None:
    (scan,) = scans(open_sensor(f"ouster:{pcaps}/OS-1-32-G_v2.1.1_1024x10.pcap"))
    looks = Scans()
    found = looks.look(scan.data["points"], scan.data["point_time"], scan.host_t_ns)
    places = np.stack([sighting.person.xy for sighting in found])
    for place in STANDING:
        assert np.linalg.norm(places - place, axis=1).min() < 0.25, place
    assert len(STANDING) <= len(found) <= len(STANDING) + 2
    assert all(1.4 < sighting.person.height_m < 2.0 for sighting in found)
    assert looks.ground is not None
    assert looks.ground.height_m == pytest.approx(1.97, abs=0.05)

"""Clouds of points on disk: PCD, PLY, ROS bags, and what is damaged."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait3dlib.errors import ConfigError, InputError
from gait3dlib.sensors import Pump, open_sensor
from gait3dlib.sensors._clouds import read_cloud
from gait3dlib.types import Frame

RNG = np.random.default_rng(1)
POINTS = np.column_stack([RNG.normal(0, 5, (50, 3)), RNG.integers(0, 256, 50)]).astype(np.float32)
NAMES = ("x", "y", "z", "intensity")


def frames(text: str) -> list[Frame]:
    with Pump(open_sensor(text)) as pump:
        return list(pump)


def lzf(data: bytes) -> bytes:
    """A packer that copies from just before wherever a run of one byte goes on, else writes literally."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 0
        while at and run < 260 and at + run < len(data) and data[at + run] == data[at - 1]:
            run += 1
        if run >= 3:
            length = run - 2
            out += bytes([min(length, 7) << 5]) + (bytes([length - 7]) if length >= 7 else b"") + b"\0"
            at += run
        else:
            out += b"\0" + data[at : at + 1]
            at += 1
    return bytes(out)


def pcd(points: np.ndarray, how: str) -> bytes:  # type: ignore[type-arg]
    head = f"# a comment\nVERSION 0.7\nFIELDS {' '.join(NAMES)}\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
    head += f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {how}\n"
    if how == "ascii":
        body = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in points).encode()
    elif how == "binary":
        body = points.astype("<f4").tobytes()
    else:
        plain = points.T.astype("<f4").tobytes()
        packed = lzf(plain)
        body = struct.pack("<II", len(packed), len(plain)) + packed
    return head.encode() + body


def ply(points: np.ndarray, how: str) -> bytes:  # type: ignore[type-arg]
    head = f"ply\nformat {how} 1.0\ncomment made here\nelement vertex {len(points)}\n"
    head += "property double x\nproperty float y\nproperty float z\nproperty uchar intensity\n"
    head += "element face 0\nproperty list uchar int vertex_indices\nend_header\n"
    if how == "ascii":
        rows = (f"{x:.9g} {y:.9g} {z:.9g} {int(i)}" for x, y, z, i in points)
        return head.encode() + "\n".join(rows).encode() + b"\n"
    order = "<" if "little" in how else ">"
    return head.encode() + b"".join(struct.pack(order + "dffB", x, y, z, int(i)) for x, y, z, i in points)


@pytest.mark.parametrize("how", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path: Path, how: str) -> None:
    rows = np.concatenate([POINTS, np.zeros((90, 4), np.float32)])  # something to compress
    (tmp_path / "a.pcd").write_bytes(pcd(rows, how))
    np.testing.assert_allclose(read_cloud(tmp_path / "a.pcd"), rows, rtol=1e-6)


@pytest.mark.parametrize("how", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply(tmp_path: Path, how: str) -> None:
    (tmp_path / "a.ply").write_bytes(ply(POINTS, how))
    np.testing.assert_allclose(read_cloud(tmp_path / "a.ply"), POINTS, rtol=1e-6)


def test_folders_tell_their_times_or_are_told(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.pcd").write_bytes(pcd(POINTS + number, "binary"))
    found = frames(f"point_files:{tmp_path},fps=5,scale_m=0.001")
    assert [frame.host_t_ns for frame in found] == [0, 200_000_000, 400_000_000]
    np.testing.assert_allclose(found[2].data["points"][:, :3], (POINTS[:, :3] + 2) / 1000, rtol=1e-5)
    stamped = tmp_path / "stamped"
    stamped.mkdir()
    for number in range(3):
        (stamped / f"scan_170000000{number}.25.ply").write_bytes(ply(POINTS, "ascii"))
    times = [frame.host_t_ns for frame in frames(f"point_files:{stamped}")]
    assert times == [1_700_000_000_250_000_000 + i * 10**9 for i in range(3)]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.pcd", b""),
        ("a.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 3\nHEIGHT 1\nDATA binary\n"),
        ("a.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 99999999999\nHEIGHT 1\nDATA binary\n"),
        ("a.pcd", b"FIELDS a b c\nSIZE 4 4 4\nTYPE F F F\nWIDTH 0\nHEIGHT 1\nDATA binary\n"),
        ("a.pcd", pcd(POINTS, "binary").replace(b"DATA binary", b"DATA strange")),
        ("a.pcd", pcd(POINTS, "binary_compressed")[:-30]),
        ("a.pcd", pcd(POINTS, "ascii")[:-300]),
        ("a.ply", b"ply\nformat ascii 1.0\n"),
        ("a.ply", ply(POINTS, "ascii").replace(b"element vertex 50", b"element vertex 60")),
        ("a.ply", ply(POINTS, "binary_little_endian")[:-40]),
        ("a.ply", b"no ply at all"),
    ],
)
def test_damaged_clouds_are_one_sentence(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match="is no cloud of points that can be read") as error:
        frames(f"point_files:{tmp_path}")
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_byte_ends_in_anything_but_a_sentence(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("clouds")
    kind = data.draw(st.sampled_from(["ascii", "binary", "binary_compressed"]))
    raw = bytearray(pcd(POINTS[:5], kind) if data.draw(st.booleans()) else ply(POINTS[:5], "ascii"))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=6)):
        raw[place] ^= data.draw(st.integers(1, 255))
    file = path / ("a.ply" if raw[:3] == b"ply" else "a.pcd")
    file.write_bytes(raw)
    with contextlib.suppress(InputError):
        assert read_cloud(file).shape[1] == 4


def test_what_is_no_folder_of_clouds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for text, sentence in {
        str(tmp_path): "holds no .pcd and no .ply",
        str(tmp_path / "no"): "there is no file or folder",
        str(tmp_path / "a.txt"): "neither a folder",
    }.items():
        with pytest.raises(InputError, match=sentence):
            frames(f"point_files:{text}")
    with pytest.raises(ConfigError, match="say which files"):
        open_sensor("point_files:")
    with pytest.raises(ConfigError, match="above 0"):
        open_sensor(f"point_files:{tmp_path},fps=0")


# ---- bags -----------------------------------------------------------------------------------------


def bag(path: Path, kind: str, topics: tuple[str, ...] = ("/points",)) -> Path:
    """A bag with three scans on each topic, of points with a time of their own."""
    pytest.importorskip("rosbags")
    from rosbags import rosbag1, rosbag2
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if kind == "bag" else Stores.ROS2_HUMBLE)
    field, cloud = store.types["sensor_msgs/msg/PointField"], store.types["sensor_msgs/msg/PointCloud2"]
    header, stamp = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
    dtype = np.dtype([(name, "<f4") for name in NAMES] + [("t", "<u4")])
    if kind == "bag":
        writer: Any = rosbag1.Writer(path)
    else:
        plugin = rosbag2.StoragePlugin.MCAP if kind == "mcap" else rosbag2.StoragePlugin.SQLITE3
        writer = rosbag2.Writer(path, version=8, storage_plugin=plugin)
    serialize = store.serialize_ros1 if kind == "bag" else store.serialize_cdr
    with writer:
        for topic in topics:
            link = writer.add_connection(topic, cloud.__msgtype__, typestore=store)
            for number in range(3):
                table = np.zeros(len(POINTS), dtype)
                for column, name in enumerate(NAMES):
                    table[name] = POINTS[:, column] + number
                table["t"] = np.arange(len(POINTS)) * 1_000_000
                table["x"][7] = np.nan
                fields = [field(name, 4 * i, 7 if i < 4 else 6, 1) for i, name in enumerate((*NAMES, "t"))]
                seq = (number,) if kind == "bag" else ()
                head = header(*seq, stamp(100 + number, 5), "lidar")
                raw = table.view(np.uint8).copy()
                message = cloud(head, 1, len(POINTS), fields, False, dtype.itemsize, len(raw), raw, False)
                writer.write(link, (200 + number) * 10**9, serialize(message, cloud.__msgtype__))
    return path


@pytest.mark.parametrize("kind", ["bag", "db3", "mcap"])
def test_bags(tmp_path: Path, kind: str) -> None:
    path = bag(tmp_path / ("a.bag" if kind == "bag" else "a"), kind)
    for place in [path] if kind == "bag" else [path, next(path.glob(f"*.{kind}"))]:
        found = frames(f"point_files:{place}")
        assert [frame.host_t_ns for frame in found] == [200 * 10**9, 201 * 10**9, 202 * 10**9]
        assert [frame.device_t_ns for frame in found] == [(100 + i) * 10**9 + 5 for i in range(3)]
        for number, frame in enumerate(found):
            kept = np.arange(len(POINTS)) != 7
            np.testing.assert_allclose(frame.data["points"], (POINTS + number)[kept], rtol=1e-6)
            np.testing.assert_allclose(
                frame.data["point_time"], np.arange(len(POINTS))[kept] * 1e-3, atol=1e-6
            )


def test_bags_that_leave_something_open_or_are_damaged(tmp_path: Path) -> None:
    two = bag(tmp_path / "two.bag", "bag", ("/left", "/right"))
    with pytest.raises(InputError, match=r"holds clouds on /left, /right; choose: point_files:.*topic=/left"):
        frames(f"point_files:{two}")
    assert len(frames(f"point_files:{two},topic=/right")) == 3
    with pytest.raises(InputError, match="holds clouds on /left"):
        frames(f"point_files:{two},topic=/middle")
    for name, raw in (
        ("a.bag", b"#ROSBAG V2.0\n"),
        ("b.bag", two.read_bytes()[:3000]),
        ("c.mcap", b"x" * 99),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match="is no bag that can be read"):
            frames(f"point_files:{tmp_path / name}")

"""Recording frame by frame: what a crash, a full disk or a mistake leaves behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import gait3dlib
from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import RecordingWriter, _recover, open_recording, recover, save
from gait3dlib.types import STREAM_SPECS, Calibration, GaitSequence, Stream, StreamSpec

SPECS = {
    "depth": StreamSpec("depth", (48, 64), ("uint16",), ("mm",)),
    "points": StreamSpec("points", (4,), ("float32",), ("m",), ragged=True),
    "keypoints": StreamSpec("keypoints", (17, 3), ("float32",), ("px",), ("coco17",)),
}
CAMERA = Calibration(64, 48, 60.0, 60.0, 32.0, 24.0, np.eye(4), 0.001)

# Writes frames whose content is their number, and says each on stdout once it was handed over.
CHILD = """
import os, sys, time
import numpy as np
from gait3dlib.recording import RecordingWriter
from gait3dlib.types import GaitSequence, Stream, StreamSpec
path, pause_s, frames, walks = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
specs = {
    "depth": StreamSpec("depth", (48, 64), ("uint16",), ("mm",)),
    "points": StreamSpec("points", (4,), ("float32",), ("m",), ragged=True),
}
with RecordingWriter(path, specs) as writer:
    print("ready", flush=True)
    for i in range(1, frames + 1):
        time.sleep(pause_s)
        writer.append("depth", np.full((48, 64), i, np.uint16), 1000 * i, i)
        writer.append("points", np.full((i % 7, 4), i, np.float32), 1000 * i)
        os.write(1, b"%d\\n" % i)
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64), dtype=np.uint8)
    for i in range(walks):
        writer.add_walk(GaitSequence({"silhouette": Stream(noise, np.arange(20))}, f"p{i}"))
    writer.flush()
    os.write(1, b"closing\\n")
os.write(1, b"closed\\n")
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts CHILD; whatever happens in the test, none of them outlives it."""
    children: list[subprocess.Popen[str]] = []

    def begin(path: Path, pause_s: float, frames: int, walks: int = 0) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", CHILD, str(path), str(pause_s), str(frames), str(walks)]
        children.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def frames_of(path: Path) -> int:
    """How many frames the recording of a CHILD holds, all of them checked."""
    with open_recording(path) as recording:
        counts = {name: len(recording.streams.t_ns(name)) for name in recording.streams}
        assert set(counts) == {"depth", "points"}
        for name, count in counts.items():
            if count:
                stream = recording.streams[name]
                np.testing.assert_array_equal(stream.t_ns, 1000 * np.arange(1, count + 1))
                for i in range(count):
                    assert (stream.frame(i) == i + 1).all()
                    assert len(stream.frame(i)) == (48 if name == "depth" else (i + 1) % 7)
        return min(counts.values())


def test_kill_9_loses_at_most_one_second(tmp_path: Path, start: Start) -> None:
    """At most 30 frames a second are written, so at most 30 frames may be missing."""
    children = [start(tmp_path / f"{i}.h5", 1 / 30, 10**6) for i in range(4)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    begin, clock = time.monotonic(), random.Random(time.time_ns())
    instants = [*sorted(clock.uniform(0.05, 2.5) for _ in children[1:]), 3.0]
    for child, instant in zip(children, instants, strict=True):
        time.sleep(max(0.0, begin + instant - time.monotonic()))
        child.kill()
    for i, child in enumerate(children):
        written = len(child.communicate()[0].split())
        part = tmp_path / f"{i}.h5.part"
        with pytest.raises(RecordingError, match="was never finished"):
            open_recording(part)
        path = recover(part)
        assert path == tmp_path / f"{i}.h5"
        assert not part.exists()
        saved = frames_of(path)
        assert written - 30 <= saved <= written + 1
        with open_recording(path) as recording:
            assert recording.recovered.keys() == {"depth", "points"}
            assert min(recording.recovered.values()) == saved
    assert saved > 0  # the one killed last had the time to flush, or nothing was shown


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.06, 0.12])
def test_kill_9_while_the_walks_are_written_loses_no_frame(
    tmp_path: Path, start: Start, delay_s: float
) -> None:
    path = tmp_path / "a.h5"
    child = start(path, 0.0, 60, walks=40)
    assert child.stdout is not None
    for line in child.stdout:
        if line == "closing\n":
            break
    time.sleep(delay_s)
    child.kill()
    child.communicate()
    if not path.exists():
        recover(tmp_path / "a.h5.part")
    assert frames_of(path) == 60
    with open_recording(path) as recording:
        for sequence in recording:
            assert len(sequence.streams["silhouette"]) == 20


def test_a_recording_is_not_recovered_under_its_writer(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "a.h5"
    child = start(path, 0.01, 10**6)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(InputError, match="still being written"):
        recover(tmp_path / "a.h5.part")
    child.kill()
    child.communicate()
    recover(tmp_path / "a.h5.part")
    frames_of(path)


def test_a_full_disk_keeps_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    code = f"""
import resource, signal
import numpy as np
from gait3dlib.errors import RecordingError
from gait3dlib.recording import RecordingWriter
from gait3dlib.types import StreamSpec
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
rng = np.random.default_rng(0)
try:
    spec = StreamSpec("x", (100, 100), ("uint8",), ("1",))
    with RecordingWriter({str(path)!r}, {{"x": spec}}, flush_s=0) as w:
        for i in range(1000):
            w.append("x", rng.integers(0, 255, (100, 100), dtype=np.uint8), i)
            print(i)
except RecordingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "HDF5 must not end the process"
    *written, said = done.stdout.splitlines()
    assert f"cannot be written: File too large; what was recorded is safe: gait3d recover {path}.part" in said
    assert not path.exists()
    with open_recording(recover(Path(f"{path}.part"))) as recording:
        stream = recording.streams["x"]
    assert len(stream) >= len(written) - 1 > 50
    rng = np.random.default_rng(0)
    for i in range(len(stream)):
        np.testing.assert_array_equal(stream.frame(i), rng.integers(0, 255, (100, 100), dtype=np.uint8))


# ---- recording without accidents ------------------------------------------------------------------


def record(path: Path, frames: int = 5) -> Path:
    with RecordingWriter(path, SPECS, calibration={"depth": CAMERA}, consent_ref="form 7") as writer:
        for i in range(frames):
            writer.append("depth", np.full((48, 64), i, np.uint16), 100 + i, 7 * i)
            writer.append("points", np.full((i, 4), i, np.float32), 200 + i)
    return path


def test_streams_are_recorded_and_read_in_parts(tmp_path: Path) -> None:
    path = record(tmp_path / "a.h5")
    assert os.listdir(tmp_path) == ["a.h5"]
    with open_recording(path) as recording:
        assert recording.walks == []
        assert (recording.clock, recording.consent_ref) == ("unix", "form 7")
        streams = recording.streams
        assert list(streams) == ["depth", "keypoints", "points"]
        assert len(streams) == 3
        assert "depth" in streams
        depth = streams["depth"]
        assert (depth.units, depth.data.dtype) == ("mm", np.uint16)
        assert depth.data[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_array_equal(streams.device_t_ns("depth"), 7 * np.arange(5))
        np.testing.assert_array_equal(streams.device_t_ns("points"), np.full(5, -1))
        calibration = depth.calibration
        assert calibration is not None
        assert (calibration.fx, calibration.depth_scale_m) == (60.0, 0.001)
        assert streams.read("depth", 1, 3).t_ns.tolist() == [101, 102]
        part = streams.read("points", 2, 4)
        assert part.offsets is not None
        assert part.offsets.tolist() == [0, 2, 5]
        assert part.data[:, 0].tolist() == [2, 2, 3, 3, 3]
        assert streams.read("points", 4, 99).t_ns.tolist() == [204]
        assert len(streams.t_ns("keypoints")) == 0
        with pytest.raises(InputError, match=r"no raw stream 'dept'; did you mean 'depth'\?"):
            streams.read("dept")
        with pytest.raises(KeyError):
            streams["dept"]
        with pytest.raises(InputError, match="holds no walk"):
            recording.sequence(0)


def test_walks_are_written_on_closing(tmp_path: Path, walk: GaitSequence) -> None:
    path = tmp_path / "a.h5"
    writer = RecordingWriter(path, SPECS)
    writer.append("depth", np.zeros((48, 64), np.uint16), 1)
    writer.add_walk(walk)
    writer.add_walk(walk.without("points"))
    assert not path.exists()
    writer.close()
    writer.close()
    with open_recording(path) as recording:
        assert [info.streams for info in recording.walks] == [
            ("keypoints", "points", "silhouette"),
            ("keypoints", "silhouette"),
        ]
        assert recording.sequence(0).meta == walk.meta
        assert len(recording.streams["depth"]) == 1
    with pytest.raises(RecordingError, match="is closed"):
        writer.append("depth", np.zeros((48, 64), np.uint16), 2)


def test_an_exception_in_the_recording_program_still_closes_the_file(tmp_path: Path) -> None:
    def program() -> None:
        with RecordingWriter(tmp_path / "a.h5", SPECS) as writer:
            writer.append("depth", np.zeros((48, 64), np.uint16), 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        program()
    with open_recording(tmp_path / "a.h5") as recording:
        assert len(recording.streams["depth"]) == 1


def test_an_interrupt_between_a_frame_and_its_time_stamp_costs_that_frame(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.h5", SPECS) as writer:
        writer.append("depth", np.ones((48, 64), np.uint16), 1)
        data = writer._channels["depth"].data
        data.resize(2, axis=0)  # as if Ctrl-C had come here
        writer.flush()
        writer.append("depth", np.full((48, 64), 2, np.uint16), 2)
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.streams["depth"].data[:, 0, 0].tolist() == [1, 2]


def test_wrong_frames_are_refused_and_the_recording_goes_on(tmp_path: Path) -> None:
    good = np.zeros((48, 64), np.uint16)
    with RecordingWriter(tmp_path / "a.h5", SPECS) as writer:
        writer.append("depth", good, 10)
        nan = np.full((17, 3), np.nan, np.float32)
        for sentence, (name, frame, t_ns) in {
            r"no stream 'dept'; did you mean 'depth'\?": ("dept", good, 11),
            r"must be uint16 \[48, 64\], not uint16 \[64, 48\]": ("depth", good.T, 11),
            r"must be uint16 \[48, 64\], not float32": ("depth", good.astype(np.float32), 11),
            r"must be float32 \[4\]": ("points", np.zeros((5, 3), np.float32), 11),
            "holds NaN": ("keypoints", nan, 11),
            "not later": ("depth", good, 10),
        }.items():
            with pytest.raises(InputError, match=sentence):
                writer.append(name, frame, t_ns)
        writer.append("depth", good, 11)
    with open_recording(tmp_path / "a.h5") as recording:
        assert recording.streams.t_ns("depth").tolist() == [10, 11]


def test_what_cannot_be_recorded_leaves_no_file(tmp_path: Path, walk: GaitSequence) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(InputError, match="leaves something open"):
        RecordingWriter(path, {"depth": STREAM_SPECS["depth"]})
    color = {"color": StreamSpec("color", (4, 4, 3), ("uint8",), ("1",))}
    with pytest.raises(InputError, match="colour is stored only when asked"):
        RecordingWriter(path, color)
    with pytest.raises(RecordingError, match="cannot be written: No such file or directory"):
        RecordingWriter(tmp_path / "absent" / "a.h5", SPECS)
    assert os.listdir(tmp_path) == []
    with RecordingWriter(path, color, store_color=True) as writer:
        writer.append("color", np.zeros((4, 4, 3), np.uint8), 1)
    with pytest.raises(InputError, match="exists and is not overwritten"):
        RecordingWriter(path, SPECS)
    path.rename(tmp_path / "b.h5.part")
    with pytest.raises(InputError, match=r"save it with: gait3d recover .*b\.h5\.part"):
        RecordingWriter(tmp_path / "b.h5", SPECS)


def test_a_file_made_meanwhile_is_not_overwritten(tmp_path: Path, walk: GaitSequence) -> None:
    writer = RecordingWriter(tmp_path / "a.h5", SPECS)
    save(tmp_path / "a.h5", walk)
    with pytest.raises(InputError, match="was made meanwhile"):
        writer.close()
    assert gait3dlib.load(tmp_path / "a.h5").subject == "p01"
    assert (tmp_path / "a.h5.part").exists()


# ---- what cannot be recovered, or only in part ----------------------------------------------------


def test_recover_says_what_it_cannot_do(tmp_path: Path, walk: GaitSequence) -> None:
    part = tmp_path / "a.h5.part"
    with pytest.raises(RecordingError, match="there is no file"):
        recover(part)
    for content in (b"", b"text" * 40, b"\x89HDF\r\n\x1a\n"):
        part.write_bytes(content)
        with pytest.raises(RecordingError, match="nothing to recover"):
            recover(part)
        assert part.read_bytes() == content
    with pytest.raises(InputError, match="is finished"):
        recover(save(tmp_path / "b.h5", walk))
    save(tmp_path / "a.h5", walk)
    with pytest.raises(InputError, match=r"a\.h5 exists already"):
        recover(part)


def test_a_file_without_streams_has_nothing_to_recover(tmp_path: Path) -> None:
    part = tmp_path / "a.h5.part"
    with h5py.File(part, "w", libver=("v110", "v110")) as file:
        file["x"] = 1
    with pytest.raises(RecordingError, match="nothing to recover"):
        recover(part)
    part.write_bytes(part.read_bytes()[:48] + bytes(2000))
    with pytest.raises(RecordingError, match="nothing in it is readable"):
        recover(part)
    assert part.exists()


def test_killed_before_the_rename_keeps_the_walks(tmp_path: Path, walk: GaitSequence) -> None:
    path = tmp_path / "a.h5"
    with RecordingWriter(path, SPECS) as writer:
        writer.append("depth", np.zeros((48, 64), np.uint16), 1)
        writer.add_walk(walk)
        writer.add_walk(walk)
    with h5py.File(path, "r+") as file:
        del file["walks/0/points/data"]
    path.rename(tmp_path / "a.h5.part")
    with open_recording(recover(tmp_path / "a.h5.part")) as recording:
        (sequence,) = recording
        assert sequence.meta == walk.meta
        np.testing.assert_array_equal(sequence.streams["points"].data, walk.streams["points"].data)


def test_an_unfinished_file_of_another_name_stays(tmp_path: Path, start: Start) -> None:
    child = start(tmp_path / "a.h5", 0.002, 10**6)
    assert child.stdout is not None
    begin, written = time.monotonic(), 0
    while written < 200 or time.monotonic() < begin + 1.5:
        written += bool(child.stdout.readline())
    child.kill()
    child.communicate()
    moved = (tmp_path / "a.h5.part").rename(tmp_path / "moved.h5")
    assert recover(moved) == tmp_path / "moved.recovered.h5"
    assert moved.exists()
    assert frames_of(tmp_path / "moved.recovered.h5") > 0


def damaged(tmp_path: Path) -> tuple[Path, h5py.File]:
    part = record(tmp_path / "a.h5").rename(tmp_path / "a.h5.part")
    return part, h5py.File(part, "r+")


def recovered(part: Path) -> dict[str, int]:
    with open_recording(recover(part)) as recording:
        for name, count in recording.recovered.items():
            assert len(recording.streams.t_ns(name)) == count
            if count:
                assert len(recording.streams[name]) == count
        return recording.recovered


def test_recover_cuts_at_time_that_runs_backwards(tmp_path: Path) -> None:
    part, file = damaged(tmp_path)
    file["streams/depth/t_ns"][3] = 0
    file["streams/points/t_ns"][0] = 999
    file.close()
    assert recovered(part) == {"depth": 3, "points": 1, "keypoints": 0}


def test_recover_cuts_to_the_shortest_part_of_a_stream(tmp_path: Path) -> None:
    part, file = damaged(tmp_path)
    file["streams/depth/data"].resize(2, axis=0)
    file["streams/points/data"].resize(4, axis=0)  # frames of 0, 1, 2, 3, 4 points: the first three
    file.close()
    assert recovered(part) == {"depth": 2, "points": 3, "keypoints": 0}


def test_recover_cuts_at_a_frame_that_cannot_be_inflated(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.h5", {"x": StreamSpec("x", (256, 256), ("uint8",), ("1",))}) as writer:
        for i in range(9):
            writer.append("x", np.full((256, 256), i, np.uint8), i)
    part = (tmp_path / "a.h5").rename(tmp_path / "a.h5.part")
    with h5py.File(part, "r+") as file:
        file["streams/x/data"].id.write_direct_chunk((6, 0, 0), b"no deflate stream")
    assert recovered(part) == {"x": 6}


def test_lookup3_is_the_checksum_that_hdf5_writes(tmp_path: Path) -> None:
    for size in range(3):
        with h5py.File(tmp_path / "x", "w", libver=("v110", "v110")) as file:
            file["x"] = np.zeros(1000 * size)
        head = (tmp_path / "x").read_bytes()[:48]
        assert _recover._lookup3(head[:44]) == int.from_bytes(head[44:], "little")


def test_a_stream_holding_walk_is_typed_as_recorded(tmp_path: Path) -> None:
    """Layouts of recorded keypoints come back, so that a model can read them."""
    with RecordingWriter(tmp_path / "a.h5", SPECS) as writer:
        writer.append("keypoints", np.ones((17, 3), np.float32), 1)
    with open_recording(tmp_path / "a.h5") as recording:
        stream = recording.streams["keypoints"]
    assert GaitSequence({"keypoints": Stream(stream.data, stream.t_ns, stream.units, layout=stream.layout)})
    assert stream.layout == "coco17"

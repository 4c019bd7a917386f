"""Sensors: recordings that are replayed, and sensors chosen by a short text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensing import everything

from gait3dlib.errors import ConfigError, Gait3DError, InputError, SensorError, UnknownComponent
from gait3dlib.recording import RecordingWriter, load, save
from gait3dlib.sensors import Pump, open_sensor
from gait3dlib.sensors.replay import Replay
from gait3dlib.sensors.video import Video
from gait3dlib.types import Calibration, EndOfStream, GaitSequence, Sensor, Stream, StreamSpec

# ---- replay ---------------------------------------------------------------------------------------

SPECS = {
    "depth": StreamSpec("depth", (4, 6), ("uint16",), ("mm",)),
    "points": StreamSpec("points", (4,), ("float32",), ("m",), ragged=True),
    "keypoints": StreamSpec("keypoints", (17, 3), ("float32",), ("px",), ("coco17",)),
}


def recording(path: Path, frames: int = 100) -> Path:
    camera = {"depth": Calibration(6, 4, 5.0, 5.0, 3.0, 2.0)}
    with RecordingWriter(path, SPECS, calibration=camera) as writer:
        for i in range(frames):
            writer.append("depth", np.full((4, 6), i, np.uint16), 30_000_000 * i, 7 * i)
            if i % 3 == 0:
                writer.append("points", np.full((i % 5, 4), i, np.float32), 30_000_000 * i + (i % 2) * 1000)
    return path


def test_a_recording_is_replayed_in_the_order_of_its_times(tmp_path: Path) -> None:
    replay = Replay(recording(tmp_path / "a.h5"))
    assert isinstance(replay, Sensor)
    assert (replay.live, replay.specs, replay.calibration) == (False, {}, {})
    with replay:
        assert replay.specs == {name: SPECS[name] for name in ("depth", "points")}
        assert replay.calibration == {"depth": Calibration(6, 4, 5.0, 5.0, 3.0, 2.0)}
    frames = everything(replay)
    times = [frame.host_t_ns for frame in frames]
    assert times == sorted(set(times))
    depth = [frame for frame in frames if "depth" in frame.data]
    points = [frame for frame in frames if "points" in frame.data]
    together = [frame for frame in frames if len(frame.data) == 2]
    assert (len(depth), len(points), len(together)) == (100, 34, 17)
    for i, frame in enumerate(depth):
        assert (frame.host_t_ns, frame.device_t_ns) == (30_000_000 * i, 7 * i)
        assert (frame.data["depth"] == i).all()
        frame.data["depth"][:] = 0  # owned
    for i, frame in zip(range(0, 100, 3), points, strict=True):
        assert frame.data["points"].shape == (i % 5, 4)
        assert (frame.data["points"] == i).all()
    assert [frame.device_t_ns for frame in frames if "depth" not in frame.data] == [None] * 17


def test_what_is_replayed_into_a_recording_is_that_recording(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.h5")
    with Pump(Replay(path), queue_size=4) as pump, Replay(path) as shape:
        writer = RecordingWriter(tmp_path / "b.h5", shape.specs, calibration=shape.calibration)
        with writer:
            for frame in pump:
                for name, array in frame.data.items():
                    writer.append(name, array, frame.host_t_ns, frame.device_t_ns)
    again = everything(Replay(tmp_path / "b.h5"))
    for have, want in zip(again, everything(Replay(path)), strict=True):
        assert have.host_t_ns == want.host_t_ns
        for name in want.data:
            np.testing.assert_array_equal(have.data[name], want.data[name])


def test_a_walk_is_replayed_where_there_are_no_raw_streams(tmp_path: Path, walk: GaitSequence) -> None:
    path = save(tmp_path / "w.h5", walk, walk.without("points"))
    with pytest.raises(InputError, match="holds several walks"):
        Replay(path).open()
    frames = everything(Replay(path, walk=0))
    for name, stream in load(path, 0).streams.items():
        played = [frame.data[name] for frame in frames if name in frame.data]
        assert len(played) == len(stream)
        for index, array in enumerate(played):
            np.testing.assert_array_equal(array, stream.frame(index))
    assert {name for frame in everything(Replay(path, walk=1)) for name in frame.data} == {
        "silhouette",
        "keypoints",
    }


def test_replay_keeps_the_pace_when_asked(tmp_path: Path, walk: GaitSequence) -> None:
    times = np.array([0, 60, 120, 100_000]) * 1_000_000
    silhouette = Stream(walk.streams["silhouette"].data[:4], times)
    path = save(tmp_path / "w.h5", GaitSequence({"silhouette": silhouette}))
    replay = Replay(path, realtime=True)
    assert replay.live
    with replay:
        replay.read(0.1)
        begin = time.monotonic()
        replay.read(0.1)
        replay.read(0.1)
        assert time.monotonic() - begin >= 0.11
        replay.read(0.05)  # the pause of a hundred seconds is cut to the timeout
        assert time.monotonic() - begin < 20
        with pytest.raises(EndOfStream):
            replay.read(0.1)


def test_recordings_that_cannot_be_replayed(tmp_path: Path) -> None:
    empty = tmp_path / "empty.h5"
    RecordingWriter(empty, SPECS).close()
    for path, sentence in (
        (empty, "holds no frame to play"),
        (tmp_path / "absent.h5", "there is no recording"),
    ):
        with pytest.raises(InputError, match=sentence):
            Replay(path).open()
    with pytest.raises(SensorError, match="is not open"):
        Replay(empty).read(1.0)


# ---- sensors by a short text ----------------------------------------------------------------------


def test_sensors_by_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = open_sensor("video:walk:1.mp4")
    assert isinstance(video, Video)
    assert (video.source, video.live) == ("walk:1.mp4", False)
    webcam = open_sensor("video:0")
    assert isinstance(webcam, Video)
    assert webcam.live
    replay = open_sensor("replay:x.h5")
    assert isinstance(replay, Replay)
    assert replay.path == Path("x.h5")
    monkeypatch.chdir(tmp_path)
    Path("walk.mp4").touch()
    Path("walk.h5").touch()
    for text, sentence in {
        "vidio:x": r"unknown sensor 'vidio'; did you mean 'video'\?",
        "walk.mp4": "did you mean 'video:walk.mp4'",
        "walk.h5": "did you mean 'replay:walk.h5'",
    }.items():
        with pytest.raises(UnknownComponent, match=sentence):
            open_sensor(text)
    for text in ("video", "video:", "replay:"):
        with pytest.raises(ConfigError, match="say which"):
            open_sensor(text)


class Walkers:
    """A component as another distribution would bring it."""

    def __init__(self, seed: int = 0, walkers: int = 1, gap_s: float = 1.0, realtime: bool = False) -> None:
        self.values = (seed, walkers, gap_s, realtime)


def test_options_of_a_sensor_are_the_constructors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gait3dlib.registry.get", lambda kind, name: Walkers)

    def values(text: str) -> Any:
        return open_sensor(text).values  # type: ignore[attr-defined]

    assert values("walkers") == (0, 1, 1.0, False)
    assert values("walkers:seed=3,walkers=4, gap_s=0.5,realtime=true") == (3, 4, 0.5, True)
    for text, sentence in {
        "walkers:sead=3": "unknown key; did you mean 'seed'",
        "walkers:seed=many": "walkers.seed",
        "walkers:3": "is not key=value; write it like walkers:seed=3",
        "walkers:seed={": "the value of 'seed' cannot be read",
    }.items():
        with pytest.raises(ConfigError, match=sentence):
            values(text)


def test_every_error_here_is_one_that_the_command_line_prints() -> None:
    assert issubclass(SensorError, Gait3DError)
    assert not issubclass(EndOfStream, Gait3DError)

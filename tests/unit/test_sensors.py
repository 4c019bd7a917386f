"""Sensors: videos, replayed recordings, and the pump that reads them."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest

from gait3dlib.errors import (
    ConfigError,
    Gait3DError,
    InputError,
    SensorError,
    UnknownComponent,
    VideoError,
)
from gait3dlib.recording import RecordingWriter, load, save
from gait3dlib.sensors import Pump, open_sensor
from gait3dlib.sensors.replay import Replay
from gait3dlib.sensors.video import Video, _natural, _Webcam
from gait3dlib.types import (
    STREAM_SPECS,
    Calibration,
    EndOfStream,
    Frame,
    GaitSequence,
    Sensor,
    Stream,
    StreamSpec,
)


def everything(sensor: Sensor) -> list[Frame]:
    """All frames of a finite sensor."""

    def frames() -> Iterator[Frame]:
        with sensor:
            while True:
                try:
                    yield sensor.read(1.0)
                except EndOfStream:
                    return

    return list(frames())


# ---- the pump -------------------------------------------------------------------------------------


class Counter:
    """A sensor that counts; ``deaths`` names the readings that fail, ``dead_opens`` the openings."""

    def __init__(
        self,
        frames: int = 10**9,
        live: bool = True,
        pause_s: float = 0.0,
        deaths: tuple[int, ...] = (),
        dead_opens: tuple[int, ...] = (),
        error: Exception | None = None,
    ) -> None:
        self.frames, self.live, self.pause_s, self.deaths = frames, live, pause_s, deaths
        self.dead_opens, self.error = dead_opens, error
        self.readings = self.count = self.opens = self.closes = 0

    specs: Mapping[str, StreamSpec] = {"count": StreamSpec("count", (1,), ("int64",), ("1",))}
    calibration: Mapping[str, Calibration] = {}

    def open(self) -> None:
        self.opens += 1
        if self.opens in self.dead_opens:
            raise SensorError("still unplugged")

    def close(self) -> None:
        self.closes += 1

    def read(self, timeout_s: float) -> Frame:
        time.sleep(self.pause_s)
        self.readings += 1
        if self.readings in self.deaths:
            raise self.error or SensorError("unplugged")
        if self.count >= self.frames:
            raise EndOfStream
        self.count += 1
        return Frame({"count": np.array([self.count])}, self.count)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def counts(frames: Iterator[Frame]) -> list[int]:
    return [frame.host_t_ns for frame in frames]


def test_no_frame_of_a_file_is_lost_however_slow_the_consumer() -> None:
    sensor = Counter(frames=60, live=False)
    assert isinstance(sensor, Sensor)
    seen = []
    with Pump(sensor, queue_size=3) as pump:
        for frame in pump:
            seen.append(frame.host_t_ns)
            assert sensor.count - frame.host_t_ns <= 4  # the queue is bounded: the sensor waits
            if frame.host_t_ns % 20 == 0:
                time.sleep(0.05)
    assert seen == list(range(1, 61))
    assert (pump.stats.frames, pump.stats.drops, pump.stats.errors) == (60, 0, 0)
    assert (sensor.opens, sensor.closes) == (1, 1)
    assert counts(pump) == []


def test_a_live_sensor_drops_the_oldest_frames_and_counts_them() -> None:
    sensor = Counter(frames=200)
    with Pump(sensor, queue_size=8) as pump:
        while pump.stats.frames < 200:
            time.sleep(0.001)
        seen = counts(pump)
    assert seen == list(range(193, 201))
    assert pump.stats.drops == 192
    assert len(seen) + pump.stats.drops == pump.stats.frames


def test_a_sensor_without_a_word_about_it_counts_as_live() -> None:
    sensor = Counter(frames=3)
    del sensor.live
    assert Pump(sensor).live


def test_leaving_stops_a_sensor_that_never_ends() -> None:
    for live in (True, False):
        sensor, before = Counter(live=live, pause_s=0.001), threading.active_count()
        with Pump(sensor, queue_size=2) as pump:
            assert next(pump).host_t_ns >= 1
            time.sleep(0.02)
        after = sensor.readings
        assert threading.active_count() == before
        time.sleep(0.02)
        assert (sensor.readings, sensor.closes) == (after, 1)


def test_a_live_sensor_is_opened_again() -> None:
    sensor = Counter(frames=20, deaths=(5, 12, 13), dead_opens=(2,))
    with Pump(sensor, queue_size=100, backoff_s=0.001) as pump:
        seen = counts(pump)
    assert seen == list(range(1, 21))
    stats = pump.stats
    assert (stats.errors, stats.reconnects, stats.last_error) == (4, 3, "unplugged")
    assert sensor.opens == sensor.closes == 5


def test_a_sensor_that_stays_dead_raises_its_error_after_what_it_gave() -> None:
    sensor = Counter(deaths=tuple(range(4, 100)))
    with Pump(sensor, reconnect=3, backoff_s=0.001) as pump:
        assert [next(pump).host_t_ns for _ in range(3)] == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(SensorError, match="unplugged"):
                next(pump)
    assert (pump.stats.errors, pump.stats.reconnects) == (4, 3)


def test_pauses_before_opening_again_double_and_end_on_leaving() -> None:
    begin = time.monotonic()
    with Pump(Counter(deaths=tuple(range(1, 100))), backoff_s=0.02, reconnect=3) as pump:
        with pytest.raises(SensorError):
            next(pump)
        assert time.monotonic() - begin > 0.02 + 0.04 + 0.08
    begin = time.monotonic()
    with Pump(Counter(deaths=(1,)), backoff_s=20.0) as pump:
        while not pump.stats.errors:
            time.sleep(0.001)
    assert time.monotonic() - begin < 10.0
    assert counts(pump) == []


def test_errors_of_a_file_and_of_the_program_are_final() -> None:
    with Pump(Counter(live=False, deaths=(3,))) as pump:
        next(pump)
        next(pump)
        with pytest.raises(SensorError, match="unplugged"):
            next(pump)
    with (
        Pump(Counter(deaths=(1,), error=ZeroDivisionError("a bug"))) as pump,
        pytest.raises(ZeroDivisionError, match="a bug"),
    ):
        next(pump)


def test_a_sensor_that_cannot_be_opened_says_so_at_once() -> None:
    sensor = Counter(dead_opens=(1,))
    with pytest.raises(SensorError, match="still unplugged"), Pump(sensor):
        pass
    assert list(Pump(Counter())) == []  # not entered: nothing to give


def test_a_pump_runs_once() -> None:
    pump = Pump(Counter(frames=1))
    with pump:
        pass
    with pytest.raises(SensorError, match="runs once"), pump:
        pass


def test_a_sensor_that_never_returns_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Stuck(Counter):
        def read(self, timeout_s: float) -> Frame:
            release.wait()
            raise EndOfStream

    sensor = Stuck()
    with Pump(sensor, timeout_s=-9.95):  # leaving waits timeout_s and ten seconds more
        pass
    assert sensor.closes == 0
    release.set()


# ---- video ----------------------------------------------------------------------------------------


def colour(index: int) -> tuple[int, int, int]:
    """Red, green and blue of frame ``index``; far enough apart for a codec that loses detail."""
    return 10 + 20 * (index % 12), 60, 200


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray[Any, Any]:
    return np.full((height, width, 3), colour(index)[::-1], np.uint8)


def film(path: Path, frames: int = 12, fps: float = 25.0, noise: bool = False) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    rng = np.random.default_rng(0)
    for index in range(frames):
        grain = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8) if noise else np.uint8(0)
        writer.write(picture(index) + grain)
    writer.release()
    return path


def test_a_video_gives_rgb_frames_on_its_own_clock(tmp_path: Path) -> None:
    video = Video(film(tmp_path / "a.mp4"))
    assert isinstance(video, Sensor)
    assert not video.live
    assert video.specs["color"] == STREAM_SPECS["color"]
    frames = everything(video)
    assert [frame.host_t_ns for frame in frames] == [40_000_000 * i for i in range(12)]
    for index, frame in enumerate(frames):
        image = frame.data["color"]
        assert image.shape == (48, 64, 3)
        assert image.dtype == np.uint8
        assert np.abs(image.mean(axis=(0, 1)) - colour(index)).max() < 6
        image[:] = 0  # an owned copy: writing into it changes no other frame
    assert video.calibration == {}
    assert dict(video.specs)["color"].shape == (48, 64, 3)


def test_a_video_plays_from_its_start_when_opened_again(tmp_path: Path) -> None:
    video = Video(str(film(tmp_path / "a.mp4")))
    assert len(everything(video)) == len(everything(video)) == 12
    with pytest.raises(SensorError, match="is not open"):
        video.read(1.0)


def test_fps_replaces_the_time_stamps_of_a_video(tmp_path: Path) -> None:
    frames = everything(Video(film(tmp_path / "a.mp4"), fps=10))
    assert [frame.host_t_ns for frame in frames] == [100_000_000 * i for i in range(12)]
    for fps in (0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="fps must be above 0"):
            Video("a.mp4", fps=fps)


def test_rotation_noted_in_the_file_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24] = 255  # the upper half is white
    for _ in range(3):
        writer.write(image)
    writer.release()
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")
    # the transformation matrix of ISO/IEC 14496-12, here a quarter turn clockwise
    content[header + 44 : header + 80] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30
    )
    path.write_bytes(content)
    video = Video(path)
    frame = everything(video)[0].data["color"]
    assert frame.shape == (64, 48, 3)
    assert video.specs["color"].shape == (64, 48, 3)
    assert frame[:, 30:].mean() > 240
    assert frame[:, :18].mean() < 15


def test_frames_that_cannot_be_decoded_are_left_out_and_counted(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=50, noise=True)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + len(content) // 4
    content[start : start + 3000] = np.random.default_rng(3).bytes(3000)
    path.write_bytes(content)
    video = Video(path)
    with video:
        times = []
        while True:
            try:
                times.append(video.read(1.0).host_t_ns)
            except EndOfStream:
                break
        assert 1 <= video.skipped == 50 - len(times) < 12
    assert set(np.diff(times)) >= {40_000_000}
    assert times[-1] == 49 * 40_000_000  # what comes after the gap keeps its time


def test_time_stamps_that_stop_increasing_are_replaced_by_the_frame_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cv2.VideoCapture

    class Lying:
        """A capture whose container's time stands still, runs back, and leaps."""

        def __init__(self, path: str, backend: int) -> None:
            self.capture, self.times = real(path, backend), iter([0.0, 40.0, 40.0, 20.0, 200.0])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.capture, name)

        def get(self, prop: int) -> float:
            return next(self.times) if prop == cv2.CAP_PROP_POS_MSEC else self.capture.get(prop)

    monkeypatch.setattr(cv2, "VideoCapture", Lying)
    times = [frame.host_t_ns for frame in everything(Video(film(tmp_path / "a.mp4", frames=5)))]
    assert times == [40_000_000 * i for i in range(5)]


def test_videos_that_are_none(tmp_path: Path) -> None:
    good = film(tmp_path / "good.mp4").read_bytes()
    film(tmp_path / "empty.mp4", frames=0)
    (tmp_path / "nothing.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello " * 500)
    (tmp_path / "cut.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_text("no image")
    for name, sentence in {
        "absent.mp4": "there is no video",
        "empty.mp4": "is damaged, or not a video|holds no frame",
        "nothing.mp4": "is damaged, or not a video",
        "text.mp4": "is damaged, or not a video",
        "cut.mp4": "is damaged, or not a video",
        "folder": "holds no image; put png or jpg",
        "broken": "holds no frame",
    }.items():
        with pytest.raises(VideoError, match=sentence) as caught:
            Video(tmp_path / name).open()
        assert "\n" not in str(caught.value)
    # in a program of its own, because OpenCV reads how loud to be only once
    code = """
import sys
from gait3dlib.errors import VideoError
from gait3dlib.sensors.video import Video
assert "cv2" not in sys.modules
for path in sys.argv[1:]:
    try:
        Video(path).open()
    except VideoError as error:
        print(error)
"""
    paths = [str(tmp_path / name) for name in ("text.mp4", "cut.mp4", "broken")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
    assert [line for line in done.stderr.splitlines() if "is not an image" not in line] == []


def test_a_folder_of_images_is_sorted_as_people_count(tmp_path: Path) -> None:
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"frame{index}.png"), picture(index))
    (tmp_path / "frame3.png").write_text("damaged")
    (tmp_path / ".hidden.png").write_text("damaged")
    (tmp_path / "list.txt").write_text("frame0.png")
    video = Video(tmp_path)
    with video:
        times, colours = [], []
        while len(times) < 11:
            frame = video.read(1.0)
            times.append(frame.host_t_ns)
            colours.append(tuple(frame.data["color"][0, 0]))
        with pytest.raises(EndOfStream):
            video.read(1.0)
        assert video.skipped == 1
    shown = [index for index in range(12) if index != 3]
    assert colours == [colour(index) for index in shown]
    assert times == [round(index / 30 * 1e9) for index in shown]
    assert [frame.host_t_ns for frame in everything(Video(tmp_path, fps=100))][:2] == [0, 10_000_000]
    names = ["10.png", "2.png", "a10b2.png", "a10b1.png", "a9.png", "1.png"]
    assert [p.name for p in sorted(map(Path, names), key=_natural)] == [
        "1.png", "2.png", "10.png", "a9.png", "a10b1.png", "a10b2.png",
    ]  # fmt: skip


def test_images_of_different_size_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(0))
    cv2.imwrite(str(tmp_path / "2.png"), picture(0, width=32))
    with pytest.raises(VideoError, match="changes its size to 32 x 48"):
        everything(Video(tmp_path))


def test_a_webcam_that_is_not_there() -> None:
    for source in (97, "97", "/dev/video97"):
        video = Video(source)
        assert video.live
        with pytest.raises(SensorError, match="webcam 97 cannot be opened; check the cable"):
            video.open()


def test_a_webcam_stamps_its_frames_and_says_when_it_falls_silent() -> None:
    """No webcam exists here, so its driver is played."""

    class Driver:
        COLOR_BGR2RGB, CAP_PROP_FPS, CAP_PROP_POS_MSEC = cv2.COLOR_BGR2RGB, 5, 0
        cvtColor = staticmethod(cv2.cvtColor)  # noqa: N815

        def __init__(self) -> None:
            self.asked: list[tuple[int, float]] = []
            self.images = [picture(0), picture(1)]

        def VideoCapture(self, number: int) -> Driver:
            return self

        def isOpened(self) -> bool:
            return True

        def set(self, prop: int, value: float) -> None:
            self.asked.append((prop, value))

        def get(self, prop: int) -> float:
            return 12.5 if len(self.images) else 0.0

        def read(self) -> tuple[bool, Any]:
            return (True, self.images.pop(0)) if self.images else (False, None)

        def release(self) -> None:
            self.asked.append((-1, 0))

    driver = Driver()
    webcam = _Webcam(driver, 0, 15.0)  # type: ignore[arg-type]
    before = time.time_ns()
    first, second = webcam.next(), webcam.next()
    assert before <= first.host_t_ns < second.host_t_ns <= time.time_ns()
    assert (first.device_t_ns, second.device_t_ns) == (12_500_000, None)
    assert tuple(first.image[0, 0]) == colour(0)
    with pytest.raises(SensorError, match="webcam 0 gave no frame"):
        webcam.next()
    webcam.close()
    assert driver.asked == [(5, 15.0), (-1, 0)]


@pytest.mark.data
def test_a_real_video(data_dir: Path) -> None:
    video = Video(data_dir / "sports2d" / "demo.mp4")
    with video:
        assert video.specs["color"].shape == (994, 1768, 3)
        frames = [video.read(1.0) for _ in range(4)]
    assert [round(frame.host_t_ns / 1e6, 1) for frame in frames] == [0.0, 33.3, 66.7, 100.0]
    image = frames[0].data["color"].astype(float)
    red, green, blue = image.mean(axis=(0, 1))
    assert min(red, green, blue) > 20
    step = np.abs(frames[3].data["color"].astype(float) - image).mean()
    assert 0.1 < step < 20  # a static camera: something moves, most does not


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

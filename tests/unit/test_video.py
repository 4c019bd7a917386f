"""Video files, folders of images and webcams, good and bad."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sensing import everything

from gait3dlib.errors import ConfigError, SensorError, VideoError
from gait3dlib.sensors.video import Video, _natural, _Webcam
from gait3dlib.types import STREAM_SPECS, EndOfStream, Sensor


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

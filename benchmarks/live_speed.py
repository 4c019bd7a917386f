"""How fast the live loop is: perception's frames a second, and the time from the end of a walk to the name.

    python benchmarks/live_speed.py                 640x480, two people in view; two cores
    python benchmarks/live_speed.py --pose          also with keypoints (extra pose)
    python benchmarks/live_speed.py --loops 10      more walks for the latencies

Frames a second: how many depth images with two people perception takes in when they wait for it, in one
thread, counted over those in which both are seen. Latency: the same film in real time through the SDK's
software device, at 30 frames a second, from the last frame of a walk until its answer is there, recognition
by the weights included. Two walks are in it a loop. Beside the frames a second by the clock on the wall
stand those a second of one core, which other programs do not slow down. The film time until a walk is known
to be over, and the processor time of recognition, are its parts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from _live_film import LANES_M, Passing, Quality, filmed, in_a_row, view

from gait3dlib.live import Live
from gait3dlib.perception.depth import DepthWalks
from gait3dlib.perception.observing import Observer, Seen
from gait3dlib.pipeline import Pipeline
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera
from gait3dlib.types import Calibration, Frame

Row = dict[str, float | int | str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pose", action="store_true")
    parser.add_argument("--loops", type=int, default=5)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--width", type=int, default=640, choices=(424, 640))
    parser.add_argument("--weights", default="default")
    parser.add_argument("--modalities", default="silhouette")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "gait3d_live_walkers")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    quality = Quality(asked.fps, asked.width, asked.pose, asked.cache)
    camera = view(asked.width)
    pair = [Passing(i, lane, bool(i), 2) for i, lane in enumerate(LANES_M)]
    (shots,), _ = filmed(quality, [pair], camera, seed=0)
    rows = [perceived(shots, camera, pose=False)]
    if asked.pose:
        rows.append(perceived(shots, camera, pose=True))
    with Pipeline(asked.modalities.split(","), weights=asked.weights) as pipeline:
        rows.append(named(pipeline, shots, camera, asked))
    if asked.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))


class Both(Observer):
    """Counts who is in view."""

    def __init__(self) -> None:
        self.count = 0

    def people(self, t_ns: int, people: Mapping[int, Seen], camera: Calibration | None = None) -> None:
        self.count = len(people)


def perceived(shots: list[Shot], camera: Calibration, *, pose: bool) -> Row:
    """Frames a second with two people in view."""
    both, times, cpu = Both(), list[float](), 0.0
    film = list(in_a_row([shots], 30))
    cameras = {"depth": camera, "color": camera}
    known_s = []  # film time from a walk's last frame until it is known to be over
    with DepthWalks(cameras, pose=pose, observer=both) as walks:
        for shot in film:
            data = {"depth": shot.depth}
            if pose and shot.color is not None:
                data["color"] = shot.color
            started, cpu_before = time.perf_counter(), time.process_time()
            found = list(walks.take(Frame(data, shot.t_ns)))
            known_s += [shot.t_ns / 1e9 - seq.start_ns / 1e9 - seq.duration_s for seq in found]
            if both.count == 2 and not found:
                times.append(time.perf_counter() - started)
                cpu += time.process_time() - cpu_before
    return {
        "what": "depth perception, two people" + (", with pose" if pose else ""),
        "frames": len(times),
        "frames a second": round(len(times) / sum(times), 1),
        "a second of one core": round(len(times) / cpu, 1),
        "slowest 1 in 20, ms": round(1000 * sorted(times)[int(0.95 * len(times))], 1),
        "walks": len(known_s),
        "walk known to be over after, s": round(max(known_s, default=float("nan")), 2),
    }


def named(pipeline: Pipeline, shots: list[Shot], camera: Calibration, asked: argparse.Namespace) -> Row:
    """Latency of answers in real time; somebody is enrolled, so that names are searched."""
    film = list(in_a_row([shots] * asked.loops, asked.fps))
    device = SoftwareCamera(film, camera, fps=asked.fps, color=asked.pose)
    sensor = Realsense(
        width=camera.width, height=camera.height, fps=asked.fps, warm_up_s=0.0,
        picture="color" if asked.pose else "none", bus=SoftwareBus([device]),
    )  # fmt: skip
    walks = 0
    with device, Live(pipeline, sensor, pose=asked.pose, timeout_s=30.0) as live:
        while not live.ended:
            answer = live.wait(0.2)
            if answer is not None and answer.walk is not None:
                walks, last = walks + 1, answer.walk
                if not len(pipeline.gallery):
                    pipeline.enroll("P00", answer.walk)
            stats = live.stats
            if device.taken >= len(film) and stats.perceived + stats.dropped_frames >= stats.captured:
                live.stop()
        stats = live.stats
    started = time.process_time()
    pipeline.identify(last)
    seconds = time.process_time() - started
    p50, p95, p99 = (round(value, 3) for value in stats.latency_s)
    return {
        "what": f"end of walk to name, live at {asked.fps} frames a second"
        + (", with pose" if asked.pose else ""),
        "walks": walks,
        "p50 s": p50,
        "p95 s": p95,
        "p99 s": p99,
        "recognition, ms of one core": round(1000 * seconds),
        "frames dropped": stats.dropped_frames + stats.lost,
        "of": len(film),
    }


if __name__ == "__main__":
    main()

"""Hours of mishaps in minutes: a software camera is unplugged, stalls, loses frames and has its clock set.

    python tools/soak.py --minutes 20

People walk past all the while, and the live loop (capture, recorder's thread, perception, and with
--recognition recognition) goes on. Prints what was injected and what was counted, every half minute and at
the end. Exit status 1 if the loop raised, if a loss was not counted, if memory grew, or if a thread was
left behind.

Every depth image carries the number that the camera gave it in its first pixels. So what is missing between
two images of one connection is known, and must be what the adapter and the pump counted, to the frame.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib.live import Live
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera, corridor_shots
from gait3dlib.simulation.things import wall
from gait3dlib.simulation.walker import sample_walker
from gait3dlib.types import Frame

FAULTS = ("unplug", "stall", "long stall", "clock forward", "clock back", "lost frames")
EVERY_S = (2.0, 6.0)
SILENT_S = 2.0  # after which the loop takes the camera for gone
GROWTH_MB = 30.0  # in the second half: by then everything has been loaded and used once
BASE = 5000  # millimetres; numbers are written into pixels as depths from here on


class Mishaps:
    """Shots in a loop, with faults drawn by chance."""

    def __init__(self, made: list[Shot], fps: int, seed: int) -> None:
        self._made, self._fps, self._rng = made, fps, np.random.default_rng(seed)
        self.injected = dict.fromkeys(FAULTS, 0)
        self.skipped = 0  # numbers that no frame has
        self.unplug = threading.Event()
        self._number = self._taken = self._ahead_ns = 0
        self._next_s = time.monotonic() + 3.0

    def shots(self) -> Iterator[Shot]:
        """What a camera takes from now on; it ends when the camera is to be unplugged."""
        self._number = 0  # a camera that is plugged in again counts anew
        while True:
            if time.monotonic() > self._next_s and self._fault():
                return
            shot = self._made[self._taken % len(self._made)]
            depth = shot.depth.copy()
            depth[0, :2] = BASE + self._number // 10_000, BASE + self._number % 10_000
            t_ns = round(self._taken * 1e9 / self._fps) + 10**12 + self._ahead_ns
            yield Shot(depth, t_ns, None, self._number)
            self._taken, self._number = self._taken + 1, self._number + 1

    def _fault(self) -> bool:
        """One fault, now; True if the camera goes."""
        self._next_s = time.monotonic() + self._rng.uniform(*EVERY_S)
        name = str(self._rng.choice(FAULTS))
        self.injected[name] += 1
        if name == "unplug":
            self.unplug.set()
            return True
        if name.endswith("stall"):
            time.sleep(self._rng.uniform(1.2, 2.0) * SILENT_S if name == "long stall" else 0.5)
        elif name.startswith("clock"):
            sign = 1 if name.endswith("forward") else -1
            self._ahead_ns += sign * round(self._rng.uniform(1, 30) * 1e9)
        else:
            count = int(self._rng.integers(1, 20))
            self._number, self.skipped = self._number + count, self.skipped + count
        return False


class Watched(Realsense):
    """Notes at which frame each connection began."""

    begun: list[int]

    def open(self) -> None:
        super().open()
        self.begun = [*getattr(self, "begun", []), self.counts.frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--recognition", action="store_true", help="also describe the walks, by default weights"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    row = run(asked)
    if asked.json:
        print(json.dumps(row))
    else:
        for name, value in row.items():
            print(f"{name:28} {value}")
    sys.exit(0 if row["passed"] else 1)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Run for so long; returns what happened."""
    made, camera = loop(asked.fps)
    mishaps = Mishaps(made, asked.fps, asked.seed)
    bus = SoftwareBus()
    options = {"width": camera.width, "height": camera.height, "fps": asked.fps, "picture": "none"}
    sensor = Watched(**options, warm_up_s=0.0, bus=bus)  # type: ignore[arg-type]
    numbers: list[int] = []
    memory: list[tuple[float, float]] = []
    before = threading.active_count()
    plugged = plug_in(bus, mishaps, camera, asked.fps)
    started = said = time.monotonic()
    walks, error = 0, ""
    try:
        with Live(
            pipeline(asked.recognition), sensor, on_frame=lambda frame: numbers.append(number_of(frame)),
            timeout_s=SILENT_S, backoff_s=0.2, reconnect=60,
        ) as live:  # fmt: skip
            while (now := time.monotonic()) - started < 60 * asked.minutes:
                answer = live.wait(0.1)
                walks += answer is not None and answer.walk is not None
                if mishaps.unplug.is_set():
                    mishaps.unplug.clear()
                    bus.unplug(plugged.serial)
                    time.sleep(0.3)
                    plugged = plug_in(bus, mishaps, camera, asked.fps)
                if not memory or now - memory[-1][0] > 2.0:
                    memory.append((now, resident_mb()))
                if now - said > 30 and not asked.json:
                    said = now
                    print(f"{now - started:6.0f} s  {walks} walks  {live.stats}", file=sys.stderr)
            stats = live.stats
    except Exception as raised:
        error, stats = f"{type(raised).__name__}: {raised}", live.stats
    finally:
        plugged.stop()
    missing = gaps(numbers, sensor.begun)
    counted = stats.lost + stats.dropped_frames
    quarters = [memory[min(len(memory) - 1, len(memory) * i // 4)][1] for i in range(1, 5)]
    late = [mb for at, mb in memory if at - started > 30 * asked.minutes] or [memory[-1][1]]
    grown = min(late[-max(1, len(late) // 5) :]) - min(late[: max(1, len(late) // 5)])
    left = threading.active_count() - before
    return {
        "seconds": round(time.monotonic() - started),
        "frames": len(numbers),
        "walks": walks,
        **{f"injected: {name}": count for name, count in mishaps.injected.items()},
        "reconnects": stats.reconnects,
        "errors seen": stats.errors,
        "clock set, as counted": sensor.counts.clock_sets,
        "frames missing": missing,
        "frames counted as lost": counted,
        "not looked at, counted": stats.passed_over,
        "memory at each quarter, MB": [round(mb) for mb in quarters],
        "memory grown, MB": round(grown, 1),
        "most memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads left": left,
        "error": error,
        "passed": not error and missing == counted and grown < GROWTH_MB and left <= 0,
    }


def gaps(numbers: list[int], begun: list[int]) -> int:
    """Numbers that are missing between two frames of one connection."""
    starts = {start for start in begun if start}
    pairs = enumerate(pairwise(numbers), start=1)
    return sum(later - earlier - 1 for place, (earlier, later) in pairs if place not in starts)


def number_of(frame: Frame) -> int:
    high, low = (int(value) - BASE for value in frame.data["depth"][0, :2])
    return 10_000 * high + low


def pipeline(wanted: bool) -> Any:
    if not wanted:
        return None
    from gait3dlib import Pipeline

    return Pipeline(["silhouette"])


def plug_in(bus: SoftwareBus, mishaps: Mishaps, camera: Any, fps: int) -> SoftwareCamera:
    device = SoftwareCamera(mishaps.shots(), camera, fps=fps, color=False)
    bus.plug_in(device)
    device.start()
    return device


def loop(fps: int) -> tuple[list[Shot], Any]:
    """A corridor through which somebody passes every six seconds."""
    camera = look_at(
        np.array([0.0, -4.2, 1.3]), np.array([0.0, 0, 0.95]), width=424, height=240, field_of_view_deg=70
    )
    actor = Actor.walking(sample_walker(5, 0), seed=1, seconds=4.2, start_s=0.8)
    scene = Scene([actor], [wall((-6, 2.6), (6, 2.6))])
    return list(corridor_shots(scene, camera, seconds=6.0, fps=fps, seed=1, color=False)), camera


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()

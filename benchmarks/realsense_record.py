"""How fast a RealSense is recorded: a software camera in real time, through SDK, adapter and file.

    python benchmarks/realsense_record.py --seconds 60            depth, 640x480, 30 frames a second
    python benchmarks/realsense_record.py --seconds 60 --color    and colour, stored

Prints frames, losses in the SDK and in the pump, processor time and memory, as a table or --json. The cores
used include those of the software camera, which this process plays as well.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from gait3dlib.recording import RecordingWriter
from gait3dlib.sensors import Pump
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.camera import look_at
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera, corridor_shots
from gait3dlib.simulation.things import wall
from gait3dlib.simulation.walker import sample_walker

WIDTH, HEIGHT, FPS = 640, 480, 30
LOOP = 24  # shots that are rendered, noise and all; they are shown again and again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--color", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    row = run(asked.seconds, asked.color, asked.seed)
    if asked.json:
        print(json.dumps(row))
        return
    for name, value in row.items():
        print(f"{name:24} {value}")


def run(seconds: float, color: bool, seed: int = 0) -> dict[str, float | int | str]:
    """Record for so long; returns what it cost."""
    camera = look_at(
        np.array([0.0, -4.2, 1.3]), np.array([0.0, 0, 0.95]), width=WIDTH, height=HEIGHT, field_of_view_deg=70
    )
    scene = Scene(
        [Actor.walking(sample_walker(5, 0), seed=seed, seconds=LOOP / 10)], [wall((-6, 2.6), (6, 2.6))]
    )
    made = list(corridor_shots(scene, camera, seconds=LOOP / 10, fps=10, seed=seed, color=color))
    player = SoftwareCamera(_again(made, seconds), camera, color=color, fps=FPS)
    picture = "color" if color else "none"
    sensor = Realsense(picture=picture, warm_up_s=0.5, bus=SoftwareBus([player]))
    written = 0
    memory, wall_s, cpu_s = list[float](), time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.h5"
        with player, Pump(sensor, timeout_s=2.0, reconnect=0) as pump:
            writer = RecordingWriter(path, sensor.specs, calibration=sensor.calibration, store_color=color)
            with writer:
                for number, frame in enumerate(islice(pump, round((seconds - 1.0) * FPS))):
                    for name, array in frame.data.items():
                        writer.append(name, array, frame.host_t_ns, frame.device_t_ns)
                    written += 1
                    if number % FPS == 0:
                        memory.append(_resident_mb())
            drops, counts = pump.stats.drops, sensor.counts
        size = path.stat().st_size
    took = time.monotonic() - wall_s
    return {
        "streams": "depth and colour" if color else "depth",
        "seconds": round(took, 1),
        "frames written": written,
        "lost in the SDK": counts.lost,
        "dropped by the pump": drops,
        "cores used": round((time.process_time() - cpu_s) / took, 2),
        "memory at 5 s, MB": round(memory[min(5, len(memory) - 1)]),
        "memory at the end, MB": round(memory[-1]),
        "most memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "written, MB a minute": round(size / 2**20 / took * 60),
    }


def _again(made: list[Shot], seconds: float) -> Iterator[Shot]:
    for number, shot in enumerate(islice(cycle(made), round((seconds + 5) * FPS))):
        yield Shot(shot.depth, round(number * 1e9 / FPS), shot.color)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()

"""A simulated VLP-16 and OS1-32 send a corridor with three crossing walkers as true packets over UDP.

The library's own sensors, pump, recorder and perception take it from the ports at the pace of real sensors,
once over a clean network and once over one that loses 5 % of the packets, swaps 1 % and damages 0.1 %. It
prints what was counted beside what was done, and whether the three people were followed without a switch.

    python benchmarks/lidar_loopback.py --seconds 30
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib.perception import walks
from gait3dlib.recording import RecordingWriter, open_recording
from gait3dlib.sensors import Pump
from gait3dlib.sensors._packets import PacketSensor
from gait3dlib.sensors.ouster import Ouster
from gait3dlib.sensors.velodyne import Velodyne
from gait3dlib.simulation.lidar import Lidar, Mount, Spinning
from gait3dlib.simulation.packets import Packet, os1, ouster_metadata, ouster_packets, velodyne_packets, vlp16
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.things import box
from gait3dlib.simulation.walker import sample_walker
from gait3dlib.types import Frame, GaitSequence

MOUNTS = {"velodyne": Mount((1.0, -7.0, 1.3), 90.0), "ouster": Mount((-9.0, 4.0, 1.7), -20.0)}
LOST, SWAPPED, DAMAGED = 0.05, 0.01, 0.001
SILENCE_S = 3.0  # then the sensor is done
BURST = 150  # bytes; a Velodyne packet has no check sum, but a flag every 100 bytes


@dataclass
class Network:
    """What was done to the packets of a sensor, counted where it was done."""

    lost: int = 0
    reordered: int = 0
    corrupted: int = 0


@dataclass
class Outcome:
    """What came out at the other end."""

    sensor: str
    sent: int
    counts: dict[str, int]
    done: Network
    drops: int
    recorded: int
    owners: list[list[int]] = field(default_factory=list)  # a walk's actors, without repetition
    lasted_s: list[float] = field(default_factory=list)

    @property
    def counted(self) -> bool:
        wanted = (self.done.lost, self.done.reordered, self.done.corrupted)
        have = tuple(self.counts[name] for name in ("lost", "reordered", "corrupted"))
        return have == wanted and not self.counts["overrun"] and not self.drops

    @property
    def followed(self) -> bool:
        """Each walk is one person, and each of the three is one walk."""
        return sorted(self.owners) == [[0], [1], [2]]


def corridor(seconds: float, seed: int = 1) -> Scene:
    """Three people whose ways cross in the middle of a corridor, two side by side and one across them."""
    ways = [(0.0, 0.5, 0.0), (0.3, -0.4, 180.0), (1.5, 0.0, 160.0 if seconds > 8 else 70.0)]
    actors = [
        Actor.walking(
            sample_walker(seed, i), seed=seed + i, seconds=seconds, x_m=x, y_m=y, heading_deg=heading
        )
        for i, (x, y, heading) in enumerate(ways)
    ]
    walls = [box(0.0, y, length_m=60.0, width_m=0.2, height_m=3.0, name="wall") for y in (-8.5, 8.5)]
    return Scene(actors, walls)


def packets_of(scene: Scene, name: str, seconds: float) -> tuple[list[Packet], str]:
    """A sensor's packets, and its metadata."""
    spec: Lidar = vlp16() if name == "velodyne" else os1()
    sensor = Spinning(scene, spec, MOUNTS[name])
    rng = np.random.default_rng(0)
    sweeps = [sensor.sweep(rng, i / spec.hz) for i in range(int(seconds * spec.hz))]
    if name == "velodyne":
        return list(velodyne_packets(sweeps, spec, start_us=3_598_000_000)), ""
    metadata = ouster_metadata(spec)
    return list(ouster_packets(sweeps, spec, metadata)), metadata


def harmed(packets: Sequence[Packet], seed: int) -> tuple[list[Packet], Network]:
    """What a bad network makes of packets; the first and the last ones arrive, else nobody could count."""
    rng = np.random.default_rng(seed)
    inner = rng.permutation(np.arange(10, len(packets) - 10))
    lost = set(inner[: round(LOST * len(packets))].tolist())
    rest = inner[len(lost) :]
    damaged = set(rest[: max(1, round(DAMAGED * len(packets)))].tolist())
    late = set(rest[len(damaged) :][: round(SWAPPED * len(packets))].tolist())
    places = [i + (int(rng.integers(1, 8)) + 0.5 if i in late else 0.0) for i in range(len(packets))]
    order = [i for i in np.argsort(places, kind="stable").tolist() if i not in lost]
    sent, highest, reordered = [], -1, 0
    for place, i in enumerate(order):
        data = bytearray(packets[i].data)
        if i in damaged:
            at = int(rng.integers(0, len(data) - BURST + 1))
            data[at : at + BURST] = rng.bytes(BURST)
        else:
            reordered += i < highest
            highest = max(highest, i)
        sent.append(Packet(packets[min(place, len(packets) - 1)].t_s, bytes(data)))
    return sent, Network(len(lost), reordered, len(damaged))


def send(packets: Sequence[Packet], port: int, speed: float, go: Any) -> None:
    """Send packets at their times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        go.wait(60.0)
        start_s = time.monotonic()
        for packet in packets:
            wait_s = packet.t_s / speed - (time.monotonic() - start_s)
            if wait_s > 0:
                time.sleep(wait_s)
            sock.sendto(packet.data, ("127.0.0.1", port))


def receive(
    name: str, packets: Sequence[Packet], done: Network, metadata: str, scene: Scene, speed: float = 1.0
) -> Outcome:
    """Record a sensor from its port while it sends, find the walks, and hold them against the truth."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        meta = Path(folder) / "meta.json"
        meta.write_text(metadata)
        sensor: PacketSensor = Velodyne(port) if name == "velodyne" else Ouster(port, meta=str(meta))
        context = multiprocessing.get_context("fork")  # before there is a thread
        go = context.Event()
        sender = context.Process(target=send, args=(packets, port, speed, go))
        sender.start()
        path = Path(folder) / "walk.h5"
        with Pump(sensor, timeout_s=SILENCE_S, reconnect=0) as pump:
            go.set()
            with RecordingWriter(path, sensor.specs) as writer:
                tape = Tape(pump, writer)
                found = list(walks(tape))
            sender.join()
            drops = pump.stats.drops
        with open_recording(path) as recording:
            recorded = len(recording.streams.t_ns("points"))
        assert recorded == tape.frames
    outcome = Outcome(name, len(packets), sensor.counts.to_dict(), done, drops, recorded)
    for walk in found:
        outcome.owners.append(owners(walk, scene, name, tape.start_ns))
        outcome.lasted_s.append(walk.duration_s)
    return outcome


class Tape:
    """Frames written down as they pass, until the sensor falls silent."""

    def __init__(self, pump: Pump, writer: RecordingWriter) -> None:
        self.pump, self.writer, self.frames, self.start_ns = pump, writer, 0, 0

    def __iter__(self) -> Any:
        from gait3dlib.errors import SensorError

        while True:
            try:
                frame: Frame = next(self.pump)
            except (StopIteration, SensorError):
                return
            for name, array in frame.data.items():
                self.writer.append(name, array, frame.host_t_ns, frame.device_t_ns)
            self.start_ns = self.start_ns or frame.host_t_ns
            self.frames += 1
            yield frame


def owners(walk: GaitSequence, scene: Scene, name: str, start_ns: int) -> list[int]:
    """The actors that a walk follows, one after another without repetition: [1] is one person, no switch."""
    stream, mount = walk.streams["points"], MOUNTS[name]
    yaw = np.deg2rad(mount.yaw_deg)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    out: list[int] = []
    for index, t_ns in enumerate(stream.t_ns):
        place = np.median(stream.frame(index)[:, :2], axis=0) @ turn.T + mount.position[:2]
        at_s = np.array([(t_ns - start_ns) / 1e9])
        away = [np.linalg.norm(actor.at(at_s).joints[0, 0, :2] - place) for actor in scene.actors]
        nearest = int(np.argmin(away))
        # where two stand within reach of one another the nearest one says nothing
        clear = sorted(away)[1] - min(away) > 0.4
        if clear and (not out or out[-1] != nearest):
            out.append(nearest)
    return out


def run(
    seconds: float, seed: int = 1, speed: float = 1.0, sensors: Sequence[str] = tuple(MOUNTS)
) -> list[Outcome]:
    scene = corridor(seconds, seed)
    out = []
    for name in sensors:
        packets, metadata = packets_of(scene, name, seconds)
        clean = (packets, Network())
        for sent, done in (clean, harmed(packets, seed)):
            out.append(receive(name, sent, done, metadata, scene, speed))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    outcomes = run(asked.seconds, asked.seed)
    if asked.json:
        rows = [
            {**vars(o), "done": vars(o.done), "counted": o.counted, "followed": o.followed} for o in outcomes
        ]
        print(json.dumps(rows, indent=1))
        return
    for o in outcomes:
        print(
            f"{o.sensor:9} sent {o.sent:6} scans {o.recorded:4} dropped {o.drops} "
            f"lost {o.counts['lost']}/{o.done.lost} reordered {o.counts['reordered']}/{o.done.reordered} "
            f"corrupted {o.counts['corrupted']}/{o.done.corrupted} overrun {o.counts['overrun']} "
            f"walks {o.owners} {'one person each' if o.followed else 'NOT one person each'}"
        )


if __name__ == "__main__":
    main()

"""How many skeleton maps and LiDAR pictures are drawn in a second.

    python benchmarks/preprocessing_speed.py [--processes 2] [--repeats 7] [--seed 0] [--clock cpu] [--json]

A walk is 30 frames of a simulated walker, 5 m away, 64 beams (the densest that is asked for). Every process
draws the walk over and over, all at once; printed is the sum over processes of frames by the median time of
a walk. ``--clock cpu`` counts the time of the processors instead of the wall's, which says more on a machine
that does other work beside.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from _machine import machine
from numpy.typing import NDArray

from gait3dlib.modalities._lidar_pictures import jet_picture, range_picture
from gait3dlib.modalities._skeleton_maps import skeleton_maps
from gait3dlib.simulation import observe_conditions, sample_walker
from gait3dlib.simulation.conditions import Condition

FRAMES = 30
ASKED = {"skeleton maps": 1500, "LiDAR pictures, range in metres": 1000, "LiDAR pictures, jet": 1000}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Walk = tuple[NDArray[np.float32], list[NDArray[np.float32]]]


def walked(seed: int) -> Walk:
    """Keypoints ``[30, 17, 3]`` and as many clouds ``[N, 3 or more]`` of a simulated walker."""
    condition = Condition(view_deg=90.0, beams=64, lidar_distance_m=5.0)
    walker = sample_walker(seed=seed, index=0)
    streams = ("keypoints", "points")
    (seq, _), *_ = observe_conditions(
        walker, [condition], seed=seed, seconds=FRAMES / 10 + 1, streams=streams
    )
    keypoints, points = seq.streams["keypoints"], seq.streams["points"]
    return np.asarray(keypoints.data[:FRAMES]), [points.frame(index) for index in range(FRAMES)]


def draw(what: str, walk: Walk) -> int:
    """Draw the whole walk; how many pictures came out."""
    keypoints, clouds = walk
    if what == "skeleton maps":
        return len(skeleton_maps(keypoints)[0])
    picture = jet_picture if what.endswith("jet") else range_picture
    return sum(picture(cloud) is not None for cloud in clouds)


def one_process(what: str, walk: Walk, clock: str, repeats: int, _: int) -> float:
    """Pictures a second."""
    drawn, took = draw(what, walk), []
    for _ in range(repeats):
        start = CLOCKS[clock]()
        draw(what, walk)
        took.append(CLOCKS[clock]() - start)
    return drawn / statistics.median(took)


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    walk, rows = walked(args.seed), []
    with ProcessPoolExecutor(args.processes, get_context("spawn")) as pool:
        for what, asked in ASKED.items():
            job = partial(one_process, what, walk, args.clock, args.repeats)
            rates = list(pool.map(job, range(args.processes)))
            rows.append({"what": what, "per_second": sum(rates), "asked": asked})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = measured(args)
    if args.json:
        told = {name: getattr(args, name) for name in ("processes", "repeats", "seed", "clock")}
        print(json.dumps({"machine": machine(), **told, "rows": rows}, indent=1))
        return
    for row in rows:
        print(f"{row['what']:32s} {row['per_second']:8.0f} a second, {row['asked']} asked for")


if __name__ == "__main__":
    main()

"""One real walker among simulated ones: the first half of her walk enrolled, the second searched for.

    python benchmarks/real_video.py --data DIR [--walkers 100] [--seed 4711] [--json]

``DIR`` holds ``sports2d/demo.mp4`` (Sports2D, BSD-3). The gallery is the first half of the walk found in the
video and one walk each of simulated people, seen from the same side. The same search with untrained weights
is printed beside it: a real silhouette differs from simulated ones by more than who it is, so rank 1 here is
a test of the whole way from a video to a name, not a recognition rate.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib.pipeline import Pipeline
from gait3dlib.simulation import observe, sample_walker
from gait3dlib.sources import walks_of
from gait3dlib.types import GaitSequence

MODALITIES = ["silhouette", "skeleton_map"]


def the_walk(data: Path) -> GaitSequence:
    """The one walk of the clip."""
    (walk,) = walks_of(data / "sports2d" / "demo.mp4")
    return walk


def others(count: int, seed: int) -> list[GaitSequence]:
    """Simulated people seen from their left, as she is, each by a camera of their own height."""
    rng = np.random.default_rng(seed)
    return [
        observe(sample_walker(seed, i), seed=seed, view_deg=90.0, camera_height_m=float(rng.uniform(1, 2)))[0]
        for i in range(count)
    ]


def search(walk: GaitSequence, gallery: list[GaitSequence], weights: str | None) -> dict[str, Any]:
    """Rank and score of the second half against its own first half among the others."""
    pipeline = Pipeline(MODALITIES, weights=weights)
    middle = walk.duration_s / 2
    halves = [walk.window(0, middle), walk.window(middle, walk.duration_s + 1)]
    row: dict[str, Any] = {"weights": weights or "untrained"}
    for name, drop in (("both", []), ("silhouette", ["skeleton_map"]), ("skeleton_map", ["silhouette"])):
        first, second = (pipeline.embed(half, drop=drop).ravel() for half in halves)
        templates = np.stack([pipeline.embed(other, drop=drop).ravel() for other in gallery])
        parts = np.linalg.norm(first) ** 2  # parts of unit length: their number
        own, impostors = float(first @ second / parts), templates @ second / parts
        row[name] = {
            "rank": int(1 + (impostors >= own).sum()),
            "score": round(own, 4),
            "best_other": round(float(impostors.max()), 4),
        }
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--walkers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    walk = the_walk(options.data)
    frames = len(walk.streams["silhouette"])
    gallery = others(options.walkers, options.seed)
    rows = [search(walk, gallery, weights) for weights in ("default", None)]
    if options.json:
        print(json.dumps({"frames": frames, "others": len(gallery), "rows": rows}))
        return
    chance = 1 / (len(gallery) + 1)
    print(f"{frames} frames of one walk; {len(gallery)} simulated people beside her; chance {chance:.1%}")
    for row in rows:
        for name in ("both", "silhouette", "skeleton_map"):
            found = row[name]
            print(
                f"{row['weights']:>10}  {name:<12}  rank {found['rank']:>3}  "
                f"score {found['score']:.3f}  best of the others {found['best_other']:.3f}"
            )


if __name__ == "__main__":
    main()

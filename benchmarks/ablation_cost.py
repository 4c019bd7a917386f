"""What 63 subsets cost beside one plain evaluation: processor seconds on walks of random frames.

    python benchmarks/ablation_cost.py --walks 1000 --frames 30

A plain evaluation encodes every walk, fuses all modalities, and measures identity, age, BMI and gender with
intervals. An ablation does so for every subset, with paired tests. Preparing samples is the same for both and
left out, which makes the ratio larger.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

from gait3dlib.ablation._judge import Judge, Trial, Way
from gait3dlib.ablation._paired import PERMUTATIONS
from gait3dlib.ablation._run import CHUNK, _take
from gait3dlib.ablation._walks import Known
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.evaluation.impostors import subsets
from gait3dlib.export._model import _frames
from gait3dlib.fusion import weights
from gait3dlib.modalities import Sample
from gait3dlib.types import Labels, Tokens

NAMES = ("depth", "force", "lidar", "mesh", "silhouette", "skeleton_map")


def measure(walks: int, frames: int, names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """Processor seconds of both, and their ratio."""
    model = weights.untrained({name: {} for name in names}, {"dim": 128})
    rng, encoding = np.random.default_rng(0), 0.0
    tokens: dict[str, Tokens] = {}
    for name, modality in model.modalities.items():
        held: list[Sample | None] = []
        for _ in range(walks):
            made = _frames(name, modality, rng, (1, frames))[0]
            held.append(Sample(made, np.arange(frames, dtype=np.float32) / 30, (name,)))
        start = time.process_time()
        tokens[name] = encode_walks(model.encoders[name], modality, held)
        encoding += time.process_time() - start
    every = subsets(names)[::-1]
    seconds = {count: _fuse_and_score(model, tokens, every[:count], walks) for count in (1, len(every))}
    plain, ablation = encoding + seconds[1], encoding + seconds[len(every)]
    return {
        "walks": walks,
        "frames": frames,
        "subsets": len(every),
        "encoding_s": encoding,
        "plain_s": plain,
        "ablation_s": ablation,
        "ratio": ablation / plain,
    }


def _fuse_and_score(model: Any, tokens: dict[str, Tokens], every: list[tuple[str, ...]], walks: int) -> float:
    start = time.process_time()
    people = max(walks // 4, 2)
    labels = [Labels(20.0 + i % 50, "female" if i % 2 else "male", 1.7, 60.0 + i % 30) for i in range(people)]
    known = [Known(f"p{i % people:04d}", str(i // people), 90.0, labels[i % people]) for i in range(walks)]
    gallery, probe = list(range(people)), list(range(people, walks))
    trial = Trial(known, gallery, probe, np.zeros((len(probe), people), dtype=bool))
    judge = Judge(trial, {"age": 40.0, "bmi": 25.0}, 1000, PERMUTATIONS, 0)
    for names in every:
        outputs = fuse_walks(model, {name: tokens[name] for name in names}, chunk=CHUNK)
        judge.hear(Way(names), _take(outputs, gallery), _take(outputs, probe))
    judge.figures()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--walks", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(asked.walks, asked.frames)
    print(json.dumps(found) if asked.json else "\n".join(f"{k}: {v:.4g}" for k, v in found.items()))


if __name__ == "__main__":
    main()

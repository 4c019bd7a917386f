"""When do forces help: twins with one body and one mean pose who push off at another time.

    python benchmarks/forces_help.py [--pairs 24] [--test-pairs 24] [--walks 4] [--steps 300] [--json]

Every pair is one simulated body with one style of walking, twice: the ankle's push-off comes `--lag` of a
gait cycle late, or as much early. A shift in time leaves the mean pose of the cycle as it is. Each walk has
its own day (every part of the style varies a little) and its own noise: silhouettes as a segmenter gives
them, seen from the side; joints give or take `--noise-mm` in each frame.

Small encoders are trained on the walks of some pairs and asked about others: which twin of the pair is it,
when the first walk of each is enrolled? Chance is one half. Encoders: `force` with all its channels, the
same without those of force (joints), and `silhouette`. The oracle compares the day's true push-off time.
Brackets hold the 95 % interval from drawing pairs again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gait3dlib.data.sampler import draw_frames
from gait3dlib.data.tokens import encode_walks
from gait3dlib.fusion.losses import batch_all_triplet
from gait3dlib.modalities import Modality, Sample
from gait3dlib.modalities.force import Force
from gait3dlib.modalities.silhouette import Silhouette
from gait3dlib.simulation import observe_views, sample_walker
from gait3dlib.simulation.style import GaitStyle
from gait3dlib.simulation.walker import Walker
from gait3dlib.types import GaitSequence, Stream

FPS, SECONDS, DIM, FRAMES = 30.0, 2.0, 32, 45
LAG = [field.name for field in dataclasses.fields(GaitStyle)].index("push_off_lag")


def twins(seed: int, pair: int, lag: float) -> list[Walker]:
    """One body and style, with an early and a late push-off."""
    one = sample_walker(seed, pair)
    assert isinstance(one.style, GaitStyle)
    return [
        dataclasses.replace(
            one, subject=f"{one.subject}-{name}", style=dataclasses.replace(one.style, push_off_lag=shift)
        )
        for name, shift in (("early", -lag), ("late", lag))
    ]


def observed(walker: Walker, session: int, noise_m: float) -> tuple[GaitSequence, float]:
    """One walk from the side, and the day's true push-off lag."""
    asked: dict[str, Any] = {"fps": FPS, "seconds": SECONDS, "size": 64, "streams": ("silhouette",)}
    ((seq, truth),) = observe_views(walker, (90.0,), seed=session, **asked)
    joints = np.asarray(truth.arrays["joints"], np.float32)
    noise = walker.rng(77, session).normal(0, noise_m, joints.shape)
    t_ns = seq.start_ns + np.round(np.arange(len(joints)) * 1e9 / FPS).astype(np.int64)
    streams = {**seq.streams, "joints": Stream(joints + noise.astype(np.float32), t_ns, "m")}
    return dataclasses.replace(seq, streams=streams), float(truth.arrays["style"][LAG])


def train(modality: Modality, samples: list[list[list[Sample]]], steps: int, seed: int) -> torch.nn.Module:
    """An encoder trained by triplets; samples by pair, twin and walk. Most that violate are of a twin."""
    torch.manual_seed(seed)
    encoder = modality.encoder(DIM)
    rate = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(rate, 4e-3, total_steps=steps)
    rng = np.random.default_rng([seed, 1])
    encoder.train()
    for _ in range(steps):
        drawn, people = [], []
        for pair in rng.choice(len(samples), min(4, len(samples)), replace=False):
            for twin, walks in enumerate(samples[pair]):
                for walk in rng.choice(len(walks), min(4, len(walks)), replace=False):
                    drawn.append(draw_frames(walks[walk], FRAMES, rng, ordered=True))
                    people.append(2 * int(pair) + twin)
        values = encoder(modality.collate(drawn)).values
        loss = batch_all_triplet(functional.normalize(values, dim=2), torch.tensor(people))
        rate.zero_grad()
        loss.backward()
        rate.step()
        plan.step()
    return encoder.eval()


def hits(features: np.ndarray, pairs: int, walks: int) -> np.ndarray:
    """``[pairs]`` share of walks after the first that are nearer to their own twin's first walk."""
    held = features.reshape(pairs, 2, walks, -1)
    gallery, probes = held[:, :, 0], held[:, :, 1:]
    apart = np.linalg.norm(probes[:, :, :, None] - gallery[:, None, None], axis=-1)  # pair, twin, walk, twin
    right = apart.argmin(axis=-1) == np.arange(2)[None, :, None]
    return np.asarray(right.mean(axis=(1, 2)))


def row(name: str, right: np.ndarray, walks: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 9])
    drawn = [rng.choice(right, len(right)).mean() for _ in range(2000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {
        "encoder": name,
        "rank1": round(float(right.mean()), 3),
        "rank1_95": [round(float(low), 3), round(float(high), 3)],
        "chance": 0.5,
        "people": 2 * len(right),
        "probes": 2 * len(right) * (walks - 1),
    }


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    count, walks = options.pairs + options.test_pairs, options.walks
    seqs, lags = [], []
    for pair in range(count):
        for walker in twins(options.seed, pair, options.lag):
            for session in range(walks):
                seq, lag = observed(walker, session, options.noise_mm / 1000)
                seqs.append(seq)
                lags.append(lag)
    tested = slice(2 * walks * options.pairs, None)
    oracle = hits(np.array(lags)[tested, None], options.test_pairs, walks)
    rows = [row("oracle", oracle, walks, options.seed)]
    made: dict[str, Modality] = {
        "force, all channels": Force(width=16, cutoff_hz=options.cutoff_hz),
        "force, joints only": Force(width=16, cutoff_hz=options.cutoff_hz, channels="joints"),
        "silhouette": Silhouette(width=8, strips=8),
    }
    for name, modality in made.items():
        started = time.monotonic()
        found = [modality.sample(seq) for seq in seqs]
        whole = [sample for sample in found if sample is not None]
        assert len(whole) == len(seqs), f"{name} finds no evidence in {len(seqs) - len(whole)} walks"
        by_pair = [
            [whole[2 * walks * p + walks * k : 2 * walks * p + walks * (k + 1)] for k in (0, 1)]
            for p in range(options.pairs)
        ]
        encoder = train(modality, by_pair, options.steps, options.seed)
        values = functional.normalize(encode_walks(encoder, modality, whole[tested]).values, dim=2)
        rows.append(row(name, hits(values.numpy(), options.test_pairs, walks), walks, options.seed))
        rows[-1]["seconds"] = round(time.monotonic() - started, 1)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24, help="pairs to train on")
    parser.add_argument("--test-pairs", type=int, default=24)
    parser.add_argument("--walks", type=int, default=4, help="of each twin; the first is enrolled")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lag", type=float, default=0.02, help="gait cycles (people's spread is 0.008)")
    parser.add_argument("--noise-mm", type=float, default=5.0)
    parser.add_argument("--cutoff-hz", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps({"settings": vars(options), "rows": rows}))
        return
    for found in rows:
        low, high = found["rank1_95"]
        print(
            f"{found['encoder']:<22} rank-1 {100 * found['rank1']:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            f"   chance {100 * found['chance']:.0f} %   {found['people']} people, {found['probes']} probes"
        )


if __name__ == "__main__":
    main()

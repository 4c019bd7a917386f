"""How long the LiDAR encoders take, and the sparse backends beside each other.

    python benchmarks/lidar_speed.py [--seed 0] [--threads 2] [--cpu] [--json]

A walk is 20 frames of a simulated walker, 5 m away, 64 beams (the densest that is asked for). "prepare" is
from the stream to the sample, "encode" from there to tokens, both the median of several runs; memory is what
the process gained at its peak, network included. Backends: a submanifold layer of 27 weights and a strided
one, 32 channels, pairs cached, forward and backward, on the cells of that walk and on many random ones.
Not asked for, but said: how long the pairs take. ``--cpu`` counts the processor time of this process instead
of the wall's, which is the fair figure on a machine that does other work beside; take ``--threads 1`` then.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from gait3dlib import config
from gait3dlib.modalities.lidar import Lidar
from gait3dlib.simulation import observe_conditions, sample_walker
from gait3dlib.simulation.conditions import Condition
from gait3dlib.sparse import Backend, Sites, SparseTensor, StridedConv, SubmanifoldConv, backend
from gait3dlib.types import GaitSequence

FRAMES, DIM, CHANNELS = 20, 128, 32
ASKED = {"walk_s": 0.5, "torch_over_spconv": 3.0, "memory_mib": 1024}
ENCODERS = ("sparse", "points", "range_view", "paths")


Clock = Callable[[], float]


def median_s(clock: Clock, run: Callable[[], object], times: int = 15) -> float:
    """The median of several runs, the first one left out."""
    run()
    found = []
    for _ in range(times):
        start = clock()
        run()
        found.append(clock() - start)
    return statistics.median(found)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def walked(seed: int) -> GaitSequence:
    condition = Condition(view_deg=90.0, beams=64, lidar_distance_m=5.0)
    (seq, _), *_ = observe_conditions(
        sample_walker(seed=seed, index=0), [condition], seed=seed, seconds=FRAMES / 10, streams=("points",)
    )
    return seq


def encoders(clock: Clock, seq: GaitSequence) -> list[dict[str, Any]]:
    rows = []
    for name in ENCODERS:
        before = peak_mib()
        modality = config.build(Lidar, {"encoder": name})
        network = modality.encoder(DIM).eval()
        sample = modality.sample(seq)
        batch = modality.collate([sample])
        with torch.inference_mode():
            encode = median_s(clock, lambda network=network, batch=batch: network(batch))
        prepare = median_s(clock, lambda modality=modality: modality.sample(seq), 5)
        rows.append(
            {
                "encoder": name,
                "frames": len(sample),
                "parameters": sum(p.numel() for p in network.parameters()),
                "prepare_s": prepare,
                "encode_s": encode,
                "gained_mib": peak_mib() - before,
                "met": prepare + encode <= ASKED["walk_s"],
            }
        )
    return rows


def backends(clock: Clock, cells: dict[str, SparseTensor]) -> list[dict[str, Any]]:
    layers = {
        "submanifold": SubmanifoldConv(CHANNELS, CHANNELS, (3, 3, 3, 1)),
        "strided": StridedConv(CHANNELS, CHANNELS, (2, 2, 2, 1)),
    }
    rows = []
    for (where, x), (kind, layer) in ((c, k) for c in cells.items() for k in layers.items()):
        row: dict[str, Any] = {"cells": len(x), "where": where, "layer": kind}
        names: tuple[Backend, Backend] = ("torch", "spconv")
        for name in names:
            with backend(name):
                row[name] = timed(clock, layer, x)
        for part in ("forward_s", "both_s"):
            row["ratio_" + part] = row["torch"][part] / row["spconv"][part]
        row["met"] = max(row["ratio_forward_s"], row["ratio_both_s"]) <= ASKED["torch_over_spconv"]
        rows.append(row)
    return rows


def timed(clock: Clock, layer: torch.nn.Module, x: SparseTensor) -> dict[str, float]:
    """Seconds of the pairs, of a forward pass with cached pairs, and of forward and backward."""

    def both() -> None:
        rows = x.features.detach().requires_grad_()
        layer(x.with_features(rows)).features.sum().backward()

    def fresh() -> None:
        sites = Sites(x.sites.coords, x.sites.shape, x.sites.walks)
        layer(SparseTensor(x.features, sites))

    with torch.no_grad():
        whole = median_s(clock, fresh, 5)
        forward = median_s(clock, lambda: layer(x))
    return {"pairs_s": max(whole - forward, 0.0), "forward_s": forward, "both_s": median_s(clock, both, 7)}


def clouds(seq: GaitSequence, seed: int) -> dict[str, SparseTensor]:
    modality = config.build(Lidar, {})
    sites = modality.encoder(DIM).voxels(modality.collate([modality.sample(seq)])).sites
    generator = torch.Generator().manual_seed(seed)
    shape = (40, 40, 40, 8)
    random = torch.stack([torch.randint(n, (42_000,), generator=generator) for n in (1, *shape)], dim=1)
    found = {"a walk": sites, "random": Sites.of(random, shape, 1)[0]}
    rows = {name: torch.randn(len(held), CHANNELS, generator=generator) for name, held in found.items()}
    return {name: SparseTensor(rows[name], held) for name, held in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    seq = walked(options.seed)
    clock = time.process_time if options.cpu else time.perf_counter
    rows, beside = encoders(clock, seq), backends(clock, clouds(seq, options.seed))
    if options.json:
        print(json.dumps({"asked": ASKED, "encoders": rows, "backends": beside, "peak_mib": peak_mib()}))
        return
    print(f"{'encoder':<12}{'frames':>7}{'parameters':>12}{'prepare ms':>12}{'encode ms':>11}{'MiB':>7}  met")
    for row in rows:
        print(
            f"{row['encoder']:<12}{row['frames']:>7}{row['parameters']:>12,}{1e3 * row['prepare_s']:>12.1f}"
            f"{1e3 * row['encode_s']:>11.1f}{row['gained_mib']:>7.0f}  {'yes' if row['met'] else 'NO'}"
        )
    print(f"\n{'cells':<18}{'layer':<13}{'':>12}{'pairs ms':>10}{'forward ms':>12}{'both ms':>10}  met")
    for row in beside:
        for name in ("torch", "spconv"):
            held = row[name]
            print(
                f"{row['where'] + ' ' + str(row['cells']):<18}{row['layer']:<13}{name:>12}"
                f"{1e3 * held['pairs_s']:>10.1f}{1e3 * held['forward_s']:>12.2f}{1e3 * held['both_s']:>10.2f}"
            )
        print(
            f"{'':<31}{'times':>12}{'':>10}{row['ratio_forward_s']:>12.2f}{row['ratio_both_s']:>10.2f}"
            f"  {'yes' if row['met'] else 'NO'}"
        )
    print(f"\nthe whole process at its peak: {peak_mib():.0f} MiB, of {ASKED['memory_mib']}")


if __name__ == "__main__":
    main()

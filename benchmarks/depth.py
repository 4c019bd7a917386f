"""What depth adds to silhouettes: walkers whom no outline tells apart, and the frozen world.

    python benchmarks/depth.py [--seed 0] [--json]
    gait3d simulate --benchmark world_v1 --split test --streams silhouette,keypoints,depth --out DIR
    gait3d simulate --benchmark world_v1 --split impostors --streams silhouette,keypoints,depth --out DIR
    python benchmarks/depth.py --data DIR --weights WEIGHTS [--people 200] [--seed 0] [--json]

The first form makes walkers who differ from front to back and in nothing else (belly and stoop on one average
body, `gait3dlib.simulation.figure`), seen from the front by a simulated D435 at 2, 4 and 6 m; trains a depth
encoder and a silhouette encoder on some of them by the same recipe, and searches others. Both learn the
figure's numbers beside identity, as the shipped encoders learn what the simulator knows. ``--figures DIR``
keeps (or reads) the walks: recordings in ``train`` and ``test``, sessions ``gallery-2m``, ``probe-2m``, ...

The second form searches people of the frozen world with WEIGHTS, a folder that knows depth, by depth,
silhouette, both, and everything that one camera gives; beside chance, baselines and the oracle.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simulated
import torch
import trial as trials
from numpy.typing import NDArray
from trial import ONE, SEVERAL

from gait3dlib.cli._options import open_pipeline
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.errors import ConfigError
from gait3dlib.evaluation import PeopleBootstrap, gait_energy_image, rank, similarity
from gait3dlib.fusion import weights
from gait3dlib.modalities import Sample
from gait3dlib.modalities._depth_frames import unpack
from gait3dlib.recording import Truth, save
from gait3dlib.simulation.dataset import on_all_cores
from gait3dlib.simulation.figure import draw_figure, observe_figure
from gait3dlib.simulation.frozen import digest, load
from gait3dlib.training import train_encoder
from gait3dlib.types import Labels

DISTANCES_M = (2.0, 4.0, 6.0)
NEAREST_M, FARTHEST_M = 1.9, 6.5  # of walks to train on
PROBES = 2
NAMES = ("depth", "silhouette")
ONE_CAMERA = ("silhouette", "skeleton_map", "depth")
HELD_OUT = 4  # of the walkers to train on, to watch the training
SCHEDULE = {"walks": 4, "frames": 15, "lr": 0.002, "ema": 0.99, "validate_every": 10_000}
SETTINGS = {"encoder": "paths", "width": 192, "strips": 8}  # of the shipped depth encoder; of both here
FIGURE_WEIGHT = 5.0  # of the figure's numbers, beside identity


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- walkers whom no outline tells apart ----------------------------------------------------------


def make(home: Path, seed: int, walks: int, index: int) -> None:
    """One walker's recording: ``walks`` to train on, or those of the test where there are none."""
    subject = f"figure{seed}-{index:04d}"
    path = home / f"{subject}.h5"
    if path.exists():
        return
    figure, rng = draw_figure(seed, index), np.random.default_rng([seed, index])
    if walks:
        asked = [(float(rng.uniform(NEAREST_M, FARTHEST_M)), f"train-{k}") for k in range(walks)]
    else:
        sides = ["gallery", *["probe"] * PROBES]
        asked = [(at, f"{side}-{at:.0f}m") for at in DISTANCES_M for side in sides]
    seeds = rng.integers(2**31, size=len(asked))
    truth = Truth(Labels(), {"figure": np.array(dataclasses.astuple(figure))})
    save(
        path,
        *(
            observe_figure(figure, seed=int(s), distance_m=at, subject=subject, session=session)
            for s, (at, session) in zip(seeds, asked, strict=True)
        ),
        truths=[truth] * len(asked),
    )


def make_figures(home: Path, seed: int, train: tuple[int, int], test: int, jobs: int) -> None:
    """Recordings of some walkers to train on, and of others."""
    for name, first, people, walks in (("train", 0, *train), ("test", train[0], test, 0)):
        (home / name).mkdir(parents=True, exist_ok=True)
        say(f"{people} walkers: {name}")
        for _ in on_all_cores(partial(make, home / name, seed, walks), range(first, first + people), jobs):
            pass


def search(score: NDArray[Any], folder: WalkFolder, name: str, seed: int) -> list[dict[str, Any]]:
    """Rank-1 of the probes of each distance in that distance's gallery; scores of all walks with all."""
    rows = []
    sessions = np.array([walk.session for walk in folder.walks])
    people = np.array([walk.subject for walk in folder.walks])
    for at in DISTANCES_M:
        gallery = np.flatnonzero(sessions == f"gallery-{at:.0f}m")
        probes = np.flatnonzero(sessions == f"probe-{at:.0f}m")
        found = rank(score[np.ix_(probes, gallery)], people[probes].tolist(), people[gallery].tolist())
        boot = PeopleBootstrap.of(people[probes].tolist(), seed=seed)
        hits = found.hits(1).astype(np.float64)
        rows.append(
            {
                "name": name,
                "distance_m": at,
                "people": boot.people,
                "probes": len(probes),
                "chance": found.chance(1),
                "rank1": boot.rate(float(hits.mean()), boot.means(hits)).to_dict(),
            }
        )
    return rows


def encoder_scores(home: Path, name: str, seed: int, steps: int, jobs: int) -> tuple[NDArray[Any], float]:
    """Train one encoder on the walkers of ``train``; scores of the walks of ``test``, and seconds a step."""
    data, out = home / "train", home / f"run-{seed}" / name
    settings = weights.resolved(name, SETTINGS)
    WalkFolder(data).prepare(name, settings, jobs=jobs)
    start = time.monotonic()
    people = len(WalkFolder(data).subjects)
    path = train_encoder(
        modality={name: dict(SETTINGS)},
        data=data,
        out=out,
        dim=64,
        validation_people=HELD_OUT,
        schedule={**SCHEDULE, "people": min(16, people - HELD_OUT), "steps": steps},
        attribute_weight=0.0,
        traits=["figure"],
        trait_weight=FIGURE_WEIGHT,
        supervisor_weight=0.0,
        seed=seed,
        report=say,
    )
    step_s = (time.monotonic() - start) / steps
    modality = weights.make_modality(name, settings)
    encoder = modality.encoder(64)
    weights.load_encoder(encoder, path, settings)
    samples = WalkFolder(home / "test").prepare(name, settings, jobs=jobs)
    values = encode_walks(encoder, modality, samples).values.numpy()
    return similarity(values, values), step_s


def mean_pictures(samples: list[Sample | None], *, depth: bool) -> NDArray[Any]:
    """The mean silhouette or relief of every walk, flattened: the plain baselines."""
    out = []
    for sample in samples:
        if sample is None:
            out.append(np.zeros((64, 44)))
        elif depth:
            _, relief, known = unpack(torch.from_numpy(sample.frames), torch.float64)
            out.append((relief.sum(dim=0) / known.sum(dim=0).clamp(min=1))[0].numpy())
        else:
            out.append(gait_energy_image(sample.frames[:, 0]).astype(np.float64))
    return np.stack(out).reshape(len(out), -1)


def planted(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Rank-1 by distance of both encoders and both baselines."""
    seed, jobs = options.seed, options.jobs
    make_figures(home, seed, (options.train_people, options.walks), options.test_people, jobs)
    test = WalkFolder(home / "test")
    rows, pace = [], {}
    for name in NAMES:
        score, pace[name] = encoder_scores(home, name, seed, options.steps, jobs)
        rows += search(score, test, name, seed)
    for name in NAMES:
        samples = test.prepare(name, weights.resolved(name, {}), jobs=jobs)
        flat = mean_pictures(samples, depth=name == "depth")
        rows += search(similarity(flat, flat, metric="euclidean"), test, f"mean {name} picture", seed)
    return {
        "train_people": options.train_people,
        "walks": options.walks,
        "steps": options.steps,
        "seconds_a_step": pace,
        "rows": rows,
    }


# ---- the frozen world -----------------------------------------------------------------------------


def frozen(options: argparse.Namespace) -> dict[str, Any]:
    """Rank-1 by depth, silhouette, both, and one camera's modalities; baselines and oracle beside."""
    rules = load(options.benchmark)
    trial = trials.read(options.data, rules, options.people)
    pipeline = open_pipeline(options.weights, None)
    lacking = [name for name in NAMES if name not in pipeline.modalities]
    if lacking:
        raise ConfigError(f"--weights {options.weights}: these weights do not know {' and '.join(lacking)}")
    tokens = {}
    for name in (name for name in ONE_CAMERA if name in pipeline.modalities):
        say(f"encoding {name}")
        modality = pipeline.model.modalities[name]
        samples = trial.folder.prepare(name, dict(vars(modality)), jobs=options.jobs)
        chosen = [samples[i] for i in trial.chosen]
        tokens[name] = encode_walks(pipeline.model.encoders[name], modality, chosen, device=pipeline.device)
    matrices = {}
    for names in dict.fromkeys([("depth",), ("silhouette",), NAMES[::-1], tuple(tokens)]):
        given = fuse_walks(pipeline.model, {name: tokens[name] for name in names})
        matrices[" + ".join(names)] = simulated.embedding_scores(given, trial.gallery)
    matrices["gait energy image"] = simulated.energy_images(trial, options.jobs)
    truth = simulated.Oracle(trial)
    if truth.there:
        matrices |= {f"oracle: {what}": truth.scores(what) for what in simulated.ORACLES[2:]}
    found = [
        {"name": name, **trial.identification(matrix, row, which, options.seed)}
        for which in (SEVERAL, ONE)
        for row in trial.rows()
        for name, matrix in matrices.items()
    ]
    return {
        "world": options.benchmark,
        "sha256": digest(options.benchmark),
        "fingerprint": rules.fingerprint,
        "weights": options.weights,
        "identification": found,
    }


def show(report: dict[str, Any]) -> None:
    if report["planted"] is not None:
        for row in report["planted"]["rows"]:
            chance = f"chance {100 * row['chance']:.1f} % of {row['people']} people"
            figure = simulated.percent(row["rank1"])
            print(f"{row['distance_m']:.0f} m  {row['name']:26} rank-1 {figure:22} {chance}")
    if report["frozen"] is not None:
        for row in report["frozen"]["identification"]:
            place = f"{row['gallery']}, {row['row']}"
            print(f"{place:28} {row['name']:38} rank-1 {simulated.percent(row['rank1'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="walks of the frozen world with depth")
    parser.add_argument("--weights", help="folder of weights that know depth; with --data")
    parser.add_argument("--benchmark", default="world_v1")
    parser.add_argument("--people", type=int, help="how many are enrolled; with --data")
    parser.add_argument("--figures", type=Path, help="folder of the walkers who differ in depth alone")
    parser.add_argument("--train-people", type=int, default=600)
    parser.add_argument("--walks", type=int, default=5, help="of each of them")
    parser.add_argument("--test-people", type=int, default=30)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "depth", "seed": options.seed, "planted": None, "frozen": None}
    if options.data is not None:
        if options.weights is None:
            parser.error("--data needs --weights: a folder of weights that know depth")
        report["frozen"] = frozen(options)
    if options.data is None or options.figures is not None:
        with tempfile.TemporaryDirectory() as folder:
            report["planted"] = planted(options.figures or Path(folder), options)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()

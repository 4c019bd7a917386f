"""Mesh-Gait on people it was never trained on: where it sees their joints, and what that is good for.

    gait3d train configs/mesh.yaml --out runs/mesh --set data=TRAIN
    gait3d simulate --benchmark world_v1 --split test --out DIR
    python benchmarks/mesh_gait.py --data DIR --mesh runs/mesh/mesh.safetensors [--seed 0] [--json]

``DIR`` may hold other people, laid out alike. The network sees silhouettes; a simulator tells where the
joints were. Errors are of places relative to the pelvis, in mm: what one camera's outline cannot tell, the
scale of the picture, is taken from the truth, for the network and for both baselines. The mean pose is that
of the other half of the people: in the camera's axes it knows nothing, "facing" it is told which way the
person faces (so it is far stronger). "Nearer leg" is the share of frames with ankles more than 10 cm apart
along the line of sight in which the right one is said to be nearer; by chance half.

Identification is that of ``benchmarks/simulated.py`` on the encoders' own tokens, before any fusion; of both
together the mean of the cosines. Other clothing than in the gallery, seen from at least 30 degrees away.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simulated
import torch
import trial as trials
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from trial import ONE, SEVERAL, Trial

from gait3dlib._resources import weights_folder
from gait3dlib.data.tokens import encode_walks
from gait3dlib.errors import Gait3DError, WeightsError
from gait3dlib.evaluation import PeopleBootstrap, similarity
from gait3dlib.fusion import weights
from gait3dlib.modalities import Modality, Sample
from gait3dlib.simulation.frozen import load
from gait3dlib.training.head import EncoderAndHead, Head
from gait3dlib.training.told import Told

F64 = NDArray[np.float64]
JOINTS, LEFT_HIP, RIGHT_HIP, ANKLES = 24, 1, 2, (7, 8)
APART_M = 0.1  # ankles along the line of sight
AWAY = 2  # the axis that leads away from the camera


@dataclass(frozen=True, eq=False)
class Encoder:
    """A modality with the weights that a file holds for it."""

    name: str
    modality: Modality
    settings: dict[str, Any]
    network: nn.Module
    dim: int
    held: list[str]

    @classmethod
    def read(cls, path: Path, name: str) -> Encoder:
        tensors, meta = weights.read(path)
        if meta.get("name") != name:
            raise WeightsError(f"{path}: holds no weights for {name!r}")
        settings = weights.resolved(name, meta["config"])
        modality = weights.make_modality(name, settings)
        network = modality.encoder(meta["dim"]).eval()
        weights.load_encoder(network, path, settings)
        return cls(name, modality, settings, network, meta["dim"], sorted(tensors))

    def samples(self, trial: Trial, jobs: int | None) -> list[Sample | None]:
        found = trial.folder.prepare(self.name, self.settings, jobs=jobs)
        return [found[i] for i in trial.chosen]


# ---- joints ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Poses:
    """Joints of frames ``[n, 24, 3]`` from the pelvis, in metres: right, down and away from the camera.

    ``walk [n]`` says of which walk; ``seen`` are the network's, ``true`` the simulator's.
    """

    walk: NDArray[np.int64]
    seen: F64
    true: F64


@torch.inference_mode()
def poses(encoder: Encoder, trial: Trial, samples: list[Sample | None], jobs: int | None) -> Poses:
    """What is seen and what is true of every frame whose truth is told."""
    rows = [i for i, sample in enumerate(samples) if sample is not None]
    held = [sample for sample in samples if sample is not None]
    told = Told([trial.walks[i] for i in rows], held, encoder.name, encoder.settings, jobs)
    walk, seen, true = [], [], []
    for row, sample, truth in zip(rows, held, told.of_walk, strict=True):
        if truth is None:
            continue
        heat = encoder.network.look(encoder.modality.collate([sample])).heat
        if heat is None:
            continue
        scale = truth[:, -1:, None].astype(np.float64)  # metres a unit
        joints = truth[:, : 3 * JOINTS].astype(np.float64).reshape(-1, JOINTS, 3)
        points = heat.points[:, :JOINTS].double().numpy()
        known = np.isfinite(joints).all(axis=(1, 2)) & np.isfinite(scale[:, 0, 0])
        walk.append(np.full(int(known.sum()), row))
        seen.append(((points - points[:, :1]) * scale)[known])
        true.append(((joints - joints[:, :1]) * scale)[known])
    if not walk:
        raise WeightsError("no walk tells where its joints were; simulate a benchmark's split anew")
    return Poses(np.concatenate(walk), np.concatenate(seen), np.concatenate(true))


def facing(true: F64) -> F64:
    """``[n, 3, 3]`` turns about the vertical from the camera's axes to the person's own, by the hips."""
    across = true[:, LEFT_HIP] - true[:, RIGHT_HIP]
    angle = np.arctan2(across[:, AWAY], across[:, 0])
    turn = np.zeros((len(true), 3, 3))
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 0, 2], turn[:, 2, 0], turn[:, 1, 1] = np.sin(angle), -np.sin(angle), 1.0
    return turn


def mean_poses(true: F64, half: NDArray[np.bool_]) -> tuple[F64, F64]:
    """For every frame the mean pose of the other half of the people: as the camera sees it, and facing as the
    person does."""
    turn = facing(true)
    own = np.einsum("nij,nkj->nki", turn, true)
    plain, faced = np.empty_like(true), np.empty_like(true)
    for side in (half, ~half):
        plain[side] = true[~side].mean(axis=0)
        faced[side] = np.einsum("nji,kj->nki", turn[side], own[~side].mean(axis=0))
    return plain, faced


def joint_rows(found: Poses, trial: Trial, seed: int) -> list[dict[str, Any]]:
    """Mean distance of the joints in mm, with intervals over people, in some cells."""
    people = trial.people[found.walk]
    half = np.isin(people, np.unique(people)[::2])
    plain, faced = mean_poses(found.true, half)
    names = {"Mesh-Gait": found.seen, "mean pose": plain, "mean pose, facing": faced}
    out = []
    for cell in ("normal", *trial.rules.groups, "all"):
        rows = np.flatnonzero(np.isin(trial.cells[found.walk], trial.cells_of(cell)))
        if not len(rows):
            continue
        boot = PeopleBootstrap.of(people[rows].tolist(), 1000, seed)
        entry: dict[str, Any] = {"row": cell, "people": boot.people, "frames": len(rows)}
        for name, joints in names.items():
            error = 1000 * np.linalg.norm(joints[rows] - found.true[rows], axis=2).mean(axis=1)
            entry[name] = boot.measure(float(error.mean()), boot.means(error)).to_dict()
        entry["share of the mean pose"] = entry["Mesh-Gait"]["value"] / entry["mean pose"]["value"]
        entry["nearer leg"] = nearer_leg(found.seen[rows], found.true[rows])
        out.append(entry)
    return out


def nearer_leg(seen: F64, true: F64) -> float:
    """Share of frames in which the nearer ankle is said to be nearer."""
    said, is_so = (joints[:, ANKLES[0], AWAY] - joints[:, ANKLES[1], AWAY] for joints in (seen, true))
    clear = np.abs(is_so) > APART_M
    return float((np.sign(said) == np.sign(is_so))[clear].mean()) if clear.any() else float("nan")


# ---- names ----------------------------------------------------------------------------------------


def token_scores(encoder: Encoder, trial: Trial, samples: list[Sample | None]) -> NDArray[Any]:
    """Cosines ``[n, gallery]`` of an encoder's own tokens."""
    tokens = encode_walks(encoder.network, encoder.modality, samples)
    unit = functional.normalize(tokens.values, dim=2).numpy()
    unseen = ~tokens.real.any(dim=1).numpy()
    return trials.floor(similarity(unit, unit[trial.gallery]), unseen, trial.gallery)


@torch.inference_mode()
def mesh_is_not_there(encoder: Encoder, samples: list[Sample | None]) -> dict[str, Any]:
    """Embeddings with the mesh part beside the encoder, as in training, and without it."""
    batch = encoder.modality.collate([s for s in samples if s is not None][:32])
    alone = encoder.network(batch).values
    supervisor = encoder.modality.supervisor()
    assert supervisor is not None
    head = Head(encoder.dim, alone.shape[1], 2)
    both = EncoderAndHead(encoder.network, head, supervisor).eval()
    beside = both(batch.frames, batch.lengths, batch.t_s)[0]
    mesh = {f"supervisor.{name}" for name, _ in supervisor.named_parameters()}
    return {
        "equal": bool(torch.equal(alone, beside)),
        "largest_difference": float((alone - beside).abs().max()),
        "parameters": sum(p.numel() for p in encoder.network.parameters()),
        "mesh_parameters": sum(p.numel() for p in supervisor.parameters()),
        "in_weights_file": sum(name in mesh or name.startswith("supervisor") for name in encoder.held),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    rules = load(options.benchmark)
    trial = trials.read(options.data, rules, options.people)
    mesh = Encoder.read(options.mesh, "mesh")
    plain = Encoder.read(options.silhouette, "silhouette")
    samples = mesh.samples(trial, options.jobs)
    simulated.say("joints")
    joints = joint_rows(poses(mesh, trial, samples, options.jobs), trial, options.seed)
    simulated.say("tokens")
    scores = {
        "silhouette": token_scores(plain, trial, plain.samples(trial, options.jobs)),
        "mesh": token_scores(mesh, trial, samples),
    }
    scores["silhouette + mesh"] = (scores["silhouette"] + scores["mesh"]) / 2
    scores["gait energy image"] = simulated.energy_images(trial, options.jobs)
    rows = [row for row in (*rules.groups, "normal", "all") if row in trial.rows()]
    found = [
        {"name": name, **trial.identification(matrix, row, which, options.seed)}
        for which in (SEVERAL, ONE)
        for row in rows
        for name, matrix in scores.items()
    ]
    return {
        "benchmark": "mesh_gait",
        "world": options.benchmark,
        "fingerprint": rules.fingerprint,
        "weights": [str(options.silhouette), str(options.mesh)],
        "seed": options.seed,
        "joints": joints,
        "identification": found,
        "without_mesh": mesh_is_not_there(mesh, samples),
    }


def show(report: dict[str, Any]) -> None:
    print("joints, mm from the truth")
    for r in report["joints"]:
        figures = [
            f"{name} {r[name]['value']:.0f} [{r[name]['low']:.0f}, {r[name]['high']:.0f}]"
            for name in ("Mesh-Gait", "mean pose", "mean pose, facing")
        ]
        print(
            f"  {r['row']:8} {'; '.join(figures)}; {r['share of the mean pose']:.2f} of the mean "
            f"pose's; nearer leg {100 * r['nearer leg']:.0f} %   {r['people']} people, {r['frames']} frames"
        )
    before = None
    for r in report["identification"]:
        if (r["gallery"], r["row"]) != before:
            before = (r["gallery"], r["row"])
            print(f"\n{r['row']}, gallery of {r['gallery']}: chance {100 * r['chance']:.1f} %")
        print(f"  {r['name']:20} rank-1 {simulated.percent(r['rank1'])}   {r['probes']} probes")
    w = report["without_mesh"]
    print(
        f"\nembeddings with and without the mesh part are {'equal' if w['equal'] else 'NOT equal'} (largest "
        f"difference {w['largest_difference']:g}); {w['in_weights_file']} of its {w['mesh_parameters']} "
        f"parameters lie in the weights file"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--benchmark", default="world_v1")
    parser.add_argument("--mesh", type=Path, default=weights_folder() / "mesh.safetensors")
    parser.add_argument("--silhouette", type=Path, default=weights_folder() / "silhouette.safetensors")
    parser.add_argument("--people", type=int, help="how many are enrolled")
    parser.add_argument("--jobs", type=int, help="processes that prepare walks; one a core by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        report = measure(options)
    except Gait3DError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if options.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()

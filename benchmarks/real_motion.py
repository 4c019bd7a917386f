"""Real people who shaped neither prior nor weights, told apart by movement alone.

    python benchmarks/real_motion.py --data DIR [--weights default] [--seed 0] [--json]

``DIR`` holds ``cmu/<subject>/*.bvh`` and ``biomechzoo/*.npz``. Everybody is taken whom
``gait3dlib/simulation/real_people.yaml`` does not list under ``prior`` and who walks straight in at least two
recordings. The first recording is enrolled, all others are searched for. Every walk is its mean stride.

Baseline: the nearest neighbour on Fourier coefficients of the joint angles (rotation vectors of the 20
local joint rotations about their means, 6 harmonics), neither speed nor size; once with each angle's mean
over the cycle (posture, and how the markers sat) and once without.
With ``--weights`` (a folder, "default", or "none" for untrained ones) the same strides are walked by the
average body, seen by cameras, and scored with ``gait3dlib.protocols``.

Adults and children were measured with different markers, which tell the two groups apart, so the figures
within each group stand beside those of all.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gait3dlib.errors import InputError
from gait3dlib.evaluation import IdentificationReport, evaluate_identification
from gait3dlib.recording import save
from gait3dlib.simulation.mocap import Person, Stride, real_walks, split, straight_strides
from gait3dlib.simulation.mocap.inverse import rotation_vector
from gait3dlib.simulation.mocap.strides import SAMPLES, mean_rotation
from gait3dlib.simulation.prior import SEGMENTS, TERMS, GaitPrior, fourier, local
from gait3dlib.simulation.replay import mean_coefficients, replayed, replayed_cycle
from gait3dlib.simulation.world import PosedWalk, View, place_camera
from gait3dlib.types import GaitSequence, Meta

Array = NDArray[np.float64]
Walks = dict[Person, list[list[Stride]]]
VIEWS = (45.0, 90.0, 135.0)
SECONDS = 2.0


def kept_out_walks(data: Path) -> Walks:
    """Straight strides by person and recording, of people with two recordings that have some."""
    prior = split().prior
    found: Walks = {}
    for walk in real_walks(data, lambda person: person not in prior):
        if strides := straight_strides(walk.capture):
            found.setdefault(walk.person, []).append(strides)
    walks = {person: own for person, own in found.items() if len(own) > 1}
    if len(walks) < 2:
        raise InputError(f"{data} has fewer than two people with two straight walks; add recordings")
    return walks


def joint_angles(walks: Walks) -> list[Array]:
    """Fourier coefficients of each walk's joint angles, in the order of the walks."""
    prior, phase = GaitPrior.load(), np.arange(SAMPLES) / SAMPLES
    means = [mean_coefficients(strides, prior) for own in walks.values() for strides in own]
    rotations = [local(prior.decode(mean, phase)[0])[:, list(SEGMENTS)] for mean in means]
    centre = mean_rotation(np.concatenate(rotations))
    return [fourier(rotation_vector(centre.swapaxes(-1, -2) @ r).reshape(SAMPLES, -1)) for r in rotations]


def baseline(walks: Walks, seed: int, posture: bool = True) -> IdentificationReport:
    """Nearest neighbour on joint-angle Fourier coefficients; each person's first walk is enrolled.

    Without ``posture`` the angles' means are left out: markers stay on a person from one recording to the
    next, and so does what they misplace.
    """
    features = np.array(joint_angles(walks)).reshape(-1, 3 * len(SEGMENTS), TERMS)
    features = features[:, :, 0 if posture else 1 :].reshape(len(features), -1)
    people = [str(person) for person, own in walks.items() for _ in own]
    first = [number == 0 for own in walks.values() for number in range(len(own))]
    gallery, probe = np.flatnonzero(first), np.flatnonzero(~np.array(first))
    away = np.linalg.norm(features[probe, None] - features[None, gallery], axis=2)
    return evaluate_identification(
        -away, [people[i] for i in probe], [people[i] for i in gallery], ranks=(1,), seed=seed
    )


def seen(walks: Walks, seed: int) -> dict[Person, list[GaitSequence]]:
    """Every walk by the average body, seen from ``VIEWS``; each recording is a session."""
    out: dict[Person, list[GaitSequence]] = {}
    for person_number, (person, own) in enumerate(walks.items()):
        for number, strides in enumerate(own):
            rng = np.random.default_rng([seed, person_number, number])
            cycle = replayed_cycle(strides)
            walker, motion = replayed(str(person), cycle, start=rng.random(), seconds=SECONDS)
            posed = PosedWalk(walker, motion)
            for view in VIEWS:
                camera = place_camera(View(view), SECONDS)
                streams = posed.seen_by(camera, rng, ("silhouette", "keypoints"), 96)
                meta = Meta(person.source, f"{number:02d}", view)
                out.setdefault(person, []).append(GaitSequence(streams, walker.subject, meta))
    return out


def network(
    walks: dict[Person, list[GaitSequence]], weights: str, least_degrees: float, seed: int
) -> dict[str, IdentificationReport]:
    """Reports of a pipeline, one a subset of modalities and the gait energy image."""
    from gait3dlib.pipeline import Pipeline
    from gait3dlib.protocols import evaluate

    pipeline = Pipeline(["silhouette", "skeleton_map"], weights=None if weights == "none" else weights)
    rules = {"gallery_view_deg": None, "min_degrees": least_degrees, "other_session": True}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "rules.yaml").write_text(yaml.safe_dump(rules))
        for person, sequences in walks.items():
            save(root / f"{person}.h5", *sequences)
        report = evaluate(pipeline, root, protocol=root / "rules.yaml", seed=seed)
    return dict(report.identification)


def row(name: str, report: IdentificationReport) -> dict[str, Any]:
    rank = report.rank[1]
    return {
        "name": name,
        "people": report.people,
        "probes": report.probes,
        "chance": report.chance,
        "rank1": rank.value,
        "low": rank.low,
        "high": rank.high,
        "wilson": list(report.rank1_wilson),
    }


def groups(walks: dict[Person, Any]) -> dict[str, list[Person]]:
    """All people, and those of each source with at least two."""
    out = {"all": list(walks)}
    for source in sorted({person.source for person in walks}):
        own = [person for person in walks if person.source == source]
        if 1 < len(own) < len(walks):
            out[source] = own
    return out


def tables(walks: Walks, weights: Sequence[str], seed: int) -> dict[str, list[dict[str, Any]]]:
    """Rows by group of people."""
    rendered = seen(walks, seed) if weights else {}
    out = {}
    for group, people in groups(walks).items():
        own = {p: walks[p] for p in people}
        rows = [row("joint-angle Fourier", baseline(own, seed))]
        rows.append(row("joint-angle Fourier without mean posture", baseline(own, seed, posture=False)))
        for name in weights:
            for least in (0.0, 30.0):
                print(f"{group}: {name}, at least {least:g} degrees apart", file=sys.stderr)
                reports = network({p: rendered[p] for p in people}, name, least, seed)
                how = "any view" if least == 0 else "other view"
                rows += [row(f"{name}: {which}, {how}", report) for which, report in reports.items()]
        out[group] = rows
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", action="append", default=[], help="repeat for several")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    walks = kept_out_walks(options.data)
    found = tables(walks, options.weights, options.seed)
    if options.json:
        people = {str(person): len(own) for person, own in walks.items()}
        print(json.dumps({"seed": options.seed, "walks": people, "groups": found}))
        return
    print(", ".join(f"{person}: {len(own)} walks" for person, own in walks.items()))
    for group, rows in found.items():
        print(f"\n{group}: {rows[0]['people']} people, intervals over people")
        print(f"{'':52} {'probes':>6} {'chance':>6}  rank-1")
        for r in rows:
            interval = f"{100 * r['rank1']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]"
            print(f"{r['name']:52} {r['probes']:6d} {100 * r['chance']:6.1f}  {interval}")


if __name__ == "__main__":
    main()

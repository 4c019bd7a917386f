"""How well a body fitted to a walk is the body that walked.

    python benchmarks/body_fit.py [--data DIR] [--walkers 8] [--seed 4711] [--json]

Simulated walkers, 2 seconds at 30 frames a second, with each kind of evidence by itself: what the streams say
is what an estimator or a sensor would give, never the truth, but for `joints`, which are the true ones with
20 mm of normal noise in each coordinate. Errors are of the skin (mean over vertices and frames), the joints,
the height, and the body-mass index; beside them what the same walkers give with the body left at the average,
at the fitted motion's own place. `DIR` (laid out as the project's test data) holds real walks of which
nothing but joints is known: `cmu/*/*.bvh` and `biomechzoo/*.npz`; printed is the mean distance between the
joints that were measured and those of the fitted body.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib.body import PLUG_IN_GAIT, Body, to_smpl24
from gait3dlib.fitting import BodyFit, fit_body, fit_joints
from gait3dlib.simulation import observe_views, sample_walker
from gait3dlib.simulation.mocap.bvh import read_bvh
from gait3dlib.simulation.mocap.measured import CMU_AXES, CMU_UNIT_M
from gait3dlib.simulation.mocap.trials import read_trial
from gait3dlib.types import GaitSequence, Stream

NOISE_M, FPS, SECONDS = 0.02, 30.0, 2.0
Walks = list[GaitSequence]
Case = Callable[[Stream, Walks], tuple[Walks, list[str] | None]]


def _beside(joints: Stream, *others: tuple[GaitSequence, str]) -> Walks:
    """Joints, and a stream of each view."""
    first, *more = others
    walks = [GaitSequence({"joints": joints, first[1]: first[0].streams[first[1]]})]
    return walks + [GaitSequence({name: seq.streams[name]}) for seq, name in more]


CASES: dict[str, Case] = {
    "joints": lambda j, v: ([GaitSequence({"joints": j})], None),
    "joints + silhouettes of 1 view": lambda j, v: (_beside(j, (v[0], "silhouette")), None),
    "joints + silhouettes of 2 views": lambda j, v: (
        _beside(j, (v[0], "silhouette"), (v[1], "silhouette")),
        None,
    ),
    "joints + depth of 1 view": lambda j, v: (_beside(j, (v[1], "depth")), None),
    "keypoints of 2 views": lambda j, v: (v, ["keypoints"]),
    "keypoints + silhouettes of 2 views": lambda j, v: (v, ["keypoints", "silhouette"]),
    "keypoints + silhouettes of 1 view": lambda j, v: (v[1:], ["keypoints", "silhouette"]),
    "one depth camera: depth + keypoints": lambda j, v: (v[1:], ["depth", "keypoints"]),
    "one depth camera: depth alone": lambda j, v: (v[1:], ["depth"]),
}


def simulated(walkers: int, seed: int, cases: list[str]) -> list[dict[str, Any]]:
    """One row a kind of evidence."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    average = Body.load().from_numbers([0.75, 0.5, 0.4, 0.6, 0.5, 0.5, 0, 0, 0, 0])
    for index in range(walkers):
        who = sample_walker(seed, index)
        motion, body = who.walk(seed=seed, fps=FPS, seconds=SECONDS), who.body("full")
        vertices, true = body.pose(motion.rotations, motion.translation)
        streams = ("silhouette", "keypoints", "depth")
        views = observe_views(who, [90.0, 30.0], seed=seed, fps=FPS, seconds=SECONDS, streams=streams)
        noise = np.random.default_rng([seed, index]).normal(0.0, NOISE_M, true.shape)
        joints = Stream((true + noise).astype(np.float32), views[0][0].streams["keypoints"].t_ns, "m")
        for name in cases:
            walks, chosen = CASES[name](joints, [seq for seq, _ in views])
            started = time.process_time()
            fit = fit_body(walks, streams=chosen)
            found[name].append(
                {
                    "vertex_mm": 1e3 * float(np.linalg.norm(fit.vertices() - vertices, axis=-1).mean()),
                    "joint_mm": 1e3 * float(np.linalg.norm(fit.joints - true, axis=-1).mean()),
                    "height_cm": 100 * (fit.body.height_m - body.height_m),
                    "bmi": fit.body.bmi - body.bmi,
                    "average_height_cm": 100 * (average.height_m - body.height_m),
                    "average_bmi": average.bmi - body.bmi,
                    "cpu_s": time.process_time() - started,
                }
            )
    return [{"evidence": name, **_summary(rows)} for name, rows in found.items()]


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    out = {f"{key}_mean": float(np.mean([abs(r[key]) for r in rows])) for key in rows[0]}
    out |= {f"{key}_max": float(np.max([abs(r[key]) for r in rows])) for key in rows[0]}
    return out | {f"{key}_bias": float(np.mean([r[key] for r in rows])) for key in ("height_cm", "bmi")}


def real(data: Path) -> Iterator[dict[str, Any]]:
    """One row a trial: mean distance of measured joints from the fitted ones."""
    for path in sorted(data.glob("cmu/*/*.bvh")):
        motion = read_bvh(path)
        xyz = motion.positions[1:] @ CMU_AXES.T * CMU_UNIT_M  # the first frame is a T-pose
        yield _real_row("cmu", path.stem, to_smpl24(xyz, "cmu"), motion.fps)
    for path in sorted(data.glob("biomechzoo/*_Straight_*.npz")):
        trial = read_trial(path)
        xyz = np.stack([trial.get(label) for label in PLUG_IN_GAIT], axis=1)
        joints = to_smpl24(xyz, "plug_in_gait")
        row = _real_row("biomechzoo", path.stem, joints, trial.fps)
        yield row | {"stated_height_m": trial.height_m}


def _real_row(source: str, name: str, joints: np.ndarray, fps: float) -> dict[str, Any]:
    """The middle two seconds at about 30 frames a second."""
    legs = np.isfinite(joints[:, [1, 2, 4, 5, 7, 8]]).all(axis=(1, 2))
    whole = joints[np.flatnonzero(legs)[0] : np.flatnonzero(legs)[-1] + 1]
    step = max(1, round(fps / FPS))
    kept = whole[max(0, len(whole) // 2 - round(fps)) :][: round(SECONDS * fps) : step]
    started = time.process_time()
    fit: BodyFit = fit_joints(kept, np.round(np.arange(len(kept)) * step / fps * 1e9).astype(np.int64))
    limbs = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
    return {
        "source": source,
        "trial": name,
        "frames": len(kept),
        "residual_mm": 1e3 * fit.mean_residual_m,
        "limbs_mm": 1e3 * float(np.nanmean(fit.residual_m[:, limbs])),
        "height_m": fit.body.height_m,
        "bmi": fit.body.bmi,
        "cpu_s": time.process_time() - started,
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="also fit real walks of this folder")
    parser.add_argument("--walkers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--cases", default=",".join(CASES), help="kinds of evidence, parted by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = [name.strip() for name in options.cases.split(",") if name.strip()]
    if unknown := [name for name in cases if name not in CASES]:
        parser.error(f"no evidence {unknown[0]!r}; known: {', '.join(CASES)}")
    rows = simulated(options.walkers, options.seed, cases) if options.walkers else []
    trials = list(real(options.data)) if options.data else []
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if options.json:
        print(
            json.dumps({"walkers": options.walkers, "simulated": rows, "real": trials, "memory_gib": memory})
        )
        return
    _print_simulated(rows, options.walkers)
    _print_real(trials)
    print(f"\nmost memory {memory:.2f} GiB, of everything here")


def _print_simulated(rows: list[dict[str, Any]], walkers: int) -> None:
    print(f"{walkers} simulated walkers, {SECONDS:g} s at {FPS:g} frames a second: mean (worst)")
    print(f"{'evidence':<37}{'skin mm':>10}{'joints mm':>12}{'height cm':>14}{'BMI':>14}{'CPU s':>8}")
    for r in rows:
        print(
            f"{r['evidence']:<37}{r['vertex_mm_mean']:>5.0f} ({r['vertex_mm_max']:.0f})"
            f"{r['joint_mm_mean']:>7.0f} ({r['joint_mm_max']:.0f})"
            f"{r['height_cm_mean']:>7.1f} ({r['height_cm_max']:.1f})"
            f"{r['bmi_mean']:>8.1f} ({r['bmi_max']:.1f}){r['cpu_s_mean']:>7.1f}"
        )
    if rows:
        r = rows[0]
        print(
            f"{'the average body':<37}{'':>10}{'':>12}{r['average_height_cm_mean']:>7.1f} "
            f"({r['average_height_cm_max']:.1f}){r['average_bmi_mean']:>8.1f} ({r['average_bmi_max']:.1f})"
        )


def _print_real(rows: list[dict[str, Any]]) -> None:
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [row for row in rows if row["source"] == source]
        everything, limbs = (np.mean([row[key] for row in own]) for key in ("residual_mm", "limbs_mm"))
        print(
            f"\n{source}: {len(own)} trials, mean joint residual {everything:.0f} mm, of limbs {limbs:.0f} mm"
        )
        heights = [row["height_m"] - row["stated_height_m"] for row in own if "stated_height_m" in row]
        if heights:
            error, bias = np.mean(np.abs(heights)) * 100, np.mean(heights) * 100
            print(f"  height against the stated one: {error:.1f} cm off, {bias:+.1f} cm on average")
        for row in own:
            stated = f" (stated {row['stated_height_m']:.2f})" if row.get("stated_height_m") else ""
            print(
                f"  {row['trial']:<28}{row['frames']:>4} frames {row['residual_mm']:>5.0f} mm, limbs "
                f"{row['limbs_mm']:.0f} mm, height {row['height_m']:.2f} m{stated}, {row['cpu_s']:.1f} s"
            )


if __name__ == "__main__":
    main()

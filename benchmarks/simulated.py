"""The frozen benchmark of simulated walkers: who is named rightly, and what is said of age, build and sex.

    gait3d simulate --benchmark world_v1 --split test --out DIR
    gait3d simulate --benchmark world_v1 --split impostors --out DIR
    python benchmarks/simulated.py --data DIR [--weights default] [--modalities A,B] [--people 200] [--json]

``DIR`` may hold other people, laid out alike. Enrolled is one walk a person, seen by one camera ("one view")
or by several; searched for are walks of other days, seen from at least 30 degrees away, each row under one
circumstance. `clothes` is the headline: other clothing than in the gallery. FNIR stands at 1 % FPIR over the
walks of people who are enrolled nowhere, one search each.

Beside each modality and both: chance, two baselines (nearest gait energy image; nearest Fourier series of
limb directions) and the oracle of ``benchmarks/oracle.py``. A walk in which nobody was found is a miss.

With ``--shuffled TRAIN``, encoders and fusion are trained from scratch (``--steps``) on the walks of TRAIN
given to people at random, and tried on the walks of DIR given to people at random: everything must fall to
chance, or to the error of the mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import trial as trials
from numpy.typing import NDArray
from trial import ONE, SEVERAL, Trial

from gait3dlib.cli._options import open_pipeline
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.evaluation import (
    evaluate_binary,
    evaluate_regression,
    gait_energy_image,
    keypoint_fourier,
    keypoint_scores,
    similarity,
)
from gait3dlib.evaluation.impostors import subsets
from gait3dlib.pipeline import Pipeline
from gait3dlib.recording import Recording, open_recording
from gait3dlib.simulation.frozen import digest, load
from gait3dlib.types import Labels, Outputs

TASKS = {"age": "age_years", "bmi": "bmi_kg_m2"}
ORACLES = ("movement", "build", "both", "both and height")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def energy_images(trial: Trial, jobs: int | None = None) -> NDArray[Any]:
    """Scores ``[n, gallery]`` of the gait energy image."""
    samples = trial.folder.prepare("silhouette", {}, jobs=jobs)
    frames = [samples[i] for i in trial.chosen]
    blank = np.zeros((64, 44), np.float32)
    images = [blank if s is None else gait_energy_image(s.frames[:, 0]) for s in frames]
    flat = np.stack(images).reshape(len(images), -1)
    unseen = np.array([s is None for s in frames])
    scores = similarity(flat, flat[trial.gallery], metric="euclidean")
    return trials.floor(scores, unseen, trial.gallery)


def key_points(trial: Trial) -> NDArray[Any]:
    """Scores ``[n, gallery]`` of the key points' Fourier series."""
    features: list[NDArray[np.float32] | None] = []
    held: dict[Path, Recording] = {}
    for walk in trial.walks:
        if walk.path not in held:
            held = {walk.path: open_recording(walk.path)}
        seq = held[walk.path].sequence(walk.index)
        stream = seq.streams.get("keypoints")
        if stream is None:
            features.append(None)
        else:
            features.append(keypoint_fourier(stream.data, (stream.t_ns - stream.t_ns[0]) / 1e9))
    return keypoint_scores(features, [features[i] for i in trial.gallery])


def outputs(trial: Trial, pipeline: Pipeline, jobs: int | None = None) -> dict[str, Outputs]:
    """What each subset of the modalities says of every walk."""
    tokens = {}
    for name, modality in pipeline.model.modalities.items():
        say(f"encoding {name}")
        samples = trial.folder.prepare(name, dict(vars(modality)), jobs=jobs)
        chosen = [samples[i] for i in trial.chosen]
        tokens[name] = encode_walks(pipeline.model.encoders[name], modality, chosen, device=pipeline.device)
    found = {}
    for names in told_of(pipeline.modalities):
        found[" + ".join(names)] = fuse_walks(pipeline.model, {name: tokens[name] for name in names})
    return found


def told_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The subsets of modalities that the tables tell of: of more than three each, the pairs, and all."""
    return [some for some in subsets(names) if len(some) <= 2 or len(some) == len(names) or len(names) <= 3]


def embedding_scores(given: Outputs, gallery: NDArray[np.int64]) -> NDArray[Any]:
    """Scores ``[n, gallery]``."""
    embedding = given.embedding.numpy()
    unseen = np.isnan(embedding).any(axis=(1, 2))
    known = np.nan_to_num(embedding)
    return trials.floor(similarity(known, known[gallery]), unseen, gallery)


class Oracle:
    """What the truth itself would give, where the folder holds it."""

    def __init__(self, trial: Trial) -> None:
        rules, self.trial = trial.rules, trial
        self.frames = round(rules.seconds * rules.fps)
        self.there = {"shape", "style_of_the_day"} <= set(trial.truth)
        if self.there:
            shape, style = trial.truth["shape"], trial.truth["style_of_the_day"]
            self.known = oracle.known(shape, style, self.frames, rules.seed)
            columns = self.known.features(ORACLES[-1]).shape[1]
            # fewer walks give no covariance within people
            self.there = len(trial.people) - len(set(trial.people.tolist())) >= 2 * columns

    def scores(self, what: str) -> NDArray[Any]:
        """``[n, gallery]``."""
        return oracle.scores(self.known.features(what), self.trial.people, self.trial.gallery)

    @cached_property
    def _taught(self) -> tuple[oracle.Known, list[Labels]]:
        rules, train = self.trial.rules, self.trial.rules.splits["train"]
        return oracle.training_people(rules.seed, train.first, train.people, rules.motion, self.frames)

    def attributes(self, what: str) -> dict[str, NDArray[Any]]:
        """Age, BMI and sex ``[n]`` of every walk."""
        seen, labels = self._taught
        targets = [[x.age_years, x.bmi_kg_m2, float(x.gender == "female")] for x in labels]
        fit = oracle.KernelRidge(seen.features(what), np.array(targets, np.float64), np.arange(len(labels)))
        return dict(zip(("age", "bmi", "gender"), fit.predict(self.known.features(what)).T, strict=True))


def described(
    trial: Trial, name: str, said: dict[str, NDArray[Any]], means: dict[str, float], row: str, seed: int
) -> list[dict[str, Any]]:
    """Rows of age, BMI and sex: mean absolute error, or the area under the curve."""
    probes, out = trial.probes_of(row), []
    labels = [trial.walks[i].labels for i in probes]
    for task, values in said.items():
        told = values[probes]
        people = trial.people[probes].tolist()
        entry: dict[str, Any] = {"task": task, "row": row, "name": name}
        if task == "gender":
            truth = np.array([np.nan if x.gender is None else float(x.gender == "female") for x in labels])
            truth[np.isnan(told)] = np.nan
            binary = evaluate_binary(truth, np.nan_to_num(told), people, seed=seed)
            entry |= {
                "people": binary.people,
                "walks": binary.walks,
                "auc": binary.auc.to_dict(),
            }
        else:
            numbers = [getattr(x, TASKS[task]) for x in labels]
            truth = np.array([np.nan if v is None else v for v in numbers], np.float64)
            truth[np.isnan(told)] = np.nan
            one = evaluate_regression(
                truth, np.nan_to_num(told), people, training_mean=means[task], seed=seed
            )
            entry |= {"people": one.people, "walks": one.walks, "mae": one.mae.to_dict()}
            entry |= {"mean": one.baseline_mae.to_dict(), "bias": one.bias.to_dict()}
        out.append(entry)
    return out


def spoken(given: Outputs) -> dict[str, NDArray[Any]]:
    """Age, BMI and sex as the model says them ``[n]``; NaN without evidence."""
    blind = given.embedding.isnan().any(dim=2).any(dim=1).numpy()
    heads = {"age": given.age_years, "bmi": given.bmi_kg_m2}
    said = {
        task: value[:, 0].numpy().astype(np.float64) for task, value in heads.items() if value is not None
    }
    if given.gender_logits is not None:
        said["gender"] = given.gender_logits.numpy().astype(np.float64).reshape(len(blind))
    return {task: np.where(blind, np.nan, values) for task, values in said.items()}


def tables(
    trial: Trial,
    weights: list[str],
    seed: int,
    *,
    modalities: str | None = None,
    with_oracle: bool = True,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Every table, ready for JSON."""
    rows = trial.rows()
    matrices, attributes = {}, []
    some = [row for row in (*trial.rules.groups, "normal", "all") if row in rows]
    truth = Oracle(trial)
    train_mean = {task: float("nan") for task in TASKS}
    for which in weights:
        pipeline = open_pipeline(which, modalities)
        for task in TASKS:
            head = dict(pipeline.model.heads.items()).get(task)
            train_mean[task] = float(getattr(head, "label_mean", np.nan))
        for name, given in outputs(trial, pipeline, jobs).items():
            label = name if len(weights) == 1 else f"{which}: {name}"
            matrices[label] = embedding_scores(given, trial.gallery)
            for row in some:
                attributes += described(trial, label, spoken(given), train_mean, row, seed)
    say("baselines")
    matrices["gait energy image"] = energy_images(trial, jobs)
    matrices["limb directions, Fourier"] = key_points(trial)
    if with_oracle and truth.there:
        say("oracle")
        means = dict(zip(TASKS, _means(trial), strict=True))
        for what in ORACLES:
            matrices[f"oracle: {what}"] = truth.scores(what)
        for what in ORACLES[2:]:
            said = truth.attributes(what)
            attributes += [
                entry for row in some for entry in described(trial, f"oracle: {what}", said, means, row, seed)
            ]
    say("scoring")
    found = [
        {"name": name, **trial.identification(matrix, row, which, seed)}
        for which in (SEVERAL, ONE)
        for row in rows
        for name, matrix in matrices.items()
    ]
    return {"identification": found, "attributes": attributes}


def _means(trial: Trial) -> list[float]:
    """Mean age and BMI of the people: what the mean alone would say, where no model was trained."""
    first = {walk.subject: walk.labels for walk in trial.walks}
    return [float(np.mean([getattr(x, name) for x in first.values()])) for name in TASKS.values()]


def percent(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return f"- ({value['note']})"
    low = "" if value["low"] is None else f" [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"
    return f"{100 * value['value']:.1f}{low}"


def show(report: dict[str, Any]) -> None:
    print(f"{report['people']} people enrolled, {report['impostors']} enrolled nowhere")
    before = None
    for r in report["identification"]:
        if (r["gallery"], r["row"]) != before:
            before = (r["gallery"], r["row"])
            print(f"\n{r['row']}, gallery of {r['gallery']}: chance {100 * r['chance']:.1f} %")
        print(f"  {r['name']:32} rank-1 {percent(r['rank1']):22} FNIR {percent(r['fnir'])}")
    for r in report["attributes"]:
        if "auc" in r:
            text = f"AUC {r['auc']['value']:.3f}"
        else:
            text = f"MAE {r['mae']['value']:.2f}, of the mean {r['mean']['value']:.2f}"
        print(f"{r['task']:7} {r['row']:8} {r['name']:32} {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--benchmark", default="world_v1")
    parser.add_argument("--weights", action="append", default=[], help="repeat for several")
    parser.add_argument("--modalities", help="of the weights, separated by commas; all by default")
    parser.add_argument("--people", type=int, help="how many are enrolled")
    parser.add_argument("--shuffled", type=Path, metavar="TRAIN")
    parser.add_argument("--steps", type=int, default=300, help="of the shuffled training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rules = load(options.benchmark)
    weights = options.weights or ["default"]
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if options.shuffled is not None:
            import shuffled

            home, steps, seed = Path(folder), options.steps, options.seed
            data, trained = shuffled.run(options.shuffled, data, home, steps=steps, seed=seed, say=say)
            weights = [str(trained)]
        trial = trials.read(data, rules, options.people)
        plain = options.shuffled is None
        found = tables(trial, weights, options.seed, modalities=options.modalities, with_oracle=plain)
    report = {
        "benchmark": "simulated",
        "world": options.benchmark,
        "sha256": digest(options.benchmark),
        "fingerprint": rules.fingerprint,
        "weights": options.weights or ["default"],
        "shuffled": options.shuffled is not None,
        "seed": options.seed,
        "people": len(set(trial.people[trial.gallery].tolist())),
        "impostors": len(set(trial.people[trial.impostor].tolist())),
        **found,
    }
    if options.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()

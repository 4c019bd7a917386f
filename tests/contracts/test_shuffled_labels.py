"""Law 6 by experiment: with shuffled labels identity falls to chance and attributes to the mean.

What a model sees cannot tell it who walks there except by how somebody looks and walks. So the walks of a
world are given to other people at random, and everything is trained and tried on those labels: whatever is
still found out has leaked. Two controls show that the experiment would notice: true labels, and a bar painted
into each silhouette that is as long as its person is heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from gait3dlib.data.recordings import WalkFolder
from gait3dlib.data.tokens import encode_walks, fuse_walks
from gait3dlib.evaluation import rank, similarity
from gait3dlib.fusion import weights
from gait3dlib.fusion.model import Regression
from gait3dlib.recording import Truth, open_recording, save
from gait3dlib.simulation import simulate
from gait3dlib.types import GaitSequence

PEOPLE, SESSIONS, OUTSIDE = 24, 3, 12
PLAN = {"steps": 45, "people": 6, "walks": 3, "frames": 2, "lr": 4e-3, "validate_every": 10**6}
ASKED: dict[str, Any] = {"validation_people": OUTSIDE, "attribute_weight": 1.0}
NAME = "silhouette"
WALKS = OUTSIDE * SESSIONS  # of people who are kept out of training
CHANCE = (SESSIONS - 1) / (WALKS - 1)
SPREAD = (CHANCE * (1 - CHANCE) / WALKS) ** 0.5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody seen from the side, three times: much alike, so that true labels are soon learnt."""
    folder = tmp_path_factory.mktemp("true")
    asked: dict[str, Any] = {"seconds": 0.8, "fps": 10.0, "size": 64, "streams": (NAME,), "motion": "style"}
    simulate(folder, walkers=PEOPLE, seed=9, sessions=SESSIONS, views=(90.0,), jobs=1, **asked)
    return folder


@pytest.fixture(scope="module")
def shuffled(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same walks, each given to a person at random; as many to everybody, with that person's labels."""
    folder = tmp_path_factory.mktemp("shuffled")
    walks = [seq for path in sorted(world.glob("*.h5")) for seq in walks_of(path)]
    order = iter(np.random.default_rng(0).permutation(len(walks)))
    for path in sorted(world.glob("*.h5")):
        with open_recording(path) as recording:
            who, labels = recording.walks[0].subject, recording.labels(0)
        mine = [walks[next(order)] for _ in range(SESSIONS)]
        given = [GaitSequence(seq.streams, who, seq.meta) for seq in mine]
        save(folder / path.name, *given, truths=[Truth(labels)] * SESSIONS)
    return folder


@pytest.fixture(scope="module")
def leaking(shuffled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shuffled walks with their person's body-mass index painted into every silhouette."""
    folder = tmp_path_factory.mktemp("leaking")
    for path in sorted(shuffled.glob("*.h5")):
        with open_recording(path) as recording:
            labels = recording.labels(0)
        painted = []
        for seq in walks_of(path):
            data = seq.streams[NAME].data.copy()
            data[:, 20:26, 32 : 33 + int(1.2 * np.clip((labels.bmi_kg_m2 or 0) - 15, 0, 22))] = 255
            stream = dataclasses.replace(seq.streams[NAME], data=data)
            painted.append(GaitSequence({NAME: stream}, seq.subject, seq.meta))
        save(folder / path.name, *painted, truths=[Truth(labels)] * SESSIONS)
    return folder


def walks_of(path: Path) -> Iterator[GaitSequence]:
    with open_recording(path) as recording:
        yield from recording


def rank_1(data: Path, run: Path) -> float:
    """Of an encoder that was trained on that data, among the walks of people it has not seen."""
    trained = tiny.train_encoder(NAME, data, run, schedule=PLAN, **ASKED)
    tensors, meta = weights.read(trained)
    modality = weights.make_modality(NAME, meta["config"])
    encoder = modality.encoder(meta["dim"])
    encoder.load_state_dict(tensors)
    folder, rows = outsiders(data)
    samples = folder.prepare(NAME, meta["config"], jobs=1)
    tokens = encode_walks(encoder, modality, [samples[i] for i in rows]).values.numpy()
    people = [folder.walks[i].subject for i in rows]
    nobody_itself = np.eye(len(rows), dtype=bool)
    return rank(similarity(tokens, tokens), people, people, nobody_itself).rank_k(1)


def errors(data: Path, run: Path) -> tuple[float, float]:
    """Mean absolute error of age and of body-mass index, in units of that of always saying the mean."""
    schedule = {**PLAN, "steps": 120, "people": 8}
    folder = tiny.train_fusion(run, data, run / "fusion", schedule=schedule, **ASKED)
    model, _ = weights.load(folder, [NAME])
    walks, rows = outsiders(data)
    samples = walks.prepare(NAME, tiny.MODALITIES[NAME], jobs=1)
    outputs = fuse_walks(
        model, {NAME: encode_walks(model.encoders[NAME], model.modalities[NAME], [samples[i] for i in rows])}
    )
    found = []
    for task, said in (("age", outputs.age_years), ("bmi", outputs.bmi_kg_m2)):
        labels = [walks.walks[i].labels for i in rows]
        truth = np.array([getattr(x, "age_years" if task == "age" else "bmi_kg_m2") for x in labels], float)
        head = model.heads[task]
        assert isinstance(head, Regression)
        assert said is not None
        always = np.abs(truth - float(head.label_mean)).mean()
        found.append(float(np.abs(truth - said[:, 0].numpy()).mean() / always))
    return found[0], found[1]


def outsiders(data: Path) -> tuple[WalkFolder, list[int]]:
    folder = WalkFolder(data)
    last = set(folder.subjects[-OUTSIDE:])
    return folder, [i for i, walk in enumerate(folder.walks) if walk.subject in last]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def test_identity_falls_to_chance(world: Path, shuffled: Path, runs: Path) -> None:
    true, chance = rank_1(world, runs / "true"), rank_1(shuffled, runs / "shuffled")
    assert chance < CHANCE + 4 * SPREAD, f"{chance:.2f}, where chance is {CHANCE:.2f}"
    assert true > CHANCE + 6 * SPREAD, f"{true:.2f}: true labels must be learnt, or this test shows nothing"


def test_attributes_fall_to_the_mean(shuffled: Path, leaking: Path, runs: Path) -> None:
    if not (runs / "shuffled").exists():
        rank_1(shuffled, runs / "shuffled")
    age, bmi = errors(shuffled, runs / "shuffled")
    # a chance correlation of 0.5 over 36 walks would take it down to here
    assert min(age, bmi) > 0.86, f"age {age:.2f}, BMI {bmi:.2f} of the error of the mean"
    rank_1(leaking, runs / "leaking")
    _, leaked = errors(leaking, runs / "leaking")
    assert leaked < 0.8, f"{leaked:.2f}: a leak must be noticed, or this test shows nothing"

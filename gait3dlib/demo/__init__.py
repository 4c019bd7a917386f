"""A corridor of simulated walkers: some are enrolled, come back among strangers, and are recognised.

The whole way is the real one: walkers are seen by a camera, their walks become recordings, those are enrolled
and recognised from the files. What comes out is whatever the model says. The walkers belong to a population
of their own, by its seed; the shipped weights were trained on other seeds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.demo._filming import BIRDS, FPS, SECONDS, Shot, film, plan
from gait3dlib.demo._result import DemoResult, Visit
from gait3dlib.errors import InputError
from gait3dlib.fusion.weights import make_modality
from gait3dlib.pipeline import Pipeline
from gait3dlib.recording import load
from gait3dlib.report import ReportWalk, outcome, write_report
from gait3dlib.simulation import Condition
from gait3dlib.simulation.scene import Actor
from gait3dlib.types import GaitSequence

Progress = Callable[[int, int], None]

MODALITIES = ("silhouette", "skeleton_map")
CYCLE_FRAMES = 24  # of the body that walks in the report
MARKER = "demo.json"

__all__ = ["DemoResult", "Visit", "run"]


def run(
    out: Path | str,
    *,
    seed: int = 7,
    people: int = 12,
    strangers: int = 4,
    weights: str | os.PathLike[str] | None = "default",
    jobs: int | None = None,
    progress: Progress = lambda done, total: None,
) -> DemoResult:
    """Simulate, enrol, recognise, and write ``out/report.html``.

    Args:
        out: a folder that is new, empty, or of an earlier demo, which is replaced.
        seed: of the population; other than the one that the weights were trained on.
        people: how many are enrolled, at most 24.
        strangers: how many come by who are not.
        weights: see :class:`~gait3dlib.pipeline.Pipeline`.
        jobs: processes that simulate; None = one a core.
        progress: called with (done, all) walks.

    Raises:
        InputError: the folder holds something else, or there are too many or too few people.
        UntrainedError: the weights were never trained.
    """
    started = time.monotonic()
    if not 1 <= people <= len(BIRDS) or strangers < 0:
        raise InputError(f"the demo needs 1 to {len(BIRDS)} people and no negative number of strangers")
    out = _claim(Path(out))
    gallery = out / "gallery.db"
    enrolments, returns = plan(out, seed, people, strangers)
    enrolled = tuple(shot.subject for shot in enrolments)
    with Pipeline(MODALITIES, weights=weights, gallery=gallery) as pipeline:
        for done, shot in enumerate(film([*enrolments, *returns], jobs), start=1):
            if shot.named:
                for view in range(len(shot.views_deg)):
                    pipeline.enroll(shot.subject, load(shot.path, walk=view))
            progress(done, len(enrolments) + len(returns))
        visits, pages = [], []
        for shot in returns:
            visit, page = _visit(pipeline, shot, enrolled)
            visits.append(visit)
            pages.append(page)
    report = write_report(
        out / "report.html",
        pages,
        enrolled,
        setting="Simulated corridor: enrolled before five cameras, seen on another day from the other side",
    )
    result = DemoResult(report, gallery, enrolled, tuple(visits), time.monotonic() - started)
    (out / MARKER).write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    return result


def _claim(out: Path) -> Path:
    """The folder, free of an earlier demo; anything else in it is somebody's and stays."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
        raise InputError(f"{out} holds something else; name a new folder with --out")
    for folder in ("enrolled", "corridor"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for old in (out / folder).glob("*.h5"):
            old.unlink()
    for old in out.glob("gallery.db*"):
        old.unlink()
    (out / MARKER).write_text("{}\n", encoding="utf-8")
    return out


def _visit(pipeline: Pipeline, shot: Shot, enrolled: tuple[str, ...]) -> tuple[Visit, ReportWalk]:
    (recognition,) = pipeline.recognize(shot.path)
    seq = load(shot.path)
    (condition,) = shot.conditions
    vertices, faces, cycle_s = _cycle(shot, condition)
    pace = "faster" if condition.speed > 1 else "slower"
    page = ReportWalk(
        title=f"seen at {condition.view_deg:.0f}°, {pace} than usual",
        recognition=recognition,
        truth_identity=shot.subject,
        truth_labels=shot.walker.labels,
        silhouettes=_pictures("silhouette", seq)[:, 0],
        skeleton_maps=_pictures("skeleton_map", seq),
        body_vertices=vertices,
        body_faces=faces,
        body_seconds=cycle_s,
        fps=FPS,
    )
    end = outcome(page, enrolled)
    labels = shot.walker.labels
    visit = Visit(shot.path, shot.subject, labels, condition.view_deg, condition.speed, recognition, end)
    return visit, page


def _pictures(name: str, seq: GaitSequence) -> NDArray[np.uint8]:
    """The walk as pictures of a modality ``[T, channels, H, W]``, whatever its encoder reads."""
    sample = make_modality(name).sample(seq)
    if sample is None:
        raise InputError(f"the simulated walk holds no {name}; the recording is damaged, run the demo again")
    return sample.frames.astype(np.uint8)


def _cycle(shot: Shot, condition: Condition) -> tuple[NDArray[np.float32], NDArray[np.int32], float]:
    """One stride on the spot, clothes and all: ``[CYCLE_FRAMES, V, 3]``, its faces and its time."""
    actor = Actor.walking(
        shot.walker, seed=shot.walk_seed, seconds=SECONDS, speed=condition.speed, outfit=condition.outfit
    )
    stride_s = actor.motion.cycle.stride_s
    t_s = actor.start_s + np.arange(CYCLE_FRAMES) / CYCLE_FRAMES * stride_s
    vertices = actor.at(t_s).vertices.copy()
    way = np.interp(t_s - actor.start_s, actor.motion.t_s, actor.motion.translation[:, 0])
    vertices[..., 0] -= way[:, None].astype(np.float32)
    return vertices, actor.faces, stride_s

"""Walks without pictures: the key points and joints alone, for thousands of people.

A person walks, cameras stand and estimators err exactly as in :mod:`gait3dlib.simulation.observing`, with the
same random numbers; but no mesh is posed and no ray is cast. Of the skin only those vertices are posed that
hold nose, eyes and ears, or that a box around the person ends at. Capsules about the bones say what hides a
key point (:mod:`gait3dlib.simulation.capsules`), so points at the edge of a limb differ, and little else.
Clothes and carried things change how somebody walks, as they do there, but hide nothing; whatever stands
before somebody needs geometry, and cannot be had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import JOINT_NAMES, ShapedBody
from gait3dlib.errors import InputError
from gait3dlib.recording import Truth, save
from gait3dlib.simulation import rig
from gait3dlib.simulation.camera import project
from gait3dlib.simulation.capsules import bones_of, surface, thickness
from gait3dlib.simulation.conditions import Condition, draw
from gait3dlib.simulation.dataset import claim, make_missing
from gait3dlib.simulation.look import Extents, Look, image_extents
from gait3dlib.simulation.observation import Observation, Picture, Sight
from gait3dlib.simulation.observing import SCENE_VERSION, thinned, truth_of
from gait3dlib.simulation.outfit import Outfit, carry
from gait3dlib.simulation.rays import F32
from gait3dlib.simulation.scene import F64, MARGIN_S, STATE_HZ, Actor, Scene, State
from gait3dlib.simulation.walker import Walker, frame_count, sample_walker, subject_name
from gait3dlib.types import Calibration, GaitSequence, Meta

Pair = tuple[GaitSequence, Truth]
BARE_STREAMS = ("keypoints", "joints")
BARE_VERSION = 2
WALKED_CELLS = ("slow", "fast", "coat", "bag", "backpack", "box", "umbrella")
"""Cells of the walk itself, which all cameras share: its speed, and how trunk and arms are held."""
BARE_CELLS = (*WALKED_CELLS, "high_camera", "low_camera", "tilted", "small", "large", "low_rate", "night")
"""Cells drawn beside ``normal``: those of the walk, and those that change only the camera or the light."""
CAMERAS = 3  # that see one walk at once
# of the random walks of world_v1, but for the share: nothing here is as rare as there
NORMAL_SHARE, RASTER_DEG, SPEED_RANGE = 0.3, 15.0, (0.85, 1.2)
_ENDS = (
    "head",
    *(f"{side}_{name}" for side in ("left", "right") for name in ("ankle", "foot", "wrist", "hand")),
)  # joints whose skin a box around somebody ends at
WALK_SEED = 2**33  # apart from the walks that a benchmark draws of the same people


def simulate_bare(
    out: Path,
    *,
    walkers: int,
    seed: int,
    first: int = 0,
    sessions: int = 3,
    seconds: float = 2.0,
    fps: float = 15.0,
    streams: Sequence[str] = BARE_STREAMS,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one recording a walker: ``sessions`` walks, each seen by ``CAMERAS`` cameras at once.

    Movement is learnt from real walks ("prior"). See :func:`random_walks` for what is drawn. Recordings that
    are there already are kept, so an interrupted call continues.

    Args:
        out: folder; made when missing. Holds ``manifest.json`` and ``SUBJECT.h5`` files.
        walkers: how many.
        seed: of the population and all noise; that of a benchmark gives the people of the benchmark.
        first: index of the first walker; other indices are other people.
        sessions: walks a walker.
        seconds: length of a walk.
        fps: frames a second.
        streams: of ``BARE_STREAMS``.
        jobs: processes; None = one a core.
        progress: called with (done, all) walkers after each.

    Returns:
        The recordings, by index.

    Raises:
        InputError: a count below one, what no walk can be, another stream, or a folder that holds a data set
            made with other parameters.
    """
    if walkers < 1 or sessions < 1 or first < 0 or seed < 0:
        raise InputError("a data set needs at least one walker and one session; first and seed count from 0")
    _check_streams(streams)
    frame_count(fps, seconds)
    parameters: dict[str, Any] = {
        "world_version": SCENE_VERSION,
        "bare": BARE_VERSION,
        "seed": seed,
        "sessions": sessions,
        "cameras": CAMERAS,
        "seconds": seconds,
        "fps": fps,
        "streams": [name for name in BARE_STREAMS if name in streams],
        "motion": "prior",
    }
    out = Path(out)
    claim(out, parameters)
    paths = [out / f"{subject_name(seed, index, 'prior')}.h5" for index in range(first, first + walkers)]
    todo = [first + i for i, path in enumerate(paths) if not path.exists()]
    make_missing(partial(_make, out, parameters), todo, walkers, jobs, progress)
    return paths


def _make(out: Path, parameters: dict[str, Any], index: int) -> None:
    """One walker's recording."""
    walker = sample_walker(parameters["seed"], index, parameters["motion"])
    pairs: list[Pair] = []
    for session in range(parameters["sessions"]):
        pairs += observe_bare(
            walker,
            random_views(walker, session, fps=parameters["fps"]),
            seed=WALK_SEED + session,
            seconds=parameters["seconds"],
            streams=parameters["streams"],
            session=f"{session:02d}",
        )
    save(out / f"{walker.subject}.h5", *(s for s, _ in pairs), truths=[thinned(t) for _, t in pairs])


def random_views(
    walker: Walker, session: int, *, fps: float = 15.0, cameras: int = CAMERAS
) -> list[Condition]:
    """The cameras of one day: anywhere about the walk, in ``normal`` or in one of ``BARE_CELLS``.

    Three in ten days or cameras are in ``normal``. Who walks slowly, or carries a box, does so before all
    cameras.

    Args:
        walker: who walks.
        session: number of the day.
        fps: of cameras, where the cell says nothing else.
        cameras: how many.
    """
    rng = walker.rng(11, session)
    cells: list[str] = []
    while len(cells) < cameras:
        cell = "normal" if rng.random() < NORMAL_SHARE else str(rng.choice(BARE_CELLS))
        if cells and cells[0] in WALKED_CELLS:
            cells.append(cells[0])
        elif not cells or cell not in WALKED_CELLS:
            cells.append(cell)
    speed = float(rng.uniform(*SPEED_RANGE))
    views = []
    for cell in cells:
        view = RASTER_DEG * int(rng.integers(round(360.0 / RASTER_DEG)))
        beside = float(rng.uniform(-0.5, 0.5)) * RASTER_DEG
        views.append(draw(cell, rng, view_deg=view, turned_deg=beside, speed=speed, fps=fps))
    return [dataclasses.replace(view, outfit=views[0].outfit, speed=views[0].speed) for view in views]


def observe_bare(
    walker: Walker,
    conditions: Sequence[Condition],
    *,
    seed: int,
    seconds: float = 2.0,
    streams: Sequence[str] = BARE_STREAMS,
    session: str = "",
) -> list[Pair]:
    """:func:`~gait3dlib.simulation.observing.observe_conditions` without pictures: the same walks, cameras,
    clocks and errors, for a small part of the work.

    Args:
        walker: who walks.
        conditions: circumstances with nothing in the way; those of one speed and outfit see one walk.
        seed: another seed is another walk of the same person, with other noise.
        seconds: length of the walk.
        streams: of ``BARE_STREAMS``.
        session: name written to the meta data.

    Returns:
        One (sequence, truth) a condition, the truth with ``STATE_HZ`` states a second.

    Raises:
        InputError: another stream, no condition, or one with an occlusion.
    """
    _check_streams(streams)
    if not conditions:
        raise InputError("ask for at least one condition, such as Condition()")
    walks: dict[tuple[float, Outfit], Actor] = {}
    out = []
    for number, condition in enumerate(conditions):
        _check_condition(condition)
        walk = condition.speed, condition.outfit
        if walk not in walks:
            walks[walk] = _actor(walker, condition, seed, seconds)
        actor = walks[walk]
        sensors = rig.place(condition, walker.rng(6, seed, number), seconds)
        seen = _Bare(Scene([actor]), condition, sensors, walker.rng(5, seed, number), seconds, size=96)
        meta = Meta("simulated", session, condition.view_deg, MappingProxyType(condition.covariates()))
        out.append((GaitSequence(seen.streams(streams), walker.subject, meta), truth_of(actor)))
    return out


def _check_streams(streams: Sequence[str]) -> None:
    other = [name for name in streams if name not in BARE_STREAMS]
    if other or not streams:
        raise InputError(
            f"walks without pictures have the streams {' and '.join(BARE_STREAMS)} alone, not "
            f"{', '.join(other) or 'none'}; leave the others out, or render"
        )


def _check_condition(condition: Condition) -> None:
    if condition.occlusion != "none":
        raise InputError(
            f"a walk without pictures cannot be in the cell {condition.cell!r}: what stands in the way needs "
            "geometry; use observe_conditions"
        )


def _actor(walker: Walker, condition: Condition, seed: int, seconds: float) -> Actor:
    """A walk whose skin has the vertices of :func:`_few` alone, and no faces."""
    motion = walker.walk(seed=seed, speed=condition.speed, fps=STATE_HZ, seconds=seconds + 2 * MARGIN_S)
    body = _few(walker.body())
    skin, joints = body.pose(carry(motion.rotations, condition.outfit, motion.phase), motion.translation)
    tape = State(skin, joints, body.landmarks(skin, joints))
    none = np.zeros(0, np.uint8)
    return Actor(walker, motion, condition.outfit, -MARGIN_S, body.faces, none, tape, np.ones(3, np.float32))


def _few(body: ShapedBody) -> ShapedBody:
    """The body with the vertices of nose, eyes and ears, then those that its outline may end at."""
    follows = body.weights.argmax(axis=1)
    corners = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)], np.float32)
    outer: set[int] = set()
    for name in _ENDS:
        held = np.flatnonzero(follows == JOINT_NAMES.index(name))
        if len(held):
            outer |= set(held[(body.vertices[held] @ corners.T).argmax(axis=0)].tolist())
    index = np.concatenate([body.landmark_index.ravel(), np.array(sorted(outer), np.int64)])
    return dataclasses.replace(
        body,
        vertices=body.vertices[index],
        bind_vertices=body.bind_vertices[index],
        weights=body.weights[index],
        faces=np.zeros((0, 3), np.int32),
        landmark_index=np.arange(15).reshape(5, 3),
    )


class _Glance:
    """Where a person is in the image, from the few vertices."""

    def __init__(self, actor: Actor, camera: Calibration, t_s: F64) -> None:
        self.state = actor.at(t_s)
        whole = image_extents(camera, self.state.vertices)
        low = np.maximum(whole[:, :2], 0.0)
        high = np.minimum(whole[:, 2:], [camera.width - 1.0, camera.height - 1.0])
        inside = np.asarray(np.isfinite(whole).all(axis=1) & (low < high).all(axis=1))
        with np.errstate(invalid="ignore"):
            cut = np.prod(high - low, axis=1) / np.prod(whole[:, 2:] - whole[:, :2], axis=1)
        seen = np.where(inside[:, None], np.concatenate([low, high], axis=1), 0.0)
        self.extents = Extents(seen, whole, np.where(inside, cut, 0.0))

    def crops(self, boxes: F32, frames: NDArray[np.int64], size: int) -> Look:
        """The boxes alone."""
        none = np.zeros((len(frames), 0, 0), np.float32)
        return Look(none, none, none.astype(bool), boxes)


class _Bare(Observation):
    """An observation that casts no ray."""

    def _sight(self, t_s: F64) -> Sight:
        return _Glance(self.scene.actors[0], self.rig.camera, t_s)

    def _seen_at(self, picture: Picture, points: F64) -> F32:
        state = self._viewer.state
        bones = bones_of(state.joints, state.landmarks)[picture.frames]
        thick = thickness(self.scene.actors[0].walker.shape)
        return surface(project(self.rig.camera, bones), points, self.rig.camera.fx, thick)

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gait3dlib.body import Body
from gait3dlib.errors import InputError
from gait3dlib.recording import open_recording
from gait3dlib.simulation import CELLS, Condition, observe_conditions, sample_walker, simulate
from gait3dlib.simulation.camera import look_at, project
from gait3dlib.simulation.conditions import OCCLUSIONS, cell_names, draw
from gait3dlib.simulation.estimator import KeypointNoise, fitted
from gait3dlib.simulation.look import Viewer
from gait3dlib.simulation.noise import noisy_keypoints
from gait3dlib.simulation.observation import STREAMS, Observation
from gait3dlib.simulation.outfit import Outfit
from gait3dlib.simulation.rig import camera_of, people_of, place, things_of
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.types import GaitSequence

WALKER = sample_walker(5, 1)
SHORT = {"seconds": 0.6, "size": 48}


def observe(*conditions: Condition, seed: int = 3, streams: tuple[str, ...] = STREAMS) -> list[GaitSequence]:
    return [walk for walk, _ in observe_conditions(WALKER, conditions, seed=seed, streams=streams, **SHORT)]  # type: ignore[arg-type]


def digest(walk: GaitSequence) -> dict[str, tuple[bytes, bytes]]:
    return {name: (s.data.tobytes(), s.t_ns.tobytes()) for name, s in walk.streams.items()}


# Streams ------------------------------------------------------------------------------------------------


def test_all_streams_of_a_walk_keep_their_own_clocks() -> None:
    (walk,) = observe(Condition(beams=32))
    assert set(walk.streams) == set(STREAMS)
    camera, depth, points = (walk.streams[name] for name in ("silhouette", "depth", "points"))
    assert len(camera) == pytest.approx(18, abs=1)
    assert len(points) == pytest.approx(6, abs=1)
    assert depth.data.dtype == np.uint16
    assert depth.units == "mm"
    assert not np.isin(depth.t_ns, camera.t_ns).any()
    assert camera.fps == pytest.approx(30, rel=0.05)
    assert points.fps == pytest.approx(10, rel=0.05)
    shown = depth.data > 0
    assert np.median(depth.data[shown]) == pytest.approx(5500, rel=0.15)


def test_a_seed_fixes_every_byte_and_no_stream_depends_on_another_being_asked_for() -> None:
    condition = Condition(outfit=Outfit("coat", "bag", 1))
    (first,), (again,) = observe(condition), observe(condition)
    assert digest(first) == digest(again)
    (other,) = observe(condition, seed=4)
    assert digest(first)["points"] != digest(other)["points"]
    for name in STREAMS:
        (alone,) = observe(condition, streams=(name,))
        assert digest(alone)[name] == digest(first)[name]


def test_conditions_that_share_outfit_and_speed_see_one_walk_at_once() -> None:
    pairs = observe_conditions(
        WALKER,
        [Condition(view_deg=0.0), Condition(view_deg=90.0), Condition(speed=1.2)],
        seed=1,
        streams=("points",),
        **SHORT,  # type: ignore[arg-type]
    )
    joints = [truth.arrays["joints"] for _, truth in pairs]
    np.testing.assert_array_equal(joints[0], joints[1])
    assert not np.array_equal(joints[0], joints[2])
    arrays = pairs[0][1].arrays
    np.testing.assert_array_equal(arrays["style"], WALKER.style.vector())
    assert Body.load("low").from_numbers(arrays["shape"]).mass_kg == pytest.approx(
        WALKER.shape.mass_kg, rel=1e-3
    )
    assert [walk.meta.view_deg for walk, _ in pairs] == [0.0, 90.0, 90.0]


def test_night_blinds_the_colour_camera_and_nothing_else() -> None:
    day, night = (
        [observe(dataclasses.replace(Condition(), night=dark), seed=seed)[0] for seed in range(8)]
        for dark in (False, True)
    )
    for one, two in zip(day, night, strict=True):
        assert digest(one)["points"] == digest(two)["points"]
        assert len(one.streams["depth"]) == len(two.streams["depth"])
    blind = [walk for walk in night if "silhouette" not in walk.streams]
    assert 2 <= len(blind) <= 7
    seeing = [walk for walk in night if "silhouette" in walk.streams]
    frames = sum(len(walk.streams["silhouette"]) for walk in seeing)
    assert frames < 0.75 * sum(len(walk.streams["silhouette"]) for walk in day[: len(seeing)])


def test_who_was_never_found_has_the_first_stream_empty() -> None:
    blind = next(
        walk
        for seed in range(20)
        for walk in observe(Condition(night=True), seed=seed, streams=("silhouette",))
        if not walk.streams["silhouette"].data.any()
    )
    assert set(blind.streams) == {"silhouette"}


def test_joints_are_estimates_and_say_what_they_do_not_know() -> None:
    condition = Condition(fps=30.0)
    (walk,), (_, truth) = observe(condition), observe_conditions(WALKER, [condition], seed=3, **SHORT)[0]  # type: ignore[arg-type]
    stream = walk.streams["joints"]
    unknown = np.isnan(stream.data).all(axis=(0, 2))
    assert np.flatnonzero(unknown).tolist() == [3, 6, 9, 13, 14]  # spine and collars
    assert not np.isnan(stream.data[:, ~unknown]).any()
    t_s = stream.t_ns / 1e9
    true = np.stack(
        [
            [np.interp(t_s, truth.arrays["joints_t_s"], truth.arrays["joints"][:, j, k]) for k in range(3)]
            for j in range(24)
        ]
    ).transpose(2, 0, 1)
    # the same joints up to the turn about the vertical and the place of the camera
    lengths = [np.linalg.norm(j[:, 1:12] - j[:, :1], axis=-1)[:, ~unknown[1:12]] for j in (stream.data, true)]
    error = lengths[0] - lengths[1]
    assert 0.005 < error.std() < 0.06
    assert np.abs(stream.data[:, 15, 2] - true[:, 15, 2]).mean() < 0.08  # z is height above the ground
    assert np.linalg.norm(stream.data[:, 0, :2], axis=-1) == pytest.approx(5.5, abs=0.9)


def test_a_small_picture_is_coarse_and_carried_things_may_be_lost() -> None:
    (small,), (large,) = (observe(Condition(height_px=px), streams=("silhouette",)) for px in (24.0, 300.0))
    coarse, fine = (
        (np.diff((w.streams["silhouette"].data > 0).astype(int), axis=2) != 0).sum() for w in (small, large)
    )
    assert coarse < fine  # fewer outlines between arms, legs and trunk
    shares = []
    for seed in range(12):
        carried = Condition(outfit=Outfit("plain", "box", 2))
        walk = observe(carried, seed=seed, streams=("silhouette",))[0]
        shares.append(float((walk.streams["silhouette"].data > 0).mean()))
    assert max(shares) > 1.12 * min(shares)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="silhouette"):
        observe(Condition(), streams=("silhouete",))
    with pytest.raises(InputError, match="condition"):
        observe()
    with pytest.raises(InputError, match="crop"):
        observe_conditions(WALKER, [Condition()], seed=0, size=4)


# Conditions ---------------------------------------------------------------------------------------------


def test_a_cell_changes_one_thing() -> None:
    normal = draw("normal", np.random.default_rng(1), view_deg=30.0, fps=15.0)
    for cell in CELLS:
        other = draw(cell, np.random.default_rng(1), view_deg=30.0, fps=15.0)
        differ = {
            field.name
            for field in dataclasses.fields(Condition)
            if getattr(other, field.name) != getattr(normal, field.name)
        }
        assert len(differ - {"cell"}) == (0 if cell == "normal" else 1), cell
        assert other.outfit.seed == normal.outfit.seed
    assert {
        Condition(cell=c, **{k: v for k, v in CELLS[c].items() if k == "occlusion"}).occlusion for c in CELLS
    } == set(OCCLUSIONS)
    assert cell_names("all") == tuple(CELLS)
    assert cell_names(None) == ()
    assert cell_names("coat, night,coat") == ("coat", "night")


def test_conditions_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="backpack"):
        cell_names("backpak")
    for bad in ({"occlusion": "fog"}, {"speed": 3.0}, {"height_px": 2.0}, {"tilt_deg": 80.0}, {"fps": 0.0}):
        with pytest.raises(InputError):
            Condition(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("pixels", [40.0, 150.0, 400.0])
def test_a_person_has_the_height_in_pixels_that_was_asked_for(pixels: float) -> None:
    camera = camera_of(Condition(height_px=pixels, view_deg=50.0))
    upright = project(camera, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.7]]))
    assert upright[0, 1] - upright[1, 1] == pytest.approx(pixels, rel=0.05)


@pytest.mark.parametrize("view", [0.0, 60.0, 90.0, 180.0])
def test_obstacles_hide_part_of_a_walk_and_stand_in_nobodys_way(view: float) -> None:
    actor = Actor.walking(WALKER, seed=2, seconds=2.0)
    t_s = np.linspace(0, 2, 12)
    low, high = actor.bounds_between(0.0, 2.0)
    hidden: dict[str, list[float]] = {}
    for occlusion in ("pole", "wall", "furniture", "people"):
        condition = Condition(occlusion=occlusion, view_deg=view)
        for seed in range(4):
            rng = np.random.default_rng(seed)
            rig = place(condition, rng, 2.0)
            people, things = people_of(condition, rng, 2.0), things_of(condition, rng, 2.0)
            shares = Viewer(Scene([actor, *people], things), 0, rig.camera, t_s).extents.share
            hidden.setdefault(occlusion, []).append(float(1 - shares.mean()))
            for thing in things:
                inside = ((thing.vertices > low) & (thing.vertices < high)).all(axis=1)
                assert not inside.any()
    assert all(np.mean(shares) > 0.01 for name, shares in hidden.items() if name != "people"), hidden
    assert all(np.mean(shares) < 0.6 for shares in hidden.values()), hidden


# The fitted estimator -----------------------------------------------------------------------------------


def test_keypoints_err_as_the_fit_says() -> None:
    model = fitted()
    pixels = np.full(4000, 150.0)
    points = np.tile(np.array([300.0, 300.0, 5.0]), (4000, 17, 1))
    points[:, 11, 0] += 60  # seen from the front: no leg hides the other
    seen = np.full((4000, 17), 5.0, np.float32)
    out = noisy_keypoints(np.random.default_rng(0), points, seen, pixels=pixels, height_m=1.7, model=model)
    error = (out[..., :2] - points[..., :2]) / 150.0
    size = np.interp(np.log(150.0), np.log(model.height_px), model.size_factor)
    np.testing.assert_allclose(error.std(axis=0).mean(axis=1), model.jitter_sd * size, rtol=0.15)
    ankle = error[:, 15, 0] - error[:, 15, 0].mean()
    assert np.mean(ankle[1:] * ankle[:-1]) / np.mean(ankle**2) == pytest.approx(model.memory, abs=0.06)
    few, flat, tall = points[:40], seen[:40], pixels[:40]
    walks = [
        model.keypoints(np.random.default_rng(k), few, flat, pixels=tall, height_m=1.7) for k in range(120)
    ]
    steady = np.array([(walk[..., :2] - few[..., :2]).mean(axis=0) / 150.0 for walk in walks])
    np.testing.assert_allclose(steady[..., 1].mean(axis=0), model.bias_down, atol=0.004)
    assert steady[..., 0].std(axis=0).mean() == pytest.approx(model.bias_sd.mean(), rel=0.15)


def test_hidden_and_small_people_are_seen_worse() -> None:
    model = fitted()
    points = np.tile(np.array([300.0, 300.0, 5.0]), (500, 17, 1))

    def spread(surface: float, pixels: float, model: KeypointNoise = model) -> tuple[float, float, float]:
        seen = np.full((500, 17), surface, np.float32)
        out = model.keypoints(
            np.random.default_rng(1), points, seen, pixels=np.full(500, pixels), height_m=1.7
        )
        held = out[out.any(axis=(1, 2))]
        if not len(held):
            return 0.0, 0.0, 1.0
        return float(held[:, 0, 0].std() / pixels), float(held[..., 2].mean()), 1 - len(held) / 500

    shown, hidden = spread(5.0, 200.0), spread(4.0, 200.0)
    assert hidden[0] > 1.5 * shown[0]
    assert hidden[1] < shown[1] - 0.05
    assert shown[2] < 0.02
    assert spread(5.0, 45.0)[2] > 0.5
    sideways = model.keypoints(
        np.random.default_rng(1),
        points,
        np.full((500, 17), 5.0, np.float32),
        pixels=np.full(500, 200.0),
        height_m=1.7,
    )
    assert np.isfinite(sideways).all()


# Camera, world and files --------------------------------------------------------------------------------


def test_the_camera_sees_only_what_the_detector_would_find() -> None:
    actor = Actor.walking(WALKER, seed=2, seconds=0.6)
    condition = Condition()
    rig = place(condition, np.random.default_rng(0), 0.6)
    away = look_at(np.array([5.0, 0.0, 1.0]), np.array([9.0, 0.0, 1.0]))
    sensors = dataclasses.replace(rig, camera=away)
    seen = Observation(Scene([actor]), condition, sensors, np.random.default_rng(0), 0.6, 48).streams(STREAMS)
    assert set(seen) == {"points"}  # the camera looks elsewhere, the LiDAR does not


def test_a_data_set_of_cells_resumes_and_refuses_another_purpose(tmp_path: Path) -> None:
    asked = {
        "walkers": 1, "seed": 2, "sessions": 1, "views": (90.0,), "seconds": 0.5, "fps": 10.0, "size": 32,
        "cells": ("normal", "bag"), "streams": ("silhouette", "points"), "jobs": 1,
    }  # fmt: skip
    done: list[tuple[int, int]] = []
    (path,) = simulate(tmp_path, **asked, progress=lambda *at: done.append(at))  # type: ignore[arg-type]
    assert done == [(0, 1), (1, 1)]
    before = path.read_bytes()
    simulate(tmp_path, **asked)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    held = json.loads((tmp_path / "manifest.json").read_text())
    assert held["cells"] == ["normal", "bag"]
    assert held["world_version"] == 2
    with open_recording(path) as recording:
        assert [info.meta.session for info in recording.walks] == ["normal-00", "bag-00"]
        assert recording.walks[1].meta.covariates["carried"] == "bag"
        assert set(recording.sequence(0).streams) == {"silhouette", "points"}
        truth = recording.truth(0)
        assert truth is not None
        assert {"joints", "style", "shape"} <= set(truth.arrays)
    (alone,) = simulate(tmp_path / "alone", **{**asked, "cells": ("bag",)})  # type: ignore[arg-type]
    with open_recording(path) as both, open_recording(alone) as one:
        assert digest(both.sequence(1)) == digest(one.sequence(0))  # a cell's walks do not depend on others
    with pytest.raises(InputError, match="cells"):
        simulate(tmp_path, **{**asked, "cells": ("normal",)})  # type: ignore[arg-type]

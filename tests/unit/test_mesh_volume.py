"""Heat in space and the body behind it: soft-argmax, views, points of the skin, truths of a silhouette."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from gait3dlib.body import PARENTS
from gait3dlib.modalities._mesh_body import (
    JOINTS,
    MARKERS,
    POINTS,
    VERTICES,
    Skin,
    average,
    coarse_mesh,
    skin_from_points,
)
from gait3dlib.modalities._mesh_truth import TOLD, told
from gait3dlib.modalities._mesh_volume import COLUMNS, DEEP, ROWS, WIDE, Heat, HeatVolume, hats
from gait3dlib.modalities.silhouette import Silhouette
from gait3dlib.recording import Truth
from gait3dlib.simulation import observe_views, sample_walker
from gait3dlib.types import GaitSequence, Labels

DEPTH = 8


def volume(seed: int = 0) -> HeatVolume:
    torch.manual_seed(seed)
    return HeatVolume(6, 5, DEPTH).double().eval()


# ---- heat ------------------------------------------------------------------------------------------


def test_views_and_points_are_those_of_the_whole_volume() -> None:
    made = volume()
    torch.nn.init.normal_(made.draw, std=0.3)
    maps = torch.randn(3, 6, ROWS, COLUMNS, dtype=torch.float64)
    with torch.no_grad():
        heat: Heat = made(maps)
        features = made.enter(maps)
        own, where = made.draw[:, :5], made.draw[:, 5:]
        logits = torch.einsum("oc,nchw->nohw", own, features)
        logits = logits + where[:, :ROWS, None] + where[:, None, ROWS:]
        whole = (made.sharp * logits).reshape(3, POINTS, -1).softmax(dim=2)
        whole = whole.view(3, POINTS, DEPTH, ROWS, COLUMNS)
    torch.testing.assert_close(heat.front, whole.sum(dim=2))
    torch.testing.assert_close(heat.side, whole.sum(dim=4).transpose(2, 3))
    for view in (heat.front, heat.side):
        torch.testing.assert_close(view.sum(dim=(2, 3)), torch.ones(3, POINTS, dtype=torch.float64))
    right, down, away = (
        torch.linspace(-extent / 2, extent / 2, cells, dtype=torch.float64)
        for extent, cells in ((WIDE, COLUMNS), (1.0, ROWS), (DEEP, DEPTH))
    )
    wanted = [
        torch.einsum("npdhw,w->np", whole, right),
        torch.einsum("npdhw,h->np", whole, down),
        torch.einsum("npdhw,d->np", whole, away),
    ]
    torch.testing.assert_close(heat.points, torch.stack(wanted, dim=2), atol=1e-7, rtol=1e-6)


def test_the_mean_of_a_gaussian_is_its_centre() -> None:
    made = volume()
    centre, spread = torch.tensor([0.06, -0.13, 0.05], dtype=torch.float64), 0.09
    right, down, away = (
        -0.5 * ((torch.linspace(-extent / 2, extent / 2, cells, dtype=torch.float64) - place) / spread) ** 2
        for place, (extent, cells) in zip(centre, ((WIDE, COLUMNS), (1.0, ROWS), (DEEP, DEPTH)), strict=True)
    )
    with torch.no_grad():
        made.draw.zero_()
        draw = made.draw.view(POINTS, DEPTH, -1)
        draw[:, :, 5 : 5 + ROWS] = (down + away[:, None]) / made.sharp
        draw[:, :, 5 + ROWS :] = right / made.sharp
        points = made(torch.randn(2, 6, ROWS, COLUMNS, dtype=torch.float64)).points
    torch.testing.assert_close(points, centre.expand(2, POINTS, 3), atol=1e-3, rtol=0)


def test_the_mean_of_a_hat_is_its_place() -> None:
    places = torch.linspace(-WIDE / 2, WIDE / 2, 57, dtype=torch.float64)
    heat = hats(places, WIDE, COLUMNS)
    torch.testing.assert_close(heat.sum(dim=1), torch.ones(57, dtype=torch.float64))
    at = torch.linspace(-WIDE / 2, WIDE / 2, COLUMNS, dtype=torch.float64)
    torch.testing.assert_close(heat @ at, places)
    assert ((heat > 1e-6).sum(dim=1) <= 2).all()


def test_heat_in_one_place_is_sure_and_heat_everywhere_is_not() -> None:
    front, side = torch.zeros(1, POINTS, ROWS, COLUMNS), torch.zeros(1, POINTS, ROWS, DEPTH)
    front[..., 3, 7], side[..., 3, 2] = 1.0, 1.0
    place = torch.tensor([WIDE * (7 / 10 - 0.5), 3 / 15 - 0.5, DEEP * (2 / 7 - 0.5)])
    points = place.expand(1, POINTS, 3)
    torch.testing.assert_close(Heat(front, side, points).confidence(), torch.ones(1, POINTS))
    flat = Heat(torch.full_like(front, 1 / 176), torch.full_like(side, 1 / 128), points)
    assert (flat.confidence() < 1e-3).all()


def test_points_start_at_their_heights_on_a_standing_body() -> None:
    torch.manual_seed(0)
    heat = HeatVolume(6, 5, DEPTH).eval()(torch.randn(2, 6, ROWS, COLUMNS))
    down = heat.points[0, :JOINTS, 1].detach().numpy()
    assert down[15] < down[12] < down[0] < down[4] < down[7], "head, neck, pelvis, knee, ankle"
    assert abs(down[0] - (0.5 - 0.53)) < 0.03


# ---- points of the skin ----------------------------------------------------------------------------


def test_markers_and_vertices_lie_on_both_sides_alike() -> None:
    mesh, rest = coarse_mesh(), average().vertices
    assert len(np.unique(mesh.index)) == VERTICES and len(mesh.markers) == MARKERS
    places = rest[mesh.index]
    assert np.abs(places[mesh.mirror_vertices] - places * [1, -1, 1]).max() < 0.03
    np.testing.assert_array_equal(mesh.mirror[mesh.mirror], np.arange(POINTS))
    np.testing.assert_array_equal(mesh.mirror_vertices[mesh.mirror_vertices], np.arange(VERTICES))
    # spread over the whole skin: none of it is farther than 15 cm from a vertex
    apart = np.linalg.norm(rest[:, None] - places[None], axis=2).min(axis=1)
    assert apart.max() < 0.15
    lengths = np.linalg.norm(places[mesh.edges[:, 0]] - places[mesh.edges[:, 1]], axis=1)
    assert lengths.max() < 0.35 and np.unique(mesh.edges).size == VERTICES


@pytest.mark.parametrize("person", [0, 3])
def test_the_skin_of_known_joints_is_near_the_true_one(person: int) -> None:
    walker = sample_walker(2026, person, "prior")
    motion = walker.walk(seed=0, fps=8.0, seconds=1.0)
    vertices, joints = walker.body().pose(motion.rotations, motion.translation)
    true = vertices[:, coarse_mesh().index]
    found = Skin(walker.body().numbers).posed(joints.astype(np.float64))
    error = np.linalg.norm(found - true, axis=2)
    assert error.mean() < 0.012 and error.max() < 0.12
    points = np.concatenate([joints, true[:, coarse_mesh().markers]], axis=1)
    mixed = skin_from_points() @ points.astype(np.float64)
    assert np.linalg.norm(mixed - true, axis=2).mean() < 0.025
    np.testing.assert_allclose(skin_from_points().sum(axis=1), 1.0, atol=1e-5)


# ---- what is true of a silhouette ------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen() -> list[tuple[GaitSequence, Truth]]:
    """One walk from three sides, with its shape in the truth."""
    walker = sample_walker(1, 2)
    asked: dict[str, Any] = {"fps": 10.0, "seconds": 0.8, "size": 96, "streams": ("silhouette",)}
    pairs = observe_views(walker, (0.0, 60.0, 90.0), seed=1, **asked)
    shape = {"shape": walker.body().numbers}
    return [(seq, Truth(truth.labels, {**truth.arrays, **shape})) for seq, truth in pairs]


def truth_of(seq: GaitSequence, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalised silhouettes, true points [T, 184, 3], metres a unit [T]."""
    sample = Silhouette().sample(seq)
    assert sample is not None
    out = told(seq, sample.t_s, truth)
    assert out is not None and out.shape == (len(sample), TOLD)
    return sample.frames[:, 0], out[:, :-1].reshape(len(out), -1, 3), out[:, -1]


def test_true_joints_lie_on_the_silhouette(seen: list[tuple[GaitSequence, Truth]]) -> None:
    for seq, truth in seen:
        pictures, points, _ = truth_of(seq, truth)
        column = ((points[..., 0] + 22 / 64) * 64).astype(int)
        row = ((points[..., 1] + 0.5) * 64).astype(int)
        inside = (column >= 0) & (column < 44) & (row >= 0) & (row < 64)
        thick = np.array([_grown(picture > 127) for picture in pictures])
        frame = np.broadcast_to(np.arange(len(points))[:, None], column.shape)
        hit = inside & thick[frame, row.clip(0, 63), column.clip(0, 43)]
        assert hit[:, :JOINTS].mean() > 0.97
        assert hit[:, JOINTS:].mean() > 0.95
        assert points[:, JOINTS:, 1].max() == pytest.approx(0.5, abs=0.03), "soles stand on the last row"
        assert points[:, JOINTS:, 1].min() == pytest.approx(-0.5, abs=0.03)


def _grown(shown: np.ndarray) -> np.ndarray:
    """Bright pixels and those up to two beside them."""
    padded = np.pad(shown, 2)
    h, w = shown.shape
    return np.any([padded[i : i + h, j : j + w] for i in range(5) for j in range(5)], axis=0)


def test_true_bones_keep_their_lengths(seen: list[tuple[GaitSequence, Truth]]) -> None:
    for seq, truth in seen:
        _, points, scale = truth_of(seq, truth)
        joints = points[:, :JOINTS] * scale[:, None, None]
        true = np.asarray(truth.arrays["joints"])
        lengths = [np.linalg.norm(x[:, 1:] - x[:, list(PARENTS[1:])], axis=2) for x in (joints, true)]
        np.testing.assert_allclose(lengths[0], lengths[1], rtol=2e-3)


def test_the_axes_are_those_of_the_line_of_sight(seen: list[tuple[GaitSequence, Truth]]) -> None:
    front, side = (truth_of(*seen[k])[1] for k in (0, 2))
    across, along = (front[:, 1] - front[:, 2]).mean(axis=0), (side[:, 10] - side[:, 7]).mean(axis=0)
    # seen from the front, the left hip is to the right; the left toes point at the camera
    assert across[0] > 0.05 > abs(across[2])
    assert (front[:, 10] - front[:, 7]).mean(axis=0)[2] < -0.03
    assert abs(along[0]) > 0.05 > abs(along[2])


def test_what_is_not_known_is_not_told(seen: list[tuple[GaitSequence, Truth]]) -> None:
    seq, truth = seen[1]
    times = Silhouette().sample(seq).t_s  # type: ignore[union-attr]
    silhouette = seq.streams["silhouette"]
    for lacks in ("boxes", "calibration"):
        bare = dataclasses.replace(silhouette, **{lacks: None})
        assert told(GaitSequence({"silhouette": bare}), times, truth) is None
    assert told(GaitSequence({"other": silhouette}), times, truth) is None
    assert told(seq, times, Truth(Labels(), {})) is None
    backwards = {**truth.arrays, "joints_t_s": np.arange(8)[::-1] * 0.1}
    assert told(seq, times, Truth(Labels(), backwards)) is None
    for shape in (None, np.full(10, 9.0)):
        arrays = {k: v for k, v in truth.arrays.items() if k != "shape"}
        out = told(seq, times, Truth(Labels(), arrays if shape is None else {**arrays, "shape": shape}))
        assert out is not None
        assert np.isfinite(out[:, : 3 * JOINTS]).all() and np.isnan(out[:, 3 * JOINTS : -1]).all()
    late = {**truth.arrays, "joints_t_s": 0.35 + np.arange(8) * 0.1}
    out = told(seq, times, Truth(Labels(), late))
    assert out is not None and np.isnan(out[:4, :-1]).all() and np.isfinite(out[4:, : 3 * JOINTS]).all()

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from gait3dlib.body import DENSITY_KG_M3, Body, BodyShape, ShapedBody
from gait3dlib.body._skinning import mesh_volume
from gait3dlib.errors import InputError
from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import Scene, look_at
from gait3dlib.simulation.motion import walking_cycle
from gait3dlib.simulation.outfit import (
    CARRIED,
    CARRIED_LABEL,
    CLOTHES,
    CLOTHES_LABEL,
    SKIN_LABEL,
    Dressed,
    Outfit,
    carry,
    dress,
)
from gait3dlib.simulation.outfit._drape import COLUMNS
from gait3dlib.simulation.outfit._motion import apparent_gravity, held, lagged
from gait3dlib.simulation.outfit._outline import angles, directions, radial
from gait3dlib.simulation.outfit._seam import seamed
from gait3dlib.simulation.posture import about
from gait3dlib.simulation.style import GaitStyle

PEOPLE = {
    "girl": BodyShape(6, "female", 1.14, 20),
    "woman": BodyShape(35, "female", 1.66, 62),
    "heavy": BodyShape(50, "male", 1.75, 116),
}
T_S = np.arange(24) / 20.0
Walk = tuple[ShapedBody, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def walks() -> dict[str, Walk]:
    """Body, rotations, translation and phase: 1.2 seconds, a whole stride, at 20 frames a second."""
    out = {}
    for name, shape in PEOPLE.items():
        body = Body.load("low").shape(shape)
        cycle = walking_cycle(body, GaitStyle(), walk_ratio=0.006 * body.height_m**1.5 / 2.2, speed_m_s=1.2)
        phase = T_S / cycle.stride_s
        out[name] = (body, *cycle.at(phase), phase)
    return out


def posed(walk: Walk, outfit: Outfit) -> tuple[Dressed, np.ndarray, np.ndarray]:
    body, rotations, translation, phase = walk
    dressed = dress(body, outfit)
    vertices, joints, _ = dressed.pose(carry(rotations, outfit, phase), translation, T_S)
    return dressed, vertices, joints


def part(dressed: Dressed, label: int) -> np.ndarray:
    """Vertices that only this part's triangles have."""
    mine = np.unique(dressed.faces[dressed.labels == label])
    return np.setdiff1d(mine, np.unique(dressed.faces[dressed.labels != label]))


def open_edges(faces: np.ndarray) -> np.ndarray:
    """Directed edges ``[n, 2]`` without their opposite: none where the mesh is closed and oriented."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    assert len(np.unique(edges, axis=0)) == len(edges)
    there, back = (set(map(tuple, e.tolist())) for e in (edges, edges[:, ::-1]))
    return np.array(sorted(there - back))


def winding(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How often a closed mesh surrounds each point (Van Oosterom and Strackee 1983)."""
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    na, nb, nc = (np.linalg.norm(v, axis=2) for v in (a, b, c))
    top = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
    low = na * nb * nc + (a * b).sum(2) * nc + (b * c).sum(2) * na + (c * a).sum(2) * nb
    return np.asarray(np.arctan2(top, low).sum(axis=1) / (2 * np.pi))


# What is asked for ----------------------------------------------------------------------------------------


def test_plain_is_the_bodys_own_skin(walks: dict[str, Walk]) -> None:
    body, rotations, translation, phase = walks["woman"]
    outfit = Outfit()
    dressed = dress(body, outfit)
    vertices, joints, landmarks = dressed.pose(carry(rotations, outfit, phase), translation, T_S)
    skin, true_joints = body.pose(rotations, translation)
    assert vertices.tobytes() == skin.tobytes()
    assert joints.tobytes() == true_joints.tobytes()
    assert landmarks.tobytes() == body.landmarks(skin, true_joints).tobytes()
    assert np.array_equal(dressed.faces, body.faces)
    assert not dressed.labels.any()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"clothes": "cote"}, "coat"),
        ({"carried": "umbrela"}, "umbrella"),
        ({"seed": -1}, "counts from 0"),
    ],
)
def test_unknown_outfits_are_refused(words: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Outfit(**words)  # type: ignore[arg-type]


def test_wrong_shapes_and_times_are_refused(walks: dict[str, Walk]) -> None:
    body, rotations, translation, phase = walks["woman"]
    dressed = dress(body, Outfit("coat"))
    with pytest.raises(InputError, match="rising times"):
        dressed.pose(rotations, translation, T_S[::-1])
    with pytest.raises(InputError, match="rising times"):
        dressed.pose(rotations, translation, T_S[:-1])
    with pytest.raises(InputError, match="rotations"):
        carry(rotations[:, :3], Outfit(), phase)


def test_a_seed_fixes_the_cut(walks: dict[str, Walk]) -> None:
    first, again, other = (posed(walks["woman"], Outfit("coat", "bag", s))[1] for s in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    cuts = [np.ptp(vertices[:, -400:], axis=1) for vertices in (first, other)]
    assert np.abs(cuts[0] - cuts[1]).max() > 0.01


def test_the_size_of_a_thing_says_nothing_of_the_build() -> None:
    """Two grown-ups of other mass and sex carry the same bag."""
    still = np.tile(np.eye(3), (1, 24, 1, 1))
    sizes = []
    for shape in (BodyShape(30, "male", 1.80, 95), BodyShape(60, "female", 1.62, 52)):
        dressed = dress(Body.load("low").shape(shape), Outfit("plain", "bag", 5))
        vertices = dressed.pose(still, np.zeros((1, 3)), np.zeros(1))[0][0]
        sizes.append(np.ptp(vertices[part(dressed, CARRIED_LABEL)], axis=0))
    np.testing.assert_allclose(sizes[0], sizes[1], atol=1e-5)


# Every outfit on everybody --------------------------------------------------------------------------------


@pytest.mark.parametrize(("clothes", "carried"), list(product(CLOTHES, CARRIED)))
@pytest.mark.parametrize("name", list(PEOPLE))
def test_outfits_are_sound(walks: dict[str, Walk], name: str, clothes: str, carried: str) -> None:
    seed = 7 * CLOTHES.index(clothes) + CARRIED.index(carried)
    outfit = Outfit(clothes, carried, seed)  # type: ignore[arg-type]
    body, rotations, translation, phase = walks[name]
    dressed, vertices, joints = posed(walks[name], outfit)
    held_rotations = carry(rotations, outfit, phase)
    skin, true_joints = body.pose(held_rotations, translation)
    assert joints.tobytes() == true_joints.tobytes()
    assert vertices.dtype == np.float32
    assert np.isfinite(vertices).all()
    assert dressed.faces.max() == vertices.shape[1] - 1
    assert len(dressed.labels) == len(dressed.faces)
    wanted = {SKIN_LABEL} | ({CLOTHES_LABEL} if clothes != "plain" else set())
    assert set(dressed.labels.tolist()) == wanted | ({CARRIED_LABEL} if carried != "none" else set())
    # no spikes: near the body, no long edges, no jumps from frame to frame
    low, high = skin.min(axis=1)[:, None], skin.max(axis=1)[:, None]
    cloth = np.unique(dressed.faces[dressed.labels != CARRIED_LABEL])
    beyond = np.maximum(low - vertices, vertices - high)
    assert beyond[:, cloth].max() < 0.16
    assert beyond.max() < 0.75
    assert vertices[..., 2].min() > -0.02 if clothes != "loose_trousers" else -0.06
    corner = vertices[:, dressed.faces[dressed.labels != CARRIED_LABEL]]
    assert np.linalg.norm(corner - np.roll(corner, 1, axis=2), axis=-1).max() < 0.33
    assert np.abs(np.diff(vertices, axis=0)).max() < 2.0 * np.abs(np.diff(skin, axis=0)).max()


@pytest.mark.parametrize("clothes", CLOTHES)
def test_meshes_are_closed_where_they_should_be(walks: dict[str, Walk], clothes: str) -> None:
    for carried in CARRIED:
        dressed, vertices, _ = posed(walks["woman"], Outfit(clothes, carried, 2))  # type: ignore[arg-type]
        carried_faces = dressed.faces[dressed.labels == CARRIED_LABEL]
        assert len(open_edges(dressed.faces[dressed.labels != CARRIED_LABEL])) == (
            2 * COLUMNS if clothes in ("coat", "skirt") else 0
        )
        if carried != "none":
            assert len(open_edges(carried_faces)) == 0
            assert mesh_volume(vertices[0], carried_faces) > 1e-4


@settings(max_examples=15, deadline=None)
@given(axis=st.integers(0, 2), share=st.floats(0.05, 0.95))
def test_a_seam_changes_nothing_but_the_triangles(walks: dict[str, Walk], axis: int, share: float) -> None:
    body = walks["woman"][0]
    low, high = body.vertices[:, axis].min(), body.vertices[:, axis].max()
    level = float(low + share * (high - low))
    cut = seamed(body, axis, [level])
    assert len(open_edges(cut.faces)) == 0
    assert np.array_equal(cut.vertices[: len(body.vertices)], body.vertices)
    assert mesh_volume(cut.vertices, cut.faces) == pytest.approx(
        mesh_volume(body.vertices, body.faces), rel=1e-5
    )
    away = cut.vertices[cut.faces][..., axis] - level
    assert not ((away.min(axis=1) < -1e-3) & (away.max(axis=1) > 1e-3)).any()
    np.testing.assert_allclose(cut.weights.sum(axis=1), 1.0, atol=1e-5)


def test_fifteen_frames_a_second_show_the_same_cloth(walks: dict[str, Walk]) -> None:
    body, rotations, translation, _ = walks["woman"]
    for clothes in ("coat", "skirt", "loose_trousers"):
        dressed = dress(body, Outfit(clothes, seed=1))
        every = dressed.pose(rotations, translation, T_S)[0][::2]
        second = dressed.pose(rotations[::2], translation[::2], T_S[::2])[0]
        assert np.quantile(np.linalg.norm(every - second, axis=2), 0.99) < 0.03


def test_turning_the_walk_turns_the_cloth(walks: dict[str, Walk]) -> None:
    body, rotations, translation, _ = walks["woman"]
    turn = about(2, np.array(130.0))
    root = body.joints[0]
    turned = rotations.copy()
    turned[:, 0] = turn @ turned[:, 0]
    moved = (translation + root) @ turn.T - root
    for clothes, carried in (("coat", "umbrella"), ("skirt", "bag"), ("loose_trousers", "backpack")):
        dressed = dress(body, Outfit(clothes, carried, 1))  # type: ignore[arg-type]
        straight = dressed.pose(rotations, translation, T_S)[0]
        around = dressed.pose(turned, moved, T_S)[0]
        np.testing.assert_allclose(around, straight @ turn.T, atol=2e-4)


def test_dressing_and_posing_is_fast(walks: dict[str, Walk]) -> None:
    body, rotations, translation, phase = walks["woman"]
    spent = []
    for seed in range(3):
        outfit = Outfit("coat", "backpack", seed)
        start = time.process_time()
        dress(body, outfit).pose(carry(rotations, outfit, phase), translation, T_S)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.1


# What clothes hide ----------------------------------------------------------------------------------------


def masks(
    vertices: np.ndarray, faces: np.ndarray, low_m: float, high_m: float, view_deg: float
) -> np.ndarray:
    """Which of 40 x 160 rays hit ``[T, 40, 160]``, in a band of heights, from the side."""
    out = []
    for frame in vertices:
        middle = np.array([frame[:, 0].mean(), frame[:, 1].mean(), (low_m + high_m) / 2])
        angle = np.deg2rad(view_deg)
        place = middle + 40.0 * np.array([np.cos(angle), np.sin(angle), 0.0])
        camera = look_at(place, middle, width=160, height=40, field_of_view_deg=2.2)
        span = (high_m - low_m) / 2 * camera.fy / 40.0
        rows = camera.cy + np.linspace(-span, span, 40)
        columns, grid = np.meshgrid(np.arange(160.0), rows)
        out.append(Scene(frame, faces).depth(camera, columns, grid) > 0)
    return np.array(out)


def gaps(mask: np.ndarray) -> int:
    """Rows whose hits are not in one piece."""
    runs = (np.diff(np.pad(mask.astype(int), ((0, 0), (0, 0), (1, 1))), axis=2) == 1).sum(axis=2)
    return int((runs > 1).sum())


@pytest.mark.parametrize("clothes", ["coat", "skirt"])
@pytest.mark.parametrize("name", list(PEOPLE))
def test_nothing_shows_between_the_legs(walks: dict[str, Walk], name: str, clothes: str) -> None:
    body = walks[name][0]
    dressed, vertices, _ = posed(walks[name], Outfit(clothes, seed=3))  # type: ignore[arg-type]
    hip, knee = body.joints[1, 2], body.joints[4, 2]
    low, high = hip - 0.73 * (hip - knee), hip - 0.55 * (hip - knee)
    arms = body.weights[:, [16, 17, 18, 19, 20, 21, 22, 23]].sum(axis=1) > 0.2
    seen = slice(0, None, 2)
    plain = body.faces[~arms[body.faces].any(axis=1)]
    worn = dressed.faces[~np.pad(arms, (0, vertices.shape[1] - len(arms)))[dressed.faces].any(axis=1)]
    own = body.pose(walks[name][1], walks[name][2])[0][seen]
    if name != "heavy":  # whose thighs touch
        assert gaps(masks(own, plain, low, high, 90.0)) > 20
    assert gaps(masks(vertices[seen], worn, low, high, 90.0)) == 0


@pytest.mark.parametrize("name", list(PEOPLE))
@pytest.mark.parametrize("clothes", ["coat", "skirt"])
def test_legs_do_not_show_through(walks: dict[str, Walk], name: str, clothes: str) -> None:
    """Between the waist and the hem, no vertex of the legs lies outside the cloth's outline."""
    body = walks[name][0]
    worst = 0.0
    for seed in range(3):
        vertices = posed(walks[name], Outfit(clothes, seed=seed))[1]  # type: ignore[arg-type]
        drape = vertices[:, -12 * COLUMNS :].reshape(len(vertices), 12, COLUMNS, 3)
        legs = np.flatnonzero(body.weights[:, [1, 2, 4, 5]].sum(axis=1) > 0.5)
        out = 0
        for frame in range(0, len(vertices), 3):
            rings, points = drape[frame].astype(float), vertices[frame, legs].astype(float)
            inside = (points[:, 2] < rings[1, 0, 2]) & (points[:, 2] > rings[-1, 0, 2])
            for x, y, z in points[inside]:
                k = int(np.searchsorted(-rings[:, 0, 2], -z)) - 1
                share = (rings[k, 0, 2] - z) / (rings[k, 0, 2] - rings[k + 1, 0, 2])
                ring = rings[k, :, :2] + share * (rings[k + 1, :, :2] - rings[k, :, :2])
                edge, away = np.roll(ring, -1, axis=0) - ring, np.array([x, y]) - ring
                depth = (edge[:, 0] * away[:, 1] - edge[:, 1] * away[:, 0]) / np.linalg.norm(edge, axis=1)
                out += bool(depth.min() < -0.012)  # folds make the outline hollow by less
            worst = max(worst, out / max(1, inside.sum()))
    assert worst < 0.01


@pytest.mark.parametrize("name", list(PEOPLE))
@pytest.mark.parametrize("clothes", ["coat", "loose_trousers"])
def test_the_body_is_inside_its_clothes(walks: dict[str, Walk], name: str, clothes: str) -> None:
    body, rotations, translation, phase = walks[name]
    outfit = Outfit(clothes, seed=1)  # type: ignore[arg-type]
    dressed, vertices, _ = posed(walks[name], outfit)
    skin = body.pose(carry(rotations, outfit, phase), translation)[0]
    covered = [3, 6, 9] if clothes == "coat" else [4, 5]
    inner = np.flatnonzero(body.weights[:, covered].sum(axis=1) > 0.9)[::6]
    shell = dressed.faces[(dressed.faces < len(dressed._worn.vertices)).all(axis=1)]
    for frame in (0, 9, 17):
        assert (winding(skin[frame, inner], vertices[frame], shell) > 0.5).mean() > 0.98


def test_cloth_is_a_few_centimetres_thick(walks: dict[str, Walk]) -> None:
    body = walks["woman"][0]
    sizes = []
    for seed in range(12):
        worn = dress(body, Outfit("coat", seed=seed))._worn
        moved = np.linalg.norm(worn.bind_vertices[: len(body.vertices)] - body.bind_vertices, axis=1)
        sizes.append(np.median(moved[body.weights[:, [3, 6, 9]].sum(axis=1) > 0.9]))
    assert min(sizes) > 0.012
    assert max(sizes) < 0.08
    assert max(sizes) > 1.3 * min(sizes)


# How things are held --------------------------------------------------------------------------------------


@pytest.mark.parametrize("carried", CARRIED)
def test_legs_walk_on_whatever_is_carried(walks: dict[str, Walk], carried: str) -> None:
    _, rotations, _, phase = walks["woman"]
    given = rotations.copy()
    out = carry(rotations, Outfit("plain", carried, 1), phase)  # type: ignore[arg-type]
    assert rotations.tobytes() == given.tobytes()
    legs = [0, 1, 2, 4, 5, 7, 8, 10, 11]
    assert np.array_equal(out[:, legs], rotations[:, legs])
    np.testing.assert_allclose(
        out @ out.transpose(0, 1, 3, 2), np.broadcast_to(np.eye(3), out.shape), atol=1e-6
    )
    if carried == "none":
        assert np.array_equal(out, rotations)


@pytest.mark.parametrize(("carried", "most"), [("box", 0.25), ("bag", 0.55), ("umbrella", 0.35)])
def test_a_loaded_arm_swings_less(walks: dict[str, Walk], carried: str, most: float) -> None:
    body, rotations, translation, phase = walks["woman"]
    outfit = Outfit("plain", carried, 1)  # type: ignore[arg-type]
    hand = 22 + outfit.side

    def way(turns: np.ndarray) -> float:
        joints = body.pose_joints(turns, translation)
        return float(np.ptp(joints[:, hand, 0] - joints[:, 9, 0]))

    assert way(carry(rotations, outfit, phase)) < most * way(rotations)


@pytest.mark.parametrize("name", list(PEOPLE))
def test_the_box_is_between_the_hands_and_out_of_the_belly(walks: dict[str, Walk], name: str) -> None:
    for clothes in ("plain", "coat"):
        dressed, vertices, joints = posed(walks[name], Outfit(clothes, "box", 4))
        box = vertices[:, part(dressed, CARRIED_LABEL)]
        hands = joints[:, [22, 23]]
        assert box.shape[1] == 8
        low, high = box.min(axis=1), box.max(axis=1)
        assert (hands[:, 0, 1] > low[:, 1] + 0.5 * (high - low)[:, 1]).all()
        assert (hands[:, 1, 1] < high[:, 1] - 0.5 * (high - low)[:, 1]).all()
        assert np.abs(hands[:, 0, 1] - high[:, 1]).max() < 0.09
        assert np.ptp(box - box.mean(axis=1, keepdims=True), axis=0).max() < 0.12  # rigid, but for its turn
        grid = np.stack(np.meshgrid(*[np.linspace(0.05, 0.95, 4)] * 3), axis=-1).reshape(-1, 3)
        inner = low[6] + grid * (high - low)[6]
        body_faces = dressed.faces[dressed.labels != CARRIED_LABEL]
        closed = body_faces[(body_faces < len(dressed._worn.vertices)).all(axis=1)]
        hit = winding(inner, vertices[6], closed) > 0.5
        assert hit.mean() < 0.05


@pytest.mark.parametrize("name", list(PEOPLE))
def test_bag_umbrella_and_pack_are_where_they_belong(walks: dict[str, Walk], name: str) -> None:
    for seed in range(3):
        bag, vertices, joints = posed(walks[name], Outfit("plain", "bag", seed))
        hanging = vertices[:, part(bag, CARRIED_LABEL)]
        hand = joints[:, 22 + bag.outfit.side]
        assert hanging[..., 2].min() > 0.03
        assert (hanging.mean(axis=1)[:, 2] < hand[:, 2]).all()
        assert np.abs(hanging.mean(axis=1) - hand)[:, :2].max() < 0.12

        open_, vertices, joints = posed(walks[name], Outfit("plain", "umbrella", seed))
        above = vertices[:, part(open_, CARRIED_LABEL)]
        crown = vertices[:, : len(walks[name][0].vertices), 2].max(axis=1)
        assert (above[..., 2].max(axis=1) > crown + 0.08).all()
        dome = above[:, : -2 * 6 - 2]
        assert (np.abs(dome.mean(axis=1) - joints[:, 15])[:, :2].max(axis=1) < 0.3).all()

        pack, vertices, joints = posed(walks[name], Outfit("coat", "backpack", seed))
        behind = vertices[:, part(pack, CARRIED_LABEL)][:, : 9 * 20 + 2]
        assert (behind.mean(axis=1)[:, 0] < joints[:, 9, 0] - 0.06).all()
        back = pack._worn.pose(walks[name][1], walks[name][2])[0]
        assert winding(behind[5, ::4], back[5], pack._worn.faces).mean() < 0.3


# Cloth in time --------------------------------------------------------------------------------------------


def test_lag_and_hold_in_closed_form() -> None:
    times = np.cumsum([0.0, 0.02, 0.05, 0.01, 0.1])
    step = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(lagged(step, times, 0.1), 1 - np.exp(-times / 0.1))
    drop = np.array([1.0, 0.0, 0.0, 0.5, 0.9])
    np.testing.assert_allclose(held(drop, times, 2.0), [1.0, 0.96, 0.86, 0.84, 0.9])


def test_apparent_gravity_of_falling_and_of_uniform_motion() -> None:
    times = np.linspace(0, 1, 21)
    fall = np.stack([3 * times, np.zeros(21), -0.5 * 9.81 * times**2], axis=1)
    np.testing.assert_allclose(apparent_gravity(fall, times)[2:-2], 0.0, atol=1e-6)
    np.testing.assert_allclose(apparent_gravity(fall[:2], times[:2]), [[0, 0, -1]] * 2)


def test_the_outline_of_points_is_their_convex_hull() -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    count = 720
    radius = radial((points @ directions(count)).max(axis=0))
    outline = (directions(count) * radius).T
    assert ConvexHull(outline).volume == pytest.approx(ConvexHull(points).volume, rel=1e-2)
    square = radial(np.abs(directions(400)).sum(axis=0))
    np.testing.assert_allclose(square, 1 / np.abs(directions(400)).max(axis=0), rtol=1e-9)
    np.testing.assert_allclose(radial(np.full(40, 0.7)), 0.7)
    assert angles(4)[1] == pytest.approx(np.pi / 2)


# Honest labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("detail", "people"), [("full", 12), ("low", 25)])
def test_stated_height_mass_and_bmi_are_the_meshs(detail: str, people: int) -> None:
    for index in range(people):
        who = sample_walker(91, index)
        body = who.body(detail)  # type: ignore[arg-type]
        stated = who.labels
        assert stated.height_m is not None
        assert stated.mass_kg is not None
        height = float(np.ptp(body.vertices[:, 2]))
        mass = mesh_volume(body.vertices, body.faces) * DENSITY_KG_M3
        assert height == pytest.approx(stated.height_m, rel=0.03)
        assert mass == pytest.approx(stated.mass_kg, rel=0.03)
        assert mass / height**2 == pytest.approx(stated.mass_kg / stated.height_m**2, rel=0.03)

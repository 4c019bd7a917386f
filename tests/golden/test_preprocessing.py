"""Silhouettes and skeleton maps: bit-equal to OpenGait's, and calm about input that holds nobody."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.modalities import _skeleton_maps as maps
from gait3dlib.modalities._silhouettes import cut_sides, normalise_silhouettes
from gait3dlib.modalities._skeleton_maps import skeleton_maps

pytest.importorskip("cv2", reason="needs the extra 'video'")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def heat() -> dict[str, np.ndarray]:
    with np.load(HERE / "heatmap.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def silhouettes() -> dict[str, np.ndarray]:
    with np.load(HERE / "silhouette.npz") as stored:
        return dict(stored)


def walker(frames: int = 12, seed: int = 0) -> np.ndarray:
    """A plausible body in pixels, swaying; float32 [T, 17, 3]."""
    rng = np.random.default_rng(seed)
    x = [0, 1, -1, 3, -3, 8, -8, 12, -12, 13, -13, 5, -5, 5, -5, 5, -5]
    y = [0, -2, -2, -1, -1, 12, 12, 26, 26, 38, 38, 40, 40, 60, 60, 82, 82]
    body = np.stack([x, y], -1).astype(float)
    xy = body * 2 + 300 + rng.normal(0, 2, (frames, 17, 2))
    return np.concatenate([xy, rng.uniform(0.5, 1, (frames, 17, 1))], -1).astype(np.float32)


# ---- silhouettes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "options", "frames"),
    [
        ("opengait_64", 64, {}, [0, 1, 2]),
        ("opengait_128", 128, {}, [0, 1, 2]),
        ("ccpg_64", 64, {"interpolation": "area", "min_sum": 0}, [0, 1, 2, 3]),
    ],
)
def test_silhouettes_are_bit_equal(silhouettes, name, size, options, frames) -> None:
    ours, kept = normalise_silhouettes(silhouettes["raw"], size, **options)
    assert kept.tolist() == frames
    np.testing.assert_array_equal(ours, silhouettes[name])


def test_the_limit_on_the_pixel_sum_is_exclusive() -> None:
    frames = np.zeros((2, 50, 50), np.uint8)
    frames[:, 5:15, 20:24] = 250  # 40 pixels: exactly 10000
    frames[1, 15, 20] = 1
    assert normalise_silhouettes(frames)[1].tolist() == [1]
    assert normalise_silhouettes(frames, min_sum=9_999)[1].tolist() == [0, 1]


def test_walker_at_the_edge_is_centred_all_the_same() -> None:
    middle = np.zeros((1, 100, 200), np.uint8)
    middle[0, 10:90, 90:110] = 255
    edge = np.roll(middle, -90, axis=2)
    ours = [normalise_silhouettes(frames)[0][0] for frames in (middle, edge)]
    np.testing.assert_array_equal(ours[0], ours[1])
    assert ours[0][32].argmax() == pytest.approx(32 - 8, abs=1)


def test_cut_sides_keeps_the_middle() -> None:
    row = np.tile(np.arange(128, dtype=np.uint8), (3, 2, 1))
    assert cut_sides(row[..., :64])[0, 0].tolist() == list(range(10, 54))
    assert cut_sides(row)[0, 0].tolist() == list(range(20, 108))


def test_nobody_gives_no_frames() -> None:
    ours, kept = normalise_silhouettes(np.zeros((3, 20, 20), np.uint8), min_sum=0)
    assert ours.shape == (0, 64, 64)
    assert kept.shape == (0,)


def test_a_line_of_one_pixel_is_dropped_not_resized_to_nothing() -> None:
    frames = np.full((1, 300, 1), 255, np.uint8)
    assert len(normalise_silhouettes(frames)[1]) == 0


@pytest.mark.parametrize(
    ("frames", "size", "hint"),
    [
        (np.zeros((2, 8, 8), np.float32), 64, "uint8"),
        (np.zeros((8, 8), np.uint8), 64, "uint8"),
        (np.zeros((2, 0, 8), np.uint8), 64, "uint8"),
        (np.ones((2, 8, 8), np.uint8), 64, "multiply them by 255"),
        (np.zeros((2, 8, 8), np.uint8), 63, "even"),
    ],
)
def test_wrong_silhouettes_are_refused(frames, size, hint) -> None:
    with pytest.raises(InputError, match=hint):
        normalise_silhouettes(frames, size)


# ---- skeleton maps -------------------------------------------------------------------------------


def test_missing_coordinates_are_filled_in(heat) -> None:
    np.testing.assert_allclose(maps.impute_missing(heat["keypoints"]), heat["padded"], rtol=1e-14)


def test_normalised_keypoints(heat) -> None:
    np.testing.assert_array_equal(maps.normalise_keypoints(heat["padded"]), heat["normalised"])


@pytest.mark.parametrize("sigma", [8, 2])
def test_every_joint_and_limb(heat, sigma) -> None:
    joints = [
        [maps.draw_joints(f[i : i + 1], sigma).sum(dtype=float) for i in range(17)]
        for f in heat["normalised"]
    ]
    np.testing.assert_allclose(joints, heat[f"raw_sums_joint_sigma{sigma}"], rtol=1e-6)
    limbs = [
        [maps.draw_limbs(f, sigma, (x,)).sum(dtype=float) for x in maps.LIMBS] for f in heat["normalised"]
    ]
    np.testing.assert_allclose(limbs, heat[f"raw_sums_limb_sigma{sigma}"], rtol=1e-6)


@pytest.mark.parametrize("sigma", [8, 2])
@pytest.mark.parametrize(("name", "draw"), [("joint", maps.draw_joints), ("limb", maps.draw_limbs)])
def test_strongest_value_and_grey_image(heat, sigma, name, draw) -> None:
    ours = np.stack([draw(frame, sigma) for frame in heat["normalised"][:2]])
    np.testing.assert_allclose(ours, heat[f"raw_max_{name}_sigma{sigma}_frames01"], rtol=2e-7)
    grey = np.stack([maps._GREY[maps._levels(image)] for image in ours])
    np.testing.assert_array_equal(grey, heat[f"image_{name}_sigma{sigma}_frames01"][:, 0])


def test_grey_steps(heat) -> None:
    np.testing.assert_array_equal(maps._GREY[maps._levels(heat["gray_in"])], heat["gray_out"])


@pytest.mark.parametrize("sigma", [8, 2])
def test_maps_are_bit_equal(heat, sigma) -> None:
    ours, kept = skeleton_maps(heat["keypoints"], sigma)
    assert kept.tolist() == list(range(6))
    np.testing.assert_array_equal(ours, heat[f"map_sigma{sigma}"])


def test_keypoints_that_coincide_are_drawn_as_a_joint() -> None:
    frame = np.full((17, 3), (60.0, 60.0, 0.0))
    frame[5] = (60, 60, 0.9)
    frame[7] = (60.5, 60.5, 0.4)
    np.testing.assert_array_equal(maps.draw_limbs(frame, 4, ((5, 7),)), maps.draw_joints(frame[5:6], 4))


def test_limb_against_the_distance_written_out() -> None:
    frame = np.zeros((17, 3))
    frame[5], frame[7] = (40, 30, 0.8), (70, 80, 0.6)
    ours = maps.draw_limbs(frame, 3, ((5, 7),))
    y, x = np.mgrid[0:128, 0:128]
    points = np.stack([x, y], -1).astype(float)
    limb = frame[7, :2] - frame[5, :2]
    foot = np.clip((points - frame[5, :2]) @ limb / (limb @ limb), 0, 1)
    distance = np.linalg.norm(points - frame[5, :2] - foot[..., None] * limb, axis=-1)
    near = (x >= 31) & (x <= 79) & (y >= 21) & (y <= 89)
    np.testing.assert_allclose(ours, np.where(near, 0.6 * np.exp(-(distance**2) / 18), 0), rtol=1e-6)


def test_imputation_among_identical_frames_and_without_common_coordinates() -> None:
    points = np.ones((3, 2, 3)) * np.array([10.0, 20.0, 1.0])
    points[2, 0, 0] = 0
    assert maps.impute_missing(points)[2, 0, 0] == 10  # distance 0 to both others
    apart = np.zeros((3, 2, 3))
    apart[0, 0, :2] = apart[1, 0, :2] = 4
    apart[1, 0, :2] = 8
    apart[2, 1, :2] = 5
    assert maps.impute_missing(apart)[2, 0].tolist() == [6, 6, 0]  # nothing in common: the mean


def test_a_coordinate_missing_throughout_stops_imputation() -> None:
    points = walker().astype(float)
    points[:, 3, 0] = 0
    points[4, 9] = 0
    np.testing.assert_array_equal(maps.impute_missing(points), points)


def test_a_joint_never_seen_changes_nothing_else() -> None:
    full, partial = walker(), walker()
    full[:, 9, 2] = 0  # there, but not drawn
    partial[:, 9] = 0
    np.testing.assert_array_equal(skeleton_maps(full)[0], skeleton_maps(partial)[0])


@pytest.mark.filterwarnings("error")
def test_frames_without_a_body_are_dropped_and_named() -> None:
    points = walker()
    points[3, :, :2] = 50  # all at one place
    points[7, :, 1] = 80  # all at one height
    points[9, :, 2] = 0  # nothing scored
    points[10, 1:, 2] = 0  # one joint, no limb
    ours, kept = skeleton_maps(points)
    assert kept.tolist() == [0, 1, 2, 4, 5, 6, 8, 11]
    np.testing.assert_array_equal(ours[0], skeleton_maps(points[:1])[0][0])  # each frame stands alone
    assert ours.any(axis=(2, 3)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [1, 5])
def test_a_walk_without_any_keypoint(frames) -> None:
    ours, kept = skeleton_maps(np.zeros((frames, 17, 3), np.float32))
    assert ours.shape == (0, 2, 64, 64)
    assert len(kept) == 0


@pytest.mark.filterwarnings("error")
def test_bodies_off_the_canvas_are_dropped() -> None:
    points = walker(1)
    points[0, :11, 0] += 1e7  # far from the hips, which are not scored
    points[0, 11:, 2] = 0
    assert len(skeleton_maps(points)[1]) == 0


@pytest.mark.parametrize(
    ("points", "options", "hint"),
    [
        (np.zeros((2, 33, 3)), {}, "coco17"),
        (np.zeros((17, 3)), {}, "coco17"),
        (np.full((1, 17, 3), np.nan), {}, "NaN"),
        (walker(1), {"sigma": 0}, "positive"),
        (walker(1), {"size": 0}, "positive"),
    ],
)
def test_wrong_keypoints_are_refused(points, options, hint) -> None:
    with pytest.raises(InputError, match=hint):
        skeleton_maps(points, **options)


def test_fast_enough_to_prepare_thousands_of_walks() -> None:
    points, frames = walker(30), np.zeros((30, 128, 128), np.uint8)
    frames[:, 10:118, 50:80] = 255

    def best_ms(work) -> float:
        times = []
        for _ in range(5):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        return min(times) / 30 * 1000

    assert best_ms(lambda: skeleton_maps(points)) < 10  # 0.6 here; a loop over pixels takes 1000
    assert best_ms(lambda: normalise_silhouettes(frames)) < 3
